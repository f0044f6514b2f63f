"""Train a deep baseline: masked absolute error in the unit, Adam, the best weights on the validation part."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split, thin
from stvlm.evaluation.baselines import DEEP
from stvlm.evaluation.baselines.deep_networks import STID, Batch, Batches, DLinear, GraphWaveNet

CPU = torch.device("cpu")
MAX_MINUTES = 3.5
BATCH_CELLS = 300_000  # (window, step, sensor) at once
VAL_WINDOWS = 256
ROUND_STEPS = 100  # at most, between two validations; an epoch where that is shorter
MIN_ROUND_STEPS = 10


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        rate, decay: Adam's learning rate and weight decay. batch_size: windows a step.
        patience: validations without a better score before the rate is halved. halvings: before the training ends.
        clip: largest norm of the gradient of the scaled loss.
    """

    rate: float
    decay: float
    batch_size: int
    patience: int = 4
    halvings: int = 4
    clip: float = 5.0


RECIPES = {
    "dlinear": Recipe(2e-3, 0.0, 32),
    "stid": Recipe(2e-3, 1e-4, 32),
    "graph wavenet": Recipe(1e-3, 1e-4, 16),
}


@dataclass(frozen=True)
class DeepConfig:
    """Which network, and how long it may take.

    Attributes:
        name: one of DEEP. seed: of the start, the order of the windows and the dropout. max_minutes: of wall time; None: MAX_MINUTES.
        max_steps: of the optimiser; None: until the validation score no longer falls. device: that trains.
        recipe: None: that of the name.
    """

    name: str
    seed: int = 0
    max_minutes: float | None = None
    max_steps: int | None = None
    device: torch.device = CPU
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        if self.name not in DEEP:
            raise ValueError(f"{self.name!r} is no deep baseline; there are {', '.join(DEEP)}.")


@dataclass(frozen=True, eq=False)
class DeepForecaster:
    """A trained deep baseline.

    Attributes:
        network: its weights are the best on the validation part. batches: of the series trained on.
        val_mae: in the unit. steps: of training. out_of_time: whether the time ended the training.
    """

    network: nn.Module
    batches: Batches
    val_mae: float
    steps: int
    out_of_time: bool

    @property
    def n_parameters(self) -> int:
        """Numbers that were trained."""
        return sum(p.numel() for p in self.network.parameters())

    @torch.no_grad()
    def __call__(self, cutoffs: np.ndarray) -> np.ndarray:
        """Cutoffs (W,) → (W, H, N) float32 in the unit of the series."""
        self.network.eval()
        blocks = blocks_of(np.asarray(cutoffs), self.batches)
        out = [self.batches.unscaled(self.network(self.batches.cut(block))).cpu().numpy() for block in blocks]
        return np.concatenate(out) if out else np.zeros((0, self.batches.horizon, self.batches.n_sensors), "f4")


def make_network(name: str, batches: Batches) -> nn.Module:
    """An untrained network, one of DEEP, for some windows."""
    sizes = batches.lookback, batches.horizon
    if name == "dlinear":
        return DLinear(*sizes)
    if name == "stid":
        return STID(*sizes, batches.n_sensors, batches.calendar)
    return GraphWaveNet(*sizes, batches.n_sensors, batches.calendar, batches.series.network.adjacency)


def fit_deep(
    config: DeepConfig,
    series: SensorSeries,
    split: Split,
    lookback: int,
    horizon: int,
    seasons: tuple[int, ...],
    report: Callable[[str, float], None] | None = None,
) -> DeepForecaster:
    """Train on the training part and keep the weights that are best on the validation part.

    The same seed gives the same network on the same machine, unless the time runs out.

    Args:
        config: which network. series, split, lookback, horizon: as in a backtest. seasons: in minutes; see `Calendar`.
        report: called with a message and the share done.
    """
    started, budget = time.monotonic(), 60 * (MAX_MINUTES if config.max_minutes is None else config.max_minutes)
    torch.manual_seed(config.seed)
    batches = Batches(series, split, lookback, horizon, seasons, config.device)
    network = make_network(config.name, batches).to(config.device)
    run = _Run(network, batches, config, *_parts(split, lookback, horizon))
    out_of_time = False
    while not (run.is_over or out_of_time):
        run.round(lambda: time.monotonic() - started > budget)
        spent = time.monotonic() - started
        out_of_time = spent > budget
        if report:
            said = f"Training {config.name}, seed {config.seed}: step {run.steps}, validation MAE {run.best:.4g}"
            report(said, min(spent / budget, 0.99))
    network.load_state_dict(run.weights)
    return DeepForecaster(network.eval(), batches, run.best, run.steps, out_of_time and not run.is_over)


