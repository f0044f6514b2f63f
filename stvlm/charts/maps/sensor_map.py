"""Maps of a network: readings, forecasts, images, and what a forecast drew on. They need no network connection."""

from __future__ import annotations

from dataclasses import dataclass, replace

import folium
import numpy as np

from stvlm.charts.figures.fusion import Triangle
from stvlm.charts.labels import ENGLISH, Wording
from stvlm.charts.maps.basemap import Bounds
from stvlm.charts.maps.clusters import MANY
from stvlm.charts.maps.layers import arc_layer, halos, image_edge, image_layer, pixel_tooltip, place_mark, ring, sensor_layer
from stvlm.charts.maps.leaflet import BrowserScript, OfflineMap, embed_leaflet, external_links
from stvlm.charts.maps.legend import Legend, legend_html
from stvlm.charts.rasters import colour_field, heat, heat_scale
from stvlm.charts.scale import fit_scale
from stvlm.charts.style import CIVIDIS, theme_of
from stvlm.core.alarms import AlarmRule, chance_beyond
from stvlm.core.forecast import MODALITIES, Forecast, FusionExplanation
from stvlm.core.network import SensorNetwork

__all__ = [
    "Legend",
    "MapView",
    "OfflineMap",
    "attention_map",
    "external_links",
    "forecast_map",
    "image_map",
    "legend_html",
    "map_html",
    "mix_map",
    "sensor_map",
    "shares_map",
    "standalone_map",
    "view_bounds",
    "with_place",
]
MOST_SENSORS_SHOWN = 12  # arcs to the sensors that one sensor drew on most
Arcs = tuple[np.ndarray, np.ndarray, np.ndarray]  # (E,) from, (E,) to: nodes; (E,) weight


@dataclass(frozen=True, eq=False)
class MapView:
    """A map in two parts, so that new numbers do not redraw the land nor move the view.

    Attributes:
        base: land, scale, view: the same as long as `key` is the same.
        features: sensors, image, arcs: added to the base, or handed to st_folium as `feature_group_to_add`.
        legend: what the colours mean; None where there is one colour.
        key: text that names the base.
        title: what the map shows, in one line.
    """

    base: folium.Map
    features: folium.FeatureGroup
    legend: Legend | None
    key: str
    title: str = ""


def sensor_map(
    network: SensorNetwork,
    values: np.ndarray | None = None,
    unit: str = "",
    label: str = "",
    theme: str = "light",
    selected: int | None = None,
    overlay: tuple[np.ndarray, Bounds] | None = None,
    arcs: Arcs | None = None,
    tooltips: tuple[str, ...] | None = None,
    limits: tuple[float, float] | None = None,
    kind: str = "sequential",
    stops: tuple[str, ...] | None = None,
    least_span: float = 0.0,
    fills: list[str] | None = None,
    halos: np.ndarray | None = None,
    words: Wording = ENGLISH,
) -> MapView:
    """One number for each sensor.

    Args:
        network: N sensors.
        values: (N,) in `unit`, NaN = missing; None draws all sensors alike.
        unit, label: of the values, for legend and tooltips.
        theme: "light" or "dark".
        selected: node with a ring around it.
        overlay: (R, C, 4) picture, row 0 in the north, and its bounds in degrees.
        arcs: nodes from, nodes to, weights.
        tooltips: N further texts below name and value.
        limits: (low, high) of the colours; else the middle 96 % of the values.
        kind: "sequential", or "diverging" around 0 for differences.
        stops: other colours, from low to high.
        least_span: the colours span at least this, in `unit`.
        fills: N colours "#rrggbb" instead.
        halos: nodes with an alarm; see `layers.sensor_layer`.
        words: what the map says.

    Raises:
        ValueError: where values or tooltips are not one for each sensor, or `selected` is no node.
    """
    n = network.n_sensors
    for name, given in (("values", values), ("tooltips", tooltips)):
        if given is not None and len(given) != n:
            raise ValueError(f"{name} must hold one entry for each of the {n} sensors, not {len(given)}.")
    if selected is not None and not 0 <= selected < n:
        raise ValueError(f"selected must be a node from 0 to {n - 1}, not {selected}.")
    colours = theme_of(theme)
    values = None if values is None else np.asarray(values, "f8")
    scale = None if values is None else fit_scale(values, limits, kind, stops, least_span)
    view = view_bounds(network, overlay[1] if overlay else None)
    features = folium.FeatureGroup(name="features", control=False)
    if overlay is not None:
        image_layer(*overlay).add_to(features)
        image_edge(overlay[1], colours).add_to(features)
    if arcs is not None and (lines := arc_layer(network, *arcs, colours)) is not None:
        lines.add_to(features)
    sensor_layer(network, values, scale, unit, colours, tooltips, fills, halos, words).add_to(features)
    if selected is not None:
        ring(network, selected, colours).add_to(features)
    legend = None if scale is None else Legend.of(scale, label, unit, missing=bool(np.isnan(values).any()))
    key = f"{theme}-" + "-".join(f"{x:.4f}" for x in view)
    return MapView(OfflineMap(view, colours, words=words), features, legend, f"{key}-{words.locale}", label)


