"""One window → the closed-form forecaster's view of each sensor: own past, neighbours, directions, longer past, facts known ahead."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from stvlm.core.network import SensorNetwork
from stvlm.core.outliers import comparable
from stvlm.core.seasonality import CLIP, ROUNDING, SeasonalProfile
from stvlm.runtime.cache import LRUCache

RECENT = 8  # steps of the neighbours' and the network's mean
DIRECTION_STEPS = 3
NEAREST, NEAREST_OF_MANY, MANY = 512, 128, 2048  # sensors that have a direction; fewer where there are more than MANY
DIRECTION_REACH = (0.35, 1.0)  # of the median distance between sensors
LONG_SPANS = (1, 4, 16, 64)  # longer past as means between these multiples of the lookback
NETWORKS, NETWORK_BYTES = 4, 400_000_000  # whose operators are kept: those of 10,000 sensors take 160 MB


class NeighbourOperators:
    """Sparse averaging operators of a network, built once; each is (N, N) float32 with rows that sum to 1 or are empty."""

    def __init__(self, network: SensorNetwork, n_neighbours: int = 8) -> None:
        self.network = network
        self.n_neighbours = n_neighbours

    @classmethod
    def of(cls, network: SensorNetwork) -> NeighbourOperators:
        """That of a network, kept for the next forecast of the same network."""
        return _NEIGHBOURHOODS.get(network.fingerprint, lambda: cls(network))

    @property
    def nbytes(self) -> int:
        """Of the operators that were built so far."""
        built = [made for made in vars(self).values() if sparse.issparse(made)]
        return sum(made.data.nbytes + made.indices.nbytes + made.indptr.nbytes for made in built)

    @cached_property
    def near(self) -> sparse.csr_matrix:
        """Inverse-distance weights of the nearest sensors."""
        index, distance = self.network.neighbours(self.n_neighbours)
        n, k = index.shape
        weight = 1 / np.maximum(distance, 0.05 * self.network.spacing_km)
        rows = np.repeat(np.arange(n), k)
        return _stacked([_row_normalised(sparse.csr_matrix((weight.ravel(), (rows, index.ravel())), shape=(n, n)))])

    @cached_property
    def directions(self) -> sparse.csr_matrix:
        """(8 N, N): means of the sensors to the east, north, west and south, for a near and a far reach."""
        network, n = self.network, self.network.n_sensors
        index, distance = network.neighbours(min(n - 1, NEAREST if n <= MANY else NEAREST_OF_MANY))
        place = network.position_km
        median = np.median(distance) if distance.size else 1.0
        blocks = []
        for reach in DIRECTION_REACH:
            closeness = np.exp(-(distance**2) / (2 * (reach * max(median, 1e-6)) ** 2))
            toward = place[index] - place[:, None]  # (N, K, 2) km east and north
            toward = toward / np.maximum(np.linalg.norm(toward, axis=-1, keepdims=True), 1e-9)
            for x, y in ((1, 0), (0, 1), (-1, 0), (0, -1)):
                weight = np.maximum(toward @ np.array([x, y], "f8"), 0) ** 2 * closeness
                rows = np.repeat(np.arange(n), index.shape[1])
                blocks.append(_row_normalised(sparse.csr_matrix((weight.ravel(), (rows, index.ravel())), shape=(n, n))))
        return _stacked(blocks)

    @cached_property
    def graph(self) -> sparse.csr_matrix | None:
        """(2 N, N): means over the sensors that point here, and over those that this one points to; None without adjacency."""
        if self.network.adjacency is None:
            return None
        closeness = self.network.adjacency.tocsr().astype("f8").copy()
        closeness.setdiag(0)
        return _stacked([_row_normalised(closeness.T.tocsr()), _row_normalised(closeness)])


_NEIGHBOURHOODS = LRUCache(NETWORKS, NETWORK_BYTES)


@dataclass(frozen=True, eq=False)
class AnomalyFeatures:
    """Readings as scaled departures from the profile, cut to windows.

    Attributes:
        values: (T, N) float32 readings. seconds: (T + H,) int64 local clock. covariates: (T + H, C) float32, scaled, or None.
        lags: steps back to the same phase of yesterday / last week, each at least the horizon and beyond the lookback.
        lookback, horizon, context_steps: L, H and how far the longer past goes, in steps.
    """

    values: np.ndarray
    seconds: np.ndarray
    covariates: np.ndarray | None
    lags: tuple[int, ...]
    lookback: int
    horizon: int
    context_steps: int
    neighbourhood: NeighbourOperators

    def past(self, cutoffs: np.ndarray, profile: SeasonalProfile, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The lookback of many windows.

        Returns:
            departures: (W, L, N) float32, scaled, gaps filled forward, then 0; a sensor with no reading at all takes its
                neighbours' mean. observed: (W, L, N) bool.
        """
        steps = cutoffs[:, None] + np.arange(-self.lookback, 0)
        raw = (self.values[steps] - profile.at(self.seconds[steps])) / scale  # (W, L, N)
        observed = np.isfinite(raw)
        raw = fill_forward(np.clip(raw, -CLIP, CLIP), observed)
        silent = ~observed.any(axis=1)  # (W, N)
        if silent.any() and self.values.shape[1] > 1:
            raw = self._fill_silent(raw, silent)
        return raw, observed

    def _fill_silent(self, past: np.ndarray, silent: np.ndarray) -> np.ndarray:
        w, length, n = past.shape
        weight = _spread(self.neighbourhood.near, (~silent).astype("f4"))  # (W, N) how much of the neighbourhood speaks
        heard = _spread(self.neighbourhood.near, (past * ~silent[:, None]).reshape(-1, n)).reshape(w, length, n)
        heard = heard / np.maximum(weight, 1e-6)[:, None] * (weight > 1e-6)[:, None]
        return np.where(silent[:, None], heard, past)

    def future(self, cutoffs: np.ndarray, profile: SeasonalProfile, scale: np.ndarray) -> np.ndarray:
        """(W, H, N) float32 scaled departures of the truth, NaN where missing; the series must reach that far."""
        steps = cutoffs[:, None] + np.arange(self.horizon)
        return (self.values[steps] - profile.at(self.seconds[steps])) / scale

    def lagged(self, cutoffs: np.ndarray, profile: SeasonalProfile, scale: np.ndarray) -> np.ndarray:
        """(W, K H, N): the readings one lag before each step of the horizon, as departures from the profile at that step."""
        blocks = []
        for lag in self.lags:
            steps = cutoffs[:, None] + np.arange(self.horizon)
            raw = self.values[np.maximum(steps - lag, 0)] - profile.at(self.seconds[steps])
            raw = np.where((steps >= lag)[..., None] & np.isfinite(raw), raw, 0) / scale
            blocks.append(np.clip(raw, -CLIP, CLIP))
        shape = (len(cutoffs), 0, self.values.shape[1])
        return np.concatenate(blocks, axis=1) if blocks else np.zeros(shape, "f4")

    def long_past(self, cutoffs: np.ndarray, profile: SeasonalProfile, scale: np.ndarray) -> np.ndarray:
        """(W, 3, N): mean departure over L..4L, 4L..16L and 16L..64L steps back, as far as `context_steps` reach; else 0."""
        out = np.zeros((len(cutoffs), len(LONG_SPANS) - 1, self.values.shape[1]), dtype="f4")
        for k, (near, far) in enumerate(itertools.pairwise(LONG_SPANS)):
            near, far = near * self.lookback, min(far * self.lookback, self.context_steps)
            if far <= near:
                continue
            back = -np.unique(np.linspace(near + 1, far, min(far - near, 32)).astype(int))
            steps = cutoffs[:, None] + back
            raw = (self.values[np.maximum(steps, 0)] - profile.at(self.seconds[np.maximum(steps, 0)])) / scale
            seen = np.isfinite(raw) & (steps >= 0)[..., None]
            total = np.where(seen, np.clip(raw, -CLIP, CLIP), 0).sum(axis=1)
            out[:, k] = total / (seen.sum(axis=1) + 2)  # two pseudo-readings of 0: a thin past says little
        return out

    def ahead(self, cutoffs: np.ndarray) -> np.ndarray:
        """(W, H C): covariates known ahead at each step of the horizon, as departures from their mean over the lookback."""
        if self.covariates is None:
            return np.zeros((len(cutoffs), 0), "f4")
        before = self.covariates[cutoffs[:, None] + np.arange(-self.lookback, 0)].mean(axis=1, keepdims=True)
        after = self.covariates[cutoffs[:, None] + np.arange(self.horizon)] - before
        return after.reshape(len(cutoffs), -1)

    def groups(self) -> dict[str, slice]:
        """Where each group of features stands on the last axis of `features`."""
        n_covariates = 0 if self.covariates is None else self.covariates.shape[1]
        sizes = {
            "constant": 1,
            "own": self.lookback,
            "lags": len(self.lags) * self.horizon,
            "ahead": self.horizon * n_covariates,
            "long": len(LONG_SPANS) - 1 if self.context_steps > self.lookback else 0,
            "near": 2 * min(RECENT, self.lookback) if self.values.shape[1] > 1 else 0,
            "directions": 8 * min(DIRECTION_STEPS, self.lookback) if self.values.shape[1] > 2 else 0,
            "graph": 2 * min(RECENT, self.lookback) if self.neighbourhood.graph is not None else 0,
        }
        ends = np.cumsum([*sizes.values()])
        return {name: slice(int(end - size), int(end)) for (name, size), end in zip(sizes.items(), ends, strict=True)}

    def features(self, cutoffs: np.ndarray, profile: SeasonalProfile, scale: np.ndarray) -> np.ndarray:
        """(W, N, F) float32, in the order of `groups`."""
        past, _ = self.past(cutoffs, profile, scale)
        w, _length, n = past.shape
        near = self.neighbourhood
        parts = [np.ones((w, 1, n), "f4"), past, self.lagged(cutoffs, profile, scale)]
        parts.append(np.repeat(self.ahead(cutoffs)[..., None], n, axis=2))
        if self.context_steps > self.lookback:
            parts.append(self.long_past(cutoffs, profile, scale))
        if n > 1:
            recent = past[:, -RECENT:]
            parts += [over(near.near, recent), np.broadcast_to(recent.mean(axis=2, keepdims=True), recent.shape)]
        if n > 2:
            parts.append(over(near.directions, past[:, -DIRECTION_STEPS:]))
        if near.graph is not None:
            parts.append(over(near.graph, past[:, -RECENT:]))
        return np.concatenate(parts, axis=1).swapaxes(1, 2)  # (W, N, F)


