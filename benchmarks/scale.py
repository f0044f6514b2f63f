"""What a window costs on networks of 200 to 10,000 sensors: python -m benchmarks.scale [--steps T] [--sizes N,N,...]

Each size runs in a process of its own, on a made-up network whose readings lie in a memory-mapped file that is deleted afterwards.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.record import Figure, keep

SIZES = (200, 400, 800, 1600, 3200, 6400, 10_000)
STEPS, LOOKBACK, HORIZON = 100_000, 12, 12
FIT = 5  # sizes, the last ones, through which the exponent goes
WINDOWS = 3
PAST = 1000  # steps that the anchor is made from, the last ones
START, STEP = np.datetime64("2024-01-01T00:00:00", "s"), 300  # seconds
STAGES = ("painting", "series tokens", "anchor", "prompt", "fusion and network", "whole window")
ONCE = ("read the past and blend", "first forecast with bands", "next forecast with bands")
HOW = (
    "Made-up networks of constant density, {steps:,} steps of 5 minutes in a memory-mapped file, of which the last 2,000 hold readings; "
    "L = H = 12, one window at a time, `tiny`, one thread, processor time; median of {windows} windows. The anchor is the ridge form and "
    "the ways to read the past together. Memory is the largest of the whole process, with the pages of the file that it touched. Above "
    "2,048 sensors far ones are read in groups (stvlm/model/block_attention.py). Exponents are fitted on the last five sizes."
)


def make_up(n_sensors: int, n_steps: int, file: Path) -> None:
    """Write (T, N) float32 readings with a daily cycle, slow waves that cross the network and noise, a block at a time.

    Steps long before those that are looked at stay holes in the file, which read as 0 and take no room on the disk.
    """
    random = np.random.default_rng(n_sensors)
    day = 86400 // STEP
    height, phase = 5 + 10 * random.random(n_sensors), random.random(n_sensors)
    usual = 60 - height * np.cos(2 * np.pi * (np.arange(day)[:, None] / day - 0.1 * phase))  # (P, N)
    noise = random.normal(0, 1.5, (day + 997, n_sensors)).astype("f4")
    header = np.lib.format.open_memmap(file, "w+", "f4", (n_steps, n_sensors))
    del header
    with file.open("r+b") as out:
        first = max(n_steps - 2 * PAST, 0)
        out.seek(file.stat().st_size - 4 * (n_steps - first) * n_sensors)
        for start in range(first, n_steps, day):
            shift = int(random.integers(997))
            block = usual + noise[shift : shift + day] + 3 * np.sin(start / day + 6 * phase)
            out.write(block[: n_steps - start].astype("f4").tobytes())


def network_of(n_sensors: int):
    """Sensors at random places, as dense whatever their number."""
    from stvlm.core.network import SensorNetwork

    random = np.random.default_rng(n_sensors + 1)
    side = 0.01 * n_sensors**0.5
    ids = tuple(f"S{i:05d}" for i in range(n_sensors))
    return SensorNetwork(ids, 48 + side * random.random(n_sensors), 11 + 1.5 * side * random.random(n_sensors))


def memory_bytes(field: str) -> int:
    """A line of /proc/self/status, such as VmHWM (the largest so far) or VmRSS (now)."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}.")


