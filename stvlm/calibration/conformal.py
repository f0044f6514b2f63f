"""Bands around a point forecast that hold what they promise: split conformal, learnt on the validation part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from stvlm.core.forecast import LEVELS

NARROWEST = 0.05  # of a normal band, in units of the usual error: where the errors seen were all nil, as of rain in a dry spell
PRIOR_CELLS = 50  # observed cells by which a sensor's own scale is drawn to that of all


@dataclass(frozen=True, eq=False)
class ConformalBands:
    """Quantiles of the error of a point forecast, by step, in units of each sensor's usual error.

    Attributes:
        levels: Q probabilities, rising, with 0.5 among them.
        scale: (N,) float32 usual absolute error of each sensor, in the unit.
        offsets: (Q, H) float32 distance of each level from the point, in units of `scale`; rising along Q, 0 at 0.5.
        floor: no quantile is below it (unless the point itself is); None for no floor.
    """

    levels: tuple[float, ...]
    scale: np.ndarray
    offsets: np.ndarray
    floor: float | None = None

    @classmethod
    def fit(
        cls, point: np.ndarray, truth: np.ndarray, levels: tuple[float, ...] = LEVELS, floor: float | None = None
    ) -> ConformalBands:
        """Learn the bands from errors on windows that the forecaster was not fitted on.

        Args:
            point: (W, H, N). truth: (W, H, N), NaN = missing. levels, floor: as the attributes.

        Raises:
            ValueError: nothing was observed.
        """
        seen = np.isfinite(truth)
        if not seen.any():
            raise ValueError("No reading was observed in the windows that the bands should be learnt from.")
        error = np.where(seen, truth - point, 0).astype("f4")
        scale = _scale(error, seen)
        error = np.where(seen, error / scale, np.nan).swapaxes(1, 2).reshape(-1, point.shape[1])
        return cls(levels, scale, conformal_offsets(error, levels).astype("f4"), floor)

    def apply(self, point: np.ndarray) -> np.ndarray:
        """Point forecasts (W, H, N) → quantiles (Q, W, H, N) float32, the point at level 0.5."""
        quantiles = (point[None] + self.offsets[:, None, :, None] * self.scale).astype("f4")
        if self.floor is not None:
            np.maximum(quantiles, np.minimum(point, self.floor), out=quantiles)
        return quantiles


def conformal_offsets(error: np.ndarray, levels: Sequence[float], unit: float = 1.0) -> np.ndarray:
    """(Q, H) float64: how far each quantile lies from the point forecast, by step; rising along Q, 0 in the middle, nowhere else.

    With n errors of a step, a level a above 0.5 takes the ceil((n + 1) a)-th smallest of them and a level below 0.5 the
    floor((n + 1) a)-th, so that bands are not too narrow where n is small; beyond the errors seen, it takes the outermost. A step of
    which no error is known takes those of all.

    Args:
        error: (K, H) truth less point forecast, NaN = not known, at least one known. levels: Q probabilities, rising, 0.5 among
            them. unit: the usual error.
    """
    middle = list(levels).index(0.5)
    away = np.abs([NormalDist().inv_cdf(min(max(level, 0.001), 0.999)) for level in levels]) * NARROWEST * unit
    pooled, found = np.sort(error[np.isfinite(error)]), np.zeros((len(levels), error.shape[1]))
    for step in range(error.shape[1]):
        mine = np.sort(error[np.isfinite(error[:, step]), step])
        found[:, step] = [_order_statistic(mine if len(mine) else pooled, level) for level in levels]
    found[:middle], found[middle], found[middle + 1 :] = np.minimum(found[:middle], 0), 0, np.maximum(found[middle + 1 :], 0)
    lower, upper = (np.where(found == 0, sign * away[:, None], found) for sign in (-1, 1))
    found[:middle] = np.minimum.accumulate(lower[:middle][::-1])[::-1]
    found[middle + 1 :] = np.maximum.accumulate(upper[middle + 1 :])
    return found


def _order_statistic(ordered: np.ndarray, level: float) -> float:
    """The finite-sample quantile of sorted errors (n,), n > 0."""
    n = len(ordered)
    rank = np.ceil((n + 1) * level - 1e-9) if level > 0.5 else np.floor((n + 1) * level + 1e-9)
    return float(ordered[int(np.clip(rank, 1, n)) - 1])


def _scale(error: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(N,) mean absolute error of each sensor, drawn to that of all where little was observed; > 0."""
    total, count = np.abs(error).sum(axis=(0, 1), dtype="f8"), seen.sum(axis=(0, 1))
    everyone = total.sum() / count.sum() or 1.0
    scale = (total + PRIOR_CELLS * everyone) / (count + PRIOR_CELLS)
    return np.maximum(scale, 1e-6 * everyone).astype("f4")
