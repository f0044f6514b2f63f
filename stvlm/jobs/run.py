"""What one run is on disk: a folder with its wish (spec), its state (status) and, at the end, its model."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

import stvlm
from stvlm.logs import note
from stvlm.runtime.settings import settings

RUN_ID = re.compile(r"[0-9a-f]{12}")
WAITING_OR_WORKING = ("queued", "running", "cancelling")
State = Literal["queued", "running", "cancelling", "cancelled", "done", "failed", "lost"]


class RunError(ValueError):
    """What was asked of a run cannot be done; the text says why."""


class WorkspaceError(RuntimeError):
    """The workspace cannot be written; the text says where, why and what to do."""


class DataSource(BaseModel):
    """Where a run's readings come from: a sample by name, or a data set kept in the workspace by its folder's name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$")
    dataset: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$")

    @model_validator(mode="after")
    def _exactly_one(self) -> DataSource:
        if (self.sample is None) == (self.dataset is None):
            raise ValueError('data must name either a "sample" or a "dataset"')
        return self


class RunSpec(BaseModel):
    """What a run shall do; written once, when it is submitted.

    Attributes:
        kind: "fit": fine-tune a model.
        title: what people call the run.
        data: its readings.
        config: settings of `stvlm.fit.FitConfig`; the rest keeps its default.
        threads: CPU threads of the worker; None leaves the choice to the environment.
        backend: where it works, a name of `stvlm.jobs.board.BACKENDS`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fit"] = "fit"
    title: str = Field(default="", max_length=200)
    data: DataSource
    config: dict[str, Any] = Field(default_factory=dict)
    threads: int | None = Field(default=None, ge=1, le=1024)
    backend: str = Field(default="local", pattern=r"^[a-z]{1,20}$")

    def key(self, settings: dict[str, Any]) -> str:
        """sha256 of all that decides the result: two specs with one key do the same work.

        Args:
            settings: all of `FitConfig`, defaults too, so that a default that is spelt out makes no difference.
        """
        told = {"version": stvlm.__version__, "kind": self.kind, "data": self.data.model_dump(), "config": settings}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


class RunStatus(BaseModel):
    """Where a run stands.

    Attributes:
        run_id: twelve hexadecimal digits, the name of the folder.
        spec: what it shall do.
        state: "lost" = its worker is gone without a last word; it can be resumed. The message says why a run is failed or lost.
        created, queued, heartbeat: seconds since 1970: submitted, put into the queue last, last sign of life.
        started, ended: seconds since 1970: got its device last, ended; None before that.
        key: sha256 of its data and settings, as `RunSpec.key`.
        ahead: runs that go first on the device, while queued.
        phase, step, total, loss, val_mae, anchor_val_mae, best_val_mae, message: as in FitStep; MAE in the series' unit.
        seconds, eta_seconds: spent and still to come.
        device: the device at work; while queued, the devices it may get, joined by commas.
        memory_mb, device_memory_mb: megabytes of its process, and that it holds of a GPU; None where not known.
        pid: process of the worker.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: str
    spec: RunSpec
    state: State
    created: float
    queued: float
    heartbeat: float
    started: float | None = None
    ended: float | None = None
    key: str = ""
    ahead: int | None = None
    phase: str = ""
    step: int = 0
    total: int = 0
    loss: float | None = None
    val_mae: float | None = None
    anchor_val_mae: float | None = None
    best_val_mae: float | None = None
    seconds: float = 0.0
    eta_seconds: float | None = None
    device: str = ""
    message: str = ""
    memory_mb: float | None = None
    device_memory_mb: float | None = None
    pid: int | None = None

    @property
    def title(self) -> str:
        """What people call the run."""
        return self.spec.title or f"run {self.run_id}"

    @property
    def is_live(self) -> bool:
        """Whether it waits or works."""
        return self.state in WAITING_OR_WORKING

    @property
    def is_resumable(self) -> bool:
        """Whether it ended, or was lost, before it was done."""
        return not self.is_live and self.state != "done"

    @property
    def model_folder(self) -> Path:
        """Where its model is once it is done."""
        return run_folder(self.run_id) / "model"


def workspace() -> Path:
    """The folder of all runs and data sets: STVLM_HOME, else .stvlm under the current folder."""
    return settings().home.absolute()


def make_run_id() -> str:
    """Twelve random hexadecimal digits."""
    return secrets.token_hex(6)


def run_folder(run_id: str) -> Path:
    """The folder of a run, which need not exist.

    Raises:
        RunError: for anything but twelve hexadecimal digits, so that no name leads out of the workspace.
    """
    if not RUN_ID.fullmatch(run_id):
        raise RunError(f"{run_id!r} is no run id: twelve digits 0-9 a-f.")
    return workspace() / "runs" / run_id


def list_folders() -> list[Path]:
    """The folders of all runs of the workspace."""
    root = workspace() / "runs"
    return [folder for folder in root.iterdir() if RUN_ID.fullmatch(folder.name)] if root.is_dir() else []


def read_status(folder: Path) -> RunStatus:
    """What a run's folder says; whether its worker lives is another question, for its backend.

    Raises:
        RunError: no such run, or one that cannot be read.
    """
    try:
        spec = RunSpec.model_validate_json((folder / "spec.json").read_text(encoding="utf-8"))
        written = json.loads((folder / "status.json").read_text(encoding="utf-8"))
        heartbeat = (folder / "status.json").stat().st_mtime
        return RunStatus.model_validate({**written, "run_id": folder.name, "spec": spec, "heartbeat": heartbeat})
    except FileNotFoundError as error:
        raise RunError(f"There is no run {folder.name}.") from error
    except (ValueError, TypeError, RecursionError, OSError) as error:  # of JSON or of pydantic: harmed by hand or by the disk
        raise RunError(f"Run {folder.name} cannot be read: {error}") from error


def read_all() -> list[RunStatus]:
    """What the folders of all runs say; one that cannot be read is logged and left out."""
    found = []
    for folder in list_folders():
        try:
            found.append(read_status(folder))
        except RunError:
            note("a run cannot be read", logging.WARNING, run=folder.name)
    return found


def write_atomic(path: Path, content: Any, durable: bool = False) -> None:
    """Write JSON (a dict, a pydantic model or a dataclass) so that readers see the old file or the new one, never a part.

    Args:
        path: the file. content: what to write.
        durable: also survive a power cut.
    """
    if isinstance(content, BaseModel):
        content = content.model_dump(mode="json")
    elif is_dataclass(content):
        content = asdict(content)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
