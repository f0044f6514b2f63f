"""The workspace has bounds: what nobody needs makes room by itself, what a network needs stays, and a refusal says what to do."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from stvlm.io.source import InputError
from stvlm.io.store import load_series
from stvlm.jobs.run import DataSource, RunError, RunSpec, RunStatus, check_quota, run_folder
from stvlm.runtime.atomic import write_atomic
from stvlm.ui import prompts, train
from stvlm.ui.services import networks, uploads
from stvlm.ui.shell import view_state
from stvlm.workspace import quota
from stvlm.workspace.paths import workspace


@pytest.fixture(autouse=True)
def _fresh(home):
    view_state.store("uploads", ())
    yield
    view_state.store("uploads", ())


def bring(word: str, size: int = 10) -> str:
    return uploads.hold({"sensors": (f"{word}.csv", word.encode() * size), "series": ("r.csv", b"x")})


def leave(upload: str, hours: float = 2.0) -> None:
    """Let an upload lie untouched."""
    then = time.time() - 3600 * hours
    os.utime(workspace() / "uploads" / upload, (then, then))


def test_the_oldest_upload_that_nobody_uses_makes_room(monkeypatch):
    monkeypatch.setenv("STVLM_MAX_UPLOADS", "2")
    first, second = bring("a"), bring("b")
    leave(first, 2)
    leave(second, 3)
    third = bring("c")
    assert [uploads.is_held(upload) for upload in (first, second, third)] == [True, False, True]


def test_files_that_a_network_came_from_stay_and_the_refusal_says_what_to_do(monkeypatch, small_series):
    monkeypatch.setenv("STVLM_MAX_UPLOADS", "1")
    needed = bring("a")
    networks.add(small_series, "Mine", ["a.csv"], (), needed)
    leave(needed, 1000)
    with pytest.raises(InputError, match=r"1 uploads are kept, and at most 1 may be.*raise STVLM_MAX_UPLOADS"):
        bring("b")
    assert uploads.is_held(needed)
    assert bring("a") == needed  # what is there already needs no room


def test_an_upload_that_somebody_looked_at_lately_stays(monkeypatch):
    monkeypatch.setenv("STVLM_MAX_UPLOADS", "1")
    first = bring("a")
    leave(first)
    assert bring("a") == first  # the same files again, as each run of the Data page brings them
    with pytest.raises(InputError, match="no room"):
        bring("b")


def test_the_bytes_of_uploads_and_networks_are_bounded_too(monkeypatch, small_series):
    monkeypatch.setenv("STVLM_MAX_UPLOAD_GB", "0.00002")
    first = bring("a", 15_000)
    leave(first)
    bring("b", 15_000)
    assert not uploads.is_held(first)
    with pytest.raises(InputError, match=r"this upload is .* GB more than may still be kept"):
        bring("c", 15_000)
    networks.add(small_series, "Mine", [], ())
    with pytest.raises(InputError, match="uploads and networks take all that may be kept"):
        quota.for_network()


def test_networks_are_counted_and_the_same_one_again_needs_no_room(monkeypatch, small_series):
    monkeypatch.setenv("STVLM_MAX_NETWORKS", "1")
    data = networks.add(small_series, "Mine", [], ())
    assert networks.add(small_series, "Mine again", [], ()) == data
    with pytest.raises(InputError, match="1 networks are kept, and at most 1 may be"):
        quota.for_network()


def test_one_session_brings_a_bounded_number_of_uploads(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_OF_A_SESSION", 2)
    known = [bring("a"), bring("b")]
    with pytest.raises(InputError, match="2 uploads have come from this tab"):
        bring("c")
    assert [bring("a"), bring("b")] == known


def test_what_a_killed_server_was_writing_is_swept_up_later():
    bring("a")
    part = workspace() / "uploads" / ".part-old"
    part.mkdir()
    (part / "sensors").write_bytes(b"half")
    os.utime(part, (1, 1))
    bring("b")
    assert not part.exists()


def test_a_workspace_that_cannot_be_written_is_one_line_and_nothing_half(monkeypatch, small_series):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    words = r"cannot be written: No space left on device\. Free some room or set STVLM_HOME"
    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_bytes", full)
        with pytest.raises(InputError, match=words):
            bring("a")
    with monkeypatch.context() as disk:
        disk.setattr(np, "save", full)
        with pytest.raises(InputError, match=words):
            networks.add(small_series, "Mine", [], ())
    with monkeypatch.context() as disk:
        disk.setattr(prompts, "write_atomic", full)
        with pytest.raises(InputError, match=words):
            prompts.save("mine", "task: {{ horizon }}")
    assert [place for root in ("uploads", "datasets", "templates") for place in (workspace() / root).glob("*")] == []
    assert networks.add(small_series, "Mine", [], (), bring("a")) in networks.uploaded()


def test_who_waits_too_long_for_another_one_is_told_so(monkeypatch):
    monkeypatch.setattr(quota, "PATIENCE_SECONDS", 0.1)
    with quota.writing("uploads"), pytest.raises(InputError, match="have been locked by another process for 0 s"):
        bring("a")
    assert bring("a")


def test_runs_that_wait_or_work_are_bounded(monkeypatch):
    monkeypatch.setenv("STVLM_MAX_LIVE_RUNS", "2")
    told = {"spec": RunSpec(data=DataSource(sample="x")), "created": 1.0, "queued": 1.0, "heartbeat": 1.0}
    runs = [RunStatus(run_id=f"{i:012x}", state=state, **told) for i, state in enumerate(("running", "lost", "queued"))]
    check_quota(runs[:2])
    with pytest.raises(RunError, match="2 runs wait or work already, and at most 2 may"):
        check_quota(runs)


def test_a_card_that_was_harmed_names_no_upload():
    (workspace() / "datasets").mkdir(parents=True)
    (workspace() / "datasets" / "0123.json").write_text(json.dumps(["no card"]))
    bring("a")


HARMED = ("", "{", "[]", "null", "7", "{}", '{"title": 7}', '{"title": "x", "fixes": [null]}', "[" * 100_000)


@pytest.mark.parametrize("harmed", HARMED, ids=lambda text: text[:40])
def test_a_network_whose_card_was_harmed_is_shown_under_its_id(small_series, harmed):
    data = networks.add(small_series, "Mine", ["r.csv"], ())
    assert networks.title(data) == "Mine"
    (workspace() / "datasets" / f"{data}.json").write_text(harmed)
    assert networks.title(data) == data
    assert networks.card(data)["fixes"] == []
    assert quota._needed() <= {""}


@pytest.mark.parametrize("harmed", HARMED[:5], ids=lambda text: text[:40])
def test_an_upload_that_no_longer_says_what_it_holds_is_none(harmed):
    upload = bring("a")
    assert uploads.is_held(upload)
    (workspace() / "uploads" / upload / "names.json").write_text(harmed)
    assert not uploads.is_held(upload)


def test_two_tabs_that_add_the_same_network_at_once_both_have_it(small_series):
    with ThreadPoolExecutor(4) as tabs:
        added = list(tabs.map(lambda i: networks.add(small_series, f"Tab {i}", [], ()), range(8)))
    assert set(added) == {small_series.fingerprint[:16]}
    assert load_series(networks.folder(added[0]), verify=True).fingerprint == small_series.fingerprint
    assert not [place for place in (workspace() / "datasets").iterdir() if place.name.startswith(".")]


def test_a_network_that_lies_damaged_is_written_again(small_series):
    data = networks.add(small_series, "Mine", [], ())
    (networks.folder(data) / "readings.npy").write_bytes(b"half")
    networks.add(small_series, "Mine", [], ())
    assert load_series(networks.folder(data), verify=True).fingerprint == small_series.fingerprint


def test_one_session_has_a_bounded_number_of_runs_at_once(monkeypatch):
    monkeypatch.setattr(train, "MOST_LIVE", 2)
    for run in ("00000000000a", "00000000000b"):
        run_folder(run).mkdir(parents=True)
        write_atomic(run_folder(run) / "spec.json", RunSpec(data=DataSource(sample="irish_wind")))
        write_atomic(run_folder(run) / "status.json", {"state": "queued", "created": 1.0, "queued": 1.0})
    view_state.open_network("sample:irish_wind")
    view_state.store("runs", ("00000000000a", "00000000000b"))
    train._submit({"few_shot": "", "max_minutes": 1, "backbone": "tiny", "tuning": "auto", "device": "cpu"})
    assert "2 runs of yours wait or work already" in view_state.load("refused-start")
    view_state.store("runs", ())
    view_state.store("refused-start", "")
    view_state.open_network("")
