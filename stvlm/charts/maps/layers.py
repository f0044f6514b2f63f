"""What lies on the base map: sensors, the chosen sensor's ring, images, arcs."""

from __future__ import annotations

import folium
import numpy as np
from folium.utilities import JsCode

from stvlm.charts.labels import ENGLISH, Wording
from stvlm.charts.maps.basemap import Bounds
from stvlm.charts.maps.clusters import ALARM, MANY, SensorClusters, dots_payload, numbers, radius_for
from stvlm.charts.maps.leaflet import BrowserScript, SafeGeoJson, corners
from stvlm.charts.rasters import on_map
from stvlm.charts.scale import Scale
from stvlm.charts.style import Theme
from stvlm.core.network import SensorNetwork

MOST_ARCS = 300

# The tooltip is made of text nodes only, so a name is never read as HTML.
BIND_TOOLTIP = JsCode("""
function (feature, layer) {
  layer.bindTooltip(function () {
    var p = feature.properties, text = document.createElement('span');
    text.textContent = p.name + (p.value ? ' \\u00b7 ' + p.value : '') + (p.more ? '\\n' + p.more : '');
    return text;
  }, {sticky: true});
}
""")


def sensor_layer(
    network: SensorNetwork,
    values: np.ndarray | None,
    scale: Scale | None,
    unit: str,
    theme: Theme,
    tooltips: tuple[str, ...] | None = None,
    fills: list[str] | None = None,
    halos: np.ndarray | None = None,
    words: Wording = ENGLISH,
) -> folium.MacroElement:
    """One layer with one circle for each sensor; a missing value is a hollow grey circle. Of many, some share a mark.

    Args:
        network: N sensors.
        values: (N,) in `unit`, NaN = missing; None draws all alike.
        scale: colours of the values; None with `values` None.
        unit: of the values.
        theme: colours.
        tooltips: N further texts, shown below name and value.
        fills: N colours "#rrggbb" instead of those of the scale.
        halos: nodes with an alarm, which are marked where there are many; few get their `halos` apart.
        words: what the layer says.

    Returns:
        A layer whose features have the properties id, node, name, value (text), more and style.
    """
    n = network.n_sensors
    if n > MANY:
        return SensorClusters(dots_payload(network, values, scale, unit, theme, tooltips, fills, halos, words))
    known = np.ones(n, dtype=bool) if values is None else np.isfinite(values)
    fills = fills or ([theme.accent] * n if values is None else scale.hex(values))
    features = []
    for node in range(n):
        properties = {"id": network.ids[node], "node": node, "name": network.name(node)}
        if values is not None:
            properties["value"] = words.number(values[node], scale.decimals, unit)
        if tooltips is not None:
            properties["more"] = str(tooltips[node])
        style = {"fillColor": fills[node]}
        if not known[node]:
            style = {"fillColor": theme.missing, "fillOpacity": 0.15, "color": theme.missing, "weight": 2, "dashArray": "2 3"}
        features.append({"type": "Feature", "geometry": _point(network, node), "properties": {**properties, "style": style}})
    marker = folium.CircleMarker(radius=radius_for(n), color=theme.outline, weight=0.8, opacity=0.9, fill=True, fill_opacity=0.95)
    collection = {"type": "FeatureCollection", "features": features}
    return SafeGeoJson(collection, marker=marker, on_each_feature=BIND_TOOLTIP, control=False)


def ring(network: SensorNetwork, node: int, theme: Theme) -> folium.CircleMarker:
    """A ring around the chosen sensor, which lets clicks through."""
    lon, lat = _point(network, node)["coordinates"]
    radius = radius_for(network.n_sensors) + 5
    return _untouchable(folium.CircleMarker((lat, lon), radius=radius, color=theme.ring, weight=3, fill=False))


def place_mark(lat: float, lon: float, theme: Theme) -> folium.CircleMarker:
    """A small filled mark at a place without a sensor, which lets clicks through."""
    place = (round(float(lat), 5), round(float(lon), 5))
    return _untouchable(
        folium.CircleMarker(place, radius=5, color=theme.ring, weight=3, fill=True, fill_color=theme.panel, fill_opacity=1)
    )


