"""A forecast as tables for people: one sensor at every step, every sensor at one step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stvlm.charts.scale import fit_scale, with_unit
from stvlm.data.forecast import Forecast
from stvlm.data.windows import Window
from stvlm.ui import models
from stvlm.ui.words import language, moments, say


def one_sensor(window: Window, forecast: Forecast, rivals: Sequence[Forecast], sensor: int) -> pd.DataFrame:
    """One sensor, a row for each step: forecast, measured, off by, bands, simple methods."""
    found = {say("forecast.time"): moments(forecast.times, forecast.timezone)}
    found |= columns(forecast, np.index_exp[:, sensor], models.truth(window)[:, sensor])
    found |= {with_unit(r.name, forecast.unit): r.median[:, sensor] for r in rivals}
    return pd.DataFrame(found)


def one_step(window: Window, forecast: Forecast, step: int) -> pd.DataFrame:
    """One step, a row for each sensor: id, name where it has one, forecast, measured, off by, bands."""
    network = forecast.network
    names = [network.name(n) for n in range(network.n_sensors)]
    found = {say("common.sensor"): network.ids} | ({say("forecast.name"): names} if names != list(network.ids) else {})
    return pd.DataFrame(found | columns(forecast, np.index_exp[step], models.truth(window)[step]))


def decimals(forecast: Forecast) -> int:
    """Digits after the point that suit the forecast."""
    return fit_scale(forecast.median).decimals


def columns(forecast: Forecast, part: tuple, measured: np.ndarray) -> dict[str, np.ndarray]:
    """Forecast, measured, off by and bands of a part of (H, N): column -> values."""
    unit, digits = forecast.unit, decimals(forecast)
    median, three = forecast.median[part], (say("forecast.forecast"), say("forecast.came"), say("forecast.off"))
    found = {with_unit(name, unit): x for name, x in zip(three, (median, measured, median - measured), strict=True)}
    for share in forecast.shares:
        low, high = (bound[part] for bound in forecast.band(share))
        found[with_unit(say("chart.band", share=f"{100 * share:.3g}"), unit)] = _band_texts(low, high, digits)
    return found


def _band_texts(low: np.ndarray, high: np.ndarray, digits: int) -> list[str]:
    """Texts "5.9 to 17.5"; "" where there is no band."""
    pairs, to = zip(low, high, strict=True), say("forecast.to")
    texts = [f"{a:.{digits}f} {to} {b:.{digits}f}" if np.isfinite(a + b) else "" for a, b in pairs]
    return [text.replace(".", ",") for text in texts] if language() == "de" else texts
