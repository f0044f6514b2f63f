"""How long a training goes on, how fast, and what it must gain to be taken."""

from __future__ import annotations

import numpy as np

ENOUGH = 50  # training windows that share no reading


def needed_gain(min_gain: float, apart: float) -> float:
    """Share by which the network must lower the validation error: more where it learnt from few windows that share no reading.

    A short validation part beside a short training part is of the same weather, and flatters what was learnt by heart.

    Args:
        min_gain: with ENOUGH such windows or more. apart: how many there are.
    """
    return min_gain * max(1.0, ENOUGH / max(apart, 1.0))


def default_rate(backbone_name: str) -> float:
    """The learning rate: higher for a small random backbone than for one with something to keep."""
    small = backbone_name in ("tiny", "plain") or backbone_name.startswith("random:")
    return 2e-3 if small else 3e-4


def planned_steps(n_windows: int, batch_size: int) -> int:
    """Steps by the amount of data: about ten passes, between 60 and 900."""
    return int(np.clip(10 * n_windows / batch_size, 60, 900))


def schedule(step: int, total: int) -> float:
    """Share of the learning rate: a warm-up over the first tenth, then a cosine to 0."""
    warm = max(total // 10, 1)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + float(np.cos(np.pi * (step - warm) / max(total - warm, 1))))
