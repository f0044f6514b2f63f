"""Model + window + a place on earth → the forecast there, where no sensor stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from stvlm.core.forecast import LEVELS, Forecast
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split, Window
from stvlm.inference.predict import predict
from stvlm.model.stvlm import STVLM
from stvlm.spatial.interpolation import InterpolationModel, Interpolator, fit_interpolation
from stvlm.spatial.locations import locations_at

if TYPE_CHECKING:
    from stvlm.anchor.ensemble import Anchor

REACH = 2.0  # times the largest distance between a sensor and its nearest one
LEAST_REACH = 0.25  # of the network's half extent
RECENT = 200  # windows before the cutoff, where the model tells of no validation part
COLUMNS = ("ground",)  # all that is known of any place on the map


def forecast_at(model: STVLM, window: Window, lat: float, lon: float) -> Forecast:
    """Forecast a place that has no sensor, from the forecasts of the sensors around it.

    How they are mixed, and how wide the bands must be, is learnt by leaving out the sensors themselves, one fold at a time, on
    windows of the validation part; that is done once for a model and a series, and kept.

    Args:
        model: trained on this network. window: as in `stvlm.inference.predict.predict`. lat, lon: degrees, WGS84.

    Returns:
        Forecast of a network of one sensor, "here", in the unit of the series.

    Raises:
        ValueError: no place on earth, one out of the network's reach, a network of fewer than three sensors, or as `predict`.
    """
    check_reach(window.series.network, lat, lon)
    known = predict(model, window)
    series = window.series
    first, last, train_end = learning_windows(model, window)
    placement = _placement(_Question(series.fingerprint, id(model.anchor), first, last, train_end, model.anchor, series))
    sites = locations_at(series.network, np.array([lat]), np.array([(lon + 180) % 360 - 180]), COLUMNS)
    placer = Interpolator(placement, series.network, sites, series.screened.values[:train_end])
    here = SensorNetwork(("here",), sites.lat, sites.lon, base_layer=series.network.base_layer)
    values = placer.bands(placer(known.median))
    return Forecast(here, series.quantity, series.unit, "stvlm", known.times, LEVELS, values, series.timezone)


def reach_km(network: SensorNetwork) -> float:
    """How far from its nearest sensor a place may lie."""
    _, distance = network.neighbours(1)
    return max(REACH * float(distance.max()) if distance.size else 0.0, LEAST_REACH * network.half_extent_km)


def check_reach(network: SensorNetwork, lat: float, lon: float) -> None:
    """Refuse places that the sensors tell nothing of.

    Raises:
        ValueError: no place on earth, or one too far from every sensor; in plain words.
    """
    if not (np.isfinite([lat, lon]).all() and abs(lat) <= 90 and abs(lon) <= 540):
        raise ValueError(f"There is no place at latitude {lat} and longitude {lon}.")
    _, distance = network.nearest_to(np.array([lat]), np.array([lon]), 1)
    if distance.min() > reach_km(network):
        raise ValueError(
            f"The nearest sensor is {_km(distance.min())} away, and this network tells of places up to {_km(reach_km(network))} from "
            "a sensor. Choose a place nearer to the sensors."
        )


def learning_windows(model: STVLM, window: Window) -> tuple[int, int, int]:
    """First and last cutoff of the windows on which sensors are left out, and the end of the readings that tell usual levels.

    They are those of the model's validation part; where the series has none of it, the last ones whose future is known at the cutoff.

    Raises:
        ValueError: too little is known before the cutoff.
    """
    lookback, horizon, series = model.config.lookback, model.config.horizon, window.series
    if "split" in model.manifest:
        split = Split(**model.manifest["split"])
        cutoffs = split.cutoffs("val", lookback, horizon)
        if len(cutoffs) and split.val_end <= series.n_steps and series.observed[cutoffs[0] : split.val_end].any():
            return int(cutoffs[0]), int(cutoffs[-1]), split.train_end
    last = window.cutoff - horizon
    if last < lookback:
        raise ValueError(f"A forecast for a place needs {lookback + horizon} steps before the cutoff; there are {window.cutoff}.")
    return max(lookback, last - RECENT), last, window.cutoff


@dataclass(frozen=True)
class _Question:
    """What a placement depends on; the anchor and the readings ride along and stay alive, so that an id means one anchor."""

    fingerprint: str
    anchor_id: int
    first: int
    last: int
    train_end: int
    anchor: Anchor = field(compare=False)
    series: SensorSeries = field(compare=False)


@lru_cache(maxsize=8)
def _placement(question: _Question) -> InterpolationModel:
    cutoffs = np.arange(question.first, question.last + 1)
    return fit_interpolation(question.anchor, question.series, cutoffs, question.train_end, COLUMNS)


def _km(distance: float) -> str:
    return f"{distance:,.0f} km" if distance >= 10 else f"{distance:.1f} km"
