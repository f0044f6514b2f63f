"""Every model and every simple method on the same windows of the past, scored the same way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from stvlm.data.forecast import LEVELS
from stvlm.data.seasons import find_seasons
from stvlm.data.series import SensorSeries
from stvlm.data.windows import PARTS, Split, few_shot
from stvlm.evaluation.baselines import BASELINES, TrainingData, fit_baseline
from stvlm.evaluation.coverage import ConformalBands
from stvlm.evaluation.metrics import Scores

MODELS = (*BASELINES, "anchor", "stvlm")
BLOCK_CELLS = 2_000_000  # (window, step, sensor) forecast and scored at once
BAND_CELLS = 8_000_000  # of the validation part that bands are learnt from
AVERAGED = ("mae", "rmse", "accuracy", "crps", "coverage_50", "coverage_80", "coverage_95", "width_50", "width_80", "width_95")
Report = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Contender:
    """Something that forecasts, ready to be scored.

    Attributes:
        name: its row. forecast: cutoffs (W,) → quantiles (Q, W, H, N) at LEVELS, or point forecasts (W, H, N).
        parameters, trainable: numbers in it, and those that were estimated on this series. seconds_fit: of wall time.
        device: that forecasts. first_cutoff: the earliest that it can forecast. facts: what else its row says.
    """

    name: str
    forecast: Callable[[np.ndarray], np.ndarray]
    parameters: int
    trainable: int
    seconds_fit: float
    device: str = "cpu"
    first_cutoff: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Course:
    """The windows that all run on: a series, its parts, lookback and horizon in steps, seasons in minutes."""

    series: SensorSeries
    split: Split
    lookback: int
    horizon: int
    seasons: tuple[int, ...]

    def cutoffs(self, part: str) -> np.ndarray:
        """(W,) the cutoffs of a part."""
        return self.split.cutoffs(part, self.lookback, self.horizon)

    def truth(self, cutoffs: np.ndarray) -> np.ndarray:
        """(W, H, N) float32, NaN = missing."""
        return self.series.values[cutoffs[:, None] + np.arange(self.horizon)]

    def blocks(self, cutoffs: np.ndarray) -> Iterator[np.ndarray]:
        """Cutoffs in blocks small enough to hold at once."""
        size = max(1, BLOCK_CELLS // (self.horizon * self.series.network.n_sensors))
        for first in range(0, len(cutoffs), size):
            yield cutoffs[first : first + size]


def backtest(
    series: SensorSeries,
    lookback: int,
    horizon: int,
    split: tuple[float, float, float] = (0.6, 0.2, 0.2),
    models: tuple[str, ...] = MODELS,
    few_shot: str | float | None = None,
    seeds: int = 1,
    max_minutes: float | None = None,
    device: str = "auto",
    seasons: tuple[int, ...] | None = None,
    progress: Report | None = None,
    fit_options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Fit on the training part, calibrate on the validation part, score every window of the test part.

    Args:
        series: the readings. lookback, horizon: L, H in steps. split: shares of training, validation and test.
        models: some of MODELS; "seasonal naive" and "historical average" give one row for each season that training covers.
        few_shot: train on so much of the training part only (as in `stvlm.data.windows.few_shot`), every method alike.
        seeds: how often stvlm is trained, with seeds 0, 1, ... max_minutes: of each training.
        device: "auto", "cpu", "cuda", "mps". seasons: in minutes; None: found in the training part.
        progress: called with a message and the share done. fit_options: further settings of FitConfig.

    Returns:
        "windows": how many in each part; "scores": one dict a row ("model", the scores of `Scores.result`, "mae_per_sensor",
        "parameters", "trainable", "seconds_fit", "seconds_per_window", "device"); and what was scored. With several seeds there
        is a row "stvlm seed 0", ... for each, and "stvlm" is their mean, with "seeds" and "spread" (standard deviations).
        Bands of the simple methods and of the anchor are conformal; a row without bands has None for what needs them.

    Raises:
        ValueError: unknown models, a series too short for a window in training or test, or nothing observed.
        FloatingPointError: a model forecast something that is not a finite number.
    """
    unknown = [name for name in models if name not in MODELS]
    if unknown or not models:
        raise ValueError(f"Unknown models: {', '.join(unknown) or 'none given'}. There are {', '.join(MODELS)}.")
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, not {seeds}.")
    report = progress or (lambda message, share: None)
    course = _course(series, lookback, horizon, split, few_shot, seasons)
    options = dict(fit_options or {}) | {"split": split, "few_shot": few_shot, "max_minutes": max_minutes, "device": device}
    rows, test = [], course.cutoffs("test")
    for contender in _contenders(course, models, seeds, options, report):
        if contender.first_cutoff <= test[0]:
            rows.append(_row(contender, course))
    report("Done.", 1.0)
    return {
        "windows": {part: len(course.cutoffs(part)) for part in PARTS},
        "scores": _with_mean(rows) if seeds > 1 else rows,
        "quantity": series.quantity,
        "unit": series.unit,
        "sensors": series.network.n_sensors,
        "lookback": lookback,
        "horizon": horizon,
        "split": list(split),
        "few_shot": few_shot,
        "seasons_minutes": list(course.seasons),
    }


