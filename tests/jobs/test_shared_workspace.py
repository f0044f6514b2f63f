"""The workspace of runs: several servers share it, it may be full or read-only, and nothing is lost."""

import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from stvlm.jobs import api, local
from stvlm.jobs.backend import checked_settings
from stvlm.jobs.run import RunError, run_folder
from stvlm.jobs.status_writer import GRACE_SECONDS, PULSE_SECONDS, in_words
from stvlm.training import checkpoint as checkpoints
from stvlm.workspace.paths import WorkspaceError
from tests.support.runs import LOCAL, spec, wait

pytestmark = pytest.mark.usefixtures("end_workers")


def test_ten_runs_of_two_servers_for_one_device_are_done_in_order(home):
    checked_settings({})  # brings torch once, not in each server
    servers = []
    for server in "ab":
        servers.append(os.fork())
        if servers[-1] == 0:
            for i in range(5):
                LOCAL.submit(spec(2, title=f"{server}{i}"))
            os._exit(0)
    assert [os.waitpid(server, 0)[1] for server in servers] == [0, 0]
    runs = sorted((wait(run.run_id, "done", seconds=120) for run in api.list_runs()), key=lambda run: run.queued)
    assert sorted(run.title for run in runs) == [f"{server}{i}" for server in "ab" for i in range(5)]
    assert [run.title for run in runs if run.title[0] == "a"] == [f"a{i}" for i in range(5)]
    assert {run.loss for run in runs} == {3.0}
    for earlier, later in pairwise(runs):
        assert earlier.ended <= later.started


def test_a_run_tells_its_times_its_memory_its_key_and_what_worked_on_it(home):
    run_id = LOCAL.submit(spec(2))
    run = wait(run_id, "done")
    assert run.created <= run.started < run.ended <= time.time()
    assert 10 < run.memory_mb < 1000
    assert run.device_memory_mb is None
    made = json.loads((run_folder(run_id) / "manifest.json").read_text())
    assert (made["run"], made["key"], made["device"], made["host"]) == (run_id, run.key, "cpu", local.socket.gethostname())
    assert {"torch", "python", "stvlm"} <= made["versions"].keys()


def test_a_default_that_is_spelt_out_is_the_same_wish(home):
    first = LOCAL.submit(spec(1))
    assert LOCAL.submit(spec(1, lookback=12, split=(0.6, 0.2, 0.2)), dedupe=True) == first
    assert LOCAL.submit(spec(1, seed=1), dedupe=True) != first


def test_a_step_that_takes_too_long_is_cancelled_by_whoever_asks(home):
    run_id = LOCAL.submit(spec(5, seed=7))
    wait(run_id, "running", step=2)
    asked = time.time()
    (run_folder(run_id) / "cancel").touch()  # another server asks, and has no other hold of the worker
    run = wait(run_id, "cancelled")
    assert run.message == "Cancelled in the middle of a step; the last checkpoint is kept."
    assert GRACE_SECONDS + PULSE_SECONDS < 3
    assert run.ended - asked < 30  # the step alone takes 60 s; a busy machine takes longer than the bound above
    LOCAL.resume(run_id)
    assert wait(run_id, "running", step=2).step == 2


def test_a_waiting_run_whose_worker_vanished_is_adopted_and_keeps_its_place(home):
    first, second, third = (LOCAL.submit(spec(40 if i == 0 else 1)) for i in range(3))
    wait(first, "running", step=1)
    os.kill(api.status(second).pid, signal.SIGKILL)
    assert wait(second, "lost").message.startswith("The worker ended without a last word")
    assert sorted(LOCAL.adopt()) == sorted([first, second, third])
    assert wait(second, "done").started < wait(third, "done").started
    assert LOCAL.adopt() == ()


def test_two_servers_that_resume_one_run_start_one_worker(home):
    run_id = LOCAL.submit(spec(20))
    os.kill(wait(run_id, "running", step=2).pid, signal.SIGKILL)
    wait(run_id, "lost")

    def resume(_: int) -> str:
        try:
            return LOCAL.resume(run_id) or ""
        except RunError as error:
            return str(error)

    with ThreadPoolExecutor(2) as threads:
        told = sorted(threads.map(resume, range(2)))
    assert told[0] == ""
    assert "there is nothing to resume" in told[1]
    assert wait(run_id, "done").loss == 210


