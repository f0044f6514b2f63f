"""An anchor without any fitting: the ways to read a network's past that did best when its own recent past was replayed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stvlm.anchor.blend import Anchor, Replay, blend
from stvlm.anchor.features import Neighbourhood
from stvlm.anchor.past import Past
from stvlm.anchor.recall import PLAIN, Recall, recalls
from stvlm.anchor.ridge import Member
from stvlm.anchor.transform import Transform
from stvlm.data.scaler import DAY, WEEK, YEAR, SeasonalProfile, local_seconds, scale_of
from stvlm.data.series import SensorSeries
from stvlm.data.windows import thin

SEASONS = ((DAY, 1440), (WEEK, 10080), (YEAR, 525600))  # in seconds, in minutes
KEPT = 8  # ways to read the past, beside plain repeating
REPLAYED = 10  # windows that share no reading, at least
WINDOWS, CELLS = 48, 400_000  # replayed, and (window, step, sensor) in them


def unfitted_anchor(
    series: SensorSeries, start: int, stop: int, lookback: int, horizon: int, seasons_minutes: tuple[int, ...] = ()
) -> Anchor:
    """A forecaster of a network on which nothing was trained.

    Usual readings, spreads and autocorrelations are read from the past at each forecast; which ways of reading count, and how much,
    is decided by replaying the recent past.

    Args:
        series: readings; those of the steps start .. stop - 1 may be looked at. lookback, horizon: L, H in steps.
        seasons_minutes: seasons that usual readings may have (1440, 10080, 525600).

    Returns:
        The forecaster; its frame says what is usual and how far readings stray from it, and has no weights.

    Raises:
        ValueError: too few steps for one lookback and one horizon, or no reading at all.
    """
    if stop - start < lookback + horizon:
        raise ValueError(
            f"{stop - start} steps are too few to forecast {horizon} steps from {lookback}. Take more data or a shorter window."
        )
    values = series.values[start:stop]
    if not np.isfinite(values).any():
        raise ValueError("There is no reading at all before the forecast.")
    seasons = tuple(season for season, minutes in SEASONS if minutes in seasons_minutes)
    first = int(series.times[start].astype("int64"))
    span = max((stop - start) // 5, REPLAYED * (lookback + horizon))
    whole = first + lookback * series.step_seconds  # from here on a window has its past
    replay = Replay(span, max(horizon, (stop - start) // 16), whole, stop - start, first)
    cutoffs = np.arange(max(start + lookback, stop - span), stop - horizon + 1)
    cutoffs = thin(cutoffs, int(np.clip(CELLS // (horizon * series.network.n_sensors), 4, WINDOWS)))
    truth, past = series.values[cutoffs[:, None] + np.arange(horizon)], Past(series.slice(0, stop), horizon)
    found = []
    for recall in recalls(series, start, stop, lookback, horizon, seasons):
        forecast = recall.forecast_from(past, cutoffs)
        error = np.abs(forecast - truth)
        found.append((float(np.nanmean(error)) if np.isfinite(error).any() else 0.0, recall, forecast))
    found.sort(key=lambda one: one[0])
    different = [one for i, one in enumerate(found) if i == 0 or one[0] > found[i - 1][0] * (1 + 1e-6)]
    kept = [one for i, one in enumerate(different) if i < KEPT or one[1].rule == PLAIN]
    frame = _frame(series, start, stop, kept[0][1], lookback, horizon)
    shares, mae = (1.0, *[0.0] * (len(kept) - 1)), kept[0][0]
    if np.isfinite(truth).any():
        plain = next((i for i, one in enumerate(kept) if one[1].rule == PLAIN), None)
        shares, mae = blend([one[2] for one in kept], truth, cutoffs, lookback + horizon, plain)
    taken = [
        {"kind": one[1].rule.words, "share": share, "val_mae": one[0]} for share, one in zip(shares, kept, strict=True) if share
    ]
    tried = [{"kind": one[1].rule.words, "val_mae": one[0]} for one in found[:12]]
    choice = {"taken": taken, "val_mae": mae, "tried": tried, "n_tried": len(found)}
    low = np.nanmin(values)
    return Anchor((frame, *(one[1] for one in kept)), (0.0, *shares), 0.0 if low >= 0 else None, choice, replay)


def _frame(series: SensorSeries, start: int, stop: int, best: Recall, lookback: int, horizon: int) -> Member:
    """What is usual and how far readings stray from it, on the scale of the best way to read them."""
    transform: Transform = best.rule.transform
    season = best.rule.season_seconds
    span, seconds = slice(start, stop), local_seconds(series)
    values = transform.forward(series.values)
    if season != YEAR and season > (stop - start) * series.step_seconds // 2:
        season = 0
    profile = SeasonalProfile.fit(values[span], seconds[span], season, series.step_seconds)
    scale = scale_of(values[span] - profile.at(seconds[span]))
    bare = Member(lookback, horizon, 0, transform, profile, scale, (), (), np.zeros((2, 0)), "none", np.zeros((1, horizon), "f4"))
    n_features = max(group.stop for group in bare.view(series, Neighbourhood(series.network)).groups().values())
    return replace(bare, weights=np.zeros((n_features, horizon), "f4"))
