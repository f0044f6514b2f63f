"""What one feels in the browser: first paint, a step of the slider, a click on the map, large maps, memory: python -m benchmarks.pages"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Error, sync_playwright

from benchmarks.record import Figure, keep
from benchmarks.startup import ROOT, processor_seconds, wait_for
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.io import store

SAMPLE, DUBLIN = "sample:irish_wind", (53.43333, -6.25)
LARGEST = "sample:bixi_montreal_daily"  # by its sensors
PAGES = ("", "data", "images", "prompts", "train", "forecast", "fusion", "whatif", "compare", "learn")
LARGE, STEPS = (2_000, 10_000), 500
SESSIONS = 4
PATIENCE_MS = 170_000
DRAWN = "() => window.map && window.feature_group && window.feature_group.length > 0"
ANSWERS = """() => {
  if (!window.map || !window.feature_group) { return false; }
  let many = false;
  window.map.eachLayer(layer => { many = many || Boolean(layer.nodesWithin); });
  if (!many) { return false; }
  const zoom = window.map.getZoom();
  window.map.zoomIn(1, {animate: false});
  return window.map.getZoom() > zoom;
}"""
HOW = (
    "A running server and Chromium (headless, no GPU, software rendering) on the same two cores. First paint: from asking for the address "
    "to the page's heading, its second visit in that browser. Slider and click: on the Forecast page of `irish_wind`; the server's time is "
    "that of the thread that runs the part of the page. Large maps: made-up networks of {large} sensors and {steps} hourly steps on the "
    "Data page, looked at once before; interactive = the sensors are drawn and the map has answered a zoom; by link the browser reads the "
    "app's scripts anew, which takes most of the time, as with a small network. Memory: how much the "
    "server's resident memory grows by each further session on the Forecast page of the largest sample."
)


def made_up(n_sensors: int) -> SensorSeries:
    """Hourly readings of sensors in forty towns."""
    random, hours = np.random.default_rng(n_sensors), np.arange(STEPS)
    towns = np.stack([random.normal(48.5, 1.2, 40), random.normal(10.5, 1.8, 40)], axis=-1)
    lat, lon = (towns[random.integers(0, 40, n_sensors)] + random.normal(0, 0.15, (n_sensors, 2))).T
    wave = 8 * np.sin(2 * np.pi * hours[:, None] / 24 + lon)
    values = (50 + wave + random.normal(0, 1.5, (STEPS, n_sensors))).astype("f4")
    times = np.datetime64("2024-03-04T00:00:00") + hours * np.timedelta64(1, "h")
    return SensorSeries(SensorNetwork(tuple(f"S{i:05d}" for i in range(n_sensors)), lat, lon), times, values, "speed", "km/h")


def put(series: SensorSeries, home: Path) -> str:
    """Lay a network into the workspace of the app; its id."""
    data = series.fingerprint[:16]
    store.save_series(series, home / "datasets" / data)
    card = {"title": f"made up, {series.network.n_sensors} sensors", "files": [], "fixes": []}
    (home / "datasets" / f"{data}.json").write_text(json.dumps(card), encoding="utf-8")
    return data


class Visitor:
    """A browser on the app, and what the server noted of its visits."""

    def __init__(self, browser, url: str, log: Path) -> None:
        self.page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.url, self.log = url, log

    def paint(self, name: str, data: str = SAMPLE) -> float:
        """Seconds to the heading of a page."""
        start = time.perf_counter()
        self.page.goto(f"{self.url}/{name}?data={data}")
        self.page.locator("h1, h2").first.wait_for()
        seconds = time.perf_counter() - start
        self.rest()
        return seconds

    def rest(self) -> None:
        """Until the page has nothing left to do."""
        self.page.wait_for_timeout(700)
        self.page.wait_for_function("() => !document.querySelector('[data-testid=stStatusWidget]')")

    def map(self):
        """The frame of the first map, drawn."""
        self.page.frame_locator("iframe").first.locator(".leaflet-container canvas").last.wait_for()
        frame = self.page.query_selector("iframe").content_frame()
        frame.wait_for_function(DRAWN)
        return frame

    def runs(self) -> list[dict]:
        """What the server noted so far."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()] if self.log.exists() else []

    def large_map(self, data: str, by_link: bool) -> float:
        """Seconds until the map of the Data page has answered a zoom, from asking for its link or from choosing the network there."""
        if not by_link:
            self.paint("data")
            self.map()
        start = time.perf_counter()
        if by_link:
            self.page.goto(f"{self.url}/data?data={data}")
        else:
            self.page.locator(f".st-key-choose-{data} button").click()
        while not self.has_many():
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        self.rest()
        return seconds

    def has_many(self) -> bool:
        """Whether the first map shows many sensors, and answers a zoom."""
        try:
            element = self.page.query_selector("iframe")
            frame = element and element.content_frame()
            return bool(frame and frame.evaluate(ANSWERS))
        except Error:  # the page is just being exchanged
            return False


