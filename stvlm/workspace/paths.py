"""The workspace: the folder of all runs, uploads, networks and templates, changed by one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stvlm.runtime.settings import settings


class WorkspaceError(RuntimeError):
    """The workspace cannot be written; the text says where, why and what to do."""


def workspace() -> Path:
    """The folder of all runs and data sets: STVLM_HOME, else .stvlm under the current folder."""
    return settings().home.absolute()


PATIENCE_SECONDS = 30.0  # a change takes milliseconds


@contextmanager
def changing(what: str = "runs", patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Add, resume or delete: whoever does it, in whichever server, is alone.

    Args:
        what: part of the workspace: "runs", "uploads", "networks" or "templates". patience_seconds: that another one's change may take.

    Raises:
        WorkspaceError: the workspace cannot be written, or another process is stuck in a change.
    """
    place = workspace() / "locks"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / f"{what}.lock", timeout=patience_seconds):
            yield
    except Timeout as error:
        raise WorkspaceError(
            f"The {what} of {workspace()} have been locked by another process for {patience_seconds:.0f} s. Try again later."
        ) from error
    except OSError as error:
        raise cannot_write(error) from error


def cannot_write(error: OSError) -> WorkspaceError:
    """The same in the words of the workspace."""
    cure = "Free some room or set STVLM_HOME to another folder."
    return WorkspaceError(f"The workspace {workspace()} cannot be written: {error.strerror or error}. {cure}")


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder; what vanishes meanwhile does not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue
    return total
