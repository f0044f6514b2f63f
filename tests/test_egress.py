"""Nothing leaves the machine: server, worker, helper process and command line, with the hub's variables unset."""

from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from stvlm.serving.helper_process import HelperProcess
from stvlm.ui.shell import layout
from tests.support.processes import guarded, ready, run, served
from tests.support.tab import Tab

pytestmark = pytest.mark.slow
SAMPLE = "irish_wind"
RUN = """
import time
from stvlm.jobs import api
from stvlm.jobs.run import DataSource, RunSpec
spec = RunSpec(data=DataSource(sample="irish_wind"), config={"max_steps": 1, "device": "cpu"})
run_id = api.submit(spec)
while api.status(run_id).is_live:
    time.sleep(0.2)
print(api.status(run_id).state)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The file that the guard writes to; it is not there as long as nobody reached for another host."""
    return tmp_path / "egress.txt"


def test_no_page_of_the_server_reaches_for_another_host(log, tmp_path):
    with served(guarded(log), tmp_path / "app.log") as address:
        with Tab(address) as tab:
            for name in layout.PAGES:
                tab.open("" if name == "home" else name, data=f"sample:{SAMPLE}")
                assert not list(tab.of("exception")), name
        with pytest.raises(InvalidStatus), Tab(address, origin="http://elsewhere.example"):
            pass
    assert not log.exists(), log.read_text()


def test_no_worker_reaches_for_another_host(log):
    done = run("-c", RUN, env=guarded(log))
    assert done.stdout.split()[-1:] == ["done"], done.stderr
    assert not log.exists(), log.read_text()


def test_the_helper_process_reaches_for_no_other_host(log, monkeypatch):
    for name, value in guarded(log).items():
        monkeypatch.setenv(name, value)
    beside = HelperProcess()
    try:
        ready(beside)
    finally:
        beside.close()
    assert not log.exists(), log.read_text()


TERMS = ("--lookback", "7", "--horizon", "3", "--split", "0.7,0.1,0.2")
VERBS = [
    ("validate", "--sensors", "s.csv", "--series", "r.csv"),
    ("forecast", "--sample", SAMPLE, "--model", "zero-shot", "--out", "forecast.csv"),
    ("explain", "--sample", SAMPLE, "--model", SAMPLE, "--out", "why.json"),
    ("fit", "--sample", SAMPLE, "--max-steps", "1", "--device", "cpu", "--out", "model"),
    ("backtest", "--sample", SAMPLE, *TERMS, "--models", "persistence", "--json", "scores.json"),
    ("benchmark", "--data", "sample_data", "--datasets", SAMPLE, "--models", "persistence", "--json", "benchmark.json"),
    ("pretrain", "--data", "sample_data", "--fields", "1", "--steps", "1", "--out", "weights"),
    ("backbones",),
]


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
def test_no_verb_reaches_for_another_host(log, tmp_path, small_files, words):
    for source, name in zip(small_files, ("s.csv", "r.csv"), strict=True):
        (tmp_path / name).write_bytes(Path(source).read_bytes())
    done = run("-m", "stvlm", *words, env=guarded(log), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not log.exists(), log.read_text()