def slider(visitor: Visitor, steps: int = 5) -> tuple[list[dict], float, bool]:
    """What the server noted of each step; median seconds from the key to the new table; whether the map stayed the same document."""
    page, seconds = visitor.page, []
    page.goto(f"{visitor.url}/forecast?data={SAMPLE}&sensor=DUB")
    frame = visitor.map()
    visitor.rest()
    frame.evaluate("() => { window.same = true; }")
    before = len(visitor.runs())
    for step in range(2, steps + 2):
        start = time.perf_counter()
        page.get_by_role("slider").nth(1).focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_url(f"**step={step}**")
        page.get_by_role("tab").nth(1).wait_for()
        seconds.append(time.perf_counter() - start)
        visitor.rest()
    return visitor.runs()[before:], statistics.median(seconds), frame.evaluate("() => window.same === true")


def click(visitor: Visitor, times: int = 3) -> float:
    """Median seconds from a click on a sensor to its forecast in the plot's caption."""
    page, seconds = visitor.page, []
    for _ in range(times):
        page.goto(f"{visitor.url}/forecast?data={SAMPLE}&sensor=BEL")
        frame = visitor.map()
        visitor.rest()
        x, y = frame.evaluate(
            "([a, o]) => { const p = window.map.latLngToContainerPoint([a, o]); return [p.x, p.y]; }", list(DUBLIN)
        )
        box = page.query_selector("iframe").bounding_box()
        start = time.perf_counter()
        page.mouse.click(box["x"] + x, box["y"] + y)
        page.get_by_text("Dublin (DUB), all steps").wait_for()
        seconds.append(time.perf_counter() - start)
        visitor.rest()
    return statistics.median(seconds)


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    fields = Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(browser, url: str, log: Path, pid: int, large: dict[int, str]) -> list[Figure]:
    """All figures of a running app."""
    visitor, figures = Visitor(browser, url, log), []
    visitor.paint("forecast")  # reads the libraries
    for name in PAGES[1:]:
        visitor.paint(name)
    paints = {name: visitor.paint(name) for name in PAGES}
    slowest = max(paints, key=paints.get)
    each = ", ".join(f"{name or 'home'} {seconds:.2f}" for name, seconds in paints.items())
    figures.append(Figure("first paint of a page, the slowest", paints[slowest], "s", "<= 2", each))
    runs, felt, same = slider(visitor)
    wall, processor = (statistics.median(run[clock] for run in runs) for clock in ("wall", "processor"))
    figures.append(Figure("slider step on Forecast, median of the server's wall time", wall, "s", "<= 0.3", f"{len(runs)} runs"))
    figures.append(Figure("the same, processor time", processor, "s", "<= 0.3"))
    figures.append(
        Figure("slider step, key to page, median", felt, "s", "", "the map stayed" if same else "the map was loaded anew")
    )
    figures.append(Figure("click on a sensor to its plot, median", click(visitor), "s", "<= 1"))
    for n_sensors, data in large.items():
        visitor.large_map(data, True)
        for by_link, way in ((False, "chosen on the Data page"), (True, "opened by its link")):
            before = processor_seconds(pid)
            seconds = statistics.median(visitor.large_map(data, by_link) for _ in range(3))
            took = f"processor of the server {(processor_seconds(pid) - before) / 3:.2f} s a visit"
            limit = "<= 3" if n_sensors == LARGE[0] else ""
            figures.append(Figure(f"map of {n_sensors:,} sensors, interactive, {way}", seconds, "s", limit, took))
    visitor.paint("forecast", LARGEST)
    before, others = resident_mb(pid), [Visitor(browser, url, log) for _ in range(SESSIONS)]
    for other in others:
        other.paint("forecast", LARGEST)
    figures.append(Figure("memory of a further session", (resident_mb(pid) - before) / SESSIONS, "MB", "<= 300"))
    return figures


def main() -> None:
    """Measure and keep."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        home, log = Path(folder) / "home", Path(folder) / "runs"
        (home / "datasets").mkdir(parents=True)
        large = {n_sensors: put(made_up(n_sensors), home) for n_sensors in LARGE}
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.timed_server", str(log), "--server.port", str(port), "--server.headless", "true"],
            cwd=ROOT, env=os.environ | {"STVLM_HOME": str(home)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_for(f"http://127.0.0.1:{port}/_stcore/health")
            figures = measure(browser, f"http://127.0.0.1:{port}", log, server.pid, large)
        finally:
            server.terminate()
            server.wait(timeout=20)
            browser.close()
    keep("benchmarks.pages", HOW.format(large=" and ".join(f"{n:,}" for n in LARGE), steps=STEPS), figures)


if __name__ == "__main__":
    main()
