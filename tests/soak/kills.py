"""Server and worker killed at random moments, hundreds of times: what was reported as saved is there, and nothing half-written is read.

    python -m tests.soak.kills --rounds 200 --sessions 50

A round adds networks and starts a tiny run through the app's own web socket, while a crowd of sessions goes the ways of `tests.soak.load`
and comes back after every restart; the server, the worker or both are killed (kill -9) at a random moment of it, and the server is
started again on the same workspace. Then everything that was ever reported is asked for: each network opens with the fingerprint it
had, each run is listed, and what was done stays done with a model that loads bit by bit as before. Lost runs are resumed and must end.
The chance is that of the seed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.record import STORE, Figure, keep
from stvlm.io.store import load_series
from stvlm.jobs import api
from stvlm.jobs.local import worker_process
from stvlm.jobs.run import DataSource, RunError, RunSpec, list_folders
from tests.soak.load import free_port, journey, own_network, start_server
from tests.soak.visitor import LostError, Visitor

STEPS = 6
LONGEST_SECONDS = 8.0  # from the beginning of a round to its kill, about
PAUSE_SECONDS = 10.0  # that somebody of the crowd looks at a page, in the mean
QUOTAS = {"STVLM_MAX_NETWORKS": "9999", "STVLM_MAX_UPLOADS": "9999"}  # a crowd brings more than one server is meant to keep
TARGETS = ("server", "worker", "both")
FORKS = get_context("forkserver")  # of a process without threads, as one with a crowd must not be forked


@dataclass
class Promised:
    """What was reported as saved.

    Attributes:
        networks: id -> fingerprint. runs: ids. models: id of a run that is done -> hash of its weights.
    """

    networks: dict[str, str] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)


class Life:
    """One workspace through all its servers."""

    def __init__(self, home: Path, chance: random.Random) -> None:
        self.home, self.chance, self.promised = home, chance, Promised()
        self.kills: Counter[str] = Counter()
        self.span = 4.0  # seconds that the work of a round takes here, as last seen
        self.port = free_port()
        self.server = start_server(home, self.port, home.with_name("app.log"))
        self.journeys = self.actions = 0
        self.is_over = False

    def crowd(self, number: int, seed: int) -> None:
        """One person after another, from restart to restart, until all is over; their networks count as saved too."""
        chance = random.Random(f"{seed} {number}")
        while not self.is_over:
            word, level = f"Mk{chance.getrandbits(32):08x}", 1000.0 + 100 * chance.randrange(400)
            with suppress(LostError, StopIteration, AssertionError, RuntimeError, ValueError):
                visitor = Visitor(f"127.0.0.1:{self.port}", 60)
                for kind, action in journey(visitor, number, word, level):
                    action()
                    self.actions += 1
                    if kind == "use the upload":
                        self._promise(visitor, word)
                    time.sleep(chance.expovariate(1 / PAUSE_SECONDS))
                    if self.is_over:
                        return
                self.journeys += 1
            time.sleep(chance.uniform(0.5, 2.0))

    def _promise(self, visitor: Visitor, word: str) -> None:
        """Once its id is in the address and its sensors on the page, a network counts as saved."""
        told = dict(part.split("=", 1) for part in visitor.query.split("&"))
        if word.encode() in visitor.shown.raw and "data" in told:
            self.promised.networks[told["data"]] = load_series(self.home / "datasets" / told["data"]).fingerprint

    def round(self, target: str) -> list[str]:
        """One round: work, a kill amid it, a new server where it was hit, and what is wrong then."""
        tasks = [threading.Thread(target=task, daemon=True) for task in (self._add_network, self._start_run, self._look)]
        started = time.monotonic()
        for task in tasks:
            task.start()
        time.sleep(self.chance.uniform(0.0, 1.2 * self.span))
        if target in ("worker", "both"):
            self._kill_workers()
        if target in ("server", "both"):
            self.server.send_signal(signal.SIGKILL)
            self.server.wait()
            self.kills["server"] += 1
        for task in tasks:
            task.join(2 * LONGEST_SECONDS)  # what is not done goes on beside the next round
        if target == "worker":
            self.span = min(max(time.monotonic() - started, 1.0), LONGEST_SECONDS)
        if self.server.poll() is not None:
            self.server = start_server(self.home, self.port, self.home.with_name("app.log"))
        return self.wrong()

    def _add_network(self) -> None:
        """Upload a network and make it the one in view."""
        word = f"Mk{self.chance.getrandbits(32):08x}"
        with suppress(LostError, StopIteration):
            visitor = Visitor(f"127.0.0.1:{self.port}", 60)
            visitor.open("data", "source=own")
            visitor.upload(own_network(word, 1000.0 + self.chance.randrange(9000)))
            visitor.press("Use this network")
            self._promise(visitor, word)

    def _start_run(self) -> None:
        """Submit a run on the newest network from a process that may be killed amid it; once it tells the id, the run counts as started."""
        if not self.promised.networks or sum(api.status(run).is_live for run in self.promised.runs) > 1:
            return
        data = list(self.promised.networks)[-1]
        config = {
            "lookback": 6, "horizon": 2, "max_steps": STEPS, "batch_size": 2, "device": "cpu", "seasons_minutes": (),
            "seed": len(self.promised.runs),
        }  # fmt: skip
        spec = RunSpec(data=DataSource(dataset=data), config=config, threads=1)
        reading, writing = FORKS.Pipe(duplex=False)
        child = FORKS.Process(target=_submit, args=(spec, writing))
        child.start()
        writing.close()
        if self.chance.random() < 0.3:
            time.sleep(self.chance.uniform(0.0, 0.2))
            child.kill()
            self.kills["submitting"] += 1
        child.join()
        with suppress(EOFError), reading:
            self.promised.runs.append(reading.recv())

    def _look(self) -> None:
        """Somebody else looks at pages."""
        with suppress(LostError, StopIteration):
            visitor = Visitor(f"127.0.0.1:{self.port}", 60)
            visitor.open("data", "data=sample:irish_wind")
            if self.chance.random() < 0.2:  # it looks after the runs of the server before
                visitor.open("train", "data=sample:irish_wind")

    def _kill_workers(self) -> None:
        for run in list_folders():
            process = worker_process(run)
            with suppress(ProcessLookupError, RunError):
                if process and api.status(run.name).is_live:
                    os.kill(process.pid, signal.SIGKILL)
                    self.kills["worker"] += 1

    def wrong(self) -> list[str]:
        """What was promised and is not so; runs that were lost are resumed."""
        found = []
        for data, fingerprint in list(self.promised.networks.items()):
            try:
                if load_series(self.home / "datasets" / data, verify=True).fingerprint != fingerprint:
                    found.append(f"network {data} is another")
            except ValueError as error:
                found.append(f"network {data}: {error}")
        listed = {run.run_id: run for run in api.list_runs()}
        found += [f"run {run} is not listed" for run in self.promised.runs if run not in listed]
        found += [f"run {folder.name} cannot be read" for folder in list_folders() if folder.name not in listed]
        for run in listed.values():
            if run.state == "failed":
                found.append(f"run {run.run_id} failed: {run.message}")
            elif run.state == "done":
                weights = run.model_folder / "model.safetensors"
                told = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else "no model"
                if self.promised.models.setdefault(run.run_id, told) != told or told == "no model":
                    found.append(f"the model of run {run.run_id} is another, or none")
            elif run.run_id in self.promised.models:
                found.append(f"run {run.run_id} was done and is {run.state}")
            elif run.is_resumable:
                api.resume(run.run_id)
        return found

    def end(self, seconds: float) -> list[str]:
        """Let all runs come to their end, and look once more."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and any(api.status(run).state != "done" for run in self.promised.runs):
            time.sleep(1.0)
        late = [f"run {run} is still {api.status(run).state}" for run in self.promised.runs if api.status(run).state != "done"]
        return self.wrong() + late


