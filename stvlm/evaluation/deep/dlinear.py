"""DLinear: a moving average parts each sensor's past into trend and rest, and a linear map carries each into the future."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import avg_pool1d, pad

from stvlm.evaluation.deep.batches import Batch

KERNEL = 25  # steps of the moving average, as in the paper


class DLinear(nn.Module):
    """Zeng et al. 2023, "Are Transformers Effective for Time Series Forecasting?": the maps are shared by all sensors.

    Args:
        lookback, horizon: L, H in steps.
    """

    def __init__(self, lookback: int, horizon: int) -> None:
        super().__init__()
        self.kernel = min(KERNEL, lookback - 1 + lookback % 2)  # odd, no longer than the past
        self.trend = nn.Linear(lookback, horizon)
        self.rest = nn.Linear(lookback, horizon)
        for layer in (self.trend, self.rest):  # the paper's own start: the mean of the past
            nn.init.constant_(layer.weight, 1 / lookback)
            nn.init.zeros_(layer.bias)

    def forward(self, batch: Batch) -> torch.Tensor:
        """(B, H, N) scaled."""
        past = batch.past.swapaxes(1, 2)  # (B, N, L)
        half = self.kernel // 2
        trend = avg_pool1d(pad(past, (half, half), mode="replicate"), self.kernel, stride=1)  # (B, N, L)
        return (self.trend(trend) + self.rest(past - trend)).swapaxes(1, 2)
