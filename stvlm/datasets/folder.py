"""A folder of networks to be measured on: `datasets.json` says how each is forecast, a folder of its name holds its files."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from stvlm.core.series import SensorSeries
from stvlm.datasets.presets import PRESETS, read_preset, usual_files
from stvlm.io.read import InputFiles, RawTables, read_tables
from stvlm.io.source import InputError, open_source, read_json, show
from stvlm.quality.errors import find_errors
from stvlm.quality.fixes import apply_fixes
from stvlm.quality.report import to_series

LIST = "datasets.json"
SERIES = ("series.csv.gz", "series.csv")
CONTEXT = "context.csv"


@dataclass(frozen=True)
class Dataset:
    """What `datasets.json` says of one network.

    Attributes:
        name: of its folder. lookback, horizon: L, H in steps. split: shares of training, validation, test.
        quantity, unit: what is measured. seasons_minutes: lengths of its seasons; None: to be found in its training part.
        step_minutes: length of a step, checked against the readings; None: whatever they have.
        context: a file in its folder; "" takes context.csv where there is one. known_ahead: columns of it known before they happen.
        timezone: IANA name for showing times. fixes: names of fixes to apply.
        preset: of stvlm.datasets.presets, "" for none: its terms hold where nothing else is said, and its usual files are read.
    """

    name: str
    lookback: int
    horizon: int
    split: tuple[float, ...]
    quantity: str = "reading"
    unit: str = ""
    seasons_minutes: tuple[int, ...] | None = None
    step_minutes: float | None = None
    context: str = ""
    known_ahead: tuple[str, ...] = ()
    timezone: str = ""
    fixes: tuple[str, ...] = ()
    preset: str = ""

    def __post_init__(self) -> None:
        for word in ("lookback", "horizon"):
            if type(getattr(self, word)) is not int or getattr(self, word) < 1:
                raise ValueError(f"{word} must be a whole number of at least 1.")
        if len(self.split) != 3 or not min(self.split) >= 0 or not abs(sum(self.split) - 1) <= 1e-6:
            raise ValueError("split must be three shares that sum to 1, such as [0.6, 0.2, 0.2].")
        if not all(type(season) is int and season > 0 for season in self.seasons_minutes or ()):
            raise ValueError("seasons_minutes must be whole numbers over 0.")
        if not (self.step_minutes is None or (type(self.step_minutes) in (int, float) and self.step_minutes > 0)):
            raise ValueError("step_minutes must be a number over 0.")
        words = self.quantity, self.unit, self.context, self.timezone, self.preset, *self.known_ahead, *self.fixes
        if not all(isinstance(word, str) for word in words):
            raise ValueError("quantity, unit, context, timezone and the names in known_ahead and fixes must be text.")
        for word in (self.name, self.context):
            if word and (Path(word).name != word or word in (".", "..") or "\\" in word):
                raise ValueError(f"'{show(word)}' must be a plain name of a folder or file.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they come back from JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def read_list(folder: Path) -> dict[str, Any]:
    """What `datasets.json` says of each network, unchecked; in its order.

    Raises:
        InputError: no such file, or no list of networks in it.
    """
    entries = read_json(open_source(Path(folder) / LIST))
    if not isinstance(entries, dict) or not entries:
        raise InputError(f'{LIST}: must name networks, such as {{"city": {{"lookback": 12, "horizon": 12, …}}}}.')
    return entries


def as_dataset(name: str, entry: Any) -> Dataset:
    """Check one entry of `datasets.json`; keys that mean nothing here are passed over.

    Raises:
        InputError: something is absent or wrong.
    """
    known = {f.name for f in fields(Dataset)} - {"name"}
    try:
        given = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items() if key in known}
        given |= {key: (given[key],) for key in ("known_ahead", "fixes") if isinstance(given.get(key), str)}
        return Dataset(name, **(_preset_terms(given.get("preset")) | given))
    except (AttributeError, TypeError):
        raise InputError(f"{LIST}: needs lookback, horizon and split, such as 12, 12 and [0.6, 0.2, 0.2].") from None
    except ValueError as error:
        raise InputError(f"{LIST}: {error}") from None


def _preset_terms(name: Any) -> dict[str, Any]:
    """What a preset says of a network; {} without one.

    Raises:
        ValueError: there is no such preset.
    """
    if not name:
        return {}
    if name not in PRESETS:
        raise ValueError(f"there is no preset '{show(name)}'. Choose from {', '.join(PRESETS)}.")
    preset = PRESETS[name]
    terms = {key: getattr(preset.protocol, key) for key in ("lookback", "horizon", "split")}
    return terms | {key: getattr(preset, key) for key in ("quantity", "unit", "seasons_minutes", "step_minutes")}


def open_dataset(folder: Path, dataset: Dataset) -> tuple[SensorSeries, tuple[str, ...], tuple[str, ...]]:
    """Read a network of the folder.

    Where nothing is wrong but that rows are missing, and no fix is named, the rows are counted on as they stand (fix "close-gaps"),
    as those do who cut windows by the row.

    Returns:
        The readings, the names of the fixes applied, and a sentence on each that nobody named; with a preset, on how files were read.

    Raises:
        InputError: one line for each problem.
    """
    place = Path(folder) / dataset.name
    if not place.is_dir():
        raise InputError(f"there is no folder of this name in {folder}.")
    context = place / (dataset.context or CONTEXT)
    beside = context if dataset.context or context.is_file() else None
    if dataset.preset:
        series, sensors, distances = usual_files(dataset.preset, place)
        raw = read_preset(dataset.preset, series, sensors, distances, dataset.fixes, context=beside)
        notes = raw.notes
    else:
        series = next((place / name for name in SERIES if (place / name).is_file()), None)
        if series is None:
            raise InputError(f"there is no {' or '.join(SERIES)} in {place}.")
        adjacency = place / "adjacency.csv"
        raw = read_tables(InputFiles(place / "sensors.csv", series, adjacency if adjacency.is_file() else None, beside))
        raw, notes = _mended(raw, dataset)
    words = dataset.quantity, dataset.unit, dataset.known_ahead, dataset.timezone or None
    made = to_series(raw, *words)
    if dataset.step_minutes is not None and abs(made.step_seconds / 60 - dataset.step_minutes) > 1e-6:
        raise InputError(
            f"{LIST} says a step of {dataset.step_minutes:g} minutes, but the readings have {made.step_seconds / 60:g}. "
            "Correct one of them."
        )
    return made, raw.fixes, notes


def _mended(raw: RawTables, dataset: Dataset) -> tuple[RawTables, tuple[str, ...]]:
    """The tables after the fixes that are named, or after the one that needs no asking; and a sentence on that one."""
    if dataset.fixes:
        return apply_fixes(raw, dataset.fixes), ()
    errors = find_errors(raw)
    if {problem.code for problem in errors} != {"missing-steps"}:
        return raw, ()
    note = f"{errors[0].what} Rows are counted on as they stand (fix close-gaps); another fix may be named in {LIST}."
    return apply_fixes(raw, ("close-gaps",)), (note,)
