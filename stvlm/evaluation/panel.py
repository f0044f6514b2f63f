"""From the trainings of an ablation panel to its rows: scores, differences with intervals, costs, and a verdict in plain words."""

from __future__ import annotations

from typing import Any

import numpy as np

from stvlm.evaluation.paired import SOURCE, Interval, paired_interval
from stvlm.evaluation.variants import ABLATIONS, FULL

LEAST_BLOCKS = 5  # stretches of test windows with which an interval says anything
COSTS = ("parameters", "trainable", "steps", "seconds", "seconds_per_step", "peak_mb", "start_mb", "peak_gpu_mb", "ms_per_window")
MIN_GAIN = 0.01  # of the acceptance rule


def ablation_panel(
    runs: dict[tuple[str, int], dict[str, Any]],
    anchor: dict[str, Any],
    cells: np.ndarray,
    names: tuple[str, ...],
    seeds: int,
    block: int,
    n_windows: int,
    config: Any,
) -> dict[str, Any]:
    """The rows of the panel and what all of them had alike.

    Args:
        runs: by variant and seed, as `trial.train_variant` made them. anchor: "window_errors", "square". cells: (W,) observed
            cells of the test windows. names, seeds: of the panel. block: windows that the bootstrap draws together.
        n_windows: of the training part. config: FitConfig of the full model.

    Returns:
        "ablations": a dict a variant, the full model first: "variant", "seeds", "mae_network" and "rmse_network" (the network
        forced in, mean over the seeds), "mae" and "rmse" (with the acceptance rule: the anchor where the network is refused),
        "taken" (how often it is not), "spread" (standard deviations over the seeds), "difference" to the full model (of the full
        model: to the anchor) with "mae", "low", "high" in the unit and "percent", "percent_low", "percent_high", "runs" (each
        seed), "same_as", costs, "verdict". "ablation_setting": numbers and words that hold for all rows.
    """
    total = float(np.asarray(cells, "f8").sum())
    alone = _errors(anchor, total)
    rows = []
    for name in (FULL, *names):
        mine = [runs[name, seed] for seed in range(seeds)]
        other = [anchor] * seeds if name == FULL else [runs[FULL, seed] for seed in range(seeds)]
        same_as = FULL if mine == other else next((row["variant"] for row in rows if row["_runs"] == mine), None)
        row = _row(name, mine, alone, total)
        gap = np.array([np.subtract(a["window_errors"], b["window_errors"]) for a, b in zip(mine, other, strict=True)])
        interval = paired_interval(gap, cells, block)
        reference = float(np.mean([_errors(run, total)["mae"] for run in other]))
        row["same_as"] = same_as
        row["difference"] = _difference(interval, reference)
        row["verdict"] = verdict(name, row["difference"], row["taken"], seeds, same_as)
        rows.append(row | {"_runs": mine})
    setting = {
        "anchor": alone, "seeds": seeds, "windows_train": n_windows, "windows_test": len(cells), "block_windows": block,
        "interval": SOURCE, "backbone": config.backbone, "tuning": config.tuning, "steps": rows[0]["steps"],
        "batch_size": config.batch_size, "learning_rate": config.learning_rate, "min_gain": MIN_GAIN,
        "device": rows[0]["runs"][0]["device"], "code": sorted({run["code"] for run in runs.values() if "code" in run}),
    }  # fmt: skip
    for row in rows:
        row["seconds_per_epoch"] = row["seconds_per_step"] * n_windows / config.batch_size
        del row["_runs"]
    return {"ablations": rows, "ablation_setting": setting}