def score_table(result: dict[str, Any]) -> pd.DataFrame:
    """The rows of a backtest as a table, the best first: model, mae, rmse, accuracy, coverage_80, width_80, crps, times, sizes."""
    columns = ["model", "mae", "rmse", "accuracy", "coverage_80", "width_80", "crps"]
    columns += ["seconds_fit", "seconds_per_window", "parameters", "trainable", "device"]
    table = pd.DataFrame([{name: row[name] for name in columns} for row in result["scores"]], columns=columns)
    return table.sort_values("mae", kind="stable", ignore_index=True)


def _course(
    series: SensorSeries,
    lookback: int,
    horizon: int,
    shares: tuple[float, float, float],
    amount: str | float | None,
    seasons: tuple[int, ...] | None,
) -> Course:
    """The windows to run on, once it is known that training and test hold any, and something to score."""
    split = Split.from_shares(series.n_steps, tuple(shares))
    if amount is not None:
        split = few_shot(split, amount, series, lookback, horizon)
    if seasons is None:
        seasons = find_seasons(series.values, series.local_times, split.train_start, split.train_end, series.step_seconds)
    course = Course(series, split, lookback, horizon, tuple(sorted(seasons)))
    for part, word, start, stop in (
        ("train", "training", split.train_start, split.train_end),
        ("test", "test", split.test_start, split.n_steps),
    ):
        if len(course.cutoffs(part)) == 0:
            raise ValueError(
                f"The {word} part ({stop - start} of {series.n_steps} steps) holds no window of {lookback} steps before and {horizon} "
                "steps ahead. Take more data, a shorter lookback or horizon, or other shares."
            )
        if not any(np.isfinite(series.values[i : min(i + 4096, stop)]).any() for i in range(start, stop, 4096)):
            raise ValueError(f"The {word} part ({stop - start} of {series.n_steps} steps) holds no reading at all.")
    return course


def _contenders(course: Course, models: tuple[str, ...], seeds: int, options: dict, report: Report) -> Iterator[Contender]:
    """Fit one after another, in the order of MODELS, and hand each on as soon as it is ready."""
    n_stages = len([m for m in models if m in BASELINES]) + ("anchor" in models) + seeds * ("stvlm" in models)
    done = 0
    if simple := [family for family in BASELINES if family in models]:
        data = TrainingData(course.series, course.split, course.lookback, course.horizon)
        for family in simple:
            report(f"Scoring {family}.", done / n_stages)
            yield from _simple(family, data, course)
            done += 1
    if "stvlm" in models:
        for seed in range(seeds):
            first_done = done

            def within(message: str, share: float, first_done: int = first_done) -> None:
                report(message, (first_done + share) / n_stages)

            anchor, model = _trained(course, {**options, "seed": options.get("seed", 0) + seed}, within)
            if "anchor" in models and seed == 0:
                yield _banded(anchor, course)
                done += 1
            yield model if seeds == 1 else replace(model, name=f"stvlm seed {seed}", facts=model.facts | {"seed": seed})
            done += 1
    elif "anchor" in models:
        report("Fitting the closed-form anchor.", done / n_stages)
        yield _anchor_alone(course, options.get("context_steps"))


def _simple(family: str, data: TrainingData, course: Course) -> Iterator[Contender]:
    started = time.perf_counter()
    for fitted in fit_baseline(family, data, course.seasons):
        seconds = time.perf_counter() - started
        parts = (fitted.n_parameters, fitted.n_parameters, seconds, "cpu", fitted.first_cutoff)
        yield _banded(Contender(fitted.name, fitted, *parts), course)
        started = time.perf_counter()


def _anchor_alone(course: Course, context_steps: int | None) -> Contender:
    from stvlm.anchor.choose import fit_anchor

    started = time.perf_counter()
    anchor = fit_anchor(course.series, course.split, course.lookback, course.horizon, course.seasons, context_steps)
    return _banded(_anchor_contender(anchor, course, time.perf_counter() - started), course)


