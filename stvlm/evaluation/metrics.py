"""Scores over the observed cells, in the unit of the readings, and paired intervals of their differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stvlm.core.forecast import LEVELS


class Scores:
    """Scores of one forecaster, added up block by block, so that a long test part is never in memory at once.

    A cell is one (window, step, sensor). Cells whose truth is missing do not count. Sums are float64.

    Args:
        levels: the Q probabilities of the quantiles that `add` gets, rising, with 0.5 among them.
    """

    def __init__(self, levels: tuple[float, ...] = LEVELS) -> None:
        if 0.5 not in levels or list(levels) != sorted(set(levels)):
            raise ValueError(f"levels must rise and hold 0.5: {levels}.")
        self.levels = levels
        self._bands = band_places(levels)
        self._has_bands = True
        self._absolute: np.ndarray | None = None  # (H, N)
        self._count: np.ndarray | None = None  # (H, N)
        self._sums: np.ndarray | None = None  # (4, H): error, its square, truth, its square
        self._pinball = 0.0
        self._inside = dict.fromkeys(self._bands, 0)
        self._width = dict.fromkeys(self._bands, 0.0)

    def add(self, forecast: np.ndarray, truth: np.ndarray) -> None:
        """Add the forecasts of some windows.

        Args:
            forecast: (Q, W, H, N) quantiles, or (W, H, N) where there is only a median.
            truth: (W, H, N), NaN = missing.

        Raises:
            ValueError: shapes that differ.
            FloatingPointError: a forecast is not a finite number, whether its truth is known or not.
        """
        quantiles = forecast if forecast.ndim == 4 else None
        median = forecast if quantiles is None else forecast[self.levels.index(0.5)]
        if median.shape != truth.shape or (quantiles is not None and len(quantiles) != len(self.levels)):
            raise ValueError(f"A forecast {forecast.shape} does not match a truth {truth.shape} and {len(self.levels)} levels.")
        wrong = int(forecast.size - np.isfinite(forecast).sum())
        if wrong:
            raise FloatingPointError(f"{wrong} of {forecast.size} forecast values are not finite numbers.")
        seen = np.isfinite(truth)
        truth = np.where(seen, truth, 0).astype("f8")
        error = np.where(seen, median - truth, 0)  # (W, H, N)
        if self._absolute is None:
            self._absolute, self._count = np.zeros(truth.shape[1:]), np.zeros(truth.shape[1:], "i8")
            self._sums = np.zeros((4, truth.shape[1]))
        self._absolute += np.abs(error).sum(axis=0)
        self._count += seen.sum(axis=0)
        self._sums += np.stack([array.sum(axis=(0, 2)) for array in (error, error**2, truth, truth**2)])
        if quantiles is None:
            self._has_bands = False
            return
        for weight, level, row in zip(level_weights(self.levels), self.levels, quantiles, strict=True):
            miss = np.where(seen, truth - row, 0)
            self._pinball += 2 * weight * float(np.maximum(level * miss, (level - 1) * miss).sum())
        for share, (low, high) in self._bands.items():
            self._inside[share] += int(((quantiles[low] <= truth) & (truth <= quantiles[high]) & seen).sum())
            self._width[share] += float(np.where(seen, quantiles[high].astype("f8") - quantiles[low], 0).sum())

    @property
    def cells(self) -> int:
        """Observed cells so far."""
        return 0 if self._count is None else int(self._count.sum())

    def mae_per_sensor(self) -> np.ndarray:
        """(N,) float64 in the unit; NaN for a sensor that was never observed."""
        return _ratio(self._absolute.sum(axis=0), self._count.sum(axis=0))

    def of_steps(self, steps: slice) -> dict[str, float | None]:
        """Scores of the median over some steps of the horizon, as the T-GCN paper reports them (Zhao et al. 2020).

        Returns:
            mae, rmse: in the unit. accuracy: 1 - |error| / |truth| (Frobenius norms). r2: 1 - |error|² / |truth - its mean|².
            explained: 1 - var(error) / var(truth). The last three are None where their divisor is 0, all where nothing was observed.
        """
        cells = int(self._count[steps].sum())
        if cells == 0:
            return dict.fromkeys(("mae", "rmse", "accuracy", "r2", "explained"))
        error, square, truth, truth_square = self._sums[:, steps].sum(axis=1)
        spread = max(truth_square - truth**2 / cells, 0.0)
        varies = spread > 1e-12 * truth_square
        return {
            "mae": float(self._absolute[steps].sum() / cells),
            "rmse": float(np.sqrt(square / cells)),
            "accuracy": float(1 - np.sqrt(square / truth_square)) if truth_square > 0 else None,
            "r2": float(1 - square / spread) if varies else None,
            "explained": float(1 - (square - error**2 / cells) / spread) if varies else None,
        }

    def result(self) -> dict:
        """The scores as plain numbers.

        Returns:
            mae, rmse, accuracy, r2, explained: as `of_steps`, over all steps. width_50, width_80, width_95, crps: in the unit.
            mae_per_step: H numbers, None for a step that was never observed. coverage_50, coverage_80, coverage_95: shares.
            cells: how many counted. What needs bands is None without them.

        Raises:
            ValueError: no cell was observed.
        """
        cells = self.cells
        if cells == 0:
            raise ValueError("No reading was observed in these windows, so there is nothing to score.")
        per_step = _ratio(self._absolute.sum(axis=1), self._count.sum(axis=1))
        out = {
            **self.of_steps(slice(None)),
            "mae_per_step": [float(v) if np.isfinite(v) else None for v in per_step],
            "crps": self._pinball / cells if self._has_bands else None,
            "cells": cells,
        }
        for share in self._bands:
            name = f"{round(share * 100)}"
            out[f"coverage_{name}"] = self._inside[share] / cells if self._has_bands else None
            out[f"width_{name}"] = self._width[share] / cells if self._has_bands else None
        return out


def score(forecast: np.ndarray, truth: np.ndarray, levels: tuple[float, ...] = LEVELS) -> dict:
    """All scores of forecasts that are in memory at once; arguments and answer as in `Scores`."""
    scores = Scores(levels)
    scores.add(forecast, truth)
    return scores.result()


def mae(forecast: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error of a median (..., H, N) over the observed cells, in the unit."""
    return float(np.abs(_errors(forecast, truth)).mean())