def halos(network: SensorNetwork, nodes: np.ndarray) -> folium.GeoJson:
    """A dashed circle around each of some sensors (K,), which lets clicks through."""
    marker = folium.CircleMarker(radius=radius_for(network.n_sensors) + 3, color=ALARM, weight=2, dash_array="5 3", fill=False)
    features = [{"type": "Feature", "geometry": _point(network, int(node)), "properties": {"halo": int(node)}} for node in nodes]
    collection = {"type": "FeatureCollection", "features": features}
    return folium.GeoJson(collection, marker=_untouchable(marker), interactive=False, control=False)


def image_layer(rgba: np.ndarray, bounds: Bounds) -> folium.raster_layers.ImageOverlay:
    """A picture exactly on its bounds, above the land and below the sensors.

    Args:
        rgba: (R, C, 4) uint8 or float in 0..1, row 0 in the north.
        bounds: (west, south, east, north) in degrees of its outer edges.
    """
    url, shown = on_map(np.asarray(rgba), bounds)
    return folium.raster_layers.ImageOverlay(url, corners(shown), pane="image", control=False, pixelated=False, alt="")


def pixel_tooltip(array: np.ndarray, bounds: Bounds, unit: str, decimals: int, words: Wording = ENGLISH) -> BrowserScript:
    """A small box that tells place and value of the pixel below the pointer.

    Args:
        array: (R, C) in `unit`, row 0 in the north; NaN = missing.
        bounds: (west, south, east, north) in degrees of its outer edges.
        unit: of the values.
        decimals: digits after the point.
        words: what it says where a value is missing.
    """
    west, south, east, north = (float(x) for x in bounds)
    payload = {"values": numbers(array, decimals), "west": west, "south": south, "east": east, "north": north, "unit": unit}
    digits = int(np.clip(np.ceil(1 - np.log10((north - south) / len(array))), 0, 6))
    payload |= {"decimals": int(decimals), "digits": digits, "missing": words.missing}
    return BrowserScript("stvlmPixelTooltip", payload, ("pixel_tooltip.js",))


def image_edge(bounds: Bounds, theme: Theme) -> folium.Rectangle:
    """A thin dashed line around a picture, which shows where it ends."""
    line = {"color": theme.muted, "weight": 1, "dash_array": "4 4", "fill": False}
    return _untouchable(folium.Rectangle(corners(bounds), pane="image", **line))


def arc_layer(
    network: SensorNetwork, start: np.ndarray, end: np.ndarray, weight: np.ndarray, theme: Theme
) -> folium.GeoJson | None:
    """Bent lines between sensors, the wider the heavier; at most the 300 heaviest; None where there are none.

    Args:
        network: N sensors.
        start, end: (E,) nodes. weight: (E,) >= 0.
        theme: colours.
    """
    start, end, weight = np.asarray(start, "int64"), np.asarray(end, "int64"), np.asarray(weight, "f8")
    keep = np.flatnonzero((start != end) & (weight > 0))
    keep = keep[np.argsort(weight[keep], kind="stable")[-MOST_ARCS:]]
    if keep.size == 0:
        return None
    place = np.stack([network.unwrapped_lon, network.lat], axis=-1)  # (N, 2)
    features = []
    for e in keep:
        share = float(weight[e] / weight[keep].max())
        line = _bend(place[start[e]], place[end[e]])
        style = {"color": theme.ring, "weight": round(1 + 5 * share, 2), "opacity": round(0.35 + 0.5 * share, 2), "fill": False}
        properties = {"from": int(start[e]), "to": int(end[e]), "style": style}
        features.append({"type": "Feature", "geometry": {"type": "LineString", "coordinates": line}, "properties": properties})
    return folium.GeoJson({"type": "FeatureCollection", "features": features}, pane="arcs", interactive=False, control=False)


def _untouchable(element: folium.MacroElement) -> folium.MacroElement:
    """The element, which now lets clicks through to what lies below; folium has no argument for it."""
    element.options["interactive"] = False
    return element


def _bend(a: np.ndarray, b: np.ndarray) -> list[list[float]]:
    """16 places from a to b along a curve that leaves the straight line by a sixth of its length."""
    t = np.linspace(0, 1, 16)[:, None]
    across = np.array([-(b - a)[1], (b - a)[0]])
    middle = (a + b) / 2 + across / 3
    return np.round((1 - t) ** 2 * a + 2 * t * (1 - t) * middle + t**2 * b, 5).tolist()


def _point(network: SensorNetwork, node: int) -> dict:
    return {"type": "Point", "coordinates": [round(float(network.unwrapped_lon[node]), 5), round(float(network.lat[node]), 5)]}
