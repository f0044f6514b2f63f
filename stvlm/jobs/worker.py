"""The process that works on one run: `python -m stvlm.jobs.worker RUN_DIR`."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stvlm import __version__
from stvlm.jobs import api
from stvlm.jobs.api import read_rows
from stvlm.jobs.backend import as_settings
from stvlm.jobs.run import RunSpec
from stvlm.jobs.status_writer import StatusWriter
from stvlm.runtime import environment
from stvlm.runtime.atomic import write_atomic
from stvlm.workspace.paths import workspace

KEPT = ("step", "phase", "loss", "val_mae", "anchor_val_mae", "best_val_mae", "seconds")  # of a FitStep, in a row of losses.jsonl
SHOWN = (*KEPT, "total", "eta_seconds", "message")  # of a FitStep, in the status

Runner = Callable[[RunSpec, Path, str], Iterator[Any]]
POLL_SECONDS, LONGEST_SECONDS = 0.3, 3.0  # between two looks at the queue: for the next in it, and for those far behind


def fit_run(spec: RunSpec, folder: Path, device: str) -> Iterator[Any]:
    """The steps of a run of the kind "fit"; the last one leaves the model in the run's folder.

    Args:
        spec: what to do. folder: of the run. device: the one that was taken.
    """
    from stvlm.training.fit import FitConfig, fit

    if device.startswith("cuda"):
        import torch

        torch.cuda.set_device(device)  # the settings stay as they were asked for: a checkpoint belongs to them
    for step in fit(load_data(spec), FitConfig(**as_settings(spec.config)), checkpoint=folder / "checkpoint"):
        if step.model is not None:
            made = {"run": folder.name, "spec": spec.model_dump(mode="json"), "fixes": fixes_of(spec), "command_line": sys.argv}
            step.model.save(folder / "model", step.model.manifest | made)
        yield step


def load_data(spec: RunSpec) -> Any:
    """The SensorSeries that a run is about."""
    if spec.data.sample is not None:
        from stvlm.datasets.samples import load_sample

        return load_sample(spec.data.sample)
    from stvlm.io.store import load_series

    return load_series(workspace() / "datasets" / str(spec.data.dataset))


def fixes_of(spec: RunSpec) -> list[str]:
    """Names of the fixes that were applied when the data set was uploaded."""
    card = workspace() / "datasets" / f"{spec.data.dataset}.json"
    return json.loads(card.read_text(encoding="utf-8")).get("fixes", []) if spec.data.dataset and card.is_file() else []


def main(arguments: list[str], runner: Runner = fit_run) -> int:
    """Work on the run in the folder that is the only argument; `runner` gives its steps.

    Returns:
        0 when the run ended as it should or was cancelled, 1 when it failed, 2 for wrong arguments.
    """
    if len(arguments) != 1 or not (Path(arguments[0]) / "spec.json").exists():
        print("usage: python -m stvlm.jobs.worker RUN_DIR", file=sys.stderr)
        return 2
    folder = Path(arguments[0]).absolute()
    os.environ["STVLM_HOME"] = str(folder.parents[1])
    signal.signal(signal.SIGTERM, _terminated)
    try:
        with FileLock(folder / "run.lock", timeout=0):  # two workers never write into one run
            return _work(folder, runner)
    except Timeout:
        print("This run has a worker already.", file=sys.stderr)
        return 1


def _work(folder: Path, runner: Runner) -> int:
    spec = RunSpec.model_validate_json((folder / "spec.json").read_text(encoding="utf-8"))
    _tidy(folder)
    with StatusWriter(folder) as report:
        device, lock = take_device(report, report.devices)
        with lock:
            report.update(state="running", device=device, ahead=None, started=time.time(), message="Loads the data and the model.")
            write_atomic(folder / "manifest.json", _manifest(spec, folder, device), durable=True)
            _follow(runner(spec, folder, device), report)
    if report.state == "done":  # the model is whole: nothing is left to resume
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return 0


def _tidy(folder: Path) -> None:
    """Take away what a killed worker was just writing."""
    for path in (*folder.glob(".saving-*"), *folder.glob(".*.tmp")):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _manifest(spec: RunSpec, folder: Path, device: str) -> dict[str, Any]:
    """What works on the run, and on what; of the worker that started last."""
    key = json.loads((folder / "status.json").read_text(encoding="utf-8")).get("key", "")
    versions = {name: version(name) for name in ("torch", "transformers", "peft", "numpy")}
    return {
        "run": folder.name, "key": key, "spec": spec.model_dump(mode="json"), "fixes": fixes_of(spec), "command_line": sys.argv,
        "host": socket.gethostname(), "device": device, "pid": os.getpid(), "started": time.time(),
        "versions": versions | {"stvlm": __version__, "python": platform.python_version()},
    }  # fmt: skip


def _follow(steps: Iterator[Any], report: StatusWriter) -> None:
    """Write down one step after another, until the last or until the run is cancelled."""
    path = report.folder / "losses.jsonl"
    is_cut = False
    for step in steps:
        row = {name: _number(getattr(step, name)) for name in KEPT}
        if getattr(step, "ranks", None):
            row["ranks"] = step.ranks
        if row["loss"] is not None or row["val_mae"] is not None:  # else it tells of no score: data, anchor
            if not is_cut:  # a resumed run does again what came after its checkpoint
                _cut_rows(path, row["step"])
                is_cut = True
            with path.open("a", encoding="utf-8") as rows:
                rows.write(json.dumps(row) + "\n")
        report.update(**{name: _number(getattr(step, name)) for name in SHOWN})
        report.check()


def _cut_rows(path: Path, step: int) -> None:
    """Drop the rows from `step` on."""
    kept = [row for row in read_rows(path) if row["step"] < step]
    part = path.with_name(f".{path.name}.tmp")
    part.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    part.replace(path)  # in one step: a kill between the two loses no row


def _terminated(*_: Any) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def _number(value: Any) -> Any:
    """JSON has no NaN: what is not finite becomes null."""
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


def take_device(report: StatusWriter, devices: tuple[str, ...]) -> tuple[str, AbstractContextManager]:
    """Wait until no earlier run waits for one of the devices, and one of them is free.

    The lock belongs to the process: when it ends, however that happens, the device is free.

    Args:
        report: of the run, which is told its place. devices: those that it may get.

    Returns:
        The device, and its lock, held until the context is left or the process ends.

    Raises:
        Cancelled: meanwhile it was asked to end.
    """
    locks = workspace() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    while True:
        report.check()
        waiting, working = before(report.folder.name, devices)
        for device in devices if waiting == 0 else ():
            try:
                return device, FileLock(locks / f"{re.sub(r'[^a-z0-9]', '-', device)}.lock").acquire(timeout=0)
            except Timeout:
                continue
        ahead = waiting + working
        report.update(ahead=ahead, message=f"Waits for {' or '.join(devices)}: {ahead} before it.")
        time.sleep(min(POLL_SECONDS * max(ahead, 1), LONGEST_SECONDS))


def before(run_id: str, devices: tuple[str, ...]) -> tuple[int, int]:
    """How many runs go before this one on its devices: those that wait since longer, those at work."""
    own = api.status(run_id)
    others = [run for run in api.list_runs() if run.is_live and run.run_id != run_id and run.spec.backend == own.spec.backend]
    rivals = [run for run in others if set(run.device.split(",")) & set(devices)]
    waiting = [run for run in rivals if run.state == "queued"]
    earlier = sum((run.queued, run.run_id) < (own.queued, own.run_id) for run in waiting)
    return earlier, len(rivals) - len(waiting)


if __name__ == "__main__":
    environment.prepare()
    sys.exit(main(sys.argv[1:]))
