"""Read uploads in a process of their own, whose memory and time are limited: what breaks a library there breaks nothing here."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stvlm.data import passing
from stvlm.data.files import InputError, Source, show
from stvlm.data.formats import RawTables, read_tables

BINARY = (".parquet", ".geoparquet", ".h5", ".hdf5", ".hdf")  # read by libraries in C, which a damaged file may bring down
LARGE = 8 << 20  # bytes of any other file that is read apart
MOST_BYTES = 3 << 30  # of memory, libraries included
MOST_SECONDS = 300
FILES = ("sensors", "series", "adjacency", "context", "base_layer", "grid")


def read_uploads(
    sensors: Source,
    series: Source,
    adjacency: Source | None = None,
    context: Source | None = None,
    *,
    seconds: float = MOST_SECONDS,
    most_bytes: int = MOST_BYTES,
    **more: object,
) -> RawTables:
    """`read_tables`, apart where a file is binary or large.

    Args:
        sensors, series, adjacency, context, more: as in `read_tables`.
        seconds, most_bytes: time and memory that the reading may take.

    Raises:
        InputError: one line for each file that cannot be read within them.
    """
    given = {"sensors": sensors, "series": series, "adjacency": adjacency, "context": context} | more
    risky = {role: source for role in FILES if _is_risky(source := given.get(role))}
    if not risky:
        return read_tables(**given)
    with tempfile.TemporaryDirectory(prefix="stvlm-reading-") as name:
        folder = Path(name)
        request: dict[str, object] = {"words": {k: v for k, v in given.items() if k not in FILES}, "files": {}}
        for role in FILES:
            if isinstance(source := given.get(role), tuple):
                (folder / role).write_bytes(source[1])
                request["files"][role] = [source[0], True]
            elif source is not None:
                request["files"][role] = [str(source), False]
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        outcome = _run(folder, seconds, most_bytes)
        if outcome == 0:
            return passing.take(folder)
        if outcome == 2:
            raise InputError(json.loads((folder / "problems.json").read_text("utf-8")))
    names = ", ".join(show(source[0], 40) for source in risky.values())
    raise InputError(
        f"{names}: could not be read within {most_bytes / (1 << 30):.2g} GiB and {seconds:g} s; it is damaged or too large. "
        "Export it again, split it, or save it as CSV."
    )


def _is_risky(source: Source | None) -> bool:
    return isinstance(source, tuple) and (Path(source[0].lower()).suffix in BINARY or len(source[1]) > LARGE)


def _run(folder: Path, seconds: float, most_bytes: int) -> int | None:
    """Exit code of the process that reads the folder's request; None where it had to be ended."""
    command = [sys.executable, "-m", "stvlm.data.guarded", str(folder), str(most_bytes)]
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}  # no memory reserved ahead
    home = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH", "")]))
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        return subprocess.run(command, env=environment, timeout=seconds, check=False, **quiet).returncode  # noqa: S603  our own module
    except subprocess.TimeoutExpired:
        return None


def _answer(folder: Path, most_bytes: int) -> int:
    """Read what the request asks for; 0: the tables lie there, 2: the problems."""
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = json.loads((folder / "request.json").read_text("utf-8"))
    files = {}
    for role, (name, is_upload) in request["files"].items():
        files[role] = (name, (folder / role).read_bytes()) if is_upload else Path(name)
    words: Mapping[str, object] = request["words"]
    try:
        passing.put(read_tables(**{"adjacency": None, "context": None} | files, **words), folder)
    except InputError as error:
        (folder / "problems.json").write_text(json.dumps(error.problems), encoding="utf-8")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_answer(Path(sys.argv[1]), int(sys.argv[2])))