def _row(name: str, runs: list[dict[str, Any]], anchor: dict[str, float], cells: float) -> dict[str, Any]:
    each = []
    for seed, run in enumerate(runs):
        network = _errors(run, cells)
        taken = bool(run["val_mae"] < run["anchor_val_mae"] * (1 - MIN_GAIN))
        shipped = network if taken else anchor
        each.append(
            {"seed": seed, "mae_network": network["mae"], "rmse_network": network["rmse"]}
            | {"mae": shipped["mae"], "rmse": shipped["rmse"], "taken": taken}
            | {key: run[key] for key in ("val_mae", "anchor_val_mae", "shrinkage", "seconds", "device")}
        )
    scores = ("mae_network", "rmse_network", "mae", "rmse")
    row: dict[str, Any] = {"variant": name, "seeds": len(runs)}
    row |= {score: float(np.mean([run[score] for run in each])) for score in scores}
    row["spread"] = {score: float(np.std([run[score] for run in each], ddof=1)) for score in scores} if len(each) > 1 else None
    row["taken"] = sum(run["taken"] for run in each)
    row |= {key: float(np.median([run[key] for run in runs])) for key in COSTS if runs[0].get(key) is not None}
    return row | {key: int(row[key]) for key in ("parameters", "trainable", "steps")} | {"runs": each}


def _errors(run: dict[str, Any], cells: float) -> dict[str, float]:
    return {"mae": float(np.sum(run["window_errors"]) / cells), "rmse": float(np.sqrt(run["square"] / cells))}


def _difference(interval: Interval, reference: float) -> dict[str, float]:
    share = 100 / reference if reference > 0 else float("nan")
    return {
        "mae": interval.value, "low": interval.low, "high": interval.high, "percent": interval.value * share,
        "percent_low": interval.low * share, "percent_high": interval.high * share, "n_seeds": interval.n_seeds,
        "n_blocks": round(interval.n_blocks, 1), "is_sure": is_sure(interval.low, interval.high, interval.n_blocks),
    }  # fmt: skip


def is_sure(low: float, high: float, n_blocks: float) -> bool:
    """Whether an interval leaves 0 out, and rests on enough test windows to mean it."""
    return n_blocks >= LEAST_BLOCKS and (low > 0 or high < 0)


def verdict(name: str, difference: dict[str, float], taken: int, seeds: int, same_as: str | None = None) -> str:
    """What a row says, in one or two sentences.

    Args:
        name: of the variant. difference: as in `ablation_panel`. taken, seeds: how often the rule took the network, of how often.
        same_as: another variant that these settings come to.
    """
    if same_as == FULL:
        return f"{ABLATIONS[name].phrase}: with these settings that is the full model itself."
    phrase = "With its network, the full model's" if name == FULL else f"{ABLATIONS[name].phrase} the"
    against = " against its closed-form anchor" if name == FULL else ""
    percent, low, high = (difference[key] for key in ("percent", "percent_low", "percent_high"))
    size = _percent(abs(percent), low, high)
    moved = f"{'rises' if percent > 0 else 'falls'} by {size} %" if float(size) else "stays the same"
    sign = -1 if percent < 0 and float(size) else 1  # the interval is told in the direction of the sentence
    low, high = (_percent(value, low, high) for value in sorted((sign * low, sign * high)))
    text = f"{phrase} error {moved}{against} ({low} … {high} %): {_judged(difference)}"
    if same_as:
        text += f' With these settings it is the same as "{same_as}".'
    if name == FULL:
        text += f" By the rule of acceptance it is taken in {taken} of {seeds} trainings."
    if seeds == 1:
        text += " One seed only: how much a training varies is not in the interval."
    return text


def _judged(difference: dict[str, float]) -> str:
    if difference["n_blocks"] < LEAST_BLOCKS:
        return f"{difference['n_blocks']:.1f} separate stretches of test windows are too few to tell."
    if not difference["is_sure"]:
        return "not distinguishable from nothing."
    return "worse, beyond chance." if difference["mae"] > 0 else "better, beyond chance."


def _percent(value: float, low: float, high: float) -> str:
    """One decimal, two where the whole interval is within 1 %, more where a bound beyond 0 would read as 0; a real minus sign."""
    digits = 2 if max(abs(low), abs(high)) < 1 else 1
    while digits < 5 and low * high > 0 and not float(f"{min(abs(low), abs(high)):.{digits}f}"):
        digits += 1
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")
