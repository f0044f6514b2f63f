"""What processes of this program set before libraries read it: how threads wait, no model hub, no import from the current folder."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from stvlm.io.read import InputFiles
from stvlm.io.sandbox import read_uploads
from stvlm.jobs.local import WORKER
from stvlm.model import backbone as backbones
from stvlm.runtime import environment
from stvlm.runtime.subprocess import run_apart, start
from stvlm.serving.helper_process import HelperProcess
from tests.hostile.doors import SENSORS
from tests.support.processes import fresh, guarded, ready, run

SHADOWS = ("resource", "json", "socket", "tempfile", "selectors", "pathlib", "numpy")  # what our processes import


def after(code: str, **given: str) -> dict[str, str]:
    """The variables of a process after some code."""
    done = run("-c", f"{code}\nimport os, json; print(json.dumps(dict(os.environ)))", env=fresh(**given), check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_the_package_changes_no_variable():
    assert after("import stvlm") == after("pass")


@pytest.mark.parametrize("entry", ["import benchmarks", "import experiments", "import app"])
def test_how_threads_wait_is_set_before_numpy_is_loaded_unless_set_outside(entry):
    watch = "import builtins, os, sys\nload = builtins.__import__\ndef find(name, *more):\n    "
    watch += "assert not name.startswith('numpy') or os.environ['OPENBLAS_NUM_THREADS']\n    return load(name, *more)\n"
    names = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OPENBLAS_NUM_THREADS"
    made = after(f"{watch}builtins.__import__ = find\n{entry}")
    assert made["HF_HUB_OFFLINE"] == "1"
    assert [made[name] for name in names] == ["PASSIVE", "10000", "1"]
    made = after(entry, OMP_WAIT_POLICY="ACTIVE", OPENBLAS_NUM_THREADS="4")
    assert [made[name] for name in names] == ["ACTIVE", "10000", "4"]


@pytest.mark.parametrize(
    ("given", "offline"),
    [
        ({}, "1"),
        ({"HF_HUB_OFFLINE": "0"}, "1"),
        ({"STVLM_HUB": "offline", "HF_HUB_OFFLINE": "0"}, "1"),
        ({"STVLM_HUB": "online"}, None),
        ({"STVLM_HUB": "online", "HF_HUB_OFFLINE": "1"}, "1"),
        ({"STVLM_HUB": "yes please"}, "1"),
    ],
)
def test_the_model_hub_is_off_unless_the_operator_says_online(given, offline):
    assert after("from stvlm.runtime.environment import prepare; prepare()", **given).get("HF_HUB_OFFLINE") == offline


def test_a_program_that_only_imports_ours_asks_no_hub_either(tmp_path):
    code = "from stvlm.model import backbone as b; b.load('tiny'); b.available(); print(b.loading.hub.HF_HUB_OFFLINE)"
    done = run("-c", code, env=guarded(tmp_path / "egress.txt"))
    assert done.stdout.split() == ["False"], done.stderr  # the switch is as that program left it
    assert not (tmp_path / "egress.txt").exists()


def test_the_guard_notices_who_asks_a_hub(tmp_path):
    code = "import stvlm.runtime.environment as e; e.hub_is_online = lambda: True\n"
    code += (
        "from transformers.utils import cached_file; cached_file('evil/beacon', 'x', _raise_exceptions_for_connection_errors=False)"
    )
    run("-c", code, env=guarded(tmp_path / "egress.txt"))
    assert "huggingface.co" in (tmp_path / "egress.txt").read_text()


def test_a_base_that_is_nowhere_names_the_setting_that_would_ask_for_it():
    with pytest.raises(backbones.BackboneError, match=r"is not here.*model hubs are switched off \(STVLM_HUB=online\)"):
        backbones.load("evil/beacon")


def page_bytes(report) -> int:
    import resource

    return resource.getpagesize()


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """The current folder is a stranger's: each of its files has the name of a module, and leaves a trace when it is imported."""
    folder, traces = tmp_path / "folder", tmp_path / "traces"
    folder.mkdir()
    traces.mkdir()
    for name in SHADOWS:
        (folder / f"{name}.py").write_text(f"open({str(traces / name)!r}, 'w').close()\nraise ImportError({name!r})\n")
    monkeypatch.chdir(folder)
    return traces


def parquet() -> bytes:
    times = pd.date_range("2020-01-01", periods=3, freq="h", name="timestamp")
    return pd.DataFrame({"01": [1.0, 2, 3], "02": [4, 5, 6], "NA": [7.0, 8, 9]}, index=times).to_parquet()


def test_no_child_imports_from_the_current_folder(trap, home):
    files = read_uploads(InputFiles(("s.csv", SENSORS), ("r.parquet", parquet())))
    assert files.readings["01"].tolist() == [1, 2, 3]
    beside = HelperProcess()
    try:
        ready(beside)
    finally:
        beside.close()
    assert run_apart(page_bytes, report=print) >= 4096
    assert start(WORKER, stderr=subprocess.DEVNULL).wait(60) == 2  # it says how it is used
    assert list(trap.iterdir()) == []


def test_the_command_line_imports_nothing_from_the_current_folder(trap, small_files):
    sensors, readings = (Path(name).read_bytes() for name in small_files)
    Path("s.csv").write_bytes(sensors)
    Path("r.csv").write_bytes(readings)
    done = run("-m", "stvlm", "validate", "--sensors", "s.csv", "--series", "r.csv")
    assert (done.returncode, list(trap.iterdir())) == (0, []), done.stderr


def test_the_folders_of_the_operator_are_found_by_a_child_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("STVLM_HOME", "STVLM_CACHE", "STVLM_BACKBONES", "HF_HOME"):
        monkeypatch.setenv(name, "here")
    code = "import os; print(*(os.environ[n] for n in ('STVLM_HOME', 'STVLM_CACHE', 'STVLM_BACKBONES', 'HF_HOME')), os.getcwd())"
    child = start(("python", "-c", code), stdout=subprocess.PIPE, text=True)
    assert child.communicate(timeout=60)[0].split() == [str(tmp_path / "here")] * 4 + [environment.ROOT]
