"""kill -9 at any step, then resume: as if it had never been stopped, bit by bit."""

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT


@pytest.mark.slow
def test_a_worker_killed_at_random_ends_as_one_never_stopped():
    command = [sys.executable, "-m", "tests.soak.resume", "--rounds", "2", "--tunings", "adalora", "--steps", "16", "--seed", "4"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "2 of 2 rounds equal to a run never stopped, bit by bit" in made.stdout
