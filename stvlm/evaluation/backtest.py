"""Every model and every simple method on the same windows of the past, scored the same way."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from stvlm.core.forecast import LEVELS
from stvlm.core.seasonality import find_seasons
from stvlm.core.series import SensorSeries
from stvlm.core.windows import PARTS, Split, exact, few_shot, since_block
from stvlm.evaluation.baselines import DEEP
from stvlm.evaluation.methods import BOOSTING, MODELS, QUICK, EvaluationSetup, FittedMethod, Report, contenders
from stvlm.evaluation.metrics import Scores

AVERAGED = (
    "mae",
    "mae_all_there",
    "rmse",
    "accuracy",
    "r2",
    "explained",
    "crps",
    "coverage_50",
    "coverage_80",
    "coverage_95",
    "width_50",
    "width_80",
    "width_95",
)


def backtest(
    series: SensorSeries,
    lookback: int,
    horizon: int,
    split: tuple[float, float, float] = (0.6, 0.2, 0.2),
    models: tuple[str, ...] = QUICK,
    few_shot: str | float | None = None,
    seeds: int = 1,
    max_minutes: float | None = None,
    device: str = "auto",
    seasons: tuple[int, ...] | None = None,
    progress: Report | None = None,
    fit_options: dict[str, Any] | None = None,
    drop_sensors: float | None = None,
) -> dict[str, Any]:
    """Fit on the training part, calibrate on the validation part, score every window of the test part.

    Args:
        series: the readings. lookback, horizon: L, H in steps. split: shares of training, validation and test.
        models: some of MODELS, which but for QUICK take minutes; "seasonal naive" and "historical average" give one row for each
            season that training covers.
        few_shot: train on so much of the training part only (as in `stvlm.core.windows.few_shot`), every method alike.
        seeds: how often stvlm and the deep baselines are trained, with seeds 0, 1, ... max_minutes: of each training.
        device: "auto", "cpu", "cuda", "mps". seasons: in minutes; None: found in the training part.
        progress: called with a message and the share done. fit_options: further settings of FitConfig.
        drop_sensors: this share of the sensors, drawn at random, sends nothing from one lookback before the test part on; all are
            scored, and each row says "mae_all_there" beside "mae".

    Returns:
        "windows": how many in each part; "scores": one dict a row ("model", the scores of `Scores.result`, "mae_per_sensor", those of
        `Scores.of_steps` for each step alone ("at_step") and for all up to it ("up_to_step"),
        "parameters", "trainable", "seconds_fit", "seconds_per_window", "device"); and what was scored. With several seeds there
        is a row "stvlm seed 0", ... for each, and "stvlm" is their mean, with "seeds" and "spread" (standard deviations).
        Bands are conformal and follow the error over the test part, by what was known at each cutoff; a row without bands has None for
        what needs them.

    Raises:
        ValueError: unknown models, models that cannot hear of silent sensors, a series too short for a window in training or test, or
            nothing observed.
        FloatingPointError: a model forecast something that is not a finite number.
    """
    check_models(models)
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, not {seeds}.")
    if drop_sensors is not None and (deaf := [name for name in models if name in (BOOSTING, *DEEP)]):
        raise ValueError(f"{', '.join(deaf)} cannot be scored with sensors that fall silent; leave it out.")
    report = progress or (lambda message, share: None)
    course = make_setup(series, lookback, horizon, split, few_shot, seasons)
    options = dict(fit_options or {}) | {"split": split, "few_shot": few_shot, "max_minutes": max_minutes, "device": device}
    rows, test = [], course.cutoffs("test")
    silent = None if drop_sensors is None else fall_silent(course.series, drop_sensors, course.split.test_start - lookback)
    for contender in contenders(course, models, seeds, options, report):
        if contender.first_cutoff <= test[0]:
            rows.append(row_of(contender, course) if silent is None else _silent_row(contender, course, silent))
    report("Done.", 1.0)
    found = result_of(with_mean(rows) if seeds > 1 else rows, series, course, split, few_shot)
    return found | ({} if drop_sensors is None else {"drop_sensors": drop_sensors})


def result_of(
    rows: list[dict[str, Any]],
    series: SensorSeries,
    course: EvaluationSetup,
    split: tuple[float, float, float],
    few_shot: str | float | None,
) -> dict[str, Any]:
    """Rows of scores, and what was scored.

    Args:
        rows: as `row_of` makes them. series: all that was given. course: the windows that were run on. split, few_shot: as asked for.
    """
    return {
        "windows": {part: len(course.cutoffs(part)) for part in PARTS},
        "scores": rows,
        "quantity": series.quantity,
        "unit": series.unit,
        "sensors": series.network.n_sensors,
        "lookback": course.lookback,
        "horizon": course.horizon,
        "split": list(split),
        "few_shot": few_shot,
        "seasons_minutes": list(course.seasons),
        "step_minutes": series.step_seconds / 60,
        "data_sha256": series.fingerprint,
        "network": {name: list(getattr(series.network, name)) for name in ("ids", "lat", "lon")},
    }


def check_models(models: tuple[str, ...]) -> None:
    """Refuse names that are none of MODELS.

    Raises:
        ValueError: unknown names, or none at all.
    """
    unknown = [name for name in models if name not in MODELS]
    if unknown or not models:
        raise ValueError(f"Unknown models: {', '.join(unknown) or 'none given'}. There are {', '.join(MODELS)}.")


def score_table(result: dict[str, Any]) -> pd.DataFrame:
    """The rows of a backtest as a table, the best first: model, mae, rmse, accuracy, coverage_80, width_80, crps, times, sizes."""
    columns = ["model", "mae", "rmse", "accuracy", "coverage_80", "width_80", "crps"]
    columns += ["seconds_fit", "seconds_per_window", "parameters", "trainable", "device"]
    table = pd.DataFrame([{name: row[name] for name in columns} for row in result["scores"]], columns=columns)
    return table.sort_values("mae", kind="stable", ignore_index=True)


def protocol_table(result: dict[str, Any], steps: tuple[int, ...], is_cumulative: bool) -> pd.DataFrame:
    """The rows of a backtest at some steps of the horizon, side by side as protocols report them.

    Args:
        result: of `backtest`. steps: of the horizon, from 1 on. is_cumulative: over all steps up to each, else at it alone.
    """
    words, rows = {"rmse": "RMSE", "mae": "MAE", "accuracy": "accuracy", "r2": "R2", "explained": "var"}, []
    for step in steps:
        minutes = step * result["step_minutes"]
        for row in result["scores"]:
            found = row["up_to_step" if is_cumulative else "at_step"][step - 1]
            rows.append({"minutes": f"{minutes:g}", "model": row["model"]} | {word: found[key] for key, word in words.items()})
    return pd.DataFrame(rows)


def make_setup(
    series: SensorSeries,
    lookback: int,
    horizon: int,
    shares: tuple[float, float, float],
    amount: str | float | None,
    seasons: tuple[int, ...] | None,
) -> EvaluationSetup:
    """The windows to run on, once it is known that training and test hold any, and something to score."""
    split = Split.from_shares(series.n_steps, tuple(shares))
    if amount is not None:
        split = few_shot(split, amount, series, lookback, horizon)
    if seasons is None:
        seasons = find_seasons(series.screened.values, series.local_times, split.train_start, split.train_end, series.step_seconds)
    course = EvaluationSetup(since_block(series, split), split, lookback, horizon, tuple(sorted(seasons)))
    for part, word, start, stop in (
        ("train", "training", split.train_start, split.train_end),
        ("test", "test", split.test_start, split.n_steps),
    ):
        if len(course.cutoffs(part)) == 0:
            raise ValueError(
                f"The {word} part ({stop - start} of {series.n_steps} steps) holds no window of {lookback} steps before and "
                f"{horizon} steps ahead. Take more data, a shorter lookback or horizon, or other shares."
            )
        if not any(np.isfinite(series.values[i : min(i + 4096, stop)]).any() for i in range(start, stop, 4096)):
            raise ValueError(f"The {word} part ({stop - start} of {series.n_steps} steps) holds no reading at all.")
    return course


def fall_silent(series: SensorSeries, share: float, start: int, seed: int = 0) -> SensorSeries:
    """The series with some sensors silent from step `start` on: a share of them, at least one, drawn at random.

    Raises:
        ValueError: a share that is none.
    """
    if not 0 < share < 1:
        raise ValueError(f"The share of sensors that fall silent must lie between 0 and 1, not {share}.")
    n = series.network.n_sensors
    gone = np.random.default_rng(seed).permutation(n)[: max(round(exact(share) * n), 1)]
    values = np.array(series.values)
    values[start:, gone] = np.nan
    return replace(series, values=values)


def _silent_row(contender: FittedMethod, course: EvaluationSetup, silent: SensorSeries) -> dict[str, Any]:
    """The row of a contender that hears only what is left, with its error where it hears all."""
    there = row_of(contender, course)
    return row_of(replace(contender, forecast=contender.on(silent)), course) | {"mae_all_there": there["mae"]}


def row_of(contender: FittedMethod, course: EvaluationSetup) -> dict[str, Any]:
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
        "at_step": [scores.of_steps(slice(step, step + 1)) for step in range(course.horizon)],
        "up_to_step": [scores.of_steps(slice(step + 1)) for step in range(course.horizon)],
        "parameters": int(contender.parameters),
        "trainable": int(contender.trainable),
        "seconds_fit": contender.seconds_fit,
        "seconds_per_window": seconds / len(test),
        "device": contender.device,
        **contender.facts,
    }


def with_mean(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows and, after the single seeds of a model, their mean under the model's own name."""
    out: list[dict[str, Any]] = []
    for i, row in enumerate(rows):
        out.append(row)
        name = _model_of(row)
        if "seed" in row and (i + 1 == len(rows) or _model_of(rows[i + 1]) != name):
            out.append(_mean_row(name, [run for run in rows if "seed" in run and _model_of(run) == name]))
    return out


