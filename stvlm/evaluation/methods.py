"""What is scored side by side: the windows of a backtest, and every method fitted for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stvlm.calibration.conformal import ConformalBands
from stvlm.calibration.online import OnlineCalibratedForecaster
from stvlm.core.forecast import LEVELS
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split, thin
from stvlm.evaluation.baselines import DEEP
from stvlm.evaluation.baselines.simple import BASELINES, TrainingData, fit_baseline

if TYPE_CHECKING:
    from stvlm.model.pretrained import SharedWeights
    from stvlm.model.stvlm import STVLM

BOOSTING = "boosting"
ZERO_SHOT = "zero-shot"  # nothing is trained on the network
LOOKBACK_ONLY = "anchor lookback"  # the anchor where a forecast may see L steps and no more
QUICK = (*BASELINES, ZERO_SHOT, "anchor", "stvlm")  # what is scored where nobody says what
MODELS = (*BASELINES, BOOSTING, *DEEP, ZERO_SHOT, LOOKBACK_ONLY, "anchor", "stvlm")
BLOCK_CELLS = 2_000_000  # (window, step, sensor) forecast and scored at once
BAND_CELLS = 8_000_000  # of the validation part that bands are learnt from
Report = Callable[[str, float], None]
Forecasting = Callable[[np.ndarray], np.ndarray]  # cutoffs (W,) → quantiles (Q, W, H, N) at LEVELS, or points (W, H, N)


@dataclass(frozen=True, eq=False)
class FittedMethod:
    """Something that forecasts, ready to be scored.

    Attributes:
        name: its row. forecast: cutoffs (W,) → quantiles (Q, W, H, N) at LEVELS, or point forecasts (W, H, N).
        parameters, trainable: numbers in it, and those that were estimated on this series. seconds_fit: of wall time.
        device: that forecasts. first_cutoff: the earliest that it can forecast. facts: what else its row says.
        on: other readings of the same sensors → what forecasts from them, fitted as it is; None where it cannot.
    """

    name: str
    forecast: Callable[[np.ndarray], np.ndarray]
    parameters: int
    trainable: int
    seconds_fit: float
    device: str = "cpu"
    first_cutoff: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    on: Callable[[SensorSeries], Callable[[np.ndarray], np.ndarray]] | None = None


@dataclass(frozen=True, eq=False)
class EvaluationSetup:
    """The windows that all run on: a series, its parts, lookback and horizon in steps, seasons in minutes."""

    series: SensorSeries
    split: Split
    lookback: int
    horizon: int
    seasons: tuple[int, ...]

    def cutoffs(self, part: str) -> np.ndarray:
        """(W,) the cutoffs of a part."""
        return self.split.cutoffs(part, self.lookback, self.horizon)

    def truth(self, cutoffs: np.ndarray, series: SensorSeries | None = None) -> np.ndarray:
        """(W, H, N) float32, NaN = missing; of other readings of the same sensors where they are given."""
        return (series or self.series).values[cutoffs[:, None] + np.arange(self.horizon)]

    def blocks(self, cutoffs: np.ndarray) -> Iterator[np.ndarray]:
        """Cutoffs in blocks small enough to hold at once."""
        size = max(1, BLOCK_CELLS // (self.horizon * self.series.network.n_sensors))
        for first in range(0, len(cutoffs), size):
            yield cutoffs[first : first + size]


def contenders(
    course: EvaluationSetup, models: tuple[str, ...], seeds: int, options: dict, report: Report
) -> Iterator[FittedMethod]:
    """Fit one after another, in the order of MODELS, and hand each on as soon as it is ready."""
    n_seeded = len([m for m in models if m in (*DEEP, "stvlm")])
    n_stages = len(set(models)) + (seeds - 1) * n_seeded
    done = 0
    if simple := [family for family in BASELINES if family in models]:
        data = TrainingData(course.series, course.split, course.lookback, course.horizon)
        for family in simple:
            report(f"Scoring {family}.", done / n_stages)
            yield from _simple(family, data, course)
            done += 1
    if BOOSTING in models:
        report("Growing trees.", done / n_stages)
        yield _boosted(course, options.get("seed", 0))
        done += 1

    def within(message: str, share: float) -> None:
        report(message, (done + share) / n_stages)

    for name in [name for name in DEEP if name in models]:
        for seed in range(seeds):
            model = _banded(_deep(name, course, {**options, "seed": options.get("seed", 0) + seed}, within), course)
            yield _one_of(seeds, model, seed)
            done += 1
    if ZERO_SHOT in models:
        report("Reading the past.", done / n_stages)
        yield _zero_shot(course, options.get("shared"))
        done += 1
    if LOOKBACK_ONLY in models:
        report("Fitting the closed-form anchor.", done / n_stages)
        yield replace(_anchor_alone(course, 0), name=LOOKBACK_ONLY)
        done += 1
    if "stvlm" in models:
        for seed in range(seeds):
            anchor, model = _trained(course, {**options, "seed": options.get("seed", 0) + seed}, within)
            if "anchor" in models and seed == 0:
                yield _banded(anchor, course)
                done += 1
            yield _one_of(seeds, model, seed)
            done += 1
    elif "anchor" in models:
        report("Fitting the closed-form anchor.", done / n_stages)
        yield _anchor_alone(course, options.get("context_steps"))


def _one_of(seeds: int, contender: FittedMethod, seed: int) -> FittedMethod:
    """The same, named by its seed where there are several."""
    if seeds == 1:
        return contender
    return replace(contender, name=f"{contender.name} seed {seed}", facts=contender.facts | {"seed": seed})


def _simple(family: str, data: TrainingData, course: EvaluationSetup) -> Iterator[FittedMethod]:
    def on(series: SensorSeries, name: str) -> Callable[[np.ndarray], np.ndarray]:
        again = TrainingData(series, course.split, course.lookback, course.horizon)  # the same readings up to the test part
        return next(fitted for fitted in fit_baseline(family, again, course.seasons) if fitted.name == name)

    started = time.perf_counter()
    for fitted in fit_baseline(family, data, course.seasons):
        seconds = time.perf_counter() - started
        parts = (fitted.n_parameters, fitted.n_parameters, seconds, "cpu", fitted.first_cutoff)
        yield _banded(FittedMethod(fitted.name, fitted, *parts, on=partial(on, name=fitted.name)), course)
        started = time.perf_counter()


def _boosted(course: EvaluationSetup, seed: int) -> FittedMethod:
    from stvlm.evaluation.baselines.boosting import fit_boosting  # scikit-learn takes its time to load

    started = time.perf_counter()
    fitted = fit_boosting(TrainingData(course.series, course.split, course.lookback, course.horizon), course.seasons, seed)
    seconds = time.perf_counter() - started
    return _banded(FittedMethod(BOOSTING, fitted, *[fitted.n_parameters] * 2, seconds, first_cutoff=fitted.first_cutoff), course)


def _deep(name: str, course: EvaluationSetup, options: dict[str, Any], report: Report) -> FittedMethod:
    """One training of a deep baseline."""
    from stvlm.evaluation.baselines.deep import DeepConfig, fit_deep
    from stvlm.training.fit import pick_device

    device = pick_device(options.get("device") or "auto")
    config = DeepConfig(name, options["seed"], options.get("max_minutes"), options.get("max_steps"), device)
    started = time.perf_counter()
    fitted = fit_deep(config, course.series, course.split, course.lookback, course.horizon, course.seasons, report)
    facts = {"steps": fitted.steps, "val_mae": fitted.val_mae, "out_of_time": fitted.out_of_time}
    size, seconds = fitted.n_parameters, time.perf_counter() - started
    first = course.split.train_start + course.lookback
    return FittedMethod(name, fitted, size, size, seconds, _device_name(device), first, facts)


def _anchor_alone(course: EvaluationSetup, context_steps: int | None) -> FittedMethod:
    from stvlm.anchor.fit import fit_anchor

    started = time.perf_counter()
    anchor = fit_anchor(course.series, course.split, course.lookback, course.horizon, course.seasons, context_steps)
    return _banded(_anchor_contender(anchor, course, time.perf_counter() - started), course)


def _zero_shot(course: EvaluationSetup, folder: str | None) -> FittedMethod:
    """The anchor that nothing was fitted for, and the weights that were learnt on other networks.

    Args:
        course: what is scored. folder: of such weights; "": none; None: those that ship, where they do not know this network.
    """
    from stvlm.anchor.zero_shot import zero_shot_anchor
    from stvlm.model.stvlm import count_parameters
    from stvlm.training.zero_shot import open_shared

    started, (start, stop) = time.perf_counter(), (course.split.train_start, course.split.val_end)
    anchor = zero_shot_anchor(course.series, start, stop, course.lookback, course.horizon, course.seasons)
    made = replace(_anchor_contender(anchor, course, 0.0), name=ZERO_SHOT)
    weights, known = _shared(course, folder)
    facts: dict[str, Any] = {"shared": None if weights is None else weights.folder.name, "knows_network": known, "shrinkage": 0.0}
    if weights is not None and not (known and folder is None):
        model, gate = open_shared(weights, course.series, anchor, start, stop)
        facts["shrinkage"] = gate.shrinkage
        if not model.is_anchor:
            medians = partial(_medians, model)
            size = count_parameters(model)[0] + anchor.n_parameters
            made = replace(made, forecast=medians(course.series), on=medians, parameters=size)
    return _banded(replace(made, seconds_fit=time.perf_counter() - started, facts=facts), course)


def _shared(course: EvaluationSetup, folder: str | None) -> tuple[SharedWeights | None, bool]:
    """Weights that were learnt on many networks, as `_zero_shot` takes them; and whether the network scored was among those."""
    from stvlm.model.pretrained import BUNDLED, SharedWeights
    from stvlm.training.zero_shot import was_trained_on

    path = Path(folder) if folder else BUNDLED
    weights = SharedWeights.load(path) if folder or (folder is None and path.is_dir()) else None
    return weights, weights is not None and was_trained_on(weights, course.series)


def _medians(model: STVLM, series: SensorSeries) -> Callable[[np.ndarray], np.ndarray]:
    """The medians (W, H, N) that a model forecasts of a series."""
    from stvlm.inference.predict import predict_many

    return lambda cutoffs: predict_many(model, series, cutoffs)[LEVELS.index(0.5)]


def _trained(course: EvaluationSetup, options: dict[str, Any], report: Report) -> tuple[FittedMethod, FittedMethod]:
    """The anchor and the model of one training."""
    from stvlm.inference.predict import predict_many
    from stvlm.model.stvlm import count_parameters
    from stvlm.training.fit import FitConfig, fit, pick_device  # torch takes its time to load: not for the simple methods alone

    if options.get("few_shot") is not None and options.get("shared") is None and _shared(course, None)[1]:
        options = options | {"shared": ""}  # what learnt from this network before is no few-shot
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
    parameters, trainable = (n + model.anchor.n_parameters for n in count_parameters(model))
    contender = FittedMethod(
        "stvlm",
        lambda cutoffs: predict_many(model, course.series, cutoffs),
        parameters,
        trainable,
        seconds,
        _device_name(device),
        course.split.train_start + course.lookback,
        {"taken": bool(float(model.shrinkage) > 0), "message": step.message},
        on=lambda series: lambda cutoffs: predict_many(model, series, cutoffs),
    )
    return _anchor_contender(model.anchor, course, seconds_anchor), _following(contender, course)


def _anchor_contender(anchor, course: EvaluationSetup, seconds: float) -> FittedMethod:
    return FittedMethod(
        "anchor",
        lambda cutoffs: anchor.forecast(course.series, cutoffs),
        anchor.n_parameters,
        anchor.n_parameters,
        seconds,
        first_cutoff=course.split.train_start + course.lookback,
        on=lambda series: lambda cutoffs: anchor.forecast(series, cutoffs),
    )


def _banded(contender: FittedMethod, course: EvaluationSetup) -> FittedMethod:
    """The same with bands learnt on the validation part, where it holds a reading; its time counts as fitting."""
    started = time.perf_counter()
    cutoffs = course.cutoffs("val")
    cutoffs = cutoffs[cutoffs >= contender.first_cutoff]
    keep = max(1, BAND_CELLS // (course.horizon * course.series.network.n_sensors))
    cutoffs = thin(cutoffs, keep)
    truth = course.truth(cutoffs, course.series.screened)
    if not np.isfinite(truth).any():
        return contender
    bands = ConformalBands.fit(contender.forecast(cutoffs), truth, LEVELS, _floor(course))
    with_bands = _through(contender, course, lambda point, series: lambda c: bands.apply(point(c)))
    return _following(replace(with_bands, seconds_fit=contender.seconds_fit + time.perf_counter() - started), course)


def _following(contender: FittedMethod, course: EvaluationSetup) -> FittedMethod:
    """The same with bands that follow what was missed in the windows before."""
    floor = _floor(course)
    return _through(
        contender, course, lambda made, series: OnlineCalibratedForecaster(made, series.screened.values, course.horizon, floor)
    )


def _through(
    contender: FittedMethod, course: EvaluationSetup, wrap: Callable[[Forecasting, SensorSeries], Forecasting]
) -> FittedMethod:
    """The same with what forecasts wrapped, on these readings and on others of the same sensors."""
    on = contender.on
    again = None if on is None else lambda series: wrap(on(series), series)
    return replace(contender, forecast=wrap(contender.forecast, course.series), on=again)


def _floor(course: EvaluationSetup) -> float | None:
    """0 where the training part holds nothing below it."""
    lowest = np.nanmin(course.series.screened.values[course.split.train_start : course.split.train_end])
    return 0.0 if lowest >= 0 else None


def _device_name(device) -> str:
    """ "cpu", or the name of the accelerator."""
    if device.type != "cuda":
        return device.type
    import torch

    return torch.cuda.get_device_name(device)
