"""Which seasons a network has: day, week or year, judged on the training part alone."""

from __future__ import annotations

import numpy as np

DAY_MINUTES, WEEK_MINUTES, YEAR_MINUTES = 1440, 10080, 525600
GAIN = 0.005  # share of the variance that a season must explain
WEEK_COST = 0.01  # share that the week may cost by chance where the day is a season anyway
SMOOTHING_DAYS = 15  # of the yearly cycle
MAX_SENSORS = 512  # looked at, evenly spread


def find_seasons(values: np.ndarray, local_times: np.ndarray, start: int, stop: int, step_seconds: int) -> tuple[int, ...]:
    """The seasons worth a profile, shortest first.

    - Day: steps are shorter than a day and training holds two days.
    - Week: training holds four weeks and weekdays pay. By daily steps they must explain GAIN of the variance, since the other
      choice is no profile at all. By shorter steps the weekly profile holds the daily one, and weeks of people may yet come, so
      it must only not cost more than WEEK_COST: it is left out where training is too short for it.
    - Year: steps are a day or longer, training holds two years, and the days of the year explain GAIN of the variance.

    What a cycle explains is measured on the mean of all sensors, each cycle being foretold from the *other* cycles only.

    Args:
        values: (T, N) float32, NaN = missing. local_times: (T,) datetime64[s] on the network's own clock.
        start, stop: the training part. step_seconds: length of a step.

    Returns:
        Some of 1440, 10080, 525600 (minutes).
    """
    seconds = local_times[start:stop].astype("datetime64[s]").astype("int64")
    span_days = (stop - start) * step_seconds / 86400
    seasons = []
    if step_seconds < 86400 and span_days >= 2 and 86400 % step_seconds == 0:
        seasons.append(DAY_MINUTES)
    weekly, yearly = step_seconds <= 86400 and span_days >= 28, step_seconds >= 86400 and span_days >= 2 * 365.25
    if weekly or yearly:
        steps = _network_mean(values[start:stop])
        if weekly and _week_gain(steps, seconds) > (-WEEK_COST if seasons else GAIN):
            seasons.append(WEEK_MINUTES)
        if yearly and _year_gain(steps, seconds, step_seconds) > GAIN:
            seasons.append(YEAR_MINUTES)
    return tuple(seasons)


def _network_mean(values: np.ndarray) -> np.ndarray:
    """(T,) float64: mean over sensors of their readings (T, N) in units of their own spread; NaN where none was read."""
    n_steps, n_sensors = values.shape
    total, count = np.zeros(n_steps), np.zeros(n_steps)
    nodes = np.unique(np.linspace(0, n_sensors - 1, min(n_sensors, MAX_SENSORS)).astype(int))
    for mine in np.asarray(values[:, nodes]).T:
        mine = mine.astype("f8")
        seen = np.isfinite(mine)
        spread = mine[seen].std() if seen.any() else 0.0
        if spread > 0:
            total += np.where(seen, (mine - mine[seen].mean()) / spread, 0)
            count += seen
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _week_gain(steps: np.ndarray, seconds: np.ndarray) -> float:
    """Share of the variance of daily means, without their moving weekly mean, that the same weekday of other weeks explains."""
    seen = np.isfinite(steps)
    days, place = np.unique(seconds // 86400, return_inverse=True)
    count = np.bincount(place[seen], minlength=len(days))
    daily = np.where(count > 0, np.bincount(place[seen], steps[seen], len(days)) / np.maximum(count, 1), np.nan)
    rest = daily - _moving_sum(np.nan_to_num(daily), 7) / np.maximum(_moving_sum(count > 0, 7), 1)
    return _gain(rest, days // 7, days % 7, 7, 1)


def _year_gain(steps: np.ndarray, seconds: np.ndarray, step_seconds: int) -> float:
    """Share of the variance of the steps that the same time of other years explains, smoothed over SMOOTHING_DAYS."""
    period = YEAR_MINUTES * 60 // step_seconds
    place = (seconds - seconds[0]) // step_seconds
    width = SMOOTHING_DAYS * 86400 // step_seconds // 2 * 2 + 1
    return (
        _gain(steps - np.nanmean(steps), place // period, place % period, period, min(width, period))
        if np.isfinite(steps).any()
        else -1.0
    )


def _gain(rest: np.ndarray, cycle: np.ndarray, phase: np.ndarray, period: int, width: int) -> float:
    """Share of the sum of squares of `rest` (T,) that the mean of the other cycles at the same phase, give or take, explains."""
    seen = np.isfinite(rest)
    rest, cycle, phase = rest[seen], cycle[seen] - cycle.min(), phase[seen]
    if (rest**2).sum() <= 1e-9 * max(len(rest), 1):
        return -1.0
    shape = (int(cycle.max()) + 1, period)
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (cycle, phase), rest)
    np.add.at(count, (cycle, phase), 1)
    total, count = total.sum(axis=0) - total, count.sum(axis=0) - count
    if width > 1:
        total, count = (np.stack([_moving_sum(row, width, wrap=True) for row in table]) for table in (total, count))
    foretold = np.where(count > 0.5, total / np.maximum(count, 1), 0)[cycle, phase]
    return 1 - float(((rest - foretold) ** 2).sum() / (rest**2).sum())


def _moving_sum(values: np.ndarray, width: int, wrap: bool = False) -> np.ndarray:
    """Centred sum over an odd number of values; past the ends come none, or those of the other end."""
    half = width // 2
    padded = np.pad(values.astype("f8"), half, mode="wrap" if wrap else "constant")
    return np.convolve(padded, np.ones(2 * half + 1), mode="valid")
