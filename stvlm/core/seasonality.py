"""Seasonal profile and scale of a series, fitted on its training part, and detection of its seasons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from stvlm.core.outliers import outsized
from stvlm.core.series import SensorSeries, to_local

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
        flat = _mean(values.sum(axis=0, where=np.isfinite(values), dtype="f8"), np.isfinite(values).sum(axis=0), np.zeros(()))
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


def anomaly_scale(departures: np.ndarray, readings: np.ndarray) -> np.ndarray:
    """(N,) float32: spread of each sensor's departures (T, N); one that stood still, or was hardly read, takes the network's spread.

    A brook beside a river keeps its own, however small: else its bands would be as wide as the river's.

    Args:
        departures: (T, N). readings: (T', N), whose size says how exact departures are.
    """
    seen = np.isfinite(departures)
    square = np.where(seen, departures, 0).astype("f8") ** 2
    count = seen.sum(axis=0)
    std = np.sqrt(square.sum(axis=0) / np.maximum(count, 1))
    alike = ~outsized(std)
    pooled = np.sqrt((square * alike).sum() / max((count * alike).sum(), 1)) or 1.0
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


# Detection of seasons: day, week or year, from the training part alone.

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
