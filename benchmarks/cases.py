"""The networks and models that several benches share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stvlm.anchor.zero_shot import zero_shot_anchor
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split
from stvlm.datasets import synthetic_city
from stvlm.datasets.folder import as_dataset, open_dataset, read_list
from stvlm.modalities.batch import InputBuilder
from stvlm.model.stvlm import STVLM
from stvlm.training.fit import make_model
from stvlm.training.trainer import FitConfig, Training

N_SENSORS, LOOKBACK, HORIZON = 207, 12, 12  # of METR-LA
DAYS, STEP_MINUTES = 7, 5


@dataclass(frozen=True, eq=False)
class Case:
    """A network, its parts, and a model of it that nobody has trained, with the network at work."""

    series: SensorSeries
    split: Split
    config: FitConfig
    model: STVLM
    builder: InputBuilder

    def training(self) -> Training:
        """A training that has not begun; it goes on for as long as it is asked to."""
        training = Training(self.model, self.builder, self.config, self.split, torch.device("cpu"))
        training.total = 10**6
        return training


def like_metr_la() -> SensorSeries:
    """A made-up city with as many sensors, steps a day and days as a week of METR-LA, rain and incidents told in words."""
    return synthetic_city.city(N_SENSORS, DAYS, STEP_MINUTES)


def from_folder(folder: Path, name: str) -> SensorSeries:
    """A network of a folder with datasets.json."""
    return open_dataset(folder, as_dataset(name, read_list(folder)[name]))[0]


def many(n_sensors: int, n_steps: int) -> SensorSeries:
    """A made-up network with a daily cycle, held in memory."""
    random = np.random.default_rng(n_sensors)
    side = 0.01 * n_sensors**0.5
    places = 48 + side * random.random(n_sensors), 11 + 1.5 * side * random.random(n_sensors)
    network = SensorNetwork(tuple(f"S{i:05d}" for i in range(n_sensors)), *places)
    day = 86400 // 300
    usual = 60 - (5 + 10 * random.random(n_sensors)) * np.cos(2 * np.pi * np.arange(n_steps)[:, None] / day)
    values = (usual + random.normal(0, 1.5, usual.shape)).astype("f4")
    times = np.datetime64("2024-01-01T00:00:00", "s") + np.arange(n_steps) * np.timedelta64(300, "s")
    return SensorSeries(network, times, values, "traffic speed", "km/h")


def case(series: SensorSeries) -> Case:
    """An untrained `tiny` with all three modalities, around an anchor that reads the past; a fifth of the steps are its training part."""
    config = FitConfig(LOOKBACK, HORIZON, (0.2, 0.1, 0.7), backbone="tiny", seasons_minutes=(1440,), device="cpu")
    split = Split.from_shares(series.n_steps, config.split)
    anchor = zero_shot_anchor(series, 0, split.train_end, LOOKBACK, HORIZON, (1440,))
    model, builder = make_model(series, config, split, anchor)
    model.manifest = {"sensors": list(series.network.ids)}
    return Case(series, split, config, model, builder)
