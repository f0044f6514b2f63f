"""A forecast in tables and sentences: scores, empirical coverage, one sensor at every step, every sensor at one step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stvlm.charts.scale import fit_scale, with_unit
from stvlm.core.forecast import Forecast
from stvlm.core.windows import Window
from stvlm.evaluation.metrics import mae, rmse
from stvlm.ui.services import forecasters
from stvlm.ui.shell.i18n import format_number, format_short, format_times, language, t

PARTS = ("test", "val")


def belief_sentence(manifest: dict) -> str:
    """How far a network that was trained on other networks is believed on this one; "" for a model of another kind."""
    gate = manifest.get("believed") or {}
    if not gate.get("mae"):
        return ""
    trained = t("forecast.trained_here_too" if gate.get("is_known") else "forecast.trained_elsewhere")
    if not gate["shrinkage"]:
        return f"{trained} {t('forecast.not_believed')}"
    gain = 100 * (1 - gate["mae"] / gate["anchor_mae"])
    return f"{trained} {t('forecast.believed', gain=format_number(gain, 1), share=format_number(100 * gate['shrinkage'], 0))}"


def band_sentences(scores: dict[str, float]) -> tuple[str, ...]:
    """What the bands held where it was measured: "of 12,345 readings of the test part the 80 % band held 79 %".

    Args:
        scores: of the model's manifest: test_coverage_80, test_cells ...
    """
    found = []
    for part in PARTS:
        cells, shares = scores.get(f"{part}_cells"), [s for s in (50, 80, 95) if scores.get(f"{part}_coverage_{s}") is not None]
        held = [_held(share, 100 * scores[f"{part}_coverage_{share}"]) for share in shares]
        if held:
            of = t(f"forecast.of_{part}", n=format_number(cells, 0)) if cells else t(f"forecast.on_{part}")
            found.append(f"{of} {', '.join(held)}")
    return tuple(found)


def held_here(forecast: Forecast, truth: np.ndarray) -> tuple[str, ...]:
    """How many of the readings that came lie in the bands of this one forecast; () where none came.

    Args:
        forecast: H steps of N sensors. truth: (H, N) NaN where unknown.
    """
    known = np.isfinite(truth) & np.isfinite(forecast.median)
    if not known.any():
        return ()
    held = []
    for share in forecast.shares:
        low, high = forecast.band(share)
        inside = int(((low <= truth) & (truth <= high) & known).sum())
        held.append(_held(100 * share, 100 * inside / known.sum()))
    return (f"{t('forecast.of_met', n=format_number(known.sum(), 0))} {', '.join(held)}",) if held else ()


def _held(share: float, found: float) -> str:
    return t("forecast.held", share=format_short(share), found=format_number(found, 0))


def scores_table(forecast: Forecast, rivals: tuple[Forecast, ...], truth: np.ndarray) -> pd.DataFrame:
    """Errors of this one forecast and of the simple methods against what came, the best first.

    Only readings count for which every method has a forecast. No row where nothing came.

    Args:
        forecast: of the model. rivals: others of the same window. truth: (H, N) NaN where unknown.
    """
    known = np.isfinite(truth)
    for one in (forecast, *rivals):
        known = known & np.isfinite(one.median)
    came = np.where(known, truth, np.nan)
    names = [t(f"forecast.{name}") for name in ("forecaster", "mae", "rmse", "readings")]
    columns = [names[0], *(with_unit(name, forecast.unit) for name in names[1:3]), names[3]]
    if not known.any():
        return pd.DataFrame(columns=columns)
    rows = [(one.name, mae(one.median, came), rmse(one.median, came), int(known.sum())) for one in (forecast, *rivals)]
    return pd.DataFrame(rows, columns=columns).sort_values(columns[1], kind="stable", ignore_index=True)


def one_sensor(window: Window, forecast: Forecast, rivals: Sequence[Forecast], sensor: int) -> pd.DataFrame:
    """One sensor, a row for each step: forecast, measured, off by, bands, simple methods."""
    found = {t("forecast.time"): format_times(forecast.times, forecast.timezone)}
    found |= columns(forecast, np.index_exp[:, sensor], forecasters.truth(window)[:, sensor])
    found |= {with_unit(r.name, forecast.unit): r.median[:, sensor] for r in rivals}
    return pd.DataFrame(found)


def one_step(window: Window, forecast: Forecast, step: int) -> pd.DataFrame:
    """One step, a row for each sensor: id, name where it has one, forecast, measured, off by, bands."""
    network = forecast.network
    names = [network.name(n) for n in range(network.n_sensors)]
    found = {t("common.sensor"): network.ids} | ({t("forecast.name"): names} if names != list(network.ids) else {})
    return pd.DataFrame(found | columns(forecast, np.index_exp[step], forecasters.truth(window)[step]))


def decimals(forecast: Forecast) -> int:
    """Digits after the point that suit the forecast."""
    return fit_scale(forecast.median).decimals


def columns(forecast: Forecast, part: tuple, measured: np.ndarray) -> dict[str, np.ndarray]:
    """Forecast, measured, off by and bands of a part of (H, N): column -> values."""
    unit, digits = forecast.unit, decimals(forecast)
    median, three = forecast.median[part], (t("forecast.forecast"), t("forecast.came"), t("forecast.off"))
    found = {with_unit(name, unit): x for name, x in zip(three, (median, measured, median - measured), strict=True)}
    for share in forecast.shares:
        low, high = (bound[part] for bound in forecast.band(share))
        found[with_unit(t("chart.band", share=f"{100 * share:.3g}"), unit)] = _band_texts(low, high, digits)
    return found


def _band_texts(low: np.ndarray, high: np.ndarray, digits: int) -> list[str]:
    """Texts "5.9 to 17.5"; "" where there is no band."""
    pairs, to = zip(low, high, strict=True), t("forecast.to")
    texts = [f"{a:.{digits}f} {to} {b:.{digits}f}" if np.isfinite(a + b) else "" for a, b in pairs]
    return [text.replace(".", ",") for text in texts] if language() == "de" else texts
