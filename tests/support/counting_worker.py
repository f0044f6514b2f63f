"""A worker for the tests of jobs: it adds up the numbers from 1 to max_steps, slowly, with a checkpoint after each."""

import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stvlm.jobs.run import RunSpec
from stvlm.jobs.worker import main
from stvlm.runtime.atomic import write_atomic, write_folder

PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Step:
    """What a FitStep shows."""

    step: int
    total: int
    loss: float
    val_mae: float
    device: str
    anchor_val_mae: float = 100.0
    best_val_mae: float = 1.0
    phase: str = "train"
    seconds: float = 0.0
    eta_seconds: float | None = None
    message: str = "adds"


def add_up(spec: RunSpec, folder: Path, device: str) -> Iterator[Step]:
    """The loss is the sum so far; seed 13 brings bad luck at step 3, seed 7 a step that takes a minute, 28 and 29 a full disk."""
    checkpoint, total = folder / "checkpoint" / "sum.json", spec.config["max_steps"]
    step, loss = json.loads(checkpoint.read_text()) if checkpoint.exists() else (0, 0.0)
    while step < total:
        time.sleep(60 if spec.config.get("seed") == 7 and step == 2 else PAUSE_SECONDS)
        step, loss = step + 1, loss + step + 1
        if spec.config.get("seed") == 13 and step == 3:
            raise ValueError("Bad luck: lookback 12 is longer than the data.")
        checkpoint.parent.mkdir(exist_ok=True)
        if spec.config.get("seed") in (28, 29) and step == 3 and not (folder / "big").exists():
            if spec.config["seed"] == 29:  # where no small disk can be mounted
                resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            (folder / "big").write_bytes(bytes(10_000_000))
        write_atomic(checkpoint, [step, loss])
        if step == total:
            write_folder(folder / "model", lambda part, loss=loss: write_atomic(part / "sum.json", loss))
        left = PAUSE_SECONDS * (total - step)
        yield Step(step, total, loss, float("nan") if step == 1 else loss, device, eta_seconds=left)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], runner=add_up))
