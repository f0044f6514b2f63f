"""Files on their way into the app: held in the workspace by their content, so that a lost tab loses nothing."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path

import streamlit as st

from stvlm.data import quality
from stvlm.data.formats import RawTables, read_tables
from stvlm.jobs.run import workspace

ROLES = {
    "sensors": "sensor table",
    "series": "readings",
    "adjacency": "links between sensors",
    "context": "context (weather, holidays, incidents)",
    "base_layer": "base layer (roads, districts)",
    "grid": "grid (elevation, land use)",
}
TYPES = ["csv", "tsv", "txt", "gz", "parquet", "geojson", "json", "h5", "hdf5", "npz", "asc"]
SENSORS_EXAMPLE = "sensor_id,lat,lon,name\nS1,53.35,-6.26,Quay\nS2,53.34,-6.25,Park\nS3,53.36,-6.24,Port\n"
SERIES_EXAMPLE = (
    "timestamp,S1,S2,S3\n2025-01-01 00:00,12.1,11.8,\n2025-01-01 01:00,12.4,11.9,13.0\n2025-01-01 02:00,12.2,12.3,12.7\n"
)
_WORDS = {
    "sensors": r"sensor|station|location|node|site|stop",
    "adjacency": r"adj|edge|link|distance|graph",
    "context": r"context|weather|holiday|incident|event",
    "series": r"reading|series|value|data|flow|speed",
}


def guess_role(name: str, content: bytes) -> str:
    """What a file most likely is, by its first line, else by its name; the user may say otherwise."""
    lower = name.lower()
    if lower.endswith(".asc"):
        return "grid"
    if lower.endswith((".geojson", ".json")):
        return "base_layer" if re.search(rb'"type"\s*:\s*"(Multi)?(LineString|Polygon)"', content) else "sensors"
    if lower.endswith((".h5", ".hdf5", ".npz")):
        return "series"
    head = content[:2000].decode("utf-8", errors="replace").split("\n")[0].lower()
    columns = {column.strip(' "\r') for column in re.split(r"[,;\t]", head)}
    if columns & {"lat", "latitude", "y"} and columns & {"lon", "lng", "long", "longitude", "x"}:
        return "sensors"
    if columns & {"from", "source"} and columns & {"to", "target"}:
        return "adjacency"
    found = [role for role, pattern in _WORDS.items() if re.search(pattern, lower)]
    return found[0] if found else "series"


def hold(files: dict[str, tuple[str, bytes]]) -> str:
    """Keep uploaded files in the workspace.

    Args:
        files: role -> (name as the user calls it, content).

    Returns:
        The id of the upload: a hash of names and contents.
    """
    digest = hashlib.sha256()
    for role in sorted(files):
        name, content = files[role]
        digest.update(f"{role}\0{name}\0{len(content)}\0".encode())
        digest.update(content)
    upload = digest.hexdigest()[:16]
    place = workspace() / "uploads" / upload
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=place.parent, prefix=".part-"))
        for role, (_, content) in files.items():
            (part / role).write_bytes(content)  # the user's file name never becomes a path
        (part / "names.json").write_text(json.dumps({role: name for role, (name, _) in files.items()}), "utf-8")
        try:
            part.rename(place)
        except OSError:  # another tab was faster with the same files
            shutil.rmtree(part, ignore_errors=True)
    return upload


def is_held(upload: str) -> bool:
    """Whether the workspace has this upload."""
    return bool(re.fullmatch(r"[0-9a-f]{16}", upload)) and (workspace() / "uploads" / upload / "names.json").is_file()


def names(upload: str) -> dict[str, str]:
    """role -> name of the file, of an upload that `is_held`."""
    return json.loads((workspace() / "uploads" / upload / "names.json").read_text("utf-8"))


@st.cache_resource(max_entries=3, show_spinner="Reading the files …")
def tables(
    upload: str, fixes: tuple[str, ...], start: str | None = None, step_minutes: float | None = None, grid_unit: str = ""
) -> RawTables:
    """The tables of an upload after some fixes, shared: never change them in place.

    Args:
        upload: one that `is_held`. fixes: their names. start, step_minutes: the clock of readings that bring none (.npz).
        grid_unit: unit of the grid, where there is one.

    Raises:
        InputError: what cannot be read, where, and what to do.
    """
    place = workspace() / "uploads" / upload
    given = {role: (name, (place / role).read_bytes()) for role, name in names(upload).items()}
    tables = (given.get(role) for role in ("sensors", "series", "adjacency", "context"))
    below = {"base_layer": given.get("base_layer"), "grid": given.get("grid"), "grid_unit": grid_unit}
    raw = read_tables(*tables, start=start, step_minutes=step_minutes, **below)
    return quality.apply_fixes(raw, fixes) if fixes else raw


@st.cache_resource(max_entries=6, show_spinner="Checking the readings …")
def report(
    upload: str, fixes: tuple[str, ...], start: str | None = None, step_minutes: float | None = None
) -> quality.QualityReport:
    """What is wrong with an upload after some fixes; arguments and errors are those of `tables`.

    Raises:
        InputError: what cannot be read.
    """
    return quality.inspect(tables(upload, fixes, start, step_minutes))
