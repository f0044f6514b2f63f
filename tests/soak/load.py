"""Many people at once: simulated sessions that go the main way through the app, each with its own data beside the samples.

    python -m tests.soak.load --sessions 50 --minutes 5

Every session is a client of the web socket, as a browser is: it opens a sample, forecasts, changes sensor, moment and step, clicks on the
map, looks at images and fusion, uploads a network of its own on the Data page, makes it the one in view, and forecasts it. Its sensors
bear a word that no other session has, and its readings lie on a level of its own: another session's word in any message, or a
forecast on another level, is cross-talk. When it is through, the tab closes and another person comes. The server is one process.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import psutil

from benchmarks.record import STORE, Figure, keep
from tests.soak.visitor import LostError, Shown, Visitor
from tests.support.paths import ROOT

SAMPLES = ("irish_wind", "bixi_montreal_daily", "germany_pm10_daily", "synthetic_city")
WORD = re.compile(rb"Mk[0-9a-f]{8}")
HOURS, SENSORS = 240, 6  # of a session's own network
BUSY = ("busy", "did not answer within")
PROBLEM = (":red", "cannot", "damaged", "no network of that name")


@dataclass
class Tally:
    """What all sessions saw.

    Attributes:
        seconds: kind of action -> how long each took. problems: what should not have been. busy: answers that said so.
        finished: journeys to their end. memory: (seconds since the start, bytes, threads) of the server; bytes with those of its processes.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    problems: list[str] = field(default_factory=list)
    busy: int = 0
    finished: int = 0
    memory: list[tuple[float, float, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def own_network(word: str, level: float) -> dict[str, bytes]:
    """Two files of a session: sensors that bear its word, readings on its level."""
    chance = np.random.default_rng(int(level))
    ids = [f"{word}-{i}" for i in range(SENSORS)]
    places = {"lat": 50 + chance.random(SENSORS) / 10, "lon": 8 + chance.random(SENSORS) / 10}
    times = pd.date_range("2025-03-03", periods=HOURS, freq="h").astype("str")
    wave = 10 * np.sin(2 * np.pi * np.arange(HOURS) / 24)[:, None]
    values = (level + wave + chance.normal(0, 1, (HOURS, SENSORS))).round(2)
    tables = {
        "sensors.csv": pd.DataFrame({"sensor_id": ids, "name": [f"{i} gate" for i in ids], **places}),
        "readings.csv": pd.DataFrame({"timestamp": times, **dict(zip(ids, values.T, strict=True))}),
    }
    return {name: table.to_csv(index=False).encode() for name, table in tables.items()}


def journey(visitor: Visitor, number: int, word: str, level: float) -> Iterator[tuple[str, Callable[[], Shown]]]:
    """The main way, as (kind, action); whoever takes the next one has carried out the one before."""
    if number % 2:  # half of them bring their own data first
        yield from through_ones_own(visitor, number, word, level)
    yield from through_a_sample(visitor, number)
    if number % 2 == 0:
        yield from through_ones_own(visitor, number, word, level)


def through_a_sample(visitor: Visitor, number: int) -> Iterator[tuple[str, Callable[[], Shown]]]:
    """Home, forecast, images and fusion of a sample."""
    sample = f"data=sample:{SAMPLES[number % len(SAMPLES)]}"
    yield "home", lambda: visitor.open("")
    yield "forecast of a sample", lambda: visitor.open("forecast", sample)
    yield "another sensor", lambda: visitor.choose("tied-sensor", number + 1)
    yield "another moment", lambda: visitor.press("cutoff-1")
    yield "another step", lambda: visitor.slide("tied-step", 1)
    yield "click on the map", lambda: visitor.click_map("no such sensor")
    yield "images", lambda: visitor.open("images", sample)
    yield "fusion", lambda: visitor.open("fusion", sample)


def through_ones_own(visitor: Visitor, number: int, word: str, level: float) -> Iterator[tuple[str, Callable[[], Shown]]]:
    """Upload of a network, its forecast, its images."""
    yield "data", lambda: visitor.open("data", "source=own")
    yield "upload", lambda: visitor.upload(own_network(word, level))
    visitor.write("word-name", "A network of my own")
    yield "use the upload", lambda: visitor.press("Use this network")
    if f"{word}-0".encode() not in visitor.shown.raw:
        raise AssertionError("what was uploaded is not in view")
    own = visitor.query
    yield "forecast of one's own", lambda: visitor.open("forecast", own)
    yield "another sensor of one's own", lambda: visitor.choose("tied-sensor", number + 1)
    yield "another moment of one's own", lambda: visitor.press("cutoff-1")
    yield "images of one's own", lambda: visitor.open("images", own)


def wrong(shown: Shown, kind: str, word: str, level: float) -> list[str]:
    """What is wrong with what stands there after an action."""
    found = [f"{kind}: {failure}" for failure in shown.failures]
    found += [f"{kind}: word of another session" for other in set(WORD.findall(shown.raw)) if other != word.encode()]
    if kind.startswith("forecast of one's own") and not is_busy(shown):
        tables = [table.select_dtypes("number") for table in shown.tables()]
        values = [table[c].to_numpy("f8") for table in tables for c in table.columns if str(c).startswith("Forecast")]
        if not values:
            found.append(f"{kind}: no table of the forecast")
        found += [f"{kind}: a forecast on another level" for v in values if np.nanmax(np.abs(v - level)) > 40]
    return found


def is_busy(shown: Shown) -> bool:
    """Whether the app said that it has no time now."""
    return any(word in alert for alert in shown.alerts() for word in BUSY)


def session(address: str, number: int, until: float, pause: float, tally: Tally, chance: Random) -> None:
    """One person after another, until the time is over."""
    time.sleep(chance.random() * 10)
    while time.monotonic() < until:
        word, level = f"Mk{secrets.token_hex(4)}", 1000.0 + 100 * chance.randrange(400)
        kind = "opening"
        try:
            visitor = Visitor(address)
            for kind, action in journey(visitor, number, word, level):
                started = time.monotonic()
                shown = action()
                with tally.lock:
                    tally.seconds[kind].append(time.monotonic() - started)
                    tally.problems += wrong(shown, kind, word, level)
                    tally.busy += is_busy(shown)
                if time.monotonic() > until:
                    break
                time.sleep(chance.expovariate(1 / pause) if pause else 0)
            else:
                with tally.lock:
                    tally.finished += 1
            visitor.close()
        except (LostError, StopIteration, AssertionError, RuntimeError, ValueError) as error:
            with tally.lock:
                tally.problems.append(f"{kind}: {type(error).__name__}: {error}")


def start_server(home: Path, port: int, log: Path) -> subprocess.Popen:
    """The app on a port, once it says that it is well.

    Raises:
        LostError: it does not come up within two minutes.
    """
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.headless", "true"]
    with log.open("ab") as out:
        environment = os.environ | {"STVLM_HOME": str(home)}
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.2)
    server.kill()
    raise LostError("The server did not start.")


def logged_errors(log: Path) -> list[str]:
    """Kind and place of every error that the server wrote down."""
    told = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.startswith("{")]
    return [
        f"log: {line.get('error', '')} {line.get('at', ['', ''])[-9:]}" for line in told if line["level"] in ("ERROR", "CRITICAL")
    ]


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def watch(server: subprocess.Popen, until: float, tally: Tally) -> None:
    """Write down the memory of the server with the processes that work for it, and its threads, every second."""
    process, started = psutil.Process(server.pid), time.monotonic()
    while time.monotonic() < until:
        rss = process.memory_info().rss
        for child in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                rss += child.memory_info().rss
        tally.memory.append((time.monotonic() - started, rss, process.num_threads()))
        time.sleep(1.0)


