"""Which column of a table means what: by its usual spellings, or as somebody says."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from stvlm.io.source import InputError, Source, open_source, show
from stvlm.io.table import open_table

SPELLINGS = {  # our word -> other usual spellings, the surest first
    "sensor_id": (
        *(
            "sensor_id",
            "sensorid",
            "sensor",
            "station_id",
            "stationid",
            "station_code",
            "stationcode",
            "station",
            "detector_id",
            "detector",
        ),
        *("site_id", "site", "device_id", "node_id", "node", "gauge_id", "gauge", "id", "code", "identifier", "uid", "fid", "name"),
    ),
    "lat": (
        "lat",
        "latitude",
        "lat_dd",
        "lat_deg",
        "latitude_deg",
        "latitude_wgs84",
        "breite",
        "y",
        "y_coord",
        "northing",
        "utm_y",
    ),
    "lon": (
        "lon",
        "lng",
        "long",
        "longitude",
        "lon_dd",
        "lon_deg",
        "longitude_deg",
        "longitude_wgs84",
        "x",
        "x_coord",
        "easting",
        "utm_x",
    ),
    "timestamp": ("timestamp", "time", "datetime", "date_time", "date", "ts", "day", "period", "zeit", "datum"),
    "value": ("value", "reading", "measurement", "val", "speed", "flow", "count", "target"),
}
WORDS = {"sensors": ("sensor_id", "lat", "lon"), "series": ("timestamp", "sensor_id", "value"), "context": ("timestamp",)}

Said = Mapping[str, str]  # our word -> the column that somebody says it is; "" for none


@dataclass(frozen=True)
class Header:
    """The columns of one file and how they are read.

    Attributes:
        columns: names, in their order. found: our word -> column; "" for none.
        shape: of readings, "wide" (one column per sensor) or "long" (one row per reading); "" of other tables.
    """

    columns: tuple[str, ...]
    found: dict[str, str]
    shape: str = ""


def read_header(source: Source, role: str, said: Said | None = None, ids: Collection[str] = ()) -> Header | None:
    """Look at the columns of a sensor table, of readings or of context.

    Args:
        role: of WORDS. said, ids: as in `find_columns`.

    Returns:
        None for a file whose columns have no names, or are not asked for.

    Raises:
        InputError: a file that cannot be opened, or a column that is not there.
    """
    file = open_source(source)
    if role not in WORDS or file.kind in ("HDF5", "zip"):
        return None
    columns = open_table(file).columns
    found = find_columns(columns, role, file.name, said, ids)
    if role != "series":
        return Header(columns, found)
    return Header(columns, found, "long" if found["sensor_id"] else "wide")


def find_columns(
    columns: Sequence[str], role: str, name: str, said: Said | None = None, ids: Collection[str] = ()
) -> dict[str, str]:
    """Our word -> the column that means it, "" for none.

    Args:
        columns: of the file, "" for one without a name. role: of WORDS. name: of the file, for messages.
        said: what somebody says goes before what is recognised; sensor_id "" of readings: one column per sensor.
        ids: known sensors, whose columns hold readings.

    Raises:
        InputError: a column that is not there, or that is said to be two things.
    """
    said = {word: column for word, column in (said or {}).items() if word in WORDS[role]}
    for word, column in said.items():
        if column and column not in columns:
            raise InputError(f"{name}, header: no column '{show(column)}' for {word}. Choose one that is there.")
    given = [column for column in said.values() if column]
    if len(set(given)) < len(given):
        raise InputError(f"{name}, header: '{show(max(given, key=given.count))}' cannot be two things. Choose another column.")
    rest = [c for c in columns if c and c not in given]
    found = {word: said[word] if word in said else recognise(rest, word) for word in WORDS[role]}
    if role == "series":
        if "sensor_id" not in said and (found["sensor_id"] in ids or not found["timestamp"]):
            found["sensor_id"] = ""
        found["timestamp"] = found["timestamp"] or columns[0]
        others = [c for c in rest if c not in (found["timestamp"], found["sensor_id"])]
        if not found["sensor_id"]:
            found["value"] = ""
        elif "value" not in said and len(others) == 1:
            found["value"] = others[0]
    return found


def recognise(columns: Sequence[str], word: str) -> str:
    """The column that means `word`, by its usual spellings; "" for none."""
    plain = {re.sub(r"[^a-z0-9]+", "_", c.lower()).strip("_"): c for c in reversed(columns)}
    return next((plain[s] for s in SPELLINGS[word] if s in plain), "")
