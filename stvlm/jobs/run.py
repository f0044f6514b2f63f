"""What one run is on disk: a folder with its wish (spec), its state (status) and, at the end, its model."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

import stvlm
from stvlm.runtime.cache import parsed_file
from stvlm.runtime.logs import note
from stvlm.runtime.settings import settings
from stvlm.workspace.paths import size_of, workspace

RUN_ID = re.compile(r"[0-9a-f]{12}")
WAITING_OR_WORKING = ("queued", "running", "cancelling")
LAST_WORD_BYTES = 65_536
LAST_WORD = ".last-word"  # a file that holds room on the disk, given up so that a run can say that the disk is full
State = Literal["queued", "running", "cancelling", "cancelled", "done", "failed", "lost"]


class RunError(ValueError):
    """What was asked of a run cannot be done; the text says why."""


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
        config: settings of `stvlm.training.fit.FitConfig`; the rest keeps its default.
        threads: CPU threads of the worker; None leaves the choice to the environment.
        backend: where it works, a name of `stvlm.jobs.api.BACKENDS`.
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
        spec = parsed_file(folder / "spec.json", RunSpec.model_validate_json)
        written = parsed_file(folder / "status.json", json.loads)
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
