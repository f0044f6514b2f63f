"""Images without a place on earth: who moves with whom and who leads, and each sensor over time."""

from __future__ import annotations

import torch

from stvlm.modalities.curve import SensorCurve, overlaps

STILL = 1e-6  # variance added to each sensor's own: one that does not move has correlation 0
NONE = 1e-6  # share of observed pairs below which nothing is known


def relations(curve: SensorCurve, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """Correlation, closeness and lead of the sensors of two pixels, row and column along the curve.

    With z = (x - mean) / spread of what was observed of a sensor, and 0 elsewhere, the mean correlation of the pairs of two pixels
    is (sum over t of z_a z_b) / (sum over t of m_a m_b), z_a and m_a being pooled over the pixel's sensors first: two products
    of (G, L) matrices, and no (N, N) matrix. Pairs count as often as both were observed.

    Args:
        curve: of the network. past: (B, L, N) scaled departures without gaps. observed: (B, L, N) bool.

    Returns:
        (B, 3, G, G) float32, differentiable in `past`: correlation over the lookback in -1 … 1, closeness in 0 … 1, and lead in
        -1 … 1: the correlation of the row one step earlier with the column, less that of the column one step earlier with the row.
    """
    pool = curve.pool.to(past.device).T  # (N, G)
    seen = observed.float()
    count = seen.sum(dim=1, keepdim=True).clamp(min=1)
    held = torch.where(observed, past, 0).float()
    away = (held - held.sum(dim=1, keepdim=True) / count) * seen
    spread = (away.square().sum(dim=1, keepdim=True) / count + STILL).sqrt()
    z, m = (away / spread) @ pool, seen @ pool  # (B, L, G) each
    both = _correlation(z, m, z, m)
    earlier = _correlation(z[:, :-1], m[:, :-1], z[:, 1:], m[:, 1:])  # row earlier, column later
    lead = (earlier - earlier.transpose(1, 2)).clamp(-1, 1)
    return torch.stack([both, curve.closeness.to(past.device).expand_as(both), lead], dim=1)


def _correlation(z: torch.Tensor, m: torch.Tensor, other_z: torch.Tensor, other_m: torch.Tensor) -> torch.Tensor:
    """(B, G, G) in -1 … 1 of pooled z and m, (B, L, G) each; 0 where no two were observed together."""
    pairs = m.transpose(1, 2) @ other_m
    return (z.transpose(1, 2) @ other_z / pairs.clamp(min=NONE)).clamp(-1, 1)


def space_time(curve: SensorCurve, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """The lookback of all sensors: a row for each place on the curve, the oldest step on the left.

    Args:
        curve, past, observed: as in `relations`.

    Returns:
        (B, 3, G, G) float32, differentiable in `past`: departure, its change from the step before, and the share observed.
    """
    size, steps = len(curve.pool), past.shape[1]
    sensors = curve.pool.to(past.device)  # (G, N)
    columns = torch.from_numpy(overlaps(steps, size)).float().to(past.device).T  # (L, G)
    seen = observed.float()
    held = torch.where(observed, past, 0).float()
    pair = seen * torch.cat([torch.zeros_like(seen[:, :1]), seen[:, :-1]], dim=1)  # also observed the step before
    step = (held - torch.cat([torch.zeros_like(held[:, :1]), held[:, :-1]], dim=1)) * pair

    def pool(values: torch.Tensor) -> torch.Tensor:
        return sensors @ values.transpose(1, 2) @ columns  # (B, G, G)

    share, pairs = pool(seen), pool(pair)
    return torch.stack([pool(held) / share.clamp(min=NONE), pool(step) / pairs.clamp(min=NONE), share], dim=1)
