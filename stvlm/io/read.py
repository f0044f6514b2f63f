"""Files to tables of sensors, readings, closeness and context, nothing mended yet; forecasts to files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from stvlm.core.base_layer import BaseLayer
from stvlm.io.adjacency import read_adjacency
from stvlm.io.columns import SPELLINGS, Said, find_columns
from stvlm.io.detect import ROLES
from stvlm.io.geojson import read_base_layer
from stvlm.io.hdf5_npz import read_h5, read_npz
from stvlm.io.source import MOST_FACTS, InputError, Source, SourceFile, open_source, show
from stvlm.io.table import Table, open_table, parse_numbers, tidy_column, to_text
from stvlm.io.text import LONGEST_TEXT, check_lengths, cut_texts, tidy_column_of_names, told
from stvlm.io.timestamps import Clock, is_newest_first, parse_times
from stvlm.io.write import read_forecast, write_forecast

MOST_EMPTY, SMALL = 64, 40_000_000  # a long table may become so many cells per row of it, once they are not few
__all__ = ["InputError", "InputFiles", "RawTables", "Source", "read_forecast", "read_tables", "write_forecast"]


@dataclass(frozen=True, eq=False)
class RawTables:
    """What the files hold, as they hold it: with its gaps, repetitions and errors.

    Attributes:
        sensors: one row per sensor: sensor_id (text), lat, lon (float64 degrees as written, NaN = absent), further facts.
        readings: (rows, sensors) float32; index datetime64[s] as in the file, columns = ids; NaN = missing.
        names: role ("sensors", "series", "adjacency", "context", "base_layer", "grid") -> file name.
        notes: what was recognised and how it was read, one sentence each.
        adjacency: rows `from`, `to`, `weight` (closeness >= 0); None where none was given.
        context: facts that are no reading, index datetime64[s], numeric or text columns; None where none was given.
        timezone: IANA name of the zone that the readings' file named; "" for none.
        zoned: True where the readings' times were converted to UTC.
        fixes: names of the fixes applied so far.
        base_layer: lines, areas, grid below the network; None where none were given.
        context_clock: IANA name of the zone on whose clock the times of the context are; "" where they are those of the readings.
    """

    sensors: pd.DataFrame
    readings: pd.DataFrame
    names: dict[str, str]
    notes: tuple[str, ...] = ()
    adjacency: pd.DataFrame | None = None
    context: pd.DataFrame | None = None
    timezone: str = ""
    zoned: bool = False
    fixes: tuple[str, ...] = field(default=())
    base_layer: BaseLayer | None = None
    context_clock: str = ""


@dataclass(frozen=True)
class InputFiles:
    """The files of one network, each a path or (file name, bytes), and what cannot be read from them.

    Attributes:
        sensors, series: the sensor table and the readings.
        adjacency, context: who is near whom, and facts that are no reading.
        base_layer, grid, grid_unit: as in `read_base_layer`.
        start, step_minutes: time of the first reading and minutes between two, for files without times (.npz).
        columns: "sensors", "series", "context" -> our word -> the column that it is in the file; see `find_columns`.
    """

    sensors: Source
    series: Source
    adjacency: Source | None = None
    context: Source | None = None
    base_layer: Source | None = None
    grid: Source | None = None
    grid_unit: str = ""
    start: str | None = None
    step_minutes: float | None = None
    columns: Mapping[str, Said] = field(default_factory=dict)

    @property
    def sources(self) -> dict[str, Source]:
        """Role -> file, of those that are given."""
        return {role: source for role in ROLES if (source := getattr(self, role)) is not None}


def read_tables(files: InputFiles) -> RawTables:
    """Read a sensor table and a readings table, and what there is beside them.

    Raises:
        InputError: one line for each file that cannot be read.
    """
    problems: list[str] = []
    said = files.columns

    def attempt(read: Callable, *args: object) -> Any:
        try:
            return read(*args)
        except InputError as error:
            problems.extend(error.problems)
            return None

    places = attempt(_read_sensors, files.sensors, said.get("sensors"))
    ids = () if places is None else tuple(places[0]["sensor_id"])
    readings = attempt(_read_readings, files.series, ids, files.start, files.step_minutes, said.get("series"))
    edges = facts = None
    if files.adjacency is not None and ids:
        edges = attempt(read_adjacency, files.adjacency, ids)
    if files.context is not None:
        facts = attempt(_read_context, files.context, said.get("context"))
        if facts is not None and readings is not None:
            facts = attempt(_same_clock, facts, readings[1], _name(files.context))
    layer = attempt(read_base_layer, files.base_layer, files.grid, files.grid_unit)
    if problems or places is None or readings is None:
        raise InputError(problems)
    names = {role: _name(source) for role, source in files.sources.items()}
    below = () if layer is None else (f"{names.get('base_layer') or names['grid']}: read as base layer, {layer.summary}.",)
    return RawTables(
        sensors=places[0],
        readings=readings[0],
        names=names,
        notes=places[1] + readings[1].notes + (edges[1] if edges else ()) + (facts[1].notes if facts else ()) + below,
        adjacency=edges[0] if edges else None,
        context=facts[0] if facts else None,
        timezone=readings[1].timezone,
        zoned=readings[1].zoned,
        base_layer=layer,
        context_clock=readings[1].timezone if facts and readings[1].zoned and not facts[1].zoned else "",
    )


def _name(source: Source | None) -> str:
    if source is None:
        return ""
    return show(re.split(r"[\\/]", source[0] if isinstance(source, tuple) else str(source))[-1], 80)


def _read_sensors(source: Source, said: Said | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    file = open_source(source)
    table = open_table(file)
    found = find_columns(table.columns, "sensors", file.name, said)
    absent = [word for word, column in found.items() if not column]
    if absent:
        raise InputError(
            f"{file.name}, header: no column {' and no column '.join(absent)}; it has {_list(table.columns)}. "
            "A sensor table needs sensor_id, lat, lon."
        )
    notes = [f"{file.name}: column '{show(c)}' is read as {word}." for word, c in found.items() if c != word]
    columns = [c for c in table.columns if c and c not in found.values()]
    _check_facts(file, columns, "beside id and place")
    cells = table.read([*found.values(), *columns], [])
    if len(cells) > file.limits.columns:  # readings of more of them are not read either
        raise InputError(f"{file.name}: {len(cells):,} sensors; at most {file.limits.columns:,} are read. Split the network.")
    ids, more = _tidy_ids(file, table, cells[found["sensor_id"]])
    read: dict[str, Any] = {"sensor_id": ids}
    for word in ("lat", "lon"):
        values, bad = parse_numbers(cells[found[word]], table.decimal, table.mixed)
        if bad.any():
            i = int(bad.argmax())
            raise InputError(
                f"{file.name}, row {i + table.first_row}, column '{show(found[word])}': "
                f"'{show(cells[found[word]].iloc[i])}' is not a number. Write degrees such as 48.137."
            )
        read[word] = values
    for column in columns:
        fact = "fact " + column if column in read else column
        is_label = column.lower() in SPELLINGS["sensor_id"]  # a name such as 773869 is no quantity
        read[fact], note = _fact(file, table, cells[column], is_label)
        notes += note
    return pd.DataFrame(read), (*table.notes, *more, *notes)


def _tidy_ids(file: SourceFile, table: Table, cells: pd.Series) -> tuple[pd.Series, tuple[str, ...]]:
    """A column of sensor ids, each there and of a sane length, without what nobody sees; and a note on what was left out."""
    written = to_text(cells)
    ids = tidy_column_of_names(written)
    blank = ids == ""
    if blank.any():
        raise InputError(
            f"{file.name}, row {int(blank.argmax()) + table.first_row}: the sensor id is missing. Fill it in or delete the row."
        )
    check_lengths(ids.unique(), f"{file.name}: an id")
    odd = (ids != written).to_numpy()
    return ids, told(f"{file.name}, column '{show(cells.name)}'", list(written[odd]), list(ids[odd]))


def _check_facts(file: SourceFile, columns: Sequence[str], what: str) -> None:
    if len(columns) > MOST_FACTS:
        raise InputError(
            f"{file.name}: {len(columns):,} columns {what}; at most {MOST_FACTS} are read. Leave out what is not needed."
        )


def _fact(file: SourceFile, table: Table, cells: pd.Series, is_label: bool = False) -> tuple[pd.Series, tuple[str, ...]]:
    """A column of facts, its texts cut to a sane length; and a note where some were."""
    fact = to_text(cells) if is_label else tidy_column(cells, table.decimal, table.mixed)
    if pd.api.types.is_numeric_dtype(fact.dtype):
        return fact, ()
    fact, n_cut = cut_texts(fact)
    return fact, (f"{file.name}, column '{show(cells.name)}': {n_cut} text(s) cut to {LONGEST_TEXT} characters.",) if n_cut else ()


def _list(columns: Sequence[str]) -> str:
    return ", ".join(f"'{show(c, 24)}'" for c in columns[:6]) + (" …" if len(columns) > 6 else "")


def _read_readings(
    source: Source, ids: tuple[str, ...], start: str | None, step_minutes: float | None, said: Said | None
) -> tuple[pd.DataFrame, Clock]:
    file = open_source(source)
    if file.kind == "HDF5":
        return read_h5(file)
    if file.kind == "zip":
        return read_npz(file, ids, start, step_minutes)
    if file.kind == "JSON":
        raise InputError(f"{file.name}: GeoJSON can hold the sensors, not the readings. Give readings as CSV or Parquet.")
    table = open_table(file)
    found = find_columns(table.columns, "series", file.name, said, ids)
    if found["sensor_id"]:
        return _read_long(file, table, found["timestamp"], found["sensor_id"], found["value"])
    return _read_wide(file, table, found["timestamp"])


def _read_wide(file: SourceFile, table: Table, time: str) -> tuple[pd.DataFrame, Clock]:
    if len(table.columns) < 2:
        raise InputError(
            f"{file.name}, header: only the column '{show(table.columns[0])}'. Readings need a time column and one per sensor."
        )
    unnamed = [c for c in table.columns if c != time and (not c or c.startswith(("unnamed ", "Unnamed: ")))]
    sensors = [c for c in table.columns if c != time and c not in unnamed]
    if re.match(r"\d{4}-\d\d-\d\d", sensors[0] if sensors else ""):
        raise InputError(
            f"{file.name}, header: the times stand in the header. Turn the table: one row per time, one column per sensor."
        )
    cells = table.read([time], sensors)
    clock = parse_times(cells[time], file.name, table.first_row)
    readings = cells[sensors]
    readings.index = pd.DatetimeIndex(clock.times, name="timestamp")
    notes = table.notes + clock.notes
    if unnamed:
        notes += (f"{file.name}: {len(unnamed)} column(s) without a name left out.",)
    return readings, Clock(clock.times, clock.zoned, clock.timezone, notes)


def _read_long(file: SourceFile, table: Table, time: str, sensor: str, value: str) -> tuple[pd.DataFrame, Clock]:
    others = [c for c in table.columns if c not in (time, sensor) and c]
    if not value:
        raise InputError(
            f"{file.name}, header: which column holds the reading? It has {_list(others)}. "
            "A long table needs timestamp, sensor_id, value."
        )
    cells = table.read([time, sensor], [value])
    clock = parse_times(cells[time], file.name, table.first_row)
    cells[sensor], more = _tidy_ids(file, table, cells[sensor])
    node, ids = pd.factorize(cells[sensor])
    step, times = pd.factorize(clock.times, sort=True)
    again = cells.groupby([step, node])  # the same time and sensor again: a further row
    repeat = again.cumcount(ascending=not is_newest_first(clock.times)).to_numpy()
    row, keys = pd.factorize(step.astype("int64") * (int(repeat.max()) + 1) + repeat, sort=True)
    file.check_cells(len(keys), len(ids))
    if len(keys) * len(ids) > max(SMALL, MOST_EMPTY * len(cells)):
        raise InputError(
            f"{file.name}: {len(cells):,} rows at {len(keys):,} times of {len(ids):,} sensors; most of that table would be empty. "
            "Round its times to steps that sensors share, or leave out sensors with hardly a reading."
        )
    values = np.full((len(keys), len(ids)), np.nan, dtype="float32")
    values[row, node] = cells[value].to_numpy()
    index = pd.DatetimeIndex(np.asarray(times)[keys // (int(repeat.max()) + 1)], name="timestamp")
    words = ", ".join(show(c) for c in (time, sensor, value))
    notes = (*table.notes, *more, *clock.notes, f"{file.name}: read as a long table ({words}).")
    left = [c for c in others if c != value]
    if left:
        notes += (f"{file.name}: columns {_list(left)} left out.",)
    return pd.DataFrame(values, index=index, columns=pd.Index(ids, dtype="str")), Clock(
        clock.times, clock.zoned, clock.timezone, notes
    )


def _read_context(source: Source, said: Said | None) -> tuple[pd.DataFrame, Clock]:
    file = open_source(source)
    table = open_table(file)
    time = find_columns(table.columns, "context", file.name, said)["timestamp"]
    if not time:
        raise InputError(
            f"{file.name}, header: no column timestamp, time or date; it has {_list(table.columns)}. Context needs times."
        )
    columns = [c for c in table.columns if c and c != time]
    if not columns:
        raise InputError(f"{file.name}, header: nothing beside the times. Context needs at least one more column.")
    _check_facts(file, columns, "beside the time")
    cells = table.read([time, *columns], [])
    clock = parse_times(cells[time], file.name, table.first_row)
    read = {c: _fact(file, table, cells[c]) for c in columns}
    facts = pd.DataFrame({c: fact for c, (fact, _) in read.items()})
    cut = tuple(note for _, notes in read.values() for note in notes)
    facts.index = pd.DatetimeIndex(clock.times, name="timestamp")
    order = facts.index.argsort(kind="stable")
    facts = facts.iloc[order]
    twice = facts.index.duplicated(keep=False)
    if twice.any():
        raise InputError(
            f"{file.name}: the time {facts.index[int(twice.argmax())]} stands there more than once. Keep one row per time."
        )
    return facts, Clock(clock.times, clock.zoned, clock.timezone, table.notes + clock.notes + cut)


def _same_clock(facts: tuple[pd.DataFrame, Clock], readings: Clock, name: str) -> tuple[pd.DataFrame, Clock]:
    """Context that has a zone where the readings have one: times without are local times of the readings' zone."""
    table, clock = facts
    if clock.zoned == readings.zoned:
        return facts
    if clock.zoned:
        raise InputError(f"{name}: its times have a zone, those of the readings have none. Write the zone in both or in none.")
    if not readings.timezone:
        raise InputError(f"{name}: its times have no zone, those of the readings have one. Write the zone in both or in none.")
    note = f"{name}: times without a zone, taken as local times of {readings.timezone}."
    return table, replace(clock, notes=(*clock.notes, note))
