"""The backend of this machine: one worker process for each run, one run at a time on each device."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from stvlm.jobs.backend import Backend
from stvlm.jobs.run import RunSpec
from stvlm.runtime import subprocess as children
from stvlm.runtime.atomic import write_atomic
from stvlm.runtime.cache import parsed_file

SOFT_SECONDS = 0.6  # from the soft signal to the hard one: checkpoints are whole at any moment
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")  # what tells libraries how many to take
WORKER = children.python_command("stvlm.jobs.worker")


@dataclass(frozen=True)
class WorkerProcess:
    """Which process works on a run; `created` (seconds since 1970) tells it from a later one with the same number."""

    pid: int
    created: float
    host: str

    @property
    def is_elsewhere(self) -> bool:
        """Whether another machine, which shares the workspace, runs it."""
        return self.host != socket.gethostname()


def start(folder: Path, worker: tuple[str, ...], threads: int | None = None) -> None:
    """Start a worker on the run in `folder`, in a process group of its own: it outlives this process.

    Args:
        folder: the run's. worker: the command, which gets the folder as its last argument. threads: of its CPU work.

    Raises:
        OSError: it cannot be started, or written down; then there is no worker.
    """
    variables = {"PYTHONUNBUFFERED": "1"} | (dict.fromkeys(THREADS, str(threads)) if threads else {})
    with (folder / "log.txt").open("ab") as log:
        streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
        child = children.start([*worker, str(folder)], variables=variables, start_new_session=True, **streams)
    created = psutil.Process(child.pid).create_time()  # nobody could reap it yet, so it is there, be it as a zombie
    process = WorkerProcess(child.pid, created, socket.gethostname())
    threading.Thread(target=child.wait, daemon=True).start()  # so that an ended worker does not stay a zombie
    try:
        write_atomic(folder / "process.json", process)
    except OSError:
        end(process, patience_seconds=0.0)  # a worker that nobody could find again
        raise


def worker_process(folder: Path) -> WorkerProcess | None:
    """The process that works, or worked last, on the run in `folder`; None where none was started."""
    try:
        return WorkerProcess(**parsed_file(folder / "process.json", json.loads))
    except FileNotFoundError:
        return None


def is_alive(process: WorkerProcess) -> bool:
    """Whether that very process runs on this machine; a zombie, or another with the same number, does not count."""
    if process.is_elsewhere:
        return False
    try:
        found = psutil.Process(process.pid)
        return abs(found.create_time() - process.created) < 2 and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end(process: WorkerProcess, patience_seconds: float) -> None:
    """Wait for a worker to end; then ask its group to end; then end it."""
    for sign, seconds in ((None, patience_seconds), (signal.SIGTERM, SOFT_SECONDS), (signal.SIGKILL, 5.0)):
        if sign is not None and is_alive(process):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, sign)  # the worker leads its own group, so its children go with it
        deadline = time.monotonic() + seconds
        while is_alive(process) and time.monotonic() < deadline:
            time.sleep(0.05)


@dataclass(frozen=True)
class LocalBackend(Backend):
    """This machine: cuda, mps or cpu.

    Args:
        worker: the command that gets the run's folder as its last argument.
    """

    worker: tuple[str, ...] = WORKER
    name = "local"

    def devices(self, wanted: str) -> tuple[str, ...]:
        """Those of this machine, by torch's names: every GPU for "auto" and "cuda", else the one that was named."""
        if wanted == "cpu":
            return ("cpu",)
        import torch  # only here: a worker that waits needs none of it

        gpus = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
        if wanted == "auto":
            return gpus or (("mps",) if torch.backends.mps.is_available() else ("cpu",))
        return (gpus or ("cuda:0",)) if wanted == "cuda" else (wanted,)

    def start(self, folder: Path, spec: RunSpec) -> None:
        """Start a process of its own, which outlives this one."""
        start(folder, self.worker, spec.threads)

    def is_gone(self, folder: Path) -> bool:
        """Whether the process that was started last has ended; one of another machine cannot be seen from here."""
        process = worker_process(folder)
        return process is not None and not process.is_elsewhere and not is_alive(process)

    def end(self, folder: Path, patience_seconds: float) -> None:
        """Wait for the process, then SIGTERM, then SIGKILL, to it and its children."""
        process = worker_process(folder)
        if process and is_alive(process):
            end(process, patience_seconds)

    def place(self, folder: Path) -> dict[str, Any]:
        """The number of the process."""
        process = worker_process(folder)
        return {"pid": process.pid if process else None}
