"""What the past of a network tells by itself: usual reading by phase, spread and autocorrelation of what departs from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft

from stvlm.anchor.features import Transform
from stvlm.core.seasonality import CLIP, YEAR, SeasonalProfile, anomaly_scale, local_seconds
from stvlm.core.series import SensorSeries

MOST_READ = 60_000_000  # readings that are looked at, the last ones: 6,000 steps of 10,000 sensors
MOST_SENSORS = 96  # whose autocorrelation is averaged
LEAST_COUNT = 1e-290  # of faded readings: a network long silent has the mean that it had
LONG_ROW = 512  # numbers of a cycle from which on a loop over the cycles is quicker than a filter
MANY_CYCLES = 20_000  # fewer are gone through sooner than the filter is imported, which takes half a second
PRIOR = 0.5  # readings of the sensor's mean that a phase starts with


class History:
    """The readings of a series as `Recall` reads them.

    Args:
        series: the readings. horizon: H. key: equal for equal series; None: its fingerprint, for which all readings are read once.
    """

    def __init__(self, series: SensorSeries, horizon: int, key: str | None = None) -> None:
        self.values, self.step = series.values, series.step_seconds
        self.first_second = int(series.times[0].astype("int64"))
        self.first_step = self.first_second // self.step  # steps since 1970
        self._series, self._horizon, self._key = series, horizon, key

    @cached_property
    def seconds(self) -> np.ndarray:
        """(T + H,) int64 on the network's clock."""
        return local_seconds(self._series, self._horizon)

    def index(self, second: int) -> int:
        """The step at or after a time (UTC, seconds since 1970); it may lie outside."""
        return -((self.first_second - second) // self.step)

    @property
    def key(self) -> str:
        """Equal for equal series."""
        return self._key or self._series.fingerprint


@dataclass(frozen=True, eq=False)
class ClimatologyState:
    """What the past says: usual reading by phase, spread, autocovariance of the scaled departures, and the steps that were read.

    Attributes:
        profile: on the working scale. scale: (N,) float32. covariance: (K,) float64 by lag. n_steps: read.
    """

    profile: SeasonalProfile
    scale: np.ndarray
    covariance: np.ndarray
    n_steps: int

    @property
    def nbytes(self) -> int:
        """Of its arrays."""
        return self.profile.table.nbytes + self.scale.nbytes + self.covariance.nbytes


def estimate_climatology(past: History, start: int, edge: int, transform: Transform, season: int, memory: int) -> ClimatologyState:
    """What the steps start .. edge - 1 of the past say.

    Args:
        past: the readings. transform: working scale. season: of the usual reading, in seconds. memory: its half-life in cycles, or 0.
    """
    values = transform.forward(past.values[start:edge])
    seconds = past.seconds[start:edge]
    if season == YEAR:
        profile = SeasonalProfile.fit(values, seconds, YEAR, past.step)
        away = values - profile.at(seconds)
    else:
        usual, table = running_climatology(values, seconds, season or past.step, past.step, memory)
        profile = SeasonalProfile(season, past.step, table)
        away = (values - usual)[min(len(values) // 4, 2 * season // past.step) :]
    scale = anomaly_scale(away, values)
    sensors = np.unique(np.linspace(0, away.shape[1] - 1, min(MOST_SENSORS, away.shape[1])).astype(int))
    return ClimatologyState(profile, scale, autocovariance(np.clip(away[:, sensors] / scale[sensors], -CLIP, CLIP)), edge - start)


def running_climatology(
    values: np.ndarray, seconds: np.ndarray, season: int, step: int, memory: int
) -> tuple[np.ndarray, np.ndarray]:
    """The usual reading of each phase as it was known at each step, and as it is known at the end.

    Args:
        values: (T, N). seconds: (T,) local clock. season: length of a cycle in seconds (one step: no season). memory: half-life in
            cycles, 0 for none.

    Returns:
        usual: (T, N) float32, the mean of the same phase in the cycles before. table: (P, N) float32 at the end.
    """
    n_phases = max(season // step, 1)
    cycle, phase = seconds // (n_phases * step), (seconds // step) % n_phases
    cycle = cycle - cycle.min()  # the first step may be a later one than the next: clocks are put back
    seen = np.isfinite(values)
    shape = (int(cycle.max()) + 1, n_phases, values.shape[1])
    total, count = np.zeros(shape, "f8"), np.zeros(shape, "f8")
    total[cycle, phase], count[cycle, phase] = np.where(seen, values, 0), seen
    for each in (total, count):
        _gather(each, 0.5 ** (1 / memory) if memory else 1.0)  # up to and with each cycle
    level = _level(total.sum(axis=1, keepdims=True), count.sum(axis=1, keepdims=True))  # (C, 1, N)
    table = (total + PRIOR * level) / (count + PRIOR)
    before = np.concatenate([table[:1], table[:-1]])  # the first cycle knows no better than itself
    return before[cycle, phase].astype("f4"), table[-1].astype("f4")


def _gather(cycles: np.ndarray, kept: float) -> None:
    """Add to each of the cycles (C, P, N), in place, what is kept of those before."""
    if cycles[0].size < LONG_ROW and len(cycles) > MANY_CYCLES:
        from scipy import signal

        cycles[:] = signal.lfilter([1.0], [1.0, -kept], cycles, axis=0)
        return
    for c in range(1, len(cycles)):
        cycles[c] += kept * cycles[c - 1]


def _level(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Mean of each sensor, (..., N); that of the network where a sensor has said nothing."""
    everyone = total.sum(axis=-1, keepdims=True) / np.maximum(count.sum(axis=-1, keepdims=True), LEAST_COUNT)
    return np.where(count > 1e-6, total / np.maximum(count, 1e-9), everyone)


def autocovariance(away: np.ndarray) -> np.ndarray:
    """(T,) float64: mean product of two departures (T, N) by the steps between them, over the pairs that were observed."""
    seen = np.isfinite(away)
    size = fft.next_fast_len(2 * len(away), real=True)
    power = np.zeros((2, size // 2 + 1))
    for i, part in enumerate((np.where(seen, away, 0), seen)):
        for node in range(part.shape[1]):
            spectrum = fft.rfft(part[:, node].astype("f8"), size)
            power[i] += spectrum.real**2 + spectrum.imag**2
    total, pairs = fft.irfft(power, size)[:, : len(away)]
    return np.where(pairs > 0.5, total / np.maximum(pairs, 1), 0.0)


def carried(values: np.ndarray, at_most: int | None) -> np.ndarray:
    """Readings (T, N) carried forward over gaps, at most so many steps; NaN where there is none."""
    seen = np.isfinite(values)
    if seen.all():
        return values
    step = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(seen, step, -1), axis=0)
    out = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where((last >= 0) & (True if at_most is None else step - last <= at_most), out, np.nan)


def observed_mean(values: np.ndarray, axis: int | tuple[int, ...], dtype: str | None = None) -> np.ndarray:
    """Mean of what is finite, summed as `dtype`; NaN where nothing is."""
    seen = np.isfinite(values)
    count = seen.sum(axis=axis)
    return np.where(count > 0, np.where(seen, values, 0).sum(axis=axis, dtype=dtype) / np.maximum(count, 1), np.nan)
