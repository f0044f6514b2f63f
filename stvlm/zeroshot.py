"""A model of a network on which nothing was trained: it forecasts at once, and says how sure it is by replaying the recent past."""

from __future__ import annotations

import numpy as np
import torch

from stvlm.anchor.unfitted import unfitted_anchor
from stvlm.data.seasons import find_seasons
from stvlm.data.series import SensorSeries
from stvlm.data.windows import Split, thin
from stvlm.fit import FitConfig, make_model
from stvlm.model.objective import calibrated_spread
from stvlm.model.stvlm import STVLM, set_spread

MOST_WINDOWS = 100  # of the recent past that the bands are learnt from
FRESH = 5  # of so many parts of the past, the last one is replayed


def zero_shot(
    series: SensorSeries, stop: int, lookback: int, horizon: int, seasons_minutes: tuple[int, ...] | None = None
) -> STVLM:
    """A model that forecasts a network it was never trained on.

    Its forecast is that of `unfitted_anchor`; its network stays closed. The bands are as wide as the errors were when the last fifth of the
    past, up to its last reading, was replayed.

    Args:
        series: readings; only the steps before `stop` are looked at. lookback, horizon: L, H in steps.
        seasons_minutes: lengths of the seasons; None: found in the past.

    Raises:
        ValueError: too few steps before `stop` for one window, no reading among them, or a `stop` past the end.
    """
    if stop > series.n_steps:
        raise ValueError(
            f"A forecast begins right after the {series.n_steps} steps that there are at the latest, not at step {stop}."
        )
    if stop < lookback + horizon:
        raise ValueError(
            f"{stop} steps are too few to forecast {horizon} steps from {lookback}. Take more data or a shorter window."
        )
    if seasons_minutes is None:
        seasons_minutes = find_seasons(series.values, series.local_times, 0, stop, series.step_seconds)
    anchor = unfitted_anchor(series, 0, stop, lookback, horizon, seasons_minutes)
    told = int(np.flatnonzero(np.isfinite(series.values[:stop]).any(axis=1))[-1]) + 1  # of a silent end no errors are known
    end = max(told, lookback + horizon)
    fresh = max(lookback, min(end - end // FRESH, end - horizon))
    split = Split(0, max(fresh, 1), stop, stop, series.n_steps)
    config = FitConfig(lookback=lookback, horizon=horizon, seasons_minutes=tuple(seasons_minutes), device="cpu", max_steps=0)
    model, builder = make_model(series, config, split, anchor)
    model.shrinkage.fill_(0.0)
    cutoffs = thin(np.arange(fresh, end - horizon + 1), MOST_WINDOWS)
    set_spread(model, calibrated_spread(model.eval(), builder, cutoffs, torch.device("cpu")))
    model.manifest = {
        "sensors": list(series.network.ids), "quantity": series.quantity, "unit": series.unit, "network_taken": False,
        "anchor": anchor.choice, "scores": {"val_mae": anchor.choice["val_mae"], "anchor_val_mae": anchor.choice["val_mae"]},
    }  # fmt: skip
    return model