def forecast_map(
    forecast: Forecast,
    step: int,
    theme: str = "light",
    selected: int | None = None,
    limits: tuple[float, float] | None = None,
    words: Wording = ENGLISH,
) -> MapView:
    """The median forecast of one step; the colours mean the same at every step.

    Args:
        forecast: H steps of N sensors.
        step: 0 .. H - 1.
        theme, selected, limits, words: as in `sensor_map`; by default the colours span the forecast's whole horizon.

    Raises:
        IndexError: for a step outside the horizon.
    """
    if not 0 <= step < len(forecast.times):
        raise IndexError(f"The forecast has steps 0 to {len(forecast.times) - 1}, not {step}.")
    whole = fit_scale(forecast.median)
    span = limits or (whole.low, whole.high)
    when = words.times(forecast.times, forecast.timezone)[step]
    view = sensor_map(
        forecast.network,
        forecast.median[step],
        forecast.unit,
        words.forecast_for.format(quantity=forecast.quantity, when=when),
        theme,
        selected,
        tooltips=_band_texts(forecast, step, fit_scale(forecast.median, span).decimals, words),
        limits=span,
        words=words,
    )
    return view


def shares_map(
    explanation: FusionExplanation, modality: str, theme: str = "light", selected: int | None = None, words: Wording = ENGLISH
) -> MapView:
    """How much of each sensor's fusion came from one modality, in %.

    Args:
        explanation: of N sensors.
        modality: "vision", "text" or "series".
        theme, selected, words: as in `sensor_map`.

    Raises:
        ValueError: for another modality.
    """
    if modality not in MODALITIES:
        raise ValueError(f"A modality is one of {', '.join(MODALITIES)}, not {modality!r}.")
    percent = 100 * np.asarray(explanation.modality_weights, "f8")  # (N, 3)
    texts = share_texts(percent, words)
    return sensor_map(
        explanation.network,
        percent[:, MODALITIES.index(modality)],
        "%",
        words.share_of.format(modality=words.modality(modality)),
        theme,
        selected,
        tooltips=texts,
        stops=CIVIDIS,
        least_span=4.0,
        words=words,
    )


def mix_map(
    explanation: FusionExplanation, theme: str = "light", selected: int | None = None, words: Wording = ENGLISH
) -> tuple[MapView, Triangle]:
    """The three shares of each sensor as one colour, and the triangle that the colours span (see `ternary.triangle_svg`).

    Args:
        explanation: of N sensors.
        theme, selected, words: as in `sensor_map`.
    """
    shares = np.asarray(explanation.modality_weights, "f8")
    triangle = Triangle.around(shares)
    texts, fills = share_texts(100 * shares, words), triangle.colours(shares)
    return sensor_map(explanation.network, None, "", words.mix, theme, selected, tooltips=texts, fills=fills, words=words), triangle


def attention_map(explanation: FusionExplanation, sensor: int, theme: str = "light", words: Wording = ENGLISH) -> MapView:
    """Where on the map one sensor's forecast looked: the image as heat, other sensors as arcs.

    Without images, the sensors are coloured by the attention that they got.

    Args:
        explanation: of N sensors.
        sensor: the node that looks; it gets the ring.
        theme, words: as in `sensor_map`.
    """
    network = explanation.network
    others = 100 * np.asarray(explanation.sensor_attention[sensor], "f8")  # (N,) %
    texts = tuple(words.looks if i == sensor else words.heed_of.format(share=words.number(x, 1, "%")) for i, x in enumerate(others))
    top = np.argsort(others, kind="stable")[::-1][:MOST_SENSORS_SHOWN]
    arcs = (np.full(len(top), sensor), top, others[top])
    percent = 100 * np.asarray(explanation.image_attention[sensor], "f8")  # (g, g)
    if percent.size == 0 or percent.max() <= 0:
        look = {"arcs": arcs, "tooltips": texts, "stops": CIVIDIS, "least_span": 1.0, "words": words}
        return sensor_map(network, others, "%", words.heed, theme, sensor, **look)
    scale = heat_scale(percent, theme)
    overlay = (heat(percent, scale), explanation.image_bounds)
    view = sensor_map(network, None, "", words.sight, theme, sensor, overlay, arcs, texts, words=words)
    legend = Legend.of(scale, words.sight, "%")
    return MapView(view.base, view.features, legend, view.key, words.looked_at.format(name=network.name(sensor)))


