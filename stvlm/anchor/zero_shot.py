"""An anchor without any fitting: the ways to read a network's past that did best when its own recent past was replayed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stvlm.anchor.climatology import MOST_READ, History
from stvlm.anchor.ensemble import Anchor, Replay, ensemble_weights
from stvlm.anchor.features import NeighbourOperators, Transform
from stvlm.anchor.fit import REPLAYED, in_seconds, keep_best, persistence_index, score_predictors, selected
from stvlm.anchor.history_predictors import HistoryPredictor, history_predictors
from stvlm.anchor.ridge import RidgeMember
from stvlm.core.outliers import comparable
from stvlm.core.seasonality import YEAR, SeasonalProfile, anomaly_scale, local_seconds
from stvlm.core.series import SensorSeries
from stvlm.core.windows import thin

KEPT = 8  # ways to read the past, beside plain repeating
WINDOWS, CELLS = 48, 400_000  # replayed, and (window, step, sensor) in them


def zero_shot_anchor(
    series: SensorSeries, start: int, stop: int, lookback: int, horizon: int, seasons_minutes: tuple[int, ...] = ()
) -> Anchor:
    """A forecaster of a network on which nothing was trained.

    Usual readings, spreads and autocorrelations are read from the past at each forecast; which ways of reading count, and how much,
    is decided by replaying the recent past.

    Args:
        series: readings; those of the steps start .. stop - 1 may be looked at, at most the last MOST_READ of them.
        lookback, horizon: L, H in steps. seasons_minutes: seasons that usual readings may have (1440, 10080, 525600).

    Returns:
        The forecaster; its frame says what is usual and how far readings stray from it, and has no weights.

    Raises:
        ValueError: too few steps for one lookback and one horizon, or no reading at all.
    """
    if stop - start < lookback + horizon:
        raise ValueError(
            f"{stop - start} steps are too few to forecast {horizon} steps from {lookback}. Take more data or a shorter window."
        )
    series = series.screened
    start = max(start, stop - max(MOST_READ // series.network.n_sensors, lookback + horizon))
    values = np.asarray(series.values[start:stop])
    if not np.isfinite(values).any():
        raise ValueError("There is no reading at all before the forecast.")
    first = int(series.times[start].astype("int64"))
    span = max((stop - start) // 5, REPLAYED * (lookback + horizon))
    whole = first + lookback * series.step_seconds  # from here on a window has its past
    replay = Replay(span, max(horizon, (stop - start) // 16), whole, stop - start, first)
    cutoffs = np.arange(max(start + lookback, stop - span), stop - horizon + 1)
    cutoffs = thin(cutoffs, int(np.clip(CELLS // (horizon * series.network.n_sensors), 4, WINDOWS)))
    truth = comparable(series.values[cutoffs[:, None] + np.arange(horizon)])
    past = History(series.slice(0, stop), horizon, key=f"{series.fingerprint}, {stop} steps")
    told = score_predictors(
        history_predictors(series, start, stop, lookback, horizon, in_seconds(seasons_minutes)), past, cutoffs, truth
    )
    found = keep_best(told, KEPT)
    best = found[0].member
    assert isinstance(best, HistoryPredictor)  # noqa: S101  nothing else was tried
    frame = _frame(series, start, stop, best, lookback, horizon)
    shares, mae = (1.0, *[0.0] * (len(found) - 1)), found[0].mae
    if np.isfinite(truth).any():
        shares, mae = ensemble_weights(
            [one.forecast for one in found], truth, cutoffs, lookback + horizon, persistence_index(found)
        )
    tried = [{"kind": one.label, "val_mae": one.mae} for one in told[:12]]
    choice = {"taken": selected(found, shares), "val_mae": mae, "tried": tried, "n_tried": len(told)}
    low = np.nanmin(values)
    return Anchor((frame, *(one.member for one in found)), (0.0, *shares), 0.0 if low >= 0 else None, choice, replay)


def _frame(series: SensorSeries, start: int, stop: int, best: HistoryPredictor, lookback: int, horizon: int) -> RidgeMember:
    """What is usual and how far readings stray from it, on the scale of the best way to read them."""
    transform: Transform = best.rule.transform
    season = best.rule.season_seconds
    span, seconds = slice(start, stop), local_seconds(series)
    values = transform.forward(series.values[span])
    if season != YEAR and season > (stop - start) * series.step_seconds // 2:
        season = 0
    profile = SeasonalProfile.fit(values, seconds[span], season, series.step_seconds)
    scale = anomaly_scale(values - profile.at(seconds[span]), values)
    bare = RidgeMember(
        lookback, horizon, 0, transform, profile, scale, (), (), np.zeros((2, 0)), "none", np.zeros((1, horizon), "f4")
    )
    n_features = max(group.stop for group in bare.view(series, NeighbourOperators.of(series.network)).groups().values())
    return replace(bare, weights=np.zeros((n_features, horizon), "f4"))
