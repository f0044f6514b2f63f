"""Many sensors on a map as one light layer: those that would lie on each other are one mark with their count and mean."""

from __future__ import annotations

import numpy as np

from stvlm.charts.labels import ENGLISH, Wording
from stvlm.charts.maps.leaflet import BrowserScript
from stvlm.charts.scale import Scale
from stvlm.charts.style import Theme
from stvlm.core.network import SensorNetwork

MANY = 1000  # sensors; up to there every one is a circle of its own
CELL = 10  # pixels; of many, those in one such square share a mark
ALARM = "#D55E00"
SAID = ("locale", "missing", "n_sensors", "mean_of_them", "with_alarm", "closer")  # by the marks


class SensorClusters(BrowserScript):
    """The sensors as a part of a feature group, of what `dots_payload` made."""

    def __init__(self, payload: dict) -> None:
        super().__init__("stvlmSensorClusters", payload, ("clusters.js",))


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
