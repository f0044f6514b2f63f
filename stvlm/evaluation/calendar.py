"""What learnt baselines take from the training part: which phases of time they may know, and the scale of each sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stvlm.data.scaler import SeasonalProfile, scale_of
from stvlm.data.seasons import DAY_MINUTES, WEEK_MINUTES, YEAR_MINUTES
from stvlm.data.series import SensorSeries
from stvlm.data.windows import Split

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
    return mean, scale_of(values - mean, values)
