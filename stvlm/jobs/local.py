"""The backend of this machine: one worker process for each run, one run at a time on each device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stvlm.jobs.backend import Backend
from stvlm.jobs.process import WORKER, end, is_alive, start, worker_process
from stvlm.jobs.run import RunSpec


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
