"""Files on their way into the app: held in the workspace by their content, so that a lost tab loses nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from itertools import islice
from pathlib import Path

import streamlit as st

from stvlm.io.columns import Header
from stvlm.io.read import InputFiles, RawTables
from stvlm.io.sandbox import look_at_header, read_uploads
from stvlm.io.source import KINDS, InputError, Source, show
from stvlm.quality import report as quality
from stvlm.quality.preview import Effect, preview_fix
from stvlm.runtime.atomic import write_atomic, write_folder
from stvlm.runtime.cache import parsed_file
from stvlm.runtime.logs import note
from stvlm.ui.shell import view_state
from stvlm.workspace import quota
from stvlm.workspace.paths import workspace

# Folders of files that lie in the server's workspace already: no path leads out of it.

OWN = ("datasets", "uploads", "runs", "templates")  # folders that the app itself writes
DEEPEST, MOST = 3, 200  # folders below the workspace that are looked at: how deep, how many


def at_hand() -> list[str]:
    """Folders of the workspace with two files or more that could be read, as paths below it."""
    root, found = workspace(), []
    for place, names, files in islice(os.walk(root), MOST):
        path = Path(place).relative_to(root)
        is_top = path == Path(".")
        names[:] = (
            sorted(n for n in names if not n.startswith(".") and not (is_top and n in OWN)) if len(path.parts) < DEEPEST else []
        )
        if not is_top and sum(_is_readable(name) for name in files) >= 2:
            found.append(path.as_posix())
    return found


def files_of(folder: str) -> list[str]:
    """The files of a folder that could be read, as paths below the workspace.

    Raises:
        InputError: a folder that is not there, or leads out of the workspace.
    """
    place = find(folder)
    names = sorted(p.name for p in place.iterdir() if p.is_file() and _is_readable(p.name)) if place.is_dir() else []
    return [f"{folder}/{name}" for name in names]


def find(path: str) -> Path:
    """A file or folder of the workspace, links followed.

    Raises:
        InputError: it is not there, or leads out of the workspace.
    """
    root = workspace().resolve()
    place = (root / path).resolve()
    if not place.is_relative_to(root) or not place.exists():
        raise InputError(f"{show(path, 80)}: the server's workspace holds no such file. Choose one of those it lists.")
    return place


def head(path: str, size: int = 4096) -> bytes:
    """The first bytes of a file of the workspace.

    Raises:
        InputError: as `find`.
    """
    with find(path).open("rb") as handle:
        return handle.read(size)


def _is_readable(name: str) -> bool:
    return Path(name.lower()).suffix in KINDS and not name.startswith(".")


Columns = tuple[tuple[str, str, str], ...]  # (role, our word, column of the file)
MOST_OF_A_SESSION = 40  # uploads that one session may bring
TYPES = ["csv", "tsv", "txt", "gz", "parquet", "geojson", "json", "h5", "hdf5", "npz", "asc"]
SENSORS_EXAMPLE = "sensor_id,lat,lon,name\nS1,53.35,-6.26,Quay\nS2,53.34,-6.25,Park\nS3,53.36,-6.24,Port\n"
SERIES_EXAMPLE = (
    "timestamp,S1,S2,S3\n2025-01-01 00:00,12.1,11.8,\n2025-01-01 01:00,12.4,11.9,13.0\n2025-01-01 02:00,12.2,12.3,12.7\n"
)
LONG_EXAMPLE = "timestamp,sensor_id,value\n2025-01-01 00:00,S1,12.1\n2025-01-01 00:00,S2,11.8\n2025-01-01 01:00,S1,12.4\n"
LINKS_EXAMPLE = "from,to,distance\nS1,S2,1.3\nS2,S1,1.3\nS1,S3,1.8\n"
CONTEXT_EXAMPLE = (
    "timestamp,rain_mm,holiday,news\n2025-01-01 00:00,0.4,1,\n2025-01-01 01:00,0.0,1,fire near Quay\n2025-01-01 02:00,0,1,\n"
)
ROADS_EXAMPLE = (
    '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"name": "Quay road"}, '
    '"geometry": {"type": "LineString", "coordinates": [[-6.26, 53.35], [-6.25, 53.34], [-6.24, 53.36]]}}]}\n'
)
EXAMPLES = {  # what: file name, content, kind
    "sensors": ("sensors.csv", SENSORS_EXAMPLE, "text/csv"),
    "series": ("readings.csv", SERIES_EXAMPLE, "text/csv"),
    "long": ("readings_long.csv", LONG_EXAMPLE, "text/csv"),
    "adjacency": ("links.csv", LINKS_EXAMPLE, "text/csv"),
    "context": ("context.csv", CONTEXT_EXAMPLE, "text/csv"),
    "base_layer": ("roads.geojson", ROADS_EXAMPLE, "application/geo+json"),
}


def hold(files: dict[str, tuple[str, bytes]]) -> str:
    """Keep uploaded files in the workspace.

    Args:
        files: role -> (name as the user calls it, content).

    Returns:
        The id of the upload: a hash of names and contents.

    Raises:
        InputError: no room for one more, or the workspace cannot be written.
    """
    digest = hashlib.sha256()
    for role in sorted(files):
        name, content = files[role]
        digest.update(f"{role}\0{name}\0{len(content)}\0".encode())
        digest.update(content)
    upload = digest.hexdigest()[:16]
    place = workspace() / "uploads" / upload
    _count(upload)
    if place.is_dir():
        os.utime(place)  # somebody looks at it: it stays for now
        return upload
    with quota.writing("uploads"):
        if not place.is_dir():  # another tab may have been faster with the same files
            size = sum(len(content) for _, content in files.values())
            quota.for_upload(size)
            write_folder(place, lambda part: _write(part, files))
            note("upload kept", upload=upload, n_bytes=size)
    return upload


def _write(folder: Path, files: dict[str, tuple[str, bytes]]) -> None:
    for role, (_, content) in files.items():
        (folder / role).write_bytes(content)  # the user's file name never becomes a path
    (folder / "names.json").write_text(json.dumps({role: name for role, (name, _) in files.items()}), "utf-8")


def _count(upload: str) -> None:
    """One upload more of this session, unless it is known."""
    mine = view_state.load("uploads", ())
    if upload in mine:
        return
    if len(mine) >= MOST_OF_A_SESSION:
        raise InputError(f"{len(mine)} uploads have come from this tab, and no more are taken. Open the app in a new one to go on.")
    view_state.store("uploads", (*mine, upload))


def hold_folder(files: dict[str, str]) -> str:
    """Note which files of the workspace are meant; they stay where they are.

    Args:
        files: role -> path below the workspace, of files that `folders.find` vouches for.

    Returns:
        The id of the upload: a hash of paths, sizes and times of change.

    Raises:
        InputError: the workspace cannot be written.
    """
    digest = hashlib.sha256()
    for role, path in sorted(files.items()):
        state = find(path).stat()
        digest.update(f"{role}\0{path}\0{state.st_size}\0{state.st_mtime_ns}\0".encode())
    upload = digest.hexdigest()[:16]
    place = workspace() / "uploads" / upload
    if is_held(upload) and (place / "paths.json").is_file():
        os.utime(place)
        return upload
    with quota.writing("uploads"):
        place.mkdir(parents=True, exist_ok=True)
        write_atomic(place / "paths.json", files)
        write_atomic(place / "names.json", {role: path.rsplit("/", 1)[-1] for role, path in files.items()})
    return upload


def source(upload: str, role: str) -> Source | None:
    """A file of an upload: (name as the user calls it, content), or the path of one that lies in the workspace; None for none.

    Raises:
        InputError: a file of the workspace that is not there any more, or leads out of it.
    """
    place = workspace() / "uploads" / upload
    if role not in names(upload):
        return None
    if (place / "paths.json").is_file():
        return find(json.loads((place / "paths.json").read_text("utf-8"))[role])
    return names(upload)[role], (place / role).read_bytes()


def is_held(upload: str) -> bool:
    """Whether the workspace has this upload, and says what its files are."""
    if not re.fullmatch(r"[0-9a-f]{16}", upload):
        return False
    with suppress(OSError, ValueError, RecursionError):
        return isinstance(names(upload), dict)
    return False


def names(upload: str) -> dict[str, str]:
    """role -> name of the file, of an upload that `is_held`."""
    return parsed_file(workspace() / "uploads" / upload / "names.json", json.loads)


@st.cache_resource(max_entries=2, scope="session", show_spinner="Reading the files …")
def tables(
    upload: str,
    fixes: tuple[str, ...],
    start: str | None = None,
    step_minutes: float | None = None,
    columns: Columns = (),
    grid_unit: str = "",
) -> RawTables:
    """The tables of an upload after some fixes, shared: never change them in place.

    Args:
        upload: one that `is_held`. fixes: their names. start, step_minutes: the clock of readings that bring none (.npz).
        columns: (role, our word, column), as somebody says. grid_unit: unit of the grid, where there is one.

    Raises:
        InputError: what cannot be read, where, and what to do.
    """
    if fixes:
        return quality.apply_fixes(tables(upload, (), start, step_minutes, columns, grid_unit), fixes)
    given = (source(upload, role) for role in ("sensors", "series", "adjacency", "context"))
    below = {"base_layer": source(upload, "base_layer"), "grid": source(upload, "grid"), "grid_unit": grid_unit}
    said = {role: said_of(columns, role) for role, _, _ in columns}
    return read_uploads(InputFiles(*given, start=start, step_minutes=step_minutes, columns=said, **below))


def said_of(columns: Columns, role: str) -> dict[str, str]:
    """Our word -> column, of one file."""
    return {word: column for part, word, column in columns if part == role}


@st.cache_data(max_entries=16, scope="session", show_spinner=False)
def header(upload: str, role: str, columns: Columns) -> Header | None:
    """The columns of one file of an upload and how they are read; None where they have no names.

    Raises:
        InputError: what cannot be read.
    """
    given = source(upload, role)
    return None if given is None else look_at_header(given, role, said_of(columns, role))


@st.cache_resource(max_entries=3, scope="session", show_spinner=False)
def effect(
    upload: str,
    fixes: tuple[str, ...],
    name: str,
    start: str | None = None,
    step_minutes: float | None = None,
    columns: Columns = (),
) -> Effect:
    """What one fix more would change; arguments and errors are those of `tables`.

    Raises:
        InputError: what cannot be read, or a fix that cannot be applied.
    """
    return preview_fix(tables(upload, (), start, step_minutes, columns), fixes, name)


@st.cache_resource(max_entries=3, scope="session", show_spinner="Checking the readings …")
def report(
    upload: str, fixes: tuple[str, ...], start: str | None = None, step_minutes: float | None = None, columns: Columns = ()
) -> quality.QualityReport:
    """What is wrong with an upload after some fixes; arguments and errors are those of `tables`.

    Raises:
        InputError: what cannot be read.
    """
    return quality.inspect(tables(upload, fixes, start, step_minutes, columns))
