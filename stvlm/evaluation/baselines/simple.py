"""The simple methods that every model has to beat: persistence, seasonal naive, historical average, ridge.

They are those of the comparison protocol, to the letter. Two habits of the protocol are kept on purpose: gaps are filled with
the last reading (at the head of the series with the first one that comes), and a year is 525600 minutes, leap days or not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from stvlm.core.seasonality import WEEK_MINUTES
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split

BASELINES = ("persistence", "seasonal naive", "historical average", "ridge")
SMOOTHING_STEPS = 15  # of a yearly profile
RIDGE_PENALTY = 10.0
RIDGE_WINDOWS = 2000  # of the training part, evenly spread
BLOCK_CELLS = 4_000_000


@dataclass(frozen=True, eq=False)
class Forecaster:
    """A fitted simple method.

    Attributes:
        name: "persistence", "seasonal naive 1d", "historical average 7d", "ridge".
        n_parameters: numbers that were estimated.
        first_cutoff: the earliest cutoff that it can forecast.
        forecast: cutoffs (W,) → (W, H, N) float32 in the unit of the series.
    """

    name: str
    n_parameters: int
    first_cutoff: int
    forecast: Callable[[np.ndarray], np.ndarray]

    def __call__(self, cutoffs: np.ndarray) -> np.ndarray:
        """(W, H, N) float32 in the unit of the series.

        Raises:
            ValueError: a cutoff before `first_cutoff`.
        """
        cutoffs = np.asarray(cutoffs)
        if len(cutoffs) and cutoffs.min() < self.first_cutoff:
            raise ValueError(f"{self.name} needs {self.first_cutoff} steps before a cutoff; got {cutoffs.min()}.")
        return self.forecast(cutoffs).astype("f4", copy=False)


class TrainingData:
    """What the simple methods share about one series: its parts, its filled readings, its profiles.

    Args:
        series: readings. split: its parts; nothing before `split.train_start` is used. lookback, horizon: L, H in steps.

    Raises:
        ValueError: the training part holds no reading.
    """

    def __init__(self, series: SensorSeries, split: Split, lookback: int, horizon: int) -> None:
        self.series, self.split, self.lookback, self.horizon = series, split, lookback, horizon
        self.part = series.values[split.train_start : split.train_end]
        seen = np.isfinite(self.part)
        if not seen.any():
            raise ValueError(f"The training part ({len(self.part)} steps) holds no reading at all.")
        self.mean = float(self.part.mean(where=seen, dtype="f8"))

    @cached_property
    def filled(self) -> np.ndarray:
        """(T, N) float32: the last reading carried forward; a sensor that never reads takes the training mean of all."""
        out, start = self.series.values.copy(), self.split.train_start
        for first in range(0, out.shape[1], 256):
            columns = pd.DataFrame(out[start:, first : first + 256])
            out[start:, first : first + 256] = columns.ffill().bfill().fillna(self.mean).to_numpy()
        return out

    def period(self, season_minutes: int) -> int:
        """Steps of a season; 0 where a step is longer."""
        return season_minutes * 60 // self.series.step_seconds

    def covers(self, season_minutes: int) -> bool:
        """Whether the training part holds a whole season of more than one step."""
        return 1 < self.period(season_minutes) <= len(self.part)

    def steps(self, cutoffs: np.ndarray) -> np.ndarray:
        """(W, H) the steps that are forecast."""
        return cutoffs[:, None] + np.arange(self.horizon)

    def phase(self, steps: np.ndarray, season_minutes: int) -> np.ndarray:
        """Phase of steps: since Monday midnight of the first week for up to a week, since the first step for a year."""
        offset = 0
        if season_minutes <= WEEK_MINUTES:
            since_monday = (int(self.series.times[0].astype("int64")) + 3 * 86400) % (7 * 86400)  # 1970 began on a Thursday
            offset = since_monday // self.series.step_seconds
        return (steps + offset) % self.period(season_minutes)

    def profile(self, season_minutes: int) -> np.ndarray:
        """(P, N) float32: the training mean at each phase; a yearly one is smoothed; phases never seen are interpolated."""
        period = self.period(season_minutes)
        phase = self.phase(np.arange(self.split.train_start, self.split.train_end), season_minutes)
        total, count = np.zeros((period, self.part.shape[1])), np.zeros((period, self.part.shape[1]))
        for first in range(0, len(phase), period):  # within one period no phase comes twice
            block, rows = self.part[first : first + period], phase[first : first + period]
            seen = np.isfinite(block)
            total[rows] += np.where(seen, block, 0)
            count[rows] += seen
        table = pd.DataFrame(np.where(count > 0, total / np.maximum(count, 1), np.nan))
        if season_minutes > WEEK_MINUTES:
            table = table.rolling(SMOOTHING_STEPS, center=True, min_periods=1).mean()
        return table.interpolate(limit_direction="both").fillna(self.mean).to_numpy("f4")


def fit_baseline(family: str, data: TrainingData, seasons: tuple[int, ...]) -> list[Forecaster]:
    """Fit one kind of simple method.

    Args:
        family: one of BASELINES. data: the series and its parts. seasons: in minutes, shortest first.

    Returns:
        One forecaster; of "seasonal naive" and "historical average" one for each season that the training part covers.

    Raises:
        ValueError: an unknown family.
    """
    if family == "persistence":
        return [_persistence(data)]
    if family == "seasonal naive":
        return [_seasonal_naive(data, season) for season in seasons if data.period(season) > 1]
    if family == "historical average":
        return [_historical_average(data, season) for season in seasons if data.covers(season)]
    if family == "ridge":
        return [_ridge(data, seasons)]
    raise ValueError(f"{family!r} is no simple method; there are {', '.join(BASELINES)}.")


def _persistence(data: TrainingData) -> Forecaster:
    """The last reading, for every step."""

    def forecast(cutoffs: np.ndarray) -> np.ndarray:
        return np.repeat(data.filled[cutoffs - 1][:, None], data.horizon, axis=1)

    return Forecaster("persistence", 0, data.split.train_start + 1, forecast)


def _seasonal_naive(data: TrainingData, season: int) -> Forecaster:
    """The reading one season earlier; further ahead than a season, the last one of the same phase that is known."""
    period, ahead = data.period(season), np.arange(data.horizon)
    back = period * (ahead // period + 1)
    return Forecaster(
        f"seasonal naive {season // 1440}d",
        0,
        data.split.train_start + period,
        lambda cutoffs: data.filled[data.steps(cutoffs) - back],
    )


def _historical_average(data: TrainingData, season: int) -> Forecaster:
    """The training mean at the same phase of the season."""
    profile = data.profile(season)
    return Forecaster(
        f"historical average {season // 1440}d",
        profile.size,
        data.split.train_start,
        lambda cutoffs: profile[data.phase(data.steps(cutoffs), season)],
    )


def _ridge(data: TrainingData, seasons: tuple[int, ...]) -> Forecaster:
    """One linear map for all sensors from a sensor's lookback to its horizon, both as scaled departures from its average.

    The average is the profile of the longest season that the training part covers, else the sensor's mean.
    """
    covered = [season for season in seasons if data.covers(season)]
    start, stop = data.split.train_start, data.split.train_end
    mean = data.filled[start:stop].mean(axis=0, dtype="f8", keepdims=True).astype("f4")
    table = data.profile(covered[-1]) if covered else mean

    def average(steps: np.ndarray) -> np.ndarray:
        return table[data.phase(steps, covered[-1])] if covered else table[np.zeros_like(steps)]

    scale = _spread(data, average, start, stop)

    def past(cutoffs: np.ndarray) -> np.ndarray:
        """(W, N, L) scaled departures."""
        steps = cutoffs[:, None] - data.lookback + np.arange(data.lookback)
        return ((data.filled[steps] - average(steps)) / scale).swapaxes(1, 2)

    weights, intercept = _fit_ridge(data, average, scale, past)

    def forecast(cutoffs: np.ndarray) -> np.ndarray:
        out = np.empty((len(cutoffs), data.horizon, len(scale)), "f4")
        for rows in _blocks(len(cutoffs), data):
            ahead = (past(cutoffs[rows]) @ weights + intercept).swapaxes(1, 2)
            out[rows] = ahead * scale + average(data.steps(cutoffs[rows]))
        return out

    n_parameters = weights.size + intercept.size + table.size + scale.size
    return Forecaster("ridge", n_parameters, start + data.lookback, forecast)


def _spread(data: TrainingData, average: Callable[[np.ndarray], np.ndarray], start: int, stop: int) -> np.ndarray:
    """(N,) float32: standard deviation of the training departures, never 0."""
    total, square, n_sensors = 0.0, 0.0, data.part.shape[1]
    for first in range(start, stop, max(1, BLOCK_CELLS // n_sensors)):
        steps = np.arange(first, min(stop, first + max(1, BLOCK_CELLS // n_sensors)))
        departure = data.filled[steps].astype("f8") - average(steps)
        total, square = total + departure.sum(axis=0), square + (departure**2).sum(axis=0)
    count = stop - start
    return (np.sqrt(np.maximum(square / count - (total / count) ** 2, 0)) + 1e-6).astype("f4")


def _fit_ridge(data: TrainingData, average: Callable, scale: np.ndarray, past: Callable) -> tuple[np.ndarray, np.ndarray]:
    """Weights (L, H) and intercept (H,) from the normal equations, summed in float64; a future with a gap is left out."""
    n_in, n_out = data.lookback, data.horizon
    cutoffs = data.split.cutoffs("train", n_in, n_out)
    cutoffs = cutoffs[:: max(1, len(cutoffs) // RIDGE_WINDOWS)]
    gram, cross = np.zeros((n_in + 1, n_in + 1)), np.zeros((n_in + 1, n_out))
    for rows in _blocks(len(cutoffs), data):
        steps = data.steps(cutoffs[rows])
        target = ((data.series.values[steps] - average(steps)) / scale).swapaxes(1, 2).reshape(-1, n_out)
        seen = np.isfinite(target).all(axis=1)
        known = past(cutoffs[rows]).reshape(-1, n_in)[seen].astype("f8")
        known = np.concatenate([known, np.ones((len(known), 1))], axis=1)
        gram, cross = gram + known.T @ known, cross + known.T @ target[seen].astype("f8")
    n_rows = gram[-1, -1]
    if n_rows == 0:  # nothing to learn from: stay with the average
        return np.zeros((n_in, n_out), "f4"), np.zeros(n_out, "f4")
    centre, target_centre = gram[-1, :-1] / n_rows, cross[-1] / n_rows
    penalised = gram[:-1, :-1] - n_rows * np.outer(centre, centre) + RIDGE_PENALTY * np.eye(n_in)
    weights = np.linalg.solve(penalised, cross[:-1] - n_rows * np.outer(centre, target_centre))
    return weights.astype("f4"), (target_centre - centre @ weights).astype("f4")


def _blocks(n_windows: int, data: TrainingData) -> list[slice]:
    """Windows in blocks that keep memory small."""
    size = max(1, BLOCK_CELLS // (data.part.shape[1] * max(data.lookback, data.horizon)))
    return [slice(first, first + size) for first in range(0, n_windows, size)]
