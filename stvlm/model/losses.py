"""What a training lowers, and the width of the bands that it ends with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from stvlm.anchor.ridge import RidgeMember
from stvlm.calibration.conformal import conformal_offsets
from stvlm.calibration.online import OnlineCalibrator
from stvlm.core.forecast import LEVELS
from stvlm.modalities.batch import InputBuilder, ModelInputs
from stvlm.model.head import MEDIAN
from stvlm.model.stvlm import STVLM, ModelOutput

TRAINED_LEVELS = (LEVELS.index(0.1), MEDIAN, LEVELS.index(0.9))
LEVEL_WEIGHTS = (0.5, 2.0, 0.5)
NEWS_SHARE, NEWS_TIMES = 0.2, 5.0  # of the windows drawn, where fewer have news; no window is drawn so many times more often


def pinball_loss(model: STVLM, inputs: ModelInputs) -> torch.Tensor:
    """Weighted quantile loss over the observed cells of a batch, in the unit of the readings."""
    quantiles = model.quantiles(model(inputs), inputs, TRAINED_LEVELS)  # (3, B, H, N)
    seen = torch.isfinite(inputs.target)
    target = torch.where(seen, inputs.target, 0)
    total = 0.0
    for row, level, weight in zip(quantiles, TRAINED_LEVELS, LEVEL_WEIGHTS, strict=True):
        error = target - row
        total = total + weight * torch.maximum(LEVELS[level] * error, (LEVELS[level] - 1) * error)
    return (total * seen).sum() / seen.sum().clamp(min=1)


def shrunk(output: ModelOutput, shrinkage: float) -> ModelOutput:
    """The same output with its shift of the median scaled by `shrinkage` (the model's own shrinkage being 1)."""
    return replace(output, shift=output.shift * shrinkage)


def window_odds(news: np.ndarray) -> np.ndarray:
    """(W,) chance of each training window: those with news that no reading shows yet are rare, and are where words count.

    Args:
        news: (W,) bool, whether a text of the context is new at the last step of the window.
    """
    natural = float(news.mean())
    share = max(natural, min(NEWS_SHARE, NEWS_TIMES * natural)) if 0 < natural < 1 else natural
    odds = np.where(news, share / max(news.sum(), 1), (1 - share) / max((~news).sum(), 1))
    return odds / odds.sum()


def usual_spread(frame: RidgeMember, numbers: dict[str, np.ndarray]) -> np.ndarray:
    """(Q, H): quantiles of the anchor's scaled residuals on the training windows by step, as distance from the median.

    Args:
        frame: working scale. numbers: of the training windows, as InputBuilder.numbers makes them.
    """
    residual = (frame.transform.forward(numbers["target"]) - numbers["base"]) / frame.scale - numbers["centre"]
    rows = residual.swapaxes(1, 2).reshape(-1, residual.shape[1])[:: max(1, residual.size // 20_000_000)]
    spread = np.nan_to_num(np.nanquantile(rows, LEVELS, axis=0))
    spread = spread - spread[MEDIAN]
    return np.where(np.arange(len(LEVELS))[:, None] == MEDIAN, 0, spread)


@torch.no_grad()
def calibrated_spread(model: STVLM, builder: InputBuilder, cutoffs: np.ndarray, device: torch.device) -> np.ndarray:
    """(Q, H): split-conformal distance of each quantile from the median, in units of the width that the network gives.

    The finite-sample corrected quantiles of (truth - median) / width on windows that trained nothing; Romano et al. 2019 (CQR)
    with the width as score. Above the median the upper width counts, below it the lower one.
    """
    frame, rows = model.anchor.frame, []
    for block in builder.blocks(cutoffs):
        inputs = builder.build(block).to(device)
        output = model(inputs)
        median = model.quantiles(output, inputs, (MEDIAN,))[0].cpu().numpy()
        score = frame.transform.forward(inputs.target.cpu().numpy()) - frame.transform.forward(median)
        score = score / inputs.scale.cpu().numpy()
        width = torch.where(torch.from_numpy(score).to(device) < 0, output.log_low, output.log_high).exp().cpu().numpy()
        rows.append((score / width).swapaxes(1, 2).reshape(-1, score.shape[1]))
    scores = np.concatenate(rows)
    return conformal_offsets(scores if np.isfinite(scores).any() else np.zeros_like(scores), LEVELS)


@torch.no_grad()
def score_windows(model: STVLM, builder: InputBuilder, cutoffs: np.ndarray, device: torch.device) -> dict[str, float]:
    """What a finished model is worth on windows that nothing was chosen by; its bands follow the error from one to the next.

    Args:
        model: finished. builder: of its batches. cutoffs: (W,), rising, W > 0. device: that the model is on.

    Returns:
        "test_mae", "anchor_test_mae" in the unit, "test_cells", and "test_coverage_50", "…80", "…95": the share of readings that each
        band held. {} where nothing was observed.
    """
    stride = max((cutoffs[-1] - cutoffs[0]) / max(len(cutoffs) - 1, 1), 1)
    tracker = OnlineCalibrator(builder.series.values, model.config.horizon, model.anchor.floor, stride)
    sums, cells = np.zeros(2 + MEDIAN), 0
    for block in builder.blocks(cutoffs):
        inputs = builder.build(block).to(device)
        made = model.quantiles(model(inputs), inputs).float().cpu().numpy()
        truth, anchor = inputs.target.cpu().numpy(), inputs.anchor.cpu().numpy()
        bands = np.stack(
            [tracker.calibrate(int(cutoff), row) for cutoff, row in zip(block, made.swapaxes(0, 1), strict=True)], axis=1
        )
        cells += int(np.isfinite(truth).sum())
        errors = [np.nansum(np.abs(forecast - truth), dtype="f8") for forecast in (bands[MEDIAN], anchor)]
        held = [((bands[i] <= truth) & (truth <= bands[-1 - i])).sum() for i in range(MEDIAN)]
        sums += np.array([*errors, *held])
    if cells == 0:
        return {}
    shares = {f"test_coverage_{round(100 * (1 - 2 * LEVELS[i]))}": float(s / cells) for i, s in enumerate(sums[2:])}
    return {"test_mae": float(sums[0] / cells), "anchor_test_mae": float(sums[1] / cells), "test_cells": cells} | shares
