"""Read uploads in a process of their own, whose memory and time are limited: what breaks a library there breaks nothing here."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from stvlm.core.base_layer import BaseLayer
from stvlm.io.columns import WORDS, Header, read_header
from stvlm.io.detect import ROLES
from stvlm.io.read import InputFiles, RawTables, read_tables
from stvlm.io.source import InputError, Source, open_source, show
from stvlm.runtime.subprocess import python_command, start

# Tables travel between the processes in plain files: arrays and JSON.

TABLES = ("sensors", "adjacency", "context")


def dump_tables(raw: RawTables, folder: Path) -> None:
    """Write tables into a folder."""
    np.save(folder / "readings.npy", raw.readings.to_numpy(dtype="float32"), allow_pickle=False)
    np.save(folder / "times.npy", raw.readings.index.to_numpy().astype("datetime64[s]"), allow_pickle=False)
    if raw.context is not None:
        np.save(folder / "context.npy", raw.context.index.to_numpy().astype("datetime64[s]"), allow_pickle=False)
    if raw.base_layer is not None:
        np.savez(folder / "layer.npz", **raw.base_layer.to_arrays())  # type: ignore[arg-type]  # names of arrays
    words = {name: getattr(raw, name) for name in ("names", "notes", "timezone", "zoned", "fixes", "context_clock")}
    words["ids"] = list(raw.readings.columns)
    words |= {name: _plain(getattr(raw, name)) for name in TABLES}
    (folder / "words.json").write_text(json.dumps(words), encoding="utf-8")


def load_tables(folder: Path) -> RawTables:
    """Read what `put` wrote."""
    words = json.loads((folder / "words.json").read_text("utf-8"))
    times = pd.DatetimeIndex(np.load(folder / "times.npy", allow_pickle=False), name="timestamp")
    tables: dict[str, Any] = {name: _table(words[name]) for name in TABLES}
    if tables["context"] is not None:
        tables["context"].index = pd.DatetimeIndex(np.load(folder / "context.npy", allow_pickle=False), name="timestamp")
    layer = None
    if (folder / "layer.npz").is_file():
        with np.load(folder / "layer.npz", allow_pickle=False) as arrays:
            layer = BaseLayer.from_arrays(dict(arrays))
    values = np.load(folder / "readings.npy", allow_pickle=False)
    return RawTables(
        readings=pd.DataFrame(values, index=times, columns=pd.Index(words["ids"], dtype="str")),
        names=words["names"],
        notes=tuple(words["notes"]),
        timezone=words["timezone"],
        zoned=words["zoned"],
        fixes=tuple(words["fixes"]),
        base_layer=layer,
        context_clock=words["context_clock"],
        **tables,
    )


def _plain(table: pd.DataFrame | None) -> list[list[Any]] | None:
    """[name, whether numbers, cells] of each column; a missing number is null."""
    if table is None:
        return None
    columns = []
    for name, cells in table.items():
        is_number = pd.api.types.is_numeric_dtype(cells.dtype)
        columns.append([name, is_number, cells.where(cells.notna(), None).astype("object").tolist()])
    return columns


def _table(columns: list[list[Any]] | None) -> pd.DataFrame | None:
    if columns is None:
        return None
    return pd.DataFrame({name: pd.Series(cells, dtype="float64" if is_number else "str") for name, is_number, cells in columns})


BINARY = (".parquet", ".geoparquet", ".h5", ".hdf5", ".hdf")  # read by libraries in C, which a damaged file may bring down
PACKED = (".gz", ".npz")  # may hold far more than their size tells
LARGE = 1 << 20  # bytes of any other file that is read apart; a smaller one takes this process a second at most
POLITE = 10  # how far the reading stands back behind those who look at pages
MOST_BYTES = 3 << 30  # of memory, libraries included
MOST_SECONDS = 300
HEADER = "header.json"
T = TypeVar("T")


def read_uploads(files: InputFiles, *, seconds: float = MOST_SECONDS, most_bytes: int = MOST_BYTES) -> RawTables:
    """`read_tables`, apart where a file is binary, packed or large.

    Args:
        files: as in `read_tables`. seconds, most_bytes: time and memory that the reading may take.

    Raises:
        InputError: one line for each file that cannot be read within them.
    """
    if not any(_is_risky(source) for source in files.sources.values()):
        return read_tables(files)
    words = {f.name: getattr(files, f.name) for f in fields(files) if f.name not in ROLES}
    return _run_isolated(files.sources, {"words": words}, load_tables, seconds, most_bytes)


def look_at_header(
    source: Source,
    role: str,
    said: Mapping[str, str] | None = None,
    *,
    seconds: float = MOST_SECONDS,
    most_bytes: int = MOST_BYTES,
) -> Header | None:
    """`read_header`, apart where the file is binary, packed or large: Parquet and GeoJSON tell their columns only when they are read.

    Args:
        source, role, said: as in `read_header`. seconds, most_bytes: time and memory that it may take.

    Raises:
        InputError: what `read_header` refuses, or a file that cannot be read within them.
    """
    if role not in WORDS or not _is_risky(source) or open_source(source).kind in ("HDF5", "zip"):
        return read_header(source, role, said)
    return _run_isolated({role: source}, {"header": role, "said": dict(said or {})}, _take_header, seconds, most_bytes)


def _take_header(folder: Path) -> Header | None:
    told = json.loads((folder / HEADER).read_text("utf-8"))
    return told and Header(tuple(told["columns"]), told["found"], told["shape"])


def _run_isolated(files: Mapping[str, Source], request: dict, take: Callable[[Path], T], seconds: float, most_bytes: int) -> T:
    """What a process of its own makes of files.

    Args:
        files: by role. request: what else it is told. take: reads its answer from the folder where it left it.

    Raises:
        InputError: it refused them, or did not come to an end.
    """
    with tempfile.TemporaryDirectory(prefix="stvlm-reading-") as name:
        folder = Path(name)
        given: dict[str, list[Any]] = {}
        for role, source in files.items():
            if isinstance(source, tuple):
                (folder / role).write_bytes(source[1])
                given[role] = [source[0], True]
            else:
                given[role] = [str(Path(source).absolute()), False]
        (folder / "request.json").write_text(json.dumps(request | {"files": given}), encoding="utf-8")
        outcome = _run(folder, seconds, most_bytes)
        if outcome == 0:
            return take(folder)
        if outcome == 2:
            raise InputError(json.loads((folder / "problems.json").read_text("utf-8")))
    names = ", ".join(show(source[0], 40) for source in files.values() if isinstance(source, tuple) and _is_risky(source))
    raise InputError(
        f"{names}: could not be read within {most_bytes / (1 << 30):.2g} GiB and {seconds:g} s; it is damaged or too large. "
        "Export it again, split it, or save it as CSV."
    )


def _is_risky(source: Source | None) -> bool:
    return isinstance(source, tuple) and (Path(source[0].lower()).suffix in (*BINARY, *PACKED) or len(source[1]) > LARGE)


def _run(folder: Path, seconds: float, most_bytes: int) -> int | None:
    """Exit code of the process that reads the folder's request; None where it had to be ended."""
    variables = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}  # no memory reserved ahead
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with start(python_command("stvlm.io.sandbox", str(folder), str(most_bytes)), variables=variables, **quiet) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            process.kill()


def _answer(folder: Path, most_bytes: int) -> int:
    """Read what the request asks for; 0: the tables or the columns lie there, 2: the problems."""
    os.nice(POLITE)
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = json.loads((folder / "request.json").read_text("utf-8"))
    files: dict[str, Any] = {}
    for role, (name, is_upload) in request["files"].items():
        files[role] = (name, (folder / role).read_bytes()) if is_upload else Path(name)
    try:
        if role := request.get("header"):
            header = read_header(files[role], role, request["said"])
            (folder / HEADER).write_text(json.dumps(asdict(header) if header else None), encoding="utf-8")
        else:
            dump_tables(read_tables(InputFiles(**files, **request["words"])), folder)
    except InputError as error:
        (folder / "problems.json").write_text(json.dumps(error.problems), encoding="utf-8")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_answer(Path(sys.argv[1]), int(sys.argv[2])))
