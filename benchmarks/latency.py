"""How long one forecast of 207 sensors takes: python -m benchmarks.latency"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.cases import case, like_metr_la
from benchmarks.record import Figure, keep
from stvlm.core.windows import Window
from stvlm.inference.predict import explain, predict

FORECASTS = 11
HOW = (
    "`tiny` with image, prompt and series tokens at work, on a made-up city of 207 sensors and a week of 5-minute steps; L = H = 12, two "
    "threads. Forecasts follow each other step by step, as on a live page; each writes its prompt, paints its image, and checks its bands "
    "against what the windows before it missed. Processor time is what the forecast takes of both cores together."
)


def times(work: Callable[[int], object], cutoffs: range) -> tuple[list[float], list[float]]:
    """Wall and processor seconds of each cutoff."""
    wall, processor = [], []
    for cutoff in cutoffs:
        start, began = time.perf_counter(), time.process_time()
        work(cutoff)
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - began)
    return wall, processor


def main() -> None:
    """Measure and keep."""
    torch.set_num_threads(2)
    made = case(like_metr_la())
    series, model, builder = made.series, made.model.eval(), made.builder
    last = series.n_steps - FORECASTS

    def window(cutoff: int) -> Window:
        return Window(series, cutoff, builder.lookback, builder.horizon)

    def bare(cutoff: int) -> torch.Tensor:
        with torch.no_grad():
            inputs = builder.build(np.array([cutoff]))
            return model.quantiles(model(inputs), inputs)

    first, first_processor = times(lambda c: predict(model, window(c)), range(last - 1, last))
    wall, processor = times(lambda c: predict(model, window(c)), range(last, last + FORECASTS))
    bare(last)
    alone, alone_processor = times(bare, range(last, last + FORECASTS))
    told, told_processor = times(lambda c: explain(model, window(c)), range(last, last + 5))

    def ms(seconds: list[float]) -> float:
        return 1000 * statistics.median(seconds)

    keep("benchmarks.latency", HOW, [
        Figure("forecast with bands, median, wall", ms(wall), "ms", "<= 100"),
        Figure("forecast with bands, median, processor", ms(processor), "ms", "<= 100"),
        Figure("forecast with bands, shortest, wall", 1000 * min(wall), "ms"),
        Figure("forecast with bands, longest, wall", 1000 * max(wall), "ms", "", "now and then the anchor is shared out anew"),
        Figure("one window without the checks of its bands, median, wall", ms(alone), "ms", "<= 100"),
        Figure("one window without the checks of its bands, median, processor", ms(alone_processor), "ms"),
        Figure("first forecast of a series, wall", ms(first), "ms", "", "reads the past, and the windows by which the bands are checked"),
        Figure("first forecast of a series, processor", ms(first_processor), "ms"),
        Figure("explanation with deletions, median, processor", ms(told_processor), "ms", "", f"wall {ms(told):.0f} ms"),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
