"""The ablation panel: the full model and its variants, each trained anew on the same windows, and how sure the differences are."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stvlm import __version__
from stvlm.data.series import SensorSeries
from stvlm.evaluation.apart import run_apart
from stvlm.evaluation.backtest import lay_course
from stvlm.evaluation.contenders import Course, Report
from stvlm.evaluation.panel import ablation_panel
from stvlm.evaluation.trial import rounded, train_variant, write_numbers
from stvlm.evaluation.variants import ABLATIONS, FULL, ablation_names, changed, starting_point

ROOT = Path(__file__).resolve().parents[1]
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
    from stvlm.fit import FitConfig

    names = ablation_names(names)
    course = lay_course(series, lookback, horizon, split, few_shot, seasons)
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
    files = [p for room in ("anchor", "modalities", "model") for p in sorted((ROOT / room).rglob("*.py"))]
    contents = [p.read_bytes() for p in (*files, ROOT / "fit.py", ROOT / "training.py")]
    return hashlib.sha256(b"".join(contents)).hexdigest()[:12]


class _Work:
    """The trainings of a panel: what is finished, what they share, and how long the rest will take."""

    def __init__(self, course: Course, base: Any, partial: Path | None, report: Report, is_apart: bool) -> None:
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
        from stvlm.anchor.choose import fit_anchor

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
