"""The backend of a Ray cluster that is there already: each run is a job of its Jobs API and works in a copy of the run's folder.

The folder and its copy meet in the storage (`storage.py`); `node.py` keeps them alike from the side of the cluster. Which
job works on a run stands in attempt.json: an older one sees there that it is no longer wanted, and ends.
"""

from __future__ import annotations

import os
import secrets
import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict

from stvlm.jobs.backend import CAN_RESUME, Backend
from stvlm.jobs.local import THREADS
from stvlm.jobs.ray.client import ClusterError, cluster, read_settings
from stvlm.jobs.ray.storage import MODEL, Storage, is_done_by, unpack
from stvlm.jobs.run import LAST_WORD, RunError, RunSpec, RunStatus, read_status, run_folder
from stvlm.runtime.atomic import write_atomic
from stvlm.runtime.cache import parsed_file
from stvlm.runtime.settings import RaySettings, without_credentials
from stvlm.workspace.paths import workspace

ATTEMPT = "attempt.json"
FOLLOWED = ("losses.jsonl", "log.txt", "manifest.json", "status.json")  # the state last: what it speaks of is there then
LOOK_SECONDS = 0.5  # between two looks at one run
NO_CLUSTER = "No Ray cluster is set: give STVLM_RAY_ADDRESS, as http://host:8265 (see README)."
_looked: dict[Path, tuple[float, str]] = {}  # of each run: when the cluster was asked last, and what was wrong


class Attempt(BaseModel):
    """Which job works on a run; `over`: what the cluster said of its end, None while it may work."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: str
    address: str
    storage: str
    is_waiting: bool = True
    over: str | None = None


class RayBackend(Backend):
    """A Ray cluster, by the settings of `stvlm.jobs.ray.client.read_settings`."""

    name = "ray"

    def devices(self, wanted: str) -> tuple[str, ...]:
        """One GPU or the CPU of a node: which node and which GPU is the cluster's choice.

        Raises:
            RunError: a device by its number. ClusterError: the cluster cannot be used.
        """
        settings = _settings()
        if wanted not in ("auto", "cuda", "cpu"):
            raise RunError(f"A Ray cluster chooses the device itself: the device is auto, cuda or cpu, not {wanted}.")
        cluster(settings.address).check()
        return ("cuda:0",) if _gpus(settings, wanted) else ("cpu",)

    def submit(self, spec: RunSpec, dedupe: bool = False) -> str:
        """As in `Backend`; the readings go to the storage first, if they are not there."""
        self.devices(str(spec.config.get("device", "auto")))  # before much is copied
        storage = _storage(_settings().storage)
        if spec.data.dataset and not storage.is_at(workspace()):
            source = workspace() / "datasets" / spec.data.dataset
            storage.push_tree(source, f"datasets/{spec.data.dataset}.tar")
            if source.with_suffix(".json").is_file():
                storage.push(source.with_suffix(".json"), f"datasets/{spec.data.dataset}.json")
        return super().submit(spec, dedupe)

    def start(self, folder: Path, spec: RunSpec) -> None:
        """Put the run into the storage and start a job on it.

        Raises:
            ClusterError: the cluster or the storage refuses; a job that there may be ends by itself.
        """
        settings = _settings()
        where = settings.storage or str(workspace())
        attempt = Attempt(job_id=f"stvlm-{folder.name}-{secrets.token_hex(3)}", address=settings.address, storage=where)
        storage = _storage(where)
        write_atomic(folder / ATTEMPT, attempt)
        gpus = _gpus(settings, str(spec.config.get("device", "auto")))
        words = [settings.python, "-m", "stvlm.jobs.ray.node", where, folder.name, attempt.job_id]
        try:
            if not storage.is_at(workspace()):
                storage.remove(f"runs/{folder.name}/cancel")
                for name in ("spec.json", "status.json", ATTEMPT):
                    storage.push(folder / name, f"runs/{folder.name}/{name}")
            cluster(settings.address).submit(attempt.job_id, f"exec {shlex.join(words)}", settings, gpus, _variables(spec, gpus))
        except (ClusterError, OSError) as error:
            _close(folder, attempt, str(error))
            raise ClusterError(f"The run could not be started: {error}") from error

    def is_gone(self, folder: Path) -> bool:
        """Whether the cluster said that the job is over."""
        attempt = read_attempt(folder)
        return attempt is not None and attempt.over is not None

    def end(self, folder: Path, patience_seconds: float) -> None:
        """Pass on the wish to end; one who waits is ended at once, one at work after `patience_seconds`, through the cluster."""
        attempt = read_attempt(folder)
        if attempt is None or attempt.over is not None:
            return
        try:
            storage = _storage(attempt.storage)
            if not storage.is_at(workspace()) and (folder / "cancel").exists():
                storage.push(folder / "cancel", f"runs/{folder.name}/cancel")
            if not cluster(attempt.address).state(attempt.job_id).is_waiting and self._is_over_within(folder, patience_seconds):
                return
            waited = cluster(attempt.address).state(attempt.job_id).is_waiting
            cluster(attempt.address).stop(attempt.job_id)
            if waited:  # should the cluster begin it yet, it sees that it is not wanted
                _close(folder, attempt, "Ended before it began.")
            else:
                self._is_over_within(folder, 10.0)
        except (ClusterError, OSError):  # the status says so; a new attempt shuts this one out
            return

    def forget(self, folder: Path) -> None:
        """Remove what the storage holds of a run."""
        attempt = read_attempt(folder)
        if attempt is not None:
            with suppress(ClusterError, OSError):
                storage = _storage(attempt.storage)
                if not storage.is_at(workspace()):
                    storage.remove(f"runs/{folder.name}")

    def adopt(self) -> tuple[str, ...]:
        """As in `Backend`; where the cluster does not answer, its runs stay as they are."""
        with suppress(ClusterError):
            return super().adopt()
        return ()

    def status(self, run_id: str) -> RunStatus:
        """As in `Backend`, after a look at the cluster and the storage; one that does not answer is told of in the message."""
        folder = run_folder(run_id)
        trouble = _follow(folder)
        run = super().status(run_id)
        attempt = read_attempt(folder)
        changes: dict[str, Any] = {"device": f"Ray: {run.device}"} if attempt else {}
        if run.state == "lost" and attempt and attempt.over:
            changes["message"] = f"The cluster ended it: {attempt.over} {CAN_RESUME}"
        elif trouble and (run.is_live or run.state == "lost"):
            changes["message"] = f"{trouble} {CAN_RESUME}" if run.state == "lost" else trouble
        elif run.state == "queued" and attempt:
            changes["message"] = "Waits for room on the cluster." if attempt.is_waiting else "Starts on the cluster."
        return run.model_copy(update=changes)

    def logs(self, run_id: str, n_bytes: int = 8192) -> str:
        """The end of the worker's log; where it did not come so far, the cluster's."""
        text = super().logs(run_id, n_bytes)
        attempt = read_attempt(run_folder(run_id))
        if text or attempt is None:
            return text
        try:
            return cluster(attempt.address).log(attempt.job_id)[-n_bytes:]
        except ClusterError as error:
            return str(error)

    def _is_over_within(self, folder: Path, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self.is_gone(folder) and time.monotonic() < deadline:
            time.sleep(0.2)
            _follow(folder)
        return self.is_gone(folder)


def read_attempt(folder: Path) -> Attempt | None:
    """The job that works, or worked last, on a run; None before the first, and in the copy on the cluster."""
    try:
        return parsed_file(folder / ATTEMPT, Attempt.model_validate_json)
    except FileNotFoundError:
        return None


def _follow(folder: Path) -> str:
    """Bring a run's folder up to date with its job; what stood in the way, or nothing."""
    attempt = read_attempt(folder)
    if attempt is None or attempt.over is not None:
        return ""
    when, trouble = _looked.get(folder, (0.0, ""))
    if time.monotonic() - when < LOOK_SECONDS:
        return trouble
    trouble = ""
    try:
        patience = (
            15.0 if (folder / MODEL).exists() else 0.0 if when else 1.0
        )  # a model is being unpacked: nobody hears "done" before
        with FileLock(folder / "follow.lock", timeout=patience):
            trouble = _look(folder, attempt)
    except (TimeoutError, OSError) as error:
        trouble = (
            "" if isinstance(error, TimeoutError) else without_credentials(f"The storage {attempt.storage} cannot be read: {error}")
        )
    _looked[folder] = (time.monotonic(), trouble)
    return trouble