def test_a_full_quota_is_said_in_plain_words_and_deletes_nothing(home, monkeypatch):
    run_id = LOCAL.submit(spec(1, title="Wind"))
    wait(run_id, "done")
    monkeypatch.setenv("STVLM_MAX_RUNS", "1")
    with pytest.raises(RunError, match=r"no room for another run: 1 of at most 1 are kept\. Delete one.*'Wind' \(done\)"):
        LOCAL.submit(spec(2))
    assert LOCAL.submit(spec(1), dedupe=True) == run_id  # it needs no room
    monkeypatch.setenv("STVLM_MAX_RUNS", "9")
    monkeypatch.setenv("STVLM_MAX_GB", "1e-6")
    with pytest.raises(RunError, match="of the 1e-06 GB allowed"):
        LOCAL.submit(spec(2))
    assert [run.run_id for run in api.list_runs()] == [run_id]
    api.delete(run_id)
    LOCAL.submit(spec(2))


@pytest.mark.parametrize("seed", [28, 29], ids=["a small disk", "a limit on files"])
def test_a_full_disk_fails_the_run_in_plain_words_and_it_goes_on_with_room(home, tmp_path, seed):
    home.mkdir()
    is_small = seed == 28 and os.geteuid() == 0 and shutil.which("mount") is not None
    if is_small:
        is_small = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(home)], check=False).returncode == 0
    if seed == 28 and not is_small:
        pytest.skip("A small disk cannot be mounted here.")
    try:
        run_id = LOCAL.submit(spec(6, seed=seed))
        run = wait(run_id, "failed")
        assert run.message == "The disk is full: free some room and resume; the last checkpoint is kept."
        assert run.step == 2
        if is_small:
            with pytest.raises(WorkspaceError, match="cannot be written: No space left on device"):
                LOCAL.submit(spec(1))
            assert [run.run_id for run in api.list_runs()] == [run_id]
        (run_folder(run_id) / "big").write_bytes(b"")
        LOCAL.resume(run_id)
        assert wait(run_id, "done").loss == 21
        LOCAL.end(run_folder(run_id), 5)
    finally:
        if is_small:
            subprocess.run(["umount", "-l", str(home)], check=True)


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path):
    before = checkpoints.State({"w": torch.arange(9.0)}, {"step": 25})
    checkpoints.write(tmp_path, before)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            checkpoints.write(tmp_path, checkpoints.State({"w": torch.ones(9999)}, {"step": 50}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert in_words(caught.value) == "The disk is full: free some room and resume; the last checkpoint is kept."
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000025"]
    torch.testing.assert_close(checkpoints.read(tmp_path).tensors["w"], before.tensors["w"])


def test_a_read_only_workspace_can_be_read_and_every_change_is_one_line(monkeypatch):
    with tempfile.TemporaryDirectory() as place:
        monkeypatch.setenv("STVLM_HOME", place)
        run_id = LOCAL.submit(spec(1, title="Wind"))
        cancelled = LOCAL.submit(spec(60))
        wait(run_id, "done")
        wait(cancelled, "running", step=1)
        api.cancel(cancelled)
        wait(cancelled, "cancelled")
        LOCAL.end(run_folder(cancelled), 5)
        was = os.geteuid()
        for path in (Path(place), *Path(place).rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            if was == 0:
                os.seteuid(65534)  # root may write anywhere
            assert {run.state for run in api.list_runs()} == {"done", "cancelled"}
            for change in (lambda: LOCAL.submit(spec(2)), lambda: api.resume(cancelled), lambda: api.delete(run_id)):
                with pytest.raises(WorkspaceError, match=r"cannot be written: Permission denied.*STVLM_HOME"):
                    change()
            with pytest.raises(WorkspaceError, match="cannot be written"):
                api.rename(run_id, "x")
        finally:
            os.seteuid(was)
            for path in (Path(place), *Path(place).rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
        assert api.status(run_id).title == "Wind"
        assert (api.status(run_id).model_folder / "sum.json").exists()
