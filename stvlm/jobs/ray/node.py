"""The cluster's side of a run: a copy of its folder, a worker on it, and all that changes carried back to the storage.

`python -m stvlm.jobs.ray.node STORAGE RUN_ID JOB_ID`; started by `stvlm.jobs.ray.backend`, and knows nothing of Ray itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from stvlm.jobs.local import WORKER
from stvlm.jobs.ray.storage import CHECKPOINT, MODEL, Storage, is_done_by, pack, state_of, unpack
from stvlm.jobs.run import RUN_ID, RunSpec
from stvlm.runtime import environment
from stvlm.runtime.subprocess import start
from stvlm.workspace.paths import workspace

BEAT_SECONDS = 0.5
LAST_SECONDS = 60.0  # to bring home what is left, where the storage does not answer
FILES = ("log.txt", "losses.jsonl", "manifest.json")
NOT_WANTED = 3  # the exit code of a job that another one has taken the place of


class Mirror:
    """Keeps the copy of a run and what the storage holds of it alike.

    Args:
        storage: shared with the app. run_id: the run. job_id: this job; it is wanted as long as the run's attempt.json names it.
    """

    def __init__(self, storage: Storage, run_id: str, job_id: str) -> None:
        self.storage, self.job_id = storage, job_id
        self.run = f"runs/{run_id}"
        self.folder = workspace() / self.run
        self._sent: dict[str, Any] = {}  # by name: the state that was pushed last

    def fetch(self) -> None:
        """Copy the run, with its checkpoint, and its readings to this node."""
        self.folder.mkdir(parents=True)
        for name in ("spec.json", "status.json", *FILES):
            self.storage.pull(f"{self.run}/{name}", self.folder / name)
            self._sent[name] = self._state(name)
        if self.storage.pull(f"{self.run}/{CHECKPOINT}", self.folder / CHECKPOINT):
            unpack(self.folder / CHECKPOINT, self.folder / "checkpoint")
            self._sent["checkpoint"] = state_of(self.folder / "checkpoint")
        spec = RunSpec.model_validate_json((self.folder / "spec.json").read_text(encoding="utf-8"))
        if spec.data.dataset:
            self._fetch_data(spec.data.dataset)

    def _fetch_data(self, name: str) -> None:
        places, card = workspace() / "datasets", f"datasets/{name}.json"
        places.mkdir(exist_ok=True)
        self.storage.pull(card, workspace() / card)
        shared = self.storage.folder / "datasets" / name if self.storage.folder else None
        if shared is not None and shared.is_dir():  # the app's own workspace: read where it is
            (places / name).symlink_to(shared, target_is_directory=True)
        elif self.storage.pull(f"datasets/{name}.tar", places / "packed.tar"):
            unpack(places / "packed.tar", places / name)
            (places / "packed.tar").unlink()

    def is_wanted(self) -> bool:
        """Whether the run still counts on this job, and not on a later one."""
        held = self.storage.read(f"{self.run}/attempt.json")
        told = json.loads(held) if held else {}
        return told.get("job_id") == self.job_id and told.get("over") is None

    def is_cancelled(self) -> bool:
        """Whether the run was asked to end."""
        return self.storage.read(f"{self.run}/cancel") is not None

    def send(self) -> None:
        """Push what has changed: the state last, so that what it speaks of is there."""
        state = self._state("status.json")
        is_done = is_done_by((self.folder / "status.json").read_bytes())
        for name in FILES:
            self._send_file(name)
        if is_done and MODEL not in self._sent:
            self._send_folder("model", MODEL)
            self._sent[MODEL] = True
            self.storage.remove(f"{self.run}/{CHECKPOINT}")
        elif not is_done:
            self._send_folder("checkpoint", CHECKPOINT)
        if state != self._sent.get("status.json"):  # its time is the sign of life
            self.storage.push(self.folder / "status.json", f"{self.run}/status.json")
            self._sent["status.json"] = state

    def _send_file(self, name: str) -> None:
        state = self._state(name)
        if state is not None and state != self._sent.get(name):
            self.storage.push(self.folder / name, f"{self.run}/{name}")
            self._sent[name] = state

    def _send_folder(self, folder: str, tar: str) -> None:
        state = state_of(self.folder / folder)
        if not state or state == self._sent.get(folder):
            return
        packed = self.folder / tar
        try:
            pack(self.folder / folder, packed)
            if state_of(self.folder / folder) == state:  # else it changed meanwhile: the next beat takes it whole
                self.storage.push(packed, f"{self.run}/{tar}")
                self._sent[folder] = state
        except FileNotFoundError:
            return
        finally:
            packed.unlink(missing_ok=True)

    def _state(self, name: str) -> tuple[int, int] | None:
        path = self.folder / name
        return (path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None


def main(arguments: list[str], worker: tuple[str, ...] = WORKER) -> int:
    """Work on a run of the storage; `worker` is the command that gets the folder of its copy as its last argument.

    Returns:
        The worker's exit code; 2 for wrong arguments, 3 where the job is not wanted any more.
    """
    if len(arguments) != 3 or not RUN_ID.fullmatch(arguments[1]):
        print("usage: python -m stvlm.jobs.ray.node STORAGE RUN_ID JOB_ID", file=sys.stderr)
        return 2
    where, run_id, job_id = arguments
    with tempfile.TemporaryDirectory(prefix="stvlm-run-") as home:
        os.environ["STVLM_HOME"] = home
        mirror = Mirror(Storage(where), run_id, job_id)
        if not mirror.is_wanted():
            return NOT_WANTED
        mirror.fetch()
        return _work(mirror, worker)


def _work(mirror: Mirror, command: tuple[str, ...]) -> int:
    """Start the worker in this process group, so that who ends the job ends it too, and stay until it has ended."""
    with (mirror.folder / "log.txt").open("ab") as log:
        worker = start([*command, str(mirror.folder)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    signal.signal(signal.SIGTERM, lambda *_: worker.terminate())
    try:
        while _is_at_work(worker):
            try:
                if not mirror.is_wanted():
                    return NOT_WANTED
                if mirror.is_cancelled():
                    (mirror.folder / "cancel").touch()
                mirror.send()
            except OSError as error:  # the storage may come back: the work goes on
                print(f"The storage does not answer: {error}", file=sys.stderr, flush=True)
    finally:
        worker.kill()
    return _bring_home(mirror, worker.wait())


def _is_at_work(worker: subprocess.Popen) -> bool:
    try:
        worker.wait(BEAT_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def _bring_home(mirror: Mirror, code: int) -> int:
    """Push the last word, with patience."""
    deadline = time.monotonic() + LAST_SECONDS
    while True:
        try:
            if not mirror.is_wanted():
                return NOT_WANTED
            mirror.send()
            return code
        except OSError as error:
            if time.monotonic() > deadline:
                raise
            print(f"The storage does not answer: {error}", file=sys.stderr, flush=True)
            time.sleep(2 * BEAT_SECONDS)


if __name__ == "__main__":
    environment.prepare()
    sys.exit(main(sys.argv[1:]))
