// {layer, paint(values)} of the sensors. What would lie within a cell of a few pixels is drawn as one mark, anew after each zoom; a click
// on such a mark looks closer, a click on a sensor is told as of any other layer with a feature.
function stvlmDots(data) {
  var map = null, layer = L.featureGroup(), groups = L.layerGroup(), values = data.values, marks = [], closest = 15;
  var places = data.lat.map(function (lat, node) { return L.latLng(lat, data.lon[node]); });
  var number = {minimumFractionDigits: data.decimals, maximumFractionDigits: data.decimals};
  function written(value) {
    return value === null ? data.words.missing : (value.toLocaleString(data.words.locale, number) + ' ' + data.unit).trim();
  }
  function fill(text, fields) { return text.replace(/\{(\w+)\}/g, function (_, name) { return fields[name]; }); }
  function nameOf(node) { return data.names.length ? data.names[node] : data.ids[node]; }
  function known(mark) { return mark.nodes.map(function (node) { return values[node]; }).filter(function (x) { return x !== null; }); }
  function meanOf(numbers) { return numbers.reduce(function (a, b) { return a + b; }, 0) / numbers.length; }
  function alarms(mark) { return mark.nodes.filter(function (node) { return data.halos[node]; }).length; }
  function colourOf(mark) {
    if (data.fills.length) { return blend(mark.nodes.map(function (node) { return data.fills[node]; })); }
    if (!values.length) { return data.colours[0]; }
    var numbers = known(mark);
    if (!numbers.length) { return null; }
    var share = Math.max(0, Math.min(1, (meanOf(numbers) - data.low) / (data.high - data.low)));
    return data.colours[Math.round(share * (data.colours.length - 1))];
  }
  function blend(colours) {
    var parts = [1, 3, 5].map(function (at) {
      return Math.round(meanOf(colours.map(function (colour) { return parseInt(colour.substr(at, 2), 16); })));
    });
    return 'rgb(' + parts.join(',') + ')';
  }
  function styleOf(mark) {
    var colour = colourOf(mark), alarm = alarms(mark) > 0;
    if (!colour) {
      return {weight: data.cell ? 1.2 : 2, color: data.missing, dashArray: '2 3', fillColor: data.missing, fillOpacity: 0.15};
    }
    var edge = alarm ? {weight: 2, color: data.alarm} : {weight: data.weight, color: data.outline};
    return Object.assign({dashArray: null, fillColor: colour, fillOpacity: 0.95}, edge);
  }
  function textOf(mark) {
    var node = mark.nodes[0];
    if (mark.nodes.length === 1) {
      return nameOf(node) + (values.length ? ' \u00b7 ' + written(values[node]) : '') + (data.more.length ? '\n' + data.more[node] : '');
    }
    var numbers = values.length ? known(mark) : [], text = fill(data.words.n_sensors, {n: mark.nodes.length});
    if (numbers.length) {
      text += ' \u00b7 ' + fill(data.words.mean_of_them, {mean: written(meanOf(numbers)), low: written(Math.min.apply(null, numbers)),
        high: written(Math.max.apply(null, numbers))});
    }
    if (alarms(mark)) { text += '\n' + fill(data.words.with_alarm, {n: alarms(mark)}); }
    return text + '\n' + data.words.closer;
  }
  function gather() {
    var zoom = map.getZoom(), found = {};
    places.forEach(function (place, node) {
      var at = map.project(place, zoom);
      var shared = data.cell && zoom < closest;
      var key = shared ? Math.floor(at.x / data.cell) + ' ' + Math.floor(at.y / data.cell) : node;
      var mark = found[key] || (found[key] = {nodes: [], x: 0, y: 0});
      mark.nodes.push(node);
      mark.x += at.x;
      mark.y += at.y;
    });
    return Object.keys(found).map(function (key) {
      var mark = found[key], n = mark.nodes.length;
      mark.place = n === 1 ? places[mark.nodes[0]] : map.unproject(L.point(mark.x / n, mark.y / n), zoom);
      return mark;
    });
  }
  function closer(mark) {
    var bounds = L.latLngBounds(mark.nodes.map(function (node) { return places[node]; }));
    map.fitBounds(bounds.pad(0.3), {maxZoom: map.getZoom() + 3});
  }
  function draw() {
    layer.clearLayers();
    groups.clearLayers();
    marks = gather();
    marks.forEach(function (mark) {
      var n = mark.nodes.length, node = mark.nodes[0], radius = n === 1 ? data.radius : Math.min(data.radius + Math.log2(n) / 2, 6.5);
      var circle = mark.circle = L.circleMarker(mark.place, Object.assign({radius: radius}, styleOf(mark)));
      circle.bindTooltip(function () { return told(mark); }, {sticky: true});
      if (n === 1) {
        circle.feature = {type: 'Feature', properties: {id: data.ids[node], node: node, name: nameOf(node)}};
        layer.addLayer(circle);
        return;
      }
      circle.options.bubblingMouseEvents = false;  // no click on the map below it
      circle.on('click', function () { closer(mark); });
      groups.addLayer(circle);
      circle.on = null;  // nobody else listens: a look closer is no news for the page
    });
  }
  function told(mark) {
    var text = document.createElement('span');
    text.textContent = textOf(mark);
    return text;
  }
  layer.nodesWithin = function (within) {
    return data.ids.filter(function (id, node) { return within(places[node]); });
  };
  function zoomed() { if (data.cell) { draw(); } }
  layer.on('add', function () { map = layer._map; map.addLayer(groups).on('zoomend', zoomed); draw(); });
  layer.on('remove', function () { map.off('zoomend', zoomed).removeLayer(groups); });
  return {layer: layer, paint: function (next) {
    values = next;
    marks.forEach(function (mark) { mark.circle.setStyle(styleOf(mark)); });
  }};
}

function stvlmSensorClusters(parent, data) { stvlmDots(data).layer.addTo(parent); }
