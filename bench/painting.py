"""How fast a batch of windows is painted, beside scipy's griddata frame by frame: python -m bench.painting."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from scipy.interpolate import griddata

from stvlm.data import synthetic
from stvlm.modalities.image import ImageConfig, build_raster

N_SENSORS, SIZE, BATCH, FRAMES = 207, 128, 32, 12


def best_of(work: Callable[[], object], rounds: int) -> float:
    """The shortest of some runs, in seconds."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Print milliseconds per frame and ratios, on one thread."""
    torch.set_num_threads(1)
    network = synthetic.field(N_SENSORS, 3, "noise").network
    raster = build_raster(network, ImageConfig(size=SIZE))
    values = torch.randn(BATCH, FRAMES, N_SENSORS)
    gaps = torch.rand(values.shape) < 0.9
    complete = torch.ones_like(gaps)
    ours = {name: best_of(lambda o=o: raster.paint(values, o), 9) for name, o in (("complete", complete), ("10 % missing", gaps))}
    lat, lon = raster.pixel_centres()
    row = values[0, 0].numpy()
    peers = {
        method: best_of(lambda m=method: griddata((network.lon, network.lat), row, (lon, lat), method=m), 5)
        for method in ("linear", "cubic")
    }
    n_frames = BATCH * FRAMES
    print(f"{N_SENSORS} sensors, {SIZE} x {SIZE} pixels, {n_frames} frames, one thread; built in {build_seconds(network):.3f} s")
    for name, seconds in ours.items():
        print(f"  painted, {name}: {1000 * seconds:.1f} ms in all, {1000 * seconds / n_frames:.4f} ms a frame")
        for method, peer in peers.items():
            print(f"    griddata {method}: {1000 * peer:.2f} ms a frame, {peer * n_frames / seconds:.0f} times as long")


def build_seconds(network: synthetic.SensorNetwork) -> float:
    """Seconds to build the raster once."""
    return best_of(lambda: build_raster(network, ImageConfig(size=SIZE)), 3)


if __name__ == "__main__":
    main()
