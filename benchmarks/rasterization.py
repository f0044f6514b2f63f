"""How fast a batch of windows is painted, beside scipy's griddata and beside writing the same bytes: python -m benchmarks.rasterization."""

from __future__ import annotations

import statistics

import torch
from scipy.interpolate import griddata

from benchmarks.record import Figure, in_turn, keep, ratio, seconds_of
from stvlm.datasets import synthetic_city
from stvlm.modalities.image.views import ImageConfig, build_raster

N_SENSORS, SIZE, BATCH, FRAMES = 207, 128, 32, 12
ROUNDS = 15
HOW = (
    f"{N_SENSORS} sensors painted on {SIZE} x {SIZE} pixels, {FRAMES} frames of {BATCH} windows at once, one thread. Beside it griddata "
    "makes one frame at a time (the only way it has; it triangulates each time), and the output's bytes are written once: into memory "
    "of its own, as painting needs it, and into memory that is there already."
)


def main() -> None:
    """Measure and keep."""
    torch.set_num_threads(1)
    network = synthetic_city.field(N_SENSORS, 3, "noise").network
    raster = build_raster(network, ImageConfig(size=SIZE))
    values = torch.randn(BATCH, FRAMES, N_SENSORS)
    gaps = torch.rand(values.shape) < 0.9
    complete = torch.ones_like(gaps)
    lat, lon = raster.pixel_centres()
    row = values[0, 0].numpy()
    there = torch.empty(BATCH, FRAMES, SIZE, SIZE)
    n_frames = BATCH * FRAMES
    found = in_turn(
        {
            "complete": lambda: raster.paint(values, complete),
            "gaps": lambda: raster.paint(values, gaps),
            "linear": lambda: griddata((network.lon, network.lat), row, (lon, lat), method="linear"),
            "cubic": lambda: griddata((network.lon, network.lat), row, (lon, lat), method="cubic"),
            "write": lambda: torch.full(there.shape, 0.5),
            "write again": lambda: there.fill_(0.5),
        },
        ROUNDS,
    )
    build = seconds_of(lambda: build_raster(network, ImageConfig(size=SIZE)), 3)
    figures = [
        Figure("griddata linear / painted, per frame", n_frames * ratio(found["linear"], found["complete"]), "", ">= 100"),
        Figure("griddata cubic / painted, per frame", n_frames * ratio(found["cubic"], found["complete"]), "", ">= 100"),
        Figure("the same, linear, a tenth of the readings missing", n_frames * ratio(found["linear"], found["gaps"]), "", ">= 100",
               "weights are renormalised for each frame; griddata would triangulate anew all the same"),
        Figure("painted / output written once", ratio(found["complete"], found["write"]), "", "<= 3"),
        Figure("painted / output written once into memory at hand", ratio(found["complete"], found["write again"]), "", "<= 3"),
        Figure("painted", 1e6 * statistics.median(found["complete"]) / n_frames, "µs a frame"),
        Figure("weights of a network built, once", 1e3 * statistics.median(build), "ms"),
    ]  # fmt: skip
    keep("benchmarks.rasterization", HOW, figures)


if __name__ == "__main__":
    main()
