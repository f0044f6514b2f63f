"""Folders of files that lie in the server's workspace already: no path leads out of it."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from stvlm.data.files import KINDS, InputError, show
from stvlm.jobs.run import workspace

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
