"""The workspace of all runs: changed by one process at a time, and kept within bounds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stvlm.jobs.run import RunError, RunStatus, WorkspaceError, run_folder, workspace
from stvlm.runtime.settings import settings

PATIENCE_SECONDS = 30.0  # a change takes milliseconds
LAST_WORD_BYTES = 65_536
LAST_WORD = ".last-word"  # a file that holds room on the disk, given up so that a run can say that the disk is full


@contextmanager
def changing(what: str = "runs", patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Add, resume or delete: whoever does it, in whichever server, is alone.

    Args:
        what: part of the workspace: "runs", "uploads" or "networks". patience_seconds: that another one's change may take.

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


def hold_room(folder: Path) -> None:
    """Keep a little room in a run's folder for its last word."""
    (folder / LAST_WORD).write_bytes(os.urandom(LAST_WORD_BYTES))  # random: no file system stores it in less


def check_quota(runs: Iterable[RunStatus]) -> None:
    """Refuse one run more where the workspace is full. No run is ever deleted by itself: a model may be in use.

    Raises:
        RunError: too many that wait or work, too many runs, or too many bytes; the text says what to do.
    """
    runs, limits = list(runs), settings()
    live = sum(run.is_live for run in runs)
    if live >= limits.max_live_runs:
        raise RunError(
            f"{live} runs wait or work already, and at most {limits.max_live_runs} may. Cancel one, or wait until one has ended."
        )
    gigabytes = sum(size_of(run_folder(run.run_id)) for run in runs) / 1e9
    if len(runs) < limits.max_runs and gigabytes < limits.max_gb:
        return
    full = f"{len(runs)} of at most {limits.max_runs} are kept"
    if len(runs) < limits.max_runs:
        full = f"they take {gigabytes:.3g} GB of the {limits.max_gb:g} GB allowed"
    ended = sorted((run for run in runs if not run.is_live), key=lambda run: (run.state == "done", run.created))
    advice = (
        f"Delete one that has ended, for instance {ended[0].title!r} ({ended[0].state})" if ended else "Wait until one has ended"
    )
    raise RunError(f"There is no room for another run: {full}. {advice}, or raise STVLM_MAX_RUNS or STVLM_MAX_GB.")


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
