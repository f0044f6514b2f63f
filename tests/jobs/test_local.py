"""Runs: nothing is lost, whoever is killed; one device, one run at a time; what is asked to end ends."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stvlm.jobs import api, local
from stvlm.jobs.backend import SILENT_SECONDS, checked_settings
from stvlm.jobs.run import RunError, RunSpec, run_folder
from stvlm.runtime.atomic import write_folder
from stvlm.workspace.paths import WorkspaceError
from tests.support.paths import ROOT
from tests.support.runs import LOCAL, WORKER, spec, wait

pytestmark = pytest.mark.usefixtures("end_workers")


def test_a_run_goes_from_queued_to_done_and_leaves_losses_a_log_and_a_model(home):
    run_id = LOCAL.submit(spec(5, title="Adds to 15"))
    assert api.status(run_id).state in ("queued", "running")
    run = wait(run_id, "done")
    assert (run.step, run.total, run.loss, run.device, run.title) == (5, 5, 15.0, "cpu", "Adds to 15")
    assert [row["loss"] for row in api.losses(run_id)] == [1, 3, 6, 10, 15]
    assert api.losses(run_id)[0]["val_mae"] is None  # JSON has no NaN
    assert json.loads((run.model_folder / "sum.json").read_text()) == 15
    assert api.logs(run_id) == ""
    local.end(local.worker_process(run_folder(run_id)), patience_seconds=5)
    assert not (run_folder(run_id) / "checkpoint").exists()
    assert [path.name for path in run_folder(run_id).iterdir() if path.name.startswith(".")] == []


def test_the_real_worker_trains_on_an_upload_and_leaves_a_model_that_loads(home, small_series):
    from stvlm.io.store import save_series
    from stvlm.model.stvlm import STVLM

    (home / "datasets").mkdir(parents=True)
    save_series(small_series, home / "datasets" / "0123abcd")
    (home / "datasets" / "0123abcd.json").write_text('{"fixes": ["sort-times"]}')
    config = {"lookback": 12, "horizon": 3, "split": (0.6, 0.2, 0.2), "max_steps": 2, "device": "cpu", "seed": 4}
    run_id = api.submit(RunSpec(data={"dataset": "0123abcd"}, config=config, threads=1))
    run = wait(run_id, "done", "failed", seconds=60)
    assert run.state == "done", run.message
    assert (run.phase, run.total, run.device) == ("done", 2, "cpu")  # it may stop early where nothing is learned
    assert run.best_val_mae <= run.anchor_val_mae
    assert [row["step"] for row in api.losses(run_id)][:2] == [0, 1]
    made = STVLM.load(run.model_folder).manifest
    assert (made["run"], made["fixes"], made["fit"]["seed"]) == (run_id, ["sort-times"], 4)
    assert made["data_sha256"] == small_series.fingerprint


def test_an_ended_worker_does_not_stay_a_zombie(home):
    run_id = LOCAL.submit(spec(1))
    pid = local.worker_process(run_folder(run_id)).pid
    wait(run_id, "done")
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        api.status(run_id)
        time.sleep(0.03)
    assert not psutil.pid_exists(pid)


def test_a_killed_worker_is_lost_and_the_resumed_run_ends_as_one_never_stopped(home):
    run_id = LOCAL.submit(spec(40))
    os.kill(wait(run_id, "running", step=8).pid, signal.SIGKILL)
    lost = wait(run_id, "lost", seconds=3)
    assert "resumed from its last checkpoint" in lost.message
    LOCAL.resume(run_id)
    run = wait(run_id, "done")
    assert run.loss == sum(range(41))
    assert [row["step"] for row in api.losses(run_id)] == list(range(1, 41))
    with pytest.raises(RunError, match="is done: there is nothing to resume"):
        LOCAL.resume(run_id)


def test_two_runs_take_turns_on_one_device_in_the_order_of_their_coming(home):
    first = LOCAL.submit(spec(30))
    second = LOCAL.submit(spec(2))
    wait(first, "running", step=1)
    waits = wait(second, "queued")
    while waits.ahead is None:
        waits = wait(second, "queued")
    assert waits.ahead == 1
    assert "Waits for cpu: 1 before it" in waits.message
    wait(second, "done")
    assert api.status(first).state == "done"
    assert [run.run_id for run in api.list_runs()] == [second, first]


def test_a_cancelled_run_ends_at_its_next_step_and_can_go_on_later(home):
    run_id = LOCAL.submit(spec(60))
    wait(run_id, "running", step=3)
    api.cancel(run_id)
    asked = api.status(run_id)
    assert asked.state in ("cancelling", "cancelled")
    run = wait(run_id, "cancelled")
    assert 3 <= run.step <= asked.step + 1
    LOCAL.resume(run_id)
    assert wait(run_id, "running", step=1).step >= run.step
    assert wait(run_id, "done").loss == sum(range(61))


def test_a_worker_that_does_not_answer_is_ended(home):
    run_id = LOCAL.submit(spec(5, seed=7))
    wait(run_id, "running", step=2)
    LOCAL.cancel(run_id, patience_seconds=0.3)
    assert wait(run_id, "cancelled", seconds=5).step == 2


def test_a_stopped_process_that_ignores_the_soft_signal_is_killed(home):
    run_id = LOCAL.submit(spec(60))
    pid = wait(run_id, "running", step=2).pid
    os.kill(pid, signal.SIGSTOP)
    LOCAL.cancel(run_id, patience_seconds=0.1)
    wait(run_id, "cancelled", seconds=8)
    assert not local.is_alive(local.worker_process(run_folder(run_id)))


def test_a_waiting_run_can_be_cancelled(home):
    first = LOCAL.submit(spec(60))
    second = LOCAL.submit(spec(2))
    wait(first, "running")
    api.cancel(second)
    assert wait(second, "cancelled", seconds=5).step == 0
    assert api.status(first).state == "running"


def test_a_run_that_fails_says_why_in_plain_words_and_the_log_has_the_rest(home):
    run_id = LOCAL.submit(spec(5, seed=13))
    run = wait(run_id, "failed")
    assert run.message == "Bad luck: lookback 12 is longer than the data."
    deadline = time.monotonic() + 30
    while "Traceback" not in api.logs(run_id) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "counting_worker.py" in api.logs(run_id)


def test_a_run_outlives_the_process_that_submitted_it_and_is_adopted(home):
    code = "import os\nfrom tests.support.runs import LOCAL, spec\nprint(LOCAL.submit(spec(30)), flush=True)\nos._exit(0)"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    run_id = made.stdout.strip()
    assert wait(run_id, "queued", "running").is_live
    assert wait(run_id, "done").loss == sum(range(31))


def test_the_same_wish_twice_is_two_runs_unless_dedupe_is_asked_for(home):
    first = LOCAL.submit(spec(1, title="a"))
    assert LOCAL.submit(spec(1, title="b"), dedupe=True) == first
    second = LOCAL.submit(spec(1))
    assert second != first
    assert len(api.list_runs()) == 2
    assert LOCAL.submit(spec(2), dedupe=True) not in (first, second)


def test_a_silent_worker_counts_as_lost_until_it_speaks_again(home):
    run_id = LOCAL.submit(spec(60))
    pid = wait(run_id, "running", step=1).pid
    os.kill(pid, signal.SIGSTOP)
    long_ago = time.time() - SILENT_SECONDS - 1
    os.utime(run_folder(run_id) / "status.json", (long_ago, long_ago))
    assert api.status(run_id).state == "lost"
    os.kill(pid, signal.SIGCONT)
    wait(run_id, "running", seconds=4)


def test_another_process_with_the_same_number_is_not_the_worker():
    own = psutil.Process()
    host = local.socket.gethostname()
    assert local.is_alive(local.WorkerProcess(own.pid, own.create_time(), host))
    assert not local.is_alive(local.WorkerProcess(own.pid, own.create_time() - 3600, host))


def test_a_second_worker_on_one_run_goes_away_and_harms_nothing(home):
    run_id = LOCAL.submit(spec(100_000))  # it is still at work when the second has started, however slowly
    wait(run_id, "running")
    second = subprocess.run(
        [*WORKER, str(run_folder(run_id))], capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": os.getcwd()}
    )
    assert second.returncode == 1
    assert "has a worker already" in second.stderr
    api.cancel(run_id)
    run = wait(run_id, "cancelled")
    assert run.loss == sum(range(run.step + 1))


def test_a_run_can_be_renamed_and_deleted_but_not_while_it_works(home):
    run_id = LOCAL.submit(spec(60))
    wait(run_id, "running")
    api.rename(run_id, "Wind, first try")
    with pytest.raises(RunError, match="cancel it first"):
        api.delete(run_id)
    api.cancel(run_id)
    wait(run_id, "cancelled")
    assert api.status(run_id).title == "Wind, first try"
    with pytest.raises(RunError, match="200"):
        api.rename(run_id, "x" * 201)
    deadline = time.monotonic() + 30
    while local.is_alive(local.worker_process(run_folder(run_id))) and time.monotonic() < deadline:
        time.sleep(0.03)
    api.delete(run_id)
    assert api.list_runs() == ()
    assert list((home / "runs").iterdir()) == []


@pytest.mark.parametrize("name", ["..", "../../etc", "ABCDEF012345", "0123456789a", "0123456789ab/..", "0123456789ab\n"])
def test_no_run_id_leads_out_of_the_workspace(home, name):
    for ask in (api.status, api.delete, api.cancel, api.resume, api.losses, api.logs):
        with pytest.raises(RunError, match="no run id"):
            ask(name)


def test_a_linked_folder_is_not_deleted(home, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (home / "runs").mkdir(parents=True)
    (home / "runs" / "0123456789ab").symlink_to(precious)
    with pytest.raises(RunError, match="There is no run"):
        api.delete("0123456789ab")
    assert precious.is_dir()


@pytest.mark.parametrize("data", [{}, {"sample": "a", "dataset": "b"}, {"sample": "../x"}, {"dataset": "/etc"}, {"sampl": "a"}])
def test_a_spec_names_one_source_of_data_by_a_plain_name(data):
    with pytest.raises(ValueError, match="data"):
        RunSpec(data=data)


def test_unknown_and_impossible_settings_are_refused_before_a_run_exists(home):
    with pytest.raises(RunError, match="Unknown settings: learning_rat, zeal"):
        LOCAL.submit(spec(1, zeal=9, learning_rat=1))
    assert api.list_runs() == ()


def test_a_workspace_that_cannot_be_made_is_a_clear_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STVLM_HOME", str(tmp_path / "file"))
    with pytest.raises(WorkspaceError, match=r"cannot be written: Not a directory.*STVLM_HOME"):
        LOCAL.submit(spec(1))


def test_a_full_disk_is_a_clear_error_and_leaves_no_half_run(home):
    checked_settings({})  # nothing is to be loaded, and so perhaps written, under the limit
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))  # no file may grow over 20 bytes
    try:
        with pytest.raises(WorkspaceError, match="cannot be written: File too large"):
            LOCAL.submit(spec(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert api.list_runs() == ()
    assert list((home / "runs").iterdir()) == []


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    def half(part: Path) -> None:
        (part / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    write_folder(tmp_path / "model", lambda part: (part / "config.json").write_text("old"))
    with pytest.raises(OSError, match="No space"):
        write_folder(tmp_path / "model", half)
    assert (tmp_path / "model" / "config.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_harmed_run_does_not_hide_the_others(home):
    good = LOCAL.submit(spec(1))
    (home / "runs" / "0123456789ab").mkdir()
    (home / "runs" / "0123456789ab" / "spec.json").write_text("{")
    (home / "runs" / "0123456789ab" / "status.json").write_text("{")
    assert [run.run_id for run in api.list_runs()] == [good]
    (home / "runs" / "0123456789ab" / "spec.json").write_text((home / "runs" / good / "spec.json").read_text())
    for harmed in ("[]", "null", "7", "[" * 100_000):
        (home / "runs" / "0123456789ab" / "status.json").write_text(harmed)
        assert [run.run_id for run in api.list_runs()] == [good]
    (home / "runs" / "ba9876543210").write_text("a file in the place of a folder")
    assert [run.run_id for run in api.list_runs()] == [good]
    api.delete("0123456789ab")
    assert not (home / "runs" / "0123456789ab").exists()


def test_unchanged_runs_are_not_read_again_and_each_change_is_seen_at_once(home, json_reads):
    run_id = LOCAL.submit(spec(1))
    wait(run_id, "done")
    seen = api.list_runs()
    json_reads.clear()
    assert api.list_runs() == seen
    assert json_reads == []
    second = LOCAL.submit(spec(400))
    assert [run.run_id for run in api.list_runs()] == [second, run_id]
    wait(second, "running", step=2)
    assert next(run for run in api.list_runs() if run.run_id == second).step >= 2
    api.cancel(second)
    wait(second, "cancelled")
    assert [run.state for run in api.list_runs()] == ["cancelled", "done"]
    api.rename(run_id, "the first")
    assert [run.title for run in api.list_runs() if run.run_id == run_id] == ["the first"]
    json_reads.clear()
    assert len(api.list_runs()) == 2
    assert json_reads == []
    api.delete(run_id)
    assert [run.run_id for run in api.list_runs()] == [second]