def _submit(spec: RunSpec, line: Connection) -> None:
    line.send(api.submit(spec))


def main() -> int:
    """Run the rounds; 0 when nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=50, help="people in the crowd")
    parser.add_argument("--minutes", type=float, default=60.0, help="no round begins later")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", type=Path, default=STORE, help="where the figures go")
    asked = parser.parse_args()
    chance, started, problems, done = random.Random(asked.seed), time.monotonic(), [], 0
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "home"
        os.environ |= QUOTAS | {"STVLM_HOME": str(home)}
        life = Life(home, chance)
        for number in range(asked.sessions):
            threading.Thread(target=life.crowd, args=(number, asked.seed), daemon=True).start()
        try:
            while done < asked.rounds and time.monotonic() - started < asked.minutes * 60:
                target = TARGETS[done % len(TARGETS)]
                wrong = life.round(target)
                done, problems = done + 1, problems + wrong
                kept = f"{len(life.promised.networks)} networks, {len(life.promised.runs)} runs, {len(life.promised.models)} done"
                print(f"round {done} ({target}), seed {asked.seed}: {kept}; wrong: {wrong or 'nothing'}", flush=True)
            life.is_over = True
            problems += life.end(600)
        finally:
            life.is_over = True
            life.server.kill()
            life.server.wait()
            for run in list_folders():
                api.cancel(run.name)
    promised = life.promised
    figures = [
        Figure("rounds", done, "", ">= 200"),
        Figure("kills of the server", life.kills["server"]),
        Figure("kills of a worker", life.kills["worker"]),
        Figure("kills of a process that submits a run", life.kills["submitting"]),
        Figure("actions of the crowd", life.actions),
        Figure("whole journeys of the crowd", life.journeys),
        Figure("networks reported as added", len(promised.networks)),
        Figure("runs reported as started", len(promised.runs)),
        Figure("of these done in the end", len(promised.models)),
        Figure("lost, changed or half-written", len(problems), "", "<= 0", "; ".join(sorted(set(problems))[:3])),
    ]
    how = f"{__doc__.splitlines()[0]} {asked.sessions} sessions at the same time, seed {asked.seed}."
    keep("tests.soak.kills", how, figures, store=asked.store)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
