"""Hostile files are refused, or read for what they are: within five seconds and one gigabyte, in words that a user can follow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.hostile.cases import fill
from tests.support.paths import ROOT

CASES = fill()
MOST_SECONDS = 5.0  # of the processor, which another load on the machine does not change


@pytest.fixture(scope="session")
def results(request, tmp_path_factory) -> dict[str, dict]:
    """What became of each case asked for; workers of one test run share it."""
    here = [item for item in request.session.items if item.path == Path(__file__) and hasattr(item, "callspec")]
    names = list(dict.fromkeys(item.callspec.params["name"] for item in here))
    folder = tmp_path_factory.getbasetemp()
    kept = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "hostile_files.json"
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            kept.write_text(json.dumps(read_all(names)))
    return json.loads(kept.read_text())


def read_all(names: list[str]) -> dict[str, dict]:
    """Read the cases in one process under limits; where a case ends it, another begins behind that case."""
    found, waiting = {}, names
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    while waiting:
        command = [sys.executable, "-m", "tests.hostile.limits", *waiting]
        made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in made.stdout.splitlines()]
        found |= {line["name"]: line for line in lines}
        waiting = waiting[len(lines) :]
        if waiting:
            found[waiting[0]] = {"outcome": f"the process ended with {made.returncode}", "words": [made.stderr[-500:]]}
            waiting = waiting[1:]
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_is_refused_or_read_for_what_it_is(name, results):
    case, found = CASES[name], results[name]
    assert found["outcome"] == case.outcome, found["words"]
    assert any(case.words in line for line in found["words"]), found["words"]
    assert found["seconds"] < MOST_SECONDS
    assert found["peak"] < 1 << 30


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.outcome == "refused"])
def test_a_refusal_is_one_short_printable_line(name, results):
    for line in results[name]["words"]:
        assert line.isprintable()
        assert len(line) < 400
        assert "Traceback" not in line


def test_there_are_at_least_120_of_them():
    assert len(CASES) >= 120
