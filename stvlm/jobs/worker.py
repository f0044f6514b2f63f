"""The process that works on one run: `python -m stvlm.jobs.worker RUN_DIR`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from stvlm.jobs.local import as_settings, list_runs, read_rows, status
from stvlm.jobs.run import RunSpec, workspace, write_atomic

PULSE_SECONDS = 1.0
KEPT = ("step", "phase", "loss", "val_mae", "anchor_val_mae", "best_val_mae", "seconds")  # of a FitStep, in a row of losses.jsonl
SHOWN = (*KEPT, "total", "eta_seconds", "device", "message")  # of a FitStep, in the status

Runner = Callable[[RunSpec, Path, str], Iterator[Any]]


class Cancelled(Exception):  # noqa: N818  no error: it was asked for
    """The run was asked to end."""


class Report:
    """Writes the status of a run: the only writer while the worker lives.

    Used as a context: an exception that leaves it becomes the run's last word. A thread gives the sign of life, and writes
    what came too fast to be written at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "status.json"
        self._fields: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        self._written = 0.0
        self._is_behind = False
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def __enter__(self) -> Report:
        threading.Thread(target=self._pulse, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self._ended.set()
        done = {"eta_seconds": None, "ahead": None}
        if error is None:
            self.update(state="done", **done)
        elif isinstance(error, Cancelled):
            self.update(state="cancelled", message="Cancelled; the last checkpoint is kept.", **done)
            return True
        elif isinstance(error, Exception):
            self.update(state="failed", message=_in_words(error), **done)
        return False  # a signal leaves the status as it is: the run counts as lost and can be resumed

    @property
    def state(self) -> str:
        """As last written or to be written."""
        return self._fields["state"]

    def update(self, **fields: Any) -> None:
        """Change fields of the status; a change of progress alone is written at most five times a second."""
        with self._lock:
            urgent = "state" in fields
            self._fields |= fields
            self._is_behind = True
            if urgent or time.monotonic() - self._written > 0.2:
                self._write(durable=urgent)

    def check(self) -> None:
        """Raise Cancelled if the run was asked to end."""
        if (self.folder / "cancel").exists():
            raise Cancelled

    def _write(self, durable: bool) -> None:
        write_atomic(self._path, self._fields, durable)
        self._written, self._is_behind = time.monotonic(), False

    def _pulse(self) -> None:
        while not self._ended.wait(PULSE_SECONDS):
            with self._lock:
                if self._is_behind:
                    with suppress(OSError):  # a full disk: the next step meets it and says so
                        self._write(durable=False)
                os.utime(self._path, (time.time(), time.time()))


def fit_run(spec: RunSpec, folder: Path, device: str) -> Iterator[Any]:
    """The steps of a run of the kind "fit"; the last one leaves the model in the run's folder.

    Args:
        spec: what to do. folder: of the run. device: the one that was taken.
    """
    from stvlm.fit import FitConfig, fit

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
        from stvlm.data.samples import load_sample

        return load_sample(spec.data.sample)
    from stvlm.data.store import load_series

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
    with Report(folder) as report:
        device, lock = _take_device(report, _devices(str(spec.config.get("device", "auto"))))
        with lock:
            report.update(state="running", device=device, ahead=None, message="Loads the data and the model.")
            _follow(runner(spec, folder, device), report)
    if report.state == "done":  # the model is whole: nothing is left to resume
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return 0


def _follow(steps: Iterator[Any], report: Report) -> None:
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
    path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")


def _take_device(report: Report, devices: tuple[str, ...]) -> tuple[str, AbstractContextManager]:
    """Wait until no earlier run waits for one of the devices, and one of them is free.

    Returns:
        The device, and its lock, held until the context is left or the process ends.
    """
    locks = workspace() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    report.update(device=",".join(devices))
    while True:
        report.check()
        waiting, working = _before(report.folder.name, devices)
        for device in devices if waiting == 0 else ():
            try:
                return device, FileLock(locks / f"{re.sub(r'[^a-z0-9]', '-', device)}.lock").acquire(timeout=0)
            except Timeout:
                continue
        ahead = waiting + working
        report.update(ahead=ahead, message=f"Waits for {' or '.join(devices)}: {ahead} before it.")
        time.sleep(0.3)


def _before(run_id: str, devices: tuple[str, ...]) -> tuple[int, int]:
    """How many runs go before this one on its devices: those that wait since longer, those at work."""
    own = status(run_id)
    others = [run for run in list_runs() if run.is_live and run.run_id != run_id]
    # the device of a run just submitted is not known yet: it may be ours
    rivals = [run for run in others if not run.device or set(run.device.split(",")) & set(devices)]
    waiting = [run for run in rivals if run.state == "queued"]
    earlier = sum((run.queued, run.run_id) < (own.queued, own.run_id) for run in waiting)
    return earlier, len(rivals) - len(waiting)


def _devices(wanted: str) -> tuple[str, ...]:
    """The devices that a run may get, by torch's names: every GPU for "auto", else the one that was named."""
    if wanted == "cpu":
        return ("cpu",)
    import torch

    gpus = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    if wanted == "auto":
        return gpus or (("mps",) if torch.backends.mps.is_available() else ("cpu",))
    if wanted == "cuda":
        return gpus or ("cuda:0",)
    return (wanted,)


def _terminated(*_: Any) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def _number(value: Any) -> Any:
    """JSON has no NaN: what is not finite becomes null."""
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


def _in_words(error: Exception) -> str:
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, OSError):
        return f"A file cannot be read or written: {error}"
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
