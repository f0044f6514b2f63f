"""Gradient boosting: one ensemble of trees for all sensors and steps, on lags, season, calendar and place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter1d
from sklearn.ensemble import HistGradientBoostingRegressor

from stvlm.core.seasonality import DAY_MINUTES, WEEK_MINUTES, YEAR_MINUTES, SeasonalProfile, anomaly_scale
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split
from stvlm.evaluation.baselines.simple import SMOOTHING_STEPS, Forecaster, TrainingData

# What learnt baselines take from the training part: which phases of time they may know, and the scale of each sensor.

YEAR_DAYS = 365.25


@dataclass(frozen=True)
class Calendar:
    """Which cycles may be told apart by phase: those of the seasons that training covers twice. Else a phase names single days.

    Attributes:
        day_steps: steps of a day, 0 for no phase of the day. has_week, has_year: whether weekday and day of year are known.
    """

    day_steps: int = 0
    has_week: bool = False
    has_year: bool = False

    @classmethod
    def of(cls, series: SensorSeries, split: Split, seasons: tuple[int, ...]) -> Calendar:
        """The cycles among `seasons` (minutes) that the training part holds at least two of."""
        span = (split.train_end - split.train_start) * series.step_minutes
        known = {season for season in seasons if 2 * season <= span and season > series.step_minutes}
        is_whole = DAY_MINUTES * 60 % series.step_seconds == 0
        day = DAY_MINUTES * 60 // series.step_seconds if DAY_MINUTES in known and is_whole else 0
        return cls(day, WEEK_MINUTES in known and series.step_minutes <= DAY_MINUTES, YEAR_MINUTES in known)

    def phases(self, series: SensorSeries) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Step of the day (T,) int64, day of the week (T,) int64, share of the year gone by (T,) float32; 0 where not known."""
        seconds = series.local_times.astype("datetime64[s]").astype("int64")
        day = (seconds % 86400) // series.step_seconds if self.day_steps else np.zeros_like(seconds)
        week = (seconds // 86400 + 3) % 7 if self.has_week else np.zeros_like(seconds)  # 1970 began on a Thursday
        year = seconds / 86400 / YEAR_DAYS % 1 if self.has_year else np.zeros(len(seconds))
        return day, week, year.astype("f4")


def training_scale(series: SensorSeries, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread (N,) float32 of each sensor over the training part; those of the network where it has none of its own."""
    values = series.values[split.train_start : split.train_end]
    mean = SeasonalProfile.fit(values, np.zeros(len(values), "int64"), 0, series.step_seconds).table[0]
    return mean, anomaly_scale(values - mean, values)


ROWS = 200_000  # cells of the training part; a quarter as many of the validation part
ROWS_AT_ONCE = 200_000  # when forecasting
LAGS = 24  # at most, spread evenly on a logarithmic scale over the lookback
CYCLES = 4  # earlier cycles of a season, whose mean is a feature
NEIGHBOURS = 8
TREES = 300
PATIENCE = 20  # trees without gain on the validation part
SETTINGS = {"loss": "absolute_error", "learning_rate": 0.1, "max_leaf_nodes": 31, "min_samples_leaf": 40}


def fit_boosting(data: TrainingData, seasons: tuple[int, ...], seed: int = 0) -> Forecaster:
    """Fit scikit-learn's histogram gradient boosting to random (window, step, sensor) cells of the training part.

    What is learnt is the departure from the sensor's last known reading in units of its own spread, so that levels that training
    never saw can be forecast; cells count by that spread, as in the mean absolute error. No more trees are grown when the
    validation part gains nothing (without one: random cells of the training part).

    Args:
        data: the series and its parts. seasons: in minutes. seed: of the cells that are drawn.
    """
    features, random = Features(data, seasons), np.random.default_rng(seed)
    train, val = _cells(data, "train", ROWS, random), _cells(data, "val", ROWS // 4, random)
    if not len(val[0]):
        held = random.random(len(train[0])) < 0.2
        train, val = tuple(a[~held] for a in train), tuple(a[held] for a in train)
    model = HistGradientBoostingRegressor(
        max_iter=TREES, early_stopping=len(val[0]) > 0, n_iter_no_change=PATIENCE, tol=1e-5, random_state=seed, **SETTINGS
    )
    has_trees = len(train[0]) > 1
    if has_trees:
        held_out = {"X_val": features(*val), "y_val": features.target(*val), "sample_weight_val": features.std[val[2]]}
        model.fit(
            features(*train), features.target(*train), sample_weight=features.std[train[2]], **(held_out if len(val[0]) else {})
        )

    def forecast(cutoffs: np.ndarray) -> np.ndarray:
        n_sensors = data.part.shape[1]
        size = max(1, ROWS_AT_ONCE // (data.horizon * n_sensors))
        out = np.empty((len(cutoffs), data.horizon, n_sensors), "f4")
        for first in range(0, len(cutoffs), size):
            block = cutoffs[first : first + size]
            shape = (len(block), data.horizon, n_sensors)
            cells = tuple(a.ravel() for a in np.broadcast_arrays(block[:, None, None], *np.ogrid[: shape[1], : shape[2]]))
            departure = model.predict(features(*cells)) if has_trees else 0.0
            out[first : first + size] = (features.last(*cells) + departure * features.std[cells[2]]).reshape(shape)
        return out

    n_numbers = 2 * sum(len(tree.nodes) for trees in model._predictors for tree in trees) if has_trees else 0
    return Forecaster("boosting", n_numbers, data.split.train_start + 1, forecast)


class Features:
    """What is known at a cutoff about a sensor and a step ahead, as numbers; NaN where a reading is missing.

    Args:
        data: the series and its parts. seasons: in minutes.
    """

    def __init__(self, data: TrainingData, seasons: tuple[int, ...]) -> None:
        self.data = data
        series, split, network = data.series, data.split, data.series.network
        self.seasons = tuple(season for season in seasons if data.covers(season))
        self.lags = np.unique(np.geomspace(1, data.lookback, LAGS).round().astype(int))[1:]
        self.mean, self.std = training_scale(series, split)
        self.calendar = Calendar.of(series, split, seasons)
        self.phases = np.stack(self.calendar.phases(series))  # (3, T)
        self.place = network.position_km.astype("f4")
        near = network.neighbours(NEIGHBOURS)[0]
        self.near = near if near.shape[1] else np.arange(network.n_sensors)[:, None]

    @cached_property
    def known(self) -> np.ndarray:
        """(T, N) float32: the last reading since training began, carried forward; before the first one, the sensor's mean."""
        start, out = self.data.split.train_start, np.broadcast_to(self.mean, self.data.series.values.shape).copy()
        for first in range(0, out.shape[1], 256):
            columns = slice(first, first + 256)
            carried = pd.DataFrame(self.data.series.values[start:, columns]).ffill().to_numpy()
            out[start:, columns] = np.where(np.isfinite(carried), carried, out[start:, columns])
        return out

    def last(self, cutoffs: np.ndarray, ahead: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """(R,) the last known reading, in the unit."""
        return self.known[cutoffs - 1, nodes]

    def target(self, cutoffs: np.ndarray, ahead: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """(R,) departure of the truth from the last known reading, in units of the sensor's spread."""
        return (self.data.series.values[cutoffs + ahead, nodes] - self.last(cutoffs, ahead, nodes)) / self.std[nodes]

    def __call__(self, cutoffs: np.ndarray, ahead: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """The features of R cells.

        Args:
            cutoffs: (R,). ahead: (R,) 0 for the first step that is forecast. nodes: (R,) sensors.

        Returns:
            (R, F) float32.
        """
        last, std = self.last(cutoffs, ahead, nodes), self.std[nodes]
        lags = [(self._lookup(self.data.series.values, cutoffs - lag, nodes) - last) / std for lag in self.lags]
        columns = [
            ahead, (last - self.mean[nodes]) / std, *lags,
            *((value - last) / std for value in self._seasonal(cutoffs, ahead, nodes)),
            *self._around(cutoffs, nodes), *self.phases[:, np.minimum(cutoffs + ahead, self.phases.shape[1] - 1)],
            self.mean[nodes], self.std[nodes], *self.place[nodes].T,
        ]  # fmt: skip
        return np.stack([np.asarray(c, dtype="f4") for c in columns], axis=1)

    def _seasonal(self, cutoffs: np.ndarray, ahead: np.ndarray, nodes: np.ndarray) -> list[np.ndarray]:
        """(R,) each: the reading one cycle before the step ahead, the mean of some cycles, and that of the last known step."""
        out = []
        for season in self.seasons:
            period, is_long = self.data.period(season), season > WEEK_MINUTES
            half = SMOOTHING_STEPS // 2 if is_long else 0
            cycles = (ahead + half) // period + 1 + np.arange(CYCLES)[:, None]  # (CYCLES, R) all known at the cutoff
            table = self._smooth if is_long else self.data.series.values
            rows = self._lookup(table, cutoffs + ahead - period * cycles, nodes)
            known = self._lookup(table, cutoffs - 1 - period * (np.arange(CYCLES)[:, None] + 1), nodes)
            out += [rows[0], _mean(rows), _mean(known)]
        return out

    def _lookup(self, table: np.ndarray, steps: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """(..., R) entries of a table (T, N); NaN before training begins."""
        values = table[np.maximum(steps, 0), nodes]
        return np.where(steps >= self.data.split.train_start, values, np.float32(np.nan))

    @cached_property
    def _smooth(self) -> np.ndarray:
        """(T, N) mean of SMOOTHING_STEPS readings around each step."""
        start = self.data.split.train_start
        smooth = uniform_filter1d(self.known[start:], SMOOTHING_STEPS, axis=0, mode="nearest")
        return np.concatenate([self.known[:start], smooth])

    def _around(self, cutoffs: np.ndarray, nodes: np.ndarray) -> list[np.ndarray]:
        """(R,) each: how high the nearest sensors stand now, in units of their spread, and how that changed over 1 and some steps."""
        near = self.near[nodes]  # (R, K)
        some = max(2, self.data.lookback // 4)
        start = self.data.split.train_start
        levels = []
        for back in (1, 2, 1 + some):
            steps = np.maximum(cutoffs - back, start)[:, None]
            levels.append(((self.known[steps, near] - self.mean[near]) / self.std[near]).mean(axis=1))
        return [levels[0], levels[0] - levels[1], levels[0] - levels[2]]


def _mean(rows: np.ndarray) -> np.ndarray:
    """(C, R) → (R,) mean of what is known; NaN where nothing is."""
    seen = np.isfinite(rows)
    count = seen.sum(axis=0)
    return np.where(count > 0, np.where(seen, rows, 0).sum(axis=0) / np.maximum(count, 1), np.float32(np.nan))


def _cells(data: TrainingData, part: str, n_rows: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random observed cells of a part: cutoffs, steps ahead and sensors, (R,) each, R <= n_rows."""
    cutoffs = data.split.cutoffs(part, data.lookback, data.horizon)
    shape = (len(cutoffs), data.horizon, data.part.shape[1])
    total = int(np.prod(shape))
    picked = random.integers(0, total, n_rows) if total > 2 * n_rows else np.arange(total)[random.permutation(total)[:n_rows]]
    window, ahead, nodes = np.unravel_index(picked, shape) if total else (np.zeros(0, int),) * 3
    steps = (cutoffs[window] if total else window) + ahead
    seen = np.isfinite(data.series.values[steps, nodes])
    return steps[seen] - ahead[seen], ahead[seen], nodes[seen]
