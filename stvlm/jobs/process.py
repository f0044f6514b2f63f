"""The worker processes of this machine: start one, tell whether it lives, end it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from stvlm.data.child import child_environment
from stvlm.jobs.run import workspace, write_atomic

SOFT_SECONDS = 0.6  # from the soft signal to the hard one: checkpoints are whole at any moment
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")  # what tells libraries how many to take
WORKER = (sys.executable, "-m", "stvlm.jobs.worker")


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
    environment = child_environment(STVLM_HOME=str(workspace()), PYTHONUNBUFFERED="1")
    if threads:
        environment |= dict.fromkeys(THREADS, str(threads))
    with (folder / "log.txt").open("ab") as log:
        child = subprocess.Popen(  # noqa: S603  our own worker, no shell; the argument is a checked path
            [*worker, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )
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
        return WorkerProcess(**json.loads((folder / "process.json").read_text(encoding="utf-8")))
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
