"""How sure a difference between two models is: an interval paired by seed and by stretches of test windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 4000
SOURCE = (
    "95 % percentile interval of a circular block bootstrap over the test windows (Künsch 1989; Politis & Romano 1992), the seeds "
    "drawn again with each draw and their departures widened by sqrt(S / (S - 1)) (Davison & Hinkley 1997, section 3.8)"
)


@dataclass(frozen=True)
class Interval:
    """A difference of mean absolute errors, in the unit.

    Attributes:
        value: over all seeds and windows. low, high: 95 % interval. n_seeds: that were paired.
        block: windows that were drawn together. n_blocks: how many such stretches the test part holds.
    """

    value: float
    low: float
    high: float
    n_seeds: int
    block: int
    n_blocks: float


def paired_interval(difference: np.ndarray, cells: np.ndarray, block: int, seed: int = 0) -> Interval:
    """The mean difference of two models on the same windows, with an interval.

    Neighbouring windows share most of their steps, so windows are drawn in stretches; a stretch of lookback + horizon windows
    is one after which two windows share no step. Seeds are paired: seed s of one model with seed s of the other.

    Args:
        difference: (S, W) sums over the observed cells of a window of |error of one| - |error of the other|, in the unit.
        cells: (W,) observed cells of each window. block: W_b, windows drawn together. seed: of the draws.

    Raises:
        ValueError: nothing was observed.
    """
    difference, cells = np.asarray(difference, "f8"), np.asarray(cells, "f8")
    n_seeds, n_windows = difference.shape
    if cells.sum() == 0:
        raise ValueError("No reading was observed in these windows, so there is nothing to compare.")
    block = min(block, n_windows)
    rng = np.random.default_rng(seed)
    shared = difference.mean(axis=0)
    widened = shared + (difference - shared) * np.sqrt(n_seeds / max(n_seeds - 1, 1))
    numerator, denominator = _stretches(widened, block), _stretches(cells[None], block)[0]  # (S, W), (W,)
    starts = rng.integers(0, n_windows, (DRAWS, -(-n_windows // block)))
    weights = np.stack([np.bincount(row, minlength=n_seeds) for row in rng.integers(0, n_seeds, (DRAWS, n_seeds))])  # (R, S)
    per_seed = numerator[:, starts].sum(axis=-1)  # (S, R)
    drawn = (per_seed.T * weights).sum(axis=1) / n_seeds / np.maximum(denominator[starts].sum(axis=1), 1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = difference.sum() / (n_seeds * cells.sum())
    return Interval(float(value), float(low), float(high), n_seeds, block, n_windows / block)


def _stretches(rows: np.ndarray, block: int) -> np.ndarray:
    """(S, W) → (S, W): the sum of the `block` entries from each place on, going round at the end."""
    total = np.concatenate([np.zeros((len(rows), 1)), np.concatenate([rows, rows[:, :block]], axis=1).cumsum(axis=1)], axis=1)
    return total[:, block : block + rows.shape[1]] - total[:, : rows.shape[1]]
