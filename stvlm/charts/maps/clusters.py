"""Many sensors on a map as one light layer: those that would lie on each other are one mark with their count and mean."""

from __future__ import annotations

import numpy as np
from folium.elements import MacroElement
from folium.template import Template

from stvlm.charts.labels import ENGLISH, Wording
from stvlm.charts.maps.leaflet import Plain, defused
from stvlm.charts.scale import Scale
from stvlm.charts.style import Theme
from stvlm.core.network import SensorNetwork

MANY = 1000  # sensors; up to there every one is a circle of its own
CELL = 10  # pixels; of many, those in one such square share a mark
ALARM = "#D55E00"
SAID = ("locale", "missing", "n_sensors", "mean_of_them", "with_alarm", "closer")  # by the marks

# A function of the browser: {layer, paint(values)} of the sensors. What would lie within a cell of a few pixels is drawn as one mark,
# anew after each zoom; a click on such a mark looks closer, a click on a sensor is told as of any other layer with a feature.
DOTS = """
function stvlmDots(data) {
  var map = null, layer = L.featureGroup(), groups = L.layerGroup(), values = data.values, marks = [], closest = 15;
  var places = data.lat.map(function (lat, node) { return L.latLng(lat, data.lon[node]); });
  var number = {minimumFractionDigits: data.decimals, maximumFractionDigits: data.decimals};
  function written(value) {
    return value === null ? data.words.missing : (value.toLocaleString(data.words.locale, number) + ' ' + data.unit).trim();
  }
  function fill(text, fields) { return text.replace(/\\x7b(\\w+)}/g, function (_, name) { return fields[name]; }); }
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
      return nameOf(node) + (values.length ? ' \\u00b7 ' + written(values[node]) : '') + (data.more.length ? '\\n' + data.more[node] : '');
    }
    var numbers = values.length ? known(mark) : [], text = fill(data.words.n_sensors, {n: mark.nodes.length});
    if (numbers.length) {
      text += ' \\u00b7 ' + fill(data.words.mean_of_them, {mean: written(meanOf(numbers)), low: written(Math.min.apply(null, numbers)),
        high: written(Math.max.apply(null, numbers))});
    }
    if (alarms(mark)) { text += '\\n' + fill(data.words.with_alarm, {n: alarms(mark)}); }
    return text + '\\n' + data.words.closer;
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
"""


class SensorDots(Plain, MacroElement):
    """The sensors as a part of a feature group."""

    _template = defused(
        Template(
            "{% macro script(this, kwargs) %}\n(function () {\n"
            + DOTS
            + """
      stvlmDots({{ this.payload | tojson }}).layer.addTo({{ this._parent.get_name() }});
    })();
    {% endmacro %}"""
        )
    )

    def __init__(self, payload: dict) -> None:
        """A layer of what `dots_payload` made."""
        super().__init__()
        self._name = "SensorDots"
        self.payload = payload


def dots_payload(
    network: SensorNetwork,
    values: np.ndarray | None,
    scale: Scale | None,
    unit: str,
    theme: Theme,
    tooltips: tuple[str, ...] | None = None,
    fills: list[str] | None = None,
    halos: np.ndarray | None = None,
    words: Wording = ENGLISH,
) -> dict:
    """What the browser needs to draw N sensors, in few bytes.

    Args:
        network: N sensors. values: (N,) in `unit`, NaN = missing; None where there are no numbers. scale: colours of the values.
        unit: of the values. theme: colours. tooltips: N further texts. fills: N colours "#rrggbb" instead of those of the scale.
        halos: nodes with an alarm. words: what the marks say.
    """
    decimals = 0 if scale is None else scale.decimals
    marked = np.zeros(network.n_sensors if halos is not None else 0, "int64")
    marked[halos if halos is not None else []] = 1
    names = [network.name(node) for node in range(network.n_sensors)]
    return {
        "lat": network.lat.round(5).tolist(),
        "lon": network.unwrapped_lon.round(5).tolist(),
        "ids": list(network.ids),
        "names": [] if names == list(network.ids) else names,
        "values": [] if values is None else numbers(values, decimals),
        "more": list(tooltips or ()),
        "fills": fills or [],
        "halos": marked.tolist(),
        "colours": [theme.accent] if scale is None else scale.hex(np.linspace(scale.low, scale.high, 64)),
        "low": 0 if scale is None else scale.low,
        "high": 1 if scale is None else scale.high,
        "decimals": decimals,
        "unit": unit,
        "radius": radius_for(network.n_sensors),
        "cell": CELL if network.n_sensors > MANY else 0,
        "weight": 0.6 if network.n_sensors > MANY else 0.8,
        "outline": theme.outline,
        "missing": theme.missing,
        "alarm": ALARM,
        "words": {name: getattr(words, name) for name in SAID},
    }


def radius_for(n_sensors: int) -> float:
    """Pixels: fewer sensors, larger circles."""
    return next((size for most, size in ((30, 8), (120, 7), (400, 5.5), (1000, 4.5)) if n_sensors <= most), 3.2)


def numbers(values: np.ndarray, decimals: int) -> list:
    """Numbers of any shape as JSON holds them: a digit more than is shown, None where missing."""
    rounded = np.round(np.asarray(values, "f8"), decimals + 1)
    return np.where(np.isfinite(rounded), rounded.astype(object), None).tolist()