class _Run:
    """One training: optimiser, order of the windows, best weights."""

    def __init__(self, network: nn.Module, batches: Batches, config: DeepConfig, train: np.ndarray, val: np.ndarray) -> None:
        recipe = config.recipe or RECIPES[config.name]
        self.network, self.batches, self.recipe, self.train, self.val = network, batches, recipe, train, val
        self.max_steps = config.max_steps
        self.optimiser = torch.optim.Adam(network.parameters(), recipe.rate, weight_decay=recipe.decay)
        self.random = np.random.default_rng(config.seed)
        fitting = max(1, BATCH_CELLS // (batches.n_sensors * max(batches.lookback, batches.horizon)))
        self.batch_size = min(recipe.batch_size, fitting)
        self.queue = np.zeros(0, dtype="int64")
        self.steps = self.stale = self.halved = 0
        self.best = self._val_mae()
        self.weights = copy.deepcopy(network.state_dict())

    @property
    def is_over(self) -> bool:
        """Whether the steps are done, or the rate was halved as often as it may be and nothing came of it."""
        return self.halved > self.recipe.halvings or (self.max_steps is not None and self.steps >= self.max_steps)

    def round(self, out_of_time: Callable[[], bool]) -> None:
        """Some steps, then a validation; halves the rate, from the best weights on, where it brought nothing for long."""
        epoch = -(-len(self.train) // self.batch_size)
        for _ in range(int(np.clip(epoch, MIN_ROUND_STEPS, ROUND_STEPS))):
            if self.is_over or out_of_time():
                break
            self._step()
        score = self._val_mae()
        if score < self.best:
            self.best, self.stale, self.weights = score, 0, copy.deepcopy(self.network.state_dict())
            return
        self.stale += 1
        if self.stale > self.recipe.patience:
            self.stale, self.halved = 0, self.halved + 1
            self.network.load_state_dict(self.weights)
            for group in self.optimiser.param_groups:
                group["lr"] /= 2

    def _step(self) -> None:
        if len(self.queue) < self.batch_size:
            self.queue = np.concatenate([self.queue, self.random.permutation(self.train)])
        cutoffs, self.queue = self.queue[: self.batch_size], self.queue[self.batch_size :]
        batch = self.batches.cut(cutoffs)
        self.network.train()
        error, cells = self._error(batch)
        loss = error / cells.clamp(min=1) / float(self.batches.std.mean())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimiser.step()
        self.steps += 1

    def _error(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum of absolute errors in the unit over the observed cells, and how many there are."""
        seen = torch.isfinite(batch.target)
        error = self.batches.unscaled(self.network(batch)) - torch.where(seen, batch.target, 0)
        return (error.abs() * seen).sum(), seen.sum()

    @torch.no_grad()
    def _val_mae(self) -> float:
        self.network.eval()
        sums = [self._error(self.batches.cut(block)) for block in blocks_of(self.val, self.batches)]
        return float(sum(error for error, _ in sums) / max(int(sum(cells for _, cells in sums)), 1))


def _parts(split: Split, lookback: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Cutoffs to train on and to choose by; without a validation part, the last fifth of training is held out for choosing."""
    train, val = (split.cutoffs(part, lookback, horizon) for part in ("train", "val"))
    if len(val) == 0:
        n_held = max(len(train) // 5, 1)
        val = train[-n_held:]
        train = train[train + horizon <= val[0]] if (train + horizon <= val[0]).any() else train
    return train, thin(val, VAL_WINDOWS)


def blocks_of(cutoffs: np.ndarray, batches: Batches) -> list[np.ndarray]:
    """Cutoffs in blocks small enough for a network."""
    size = int(np.clip(BATCH_CELLS // (batches.n_sensors * max(batches.lookback, batches.horizon)), 1, 256))
    return [cutoffs[first : first + size] for first in range(0, len(cutoffs), size)]
