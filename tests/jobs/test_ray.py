"""A Ray cluster as the place of a run: the same spec, states, log, cancel; a cluster or a storage that is lost is one clear line."""

import importlib.util
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from streamlit.testing.v1 import AppTest

from stvlm.io.store import save_series
from stvlm.jobs import api
from stvlm.jobs.ray import backend, client
from stvlm.jobs.ray import node as mirror
from stvlm.jobs.ray.backend import Attempt, RayBackend
from stvlm.jobs.ray.client import ClusterError, read_settings
from stvlm.jobs.ray.storage import Storage, pack, unpack
from stvlm.jobs.run import RunSpec, run_folder
from stvlm.model.stvlm import STVLM
from stvlm.runtime.atomic import write_atomic
from stvlm.runtime.settings import SettingsError
from stvlm.ui.shell import inputs
from tests.support.pages import visit, words
from tests.support.paths import ROOT
from tests.support.runs import WORKER, wait

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs requirements-ray.txt")
SETTINGS = {"lookback": 12, "horizon": 3, "split": (0.6, 0.2, 0.2), "max_steps": 2, "seed": 4}
HEAD = (
    "start --head --block --node-ip-address 127.0.0.1 --dashboard-host 127.0.0.1 --num-cpus 1 --num-gpus 0 --object-store-memory "
    "100000000 --disable-usage-stats --include-log-monitor false --port 0"
)
PORTS = {  # options, and the files in which Ray's processes tell each other what they took
    "dashboard-port": None,
    "dashboard-agent-listen-port": "dashboard_agent_listen_port",
    "dashboard-agent-grpc-port": "metrics_agent_port",
    "runtime-env-agent-port": "runtime_env_agent_port",
    "metrics-export-port": "metrics_export_port",
}


def spec(device: str = "auto", **settings) -> RunSpec:
    return RunSpec(data={"dataset": "0123abcd"}, config=SETTINGS | {"device": device} | settings, threads=1, backend="ray")


@pytest.fixture
def data(home: Path, small_series) -> Path:
    """A workspace with one uploaded network of six made-up sensors."""
    (home / "datasets").mkdir(parents=True)
    save_series(small_series, home / "datasets" / "0123abcd")
    (home / "datasets" / "0123abcd.json").write_text('{"fixes": ["sort-times"]}')
    return home


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory):
    """A real Ray head of one CPU, on this host alone, that ends with the tests."""
    log = tmp_path_factory.mktemp("ray") / "head.log"
    for attempt in range(3):
        place, head = start_head(log, f"/tmp/stvlm-ray-{os.getpid()}-{attempt}")  # its sockets need a short path
        if is_up(head, log):
            break
        stop_head(head)
    else:
        pytest.fail(f"Ray did not start on this machine in three attempts: {log.read_text().strip().splitlines()[-1]}")
    try:
        yield place
    finally:
        stop_head(head)


def start_head(log: Path, folder: str) -> tuple[str, subprocess.Popen]:
    ports = free_ports(len(PORTS))
    options = [word for name, port in zip(PORTS, ports, strict=True) for word in (f"--{name}", str(port))]
    command = [sys.executable, "-m", "ray.scripts.scripts", *HEAD.split(), *options, "--temp-dir", folder]
    with log.open("wb") as file:
        head = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)
    return f"http://127.0.0.1:{ports[0]}", head


def is_up(head: subprocess.Popen, log: Path, seconds: float = 150) -> bool:
    """Whether the head has room for a job in time.

    The first of its processes ends itself where the others do not say within 15 s which port they took, and beside other work they
    need longer to start; the ports are given, so they are said for them.
    """
    deadline = time.monotonic() + seconds
    folder, given = Path(head.args[-1]), dict(itertools.pairwise(head.args))
    while "Ray runtime started" not in log.read_text():
        if head.poll() is not None or time.monotonic() > deadline:
            return False
        for first in folder.glob("session_2*/gcs_server_port_*"):
            for option, file in PORTS.items():
                said = first.with_name(f"{file}_{first.name.rpartition('_')[2]}")
                if file and not said.exists():
                    said.write_text(given[f"--{option}"])
        time.sleep(0.1)
    return True


def stop_head(head: subprocess.Popen) -> None:
    """End the head and all that it started; they name its folder, or descend from it."""
    family = psutil.Process(head.pid).children(recursive=True) if head.poll() is None else []
    head.terminate()
    psutil.wait_procs(family, timeout=5)
    named = [process for process in psutil.process_iter(["cmdline"]) if head.args[-1] in " ".join(process.info["cmdline"] or [])]
    for process in (*family, *named):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    head.wait()
    shutil.rmtree(head.args[-1], ignore_errors=True)


