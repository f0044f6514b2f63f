"""Is the data fit to forecast with? Name every problem and its fix, mend what was asked for, make the series."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries, to_local
from stvlm.io.adjacency import to_matrix
from stvlm.io.read import InputFiles, RawTables, read_tables
from stvlm.io.source import InputError, show
from stvlm.io.write import table_csv
from stvlm.quality.errors import Problem, find_errors, finding, usual_step
from stvlm.quality.fixes import FIXES, apply_fixes
from stvlm.quality.warnings import Columns, find_oddities, measure, summary
from stvlm.runtime.messages import Message, duration

MOST_CONTEXT = 20_000_000  # cells on the clock of the readings; each takes some forty bytes meanwhile
LETTERS = 8  # of a text that take the room of one cell more
__all__ = ["FIXES", "Problem", "QualityReport", "apply_fixes", "inspect", "load", "need_steps", "to_series"]


@dataclass(frozen=True, eq=False)
class QualityReport:
    """All that was found.

    Attributes:
        problems: errors first, then warnings, then notes.
        coverage: index = sensor ids of the sensor table, share of times with a reading, 0 ... 1.
        n_sensors: of the sensor table. n_times: points in time. step_minutes: usual step; 0 where there is none.
        per_sensor: index as `coverage`; columns as in `look_at_sensors`.
    """

    problems: tuple[Problem, ...]
    coverage: pd.Series
    n_sensors: int
    n_times: int
    step_minutes: float
    per_sensor: pd.DataFrame

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What must be fixed first."""
        return tuple(p for p in self.problems if p.severity == "error")

    @property
    def fixes(self) -> tuple[str, ...]:
        """The fixes on offer, each once."""
        return tuple(dict.fromkeys(p.fix for p in self.problems if p.fix))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "ok": not self.errors,
            "n_sensors": self.n_sensors,
            "n_times": self.n_times,
            "step_minutes": self.step_minutes,
            "coverage": {str(k): round(float(v), 6) for k, v in self.coverage.items()},
            "problems": [_finding_row(p) | {"sensors": p.sensors} for p in self.problems],
            "sensors": [{"sensor_id": str(i), **_plain(row)} for i, row in self.per_sensor.iterrows()],
        }

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    def findings_csv(self) -> str:
        """The findings as CSV, one row each."""
        columns = ["severity", "code", "where", "what", "why", "fix", "sensors"]
        rows = [_finding_row(p) | {"fix": p.fix or "", "sensors": " ".join(p.sensors)} for p in self.problems]
        return table_csv(pd.DataFrame(rows, columns=columns, dtype="str"))

    def sensors_csv(self) -> str:
        """The figures of each sensor as CSV, one row each."""
        return table_csv(self.per_sensor.reset_index(), "%.6g")


def inspect(raw: RawTables) -> QualityReport:
    """Find errors, oddities and what was recognised; nothing is changed."""
    errors, ids = find_errors(raw), raw.sensors["sensor_id"]
    notes = [_note(note) for note in raw.notes]
    times = np.unique(raw.readings.index.to_numpy())
    coverage = pd.Series(0.0, index=pd.Index(ids.unique(), name="sensor_id"), name="coverage")
    odd: list[Problem] = []
    columns = None
    if raw.readings.size:
        columns = measure(raw.readings.to_numpy())
        odd = [*find_oddities(raw, columns), summary(raw, columns)]
        shares = pd.Series(columns.observed / len(raw.readings), index=raw.readings.columns)
        coverage.update(shares[shares.index.isin(coverage.index)])
    if raw.context is not None:
        notes.append(_context_note(raw.context, raw, usual_step(times)))
    order = {"error": 0, "warning": 1, "note": 2}
    problems = sorted([*errors, *odd, *notes], key=lambda p: order[p.severity])
    per_sensor = look_at_sensors(raw, columns, coverage, problems)
    return QualityReport(tuple(problems), coverage, len(ids), len(times), usual_step(times) / 60, per_sensor)


