"""How good a forecast is: what its bands held where it was measured, and this one against what came."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stvlm.charts.scale import with_unit
from stvlm.data.forecast import Forecast
from stvlm.evaluation.metrics import mae, rmse

PARTS = (("test", "test"), ("val", "validation"))


def band_sentences(scores: dict[str, float]) -> tuple[str, ...]:
    """What the bands held where it was measured: "of 12,345 readings of the test part the 80 % band held 79 %".

    Args:
        scores: of the model's manifest: test_coverage_80, test_cells ...
    """
    found = []
    for part, words in PARTS:
        cells, shares = scores.get(f"{part}_cells"), [s for s in (50, 80, 95) if scores.get(f"{part}_coverage_{s}") is not None]
        held = [f"the {share} % band held {100 * scores[f'{part}_coverage_{share}']:.0f} %" for share in shares]
        if held:
            of = f"of {cells:,.0f} readings of the {words} part" if cells else f"on the {words} part"
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
        held.append(f"the {100 * share:.3g} % band held {100 * inside / known.sum():.0f} %")
    return (f"of the {known.sum():,} readings that this forecast has met {', '.join(held)}",) if held else ()


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
    columns = ["Forecaster", with_unit("Mean error", forecast.unit), with_unit("Root mean square error", forecast.unit), "Readings"]
    if not known.any():
        return pd.DataFrame(columns=columns)
    rows = [(one.name, mae(one.median, came), rmse(one.median, came), int(known.sum())) for one in (forecast, *rivals)]
    return pd.DataFrame(rows, columns=columns).sort_values(columns[1], kind="stable", ignore_index=True)