def free_ports(n: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [server.getsockname()[1] for server in taken]
    for server in taken:
        server.close()
    return ports


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_on_a_cluster_shows_states_and_log_and_the_next_is_cancelled(data, tmp_path, address, monkeypatch, small_series):
    monkeypatch.setenv("STVLM_RAY_ADDRESS", address)
    monkeypatch.setenv("STVLM_RAY_STORAGE", f"file://{tmp_path / 'shared'}")
    monkeypatch.setenv("STVLM_RAY_PYTHON", sys.executable)
    monkeypatch.setenv("STVLM_RAY_GPUS", "0")
    run_id = api.submit(spec(), dedupe=True)
    assert api.status(run_id).state == "queued"
    assert api.submit(spec(), dedupe=True) == run_id
    second = api.submit(spec(max_steps=100_000, max_minutes=30))  # one CPU: it waits for the first
    seen = [api.status(run_id).state]
    while (run := api.status(run_id)).is_live:
        seen += [run.state] if run.state != seen[-1] else []
        assert api.status(second).state == "queued"
        time.sleep(0.2)
    assert run.state == "done", f"{run}\n{api.logs(run_id)}"
    assert seen[0] == "queued"
    assert seen[-1] == "running"
    assert run.device == "Ray: cpu"
    assert run.best_val_mae <= run.anchor_val_mae
    made = STVLM.load(run.model_folder).manifest
    assert (made["run"], made["fixes"], made["data_sha256"]) == (run_id, ["sort-times"], small_series.fingerprint)
    assert [row["step"] for row in api.losses(run_id)][:2] == [0, 1]

    wait(second, "running", seconds=240)
    api.cancel(second)
    assert wait(second, "cancelled", seconds=60).is_resumable
    assert "stvlm.jobs.ray.node" in client.cluster(address).log(backend.read_attempt(run_folder(second)).job_id)
    api.delete(second)
    assert [path.name for path in (tmp_path / "shared" / "runs").iterdir()] == [run_id]


@needs_ray
def test_a_cluster_that_does_not_answer_is_one_line_and_never_a_wait(data, monkeypatch):
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections, says nothing
    where = f"http://127.0.0.1:{silent.getsockname()[1]}"
    monkeypatch.setenv("STVLM_RAY_ADDRESS", where)
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.5)
    with silent, pytest.raises(ClusterError, match=f"The Ray cluster at {where} did not answer within 0.5 s. Is it running"):
        api.submit(spec())
    with pytest.raises(ClusterError, match="did not answer within"):  # it is not asked again at once: now it would refuse
        api.submit(spec())
    monkeypatch.setenv("STVLM_RAY_ADDRESS", f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(ClusterError, match="does not answer"):
        api.submit(spec())
    assert api.list_runs() == ()


@needs_ray
def test_a_run_whose_cluster_is_lost_says_so_and_can_be_deleted(data, monkeypatch):
    run_id = waiting_run("stvlm-1", f"http://127.0.0.1:{free_ports(1)[0]}")
    run = api.status(run_id)
    assert run.state == "queued"
    assert "does not answer" in run.message
    os.utime(run_folder(run_id) / "status.json", (1e9, 1e9))
    run = api.status(run_id)
    assert run.state == "lost"
    assert run.message.endswith("Is it running, and in reach of this machine? It can be resumed from its last checkpoint.")
    with pytest.raises(ClusterError, match="No Ray cluster is set"):
        api.resume(run_id)
    assert api.adopt() == ()
    api.delete(run_id)
    assert api.list_runs() == ()


def waiting_run(job_id: str, address: str = "http://127.0.0.1:9", storage: str = "") -> str:
    """A run that was submitted to a cluster."""
    folder = run_folder("0123456789ab")
    folder.mkdir(parents=True)
    now = time.time()
    write_atomic(folder / "spec.json", spec("cpu"))
    write_atomic(folder / "status.json", {"state": "queued", "created": now, "queued": now, "device": "cpu"})
    write_atomic(folder / "attempt.json", Attempt(job_id=job_id, address=address, storage=storage or str(folder.parents[1])))
    return folder.name


def test_without_ray_the_backend_says_in_one_line_what_to_install(data, monkeypatch):
    monkeypatch.setenv("STVLM_RAY_ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "ray.job_submission", None)
    with pytest.raises(ClusterError, match=r"^Ray is not installed here: pip install -r requirements-ray.txt$"):
        api.submit(spec())


def test_settings_come_from_the_environment_first_and_a_wrong_one_is_named(home, monkeypatch):
    assert read_settings() is None
    with pytest.raises(ClusterError, match="No Ray cluster is set: give STVLM_RAY_ADDRESS"):
        RayBackend().devices("auto")
    home.mkdir()
    (home / "ray.json").write_text('{"address": "http://a:8265", "gpus": 2, "storage": "/mnt/shared"}')
    monkeypatch.setenv("STVLM_RAY_GPUS", "0.5")
    monkeypatch.setenv("STVLM_RAY_RUNTIME_ENV", '{"pip": ["torch"]}')
    found = read_settings()
    assert (found.address, found.gpus, found.storage, found.runtime_env) == (
        "http://a:8265",
        0.5,
        "/mnt/shared",
        {"pip": ["torch"]},
    )
    with pytest.raises(ValueError, match="the device is auto, cuda or cpu, not cuda:3"):
        RayBackend().devices("cuda:3")
    monkeypatch.setenv("STVLM_RAY_GPUS", "many")
    with pytest.raises(SettingsError, match=r"^STVLM_RAY_GPUS: Input should be a valid number"):
        read_settings()
    monkeypatch.setenv("STVLM_RAY_RUNTIME_ENV", "{")
    with pytest.raises(SettingsError, match=r"STVLM_RAY_RUNTIME_ENV: Value error, Expecting property name"):
        read_settings()
    monkeypatch.delenv("STVLM_RAY_GPUS")
    monkeypatch.delenv("STVLM_RAY_RUNTIME_ENV")
    (home / "ray.json").write_text('{"address": "http://a:8265", "gpus": "many"}')
    with pytest.raises(ClusterError, match=r"The settings of the Ray cluster: .*ray\.json\.gpus: Input should be a valid number"):
        read_settings()
    (home / "ray.json").write_text("{")
    with pytest.raises(ClusterError, match=r"ray\.json: Invalid JSON"):
        read_settings()


def test_a_job_that_another_has_taken_the_place_of_leaves_the_run_alone(data, monkeypatch):
    run_id = waiting_run("stvlm-new")
    monkeypatch.setenv("STVLM_HOME", str(data))  # the mirror changes it
    before = {path.name: path.read_bytes() for path in run_folder(run_id).iterdir()}
    folder = run_folder(run_id)
    assert mirror.main([str(data), run_id, "stvlm-old"]) == mirror.NOT_WANTED
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert mirror.main(["nowhere", "../x", "y"]) == 2


def test_a_checkpoint_travels_whole_and_nothing_of_a_tar_lands_outside(tmp_path):
    made = tmp_path / "checkpoint"
    (made / "step-1").mkdir(parents=True)
    (made / ".half").mkdir()
    (made / "step-1" / "state.json").write_text("{}")
    (made / ".half" / "state.json").write_text("{")
    storage = Storage(f"file://{tmp_path / 'shared'}")
    storage.push(pack(made, tmp_path / "c.tar"), "runs/a/checkpoint.tar")
    assert storage.pull("runs/a/checkpoint.tar", tmp_path / "node" / "c.tar")
    unpack(tmp_path / "node" / "c.tar", tmp_path / "node" / "checkpoint")
    assert sorted(str(p.relative_to(tmp_path / "node")) for p in (tmp_path / "node").rglob("*.json")) == [
        "checkpoint/step-1/state.json"
    ]
    assert [path.name for path in (tmp_path / "shared" / "runs" / "a").iterdir()] == ["checkpoint.tar"]
    assert storage.read("runs/a/none") is None
    assert not storage.pull("runs/a/none", tmp_path / "none")
    storage.remove("runs/a")
    storage.remove("runs/a")
    assert list((tmp_path / "shared" / "runs").iterdir()) == []
    with pytest.raises(ClusterError, match=r"The storage nowhere://x cannot be used: Protocol not known"):
        backend._storage("nowhere://x")


def on_a_node(storage: str, run_id: str, job_id: str) -> subprocess.Popen:
    """The cluster's side in a process of its own, with a worker that only counts."""
    code = f"import sys; from stvlm.jobs.ray import node; sys.exit(node.main(sys.argv[1:], {WORKER!r}))"
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen([sys.executable, "-c", code, storage, run_id, job_id], env=env, start_new_session=True)


def test_a_node_carries_losses_checkpoint_and_cancel_and_another_goes_on(data, tmp_path):
    shared = tmp_path / "shared"
    run_id = waiting_run("stvlm-1", storage=str(shared))
    folder, remote = run_folder(run_id), shared / "runs" / run_id
    write_atomic(folder / "spec.json", spec("cpu", max_steps=60))
    storage = Storage(str(shared))
    for name in ("spec.json", "status.json", "attempt.json"):
        storage.push(folder / name, f"runs/{run_id}/{name}")
    node = on_a_node(str(shared), run_id, "stvlm-1")
    try:
        until(lambda: (remote / "checkpoint.tar").exists() and len(api.read_rows(remote / "losses.jsonl")) > 3, node)
        assert json.loads((remote / "status.json").read_text())["state"] == "running"
        (remote / "cancel").touch()
        assert node.wait(30) == 0
    finally:
        kill(node)
    cut = json.loads((remote / "status.json").read_text())
    assert cut["state"] == "cancelled"
    assert 3 < cut["step"] < 60

    (remote / "cancel").unlink()
    write_atomic(folder / "attempt.json", Attempt(job_id="stvlm-2", address="", storage=""))
    storage.push(folder / "attempt.json", f"runs/{run_id}/attempt.json")
    node = on_a_node(str(shared), run_id, "stvlm-2")
    try:
        assert node.wait(60) == 0
    finally:
        kill(node)
    ended = json.loads((remote / "status.json").read_text())
    assert (ended["state"], ended["step"], ended["loss"]) == ("done", 60, sum(range(61)))
    assert [row["step"] for row in api.read_rows(remote / "losses.jsonl")] == list(range(1, 61))
    assert sorted(path.name for path in remote.iterdir()) == [
        "attempt.json", "log.txt", "losses.jsonl", "manifest.json", "model.tar", "spec.json", "status.json",
    ]  # fmt: skip


def test_a_job_that_loses_its_run_to_a_later_one_ends_its_worker(data, tmp_path):
    shared = tmp_path / "shared"
    run_id = waiting_run("stvlm-1", storage=str(shared))
    write_atomic(run_folder(run_id) / "spec.json", spec("cpu", max_steps=6000))
    for name in ("spec.json", "status.json", "attempt.json"):
        Storage(str(shared)).push(run_folder(run_id) / name, f"runs/{run_id}/{name}")
    node = on_a_node(str(shared), run_id, "stvlm-1")
    try:
        until(lambda: (shared / "runs" / run_id / "losses.jsonl").exists(), node)
        (worker,) = psutil.Process(node.pid).children()
        (shared / "runs" / run_id / "attempt.json").unlink()
        assert node.wait(30) == mirror.NOT_WANTED
        assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE  # it ended; whether it is buried is the system's
    finally:
        kill(node)


def until(seen, node: subprocess.Popen, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert node.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill(node: subprocess.Popen) -> None:
    with suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGKILL)
    node.wait()


def test_two_looks_at_one_run_at_a_time_do_not_harm_each_other(data, tmp_path, monkeypatch):
    """The model comes as one file and is unpacked once, before anyone is told that the run is done."""
    run_id = waiting_run("stvlm-1")
    folder = run_folder(run_id)
    made = tmp_path / "made"
    made.mkdir()
    (made / "weights.json").write_text("[1]")
    pack(made, folder / "model.tar")
    write_atomic(folder / "status.json", {"state": "done", "created": 1.0, "queued": 1.0})
    monkeypatch.setattr(client.Cluster, "state", lambda *_: client.JobState(False, True, "Job finished successfully."))
    told: list[bool] = []

    def look() -> None:
        told.append(api.status(run_id).state == "done" and (folder / "model" / "weights.json").exists())

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [True] * 6
    assert not (folder / "model.tar").exists()


@needs_ray
def test_the_train_page_offers_the_cluster_and_says_when_it_does_not_answer(app: AppTest, monkeypatch):
    where = f"http://127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("STVLM_RAY_ADDRESS", where)
    app = visit(app, "train", data="sample:irish_wind")
    device = next(box for box in app.selectbox if box.label == "Device")
    assert device.options[-1] == f"the Ray cluster at {where}"
    device.set_value("ray").run()
    assert inputs.plain(f"It will run on the Ray cluster at {where}, in a process of its own") in words(app)
    next(button for button in app.button if button.label == "Start").click().run()
    assert not app.exception
    (error,) = app.error
    assert error.value.startswith(inputs.plain(f"The Ray cluster at {where} does not answer"))
    assert api.list_runs() == ()
