"""Threads that wait for each other spin nowhere: a busy second core must not make the work many times slower."""

import os
import subprocess
import sys


def variables(*code: str, **given: str) -> list[str]:
    names = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OPENBLAS_NUM_THREADS"
    environment = {k: v for k, v in os.environ.items() if k not in names} | given
    show = f"import os; print(*(os.environ[name] for name in {names}))"
    done = subprocess.run(
        [sys.executable, "-c", "; ".join((*code, show))], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_the_program_and_its_benches_say_how_threads_wait_before_numpy_is_loaded_and_keep_what_was_said_outside():
    before_numpy = "import sys, stvlm, benchmarks; assert 'numpy' not in sys.modules"
    assert variables(before_numpy) == ["PASSIVE", "10000", "1"]
    assert variables(before_numpy, OMP_WAIT_POLICY="ACTIVE", OPENBLAS_NUM_THREADS="4") == ["ACTIVE", "10000", "4"]
