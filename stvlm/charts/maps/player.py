"""A forecast, or images, played over time inside the browser: no rerun and no traffic while it plays."""

from __future__ import annotations

import hashlib

import folium
import numpy as np

from stvlm.charts.labels import ENGLISH, Wording
from stvlm.charts.maps.basemap import Bounds
from stvlm.charts.maps.clusters import dots_payload, numbers
from stvlm.charts.maps.leaflet import BrowserScript, OfflineMap, corners
from stvlm.charts.maps.legend import Legend
from stvlm.charts.maps.sensor_map import MapView, view_bounds
from stvlm.charts.rasters import colour_field, on_map
from stvlm.charts.scale import Scale, fit_scale
from stvlm.charts.style import Theme, theme_of
from stvlm.core.forecast import Forecast
from stvlm.core.network import SensorNetwork


def player_map(
    forecast: Forecast,
    theme: str = "light",
    start: int = 0,
    limits: tuple[float, float] | None = None,
    measured: np.ndarray | None = None,
    words: Wording = ENGLISH,
) -> MapView:
    """A map of the median forecast with play, speed and a time slider in it; a past one can be replayed as it came.

    The sensors are part of the base here, and `features` is empty: the browser recolours them itself.

    Args:
        forecast: H steps of N sensors.
        theme: "light" or "dark".
        start: step that is shown first.
        limits: (low, high) of the colours; else the middle 96 % of the whole forecast.
        measured: (H, N) what came, NaN where unknown; with any of it, a button shows it in the same colours.
        words: what map and controls say.

    Raises:
        ValueError: what came is of another shape.
    """
    if measured is not None and measured.shape != forecast.median.shape:
        raise ValueError(f"What came must be {forecast.median.shape} (steps, sensors), not {measured.shape}.")
    came = [] if measured is None or not np.isfinite(measured).any() else measured
    scale = fit_scale(forecast.median, limits)
    colours, bounds = theme_of(theme), view_bounds(forecast.network)
    times = words.times(forecast.times, forecast.timezone)
    payload = _payload(forecast.network, times, forecast.median, scale, forecast.unit, colours, start, words)
    payload["measured"] = numbers(came, scale.decimals)
    label = words.median_forecast.format(quantity=forecast.quantity)
    missing = bool(np.isnan(forecast.median).any())
    content = _fingerprint(forecast.network, forecast.median, came, forecast.times, np.array([scale.low, scale.high]))
    key = f"player-{theme}-{words.locale}-{content}"
    return _view(payload, bounds, colours, Legend.of(scale, label, forecast.unit, missing), key, words)


def images_player(
    arrays: np.ndarray,
    bounds: Bounds,
    network: SensorNetwork,
    times: list[str],
    values: np.ndarray | None = None,
    unit: str = "",
    label: str = "",
    theme: str = "light",
    kind: str = "sequential",
    opacity: float = 0.85,
    words: Wording = ENGLISH,
) -> MapView:
    """Images of several moments, one after another, each exactly where it lies, with the sensors in their colours.

    Args:
        arrays: (K, G, G) in `unit`, row 0 in the north; NaN is transparent. bounds: (west, south, east, north) of the outer edges.
        network: N sensors. times: K texts. values: (K, N) of the sensors, or None. unit, label, theme, kind: as in `maps.image_map`.
        opacity: of the images, 0..1. words: what map and controls say.

    Raises:
        ValueError: not one time for each image.
    """
    if len(times) != len(arrays):
        raise ValueError(f"{len(arrays)} images need as many times, not {len(times)}.")
    arrays, colours = np.asarray(arrays, "f8"), theme_of(theme)
    known = arrays.ravel() if values is None else np.append(arrays.ravel(), values)
    scale = fit_scale(known, kind=kind)
    shown = np.full((len(arrays), network.n_sensors), np.nan) if values is None else np.asarray(values, "f8")
    payload = _payload(network, times, shown, scale, unit, colours, len(times) - 1, words)
    pictures = [on_map(colour_field(array, scale, opacity=opacity), bounds) for array in arrays]
    payload["images"], payload["imageBounds"] = [url for url, _ in pictures], corners(pictures[0][1])
    missing = values is not None and bool(np.isnan(shown).any())
    key = f"images-{theme}-{words.locale}-{opacity:g}-{_fingerprint(network, arrays, shown, np.array(times))}"
    return _view(payload, view_bounds(network, bounds), colours, Legend.of(scale, label, unit, missing), key, words)


def _view(payload: dict, bounds: Bounds, colours: Theme, legend: Legend, key: str, words: Wording) -> MapView:
    base = OfflineMap(bounds, colours, free_below=60, words=words)
    BrowserScript("stvlmPlayer", payload, ("clusters.js", "player.js"), "player.css").add_to(base)
    return MapView(base, folium.FeatureGroup(control=False), legend, key, legend.label)


def _payload(
    network: SensorNetwork,
    times: list[str],
    values: np.ndarray,
    scale: Scale,
    unit: str,
    colours: Theme,
    start: int,
    words: Wording,
) -> dict:
    """What the browser needs to play (H, N) values."""
    return dots_payload(network, None, scale, unit, colours, words=words) | {
        "times": times,
        "values": numbers(values, scale.decimals),
        "measured": [],
        "images": [],
        "start": int(np.clip(start, 0, len(times) - 1)),
        "labels": {name: getattr(words, name) for name in LABELS},
    }


def _fingerprint(network: SensorNetwork, *arrays: np.ndarray) -> str:
    """A short text that differs between networks and numbers."""
    digest = hashlib.sha256(network.fingerprint.encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


LABELS = ("play", "pause", "over_time", "time_step", "speed", "swap", "forecast", "came")  # of the controls
