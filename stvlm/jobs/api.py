"""The board of all runs: submit, look, cancel, resume, rename, delete, whichever backend works on them."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stvlm.jobs.backend import Backend
from stvlm.jobs.local import LocalBackend
from stvlm.jobs.ray.backend import RayBackend
from stvlm.jobs.run import RunError, RunSpec, RunStatus, list_folders, read_status, run_folder
from stvlm.runtime.atomic import write_atomic
from stvlm.runtime.logs import note
from stvlm.workspace.paths import changing

BACKENDS: dict[str, type[Backend]] = {"local": LocalBackend, "ray": RayBackend}  # name → class


def backend(name: str) -> Backend:
    """The backend of that name.

    Raises:
        RunError: there is none.
    """
    if name not in BACKENDS:
        raise RunError(f"There is no backend {name!r}; there is {', '.join(BACKENDS)}.")
    return BACKENDS[name]()


def submit(spec: RunSpec, dedupe: bool = False) -> str:
    """As `Backend.submit`, on the backend that the spec names."""
    run_id = backend(spec.backend).submit(spec, dedupe)
    note("run submitted", run=run_id)
    return run_id


def status(run_id: str) -> RunStatus:
    """As `Backend.status`."""
    return _backend_of(run_id).status(run_id)


def logs(run_id: str, n_bytes: int = 8192) -> str:
    """As `Backend.logs`."""
    return _backend_of(run_id).logs(run_id, n_bytes)


def cancel(run_id: str) -> None:
    """As `Backend.cancel`."""
    _backend_of(run_id).cancel(run_id)
    note("run cancelled", run=run_id)


def resume(run_id: str) -> None:
    """As `Backend.resume`."""
    _backend_of(run_id).resume(run_id)
    note("run resumed", run=run_id)


def adopt() -> tuple[str, ...]:
    """As `Backend.adopt`, for all backends."""
    return tuple(run_id for name in BACKENDS for run_id in backend(name).adopt())


def list_runs() -> tuple[RunStatus, ...]:
    """All runs of the workspace, the newest first; a folder that cannot be read is logged and left out."""
    found = []
    for folder in list_folders():
        try:
            found.append(status(folder.name))
        except RunError:
            note("a run cannot be read", logging.WARNING, run=folder.name)
    return tuple(sorted(found, key=lambda run: (run.created, run.run_id), reverse=True))


def rename(run_id: str, title: str) -> None:
    """Call a run by another title.

    Raises:
        RunError: no such run, or a title over 200 letters. WorkspaceError: the workspace cannot be written.
    """
    with changing():
        try:
            spec = RunSpec.model_validate(status(run_id).spec.model_dump() | {"title": title})
        except ValidationError as error:
            raise RunError(error.errors()[0]["msg"]) from error
        write_atomic(run_folder(run_id) / "spec.json", spec, durable=True)


def delete(run_id: str) -> None:
    """Remove a run that has ended, with its model; one that cannot be read goes too.

    Raises:
        RunError: no such run, or it has a worker. WorkspaceError: the workspace cannot be written.
    """
    folder = run_folder(run_id)
    if not folder.is_dir() or folder.is_symlink():
        raise RunError(f"There is no run {run_id}.")
    with changing():
        _end_worker(run_id)
        gone = folder.with_name(f".deleted-{run_id}")
        folder.rename(gone)  # one step: no half-deleted run is ever listed
    shutil.rmtree(gone, ignore_errors=True)
    note("run deleted", run=run_id)


def losses(run_id: str) -> tuple[dict[str, Any], ...]:
    """One row for each step so far: step, phase, loss, val_mae, anchor_val_mae, best_val_mae, seconds; some with ranks."""
    return read_rows(run_folder(run_id) / "losses.jsonl")


def read_rows(path: Path) -> tuple[dict[str, Any], ...]:
    """The rows of a JSON-lines file; a last line that is still being written is left out."""
    if not path.exists():
        return ()
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return tuple(json.loads(line) for line in lines if line)


def _backend_of(run_id: str) -> Backend:
    return backend(read_status(run_folder(run_id)).spec.backend)


def _end_worker(run_id: str) -> None:
    """Make sure that nobody works on a run that has ended."""
    try:
        run = status(run_id)
    except RunError:  # harmed: what cannot be read, nobody works on
        return
    if run.is_live:
        raise RunError(f"Run {run_id} has a worker: cancel it first.")
    _backend_of(run_id).end(run_folder(run_id), 1.0)
    _backend_of(run_id).forget(run_folder(run_id))
