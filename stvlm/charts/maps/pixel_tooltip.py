"""Hovering over an image on a map tells place and value of the pixel, inside the browser."""

from __future__ import annotations

import numpy as np
from folium.elements import MacroElement
from folium.template import Template

from stvlm.charts.maps.basemap import Bounds
from stvlm.charts.maps.leaflet import defused


class PixelReader(MacroElement):
    """A small box on the map that tells what lies below the pointer; it comes and goes with the features it belongs to."""

    _template = defused(
        Template("""
    {% macro script(this, kwargs) %}
    (function () {
      var data = {{ this.payload | tojson }};
      var Reader = L.Layer.extend({
        onAdd: function (map) {
          var box = L.DomUtil.create('div', 'stvlm-box stvlm-reader');
          box.setAttribute('role', 'status');
          box.style.fontWeight = 400;
          box.style.display = 'none';
          this._control = L.control({position: 'bottomright'});
          this._control.onAdd = function () { return box; };
          this._control.addTo(map);
          this._tell = function (event) {
            var row = Math.floor((data.north - event.latlng.lat) / (data.north - data.south) * data.values.length);
            var column = Math.floor((event.latlng.lng - data.west) / (data.east - data.west) * data.values[0].length);
            var inside = row >= 0 && row < data.values.length && column >= 0 && column < data.values[0].length;
            box.style.display = inside ? '' : 'none';
            if (!inside) { return; }
            var value = data.values[row][column];
            box.textContent = event.latlng.lat.toFixed(data.digits) + '\\u00b0, ' + event.latlng.lng.toFixed(data.digits) +
              '\\u00b0: ' + (value === null ? 'nothing known' : (value.toFixed(data.decimals) + ' ' + data.unit).trim());
          };
          this._hide = function () { box.style.display = 'none'; };
          map.on('mousemove', this._tell);
          map.on('mouseout', this._hide);
        },
        onRemove: function (map) {
          map.off('mousemove', this._tell);
          map.off('mouseout', this._hide);
          this._control.remove();
        }
      });
      new Reader().addTo({{ this._parent.get_name() }});
    })();
    {% endmacro %}
    """)
    )

    def __init__(self, array: np.ndarray, bounds: Bounds, unit: str, decimals: int) -> None:
        """A reader of an image.

        Args:
            array: (R, C) in `unit`, row 0 in the north; NaN = nothing known. bounds: (west, south, east, north) in degrees of its
                outer edges. unit: of the values. decimals: digits after the point.
        """
        super().__init__()
        self._name = "PixelReader"
        west, south, east, north = (float(x) for x in bounds)
        rows = np.round(np.asarray(array, "f8"), decimals + 1).tolist()
        self.payload = {
            "values": [[x if np.isfinite(x) else None for x in row] for row in rows],
            "west": west,
            "south": south,
            "east": east,
            "north": north,
            "unit": unit,
            "decimals": int(decimals),
            "digits": int(np.clip(np.ceil(1 - np.log10((north - south) / len(rows))), 0, 6)),
        }