def _model_of(row: dict[str, Any]) -> str:
    """The name of a row without its seed."""
    return row["model"].removesuffix(f" seed {row['seed']}") if "seed" in row else row["model"]


def _mean_row(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of some seeds as one row."""
    mean: dict[str, Any] = {k: v for k, v in runs[0].items() if k not in ("seed", "message")} | {"model": name, "seeds": len(runs)}
    averaged = [key for key in AVERAGED if key in mean]
    for key in (*averaged, "seconds_fit", "seconds_per_window"):
        values = [run[key] for run in runs]
        mean[key] = None if None in values else float(np.mean(values))
    for key in ("mae_per_step", "mae_per_sensor"):
        columns = zip(*(run[key] for run in runs), strict=True)
        mean[key] = [None if None in column else float(np.mean(column)) for column in columns]
    for key in ("at_step", "up_to_step"):
        mean[key] = [
            {name: None if None in (values := [step[name] for step in steps]) else float(np.mean(values)) for name in steps[0]}
            for steps in zip(*(run[key] for run in runs), strict=True)
        ]
    for key in ("taken", "out_of_time"):
        if key in mean:
            mean[key] = sum(run[key] for run in runs)
    mean["spread"] = {key: float(np.std([run[key] for run in runs], ddof=1)) for key in averaged if mean[key] is not None}
    return mean
