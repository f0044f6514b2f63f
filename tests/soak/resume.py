"""kill -9 at any step, then resume: the same losses and the same weights as a run that was never stopped, bit by bit (on a CPU).

    python -m tests.soak.resume --rounds 20

Each round is a run of the real worker on a small made-up network. It is killed once or twice, at a random step and a random moment
of that step, and resumed; then every row of its losses and every byte of its weights is compared with those of the run never
stopped. The rounds take turns among the ways of fine-tuning, so that ranks that move are there too. Libraries are loaded once and
each worker is a fork, so that a round takes seconds.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.io.store import save_series
from stvlm.jobs import api, worker
from stvlm.jobs.run import RunSpec, make_run_id, run_folder
from stvlm.runtime.atomic import write_atomic
from stvlm.training import fit

TUNINGS = ("adalora", "full", "adaptive", "lora")
CHECKPOINT_EVERY = 5


def main(arguments: list[str]) -> int:
    """Run the rounds; 0 when all were equal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--tunings", type=lambda text: text.split(","), default=TUNINGS)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    chance = random.Random(asked.seed)
    fit.CHECKPOINT_EVERY = CHECKPOINT_EVERY
    with tempfile.TemporaryDirectory() as home:
        os.environ["STVLM_HOME"] = home
        save_network(Path(home))
        whole: dict[str, dict] = {}
        equal = kills = 0
        for i in range(asked.rounds):
            tuning = asked.tunings[i % len(asked.tunings)]
            if tuning not in whole:
                whole[tuning] = result(run(tuning, asked.steps, [], chance)[0])
            run_id, killed = run(tuning, asked.steps, sorted(chance.choices(range(asked.steps), k=chance.choice((1, 2)))), chance)
            same = {name: result(run_id)[name] == value for name, value in whole[tuning].items()}
            equal += all(same.values())
            kills += len(killed)
            print(f"round {i + 1}: {tuning}, killed at steps {killed}: {same}", flush=True)
    print(f"{equal} of {asked.rounds} rounds equal to a run never stopped, bit by bit; {kills} kills.")
    return 0 if equal == asked.rounds else 1


def run(tuning: str, steps: int, kill_at: list[int], chance: random.Random) -> tuple[str, list[int]]:
    """One run to its end, killed at some steps on the way.

    Args:
        tuning: how. steps: of training. kill_at: rows of losses after which the worker is killed. chance: for the moment.

    Returns:
        The run's id, and the steps at which it was really killed.
    """
    config = {
        "lookback": 12, "horizon": 3, "max_steps": steps, "batch_size": 4, "tuning": tuning, "rank": 2, "device": "cpu",
        "min_gain": -1.0, "seasons_minutes": [],
    }  # fmt: skip
    run_id, killed = make_run_id(), []
    folder = run_folder(run_id)
    folder.mkdir(parents=True)
    write_atomic(folder / "spec.json", RunSpec(data={"dataset": "small"}, config=config))
    for row in (*kill_at, None):
        write_atomic(folder / "status.json", {"state": "queued", "created": 0.0, "queued": 0.0, "device": "cpu"})
        pid = os.fork()
        if pid == 0:
            os._exit(worker.main([str(folder)]))
        if row is not None and wait_for_row(run_id, row, pid):
            time.sleep(chance.random() * 0.1)
            os.kill(pid, signal.SIGKILL)
            killed.append(len(api.losses(run_id)))
        if os.waitpid(pid, 0)[1] == 0:
            break
    assert api.status(run_id).state == "done", api.status(run_id)
    return run_id, killed


def wait_for_row(run_id: str, row: int, pid: int) -> bool:
    """Wait until the losses have so many rows; False where the worker ended before."""
    while len(api.losses(run_id)) < row:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(0.005)
    return True


def result(run_id: str) -> dict[str, object]:
    """All that a run leaves but its times: the rows of its losses, and the bytes of its weights."""
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in api.losses(run_id)]
    model = api.status(run_id).model_folder
    return {"losses": rows} | {path.name: path.read_bytes() for path in sorted(model.glob("*.safetensors"))}


def save_network(home: Path) -> None:
    """Five made-up sensors, ten days by the hour, as a data set of the workspace."""
    chance = np.random.default_rng(3)
    hours = np.arange(240)
    network = SensorNetwork(tuple("abcde"), 48 + chance.random(5), 2 + chance.random(5))
    wave = 8 * np.sin(2 * np.pi * hours[:, None] / 24 + np.arange(5))
    values = (30 + wave + chance.normal(0, 1.5, (240, 5))).astype("f4")
    values[chance.random(values.shape) < 0.02] = np.nan
    times = np.datetime64("2026-01-05T00:00:00") + hours * np.timedelta64(1, "h")
    (home / "datasets").mkdir(parents=True)
    save_series(SensorSeries(network, times, values, quantity="level", unit="m"), home / "datasets" / "small")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
