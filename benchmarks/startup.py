"""From starting the server to the first sample forecast on the map, and where the seconds go: python -m benchmarks.startup"""

from __future__ import annotations

import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from urllib.error import URLError

from benchmarks.record import Figure, keep

ROOT = Path(__file__).parents[1]
SAMPLE = "irish_wind"
MODULES = (
    "stvlm.ui.home",
    "stvlm.ui.forecast.page",
    "stvlm.inference.predict",
)  # the first page; the forecast page; what forecasts
SHOWN = 8  # libraries
LIMIT_MS = 240_000
HOW = (
    "A fresh server, a fresh browser (Chromium, headless), one click on the sample `{sample}`, until its sensors stand on the map of the "
    "forecast page. Processor time is that of the server from its start. "
    "Imports: processor time of `import` in a process of its own, shared among the libraries as `python -X importtime` tells."
)


def import_seconds(module: str) -> tuple[float, dict[str, float]]:
    """Processor seconds of a process that imports a module, and the part of each library, by the own times that Python tells."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    own: dict[str, float] = defaultdict(float)
    for line in done.stderr.splitlines():
        if found := re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s*([\w.]+)", line):
            own[found[2].split(".")[0]] += int(found[1])
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    total = sum(own.values())
    return seconds, {library: seconds * wall / total for library, wall in own.items()}


def processor_seconds(pid: int) -> float:
    """Of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_server(port: int, home: str) -> subprocess.Popen:
    """The app on a port of this machine, with an empty workspace."""
    options = ["--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"]
    return subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", *options], cwd=ROOT, env=os.environ | {"STVLM_HOME": home},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def wait_for(url: str) -> None:
    """Until the server says that it is well."""
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.05)


def first_forecast() -> dict[str, tuple[float, float]]:
    """(wall, the server's processor) seconds since the start at each station of the way."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, seen = f"http://127.0.0.1:{port}", {}
    with tempfile.TemporaryDirectory() as home, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        start, server = time.perf_counter(), start_server(port, home)

        def reached(station: str) -> None:
            seen[station] = time.perf_counter() - start, processor_seconds(server.pid)

        try:
            wait_for(f"{url}/_stcore/health")
            reached("server answers")
            page.goto(url, timeout=LIMIT_MS)
            button = page.locator(f".st-key-open-{SAMPLE} a")
            button.wait_for(timeout=LIMIT_MS)
            reached("home page stands")
            button.click()
            page.frame_locator("iframe").first.locator(".leaflet-container canvas").last.wait_for(timeout=LIMIT_MS)
            drawn = "() => window.map && window.feature_group && window.feature_group.length > 0"
            page.query_selector("iframe").content_frame().wait_for_function(drawn, timeout=LIMIT_MS)
            reached("forecast on the map")
            link = f"{url}/forecast?data=sample:{SAMPLE}&cutoff=1977-06-01T00:00:00"
            again, began = time.perf_counter(), processor_seconds(server.pid)
            page.goto(link, timeout=LIMIT_MS)
            page.frame_locator("iframe").first.locator(".leaflet-container canvas").last.wait_for(timeout=LIMIT_MS)
            seen["another cutoff by link"] = time.perf_counter() - again, processor_seconds(server.pid) - began
        finally:
            server.terminate()
            server.wait(timeout=20)
            browser.close()
    return seen


def main() -> None:
    """Measure and keep."""
    figures, table = [], [["library", *(f"import {module}, s" for module in MODULES)]]
    imports = {module: import_seconds(module) for module in MODULES}
    seen = first_forecast()
    wall, processor = seen["forecast on the map"]
    figures.append(Figure("server start to the first forecast on the map, wall", wall, "s", "<= 15"))
    figures.append(Figure("the same, processor time of the server", processor, "s", "<= 15"))
    for station in ("server answers", "home page stands", "another cutoff by link"):
        figures.append(Figure(f"{station}, wall", seen[station][0], "s", "", f"processor {seen[station][1]:.1f} s"))
    figures += [Figure(f"import {module}", seconds, "s") for module, (seconds, _) in imports.items()]
    largest = imports[MODULES[-1]][1] | imports[MODULES[1]][1]
    for library in sorted(largest, key=largest.get, reverse=True)[:SHOWN]:
        table.append([library, *(f"{own.get(library, 0):.2f}" for _, own in imports.values())])
    keep("benchmarks.startup", HOW.format(sample=SAMPLE), figures, table)


if __name__ == "__main__":
    main()
