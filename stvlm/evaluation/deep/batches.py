"""Windows as the deep baselines read them: scaled by the training part, with the phase of the day, the week and the year."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from stvlm.data.series import SensorSeries
from stvlm.data.windows import Split
from stvlm.evaluation.calendar import Calendar, training_scale


@dataclass(frozen=True, eq=False)
class Batch:
    """Some windows.

    Attributes:
        past: (B, L, N) float32, scaled; 0 (the sensor's mean) where a reading is missing.
        day, week: (B, L) int64 phase of each past step: step of the day, day of the week; 0 where unknown.
        year: (B, L) float32 part of the year that has gone by, 0 … 1.
        target: (B, H, N) float32 in the unit; NaN = left out.
    """

    past: torch.Tensor
    day: torch.Tensor
    week: torch.Tensor
    year: torch.Tensor
    target: torch.Tensor


class Batches:
    """Cuts and scales windows of one series; what it scales by comes from the training part alone.

    Args:
        series: readings. split: its parts. lookback, horizon: L, H in steps. seasons: in minutes. device: of the batches.
    """

    def __init__(
        self,
        series: SensorSeries,
        split: Split,
        lookback: int,
        horizon: int,
        seasons: tuple[int, ...],
        device: torch.device,
    ) -> None:
        self.series, self.lookback, self.horizon, self.device = series, lookback, horizon, device
        self.calendar = Calendar.of(series, split, seasons)
        self.mean, self.std = training_scale(series, split)
        self._day, self._week, self._year = self.calendar.phases(series)

    @property
    def n_sensors(self) -> int:
        """Number of sensors N."""
        return self.series.network.n_sensors

    def cut(self, cutoffs: np.ndarray) -> Batch:
        """The windows of some cutoffs (B,); steps past the end of the series have no target."""
        before = cutoffs[:, None] + np.arange(-self.lookback, 0)  # (B, L)
        after = cutoffs[:, None] + np.arange(self.horizon)  # (B, H)
        past = np.nan_to_num((self.series.values[before] - self.mean) / self.std)
        inside = after < self.series.n_steps
        target = np.where(inside[..., None], self.series.values[np.minimum(after, self.series.n_steps - 1)], np.float32(np.nan))
        arrays = past, self._day[before], self._week[before], self._year[before], target
        return Batch(*(torch.from_numpy(np.ascontiguousarray(a)).to(self.device) for a in arrays))

    def unscaled(self, forecast: torch.Tensor) -> torch.Tensor:
        """(B, H, N) scaled → in the unit of the series."""
        mean, std = (torch.from_numpy(a).to(forecast) for a in (self.mean, self.std))
        return forecast * std + mean
