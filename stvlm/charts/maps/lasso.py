"""A lasso on a map: draw around sensors, and the page learns which they are."""

from __future__ import annotations

from dataclasses import replace

from folium.elements import MacroElement
from folium.template import Template

from stvlm.charts.labels import ENGLISH, Wording
from stvlm.charts.maps.sensor_map import MapView
from stvlm.charts.style import theme_of


def with_lasso(view: MapView, theme: str = "light", words: Wording = ENGLISH) -> MapView:
    """A map with a lasso on it; the view's base gets it, so do not use that view again elsewhere."""
    Lasso(theme_of(theme).ring, words).add_to(view.base)
    return replace(view, key=f"lasso-{view.key}")


class Lasso(MacroElement):
    """A button on the map that turns the next drag into a loop around sensors.

    What was caught is told as streamlit-folium tells of drawings: its answer's `last_active_drawing` is then a polygon whose
    property `lasso` lists the ids. A click without a drag, or Escape, ends the drawing without a catch.
    """

    _template = Template("""
    {% macro header(this, kwargs) %}
    <style>
      .stvlm-lasso button { font: inherit; font-weight: 600; color: inherit; background: transparent; border: 0; cursor: pointer;
        padding: 2px 4px; min-height: 24px; }
      .stvlm-lasso button[aria-pressed=true] { outline: 2px solid currentColor; border-radius: 3px; }
      .stvlm-lassoing, .stvlm-lassoing .leaflet-interactive { cursor: crosshair !important; touch-action: none; }
    </style>
    {% endmacro %}
    {% macro script(this, kwargs) %}
    (function () {
      var map = {{ this._parent.get_name() }}, colour = {{ this.colour | tojson }};
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
        button.textContent = {{ this.label | tojson }};
        button.title = {{ this.help | tojson }};
        button.setAttribute('aria-pressed', 'false');
        button.addEventListener('click', function () { arm(!armed()); });
        return box;
      };
      control.addTo(map);
      var box = map.getContainer();
      box.addEventListener('pointerdown', function (event) {
        if (!armed() || button.contains(event.target)) { return; }
        places = [map.mouseEventToLatLng(event)];
        line = L.polyline(places, {color: colour, weight: 2, dashArray: '4 4', interactive: false}).addTo(map);
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
    })();
    {% endmacro %}
    """)

    def __init__(self, colour: str, words: Wording = ENGLISH) -> None:
        """A lasso whose line has a colour "#rrggbb"; `words` are those of its button."""
        super().__init__()
        self._name = "Lasso"
        self.colour = colour
        self.label, self.help = words.lasso, words.lasso_help