def fill_forward(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Carry the last observed value of each window and sensor forward; 0 before the first.

    Args:
        values: (W, L, N) float32. observed: (W, L, N) bool.
    """
    gaps = ~observed.all(axis=1)  # (W, N)
    if not gaps.any():
        return values
    rows, seen = values.swapaxes(1, 2)[gaps], observed.swapaxes(1, 2)[gaps]  # (K, L)
    last = np.maximum.accumulate(np.where(seen, np.arange(values.shape[1]), -1), axis=1)
    filled = values.astype("f4")
    filled.swapaxes(1, 2)[gaps] = np.where(last >= 0, np.take_along_axis(rows, np.maximum(last, 0), axis=1), 0)
    return filled


def over(operator: sparse.csr_matrix, past: np.ndarray) -> np.ndarray:
    """(W, K S, N): K stacked averaging operators (K N, N) over the last S steps of `past` (W, S, N)."""
    w, steps, n = past.shape
    kinds = operator.shape[0] // n
    mixed = _spread(operator, past.reshape(-1, n)).reshape(w, steps, kinds, n)
    return mixed.swapaxes(1, 2).reshape(w, kinds * steps, n)


def _spread(operator: sparse.csr_matrix, rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray((operator @ rows.T).T)


def _stacked(blocks: list[sparse.csr_matrix]) -> sparse.csr_matrix:
    """Operators one below the other, float32, each row sorted and without zeros: as they are multiplied."""
    stacked = sparse.vstack(blocks, format="csr").astype("f4")
    stacked.sum_duplicates()
    stacked.eliminate_zeros()
    return stacked


def _row_normalised(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    total = np.asarray(matrix.sum(axis=1)).ravel()
    return sparse.diags(1 / np.where(total > 1e-12, total, 1)) @ sparse.csr_matrix(matrix)


# Working scales, on which skewed readings look symmetric: identity, root, logarithm.

FINE = 10.0  # roundings of the logarithm's shift that a sensor's readings must range over
MOST = 50_000_000  # readings up to which others than identity are tried: they need the whole series anew


@dataclass(frozen=True)
class Transform:
    """A rising map of readings to a working scale and back.

    Attributes:
        kind: "identity", "root" (square root of value + shift) or "log" (logarithm of value + shift).
        shift: in the unit of the readings, > 0 for "log".
    """

    kind: str = "identity"
    shift: float = 0.0

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Readings → working scale, same shape, float32; readings below -shift count as -shift."""
        if self.kind == "identity":
            return values
        moved = np.maximum(values + self.shift, 0 if self.kind == "root" else 1e-6 * self.shift)
        return (np.sqrt(moved) if self.kind == "root" else np.log(moved)).astype("f4")

    def inverse(self, scaled):
        """Working scale → readings. Takes numpy arrays and torch tensors alike; rising everywhere."""
        if self.kind == "identity":
            return scaled
        if self.kind == "root":
            return scaled * abs(scaled) - self.shift
        exp = np.exp if isinstance(scaled, np.ndarray) else type(scaled).exp
        return exp(scaled.clip(-30, 30)) - self.shift


def candidates(values: np.ndarray) -> list[Transform]:
    """The transforms worth trying on the readings (T, N) of a training part: others than identity only for positive, skewed ones.

    No logarithm beside whose shift a sensor's readings would all be one number.
    """
    if values.size > MOST:
        return [Transform()]
    values = comparable(values)
    seen = values[np.isfinite(values)].astype("f8")  # the third power of a large reading leaves the range of float32
    if seen.size == 0 or seen.min() < 0:
        return [Transform()]
    spread = seen.std()
    skew = float(((seen - seen.mean()) ** 3).mean() / max(spread, 1e-9) ** 3)
    if skew < 0.5:
        return [Transform()]
    shift = max(float(0.1 * np.median(seen)), 0.02 * float(spread), 1e-6)
    root, log = Transform("root"), Transform("log", shift)
    return [Transform(), root, log] if FINE * ROUNDING * shift < _finest(values) else [Transform(), root]


def _finest(values: np.ndarray) -> float:
    """The least range of a sensor's readings (T, N), of those that move at all; infinite where none does."""
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    ranges = (high - low)[high - low > ROUNDING * np.abs(high)]
    return float(ranges.min()) if len(ranges) else float("inf")
