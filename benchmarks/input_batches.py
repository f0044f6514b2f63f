"""What a batch of windows costs beside a plain copy of its bytes: python -m benchmarks.input_batches"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.cases import HORIZON, LOOKBACK, case, like_metr_la, many
from benchmarks.record import Figure, in_turn, keep, ratio
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.io.store import load_series, save_series

BATCH, ROUNDS = 64, 15
LARGE, LARGE_STEPS, LARGE_BATCH = 5_000, 2_000, 4
HOW = (
    f"{BATCH} windows of {LOOKBACK} + {HORIZON} steps at random cutoffs, one thread. Cut: the readings as they are. Ready: past without "
    "gaps and scaled, and truth. Beside each a copy of an array of as many bytes. The limits are our own."
)


def cut(series: SensorSeries, cutoffs: np.ndarray) -> np.ndarray:
    """(W, L + H, N): the readings of many windows, as the features are cut."""
    return series.values[cutoffs[:, None] + np.arange(-LOOKBACK, HORIZON)]


def compare(series: SensorSeries, batch: int) -> tuple[float, float, float]:
    """Ratios to a copy: cut, ready to be learnt from; and whether a window shares its readings with the series (1) or not (0)."""
    made = case(series)
    frame, view = made.builder.anchor.frame, made.builder.view
    cutoffs = np.random.default_rng(0).integers(LOOKBACK, series.n_steps - HORIZON, batch)
    raw = cut(series, cutoffs)
    past, _ = view.past(cutoffs, frame.profile, frame.scale)
    ready = np.concatenate([past, view.future(cutoffs, frame.profile, frame.scale)], axis=1)
    found = in_turn(
        {
            "cut": lambda: cut(series, cutoffs),
            "copy": lambda: raw.copy(),
            "ready": lambda: (view.past(cutoffs, frame.profile, frame.scale), view.future(cutoffs, frame.profile, frame.scale)),
            "copy ready": lambda: ready.copy(),
        },
        ROUNDS,
    )
    shares = np.shares_memory(Window(series, LOOKBACK, LOOKBACK, HORIZON).past, series.values)
    return ratio(found["cut"], found["copy"]), ratio(found["ready"], found["copy ready"]), float(shares)


def main() -> None:
    """Measure and keep."""
    torch.set_num_threads(1)
    cut_small, ready_small, _ = compare(like_metr_la(), BATCH)
    with tempfile.TemporaryDirectory() as folder:
        save_series(many(LARGE, LARGE_STEPS), Path(folder) / "series")
        cut_large, ready_large, shares = compare(load_series(Path(folder) / "series"), LARGE_BATCH)
    figures = [
        Figure("cut / copy, 207 sensors", cut_small, "", "<= 4"),
        Figure("ready / copy, 207 sensors", ready_small, "", "<= 12"),
        Figure(f"cut / copy, {LARGE:,} sensors in a memory-mapped file, {LARGE_BATCH} windows", cut_large, "", "<= 4"),
        Figure(f"ready / copy, {LARGE:,} sensors", ready_large, "", "<= 12"),
        Figure("a window is a view on the file (1) or a copy (0)", shares, "", ">= 1"),
    ]
    keep("benchmarks.input_batches", HOW, figures)


if __name__ == "__main__":
    main()
