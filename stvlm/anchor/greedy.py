"""A greedy choice of forecasts whose mean is nearest to the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def greedy_counts(rows: Sequence[np.ndarray], wanted: np.ndarray, rounds: int, enough: float, at_most: int) -> np.ndarray:
    """How often each forecast is taken when the one that lowers the mean error most is added, again and again.

    With repetition, as in Caruana et al. 2004, *Ensemble selection from libraries of models*.

    Args:
        rows: M arrays (K,), the forecasts of K cells. wanted: (K,) their truth. rounds: forecasts that are added at most.
        enough: the error has to fall to this share of what it was, else no more is added. at_most: different forecasts.

    Returns:
        (M,) int counts.
    """
    total, counts, lowest = np.zeros_like(wanted), np.zeros(len(rows), int), np.inf
    for done in range(rounds):
        errors = [float(np.abs((total + row) / (done + 1) - wanted).mean(dtype="f8")) for row in rows]
        pick = int(np.argmin(errors))
        if errors[pick] > lowest * enough or ((counts > 0).sum() == at_most and not counts[pick]):
            break
        total, lowest = total + rows[pick], errors[pick]
        counts[pick] += 1
    return counts
