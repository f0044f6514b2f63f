"""Series tokens in, quantiles out: a departure from the anchor."""

from __future__ import annotations

import torch
from torch import nn

from stvlm.core.forecast import LEVELS

MEDIAN = LEVELS.index(0.5)
LOUD = 4.0  # what is drawn from words is nearly 0 but for the few sensors that they speak of: so that these are heard


class QuantileHead(nn.Module):
    """Shift of the median and width of the bands for each step; all zero at the start, so that the forecast is the anchor.

    Args:
        hidden_size: D. horizon: H. drawn_size: heads D_head of the fusing layer.
    """

    def __init__(self, hidden_size: int, horizon: int, drawn_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.out = nn.Linear(2 * hidden_size + drawn_size, 3 * horizon)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, hidden: torch.Tensor, token: torch.Tensor, drawn: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Read the fused tokens.

        Args:
            hidden: (B, N, D) after the backbone. token: (B, N, D) before it, so that the series path alone can forecast.
            drawn: (B, N, heads D_head) what the fusion drew from image and words in particular, or None: a rare fact must not have to find
                its way through layers of noise.

        Returns:
            shift, log_low, log_high: (B, H, N) each: shift of the median in scaled departures, and the logarithm by which the
            lower and the upper half of every band is wider than usual (within a factor of 20).
        """
        n_drawn = self.out.in_features - 2 * token.shape[-1]
        told = token.new_zeros(*token.shape[:2], n_drawn) if drawn is None else LOUD * drawn.to(token)
        out = self.out(torch.cat([self.norm(hidden), token, told], dim=-1))  # (B, N, 3 H)
        shift, low, high = out.swapaxes(1, 2).chunk(3, dim=1)
        return shift, 3 * torch.tanh(low / 3), 3 * torch.tanh(high / 3)


def departures_of_levels(
    shift: torch.Tensor, log_low: torch.Tensor, log_high: torch.Tensor, spread: torch.Tensor, levels: tuple[int, ...] | None = None
) -> torch.Tensor:
    """Scaled departures from the anchor for each quantile; they never cross.

    Args:
        shift, log_low, log_high: (B, H, N). spread: (Q, H), rising along Q, 0 at the median: usual distance of each quantile
            from the median. levels: which of the Q quantiles; None for all.

    Returns:
        (q, B, H, N).
    """
    rows = []
    for level in range(len(spread)) if levels is None else levels:
        width = log_low.exp() if level < MEDIAN else log_high.exp()
        rows.append(shift if level == MEDIAN else shift + width * spread[level][None, :, None])
    return torch.stack(rows)
