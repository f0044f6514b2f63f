"""The ablation panel: variants of the full model, each trained anew on the same windows, and how sure the differences are."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stvlm import __version__
from stvlm.runtime.assets import PACKAGE
from stvlm.runtime.subprocess import run_apart

if TYPE_CHECKING:  # the command line's help names the ablations, and answers at once
    from stvlm.core.series import SensorSeries
    from stvlm.evaluation.methods import EvaluationSetup, Report
    from stvlm.evaluation.metrics import Interval

# One training of a variant: errors on every test window, and cost.

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

    from stvlm.modalities.batch import InputBuilder
    from stvlm.training.fit import fit, pick_device

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

    from stvlm.training.fit import make_model, split_of
    from stvlm.training.trainer import Training

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


# Variants: one part of the model removed, perturbed or exchanged.

FULL = "full"
RANDOM_BY_NATURE = ("tiny", "plain")  # backbones that have no weights to start from


@dataclass(frozen=True)
class Ablation:
    """One change of the model.

    Attributes:
        name: as on the command line. phrase: how a sentence on its effect begins. changes: of FitConfig's fields.
    """

    name: str
    phrase: str
    changes: dict[str, Any]


def _all() -> Iterable[Ablation]:
    yield Ablation("no image", "Without the image", {"without": "vision"})
    yield Ablation("noise image", "With noise for an image", {"disturb": "noise image"})
    yield Ablation("shuffled pixels", "With the pixels of the image shuffled", {"disturb": "shuffled pixels"})
    yield Ablation("shuffled sensors", "With the sensors shuffled on the image", {"disturb": "shuffled sensors"})
    yield Ablation("no prompt", "Without the prompt", {"without": "text"})
    yield Ablation("constant prompt", "With one prompt for all windows", {"disturb": "constant prompt"})
    yield Ablation("foreign prompt", "With the prompt of another window", {"disturb": "foreign prompt"})
    yield Ablation("no series", "Without the series in the tokens", {"without": "series"})
    yield Ablation("fusion middle", "With the fusion in the middle layer", {"fusion": "middle"})
    yield Ablation("fusion last", "With the fusion in the last layer", {"fusion": "last"})
    yield Ablation("tuning frozen", "With the backbone left as it is", {"tuning": "frozen"})
    yield Ablation("tuning norm", "With only the norms of the backbone tuned", {"tuning": "norm"})
    yield Ablation("tuning lora", "With low-rank adapters", {"tuning": "lora"})
    yield Ablation("tuning adalora", "With low-rank adapters that share out their ranks", {"tuning": "adalora"})
    yield Ablation("tuning adaptive", "With adaptive fine-tuning", {"tuning": "adaptive"})
    yield Ablation("tuning full", "With all of the backbone tuned", {"tuning": "full"})
    yield Ablation("random backbone", "With a random backbone", {"backbone": "random"})
    yield Ablation("plain transformer", "With a plain small transformer for a backbone", {"backbone": "plain", "tuning": "full"})
    yield Ablation("no backbone", "Without the backbone's layers", {"n_layers": 0, "modalities": ("series",)})


ABLATIONS: dict[str, Ablation] = {ablation.name: ablation for ablation in _all()}


def ablation_names(given: Iterable[str]) -> tuple[str, ...]:
    """Names of ABLATIONS from what was typed: "all", or names with spaces, - or _ between their words.

    Raises:
        ValueError: unknown names.
    """
    names = [re.sub("[-_ ]+", " ", name.strip().lower()) for name in given]
    if "all" in names:
        return tuple(ABLATIONS)
    unknown = [name for name in names if name not in ABLATIONS]
    if unknown or not names:
        known = ", ".join(name.replace(" ", "-") for name in ABLATIONS)
        raise ValueError(f"Unknown ablations: {', '.join(unknown) or 'none given'}. There are {known}; or all.")
    return tuple(dict.fromkeys(names))


def changed(config: Any, name: str) -> Any:
    """The settings of a variant.

    A backbone that is random by nature, as "tiny", cannot be made random: its "random backbone" stays as it was drawn.

    Args:
        config: FitConfig of the full model. name: of ABLATIONS, or FULL.

    Raises:
        ValueError: the model cannot be changed so.
    """
    if name == FULL:
        return config
    changes = dict(ABLATIONS[name].changes)
    gone = changes.pop("without", None)
    if gone:
        changes["modalities"] = tuple(m for m in config.modalities if m != gone)
        if not changes["modalities"]:
            raise ValueError(f"{name}: {gone} is all that the model has.")
    if changes.get("backbone") == "random":
        changes = {"tuning": "frozen"} if config.backbone in RANDOM_BY_NATURE else {"backbone": f"random:{config.backbone}"}
    return replace(config, **changes)


def starting_point(config: Any) -> Any:
    """The full model's settings with all that else would depend on the backbone, so that variants differ in one thing only.

    The network is taken whatever it is worth: one that is refused would hide every difference.
    """
    from stvlm.training.trainer import default_rate

    from_nothing = config.backbone in RANDOM_BY_NATURE or config.backbone.startswith("random:")
    tuning = ("full" if from_nothing else "lora") if config.tuning == "auto" else config.tuning
    return replace(config, tuning=tuning, learning_rate=config.learning_rate or default_rate(config.backbone), min_gain=-1.0)


# Summary: scores, differences with intervals, costs, a verdict in words.

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
    from stvlm.evaluation.metrics import SOURCE, paired_interval

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


__all__ = ["ABLATIONS", "ablation_names", "run_ablations"]


def run_ablations(
    series: SensorSeries,
    lookback: int,
    horizon: int,
    names: tuple[str, ...],
    split: tuple[float, float, float] = (0.6, 0.2, 0.2),
    few_shot: str | float | None = None,
    seeds: int = 1,
    device: str = "auto",
    seasons: tuple[int, ...] | None = None,
    fit_options: dict[str, Any] | None = None,
    partial: Path | None = None,
    progress: Report | None = None,
    is_apart: bool = True,
) -> dict[str, Any]:
    """Train the full model and each variant with every seed, score all on the test part, and compare them.

    All have the same windows, the same anchor, the same learning rate and the same number of steps. Variants that come to the
    same settings are trained once.

    Args:
        series: the readings. lookback, horizon: L, H in steps. names: of ABLATIONS. split: shares of training, validation, test.
        few_shot: as in `backtest`. seeds: each variant is trained with seeds 0, 1, ... device: "auto", "cpu", "cuda", "mps".
        seasons: in minutes; None: found in the training part. fit_options: further settings of FitConfig; "max_steps" caps the
            steps of each training.
        partial: a file to which every finished training is added, and from which the same call goes on.
        progress: called with a message and the share done. is_apart: train each in a process of its own, whose memory is measured.

    Returns:
        "ablations": a row a variant (see `panel.ablation_panel`), the full model first. "ablation_setting": what all had alike.

    Raises:
        ValueError: unknown names, a variant that cannot be made with these settings, or a series too short.
    """
    from stvlm.evaluation.backtest import make_setup
    from stvlm.training.fit import FitConfig

    names = ablation_names(names)
    course = make_setup(series, lookback, horizon, split, few_shot, seasons)
    own = {
        "lookback": lookback,
        "horizon": horizon,
        "split": split,
        "few_shot": few_shot,
        "device": device,
        "shared": "",
    }  # all begin anew
    base = starting_point(FitConfig(**((fit_options or {}) | own | {"seasons_minutes": course.seasons})))
    plan = {(name, seed): replace(changed(base, name), seed=seed) for name in (FULL, *names) for seed in range(seeds)}
    work = _Work(course, base, partial, progress or (lambda message, share: None), is_apart)
    with tempfile.TemporaryDirectory(prefix="stvlm-panel-") as folder:
        work.do(plan, Path(folder))
    runs = {place: work.finished[work.key(config)] for place, config in plan.items()}
    cells = np.isfinite(np.concatenate([course.truth(c) for c in course.blocks(course.cutoffs("test"))])).sum(axis=(1, 2))
    return ablation_panel(runs, work.anchor_run, cells, names, seeds, lookback + horizon, len(course.cutoffs("train")), base)


def code_digest() -> str:
    """Names the code that a training runs: another one than before makes a panel that was stopped and resumed a mixed one."""
    files = [p for room in ("anchor", "modalities", "model") for p in sorted((PACKAGE / room).rglob("*.py"))]
    contents = [p.read_bytes() for p in (*files, *sorted((PACKAGE / "training").glob("*.py")))]
    return hashlib.sha256(b"".join(contents)).hexdigest()[:12]


class _Work:
    """The trainings of a panel: what is finished, what they share, and how long the rest will take."""

    def __init__(self, course: EvaluationSetup, base: Any, partial: Path | None, report: Report, is_apart: bool) -> None:
        self.course, self.base, self.partial, self.report, self.is_apart = course, base, partial, report, is_apart
        self.finished: dict[str, dict[str, Any]] = {}
        if partial is not None and partial.is_file():
            self.finished = json.loads(partial.read_text(encoding="utf-8"))
        self.prompts: dict[str, dict[int, str]] = {}  # of each tokenizer
        self.n_done = self.n_all = 0
        self.started = time.monotonic()

    def key(self, config: Any) -> str:
        """The same for the same training on the same data with the same version."""
        return hashlib.sha256(f"{__version__} {self.course.series.fingerprint} {config}".encode()).hexdigest()[:20]

    @cached_property
    def anchor(self) -> Any:
        """The anchor that all variants depart from; it has no seed."""
        from stvlm.anchor.fit import fit_anchor

        self.report("Fitting the closed-form anchor.", 0.0)
        c = self.course
        return fit_anchor(c.series, c.split, c.lookback, c.horizon, c.seasons, self.base.context_steps)

    @property
    def anchor_run(self) -> dict[str, Any]:
        """The anchor's own errors on the test part."""
        c = self.course
        words = f"{__version__} {c.series.fingerprint} {c.split} {c.lookback} {c.horizon} {c.seasons} {self.base.context_steps}"
        key = "anchor " + hashlib.sha256(words.encode()).hexdigest()[:20]
        if key not in self.finished:
            blocks = [(self.anchor.forecast(c.series, block).astype("f8"), c.truth(block)) for block in c.blocks(c.cutoffs("test"))]
            errors = [np.where(np.isfinite(truth), forecast - truth, 0.0) for forecast, truth in blocks]
            sums = np.concatenate([np.abs(e).sum(axis=(1, 2)) for e in errors])
            if not np.isfinite(sums).all():
                raise FloatingPointError("A forecast of the anchor on the test part is not a finite number.")
            self._keep(key, {"window_errors": rounded(sums), "square": float(sum((e**2).sum() for e in errors))})
        return self.finished[key]

    def do(self, plan: dict[tuple[str, int], Any], folder: Path) -> None:
        """Every training of the plan that is not finished yet, one after another; `folder` is for what they share."""
        todo: dict[str, tuple[str, int]] = {}
        for place, config in plan.items():
            if self.key(config) not in self.finished:
                todo.setdefault(self.key(config), place)
        self.n_done, self.n_all, code = 0, len(todo), code_digest()
        if todo:
            write_numbers(self.course.series, self.base, self.anchor, folder)
            self.started = time.monotonic()
        for key, place in todo.items():
            self._keep(key, self._train(*place, plan[place], folder) | {"variant": place[0], "seed": place[1], "code": code})
            self.n_done += 1

    def _train(self, name: str, seed: int, config: Any, folder: Path) -> dict[str, Any]:
        def within(message: str, share: float) -> None:
            done = (self.n_done + share) / self.n_all
            left = (time.monotonic() - self.started) * (1 - done) / done if done > 0 else None
            rest = "" if left is None else f", about {left / 60:.0f} min left" if left > 90 else f", about {left:.0f} s left"
            self.report(f"Ablation {name}, seed {seed} ({self.n_done + 1} of {self.n_all}): {message}{rest}", done)

        prompts = self.prompts.setdefault(config.backbone.removeprefix("random:"), {})
        arguments = self.course.series, config, self.anchor, prompts, folder, self.course.cutoffs("test")
        run, written = (
            run_apart(train_variant, *arguments, report=within) if self.is_apart else train_variant(*arguments, report=within)
        )
        prompts.update(written)
        return run

    def _keep(self, key: str, run: dict[str, Any]) -> None:
        """Add what is finished to the file, whole or not at all."""
        self.finished[key] = run
        if self.partial is not None:
            part = self.partial.with_name(f".{self.partial.name}.part")
            part.write_text(json.dumps(self.finished, allow_nan=False), encoding="utf-8")
            part.replace(self.partial)
