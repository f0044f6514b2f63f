"""What every place that works on runs can do: submit, status, logs, cancel, resume, adopt. All state is in the runs' folders.

A backend says how a worker is started on a folder, whether it is gone, and how it is ended; the folder must be in reach of both.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from stvlm.jobs.run import RunError, RunSpec, RunStatus, check_quota, hold_room, make_run_id, read_all, read_status, run_folder
from stvlm.runtime.atomic import write_atomic, write_folder
from stvlm.workspace.paths import cannot_write, changing

SILENT_SECONDS = 30.0  # a worker shows a sign of life every second or two
PATIENCE_SECONDS = 2.0  # with a worker that was asked to end; it ends itself before that
CAN_RESUME = "It can be resumed from its last checkpoint."


class Backend(ABC):
    """A place where runs work. Holds no state, so any server can go on with what another began.

    Attributes:
        name: as in `RunSpec.backend`.
    """

    name: str

    @abstractmethod
    def devices(self, wanted: str) -> tuple[str, ...]:
        """Those of which a run may get one, by the setting `device`: "auto", "cuda", "cuda:1", "cpu" …"""

    @abstractmethod
    def start(self, folder: Path, spec: RunSpec) -> None:
        """Start a worker on the run in `folder`; it waits for its turn.

        Raises:
            OSError, RunError: it cannot be started; then there is no worker.
        """

    @abstractmethod
    def is_gone(self, folder: Path) -> bool:
        """Whether it is certain that no worker is on the run; False where that cannot be known."""

    @abstractmethod
    def end(self, folder: Path, patience_seconds: float) -> None:
        """End the worker of a run, which was asked to end: after `patience_seconds` softly, then hard; returns when it is gone."""

    def forget(self, folder: Path) -> None:  # noqa: B027  most keep nothing elsewhere
        """Remove what is kept elsewhere of a run that is being deleted; `folder` is about to go too."""

    def place(self, folder: Path) -> dict[str, Any]:
        """More fields of the status that only this backend knows, as `pid`."""
        return {}

    def submit(self, spec: RunSpec, dedupe: bool = False) -> str:
        """Write the run's folder and start its worker, which waits for its turn on the device.

        Args:
            spec: what to do. dedupe: give back a run that waits, works or is done with the same data and settings, if there is one.

        Returns:
            The run's id.

        Raises:
            RunError: settings that `FitConfig` refuses, or no room for one more run.
            WorkspaceError: the workspace cannot be written; then there is no run.
        """
        key, devices = spec.key(checked_settings(spec.config)), self.devices(str(spec.config.get("device", "auto")))
        with changing():
            runs = read_all()
            if dedupe:
                for other in runs:
                    if (other.key, other.spec.backend) == (key, spec.backend) and not self.status(other.run_id).is_resumable:
                        return other.run_id
            check_quota(self.status(run.run_id) if (run.is_live, run.spec.backend) == (True, self.name) else run for run in runs)
            run_id, now = make_run_id(), after(runs)
            waiting = {"state": "queued", "created": now, "queued": now, "key": key, "device": ",".join(devices)}

            def write(folder: Path) -> None:
                write_atomic(folder / "spec.json", spec, durable=True)
                write_atomic(folder / "status.json", waiting, durable=True)
                hold_room(folder)

            folder = run_folder(run_id)
            try:
                write_folder(folder, write)
                self.start(folder, spec)
            except (OSError, RunError):
                shutil.rmtree(folder, ignore_errors=True)
                raise
        return run_id

    def status(self, run_id: str) -> RunStatus:
        """Where a run stands now.

        Raises:
            RunError: no such run, or one that cannot be read.
        """
        folder = run_folder(run_id)
        run = read_status(folder)
        changes = self._judged(folder, run) if run.is_live else {}
        return run.model_copy(update=self.place(folder) | changes)

    def logs(self, run_id: str, n_bytes: int = 8192) -> str:
        """The end of what the worker wrote to its log."""
        path = run_folder(run_id) / "log.txt"
        if not path.exists():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - n_bytes))
            return file.read().decode("utf-8", errors="replace")

    def cancel(self, run_id: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Ask the worker to end at its next step; one that does not answer is ended, softly and then hard, within three seconds.

        The run keeps its last checkpoint. On a run that has ended this does nothing.

        Raises:
            RunError: no such run. WorkspaceError: the workspace cannot be written.
        """
        run = self.status(run_id)
        if not run.is_live and run.state != "lost":
            return
        folder = run_folder(run_id)
        try:
            (folder / "cancel").touch()
        except OSError as error:
            raise cannot_write(error) from error
        if not self.is_gone(folder):
            threading.Thread(target=self.end, args=(folder, patience_seconds), daemon=True).start()

    def resume(self, run_id: str) -> None:
        """Start a worker again on a run that was lost, cancelled or failed: it goes on from its last checkpoint.

        Raises:
            RunError: the run waits, works or is done. WorkspaceError: the workspace cannot be written.
        """
        with changing():
            run = self.status(run_id)
            if not run.is_resumable:
                raise RunError(f"Run {run_id} is {run.state}: there is nothing to resume.")
            folder = run_folder(run_id)
            self.end(folder, 0.0)  # silent, yet perhaps there: it must not wake up beside the new one
            (folder / "cancel").unlink(missing_ok=True)
            devices = self.devices(str(run.spec.config.get("device", "auto")))
            fresh = {"state": "queued", "queued": after(read_all()), "device": ",".join(devices), "message": ""}
            written = json.loads((folder / "status.json").read_text(encoding="utf-8"))
            written |= fresh | {"eta_seconds": None, "ended": None, "ahead": None}
            write_atomic(folder / "status.json", written, durable=True)
            hold_room(folder)
            self.start(folder, run.spec)

    def adopt(self) -> tuple[str, ...]:
        """Look after the runs that an earlier server has left: those at work go on by themselves, and are only counted.

        A run whose worker vanished while it waited, with the machine, gets a new worker and keeps its place. One whose worker
        vanished at work stays lost: what ended it might do so again.

        Returns:
            Ids of the runs that wait or work.

        Raises:
            WorkspaceError: the workspace cannot be written.
        """
        mine = [run_folder(run.run_id) for run in read_all() if run.spec.backend == self.name]
        if not mine:
            return ()
        with changing():
            for folder in mine:
                if read_status(folder).state == "queued" and self.status(folder.name).state == "lost":
                    self.end(folder, 0.0)
                    self.start(folder, read_status(folder).spec)
        return tuple(folder.name for folder in mine if self.status(folder.name).is_live)

    def _judged(self, folder: Path, run: RunStatus) -> dict[str, Any]:
        """What to change in the status of a run that says it is not at its end."""
        silent = time.time() - run.heartbeat > SILENT_SECONDS
        gone = self.is_gone(folder)
        cancelled = (folder / "cancel").exists()
        if not gone and not silent:
            return {"state": "cancelling"} if cancelled else {}
        last = read_status(folder)  # the worker may have spoken its last word between our two looks
        if not last.is_live:
            return dict(last)
        ended = {"eta_seconds": None, "ahead": None}
        if cancelled:
            return ended | {"state": "cancelled", "message": "Cancelled; the last checkpoint is kept."}
        why = "The worker ended without a last word" if gone else f"No sign of life for {SILENT_SECONDS:.0f} s"
        return ended | {"state": "lost", "message": f"{why}. {CAN_RESUME}"}


def checked_settings(config: dict[str, Any]) -> dict[str, Any]:
    """All settings of a training, where `FitConfig` takes those given.

    Raises:
        RunError: an unknown setting, or a value that it refuses.
    """
    from stvlm.training.fit import FitConfig  # brings torch, which only a new run needs

    unknown = sorted(set(config) - {f.name for f in fields(FitConfig)})
    if unknown:
        raise RunError(f"Unknown settings: {', '.join(unknown)}.")
    try:
        return asdict(FitConfig(**as_settings(config)))
    except (TypeError, ValueError) as error:
        raise RunError(str(error)) from error


def as_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Settings as they were before JSON made lists of their tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}


def after(runs: Iterable[RunStatus]) -> float:
    """Now, or just after the newest place in the queue where a clock went back: the order of coming is the order of the queue."""
    return max([time.time(), *(run.queued + 1e-6 for run in runs)])
