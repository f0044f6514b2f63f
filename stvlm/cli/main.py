"""The command line, one function per verb: `stvlm --help`.

numpy, pandas and torch are loaded by the verbs that need them, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stvlm import __version__
from stvlm.cli.inputs import (
    about_input,
    check_out,
    check_training,
    files,
    fill_terms,
    load_series,
    load_tables,
    model_and_window,
    sample_setting,
    title_of,
    until_training_about_input,
)
from stvlm.cli.outputs import Progress, Stage, complain, say, write_json
from stvlm.cli.parser import parse
from stvlm.io.source import InputError
from stvlm.runtime.assets import app_script
from stvlm.runtime.settings import SettingsError, settings
from stvlm.runtime.subprocess import child_environment, python_command

if TYPE_CHECKING:
    from stvlm.core.series import SensorSeries
    from stvlm.evaluation.methods import Report

SHOWN_EVERY = 100  # steps of a pretraining


def main(arguments: list[str] | None = None) -> int:
    """Run one verb.

    Args:
        arguments: without the program's name; None: those of this process.

    Returns:
        Exit code: 0 done; 2 the input or the arguments are wrong, with one line per problem on stderr; 130 interrupted.
        Anything else is our fault: it leaves as an exception, which is exit code 1 with a traceback.
    """
    options = parse(arguments)
    verbs = {"validate": validate, "fit": fit, "forecast": forecast, "explain": explain, "backtest": backtest}
    verbs |= {"benchmark": benchmark, "pretrain": pretrain, "backbones": backbones, "serve": serve}
    try:
        settings()
        return verbs[options.verb](options) or 0
    except InputError as error:
        for problem in error.problems:
            complain(" ".join(problem.split()))
        return 2
    except SettingsError as error:
        complain(error)
        return 2
    except KeyboardInterrupt:
        complain("Stopped.")
        return 130


def validate(options: argparse.Namespace) -> None:
    """Name what is wrong with the data, and the fixes."""
    from stvlm.quality import report as quality

    check_out(options.json)
    report = quality.inspect(load_tables(options))
    if options.json:
        write_json(options.json, report.to_dict())
    for problem in report.problems:
        if problem.severity != "error":
            say(f"{problem.severity}: {problem.line}")
    step = f"a step of {report.step_minutes:g} minutes" if report.step_minutes else "no regular step"
    say(f"{report.n_sensors} sensors, {report.n_times} times, {step}: {len(report.errors)} errors.")
    if report.errors:
        raise InputError(problem.line for problem in report.errors)


def fit(options: argparse.Namespace) -> None:
    """Train a model and write it into a folder."""
    out: Path = options.out
    check_out(out, is_folder=True)
    fill_terms(options)
    series = load_series(options)
    from stvlm.core.windows import coverage
    from stvlm.model.distributed import process_group
    from stvlm.training.fit import FitConfig, split_of
    from stvlm.training.fit import fit as train

    is_first = process_group().is_first  # of several processes, the one that speaks and writes
    names = (
        "lookback horizon split few_shot backbone n_layers dtype tuning modalities others views shared context_steps device seed"
    )
    chosen = {name: getattr(options, name) for name in [*names.split(), "max_minutes", "max_steps"]} | {
        "seasons_minutes": options.seasons
    }
    if options.sample:
        chosen = {name: value if value is not None else sample_setting(options.sample, name) for name, value in chosen.items()}
    with about_input():
        config = FitConfig(**{name: value for name, value in chosen.items() if value is not None})
    _need_window(series, config.lookback, config.horizon)
    with about_input():
        learnt_from = coverage(split_of(series, config), series, config.lookback, config.horizon)
    if is_first:
        say(learnt_from)
    key = hashlib.sha256(f"{__version__} {series.fingerprint} {config}".encode()).hexdigest()[:12]
    states = out.with_name(out.name + ".checkpoint")  # the same command goes on where it was stopped
    show, step = Progress(series.unit), None
    for step in until_training_about_input(train(series, config, checkpoint=states / key)):
        if is_first:
            show(step)
    if not is_first:
        return
    if step is None or step.model is None:
        raise RuntimeError("The training ended without a model.")
    given = [str(path) for path in (*files(options), options.base_layer, options.grid) if path is not None]
    step.model.save(
        out,
        step.model.manifest
        | {"command_line": ["python", "-m", "stvlm", *sys.argv[1:]], "fixes": list(options.fix), "files": given},
    )
    shutil.rmtree(states, ignore_errors=True)
    say(step.message)
    score, anchor = show.error(step.best_val_mae), show.error(step.anchor_val_mae)
    say(f"Validation MAE {score}, that of its anchor {anchor}; {step.seconds:.0f} s on {step.device}.")
    scores = step.model.manifest["scores"]
    if "test_mae" in scores:
        held = ", ".join(f"{scores[f'test_coverage_{share}']:.0%} in the {share} % band" for share in (50, 80, 95))
        say(f"Test MAE {show.error(scores['test_mae'])}, anchor {show.error(scores['anchor_test_mae'])}; readings held: {held}.")
    say(f"The model is in {out}")


def forecast(options: argparse.Namespace) -> None:
    """Forecast the steps from a cutoff on."""
    if options.out.suffix.lower() not in (".csv", ".parquet", ".geojson"):
        raise InputError(
            f"--out {options.out.name}: a forecast is written as .csv, .parquet or .geojson. Choose one of these endings."
        )
    check_out(options.out)
    model, window = model_and_window(options)
    from stvlm.inference.predict import predict
    from stvlm.io.read import write_forecast

    with about_input():
        made = predict(model, window)
    write_forecast(made, options.out)
    say(f"{window.horizon} steps x {made.network.n_sensors} sensors from {made.times[0]} on are in {options.out}")


def explain(options: argparse.Namespace) -> None:
    """Write what a forecast drew on."""
    check_out(options.out)
    model, window = model_and_window(options)
    from stvlm.inference.predict import explain as explain_window

    with about_input():
        found = explain_window(model, window)
    write_json(options.out, found.to_dict())
    say(f"What the forecast from {found.times[0]} on drew on is in {options.out}")


def backtest(options: argparse.Namespace) -> None:
    """Score models beside the simple methods."""
    check_out(options.json)
    terms = fill_terms(options)
    series = load_series(options)
    _need_window(series, options.lookback, options.horizon)
    from stvlm.core.windows import Split, coverage, few_shot
    from stvlm.evaluation.backtest import MODELS, QUICK, check_models, protocol_table, score_table
    from stvlm.evaluation.backtest import backtest as score

    words = "context_steps", "views", "backbone", "max_steps", "shared"
    more = {name: getattr(options, name) for name in words if getattr(options, name) is not None}
    names = [re.sub("[-_]", " ", name) if name not in MODELS else name for name in options.models or QUICK]
    stage = Stage()
    with about_input():
        check_models(tuple(names))  # before the panel, which may take hours
        check_training(tuple(names), more, options.device or "auto")
        split = Split.from_shares(series.n_steps, options.split)
        if options.few_shot is not None:
            split = few_shot(split, options.few_shot, series, options.lookback, options.horizon)
        say(coverage(split, series, options.lookback, options.horizon))
    with about_input(still=lambda: not stage.message):
        if options.hold_sensors is not None:
            result, panel = _score_unseen(options, series, names, more, stage), {}
        else:
            panel = _run_panel(options, series, more, stage) if options.ablations else {}
            result = score(
                series,
                options.lookback,
                options.horizon,
                options.split,
                tuple(names),
                few_shot=options.few_shot,
                seeds=options.seeds,
                max_minutes=options.max_minutes,
                device=options.device or "auto",
                seasons=options.seasons,
                progress=stage,
                fit_options=more,
                drop_sensors=options.drop_sensors,
            )
    named = {"protocol": options.protocol or options.preset} if terms else {}
    write_json(options.json, {"title": title_of(options)} | named | result | panel)
    say(score_table(result).to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    if terms:
        steps = tuple(step for step in terms.report_steps if step <= options.horizon)
        kind = "over all steps up to each" if terms.is_cumulative else "of that step alone"
        say(f"\n{terms.title}; scores {kind}:")
        shown = protocol_table(result, steps, terms.is_cumulative)
        say(shown.to_string(index=False, na_rep="-", float_format=lambda value: f"{value:.4f}"))
    windows = ", ".join(f"{count} {part}" for part, count in result["windows"].items())
    for row in panel.get("ablations", ()):
        say(row["verdict"])
    say(f"Windows: {windows}. Errors in {series.unit or 'the unit of the readings'}. All of it is in {options.json}")


def _run_panel(options: argparse.Namespace, series: SensorSeries, fit_options: dict[str, Any], stage: Report) -> dict[str, Any]:
    """What `--ablations` asks for, as it goes into the result.

    Args:
        options: of the verb backtest. series: the readings. fit_options: further settings of FitConfig. stage: progress.

    Raises:
        ValueError: unknown names, or variants that cannot be made.
    """
    from stvlm.evaluation.ablation import run_ablations

    return run_ablations(
        series,
        options.lookback,
        options.horizon,
        options.ablations,
        options.split,
        options.few_shot,
        options.seeds,
        options.device or "auto",
        options.seasons,
        fit_options,
        options.json.with_name(f"{options.json.stem}.ablations.json"),
        stage,
    )


def _score_unseen(
    options: argparse.Namespace, series: SensorSeries, names: list[str], fit_options: dict[str, Any], stage: Report
) -> dict[str, Any]:
    """What `--hold-sensors` asks for: the result of `backtest_hidden`.

    Args:
        options: of the verb backtest. series: the readings. names: models asked for; only those that can forecast a sensor that was
            never read are scored. fit_options: further settings of FitConfig. stage: progress.

    Raises:
        InputError: options that do not go together, or no model that can forecast such a sensor.
    """
    from stvlm.evaluation.unseen_sensors import MODELS, backtest_hidden

    if options.ablations or options.drop_sensors is not None:
        raise InputError("--hold-sensors does not go with --ablations or --drop-sensors: give one of them at a time.")
    models = tuple(name for name in MODELS if name in names)
    if not models:
        raise InputError("Of sensors that are held out only anchor and stvlm can tell; name one of them in --models.")
    return backtest_hidden(
        series,
        options.lookback,
        options.horizon,
        options.split,
        options.hold_sensors,
        models,
        options.seeds,
        options.few_shot,
        options.seasons,
        stage,
        fit_options | {"max_minutes": options.max_minutes, "device": options.device or "auto"},
    )


def benchmark(options: argparse.Namespace) -> int:
    """Score models on all networks of a folder.

    Returns:
        Exit code: 0 done; 2 some networks or settings cannot be used; 1 something failed that is our fault.
    """
    check_out(options.json)
    from stvlm.evaluation.benchmark import BenchmarkConfig, run_benchmark
    from stvlm.evaluation.methods import MODELS, QUICK
    from stvlm.training.fit import pick_device

    names = tuple(re.sub("[-_]", " ", name) if name not in MODELS else name for name in options.models or QUICK)
    words = "max_minutes", "max_steps", "few_shot", "context_steps", "backbone", "views", "shared", "budget_minutes"
    with about_input():
        more = {name: getattr(options, name) for name in words}
        config = BenchmarkConfig(names, options.seeds, device=options.device or "auto", **more)
        pick_device(config.device)
        check_training(names, config.fit_options, config.device)
    result = run_benchmark(
        options.data,
        config,
        options.datasets,
        earlier=_earlier(options.json),
        keep=lambda so_far: write_json(options.json, so_far),
        say=complain,
        progress=Stage(),
    )
    write_json(options.json, result)
    say(_table(result))
    say(f"All of it is in {options.json}")
    failed = result["failed"].values()
    return 0 if not failed else 2 if all(one["is_input"] for one in failed) else 1


def _earlier(path: Path) -> dict[str, Any] | None:
    """What an earlier run of this verb left.

    Raises:
        InputError: something else is there, which is not to be written over.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(one["settings"], dict) and one["scores"] and "code" in one for one in found["datasets"].values()):
            return found
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise InputError(f"--json {path}: is there already and is no result of `benchmark`. Name another file.")