def image_map(
    array: np.ndarray,
    bounds: Bounds,
    network: SensorNetwork,
    unit: str = "",
    label: str = "",
    theme: str = "light",
    selected: int | None = None,
    limits: tuple[float, float] | None = None,
    kind: str = "sequential",
    smooth: bool = False,
    opacity: float = 0.85,
    values: np.ndarray | None = None,
    tells: bool = True,
    words: Wording = ENGLISH,
) -> MapView:
    """An image in the unit of the readings, exactly where it lies, with the sensors on it.

    Args:
        array: (G, G) in `unit`, row 0 in the north; NaN is transparent.
        bounds: (west, south, east, north) in degrees of the image's outer edges.
        network: N sensors.
        unit, label, theme, selected, limits, kind: as in `sensor_map`; limits and colours hold for image and sensors alike.
        smooth: blend between pixels; else every pixel stays a crisp square.
        opacity: of the image, 0..1.
        values: (N,) readings in `unit` that colour the sensors; None draws them alike.
        tells: hovering tells place and value of a pixel.
        words: what the map says.
    """
    array = np.asarray(array, "f8")
    scale = fit_scale(array if values is None else np.append(array.ravel(), values), limits, kind)
    overlay = (colour_field(array, scale, smooth, opacity), bounds)
    look = {"limits": (scale.low, scale.high), "kind": kind, "words": words}
    view = sensor_map(network, values, unit, label, theme, selected, overlay, **look)
    if tells:
        pixel_tooltip(array, bounds, unit, scale.decimals, words).add_to(view.features)
    missing = values is not None and bool(np.isnan(values).any())
    return MapView(view.base, view.features, Legend.of(scale, label, unit, missing), view.key, label)


def with_lasso(view: MapView, theme: str = "light", words: Wording = ENGLISH) -> MapView:
    """A map with a lasso on it; the view's base gets it, so do not use that view again elsewhere.

    What was caught is told as streamlit-folium tells of drawings: its answer's `last_active_drawing` is then a polygon whose
    property `lasso` lists the ids. A click without a drag, or Escape, ends the drawing without a catch.
    """
    payload = {"colour": theme_of(theme).ring, "label": words.lasso, "help": words.lasso_help}
    BrowserScript("stvlmLasso", payload, ("lasso.js",), "lasso.css").add_to(view.base)
    return replace(view, key=f"lasso-{view.key}")


def with_place(view: MapView, lat: float, lon: float, theme: str = "light") -> MapView:
    """The map with a mark at a place that has no sensor; the view's features get it."""
    place_mark(lat, lon, theme_of(theme)).add_to(view.features)
    return view


def standalone_map(view: MapView) -> folium.Map:
    """The map with its legend and with Leaflet inside: it opens from a file or in a notebook, offline.

    The view's parts are joined: do not use it again elsewhere.
    """
    view.features.add_to(view.base)
    return embed_leaflet(view.base, view.title or "Map", legend_html(view.legend))


def map_html(view: MapView) -> str:
    """The page of a `standalone_map`."""
    return standalone_map(view).get_root().render()


def view_bounds(network: SensorNetwork, image: Bounds | None = None) -> Bounds:
    """(west, south, east, north) in degrees around all sensors, at least 2 km wide, and around the image, where there is one."""
    lon, lat = network.unwrapped_lon, np.clip(network.lat, -84.9, 84.9)  # the web map ends at 85
    rim = 0.009  # degrees of latitude, about 1 km
    rim_lon = rim / max(float(np.cos(np.radians(np.abs(lat).max()))), 0.05)
    low, high = (lat.min(), lat.max()) if np.ptp(lat) > 2 * rim else (lat.mean() - rim, lat.mean() + rim)
    left, right = (lon.min(), lon.max()) if np.ptp(lon) > 2 * rim_lon else (lon.mean() - rim_lon, lon.mean() + rim_lon)
    bounds = np.array([left, low, right, high], "f8")
    if image is not None:
        bounds = np.concatenate([np.minimum(bounds[:2], image[:2]), np.maximum(bounds[2:], image[2:])])
    bounds[[1, 3]] = np.clip(bounds[[1, 3]], -85.0, 85.0)
    return tuple(float(x) for x in bounds)


