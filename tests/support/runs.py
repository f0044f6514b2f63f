"""Runs whose worker only counts."""

import sys
import time
from pathlib import Path

import pytest

from stvlm.jobs import api
from stvlm.jobs.local import LocalBackend
from stvlm.jobs.run import RunSpec, RunStatus

WORKER = (sys.executable, str(Path(__file__).with_name("counting_worker.py")))
LOCAL = LocalBackend(WORKER)


def spec(steps: int = 5, title: str = "", **config) -> RunSpec:
    """A run of so many steps; `config` overrides its settings."""
    return RunSpec(title=title, data={"sample": "irish_wind"}, config={"device": "cpu", "max_steps": steps, **config})


def wait(run_id: str, *states: str, step: int = 0, seconds: float = 60) -> RunStatus:
    """The run once it is in one of these states, at this step or later; the test fails where it never is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        run = api.status(run_id)
        if run.state in states and run.step >= step:
            return run
        time.sleep(0.03)
    pytest.fail(f"{run} after {seconds} s, not {states}; log:\n{api.logs(run_id)}")
