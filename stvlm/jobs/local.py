"""Runs on this machine: submit, watch, cancel, resume. All state is on disk, so any server can go on with it."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stvlm.jobs.process import WORKER, WorkerProcess, end, is_alive, reap, start, worker_process
from stvlm.jobs.run import (
    RUN_ID,
    WAITING_OR_WORKING,
    RunError,
    RunSpec,
    RunStatus,
    WorkspaceError,
    make_run_id,
    run_folder,
    workspace,
    write_atomic,
    write_folder,
)

SILENT_SECONDS = 30.0  # a worker shows a sign of life every second or two


def submit(spec: RunSpec, dedupe: bool = False, worker: tuple[str, ...] = WORKER) -> str:
    """Write the run's folder and start its worker, which waits for its device.

    Args:
        spec: what to do.
        dedupe: give back a run that waits, works or is done with the very same spec, if there is one.
        worker: the command that gets the run's folder as its last argument.

    Returns:
        The run's id.

    Raises:
        RunError: settings that `FitConfig` refuses.
        WorkspaceError: the workspace cannot be written; then there is no run.
    """
    check_config(spec.config)
    if dedupe:
        for other in list_runs():
            if other.spec.key == spec.key and (other.is_live or other.state == "done"):
                return other.run_id
    run_id = make_run_id()
    now = time.time()

    def write(folder: Path) -> None:
        write_atomic(folder / "spec.json", spec, durable=True)
        write_atomic(folder / "status.json", {"state": "queued", "created": now, "queued": now}, durable=True)

    folder = run_folder(run_id)
    try:
        write_folder(folder, write)
        start(folder, worker, spec.threads)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _cannot_write(error) from error
    return run_id


def check_config(config: dict[str, Any]) -> None:
    """Let `FitConfig` judge the settings.

    Raises:
        RunError: an unknown setting, or a value that it refuses.
    """
    from stvlm.fit import FitConfig  # brings torch, which only a new run needs

    unknown = sorted(set(config) - {f.name for f in fields(FitConfig)})
    if unknown:
        raise RunError(f"Unknown settings: {', '.join(unknown)}.")
    try:
        FitConfig(**as_settings(config))
    except (TypeError, ValueError) as error:
        raise RunError(str(error)) from error


def as_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Settings as they were before JSON made lists of their tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}


def status(run_id: str) -> RunStatus:
    """Where a run stands now.

    Raises:
        RunError: no such run.
    """
    reap()
    folder = run_folder(run_id)
    try:
        spec = RunSpec.model_validate_json((folder / "spec.json").read_text(encoding="utf-8"))
        written = json.loads((folder / "status.json").read_text(encoding="utf-8"))
        heartbeat = (folder / "status.json").stat().st_mtime
    except FileNotFoundError as error:
        raise RunError(f"There is no run {run_id}.") from error
    except ValueError as error:  # of JSON or of pydantic: harmed by hand or by the disk
        raise RunError(f"Run {run_id} cannot be read: {error}") from error
    process = worker_process(folder)
    if written["state"] in WAITING_OR_WORKING:
        written = written | _judged(folder, process, heartbeat)
    pid = process.pid if process else None
    return RunStatus.model_validate({**written, "run_id": run_id, "spec": spec, "heartbeat": heartbeat, "pid": pid})


def list_runs() -> tuple[RunStatus, ...]:
    """All runs of the workspace, the newest first; a folder that cannot be read is logged and left out."""
    root = workspace() / "runs"
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        if RUN_ID.fullmatch(folder.name):
            try:
                found.append(status(folder.name))
            except RunError as error:
                logging.getLogger(__name__).warning("%s", error)
    return tuple(sorted(found, key=lambda run: (run.created, run.run_id), reverse=True))


def cancel(run_id: str, patience_seconds: float = 10.0) -> None:
    """Ask the worker to end at its next step; one that does not answer is ended, softly and then hard.

    The run keeps its last checkpoint. On a run that has ended this does nothing.
    """
    run = status(run_id)
    if not run.is_live and run.state != "lost":
        return
    folder = run_folder(run_id)
    try:
        (folder / "cancel").touch()
    except OSError as error:
        raise _cannot_write(error) from error
    process = worker_process(folder)
    if process and is_alive(process):
        threading.Thread(target=end, args=(process, patience_seconds), daemon=True).start()


def resume(run_id: str, worker: tuple[str, ...] = WORKER) -> None:
    """Start a worker again on a run that was lost, cancelled or failed: it goes on from its last checkpoint.

    Raises:
        RunError: the run waits, works or is done.
        WorkspaceError: the workspace cannot be written.
    """
    run = status(run_id)
    if run.is_live or run.state == "done":
        raise RunError(f"Run {run_id} is {run.state}: there is nothing to resume.")
    folder = run_folder(run_id)
    process = worker_process(folder)
    if process and is_alive(process):  # silent, yet there: it must not wake up beside the new one
        end(process, patience_seconds=0.0)
    try:
        for name in ("cancel", "process.json"):
            (folder / name).unlink(missing_ok=True)
        written = json.loads((folder / "status.json").read_text(encoding="utf-8"))
        fresh = {"state": "queued", "queued": time.time(), "message": "", "eta_seconds": None}
        write_atomic(folder / "status.json", written | fresh, durable=True)
        start(folder, worker, run.spec.threads)
    except OSError as error:
        raise _cannot_write(error) from error


def rename(run_id: str, title: str) -> None:
    """Call a run by another title.

    Raises:
        RunError: no such run, or a title over 200 letters.
        WorkspaceError: the workspace cannot be written.
    """
    try:
        spec = RunSpec.model_validate(status(run_id).spec.model_dump() | {"title": title})
    except ValidationError as error:
        raise RunError(error.errors()[0]["msg"]) from error
    try:
        write_atomic(run_folder(run_id) / "spec.json", spec, durable=True)
    except OSError as error:
        raise _cannot_write(error) from error


def delete(run_id: str) -> None:
    """Remove a run that has ended, with its model.

    Raises:
        RunError: it still waits or works.
    """
    folder = run_folder(run_id)
    if not folder.is_dir() or folder.is_symlink():
        raise RunError(f"There is no run {run_id}.")
    process = worker_process(folder)
    if process and is_alive(process):
        raise RunError(f"Run {run_id} has a worker: cancel it first.")
    gone = folder.with_name(f".deleted-{run_id}")
    try:
        folder.rename(gone)  # one step: no half-deleted run is ever listed
    except OSError as error:
        raise _cannot_write(error) from error
    shutil.rmtree(gone, ignore_errors=True)


def losses(run_id: str) -> tuple[dict[str, Any], ...]:
    """One row for each step so far: step, phase, loss, val_mae, anchor_val_mae, best_val_mae, seconds; some with ranks."""
    return read_rows(run_folder(run_id) / "losses.jsonl")


def read_rows(path: Path) -> tuple[dict[str, Any], ...]:
    """The rows of a JSON-lines file; a last line that is still being written is left out."""
    if not path.exists():
        return ()
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return tuple(json.loads(line) for line in lines if line)


def log_tail(run_id: str, n_bytes: int = 8192) -> str:
    """The end of what the worker wrote to its log."""
    path = run_folder(run_id) / "log.txt"
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - n_bytes))
        return file.read().decode("utf-8", errors="replace")


def _judged(folder: Path, process: WorkerProcess | None, heartbeat: float) -> dict[str, Any]:
    """What to change in the status of a run that says it is not at its end."""
    silent = time.time() - heartbeat > SILENT_SECONDS
    gone = process is not None and not process.is_elsewhere and not is_alive(process)
    cancelled = (folder / "cancel").exists()
    if gone or silent:
        # the worker may have spoken its last word between our two looks
        written = json.loads((folder / "status.json").read_text(encoding="utf-8"))
        if written["state"] not in WAITING_OR_WORKING:
            return written
        why = "The worker ended without a last word" if gone else f"No sign of life for {SILENT_SECONDS:.0f} s"
        lost = {"state": "lost", "message": f"{why}. It can be resumed from its last checkpoint."}
        return (({"state": "cancelled", "message": "Cancelled."}) if cancelled else lost) | {"eta_seconds": None, "ahead": None}
    return {"state": "cancelling"} if cancelled else {}


def _cannot_write(error: OSError) -> WorkspaceError:
    cure = "Free some room or set STVLM_HOME to another folder."
    return WorkspaceError(f"The workspace {workspace()} cannot be written: {error.strerror or error}. {cure}")