def figures(tally: Tally, seconds: float) -> list[Figure]:
    """What the load showed."""
    rss = np.array([(t, r / 1e6) for t, r, _ in tally.memory])
    middle, end = (rss[(rss[:, 0] >= a * seconds) & (rss[:, 0] <= b * seconds), 1].mean() for a, b in ((0.4, 0.6), (0.8, 1.0)))
    minutes = [f"{np.median(rss[rss[:, 0] // 60 == m, 1]):.0f}" for m in np.unique(rss[:, 0] // 60)]
    by_minute = f"median of each minute: {', '.join(minutes)} MB"
    every = np.concatenate([np.array(v) for v in tally.seconds.values()])
    return [
        Figure("actions", len(every)),
        Figure("journeys to their end", tally.finished, "", ">= 1"),
        Figure("errors and cross-talk", len(tally.problems), "", "<= 0", "; ".join(sorted(set(tally.problems))[:8])[:2000]),
        Figure("answers that said 'busy'", tally.busy),
        Figure("an action, median", float(np.median(every)), "s"),
        Figure("an action, 95 of 100", float(np.quantile(every, 0.95)), "s"),
        Figure("an action, the longest", float(every.max()), "s"),
        Figure("memory of the server and its processes, the most", float(rss[:, 1].max()), "MB", "<= 4096", by_minute),
        Figure("memory in the last fifth over that of the middle one", float(end / middle), "", "<= 1.1"),
        Figure("threads of the server, the most", max(n for _, _, n in tally.memory)),
    ]


def main() -> int:
    """Run the load; 0 when nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--pause", type=float, default=10.0, help="seconds that a person looks at a page, in the mean")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", type=Path, default=STORE, help="where the figures go")
    asked = parser.parse_args()
    tally, port = Tally(), free_port()
    with tempfile.TemporaryDirectory() as name:
        server = start_server(Path(name) / "home", port, Path(name) / "app.log")
        try:
            first = Visitor(f"127.0.0.1:{port}")  # libraries and samples are loaded once, before the time begins
            first.open("forecast", f"data=sample:{SAMPLES[0]}")
            first.close()
            until = time.monotonic() + asked.minutes * 60
            threads = [threading.Thread(target=watch, args=(server, until, tally))]
            for i in range(asked.sessions):
                given = (f"127.0.0.1:{port}", i, until, asked.pause, tally, Random(f"{asked.seed} {i}"))
                threads.append(threading.Thread(target=session, args=given, daemon=True))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(asked.minutes * 60 + 300)
            spent = sum(psutil.Process(server.pid).cpu_times()[:2])
        finally:
            server.kill()
            server.wait()
            tally.problems += logged_errors(Path(name) / "app.log")
    table = [["action", "times", "median, s", "95 of 100, s"]]
    for kind, times in tally.seconds.items():
        table.append([kind, str(len(times)), f"{np.median(times):.2f}", f"{np.quantile(times, 0.95):.2f}"])
    how = f"{asked.sessions} sessions for {asked.minutes:g} minutes, {asked.pause:g} s between two actions in the mean, seed {asked.seed}."
    keep(
        "tests.soak.load",
        f"{how} {__doc__.splitlines()[0]}",
        [*figures(tally, asked.minutes * 60), Figure("processor time", spent, "s")],
        table,
        asked.store,
    )
    print(*sorted(set(tally.problems)), sep="\n")
    return bool(tally.problems)


if __name__ == "__main__":
    sys.exit(main())