def rmse(forecast: np.ndarray, truth: np.ndarray) -> float:
    """Root of the mean squared error of a median (..., H, N) over all observed cells, in the unit."""
    return float(np.sqrt((_errors(forecast, truth) ** 2).mean()))


def accuracy(forecast: np.ndarray, truth: np.ndarray) -> float:
    """1 - |error| / |truth|, Frobenius norms over the observed cells of (..., H, N)."""
    return float(1 - np.linalg.norm(_errors(forecast, truth)) / np.linalg.norm(truth[np.isfinite(truth)].astype("f8")))


def pinball(quantile: np.ndarray, truth: np.ndarray, level: float) -> float:
    """Mean quantile loss of one level over the observed cells of (..., H, N), in the unit."""
    miss = -_errors(quantile, truth)
    return float(np.maximum(level * miss, (level - 1) * miss).mean())


def crps_from_quantiles(quantiles: np.ndarray, truth: np.ndarray, levels: tuple[float, ...] = LEVELS) -> float:
    """Continuous ranked probability score in the unit: twice the quantile loss, integrated over the levels.

    Each level stands for the probabilities nearest to it. Of quantiles that are all the same it is the absolute error.

    Args:
        quantiles: (Q, ..., H, N). truth: (..., H, N), NaN = missing. levels: Q probabilities.
    """
    weights = level_weights(levels)
    return float(sum(2 * w * pinball(row, truth, level) for w, level, row in zip(weights, levels, quantiles, strict=True)))


def coverage(low: np.ndarray, high: np.ndarray, truth: np.ndarray) -> float:
    """Share of the observed cells (..., H, N) that lie within low … high, the bounds included."""
    seen = np.isfinite(truth)
    return float(((low <= truth) & (truth <= high))[seen].mean())


def interval_width(low: np.ndarray, high: np.ndarray, truth: np.ndarray) -> float:
    """Mean width of low … high over the observed cells (..., H, N), in the unit."""
    return float((high.astype("f8") - low)[np.isfinite(truth)].mean())


def level_weights(levels: tuple[float, ...]) -> np.ndarray:
    """(Q,) share of the probabilities 0 … 1 that each level stands for; sums to 1."""
    middles = (np.array(levels[1:]) + np.array(levels[:-1])) / 2
    return np.diff(np.concatenate([[0.0], middles, [1.0]]))


def band_places(levels: tuple[float, ...]) -> dict[float, tuple[int, int]]:
    """Share that a central band should hold → places of its bounds among the levels, narrow first."""
    rounded = [round(a, 6) for a in levels]
    lower = [a for a in rounded if a < 0.5 and round(1 - a, 6) in rounded]
    return {round(1 - 2 * a, 6): (rounded.index(a), rounded.index(round(1 - a, 6))) for a in reversed(lower)}


def _errors(forecast: np.ndarray, truth: np.ndarray) -> np.ndarray:
    seen = np.isfinite(truth)
    return forecast[seen].astype("f8") - truth[seen]


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


# Paired block bootstrap of the difference between two models.

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
