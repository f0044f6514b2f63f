"""What the verbs of the command line begin with: readings, model and window, or a line that says what is wrong."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stvlm.cli.outputs import say
from stvlm.io.source import InputError

if TYPE_CHECKING:  # pandas and torch are loaded by those that need them
    from stvlm.core.series import SensorSeries
    from stvlm.core.windows import Window
    from stvlm.datasets.presets import Protocol
    from stvlm.io.read import RawTables
    from stvlm.model.stvlm import STVLM

ZERO_SHOT = "zero-shot"


def check_out(path: Path | None, is_folder: bool = False) -> None:
    """Find out before long work that a result could not be written after it.

    Args:
        path: where to; None for nowhere. is_folder: the result is a model folder, which may stand in for an older one.

    Raises:
        InputError: no folder to put it in, or something else is there.
    """
    if path is None:
        return
    parent = path.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f"{path}: the folder {parent} does not exist or cannot be written. Make it first, or name another place.")
    if is_folder and path.exists() and not (path.is_dir() and (not any(path.iterdir()) or (path / "config.json").is_file())):
        raise InputError(f"{path}: is there already and is no model folder. Name another folder.")
    if not is_folder and path.is_dir():
        raise InputError(f"{path}: is a folder. Name a file.")


def load_tables(options: argparse.Namespace) -> RawTables:
    """The files that the common options name, as they are but for the fixes asked for."""
    from stvlm.quality import report

    below = {name: getattr(options, name) for name in ("base_layer", "grid", "grid_unit")}
    if options.preset:
        from stvlm.datasets.presets import read_preset

        given = options.series, options.sensors, options.adjacency, options.fix
        return read_preset(options.preset, *given, context=options.context, **below)
    from stvlm.io.read import InputFiles

    raw = report.read_tables(InputFiles(*files(options), start=options.start, step_minutes=options.step_minutes, **below))
    return report.apply_fixes(raw, options.fix)


def load_series(options: argparse.Namespace) -> SensorSeries:
    """The readings that the common options name, ready to forecast with."""
    from stvlm.quality import report

    if getattr(options, "sample", None):
        from stvlm.io.geojson import read_base_layer, with_base_layer

        return with_base_layer(_sample(options.sample), read_base_layer(options.base_layer, options.grid, options.grid_unit))
    raw, preset = load_tables(options), None
    if options.preset:
        from stvlm.datasets.presets import PRESETS

        preset = PRESETS[options.preset]
        for note in raw.notes:
            say(note)
    words = options.quantity or (preset.quantity if preset else "reading"), options.unit or (preset.unit if preset else "")
    return report.to_series(raw, *words, options.known_ahead, options.timezone or None)


def fill_terms(options: argparse.Namespace) -> Protocol | None:
    """Set lookback, horizon, split and seasons where a protocol or a preset says them and the caller does not.

    Returns:
        The terms, or None where neither is named.

    Raises:
        InputError: no such preset.
    """
    from stvlm.datasets.presets import PROTOCOLS, find_preset

    preset = find_preset(options.preset) if options.preset else None
    named = getattr(options, "protocol", None)
    if preset is not None and options.seasons is None:
        options.seasons = preset.seasons_minutes
    terms = PROTOCOLS[named] if named else preset.protocol if preset else None
    for name in ("lookback", "horizon", "split") if terms else ():
        if getattr(options, name) is None:
            setattr(options, name, getattr(terms, name))
    return terms


def _sample(name: str) -> SensorSeries:
    from stvlm.datasets.samples import SAMPLES, load_sample

    if name not in SAMPLES:
        raise InputError(f"--sample {name}: there is no such sample. There are {', '.join(SAMPLES)}.")
    return load_sample(name)


def sample_setting(name: str, setting: str) -> Any:
    """What a sample says of its lookback, horizon or split; None of anything else."""
    from stvlm.datasets.samples import SAMPLES

    return getattr(SAMPLES[name], setting, None) if setting in ("lookback", "horizon", "split", "seasons_minutes") else None


def title_of(options: argparse.Namespace) -> str:
    """What the data are called: the sample, else the file of the readings, or its folder where the file's name says nothing."""
    if getattr(options, "sample", None):
        from stvlm.datasets.samples import SAMPLES

        return SAMPLES[options.sample].title
    if options.preset:
        from stvlm.datasets.presets import PRESETS

        return PRESETS[options.preset].title
    path = options.series.resolve()
    stem = path.name.split(".")[0]
    return path.parent.name if stem in ("series", "readings", "values", "data") else stem


def files(options: argparse.Namespace) -> tuple[Path | None, ...]:
    """Sensors, readings, closeness and context, as named."""
    return options.sensors, options.series, options.adjacency, options.context


def model_and_window(options: argparse.Namespace) -> tuple[STVLM, Window]:
    """The model and the window that the options name."""
    from stvlm.core.windows import Window
    from stvlm.model.stvlm import STVLM
    from stvlm.training.zero_shot import zero_shot_at

    is_zero_shot = str(options.model) == ZERO_SHOT
    if not is_zero_shot and not (options.model / "config.json").is_file():
        raise InputError(f"--model {options.model}: is no model folder (it has no config.json). Name a folder that `fit` wrote.")
    series = load_series(options)
    with about_input():
        if is_zero_shot:
            model = zero_shot_at(series, options.cutoff, options.horizon, options.lookback, options.seasons)
        else:
            model = STVLM.load(options.model)
        return model, Window.at(series, options.cutoff, model.config.lookback, options.horizon or model.config.horizon)


def check_training(names: tuple[str, ...], more: dict[str, Any], device: str) -> None:
    """Refuse settings that no training could begin with, before hours of other work.

    Args:
        names: models that are scored. more: settings of FitConfig. device: as in FitConfig.

    Raises:
        InputError: a device or backbone that is not here, or a setting that is none.
    """
    from stvlm.evaluation.baselines import DEEP

    if not {"stvlm", *DEEP} & {*names}:
        return
    from stvlm.training.fit import FitConfig, load_backbone, pick_device

    with about_input():
        pick_device(device)
        config = FitConfig(**more)
        if "stvlm" in names:
            load_backbone(config)


@contextmanager
def about_input(still: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Settings or data that a room below refuses are the caller's to mend.

    Args:
        still: whether that holds when the error comes; once the real work has begun, an error is ours.
    """
    try:
        yield
    except InputError as error:
        raise InputError(_named(problem) for problem in error.problems) from error
    except ValueError as error:
        if not still():
            raise
        raise InputError(_named(str(error))) from error


def _named(problem: str) -> str:
    """A problem with a cutoff by the option that gave it."""
    return f"--{problem}" if problem.startswith("cutoff ") else problem


def until_training_about_input(steps: Iterator[Any]) -> Iterator[Any]:
    """Hand on the steps of a training; what stops it before its first one is about the settings or the data."""
    with about_input():
        for step in steps:
            yield step
            if step.phase == "train":
                break
    yield from steps