def _trained(course: Course, options: dict[str, Any], report: Report) -> tuple[Contender, Contender]:
    """The anchor and the model of one training."""
    from stvlm.fit import FitConfig, fit, pick_device  # torch takes its time to load: not for the simple methods alone
    from stvlm.predict import predict_many

    config = FitConfig(**(options | {"lookback": course.lookback, "horizon": course.horizon, "seasons_minutes": course.seasons}))
    started = time.perf_counter()
    seconds_anchor = step = None
    for step in fit(course.series, config):
        if step.phase != "anchor" and seconds_anchor is None:
            seconds_anchor = time.perf_counter() - started
        message = step.message or f"step {step.step} of {step.total}"
        report(f"Training stvlm, seed {config.seed}: {message}", 0.9 * step.step / max(step.total, 1))
    seconds, device = time.perf_counter() - started, pick_device(config.device)
    model = step.model.to(device)
    parameters = sum(p.numel() for p in model.parameters()) + model.anchor.n_parameters
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad) + model.anchor.n_parameters
    contender = Contender(
        "stvlm",
        lambda cutoffs: predict_many(model, course.series, cutoffs),
        parameters,
        trainable,
        seconds,
        _device_name(device),
        course.split.train_start + course.lookback,
        {"taken": bool(float(model.shrinkage) > 0), "message": step.message},
    )
    return _anchor_contender(model.anchor, course, seconds_anchor), contender


def _anchor_contender(anchor, course: Course, seconds: float) -> Contender:
    return Contender(
        "anchor",
        lambda cutoffs: anchor.forecast(course.series, cutoffs),
        anchor.n_parameters,
        anchor.n_parameters,
        seconds,
        first_cutoff=course.split.train_start + course.lookback,
    )


def _banded(contender: Contender, course: Course) -> Contender:
    """The same with bands learnt on the validation part, where it holds a reading; its time counts as fitting."""
    started = time.perf_counter()
    cutoffs = course.cutoffs("val")
    cutoffs = cutoffs[cutoffs >= contender.first_cutoff]
    keep = max(1, BAND_CELLS // (course.horizon * course.series.network.n_sensors))
    cutoffs = cutoffs[np.unique(np.linspace(0, len(cutoffs) - 1, min(len(cutoffs), keep)).astype(int))]
    truth = course.truth(cutoffs)
    if not np.isfinite(truth).any():
        return contender
    training = course.series.values[course.split.train_start : course.split.train_end]
    floor = 0.0 if np.nanmin(training) >= 0 else None
    bands = ConformalBands.fit(contender.forecast(cutoffs), truth, LEVELS, floor)
    point = contender.forecast
    seconds = contender.seconds_fit + time.perf_counter() - started
    return replace(contender, forecast=lambda c: bands.apply(point(c)), seconds_fit=seconds)


def _row(contender: Contender, course: Course) -> dict[str, Any]:
    """Forecast and score the test part, block by block; only the forecasting is timed."""
    test, scores, seconds = course.cutoffs("test"), Scores(LEVELS), 0.0
    for cutoffs in course.blocks(test):
        started = time.perf_counter()
        forecast = contender.forecast(cutoffs)
        seconds += time.perf_counter() - started
        try:
            scores.add(forecast, course.truth(cutoffs))
        except FloatingPointError as error:
            raise FloatingPointError(f"{contender.name}, cutoffs {cutoffs[0]} to {cutoffs[-1]}: {error}") from error
    per_sensor = [float(v) if np.isfinite(v) else None for v in scores.mae_per_sensor()]
    return {
        "model": contender.name,
        **scores.result(),
        "mae_per_sensor": per_sensor,
        "parameters": int(contender.parameters),
        "trainable": int(contender.trainable),
        "seconds_fit": contender.seconds_fit,
        "seconds_per_window": seconds / len(test),
        "device": contender.device,
        **contender.facts,
    }


def _with_mean(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows and, after those of the single seeds, their mean as "stvlm"."""
    runs = [row for row in rows if "seed" in row]
    if not runs:
        return rows
    mean: dict[str, Any] = {k: v for k, v in runs[0].items() if k not in ("seed", "message")} | {
        "model": "stvlm",
        "seeds": len(runs),
    }
    for name in (*AVERAGED, "seconds_fit", "seconds_per_window"):
        values = [run[name] for run in runs]
        mean[name] = None if None in values else float(np.mean(values))
    for name in ("mae_per_step", "mae_per_sensor"):
        columns = zip(*(run[name] for run in runs), strict=True)
        mean[name] = [None if None in column else float(np.mean(column)) for column in columns]
    mean["taken"] = sum(run["taken"] for run in runs)
    mean["spread"] = {name: float(np.std([run[name] for run in runs], ddof=1)) for name in AVERAGED if mean[name] is not None}
    return [*rows, mean]


def _device_name(device) -> str:
    """ "cpu", or the name of the accelerator."""
    if device.type != "cuda":
        return device.type
    import torch

    return torch.cuda.get_device_name(device)
