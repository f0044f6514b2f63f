"""Bands around a point forecast that hold what they promise: split conformal, learnt on the validation part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stvlm.core.forecast import LEVELS, order_statistic

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

        With n errors of a step, a level a above 0.5 takes the ceil((n + 1) a)-th smallest of them and a level below 0.5 the
        floor((n + 1) a)-th, so that bands are not too narrow where n is small; beyond the errors seen, it takes the largest.

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
        error = error / scale
        pooled = np.sort(error[seen])
        offsets = np.zeros((len(levels), point.shape[1]))
        for step in range(point.shape[1]):
            mine = np.sort(error[:, step][seen[:, step]])
            ordered = mine if len(mine) else pooled
            offsets[:, step] = [order_statistic(ordered, level) for level in levels]
        signs = np.sign(np.array(levels) - 0.5)[:, None]
        offsets = np.where(signs > 0, np.maximum(offsets, 0), np.where(signs < 0, np.minimum(offsets, 0), 0))
        return cls(levels, scale, offsets.astype("f4"), floor)

    def apply(self, point: np.ndarray) -> np.ndarray:
        """Point forecasts (W, H, N) → quantiles (Q, W, H, N) float32, the point at level 0.5."""
        quantiles = (point[None] + self.offsets[:, None, :, None] * self.scale).astype("f4")
        if self.floor is not None:
            np.maximum(quantiles, np.minimum(point, self.floor), out=quantiles)
        return quantiles


def _scale(error: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(N,) mean absolute error of each sensor, drawn to that of all where little was observed; > 0."""
    total, count = np.abs(error).sum(axis=(0, 1), dtype="f8"), seen.sum(axis=(0, 1))
    everyone = total.sum() / count.sum() or 1.0
    scale = (total + PRIOR_CELLS * everyone) / (count + PRIOR_CELLS)
    return np.maximum(scale, 1e-6 * everyone).astype("f4")
