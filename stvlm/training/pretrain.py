"""Training over many networks at once: what their fields have in common, as a departure from an anchor that nothing was fitted for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch

from stvlm import __version__
from stvlm.anchor.ensemble import Anchor
from stvlm.anchor.zero_shot import zero_shot_anchor
from stvlm.core.seasonality import find_seasons
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split, thin
from stvlm.datasets.folder import Dataset, open_dataset
from stvlm.datasets.synthetic_physics import FIELDS, physical_field
from stvlm.modalities.batch import InputBuilder, InputConfig, ModelInputs
from stvlm.model import backbone as backbones
from stvlm.model.head import MEDIAN
from stvlm.model.losses import pinball_loss, usual_spread
from stvlm.model.pretrained import config_for, first_model, places_of, with_shared_weights
from stvlm.model.stvlm import STVLM, ModelConfig, set_spread
from stvlm.training.trainer import schedule

LONGEST = 12_000  # steps of a network that are looked at
MOST_SENSORS = 48  # of a task
KEPT_BACK = 0.15  # of the windows of a task, its last ones: they say how well it goes
SPARED = 0.3  # chance that a batch goes without its images, and that it goes without its prompts
DECAY = 0.05
VARIANTS = 3  # tasks of a network
LEAST = 6  # windows that share no reading, or a part is too short to learn from


@dataclass(frozen=True, eq=False)
class Task:
    """Windows of one network, or of a part of one, ready for training.

    Attributes:
        name: of the network. series, anchor: the readings, and the forecaster that knows their first half. known: steps of that half.
        builder: of batches. cutoffs: (W,), rising, in the second half. numbers: of them, as `InputBuilder.numbers` makes them.
        scale: mean absolute error of the anchor, in the unit.
    """

    name: str
    series: SensorSeries
    anchor: Anchor
    known: int
    builder: InputBuilder
    cutoffs: np.ndarray
    numbers: dict[str, np.ndarray]
    scale: float

    @property
    def n_train(self) -> int:
        """Windows that are trained on; the others are kept back, and share no reading with them."""
        first_kept = int(len(self.cutoffs) * (1 - KEPT_BACK))
        return int(np.searchsorted(self.cutoffs, self.cutoffs[first_kept] - self.anchor.frame.horizon - self.anchor.frame.lookback))

    def batch(self, rows: np.ndarray, shown: tuple[str, ...] | None = None) -> ModelInputs:
        """The batch of some of the windows, with the modalities `shown`; None for all."""
        return self.builder.batch(self.cutoffs[rows], {name: values[rows] for name, values in self.numbers.items()}, shown)


def make_task(
    name: str,
    series: SensorSeries,
    lookback: int,
    horizon: int,
    config: ModelConfig,
    n_windows: int = 256,
    prompts: dict[int, str] | None = None,
) -> Task:
    """Find the anchor of the first half of a series, and forecast windows of the second half with it.

    Raises:
        ValueError: a series too short for that.
    """
    known = series.n_steps // 2
    seasons = find_seasons(series.screened.values, series.local_times, 0, known, series.step_seconds)
    anchor = zero_shot_anchor(series, 0, known, lookback, horizon, seasons)
    inputs = config_for(config, series, anchor, 0, known).inputs
    builder = InputBuilder(
        series, anchor, inputs, backbones.load(config.backbone, config.n_layers, config.seed).count_tokens, prompts
    )
    cutoffs = thin(np.arange(known, series.n_steps - horizon + 1), n_windows)
    numbers = builder.numbers(cutoffs)
    scale = max(float(np.nanmean(np.abs(numbers["target"] - numbers["anchor"]))), 1e-9)
    return Task(name, series, anchor, known, builder, cutoffs, numbers, scale)


def coarser(series: SensorSeries, times: int) -> SensorSeries:
    """The same readings with steps `times` as long: means of what was observed, NaN where nothing was."""
    n = series.n_steps // times
    values = series.values[: n * times].reshape(n, times, -1)
    seen = np.isfinite(values)
    count = seen.sum(axis=1)
    means = np.where(count > 0, np.where(seen, values, 0).sum(axis=1) / np.maximum(count, 1), np.nan).astype("f4")
    return SensorSeries(
        series.network, series.times[: n * times : times], means, series.quantity, series.unit, timezone=series.timezone
    )


def variants(series: SensorSeries, lookback: int, horizon: int, rng: np.random.Generator, count: int) -> list[tuple]:
    """(series, L, H) of parts of a network: other sensors, other steps, other windows; the first one with its own."""
    out = []
    for k in range(count):
        part, n = series, series.network.n_sensors
        if n > MOST_SENSORS:
            part = part.select(np.sort(rng.choice(n, MOST_SENSORS, replace=False)))
        times = int(rng.integers(2, 5)) if k and k % 2 and series.n_steps > 4000 else 1
        part = replace(part, context=None, known_ahead=()) if part.context is not None else part
        part = coarser(part, times) if times > 1 else part
        spare = part.n_steps - LONGEST
        if spare > 0:
            begin = int(rng.integers(0, spare + 1)) if k else spare
            part = part.slice(begin, begin + LONGEST)
        length, ahead = lookback, horizon
        if k:
            ahead = int(rng.integers(3, 25))
            length = int(ahead * rng.uniform(1, 3))
        if part.n_steps >= LEAST * (length + ahead):
            out.append((part, length, ahead))
    return out


class JointTraining:
    """One set of weights, trained on many tasks; each step on a batch of one of them.

    Args:
        tasks: what to learn from. config: of the model. steps, rate, batch_size, seed: of the training.
    """

    def __init__(
        self, tasks: Sequence[Task], config: ModelConfig, steps: int, rate: float = 1e-3, batch_size: int = 16, seed: int = 0
    ) -> None:
        self.tasks, self.total, self.rate, self.batch_size, self.seed = list(tasks), steps, rate, batch_size, seed
        first = self.tasks[0]
        self.core = first_model(config, first.series, first.anchor, 0, first.known)
        self.models = [with_shared_weights(self.core, t.series, t.anchor, 0, t.known) for t in self.tasks]
        for model, task in zip(self.models, self.tasks, strict=True):
            train = {name: values[: task.n_train] for name, values in task.numbers.items()}
            set_spread(model, usual_spread(task.anchor.frame, train))
        named = {n: p for n, p in self.core.named_parameters() if p.requires_grad}
        decay, plain = [p for p in named.values() if p.ndim > 1], [p for p in named.values() if p.ndim <= 1]
        self.named = named
        self.optimiser = torch.optim.AdamW(
            [{"params": decay, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}], lr=rate
        )
        self.averaged = {n: p.detach().clone() for n, p in named.items()}
        names = [t.name for t in self.tasks]
        odds = np.array([1 / np.sqrt(names.count(n)) for n in names])
        self.odds, self.generator, self.step = odds / odds.sum(), np.random.default_rng(seed), 0

    def advance(self) -> float:
        """One step; returns the loss relative to the anchor's error."""
        torch.manual_seed(self.seed * 1_000_003 + self.step)
        i = int(self.generator.choice(len(self.tasks), p=self.odds))
        model, task = self.models[i], self.tasks[i]
        spared = {name for name in ("vision", "text") if self.generator.random() < SPARED}
        shown = tuple(name for name in model.config.inputs.modalities if name not in spared)
        inputs = task.batch(self.generator.integers(0, task.n_train, self.batch_size), shown)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * schedule(self.step, self.total)
        model.train()
        loss = pinball_loss(model, inputs) / task.scale
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.named.values(), 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(0.99, self.step / (self.step + 9))
        with torch.no_grad():
            for name, parameter in self.named.items():
                self.averaged[name].lerp_(parameter, 1 - keep)
        return float(loss.detach())

    def finish(self) -> STVLM:
        """The model with the averaged weights."""
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(self.averaged[name])
        return self.core.eval()

    @torch.no_grad()
    def gains(self) -> dict[str, float]:
        """Error relative to the anchor's on the windows kept back, by network: the mean over its tasks."""
        found: dict[str, list[float]] = {}
        for model, task in zip(self.models, self.tasks, strict=True):
            model.eval()
            ours = theirs = 0.0
            rows = np.arange(int(len(task.cutoffs) * (1 - KEPT_BACK)), len(task.cutoffs))
            for block in np.array_split(rows, max(1, len(rows) // 20)):
                inputs = task.batch(block)
                seen = torch.isfinite(inputs.target)
                median = model.quantiles(model(inputs), inputs, (MEDIAN,))[0]
                ours += float((median - inputs.target)[seen].abs().sum())
                theirs += float((inputs.anchor - inputs.target)[seen].abs().sum())
            found.setdefault(task.name, []).append(ours / max(theirs, 1e-12))
        return {name: float(np.mean(ratios)) for name, ratios in found.items()}


def tiny_config(modalities: tuple[str, ...] = ("vision", "text", "series"), seed: int = 0) -> ModelConfig:
    """Settings of the small model that ships: the tiny backbone, 32-pixel field images, short prompts."""
    return ModelConfig(1, 1, 1, "tiny", seed=seed, inputs=InputConfig(modalities, on_image=True), dropout=0.1)


def gather(
    networks: Sequence[tuple[Path, Dataset]], n_fields: int, config: ModelConfig, seed: int, say: Callable[[str], None]
) -> list[Task]:
    """The tasks of many networks, without a reading of their test parts, and of made-up fields.

    Args:
        networks: each with the folder that holds it. n_fields: of each kind of FIELDS. config: of the model. seed: of what is random.
        say: told of each network, in a line.

    Raises:
        InputError: a network cannot be read. ValueError: there is nothing to learn from.
    """
    tasks: list[Task] = []
    for folder, dataset in networks:
        series, _, _ = open_dataset(folder, dataset)
        known = series.slice(0, Split.from_shares(series.n_steps, dataset.split).val_end)
        parts = variants(
            known, dataset.lookback, dataset.horizon, np.random.default_rng([seed, crc32(dataset.name.encode())]), VARIANTS
        )
        made = [
            make_task(dataset.name, *part, config) for part in parts if np.isfinite(part[0].values[part[0].n_steps // 2 :]).any()
        ]
        tasks += made
        say(f"{dataset.name}: {len(made)} tasks" if made else f"{dataset.name}: too short to learn from, left out")
    for number in range(n_fields):
        for kind in FIELDS:
            rng = np.random.default_rng([seed, number, list(FIELDS).index(kind)])
            series = physical_field(
                kind, int(rng.integers(1 << 30)), int(rng.integers(10, MOST_SENSORS)), int(rng.integers(800, 3000))
            )
            horizon = int(rng.integers(3, 25))
            tasks.append(make_task(kind, series, int(horizon * rng.uniform(1, 3)), horizon, config))
        say(f"made-up fields: {number + 1} of {n_fields} of each kind")
    if not tasks:
        raise ValueError("There is nothing to learn from: no network is long enough, and no made-up fields are asked for.")
    return tasks


def manifest(training: JointTraining, settings: dict[str, Any], gains: dict[str, float]) -> dict[str, Any]:
    """How shared weights were made: settings, networks, hashed places of their sensors, error relative to the anchor, versions."""
    real = [task for task in training.tasks if task.name not in FIELDS]
    return {
        "settings": settings,
        "networks": sorted({task.name for task in real}),
        "places": sorted({place for task in real for place in places_of(task.series)}),
        "kept_back": gains,
        "tasks": len(training.tasks),
        "steps": training.step,
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy")} | {"stvlm": __version__},
    }
