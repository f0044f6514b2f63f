// View, limits of panning, scale bar, north mark, attribution and colours of one map.
function stvlmFrame(map, data) {
  var touched = false;
  var box = map.getContainer();
  box.style.background = data.sea;
  // Leaflet gives a clicked map the focus; a page that scrolls for it would move the map away from below the pointer
  box.focus = function () { HTMLElement.prototype.focus.call(box, {preventScroll: true}); };
  ['pointerdown', 'wheel', 'keydown'].forEach(function (name) {
    box.addEventListener(name, function () { touched = true; }, {passive: true});
  });
  function fit() {
    if (touched || !map.getSize().x || !map.getSize().y) { return; }
    map.setMinZoom(0);
    map.fitBounds(data.view, {
      paddingTopLeft: [14, 14], paddingBottomRight: [14, data.freeBelow], maxZoom: 16, animate: false
    });
    map.setMinZoom(Math.max(0, map.getZoom() - 1.5));
  }
  map.on('resize', fit);
  fit();
  map.setMaxBounds(data.extent);
  map.attributionControl.setPrefix('Leaflet');
  map.attributionControl.addAttribution(data.credit);
  L.control.scale({imperial: false, maxWidth: 120}).addTo(map);
  var north = L.control({position: 'topright'});
  north.onAdd = function () {
    var mark = L.DomUtil.create('div', 'stvlm-box');
    mark.setAttribute('role', 'img');
    mark.setAttribute('aria-label', data.north);
    mark.textContent = '\u25B2 N';
    return mark;
  };
  north.addTo(map);
}