def _table(result: dict[str, Any]) -> str:
    """The error of each model by network, the simplest methods as one column; and how all stand over the networks."""
    import pandas as pd

    from stvlm.evaluation.benchmark import NAIVE

    best, summary = result["best_naive"], result["summary"]
    if not summary:
        return "No network was scored."
    names = [name for name in result["datasets"] if any(name in row["mae"] for row in summary)]
    errors: dict[str, list[Any]] = {"MAE": names, "unit": [result["datasets"][name]["unit"] for name in names]}
    errors["best naive"] = [best[name]["mae"] if name in best else None for name in names]
    for row in summary:
        if not row["model"].startswith(NAIVE):
            errors[row["model"]] = [row["mae"].get(name) for name in names]
    standing = [[row[key] for key in ("model", "median_ratio", "wins", "datasets")] for row in summary]
    titles = ["model", "median ratio to the best naive", "wins", "of networks"]
    tables = pd.DataFrame(errors), pd.DataFrame(standing, columns=titles)
    return "\n\n".join(one.to_string(index=False, na_rep="-", float_format=lambda v: f"{v:.4g}") for one in tables)


def pretrain(options: argparse.Namespace) -> None:
    """Train one set of weights on many networks and write it into a folder."""
    check_out(options.out, is_folder=True)
    from stvlm.datasets.folder import as_dataset, read_list
    from stvlm.model.pretrained import save
    from stvlm.training.pretrain import JointTraining, gather, manifest, tiny_config

    entries = [(folder, name, entry) for folder in options.data for name, entry in read_list(folder).items()]
    unknown = set(options.leave_out) - {name for _, name, _ in entries}
    if unknown:
        raise InputError(f"--leave-out {', '.join(sorted(unknown))}: no such network in {', '.join(map(str, options.data))}.")
    networks = [(folder, as_dataset(name, entry)) for folder, name, entry in entries if name not in options.leave_out]
    config = tiny_config(seed=options.seed)
    with about_input():
        tasks = gather(networks, options.fields, config, options.seed, complain)
    training = JointTraining(tasks, config, options.steps, seed=options.seed)
    losses, started = [], time.monotonic()
    while training.step < training.total:
        losses.append(training.advance())
        if training.step % SHOWN_EVERY == 0 or training.step == training.total:
            mean, losses = sum(losses) / len(losses), []
            complain(f"step {training.step}/{training.total}  loss {mean:.4f}  {time.monotonic() - started:.0f} s")
    model = training.finish()
    gains = training.gains()
    told = vars(options) | {"data": [folder.name for folder in options.data], "out": options.out.name}
    save(
        model,
        options.out,
        manifest(training, {name: told[name] for name in ("data", "leave_out", "fields", "steps", "seed")}, gains),
    )
    for name, ratio in gains.items():
        say(f"{name}: {ratio:.3f} of its anchor's error on windows kept back")
    say(
        f"The weights are in {options.out}; they take {sum(f.stat().st_size for f in options.out.rglob('*') if f.is_file()) / 1e6:.1f} MB."
    )


def backbones(options: argparse.Namespace) -> None:
    """List the backbones that can be chosen."""
    from stvlm.model.backbone import available

    for info in available():
        size = f"{info.parameters / 1e6:,.1f} M parameters, {info.memory_mb:,} MB"
        say(f"{info.name}  {'(here)' if info.is_here else '(not here)'}  {info.family}, {size}, {info.licence}")
        say(f"    {info.title}" + (f". {info.cure}" if info.cure else ""))


def serve(options: argparse.Namespace) -> None:
    """Start the app: the same as `streamlit run app.py`."""
    words = python_command("streamlit", "run", str(app_script()), *options.streamlit)
    os.execve(sys.executable, words, child_environment())  # noqa: S606  no shell; the options are the caller's own


def _need_window(series: Any, lookback: int, horizon: int) -> None:
    """Refuse a series that holds no window."""
    from stvlm.quality.report import need_steps

    need_steps(series, lookback, horizon)