def _look(folder: Path, attempt: Attempt) -> str:
    """Ask the cluster, then the storage: in this order the last word of a job that is over is not missed."""
    state, trouble = None, ""
    try:
        state = cluster(attempt.address).state(attempt.job_id)
    except ClusterError as error:
        trouble = str(error)
    storage = _storage(attempt.storage)
    here, run = storage.is_at(workspace()), f"runs/{folder.name}"
    if not here:
        told = storage.read(f"{run}/status.json")
        if told and is_done_by(told) and not (folder / "model").exists():
            storage.pull(f"{run}/{MODEL}", folder / MODEL)
        for name in FOLLOWED:
            held = storage.read(f"{run}/{name}") if name != "status.json" else told
            if held is not None and (not (folder / name).is_file() or (folder / name).read_bytes() != held):
                storage.pull(f"{run}/{name}", folder / name)
    if (folder / MODEL).exists() and read_status(folder).state == "done":
        unpack(folder / MODEL, folder / "model")
        (folder / MODEL).unlink()
    if state is not None and state.is_over:
        (folder / LAST_WORD).unlink(missing_ok=True)
        write_atomic(folder / ATTEMPT, attempt.model_copy(update={"over": state.message, "is_waiting": False}))
    elif state is not None:
        os.utime(folder / "status.json")  # the cluster's word is a sign of life, while it waits too
        if state.is_waiting != attempt.is_waiting:
            write_atomic(folder / ATTEMPT, attempt.model_copy(update={"is_waiting": state.is_waiting}))
    return trouble


def _close(folder: Path, attempt: Attempt, why: str) -> None:
    """Give an attempt up, here and in the storage, so that its job ends by itself should it begin."""
    write_atomic(folder / ATTEMPT, attempt.model_copy(update={"over": why, "is_waiting": False}))
    with suppress(ClusterError, OSError):
        storage = _storage(attempt.storage)
        if not storage.is_at(workspace()):
            storage.remove(f"runs/{folder.name}/{ATTEMPT}")


def _settings() -> RaySettings:
    settings = read_settings()
    if settings is None:
        raise ClusterError(NO_CLUSTER)
    return settings


def _storage(where: str) -> Storage:
    try:
        return Storage(where or str(workspace()))
    except (ValueError, ImportError) as error:
        raise ClusterError(f"The storage {where} cannot be used: {error}") from error


def _gpus(settings: RaySettings, wanted: str) -> float:
    """GPUs that a run asks for."""
    return {"auto": settings.gpus, "cuda": settings.gpus or 1.0}.get(wanted, 0.0)


def _variables(spec: RunSpec, gpus: float) -> dict[str, str]:
    """Environment of the job."""
    variables = {"PYTHONUNBUFFERED": "1"} | ({} if gpus else {"CUDA_VISIBLE_DEVICES": ""})
    return variables | (dict.fromkeys(THREADS, str(spec.threads)) if spec.threads else {})
