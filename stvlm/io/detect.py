"""Which of some files holds the sensors, the readings, the links between sensors, the context and what lies below the network."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from stvlm.io.adjacency import FROM, TO
from stvlm.io.columns import find_columns, recognise
from stvlm.io.source import KINDS, InputError, Source, SourceFile, open_source, show
from stvlm.io.table import Table, check_columns, open_table, to_text
from stvlm.io.text import tidy_column_of_names

ROLES = {  # -> what a file of it holds
    "sensors": "sensors (sensor_id, lat, lon)",
    "series": "readings",
    "adjacency": "links between sensors",
    "context": "context",
    "base_layer": "lines and areas",
    "grid": "a grid",
}
IN_NAMES = {  # -> words in the name of such a file
    "sensors": r"sensor|station|location|node|site|stop",
    "adjacency": r"adj|edge|link|distance|graph",
    "context": r"context|weather|holiday|incident|event",
    "series": r"reading|series|value|data|flow|speed",
}
HEAD_ROWS = 50  # of a table that are looked at
SHAPES = re.compile(rb'"type"\s*:\s*"(Multi)?(LineString|Polygon)"')


def guess_role(name: str, content: bytes) -> str:
    """What an upload most likely is, by its first line, else by its name: nothing of it is parsed, and the user may say otherwise."""
    suffix = Path(name.lower()).suffix
    if suffix == ".asc":
        return "grid"
    if KINDS.get(suffix) == "JSON":
        return "base_layer" if SHAPES.search(content) else "sensors"
    if KINDS.get(suffix) in ("HDF5", "zip"):
        return "series"
    head = content[:2000].decode("utf-8", errors="replace").split("\n")[0].lower()
    columns = [column.strip(' "\r') for column in re.split(r"[,;\t]", head)]
    if recognise(columns, "lat") and recognise(columns, "lon"):
        return "sensors"
    if {*columns} & {*FROM} and {*columns} & {*TO}:
        return "adjacency"
    return next((role for role, words in IN_NAMES.items() if re.search(words, name.lower())), "series")


def files_of(folder: Path) -> list[Path]:
    """The files of a folder that could be tables, grids or GeoJSON, by their endings; hidden ones and lists of datasets left out."""
    found = (path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith("."))
    return [path for path in found if path.suffix.lower() in KINDS and path.name != "datasets.json"]


def detect_roles(sources: Sequence[Source], target: str = "") -> dict[str, Source]:
    """Tell by their columns what files are, in whatever order they come.

    Args:
        sources: files of one network.
        target: which readings are meant where several files hold some: part of the file's name, as pm25 of series_pm25.csv.gz.

    Returns:
        Role (of ROLES) -> file; always with "sensors" and "series".

    Raises:
        InputError: a file that cannot be opened, no sensors or no readings among the files, or several for one role.
    """
    found: dict[str, list[tuple[str, Source]]] = {role: [] for role in ROLES}
    tables: list[tuple[SourceFile, Table, Source]] = []
    for source in sources:
        file = open_source(source)
        role, table = _role_by_kind(file)
        if role:
            found[role].append((file.name, source))
        elif table is not None:
            tables.append((file, table, source))
    _need("sensors", found, sources)
    ids = {name for _, source in found["sensors"] for name in _ids(open_table(open_source(source)))}
    for file, table, source in tables:
        found[_role_by_columns(table, ids)].append((file.name, source))
    _need("series", found, sources)
    if len(found["series"]) > 1:
        found["series"] = _of_target(found["series"], target)
    for role, files in found.items():
        if len(files) > 1:
            raise InputError(f"{', '.join(show(name, 40) for name, _ in files)}: all hold {ROLES[role]}. Give one of them.")
    return {role: files[0][1] for role, files in found.items() if files}


def _need(role: str, found: dict[str, list[tuple[str, Source]]], sources: Sequence[Source]) -> None:
    if not found[role]:
        names = ", ".join(show(open_source(source).name, 40) for source in sources) or "no file"
        raise InputError(f"No file holds {ROLES[role]}; given: {names}. Add the file.")


def _role_by_kind(file: SourceFile) -> tuple[str, Table | None]:
    """The role of a file whose kind or place columns say it; else "" and its table, which has no place for each row."""
    if file.suffix == ".asc":
        return "grid", None
    if file.kind in ("HDF5", "zip"):
        return "series", None
    if file.kind == "JSON" and SHAPES.search(file.read()):
        return "base_layer", None
    table = open_table(file, has_header=False)
    places = find_columns(table.columns, "sensors", file.name)
    if all(places.values()) and not recognise(table.columns, "timestamp"):
        return "sensors", None
    return "", table


def _role_by_columns(table: Table, ids: Collection[str]) -> str:
    """The role of a table without places: by the ends of links, by its times, by whether it speaks of the sensors.

    Raises:
        InputError: a column that is there twice, or rows of unequal length.
    """
    if all(re.fullmatch(r"[-+0-9.eE]+", name) for name in table.columns):
        return "adjacency"  # a matrix of bare numbers
    check_columns(table.file, table.columns)
    head = table.head(HEAD_ROWS)
    if not recognise(table.columns, "timestamp"):
        names = {column.lower() for column in table.columns}
        if (names & {*FROM} and names & {*TO}) or {*head.iloc[:, 0]} <= {*ids}:
            return "adjacency"
    if {*table.columns} & {*ids}:
        return "series"  # a column for each sensor
    named = recognise(table.columns, "sensor_id")
    return "series" if named and {*head[named]} & {*ids} else "context"


def _ids(table: Table) -> list[str]:
    column = recognise(table.columns, "sensor_id")
    return list(tidy_column_of_names(to_text(table.read([column], [])[column])))


def _of_target(files: list[tuple[str, Source]], target: str) -> list[tuple[str, Source]]:
    """The file of the readings that are meant.

    Raises:
        InputError: none, or several.
    """
    names = [re.sub(r"^(series|readings|values)[_-]", "", name.split(".")[0].lower()) for name, _ in files]
    found = [file for name, file in zip(names, files, strict=True) if target and name == target.lower()]
    if len(found) != 1:
        raise InputError(f"Which readings? target={' | '.join(show(name, 40) for name in names)}")
    return found
