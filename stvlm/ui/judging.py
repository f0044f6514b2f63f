"""How good a forecast is: what its bands held where it was measured, and this one against what came."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stvlm.charts.scale import with_unit
from stvlm.data.forecast import Forecast
from stvlm.evaluation.metrics import mae, rmse
from stvlm.ui.words import brief, number, say

PARTS = ("test", "val")


def belief_sentence(manifest: dict) -> str:
    """How far a network that was trained on other networks is believed on this one; "" for a model of another kind."""
    gate = manifest.get("believed") or {}
    if not gate.get("mae"):
        return ""
    trained = say("forecast.trained_here_too" if gate.get("is_known") else "forecast.trained_elsewhere")
    if not gate["shrinkage"]:
        return f"{trained} {say('forecast.not_believed')}"
    gain = 100 * (1 - gate["mae"] / gate["anchor_mae"])
    return f"{trained} {say('forecast.believed', gain=number(gain, 1), share=number(100 * gate['shrinkage'], 0))}"


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
            of = say(f"forecast.of_{part}", n=number(cells, 0)) if cells else say(f"forecast.on_{part}")
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
    return (f"{say('forecast.of_met', n=number(known.sum(), 0))} {', '.join(held)}",) if held else ()


def _held(share: float, found: float) -> str:
    return say("forecast.held", share=brief(share), found=number(found, 0))


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
    names = [say(f"forecast.{name}") for name in ("forecaster", "mae", "rmse", "readings")]
    columns = [names[0], *(with_unit(name, forecast.unit) for name in names[1:3]), names[3]]
    if not known.any():
        return pd.DataFrame(columns=columns)
    rows = [(one.name, mae(one.median, came), rmse(one.median, came), int(known.sum())) for one in (forecast, *rivals)]
    return pd.DataFrame(rows, columns=columns).sort_values(columns[1], kind="stable", ignore_index=True)
