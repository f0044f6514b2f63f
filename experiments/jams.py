"""Whether attention points at a jam on its way: python -m experiments.jams asks the made-up city's model before jams reach a sensor."""

from __future__ import annotations

import numpy as np
import torch

from experiments.incidents import FOLDER
from stvlm.core.windows import Split
from stvlm.datasets import synthetic_city
from stvlm.datasets.samples import SAMPLES, load_sample
from stvlm.model.stvlm import STVLM

NEAR_KM, FAR_KM = 3.0, 9.0  # along the road, from where the jam began to the sensor that it has not reached
SLOW = 0.15  # of its speed that a sensor has lost to jams
DAY = 96  # steps


def approaching(series, first: int) -> list[tuple[int, int, np.ndarray]]:
    """(cutoff, sensor, slow sensors) halfway between the start of each jam from step `first` on and its coming to a sensor."""
    truth = synthetic_city.truth()
    slow = synthetic_city.jam_slowness(truth, series.n_steps, 15)
    found = []
    for jam in truth.jams:
        for node, km in enumerate(truth.road_km[:, jam.node]):
            cutoff = jam.step + round(km / 2 / truth.jam_kmh * 4) + 1 if np.isfinite(km) else 0
            is_on_its_way = NEAR_KM <= km <= FAR_KM and first <= jam.step < series.n_steps - 24 and slow[cutoff - 1, node] < 0.02
            nodes = np.flatnonzero(slow[cutoff - 1] > SLOW)
            if is_on_its_way and len(nodes):
                found.append((cutoff, node, nodes))
    return found


@torch.no_grad()
def main() -> None:
    """Print shares of attention on the jam now and at the same hour of the day before."""
    series, sample, model = load_sample("synthetic_city"), SAMPLES["synthetic_city"], STVLM.load(FOLDER)
    cases = approaching(series, Split.from_shares(series.n_steps, sample.split).test_start + sample.lookback)
    builder, sensors = model.builder(series), torch.arange(series.network.n_sensors)
    gap = (builder.places[:, None] - model.patch_places[None]).norm(dim=-1)
    patch = gap.argmin(dim=1).numpy()  # (N,) the patch that a sensor lies in
    image, others = [], []
    for cutoff, node, slow in cases:
        fusion = model(builder.build(np.array([cutoff, cutoff - DAY])), explain=sensors).fusion
        image.append(fusion.image_attention[:, node, np.unique(patch[slow])].sum(dim=1).numpy())
        others.append(fusion.sensor_attention[:, node, slow].sum(dim=1).numpy())
    print(f"{len(cases)} times a jam of the test part is on its way to a sensor: share of that sensor's attention on the jam")
    for name, rows in (("image", np.array(image)), ("sensors", np.array(others))):
        now, before = rows.mean(axis=0)
        print(f"{name:8s} now {now:.1%}, a day before {before:.1%}; higher now in {(rows[:, 0] > rows[:, 1]).mean():.0%}")


if __name__ == "__main__":
    main()
