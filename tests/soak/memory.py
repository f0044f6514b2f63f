"""Memory that the server keeps, and what one visitor's bombs cost the others: page switches, large uploads, a bomb of each kind.

    python -m tests.soak.memory --switches 220 --uploads 5

The server is warmed by a visit to every page. Then one visitor switches pages, others upload a large table each and close their tabs, and
others send a bomb of each kind while somebody else moves through time on the Forecast page. At the end all tabs are closed; what the server
and its processes hold then is compared with what they held before.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from streamlit.proto.WidgetStates_pb2 import WidgetState

from tests.soak.load import SAMPLES, free_port, start_server
from tests.soak.visitor import LostError, Visitor

PAGES = ("", "data", "forecast", "fusion", "images", "prompts", "whatif", "compare", "train", "learn")
SENSORS, ROWS = 240, 97_000  # of a large table: 97 MB
MOST_KEPT = 300e6  # bytes
MOST_COST = 0.5  # seconds
QUIET_SECONDS = 130.0  # until closed tabs are forgotten, which Streamlit does after 120


def table(number: int) -> dict[str, bytes]:
    """A network of 97 MB as two files; each number another one."""
    ids = [f"s{i}" for i in range(SENSORS)]
    times = np.datetime_as_string(np.datetime64("2010-01-01T00") + np.arange(ROWS).astype("timedelta64[h]"))
    rows = [f"{t}:00,{number}.5" + f",{i % 7}.5" * (SENSORS - 1) for i, t in enumerate(times)]
    sensors = "sensor_id,lat,lon\n" + "\n".join(f"{name},{50 + i / 100},8" for i, name in enumerate(ids))
    return {"sensors.csv": sensors.encode(), "readings.csv": ("timestamp," + ",".join(ids) + "\n" + "\n".join(rows)).encode()}


def held(server: psutil.Process) -> int:
    """Bytes that the server and its processes hold."""
    total = 0
    for process in (server, *server.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def bombs() -> dict[str, tuple[str, str | dict[str, bytes]]]:
    """Name -> (page, a template or files): what took minutes or gigabytes before it was bounded."""
    joins = "{{ place" + "|join(place)" * 13 + " }}"
    text = "'" + "x" * 1900 + "'"
    loops = f"{{% for a in {text}|join({text}) %}}{{% for b in {text} %}}{{% endfor %}}{{% endfor %}}"
    steps = f"{{% for a in context %}}{{% for b in context %}}{{% if {text}|title == {text} %}}{{% endif %}}{{% endfor %}}{{% endfor %}}"
    row = {"model": "m", "mae": 1.0, "rmse": 2.0, "mae_per_step": [1.0, 1.0], "mae_per_sensor": [1] * 120_000}
    result = {"lookback": 2, "horizon": 2, "windows": {"train": 1}, "scores": [row, row | {"model": "n"}]}
    points = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [8, 50]}, "properties": {"id": f"s{i}", f"own {i}": i}}
        for i in range(9000)
    ]
    readings = b"timestamp,s0\n2020-01-01,1\n2020-01-02,2\n2020-01-03,3\n"
    wide = b"timestamp," + b",".join(b"s%d" % i for i in range(19_900)) + b"\n" + (b"2020-01-01" + b",1" * 19_900 + b"\n") * 150
    places = b"sensor_id,lat,lon\n" + b"".join(b"s%d,50,%f\n" % (i, i / 1e4) for i in range(19_900))
    return {
        "joins of a template": ("prompts", joins),
        "loops of a template over text": ("prompts", loops),
        "loops of a template over facts": ("prompts", steps),
        "a result of 120,000 sensors": ("compare", {"bomb.json": json.dumps(result).encode()}),
        "a GeoJSON of 9,000 properties": (
            "data",
            {"sensors.geojson": json.dumps({"type": "FeatureCollection", "features": points}).encode(), "readings.csv": readings},
        ),
        "a table of 19,900 columns": ("data", {"sensors.csv": places, "readings.csv": wide}),
    }


def drop(address: str, page: str, given: str | dict[str, bytes]) -> None:
    """Send one bomb from a tab of its own and close it."""
    visitor = Visitor(address)
    visitor.open(page, "source=own&view=template" if page == "data" else "data=sample:irish_wind&reading=template")
    if isinstance(given, dict):
        visitor.upload(given)
    else:
        field = next(visitor.shown.of("text_area"))
        visitor.send(WidgetState(id=field.id, string_value=given))
    visitor.close()


def moving(address: str, seconds: list[float], is_over: threading.Event) -> None:
    """Somebody else goes on through the pages, and every action is timed."""
    visitor, place = Visitor(address), 0
    visitor.open("forecast", f"data=sample:{SAMPLES[0]}")
    while not is_over.is_set():
        started, place = time.monotonic(), place + 1
        visitor.choose("tied-sensor", place)
        seconds.append(time.monotonic() - started)
        time.sleep(0.1)
    visitor.close()


def cost(address: str, page: str, given: str | dict[str, bytes], rest: list[float]) -> float:
    """Seconds by which the slowest action of somebody else is longer than its usual one while a bomb is sent."""
    seconds, is_over = [], threading.Event()
    other = threading.Thread(target=moving, args=(address, seconds, is_over))
    other.start()
    while len(seconds) < 3:
        time.sleep(0.05)
    drop(address, page, given)
    time.sleep(0.5)
    is_over.set()
    other.join()
    return max(seconds) - float(np.median(rest))


def main() -> int:
    """Run; 0 where the memory came back and no bomb cost others more than it may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--switches", type=int, default=220)
    parser.add_argument("--uploads", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        address = f"127.0.0.1:{port}"
        server = start_server(Path(name) / "home", port, Path(name) / "app.log")
        try:
            kept, worst = run(address, psutil.Process(server.pid), asked.switches, asked.uploads)
        finally:
            server.kill()
            server.wait()
    return int(kept > MOST_KEPT or worst > MOST_COST)


def run(address: str, server: psutil.Process, switches: int, uploads: int) -> tuple[float, float]:
    """What is kept, in bytes, and the most that a bomb cost somebody else, in seconds."""
    visitor = Visitor(address)
    for sample in SAMPLES:
        for page in PAGES:
            visitor.open(page, f"data=sample:{sample}")
    before = held(server)
    print(f"before: {before / 1e6:.0f} MB", flush=True)
    for i in range(switches):
        visitor.open(PAGES[i % len(PAGES)], f"data=sample:{SAMPLES[i // len(PAGES) % len(SAMPLES)]}")
    visitor.close()
    print(f"after {switches} page switches: {held(server) / 1e6:.0f} MB", flush=True)
    for number in range(uploads):
        visitor = Visitor(address)
        visitor.open("data", "source=own")
        started = time.monotonic()
        visitor.upload(table(number))
        took = time.monotonic() - started
        print(f"upload {number + 1}: {took:.1f} s, {held(server) / 1e6:.0f} MB; {visitor.shown.alerts()[:1]}", flush=True)
        visitor.close()
    rest, is_over = [], threading.Event()
    other = threading.Thread(target=moving, args=(address, rest, is_over))
    other.start()
    time.sleep(8)
    is_over.set()
    other.join()
    print(f"an action of others: {np.median(rest):.2f} s, at most {max(rest):.2f} s", flush=True)
    worst = 0.0
    for name, (page, given) in bombs().items():
        with suppress(LostError):
            extra = cost(address, page, given, rest)
            worst = max(worst, extra)
            print(f"{name}: costs others {extra:.2f} s; {held(server) / 1e6:.0f} MB", flush=True)
    time.sleep(QUIET_SECONDS)
    after = held(server)
    print(
        f"after all tabs are closed: {after / 1e6:.0f} MB, {(after - before) / 1e6:+.0f} MB; a bomb costs others at most {worst:.2f} s"
    )
    return after - before, worst


if __name__ == "__main__":
    sys.exit(main())
