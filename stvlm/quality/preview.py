"""What a fix would change, before it is applied: figures before and after, and where to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stvlm.io.read import RawTables
from stvlm.quality.fixes import apply_fixes
from stvlm.quality.report import QualityReport, inspect

AROUND = 48  # readings shown before and after the first change


@dataclass(frozen=True, eq=False)
class Effect:
    """A fix tried out on tables that stay as they are.

    Attributes:
        before, after: the reports. figures: name -> (before, after), only those that differ: "sensors", "rows", "observed",
            "first", "last", "lat", "lon"; ranges as (low, high).
        places: (lat, lon) of all sensors before and after, each (n,); None where no place changes.
        sensor: id of the sensor whose readings change most. readings: of it, before and after, around the first change; index
            times as they stand there; None where no reading changes.
        solved: codes of findings that the fix takes away. arisen: codes that come up instead.
    """

    before: QualityReport
    after: QualityReport
    figures: dict[str, tuple]
    places: tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None
    sensor: str
    readings: tuple[pd.Series, pd.Series] | None
    solved: tuple[str, ...]
    arisen: tuple[str, ...]


def preview_fix(raw: RawTables, fixes: Sequence[str], name: str) -> Effect:
    """Apply one fix more to tables as read, and say what it changes.

    Args:
        raw: as read, without fixes. fixes: those applied so far. name: the one to try.

    Raises:
        InputError: a fix that cannot be applied, or whose parameter cannot be read.
    """
    old, new = apply_fixes(raw, fixes), apply_fixes(raw, (*fixes, name))
    before, after = inspect(old), inspect(new)
    was, now = _figures(old), _figures(new)
    codes = [tuple(dict.fromkeys(p.code for p in r.problems if p.severity != "note")) for r in (before, after)]
    sensor, readings = _where_readings_change(old.readings, new.readings)
    return Effect(
        before,
        after,
        {key: (was[key], now[key]) for key in was if was[key] != now[key]},
        _where_places_change(old.sensors, new.sensors),
        sensor,
        readings,
        tuple(c for c in codes[0] if c not in codes[1]),
        tuple(c for c in codes[1] if c not in codes[0]),
    )


def _figures(raw: RawTables) -> dict[str, object]:
    lat, lon = raw.sensors["lat"], raw.sensors["lon"]
    index = raw.readings.index
    return {
        "sensors": len(raw.sensors),
        "rows": len(raw.readings),
        "observed": int(np.isfinite(raw.readings.to_numpy()).sum()),
        "first": str(index.min()) if len(index) else "",
        "last": str(index.max()) if len(index) else "",
        "lat": (round(float(lat.min()), 4), round(float(lat.max()), 4)),
        "lon": (round(float(lon.min()), 4), round(float(lon.max()), 4)),
    }


def _where_places_change(old: pd.DataFrame, new: pd.DataFrame) -> tuple | None:
    pairs = tuple((t["lat"].to_numpy("f8"), t["lon"].to_numpy("f8")) for t in (old, new))
    same = len(old) == len(new) and all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*pairs, strict=True))
    return None if same else pairs


def _where_readings_change(old: pd.DataFrame, new: pd.DataFrame) -> tuple[str, tuple[pd.Series, pd.Series] | None]:
    """The sensor that changes most, and its readings around the first change."""
    shared = [c for c in old.columns if c in set(new.columns)]
    if not shared or (old.index.equals(new.index) and old[shared].equals(new[shared])):
        return "", None
    if old.index.equals(new.index):
        differs = ~((old[shared] == new[shared]) | (old[shared].isna() & new[shared].isna())).to_numpy()
        node = int(differs.sum(axis=0).argmax())
        moment = old.index[int(differs[:, node].argmax())]
    else:
        node = int(np.isfinite(old[shared].to_numpy()).sum(axis=0).argmax())
        moment = _first_odd_time(pd.DatetimeIndex(old.index), pd.DatetimeIndex(new.index))
    before, after = (_around(table[shared[node]], moment) for table in (old, new))
    return str(shared[node]), (before, after)


def _first_odd_time(old: pd.DatetimeIndex, new: pd.DatetimeIndex) -> pd.Timestamp:
    """The first time that comes twice, out of order, or in one table only."""
    found = list(old[old.duplicated()][:1])
    falls = np.flatnonzero(np.diff(old.to_numpy().astype("int64")) < 0)
    found += list(old[falls[:1]])
    found += list(old.unique().symmetric_difference(new.unique()).sort_values()[:1])
    return min(found, default=old[0])


def _around(column: pd.Series, moment: pd.Timestamp) -> pd.Series:
    """Some readings before and after a moment, in the order in which they stand there."""
    place = int((column.index >= moment).argmax()) if (column.index >= moment).any() else len(column) - 1
    return column.iloc[max(0, place - AROUND) : place + AROUND]
