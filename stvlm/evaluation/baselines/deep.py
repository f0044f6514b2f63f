"""Deep baselines in the common harness: DLinear, STID and Graph WaveNet, and their training."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn.functional import avg_pool1d, pad

from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split, thin
from stvlm.evaluation.baselines import DEEP
from stvlm.evaluation.baselines.boosting import Calendar, training_scale

# Windows: scaled by the training part, with the phase of the day, the week and the year.


@dataclass(frozen=True, eq=False)
class Batch:
    """Some windows.

    Attributes:
        past: (B, L, N) float32, scaled; 0 (the sensor's mean) where a reading is missing.
        day, week: (B, L) int64 phase of each past step: step of the day, day of the week; 0 where unknown.
        year: (B, L) float32 part of the year that has gone by, 0 … 1.
        target: (B, H, N) float32 in the unit; NaN = left out.
    """

    past: torch.Tensor
    day: torch.Tensor
    week: torch.Tensor
    year: torch.Tensor
    target: torch.Tensor


class Batches:
    """Cuts and scales windows of one series; what it scales by comes from the training part alone.

    Args:
        series: readings. split: its parts. lookback, horizon: L, H in steps. seasons: in minutes. device: of the batches.
    """

    def __init__(
        self,
        series: SensorSeries,
        split: Split,
        lookback: int,
        horizon: int,
        seasons: tuple[int, ...],
        device: torch.device,
    ) -> None:
        self.series, self.lookback, self.horizon, self.device = series, lookback, horizon, device
        self.calendar = Calendar.of(series, split, seasons)
        self.mean, self.std = training_scale(series, split)
        self._day, self._week, self._year = self.calendar.phases(series)

    @property
    def n_sensors(self) -> int:
        """Number of sensors N."""
        return self.series.network.n_sensors

    def cut(self, cutoffs: np.ndarray) -> Batch:
        """The windows of some cutoffs (B,); steps past the end of the series have no target."""
        before = cutoffs[:, None] + np.arange(-self.lookback, 0)  # (B, L)
        after = cutoffs[:, None] + np.arange(self.horizon)  # (B, H)
        past = np.nan_to_num((self.series.values[before] - self.mean) / self.std)
        inside = after < self.series.n_steps
        target = np.where(inside[..., None], self.series.values[np.minimum(after, self.series.n_steps - 1)], np.float32(np.nan))
        arrays = past, self._day[before], self._week[before], self._year[before], target
        return Batch(*(torch.from_numpy(np.ascontiguousarray(a)).to(self.device) for a in arrays))

    def unscaled(self, forecast: torch.Tensor) -> torch.Tensor:
        """(B, H, N) scaled → in the unit of the series."""
        mean, std = (torch.from_numpy(a).to(forecast) for a in (self.mean, self.std))
        return forecast * std + mean


SIZE, SKIP_SIZE, END_SIZE = 32, 256, 512  # channels, as in the paper
NODE_SIZE = 10  # of a sensor's two vectors that the learned graph is made of
ORDER = 2  # steps of the diffusion
DROPOUT = 0.3
N_LAYERS, N_BLOCKS = 8, 4
DENSE_SHARE = 0.2  # a graph with more edges than this share is kept as a dense matrix


def dilations(lookback: int) -> tuple[int, ...]:
    """Dilation of each layer: the paper's 1, 2 four times for a lookback of up to 13; longer cycles for a longer one.

    No more layers than the paper's eight are taken, but for those that the lookback needs.
    """
    length = 2
    while N_BLOCKS * (2**length - 1) + 1 < lookback:
        length += 1
    out: list[int] = []
    while len(out) < N_LAYERS or 1 + sum(out) < lookback:
        out.append(2 ** (len(out) % length))
    return tuple(out)


class GraphWaveNet(nn.Module):
    """Wu et al. 2019, "Graph WaveNet for Deep Spatial-Temporal Graph Modeling".

    Arrays within are (N, T, B, C), so that one step of the diffusion is one matrix product. A convolution has two taps and adds
    no padding: after the last layer one step of time is left, and only that step goes to the skip connections.

    Args:
        lookback, horizon: L, H in steps. n_sensors: N. calendar: the cycles known.
        adjacency: (N, N) closeness, row = from; None: the learned graph alone.
    """

    def __init__(
        self,
        lookback: int,
        horizon: int,
        n_sensors: int,
        calendar: Calendar,
        adjacency: sparse.spmatrix | None = None,
    ) -> None:
        super().__init__()
        self.calendar, self.dilations = calendar, dilations(lookback)
        self.receptive_field = 1 + sum(self.dilations)
        self.graphs = [] if adjacency is None else transitions(adjacency)
        n_supports = len(self.graphs) + 1
        self.source = nn.Parameter(torch.randn(n_sensors, NODE_SIZE))
        self.target = nn.Parameter(torch.randn(n_sensors, NODE_SIZE))
        self.start = nn.Linear(1 + bool(calendar.day_steps) + calendar.has_week + 2 * calendar.has_year, SIZE)
        self.gates = nn.ModuleList(nn.Linear(2 * SIZE, 2 * SIZE) for _ in self.dilations)
        inner = self.dilations[1:]  # nothing would read what the last layer hands on
        self.mixes = nn.ModuleList(nn.Linear(SIZE * (1 + ORDER * n_supports), SIZE) for _ in inner)
        self.norms = nn.ModuleList(nn.BatchNorm1d(SIZE) for _ in inner)
        self.skips = nn.ModuleList(nn.Linear(SIZE, SKIP_SIZE) for _ in self.dilations)
        self.drop = nn.Dropout(DROPOUT)
        self.end = nn.Sequential(nn.ReLU(), nn.Linear(SKIP_SIZE, END_SIZE), nn.ReLU(), nn.Linear(END_SIZE, horizon))

    def forward(self, batch: Batch) -> torch.Tensor:
        """(B, H, N) scaled."""
        learned = torch.softmax(torch.relu(self.source @ self.target.T), dim=1).T  # (N, N), row = to
        graphs = [*(graph.to(learned.device) for graph in self.graphs), learned]
        hidden = pad(self._inputs(batch), (0, 0, 0, 0, max(self.receptive_field - batch.past.shape[1], 0), 0))
        hidden, skip = self.start(hidden), 0.0  # (N, T, B, C)
        for i, dilation in enumerate(self.dilations):
            both = self.gates[i](torch.cat([hidden[:, :-dilation], hidden[:, dilation:]], dim=-1))
            gated = torch.tanh(both[..., :SIZE]) * torch.sigmoid(both[..., SIZE:])
            skip = skip + self.skips[i](gated[:, -1])  # (N, B, SKIP_SIZE)
            if i < len(self.mixes):
                mixed = self.drop(self.mixes[i](torch.cat(diffuse(gated, graphs), dim=-1))) + hidden[:, dilation:]
                hidden = self.norms[i](mixed.reshape(-1, SIZE)).view(mixed.shape)
        return self.end(skip).permute(1, 2, 0)

    def _inputs(self, batch: Batch) -> torch.Tensor:
        """(N, L, B, channels): the reading and the known phases of its time."""
        channels = [batch.past]
        phases = [batch.day / self.calendar.day_steps] if self.calendar.day_steps else []
        if self.calendar.has_week:
            phases.append(batch.week / 7)
        if self.calendar.has_year:
            angle = 2 * math.pi * batch.year
            phases += [angle.sin(), angle.cos()]
        channels += [phase[..., None].expand_as(batch.past) for phase in phases]
        return torch.stack(channels, dim=-1).permute(2, 1, 0, 3)


def diffuse(values: torch.Tensor, graphs: list[torch.Tensor]) -> list[torch.Tensor]:
    """The values (N, T, B, C) themselves and, for each graph, after one and two steps of its diffusion."""
    flat = values.reshape(len(values), -1)
    out = [flat]
    for graph in graphs:
        moved = flat
        for _ in range(ORDER):
            moved = graph @ moved
            out.append(moved)
    return [part.view(values.shape) for part in out]


def transitions(adjacency: sparse.spmatrix) -> list[torch.Tensor]:
    """Two (N, N) matrices, row = to: a random walk along the edges and one against them, each from-sensor's shares summing to 1."""
    out = []
    for matrix in (sparse.csr_matrix(adjacency), sparse.csr_matrix(adjacency.T)):
        total = np.asarray(matrix.sum(axis=1)).ravel()
        shares = (sparse.diags(1 / np.where(total > 0, total, 1)) @ matrix).T.tocoo()
        place = torch.from_numpy(np.stack([shares.row, shares.col]).astype("int64"))
        weights = torch.from_numpy(shares.data.astype("f4"))
        graph = torch.sparse_coo_tensor(place, weights, shares.shape, check_invariants=True).coalesce()
        out.append(graph.to_dense() if shares.nnz > DENSE_SHARE * np.prod(shares.shape) else graph)
    return out


# DLinear: a moving average splits each past into trend and remainder; a linear map extrapolates each.

KERNEL = 25  # steps of the moving average, as in the paper


class DLinear(nn.Module):
    """Zeng et al. 2023, "Are Transformers Effective for Time Series Forecasting?": the maps are shared by all sensors.

    Args:
        lookback, horizon: L, H in steps.
    """

    def __init__(self, lookback: int, horizon: int) -> None:
        super().__init__()
        self.kernel = min(KERNEL, lookback - 1 + lookback % 2)  # odd, no longer than the past
        self.trend = nn.Linear(lookback, horizon)
        self.rest = nn.Linear(lookback, horizon)
        for layer in (self.trend, self.rest):  # the paper's own start: the mean of the past
            nn.init.constant_(layer.weight, 1 / lookback)
            nn.init.zeros_(layer.bias)

    def forward(self, batch: Batch) -> torch.Tensor:
        """(B, H, N) scaled."""
        past = batch.past.swapaxes(1, 2)  # (B, N, L)
        half = self.kernel // 2
        trend = avg_pool1d(pad(past, (half, half), mode="replicate"), self.kernel, stride=1)  # (B, N, L)
        return (self.trend(trend) + self.rest(past - trend)).swapaxes(1, 2)


# STID: an MLP with learned embeddings of sensor and time.

STID_SIZE = 32  # of each embedding
STID_N_BLOCKS = 3
STID_DROPOUT = 0.15
HARMONICS = 2  # of the year


class Residual(nn.Module):
    """Two linear layers with a ReLU and dropout between them, added to what came in."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Dropout(STID_DROPOUT), nn.Linear(size, size))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., size) → (..., size)."""
        return hidden + self.layers(hidden)


class STID(nn.Module):
    """Shao et al. 2022, "Spatial-Temporal Identity": [past ; sensor ; time of day ; day of week] → residual blocks → future.

    The time is that of the last known step. Where the calendar has the year, a linear map of its first harmonics stands
    beside the paper's vectors: a vector for each day of the year would be seen too rarely.

    Args:
        lookback, horizon: L, H in steps. n_sensors: N. calendar: the cycles known.
    """

    def __init__(self, lookback: int, horizon: int, n_sensors: int, calendar: Calendar) -> None:
        super().__init__()
        self.calendar = calendar
        known = bool(calendar.day_steps) + calendar.has_week  # phases that come with every step of the past
        self.past = nn.Linear(lookback * (1 + known), STID_SIZE)
        self.sensor = nn.Parameter(nn.init.xavier_uniform_(torch.empty(n_sensors, STID_SIZE)))
        self.day = nn.Parameter(nn.init.xavier_uniform_(torch.empty(calendar.day_steps, STID_SIZE))) if calendar.day_steps else None
        self.week = nn.Parameter(nn.init.xavier_uniform_(torch.empty(7, STID_SIZE))) if calendar.has_week else None
        self.year = nn.Linear(2 * HARMONICS, STID_SIZE) if calendar.has_year else None
        width = STID_SIZE * (2 + known + calendar.has_year)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(STID_N_BLOCKS)))
        self.head = nn.Linear(width, horizon)

    def forward(self, batch: Batch) -> torch.Tensor:
        """(B, H, N) scaled."""
        n_windows, _, n_sensors = batch.past.shape
        parts, inputs = [], [batch.past.swapaxes(1, 2)]  # (B, N, L)
        parts.append(self.sensor.expand(n_windows, -1, -1))
        if self.day is not None:
            inputs.append(_spread(batch.day / self.calendar.day_steps, n_sensors))
            parts.append(_spread(self.day[batch.day[:, -1]], n_sensors))
        if self.week is not None:
            inputs.append(_spread(batch.week / 7, n_sensors))
            parts.append(_spread(self.week[batch.week[:, -1]], n_sensors))
        if self.year is not None:
            angle = 2 * math.pi * batch.year[:, -1:] * torch.arange(1, HARMONICS + 1, device=batch.year.device)
            parts.append(_spread(self.year(torch.cat([angle.sin(), angle.cos()], dim=-1)), n_sensors))
        hidden = torch.cat([self.past(torch.cat(inputs, dim=-1)), *parts], dim=-1)  # (B, N, width)
        return self.head(self.blocks(hidden)).swapaxes(1, 2)


def _spread(rows: torch.Tensor, n_sensors: int) -> torch.Tensor:
    """(B, C) → (B, N, C), the same for every sensor."""
    return rows[:, None].expand(-1, n_sensors, -1)


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