def look_at_sensors(raw: RawTables, columns: Columns | None, coverage: pd.Series, problems: list[Problem]) -> pd.DataFrame:
    """What is known of each sensor, one row each.

    Args:
        columns: figures of the readings; None where there are none. coverage: as in the report. problems: all findings.

    Returns:
        index = sensor ids as in `coverage`. coverage_percent; longest_gap, longest_run: steps in a row without a reading between two,
        of one value other than 0; zeros, outliers: counts; neighbour_km: to the next sensor, 0 where two share a place, NaN where
        the place is none; findings: codes of the warnings and errors that name the sensor.
    """
    table = pd.DataFrame({"coverage_percent": 100 * coverage})
    for name in ("longest_gap", "longest_run", "zeros", "outliers"):
        table[name] = 0
        if columns is not None:
            found = pd.Series(getattr(columns, name), index=raw.readings.columns).groupby(level=0).max()
            table[name] = found.reindex(table.index).fillna(0).astype("int64")
    first = raw.sensors.drop_duplicates("sensor_id").set_index("sensor_id").loc[table.index]
    placed = ((first["lat"].abs() <= 90) & (first["lon"].abs() <= 180)).to_numpy()
    table["neighbour_km"] = np.nan
    if placed.sum() > 1:
        network = SensorNetwork(tuple(table.index[placed]), first["lat"].to_numpy()[placed], first["lon"].to_numpy()[placed])
        table.loc[placed, "neighbour_km"] = network.neighbours(1)[1][:, 0]
    told: dict[str, list[str]] = {}
    for problem in problems:
        for sensor in problem.sensors:
            told.setdefault(sensor, []).append(problem.code)
    table["findings"] = [" ".join(told.get(i, ())) for i in table.index]
    return table


def _finding_row(problem: Problem) -> dict[str, Any]:
    """A finding in English, without its sensors."""
    why = "" if problem.why is None else str(problem.why)
    said = {"what": str(problem.what), "where": str(problem.where), "why": why}
    return {"code": problem.code, "severity": problem.severity} | said | {"fix": problem.fix}


def _plain(row: pd.Series) -> dict[str, Any]:
    """A row as plain values; None where a number is none."""
    return {str(k): v if isinstance(v, str) else None if not np.isfinite(v) else round(float(v), 6) for k, v in row.items()}


def to_series(
    raw: RawTables,
    quantity: str = "reading",
    unit: str = "",
    known_ahead: Iterable[str] = (),
    timezone: str | None = None,
) -> SensorSeries:
    """Tables without errors as a series, sensors in the order of the sensor table.

    Args:
        quantity, unit: what was measured.
        known_ahead: columns of the context that are known before they happen.
        timezone: IANA name for showing times; None takes the zone that the file named. Times of a file without a zone are then
            taken as UTC (fix "local-time:ZONE" where they are local).

    Raises:
        InputError: one line for each error left, an unknown column or zone.
    """
    lines = [p.line for p in find_errors(raw)]
    known_ahead = tuple(known_ahead)
    columns = () if raw.context is None else tuple(raw.context.columns)
    absent = [c for c in known_ahead if c not in columns]
    if absent:
        have = f"it has {', '.join(show(c) for c in columns)}" if columns else "there is no context"
        wanted = ", ".join(show(c) for c in absent)
        lines.append(f"{raw.names.get('context', 'context')}: no column {wanted}; {have}. Name one that is there.")
    zone = raw.timezone if timezone is None else timezone
    if zone and not _is_zone(zone):
        lines.append(f"timezone '{show(zone)}': there is no such zone. Write it such as Europe/Berlin.")
    if lines:
        raise InputError(lines)
    ids = tuple(raw.sensors["sensor_id"])
    readings = raw.readings if tuple(raw.readings.columns) == ids else raw.readings.reindex(columns=list(ids))
    facts = raw.sensors.drop(columns=["sensor_id", "lat", "lon"]).reset_index(drop=True)
    network = SensorNetwork(
        ids=ids,
        lat=raw.sensors["lat"].to_numpy(),
        lon=raw.sensors["lon"].to_numpy(),
        adjacency=None if raw.adjacency is None else to_matrix(raw.adjacency, ids),
        facts=facts if len(facts.columns) else None,
        base_layer=raw.base_layer,
    )
    times = readings.index.to_numpy().astype("datetime64[s]")
    return SensorSeries(
        network=network,
        times=times,
        values=np.ascontiguousarray(readings.to_numpy(), dtype="float32"),
        quantity=quantity,
        unit=unit,
        context=None if raw.context is None else align_context(raw.context, times, raw.context_clock),
        known_ahead=known_ahead,
        timezone=zone,
    )