def share_texts(percent: np.ndarray, words: Wording = ENGLISH) -> tuple[str, ...]:
    """ "vision 20.0 % · text 30.0 % · series 50.0 %" for each row of (N, 3)."""
    names = [words.modality(name) for name in MODALITIES]
    return tuple(
        " · ".join(f"{name} {words.number(share, 1)} %" for name, share in zip(names, row, strict=True)) for row in percent
    )


def _band_texts(forecast: Forecast, step: int, decimals: int, words: Wording) -> tuple[str, ...] | None:
    """ "80 % band: 51.0 to 70.2 km/h" for each sensor, where the forecast has that band."""
    if 0.8 not in forecast.shares:
        return None
    low, high = (bound[step] for bound in forecast.band(0.8))
    known = np.isfinite(low) & np.isfinite(high)
    return tuple(
        words.band_of.format(low=words.number(a, decimals), high=words.number(b, decimals, forecast.unit)) if ok else ""
        for a, b, ok in zip(low, high, known, strict=True)
    )


# Maps of residuals and of alarms.


def residual_map(
    forecast: Forecast,
    truth: np.ndarray,
    step: int,
    theme: str = "light",
    selected: int | None = None,
    words: Wording = ENGLISH,
) -> MapView:
    """Forecast minus measured at one step; the colours mean the same at every step, and 0 is their pale middle.

    Args:
        forecast: H steps of N sensors. truth: (H, N) in its unit, NaN where unknown. step: 0 .. H - 1.
        theme, selected, words: as in `maps.sensor_map`.

    Raises:
        ValueError: a truth of another shape.
    """
    if truth.shape != forecast.median.shape:
        raise ValueError(f"The truth must be {forecast.median.shape} (steps, sensors), not {truth.shape}.")
    off = forecast.median.astype("f8") - truth
    scale, decimals = fit_scale(off, kind="diverging"), fit_scale(forecast.median).decimals
    when = words.times(forecast.times, forecast.timezone)[step]
    texts = tuple(
        words.off_of.format(forecast=words.number(a, decimals, forecast.unit), measured=words.number(b, decimals, forecast.unit))
        for a, b in zip(forecast.median[step], truth[step], strict=True)
    )
    label = words.off_for.format(quantity=forecast.quantity, when=when)
    limits = (scale.low, scale.high)
    return sensor_map(
        forecast.network,
        off[step],
        forecast.unit,
        label,
        theme,
        selected,
        tooltips=texts,
        limits=limits,
        kind="diverging",
        words=words,
    )


def alarm_map(
    forecast: Forecast,
    rule: AlarmRule,
    step: int,
    theme: str = "light",
    selected: int | None = None,
    words: Wording = ENGLISH,
) -> MapView:
    """How likely each reading of one step lies beyond the level of a rule, in %; sensors with an alarm have a wide halo.

    Args:
        forecast: with bands. rule: level, side and chance. step: 0 .. H - 1. theme, selected, words: as in `maps.sensor_map`.

    Raises:
        ValueError: a forecast without bands.
    """
    percent = 100 * chance_beyond(forecast, rule.level, rule.above)[step]  # (N,)
    when = words.times(forecast.times, forecast.timezone)[step]
    decimals = fit_scale(forecast.median).decimals
    texts = tuple(
        f"{words.alarm + ', ' if p > 100 * rule.chance else ''}"
        + words.median_of.format(value=words.number(m, decimals, forecast.unit))
        for p, m in zip(percent, forecast.median[step], strict=True)
    )
    level = f"{rule.level:.6g} {forecast.unit}".rstrip()
    side = words.above if rule.above else words.below
    label = words.chance_for.format(quantity=forecast.quantity, side=side, level=level, when=when)
    nodes, look = np.flatnonzero(np.nan_to_num(percent) > 100 * rule.chance), {"limits": (0.0, 100.0), "stops": CIVIDIS}
    view = sensor_map(forecast.network, percent, "%", label, theme, selected, tooltips=texts, halos=nodes, words=words, **look)
    if len(nodes) > 0 and forecast.network.n_sensors <= MANY:
        halos(forecast.network, nodes).add_to(view.features)
    return view