def watched(work: Callable[[], object]) -> tuple[float, int, object]:
    """(processor seconds, bytes above those before, result) of one run."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the largest so far begins anew
    before, start = memory_bytes("VmRSS"), time.process_time()
    result = work()
    return time.process_time() - start, max(memory_bytes("VmHWM") - before, 0), result


def measure(n_sensors: int, n_steps: int, file: Path) -> dict:
    """Seconds and bytes of every stage on one network, in this process."""
    import torch

    from stvlm.anchor.zero_shot import zero_shot_anchor
    from stvlm.core.series import SensorSeries
    from stvlm.core.windows import Split, Window
    from stvlm.inference.predict import predict
    from stvlm.modalities.image.views import paint_views
    from stvlm.modalities.series import series_features
    from stvlm.training.fit import make_model
    from stvlm.training.trainer import FitConfig

    torch.set_num_threads(1)
    base = memory_bytes("VmRSS")
    times = START + np.arange(n_steps) * np.timedelta64(STEP, "s")
    values = np.load(file, mmap_mode="r")
    series = SensorSeries(network_of(n_sensors), times, values, "traffic speed", "km/h")
    found, largest = {}, 0
    hash_seconds, _, _ = watched(lambda: series.fingerprint)
    last = n_steps - WINDOWS - HORIZON
    seconds, peak, anchor = watched(lambda: zero_shot_anchor(series, last - PAST, last, LOOKBACK, HORIZON, (1440,)))
    found[ONCE[0]], largest = (seconds, peak), max(largest, memory_bytes("VmHWM"))
    config = FitConfig(LOOKBACK, HORIZON, seasons_minutes=(1440,), device="cpu")
    model, _ = make_model(series, config, Split.from_shares(n_steps, (0.6, 0.2, 0.2)), anchor)
    model.eval().manifest = {"sensors": list(series.network.ids)}
    for name, cutoff in ((ONCE[1], last), (ONCE[2], last + 1)):
        seconds, peak, forecast = watched(lambda c=cutoff: predict(model, Window(series, c, LOOKBACK, HORIZON)))
        found[name], largest = (seconds, peak), max(largest, memory_bytes("VmHWM"))
    if not np.isfinite(forecast.values).all():
        raise RuntimeError("The forecast holds values that are not finite.")
    anchor = model.anchor
    fixed = (0.5, *(share / 2 for share in anchor.shares[1:]))  # the ridge form counts too, as after a training
    builder = model.builder(series)
    builder.anchor = anchor = replace(anchor, shares=fixed, replay=None)
    frame, view, image = anchor.frame, builder.view, builder.config.image
    runs: dict[str, list[tuple[float, int]]] = {stage: [] for stage in STAGES}
    for turn in range(WINDOWS + 1):
        cutoffs = np.array([last + turn])

        def run(stage: str, work: Callable[[], object], turn: int = turn) -> object:
            seconds, peak, result = watched(work)
            if turn:
                runs[stage].append((seconds, peak))
            return result

        with torch.no_grad():
            numbers = builder.numbers(cutoffs)
            past, observed = (torch.from_numpy(np.ascontiguousarray(numbers[name])) for name in ("past", "observed"))
            run("painting", lambda past=past, observed=observed: paint_views(builder.raster, past, observed, image))
            arrays = cutoffs, numbers["centre"], numbers["past"], numbers["observed"]
            run("series tokens", lambda arrays=arrays: model.token(
                torch.from_numpy(series_features(view, frame, *arrays, builder.context, builder.config.series))
            ))  # fmt: skip
            run("anchor", lambda cutoffs=cutoffs: anchor.forecast_from(builder.views, cutoffs))
            run("prompt", lambda cutoffs=cutoffs: builder.mentions(builder.prompt(int(cutoffs[0]))))
            inputs = builder.batch(cutoffs, numbers)
            run("fusion and network", lambda inputs=inputs: model(inputs))
            builder._prompts.clear()
            run("whole window", lambda cutoffs=cutoffs: whole(model, builder, cutoffs))
            largest = max(largest, memory_bytes("VmHWM"))
    for stage, rows in runs.items():
        found[stage] = tuple(statistics.median(column) for column in zip(*rows, strict=True))
    found["the whole process"] = (sum(found[name][0] for name in ONCE), largest)
    return {"n": n_sensors, "base": base, "hash": hash_seconds, "stages": found}


def whole(model, builder, cutoffs: np.ndarray):
    """Inputs, network and quantiles of one window."""
    inputs = builder.build(cutoffs)
    return model.quantiles(model(inputs), inputs)


def exponent(rows: list[dict], stage: str, column: int) -> float:
    """Slope of the logarithm of seconds (0) or bytes (1) over the logarithm of N on the last sizes."""
    last = rows[-FIT:]
    costs = [max(row["stages"][stage][column], 1e-9) for row in last]
    return float(np.polyfit(np.log([row["n"] for row in last]), np.log(costs), 1)[0])


def figures_of(rows: list[dict]) -> list[Figure]:
    """Exponents, and what the largest network takes."""
    out = [
        Figure(f"exponent of seconds over N, {stage}", exponent(rows, stage, 0), "", "<= 1.15" if stage == "whole window" else "")
        for stage in ("whole window", *STAGES[:-1], *ONCE)
    ]
    out.append(Figure("exponent of memory over N, the whole process", exponent(rows, "the whole process", 1), "", "<= 1.1"))
    out.append(Figure("exponent of memory over N, whole window", exponent(rows, "whole window", 1), "", "<= 1.1"))
    last = rows[-1]
    size = f"{last['n']:,} sensors"
    out.append(Figure(f"largest memory, {size}", last["stages"]["the whole process"][1] / 2**30, "GiB", "<= 8"))
    out += [Figure(f"{name}, {size}", last["stages"][name][0], "s") for name in (*ONCE, "whole window")]
    out.append(Figure(f"fingerprint of the readings, {size}", last["hash"], "s", "", "once for a series"))
    return out


def table_of(rows: list[dict]) -> list[list[str]]:
    """Milliseconds of every stage and GiB, one row a size."""
    head = ["N", *(f"{stage}, ms" for stage in STAGES), *(f"{name}, s" for name in ONCE), "largest, GiB"]
    body = []
    for row in rows:
        stages = row["stages"]
        cells = [f"{1000 * stages[s][0]:.1f}" for s in STAGES] + [f"{stages[s][0]:.1f}" for s in ONCE]
        body.append([f"{row['n']:,}", *cells, f"{stages['the whole process'][1] / 2**30:.2f}"])
    return [head, *body]


def main() -> None:
    """Measure every size in a process of its own, and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--one", type=Path, help="measure one size on this file, in this process")
    asked = parser.parse_args()
    sizes = [int(size) for size in asked.sizes.split(",")]
    if asked.one:
        print(json.dumps(measure(sizes[0], asked.steps, asked.one)))
        return
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "readings.npy"
            make_up(size, asked.steps, file)
            call = [sys.executable, "-m", "benchmarks.scale", "--sizes", str(size), "--steps", str(asked.steps), "--one", str(file)]
            done = subprocess.run(call, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{size} sensors: {done.stderr[-2000:]}")
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(
            f"{size}: " + ", ".join(f"{name} {s:.3f} s {b / 2**20:.0f} MiB" for name, (s, b) in rows[-1]["stages"].items()),
            flush=True,
        )
    if len(rows) >= FIT:
        keep("benchmarks.scale", HOW.format(steps=asked.steps, windows=WINDOWS), figures_of(rows), table_of(rows))


if __name__ == "__main__":
    main()
