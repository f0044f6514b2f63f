"""STID: a plain network that knows which sensor and what time it is by learned vectors."""

from __future__ import annotations

import math

import torch
from torch import nn

from stvlm.evaluation.calendar import Calendar
from stvlm.evaluation.deep.batches import Batch

SIZE = 32  # of each embedding
N_BLOCKS = 3
DROPOUT = 0.15
HARMONICS = 2  # of the year


class Residual(nn.Module):
    """Two linear layers with a ReLU and dropout between them, added to what came in."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(size, size))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., size) → (..., size)."""
        return hidden + self.layers(hidden)


class STID(nn.Module):
    """Shao et al. 2022, "Spatial-Temporal Identity": [past ; sensor ; time of day ; day of week] → residual blocks → future.

    The time is that of the last known step. Where the calendar has the year, a linear map of its first harmonics stands
    beside the paper's vectors: a vector for each day of the year would be seen too rarely.

    Args:
        lookback, horizon: L, H in steps. n_sensors: N. calendar: the cycles known.
    """

    def __init__(self, lookback: int, horizon: int, n_sensors: int, calendar: Calendar) -> None:
        super().__init__()
        self.calendar = calendar
        known = bool(calendar.day_steps) + calendar.has_week  # phases that come with every step of the past
        self.past = nn.Linear(lookback * (1 + known), SIZE)
        self.sensor = nn.Parameter(nn.init.xavier_uniform_(torch.empty(n_sensors, SIZE)))
        self.day = nn.Parameter(nn.init.xavier_uniform_(torch.empty(calendar.day_steps, SIZE))) if calendar.day_steps else None
        self.week = nn.Parameter(nn.init.xavier_uniform_(torch.empty(7, SIZE))) if calendar.has_week else None
        self.year = nn.Linear(2 * HARMONICS, SIZE) if calendar.has_year else None
        width = SIZE * (2 + known + calendar.has_year)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(N_BLOCKS)))
        self.head = nn.Linear(width, horizon)

    def forward(self, batch: Batch) -> torch.Tensor:
        """(B, H, N) scaled."""
        n_windows, _, n_sensors = batch.past.shape
        parts, inputs = [], [batch.past.swapaxes(1, 2)]  # (B, N, L)
        parts.append(self.sensor.expand(n_windows, -1, -1))
        if self.day is not None:
            inputs.append(_spread(batch.day / self.calendar.day_steps, n_sensors))
            parts.append(_spread(self.day[batch.day[:, -1]], n_sensors))
        if self.week is not None:
            inputs.append(_spread(batch.week / 7, n_sensors))
            parts.append(_spread(self.week[batch.week[:, -1]], n_sensors))
        if self.year is not None:
            angle = 2 * math.pi * batch.year[:, -1:] * torch.arange(1, HARMONICS + 1, device=batch.year.device)
            parts.append(_spread(self.year(torch.cat([angle.sin(), angle.cos()], dim=-1)), n_sensors))
        hidden = torch.cat([self.past(torch.cat(inputs, dim=-1)), *parts], dim=-1)  # (B, N, width)
        return self.head(self.blocks(hidden)).swapaxes(1, 2)


def _spread(rows: torch.Tensor, n_sensors: int) -> torch.Tensor:
    """(B, C) → (B, N, C), the same for every sensor."""
    return rows[:, None].expand(-1, n_sensors, -1)
