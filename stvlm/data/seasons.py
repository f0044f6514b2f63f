"""Which seasons a network has: day, week or year, judged on the training part alone."""

from __future__ import annotations

import warnings

import numpy as np

DAY_MINUTES, WEEK_MINUTES, YEAR_MINUTES = 1440, 10080, 525600
WEEK_GAIN = 0.005  # share of the variance of the detrended network mean that weekdays must explain, left out one by one


def find_seasons(values: np.ndarray, local_times: np.ndarray, start: int, stop: int, step_seconds: int) -> tuple[int, ...]:
    """The seasons worth a profile, shortest first.

    A day where steps are shorter than a day and training holds two days. A week where training holds four weeks and the
    weekdays explain the detrended daily network mean beyond chance: each reading is compared with the mean of the *other*
    readings of its weekday. A year where steps are a day or longer, training holds two years and no week was found.

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
    if step_seconds <= 86400 and span_days >= 28 and _weekday_gain(values[start:stop], seconds) > WEEK_GAIN:
        seasons.append(WEEK_MINUTES)
    elif step_seconds >= 86400 and span_days >= 2 * 365.25:
        seasons.append(YEAR_MINUTES)
    return tuple(seasons)


def _weekday_gain(values: np.ndarray, seconds: np.ndarray) -> float:
    """Leave-one-out share of variance that weekdays explain of the daily network mean, without its moving weekly mean."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step or sensor without any reading has no mean
        spread = np.nanstd(values, axis=0)
        scaled = (values - np.nanmean(values, axis=0)) / np.where(spread > 0, spread, np.nan)
        steps = np.nanmean(scaled, axis=1)
    days, place = np.unique(seconds // 86400, return_inverse=True)
    seen = np.isfinite(steps)
    daily = np.bincount(place[seen], steps[seen], len(days)) / np.maximum(np.bincount(place[seen], minlength=len(days)), 1)
    daily[np.bincount(place[seen], minlength=len(days)) == 0] = np.nan
    rest = daily - _moving_mean(daily, 7)
    explained = left = 0.0
    for weekday in range(7):
        group = rest[days % 7 == weekday]
        group = group[np.isfinite(group)]
        if len(group) > 1:
            others = (group.sum() - group) / (len(group) - 1)
            left += float(((group - others) ** 2).sum())
            explained += float((group**2).sum())
    return 1 - left / explained if explained > 0 else 0.0


def _moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Centred mean over `width` values, of those that are there."""
    seen = np.isfinite(values)
    window = np.ones(width)
    total = np.convolve(np.where(seen, values, 0), window, mode="same")
    return total / np.maximum(np.convolve(seen, window, mode="same"), 1)
