"""Run Python as somebody else would: with variables of our choice, and with every attempt to reach another host noticed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stvlm.serving.helper_process import HelperProcess
from tests.support.paths import ROOT

SECONDS = 60.0  # until a helper process can answer
GUARD = Path(__file__).with_name("guard")
LIBRARIES = ("HF_", "TRANSFORMERS_", "STVLM_", "OMP_", "GOMP_", "OPENBLAS_")  # whose variables a fresh shell has not


def fresh(**more: str) -> dict[str, str]:
    """The variables of a fresh shell, in which this program can be imported; and `more`."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(LIBRARIES)}
    return bare | {"PYTHONPATH": str(ROOT)} | more


def guarded(log: Path, **more: str) -> dict[str, str]:
    """Those of a fresh shell in which whatever reaches for another host is refused and written to a file, in children too."""
    home = {"HF_HOME": str(log.parent / "hub"), "XDG_CACHE_HOME": str(log.parent / "cache"), "STVLM_HOME": str(log.parent / "home")}
    return fresh(**home, PYTHONPATH=os.pathsep.join([str(GUARD), str(ROOT)]), EGRESS_LOG=str(log)) | more


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run Python and read what it prints; `options` are those of `subprocess.run`."""
    options = {"capture_output": True, "text": True, "timeout": 280, "check": False, "env": fresh()} | options
    return subprocess.run([sys.executable, *words], **options)


def ready(beside: HelperProcess) -> None:
    """Let the process begin, and wait until it can answer; until then the work is done here."""
    with beside.here:
        waiting = threading.Thread(target=beside.run, args=(os.getpid,))
        waiting.start()
        deadline = time.monotonic() + SECONDS
        while waiting.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
    waiting.join()
    assert beside.run(os.getpid) != os.getpid()


@contextmanager
def served(environment: dict[str, str], log: Path) -> Iterator[str]:
    """The address of a freshly started app, which ends with the context; what it says goes to `log`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.address", "127.0.0.1"]
    with log.open("wb") as out:
        options = {"cwd": ROOT, "env": environment, "stdin": subprocess.DEVNULL, "stdout": out, "stderr": subprocess.STDOUT}
        server = subprocess.Popen([*command, "--server.headless", "true"], **options)
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(timeout=10)


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    raise AssertionError(f"The app did not start:\n{log.read_text(errors='replace')[-3000:]}")
