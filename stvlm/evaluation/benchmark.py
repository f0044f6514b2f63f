"""The backtest of every network of a folder, one after another; what is finished is kept and not done again."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from stvlm import __version__
from stvlm.core.series import SensorSeries
from stvlm.datasets.folder import Dataset, as_dataset, open_dataset, read_list
from stvlm.evaluation.ablation import code_digest
from stvlm.evaluation.backtest import backtest, check_models
from stvlm.evaluation.baselines import DEEP
from stvlm.evaluation.methods import QUICK, Report
from stvlm.io.source import InputError, show
from stvlm.quality.report import need_steps

NAIVE = ("persistence", "seasonal naive", "historical average")  # rows that begin so
FAULTS = (ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, ValueError)  # of one network; others are of the code


@dataclass(frozen=True)
class BenchmarkConfig:
    """What all networks have alike.

    Attributes:
        models: some of MODELS. seeds: how often each network's models are trained. max_minutes, max_steps: of each training.
        few_shot: as in `backtest`. device: "auto", "cpu", "cuda", "mps". context_steps, backbone, views, shared: of FitConfig; None: as
            usual.
        budget_minutes: of all trainings of one network together: each gets an even share, so far as max_minutes does not say less.
    """

    models: tuple[str, ...] = QUICK
    seeds: int = 1
    max_minutes: float | None = None
    max_steps: int | None = None
    few_shot: str | None = None
    device: str = "auto"
    context_steps: int | None = None
    backbone: str | None = None
    views: tuple[str, ...] | None = None
    shared: str | None = None
    budget_minutes: float | None = None

    def __post_init__(self) -> None:
        check_models(self.models)

    @property
    def minutes_each(self) -> float | None:
        """The longest that one training may take; None: as long as it wants."""
        trained = self.seeds * len({name for name in self.models if name in (*DEEP, "stvlm")})
        limits = [self.max_minutes, self.budget_minutes / trained if self.budget_minutes and trained else None]
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def fit_options(self) -> dict[str, Any]:
        """Settings of FitConfig that are other than usual."""
        words = "max_steps", "context_steps", "backbone", "views", "shared"
        return {name: getattr(self, name) for name in words if getattr(self, name) is not None}

    def to_dict(self) -> dict[str, Any]:
        """Plain values and the version of the program, as they come back from JSON; newer settings only where they are given."""
        newer = "context_steps", "backbone", "views", "shared", "budget_minutes"
        plain = {name: value for name, value in asdict(self).items() if name not in newer or value is not None}
        plain |= {name: list(value) for name, value in plain.items() if isinstance(value, tuple)}
        return plain | {"version": __version__}


def run_benchmark(
    folder: Path,
    config: BenchmarkConfig,
    names: tuple[str, ...] = (),
    earlier: dict[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], None] | None = None,
    say: Callable[[str], None] | None = None,
    progress: Report | None = None,
) -> dict[str, Any]:
    """Score the models on each network; one that fails does not stop the others.

    Args:
        folder: holds datasets.json and a folder for each network. config: what all have alike. names: some of the networks; ()
            for all.
        earlier: a result of the same folder. What is finished there, with these settings and these data, is not done again; the
            networks that are not asked for stay in the result.
        keep: called with the result after each network. say: called with a line on what happens. progress: with a message and the
            share done.

    Returns:
        "settings"; "datasets": for each network the result of `backtest`, with "title", "settings" (its own), "fixes" (applied),
        "notes" (on fixes that nobody named), "code" (a digest of the program that trained) and "seconds"; "failed": for each
        network that could not be scored "problems" and "is_input", whether the data or settings are to blame; "best_naive" and
        "summary" (see `summarise`).

    Raises:
        InputError: no list of networks, or names that are not in it.
    """
    entries, say = read_list(folder), say or (lambda line: None)
    if unknown := [name for name in names if name not in entries]:
        raise InputError(f"--datasets {show(unknown[0])}: is not in {folder}/datasets.json. It names {', '.join(entries)}.")
    chosen = tuple(dict.fromkeys(names)) or tuple(entries)
    done, failed = dict((earlier or {}).get("datasets", {})), {}

    def result() -> dict[str, Any]:
        # networks that were scored with other settings stay, but do not count in one table with these
        alike = {n: done[n] for n in done if n in entries and config.to_dict().items() <= done[n]["settings"].items()}
        order = {n: done[n] for n in [*entries, *done] if n in done}
        best, summary = summarise({n: alike[n] for n in entries if n in alike})
        return {"settings": config.to_dict(), "datasets": order, "failed": failed, "best_naive": best, "summary": summary}

    for i, name in enumerate(chosen):

        def within(message: str, share: float, name: str = name, i: int = i) -> None:
            if progress is not None:
                progress(f"{name}: {message}", (i + share) / len(chosen))

        try:
            dataset = as_dataset(name, entries[name])
            series, fixes, notes = open_dataset(folder, dataset)
            for note in notes:
                say(f"{name}: {note}")
            own = config.to_dict() | {"dataset": dataset.to_dict(), "data_sha256": series.fingerprint, "fixes": list(fixes)}
            if name in done and done[name]["settings"] == own:
                other = "" if done[name]["code"] == code_digest() else " It was trained by another state of the program."
                say(f"{name}: finished before with the same settings and data, kept.{other}")
                continue
            done[name] = _score(series, dataset, config, within) | {"settings": own, "fixes": list(fixes), "notes": list(notes)}
        except FAULTS as error:
            is_input = isinstance(error, InputError)
            problems = list(error.problems) if is_input else [f"{type(error).__name__}: {error}"]
            failed[name] = {"is_input": is_input, "problems": problems}
            done.pop(name, None)
            if not is_input:
                say(traceback.format_exc())
            for line in problems:
                say(f"{name}: {' '.join(line.split())}")
        if keep is not None:
            keep(result())
    return result()


def _score(series: SensorSeries, dataset: Dataset, config: BenchmarkConfig, report: Report) -> dict[str, Any]:
    """The backtest of one network; what stops it before the work begins is about the data or the settings.

    Raises:
        InputError: data or settings that cannot be used.
    """
    need_steps(series, dataset.lookback, dataset.horizon)
    begun, started = [], time.monotonic()

    def within(message: str, share: float) -> None:
        begun.append(message)
        report(message, share)

    try:
        scored = backtest(
            series,
            dataset.lookback,
            dataset.horizon,
            dataset.split,
            config.models,
            few_shot=config.few_shot,
            seeds=config.seeds,
            max_minutes=config.minutes_each,
            device=config.device,
            seasons=dataset.seasons_minutes,
            progress=within,
            fit_options=config.fit_options,
        )
    except ValueError as error:
        if begun or isinstance(error, InputError):
            raise
        raise InputError(str(error)) from error
    return {"title": dataset.name} | scored | {"code": code_digest(), "seconds": round(time.monotonic() - started, 1)}


def summarise(results: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Models beside each other over all networks; of several seeds their mean counts.

    Args:
        results: for each network the result of `backtest`.

    Returns:
        best_naive: for each network "model" and "mae" of the best row among persistence, seasonal naive and historical average,
            absent where none was scored.
        summary: a row a model, the lowest median first: "mae" and "ratio" (to the best naive) by network, "median_ratio" and "wins"
            (networks on which no model has a lower error; those with the same error share the win) over "datasets" networks.
    """
    maes: dict[str, dict[str, float]] = {}
    best: dict[str, Any] = {}
    lowest: dict[str, float] = {}
    for name, result in results.items():
        rows = {row["model"]: row["mae"] for row in result["scores"] if "seed" not in row}
        for model, mae in rows.items():
            maes.setdefault(model, {})[name] = mae
        lowest[name] = min(rows.values())
        if naive := [model for model in rows if model.startswith(NAIVE)]:
            model = min(naive, key=rows.__getitem__)
            best[name] = {"model": model, "mae": rows[model]}
    summary = []
    for model, by_name in maes.items():
        ratio = {name: mae / best[name]["mae"] for name, mae in by_name.items() if name in best and best[name]["mae"] > 0}
        summary.append(
            {
                "model": model,
                "mae": by_name,
                "ratio": ratio,
                "median_ratio": median(ratio.values()) if ratio else None,
                "wins": sum(mae == lowest[name] for name, mae in by_name.items()),
                "datasets": len(by_name),
            }
        )
    return best, sorted(summary, key=lambda row: (row["median_ratio"] is None, row["median_ratio"] or 0.0))
