"""What is normal for a sensor at a time, and how far readings stray from it: seasonal profile and scale of the training part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from stvlm.data.series import SensorSeries, to_local

DAY, WEEK = 86400, 604800
YEAR = 31556952  # mean Gregorian year in seconds
FEW = 30  # readings by which a spread far below the network's is not believed
ROUNDING = 16 * float(np.finfo("f4").eps)  # of a reading: departures no larger come from how numbers are kept
CLIP = 8.0  # scaled departures beyond this are readings gone wrong, or as good as that


def local_seconds(series: SensorSeries, extra: int = 0) -> np.ndarray:
    """(T + extra,) int64: seconds since 1970 on the network's own clock, `extra` steps past the end."""
    return to_local(series.times_after(0, series.n_steps + extra), series.timezone).astype("int64")


@dataclass(frozen=True, eq=False)
class SeasonalProfile:
    """The usual reading of each sensor by phase of a season, from the training part alone.

    Attributes:
        season_seconds: 0 (flat: the mean), a day, a week or a year.
        step_seconds: length of a step.
        table: (P, N) float32, one row a phase; for a year five coefficients: mean and two harmonics of the day of year.
    """

    season_seconds: int
    step_seconds: int
    table: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, seconds: np.ndarray, season_seconds: int, step_seconds: int) -> SeasonalProfile:
        """Average readings by phase; a phase never observed takes the daily mean, then the sensor's, then the network's.

        Args:
            values: (T, N) float32, NaN = missing. seconds: (T,) int64, local clock.
            season_seconds: 0, or the season's length. step_seconds: length of a step.
        """
        flat = _mean(values.sum(axis=0, where=np.isfinite(values), dtype="f8"), np.isfinite(values).sum(axis=0), np.float64(0))
        seen = np.isfinite(flat) & np.isfinite(values).any(axis=0)
        flat = np.where(seen, flat, flat[seen].mean() if seen.any() else 0.0)[None]  # (1, N)
        if season_seconds == YEAR:
            return cls(season_seconds, step_seconds, _harmonics(values, seconds, flat).astype("f4"))
        table = flat
        for season in (DAY, WEEK):
            if season_seconds >= season and season > step_seconds:
                table = _phase_mean(values, seconds, season, step_seconds, table)
        return cls(season_seconds, step_seconds, table.astype("f4"))

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """(..., N) float32 in the unit of the readings: the usual reading at local times `seconds` (...)."""
        if self.season_seconds == YEAR:
            return (_yearly(seconds) @ self.table.astype("f8")).astype("f4")
        return self.table[phase_of(seconds, len(self.table), self.step_seconds)]


def phase_of(seconds: np.ndarray, n_phases: int, step_seconds: int) -> np.ndarray:
    """Phase 0 .. n_phases - 1 of local times; one phase is one step."""
    return (seconds // step_seconds) % n_phases


def scale_of(departures: np.ndarray, readings: np.ndarray) -> np.ndarray:
    """(N,) float32: spread of each sensor's departures (T, N); one that stood still, or was hardly read, takes the network's spread.

    A brook beside a river keeps its own, however small: else its bands would be as wide as the river's.

    Args:
        departures: (T, N). readings: (T', N), whose size says how exact departures are.
    """
    seen = np.isfinite(departures)
    square = np.where(seen, departures, 0).astype("f8") ** 2
    count = seen.sum(axis=0)
    std = np.sqrt(square.sum(axis=0) / np.maximum(count, 1))
    pooled = np.sqrt(square.sum() / max(count.sum(), 1)) or 1.0
    few = (count < 2) | ((count < FEW) & (std < 0.05 * pooled))
    still = std <= ROUNDING * np.fmax.reduce(np.abs(readings), axis=0, initial=0.0)
    return np.maximum(np.where(few | still, pooled, std), np.finfo("f4").tiny).astype("f4")


def _mean(total: np.ndarray, count: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    return np.where(count > 0, total / np.maximum(count, 1), otherwise)


def _phase_mean(values: np.ndarray, seconds: np.ndarray, season: int, step_seconds: int, fallback: np.ndarray) -> np.ndarray:
    """(P, N) float64: mean by phase; `fallback` (p, N) repeats along the phases where nothing was observed."""
    n_phases = max(season // step_seconds, 1)
    phase = phase_of(seconds, n_phases, step_seconds)
    seen = np.isfinite(values)
    pick = sparse.csr_matrix((np.ones(len(phase), "f4"), (phase, np.arange(len(phase)))), shape=(n_phases, len(phase)))
    total, count = pick @ np.where(seen, values, 0).astype("f8"), pick @ seen.astype("f8")
    return _mean(total, count, np.resize(fallback, total.shape))


def _yearly(seconds: np.ndarray) -> np.ndarray:
    angle = 2 * np.pi * (np.asarray(seconds, dtype="f8") / YEAR)
    return np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], axis=-1)


def _harmonics(values: np.ndarray, seconds: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """(5, N) float64: least squares on mean and two yearly harmonics; with under a year observed, the mean alone."""
    basis = _yearly(seconds)  # (T, 5)
    table = np.zeros((5, values.shape[1]))
    table[0] = flat[0]
    for node in range(values.shape[1]):
        seen = np.isfinite(values[:, node])
        if seen.sum() * (seconds[1] - seconds[0]) >= YEAR * 0.7:
            gram = basis[seen].T @ basis[seen] + 1e-6 * seen.sum() * np.eye(5)
            table[:, node] = np.linalg.solve(gram, basis[seen].T @ values[seen, node])
    return table
