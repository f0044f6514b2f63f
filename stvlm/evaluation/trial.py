"""One training of a variant: its errors on every test window, and what it cost."""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from stvlm.data.series import SensorSeries
from stvlm.evaluation.contenders import Report

TIMED_WINDOWS = 64


def train_variant(
    series: SensorSeries,
    config: Any,
    anchor: Any,
    prompts: dict[int, str],
    numbers: Path,
    test: np.ndarray,
    report: Report,
) -> tuple[dict[str, Any], dict[int, str]]:
    """One training and its scores on the test part, with the network taken whatever it is worth.

    Args:
        series: the readings. config: FitConfig. anchor: fitted on them. prompts: those written so far, by cutoff.
        numbers: folder of what all variants see of the training windows (`write_numbers`).
        test: (W,) cutoffs. report: called with a message and the share done.

    Returns:
        Its scores, sizes and times, plain numbers; and the prompts that it wrote.
    """
    import torch

    from stvlm.fit import fit, pick_device
    from stvlm.modalities.inputs import InputBuilder

    device, known, stamps, step = pick_device(config.device), set(prompts), [], None
    at_start = _peak_mb()
    shared = {p.stem: np.asarray(np.load(p, mmap_mode="r", allow_pickle=False)) for p in sorted(numbers.glob("*.npy"))}
    for step in fit(series, config, anchor=anchor, prompts=prompts, numbers=shared):
        stamps.append((step.step, time.perf_counter()))
        report(f"step {step.step} of {step.total}", 0.9 * step.step / max(step.total, 1))
    model = step.model.to(device)
    builder = InputBuilder(series, anchor, model.config.inputs, model.backbone.count_tokens, prompts)
    errors, square = _test_errors(model, builder, test, device)
    peak = {"peak_mb": _peak_mb(), "start_mb": at_start}
    if device.type == "cuda":
        peak |= {"peak_gpu_mb": torch.cuda.max_memory_allocated(device) / 2**20}
    run = {
        "window_errors": rounded(errors),
        "square": square,
        "val_mae": float(step.best_val_mae),
        "anchor_val_mae": float(step.anchor_val_mae),
        "shrinkage": float(model.shrinkage),
        "steps": step.step,
        "seconds": step.seconds,
        "seconds_per_step": _usual_step(stamps),
        "ms_per_window": _milliseconds(model, builder, test, device),
        **_parameters_in_use(model, builder, test[:1], device),
        "device": str(device),
        **peak,
    }
    return run, {cutoff: text for cutoff, text in prompts.items() if cutoff not in known}


def write_numbers(series: SensorSeries, config: Any, anchor: Any, folder: Path) -> None:
    """Write what a training sees of its windows but images and prompts: the same for all variants, so it is made once.

    Args:
        series: the readings. config: FitConfig of the full model. anchor: fitted on them. folder: to write into.
    """
    import torch

    from stvlm.fit import make_model, split_of
    from stvlm.training import Training

    split = split_of(series, config)
    model, builder = make_model(series, config, split, anchor)
    for name, array in Training(model, builder, config, split, torch.device("cpu")).numbers.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def _test_errors(model: Any, builder: Any, test: np.ndarray, device: Any) -> tuple[np.ndarray, float]:
    """(W,) sums of the absolute errors of each window over its observed cells, in the unit; and the sum of the squared ones."""
    import torch

    from stvlm.model.head import MEDIAN

    rows, square = [], 0.0
    with torch.no_grad():
        for cutoffs in builder.blocks(test):
            inputs = builder.build(cutoffs).to(device)
            error = (model.quantiles(model(inputs), inputs, (MEDIAN,))[0] - inputs.target).double()
            error = torch.where(torch.isfinite(inputs.target), error, 0.0)
            rows.append(error.abs().sum(dim=(1, 2)).cpu().numpy())
            square += float((error**2).sum())
    errors = np.concatenate(rows)
    if not np.isfinite(errors).all():
        raise FloatingPointError("A forecast of the test part is not a finite number.")
    return errors, square


def _milliseconds(model: Any, builder: Any, test: np.ndarray, device: Any) -> float:
    """Wall time of one forecast with all its quantiles, from the readings on: the median of three passes over some windows."""
    import torch

    some, times = test[:TIMED_WINDOWS], []
    for _ in range(3):
        started = time.perf_counter()
        with torch.no_grad():
            for cutoffs in builder.blocks(some):
                inputs = builder.build(cutoffs).to(device)
                model.quantiles(model(inputs), inputs).cpu()
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times)) / len(some)


def _parameters_in_use(model: Any, builder: Any, cutoffs: np.ndarray, device: Any) -> dict[str, int]:
    """How many parameters a forecast depends on: those that a gradient reaches. A tower that sees no image does not count."""
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    for parameter in model.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    inputs = builder.build(cutoffs).to(device)
    output = model(inputs)
    (output.shift.sum() + output.log_low.sum() + output.log_high.sum()).backward()
    used = [p for p in model.parameters() if p.grad is not None]
    return {"parameters": sum(p.numel() for p in used), "trainable": sum(p.numel() for p in used if id(p) in trained)}


def _usual_step(stamps: list[tuple[int, float]]) -> float:
    """Median seconds of a training step; those after which was validated do not move it."""
    spans = [b[1] - a[1] for a, b in itertools.pairwise(stamps) if b[0] == a[0] + 1]
    return float(np.median(spans)) if spans else 0.0


def _peak_mb() -> float | None:
    """The most memory that this process has held so far, in MB (2^20 bytes); None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def rounded(values: np.ndarray) -> list[float]:
    """Numbers with seven digits, for a file."""
    return [float(f"{value:.7g}") for value in values]