def load(
    files: InputFiles,
    *,
    fixes: Iterable[str] = (),
    quantity: str = "reading",
    unit: str = "",
    known_ahead: Iterable[str] = (),
    timezone: str | None = None,
) -> SensorSeries:
    """Read, mend and make the series in one call; see `read_tables`, `apply_fixes`, `to_series`.

    Raises:
        InputError: one line for each problem.
    """
    return to_series(apply_fixes(read_tables(files), fixes), quantity, unit, known_ahead, timezone)


def need_steps(series: SensorSeries, lookback: int, horizon: int) -> None:
    """Refuse a series that holds no window.

    Raises:
        InputError: fewer than lookback + horizon steps.
    """
    if series.n_steps < lookback + horizon:
        raise InputError(
            f"series: {series.n_steps} steps, but a window needs {lookback} + {horizon}. "
            "Give more readings, or a shorter lookback or horizon."
        )


def align_context(context: pd.DataFrame, times: np.ndarray, zone: str = "") -> pd.DataFrame:
    """Context on the clock of the readings: each row holds from its time until the next (a daily value for the whole day).

    Rows that come at uneven times hold for one step of the readings.

    Args:
        context: index datetime64[s], rising. times: (T,) datetime64[s]. zone: on whose clock the context's times are; "": that of
            `times`. There a row holds by the clock: the hour that comes twice in autumn has one row, the one left out in spring none.

    Returns:
        T rows; numbers NaN and texts "" where nothing holds.

    Raises:
        InputError: too many columns for so many steps.
    """
    texts = [context[c] for c in context.columns if not pd.api.types.is_numeric_dtype(context[c].dtype)]
    longest = sum(int(text.str.len().max()) // LETTERS for text in texts if len(text))
    if len(times) * (context.shape[1] + longest) > MOST_CONTEXT:
        raise InputError(
            f"context: {context.shape[1]} columns over {len(times):,} steps; at most {MOST_CONTEXT:,} cells are kept, "
            "long texts count as several. Leave some columns out."
        )
    stamps = context.index.to_numpy().astype("datetime64[s]").astype("int64")
    clock, step = to_local(times, zone).astype("int64"), int((times[1] - times[0]).astype("int64"))
    row = np.searchsorted(stamps, clock, side="right") - 1
    held = (row >= 0) & (clock - stamps[np.maximum(row, 0)] < _context_step(stamps, step))
    aligned = context.iloc[np.maximum(row, 0)].reset_index(drop=True)
    for column in aligned.columns:
        empty = np.nan if pd.api.types.is_numeric_dtype(aligned[column].dtype) else ""
        aligned[column] = aligned[column].where(held, empty)
    return aligned


def _context_step(stamps: np.ndarray, step: int) -> int:
    """How many seconds a row of context holds."""
    gaps = np.diff(stamps)
    if not len(gaps) or gaps.min() < 0.85 * np.median(gaps):
        return step
    usual = int(np.median(gaps))
    return int(gaps.max()) if gaps.max() <= 1.2 * usual else usual


def _note(text: str) -> Problem:
    """What the reader recognised, "file: words", as a finding."""
    where, _, what = text.partition(": ")
    if what.startswith("the decimal sign"):
        return Problem("mixed-decimals", "warning", Message("note.text", text=what), where, Message("finding.mixed_decimals.why"))
    return Problem("read-as", "note", Message("note.text", text=what), where)


def _context_note(context: pd.DataFrame, raw: RawTables, step: int) -> Problem:
    stamps = context.index.to_numpy().astype("datetime64[s]").astype("int64")
    holds = _context_step(stamps, max(step, 1))
    about: dict[str, Any] = {"columns": ", ".join(show(c) for c in context.columns), "duration": duration(holds, 3)}
    what = "what_within" if holds < step else "what"
    if holds > step > 0:
        what, about = "what_repeats", about | {"n": holds // step}
    return finding("context-clock", "note", raw.names["context"], what=what, why="", **about)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
