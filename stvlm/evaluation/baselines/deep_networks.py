"""Graph WaveNet: gated dilated convolutions along time, diffusion along a given graph and a learned one."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn.functional import pad

from stvlm.evaluation.calendar import Calendar
from stvlm.evaluation.deep.batches import Batch

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
