// A button that turns the next drag into a loop around sensors; what was caught is told as a drawing is.
function stvlmLasso(map, data) {
  var control = L.control({position: 'topleft'}), button, places = null, line = null, ended = false;
  function arm(on) {
    button.setAttribute('aria-pressed', String(on));
    map.getContainer().classList.toggle('stvlm-lassoing', on);
    if (on) { map.dragging.disable(); } else { map.dragging.enable(); }
    if (line) { map.removeLayer(line); }
    places = line = null;
  }
  function armed() { return button.getAttribute('aria-pressed') === 'true'; }
  function inside(point, ring) {
    var found = false;
    for (var i = 0, j = ring.length - 1; i < ring.length; j = i++) {
      if ((ring[i].y > point.y) !== (ring[j].y > point.y) &&
          point.x < (ring[j].x - ring[i].x) * (point.y - ring[i].y) / (ring[j].y - ring[i].y) + ring[i].x) { found = !found; }
    }
    return found;
  }
  function finish() {
    var ring = places.map(function (place) { return map.latLngToContainerPoint(place); }), caught = [];
    function caughtBy(place) { return inside(map.latLngToContainerPoint(place), ring); }
    map.eachLayer(function (layer) {
      var id = layer.feature && layer.feature.properties && layer.feature.properties.id;
      if (id !== undefined && layer.getLatLng && caughtBy(layer.getLatLng())) { caught.push(id); }
      if (layer.nodesWithin) { caught = caught.concat(layer.nodesWithin(caughtBy)); }  // of many, some share a mark
    });
    caught = Array.from(new Set(caught));
    var drawn = L.polygon(places);
    drawn.feature = {type: 'Feature', properties: {lasso: caught}};
    map.fire('draw:created', {layerType: 'polygon', layer: drawn});
  }
  control.onAdd = function () {
    var box = L.DomUtil.create('div', 'stvlm-box stvlm-lasso');
    L.DomEvent.disableClickPropagation(box);
    button = L.DomUtil.create('button', '', box);
    button.type = 'button';
    button.textContent = data.label;
    button.title = data.help;
    button.setAttribute('aria-pressed', 'false');
    button.addEventListener('click', function () { arm(!armed()); });
    return box;
  };
  control.addTo(map);
  var box = map.getContainer();
  box.addEventListener('pointerdown', function (event) {
    if (!armed() || button.contains(event.target)) { return; }
    places = [map.mouseEventToLatLng(event)];
    line = L.polyline(places, {color: data.colour, weight: 2, dashArray: '4 4', interactive: false}).addTo(map);
    event.preventDefault();
    event.stopPropagation();
  }, true);
  box.addEventListener('pointermove', function (event) {
    if (!places) { return; }
    places.push(map.mouseEventToLatLng(event));
    line.setLatLngs(places);
  }, true);
  window.addEventListener('pointerup', function () {
    if (!places) { return; }
    if (places.length > 3) { finish(); }
    ended = true;  // the click that ends a drag is no click on what lies there
    setTimeout(function () { ended = false; }, 50);
    arm(false);
  }, true);
  box.addEventListener('click', function (event) {
    if (ended && !button.contains(event.target)) { event.stopPropagation(); }
  }, true);
  window.addEventListener('keydown', function (event) { if (event.key === 'Escape' && armed()) { arm(false); } });
}
