"""A network on a georeferenced grid: sparse weights built once, painting by one weighted sum of rows for each pixel."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse

from stvlm.core.network import EARTH_RADIUS_KM, SensorNetwork
from stvlm.modalities.image.geography import Ground, paint_ground
from stvlm.modalities.image.sensor_order import SensorCurve

REACH = 1.5  # standard deviation of the Gaussian, in median distances between sensors
OWN = 1e6  # weight of a sensor in its own pixel; neighbours weigh at most 1, so the pixel has the sensor's value
SHRINK = 1e-3  # weight of 0 in every pixel: it takes over where the sensors near are missing
PART = 2048  # pixels whose weights are summed at once: few enough that the sums stay in the processor's cache until they are used


@dataclass(frozen=True, eq=False)
class SpatialRaster:
    """A square picture of the earth around a network, north up, row 0 in the north.

    Attributes:
        bounds: (west, south, east, north) in degrees; west and east may leave [-180, 180] at the antimeridian.
        size: G, pixels a side.
        weights: (G G, N) sparse CSR, float32: how much each pixel heeds each sensor; at least 1 in every row.
        nearness: (G G,) float32 in 0 … 1: 1 where a sensor stands, towards 0 far from all.
        network: N sensors.
    """

    bounds: tuple[float, float, float, float]
    size: int
    weights: torch.Tensor
    nearness: torch.Tensor
    network: SensorNetwork
    _on_device: dict[str, _Surface] = field(default_factory=dict, repr=False)

    @classmethod
    def build(cls, network: SensorNetwork, size: int, n_neighbours: int = 6) -> SpatialRaster:
        """Weights of the nearest sensors of each pixel, a Gaussian of 1.5 times the median spacing of the sensors.

        The nearest sensor always weighs 1, and the Gaussian is wider where sensors are sparse, so no pixel is empty. A pixel that
        holds a sensor heeds that sensor (all of them alike, where it holds several), and its neighbours only while it is missing.

        Args:
            network: N sensors. size: G. n_neighbours: sensors heeded by a pixel.
        """
        bounds = network.bounds()
        lat, lon = _pixel_centres(bounds, size)
        index, distance = network.nearest_to(lat.ravel(), lon.ravel(), n_neighbours)  # (G G, k), nearest first
        pixel_km = np.radians(bounds[3] - bounds[1]) * EARTH_RADIUS_KM / size
        reach = max(REACH * network.spacing_km, 0.5 * pixel_km)
        nearest = distance[:, :1]
        weight = np.exp(-(distance**2 - nearest**2) / (2 * np.maximum(reach, 0.5 * nearest) ** 2))
        own = _pixels(bounds, size, network.lat, network.unwrapped_lon)  # (N,)
        rows = np.concatenate([np.repeat(np.arange(size * size), index.shape[1]), own])
        columns = np.concatenate([index.ravel(), np.arange(network.n_sensors)])
        data = np.concatenate([weight.ravel(), np.full(network.n_sensors, OWN)])
        grid = sparse.csr_matrix((data, (rows, columns)), shape=(size * size, network.n_sensors))
        nearness = np.exp(-(nearest[:, 0] ** 2) / (2 * reach**2)).astype("f4")
        nearness[own] = 1.0
        return cls(bounds, size, _to_torch(grid.astype("f4")), torch.from_numpy(nearness), network)

    @cached_property
    def curve(self) -> SensorCurve:
        """The sensors in a row, for images of pairs of sensors and of sensors over time."""
        return SensorCurve.build(self.network, self.size)

    @cached_property
    def ground(self) -> Ground:
        """What lies below the pixels."""
        return paint_ground(self.network.base_layer, self.bounds, self.size)

    def paint(self, values: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        """Paint departures by one sparse product, renormalised by what was observed: sum(w m x) / sum(w m).

        All frames of a sensor lie side by side, so that a pixel is a weighted sum of a few rows, which a fused kernel writes once.

        Where all sensors near are missing, a pixel falls back smoothly: to those farther off, then to 0.

        Args:
            values: (..., N) float, finite wherever observed; 0 = nothing special.
            observed: bool, (..., N) or a shape that spreads to it.

        Returns:
            (..., G, G) float32, row 0 in the north; differentiable in `values`.
        """
        surface, n = self._surface(values.device), self.weights.shape[1]
        shape = torch.broadcast_shapes(values.shape, observed.shape)[:-1]
        flat = torch.where(observed, values, 0).float().reshape(-1, n).T.contiguous()  # (N, R)
        if bool(observed.all()):  # the usual case needs no second product
            painted = surface.mix(flat, surface.complete)  # (G G, R)
        else:
            seen = observed.reshape(-1, n).float().T.contiguous()  # (N, r): a mask that several frames share is summed once
            painted = surface.mix(flat, surface.weights)
            frames, masks = painted.view(-1, *shape), (1,) * (len(shape) + 1 - observed.ndim) + observed.shape[:-1]
            for pixels, mass in surface.masses(seen):
                frames[pixels].div_(mass.add_(SHRINK).view(-1, *masks))
        return painted.T.reshape(*shape, self.size, self.size)

    def mass(self, observed: torch.Tensor) -> torch.Tensor:
        """(..., G, G) float32: the weight of what was observed (..., N) in each pixel."""
        seen = observed.reshape(-1, observed.shape[-1]).float().T.contiguous()
        surface = self._surface(observed.device)
        return surface.mix(seen, surface.weights).T.reshape(*observed.shape[:-1], self.size, self.size)

    def support(self, observed: torch.Tensor) -> torch.Tensor:
        """(..., G, G) in 0 … 1: 1 where a sensor that was observed stands, 0 far from all and where those near are missing."""
        surface = self._surface(observed.device)
        return self.mass(observed) * surface.share.reshape(self.size, self.size)

    def pixel_of(self, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(row, column) of the pixels that hold places; places outside fall on the border."""
        west, _, east, _ = self.bounds
        middle = (west + east) / 2
        unwrapped = middle + (np.asarray(lon, "f8") - middle + 180) % 360 - 180
        return np.divmod(_pixels(self.bounds, self.size, np.asarray(lat, "f8"), unwrapped), self.size)

    def pixel_centres(self) -> tuple[np.ndarray, np.ndarray]:
        """(lat, lon) in degrees, (G, G) each."""
        return _pixel_centres(self.bounds, self.size)

    def _surface(self, device: torch.device) -> _Surface:
        """The weights on a device, kept there, for batches come again."""
        key = str(device)
        if key not in self._on_device:
            whole = torch.zeros(self.size**2).index_add_(0, _rows(self.weights), self.weights.values())
            complete = self.weights.values() / (whole + SHRINK)[_rows(self.weights)]
            start, column = self.weights.crow_indices()[:-1].int(), self.weights.col_indices().int()
            tensors = start, column, self.weights.values(), complete, self.nearness / whole
            borders = [*range(0, self.size**2, PART), self.size**2]
            cells = self.weights.crow_indices()[borders].tolist()
            self._on_device[key] = _Surface(*(t.to(device) for t in tensors), tuple(zip(borders, cells, strict=True)))
        return self._on_device[key]


@dataclass(frozen=True, eq=False)
class _Surface:
    """The weights (G G, N) row by row on a device.

    Attributes:
        start: (G G,) int32, where each row begins. column: (K,) int32, its sensors. weights: (K,). complete: the same divided by their
            sum in the row, for when all is observed. share: (G G,) nearness divided by that sum.
        borders: where each PART of the rows begins, as (row, cell), and the end.
    """

    start: torch.Tensor
    column: torch.Tensor
    weights: torch.Tensor
    complete: torch.Tensor
    share: torch.Tensor
    borders: tuple[tuple[int, int], ...]

    def masses(self, seen: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """The weight of what was observed, (N, R) of 0 and 1: some pixels, and (pixels, R) of theirs, until all are through."""
        for (row, cell), (end, stop) in pairwise(self.borders):
            start, cells = self.start[row:end] - cell, slice(cell, stop)
            weights = self.weights[cells]
            yield slice(row, end), F.embedding_bag(self.column[cells], seen, start, mode="sum", per_sample_weights=weights)

    def mix(self, rows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """(G G, R): the weighted sum of the rows (N, R) of the sensors of each pixel."""
        return F.embedding_bag(self.column, rows, self.start, mode="sum", per_sample_weights=weights)


def on_image(bounds: tuple[float, float, float, float], lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """(K, 2) where places lie on the image, -1 … 1 to the east and to the north: a place must find the very patch that it lies on.

    Args:
        bounds: of the image, (west, south, east, north) in degrees. lat, lon: (K,) WGS84.
    """
    west, south, east, north = bounds
    turned = (lon - (west + east) / 2 + 180) % 360 - 180
    return np.stack([2 * turned / (east - west), 2 * (lat - (south + north) / 2) / (north - south)], axis=-1)


def _pixel_centres(bounds: tuple[float, float, float, float], size: int) -> tuple[np.ndarray, np.ndarray]:
    west, south, east, north = bounds
    share = (np.arange(size) + 0.5) / size
    lat = north - share * (north - south)
    lon = west + share * (east - west)
    return np.repeat(lat[:, None], size, axis=1), np.repeat(lon[None], size, axis=0)


def _pixels(bounds: tuple[float, float, float, float], size: int, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    west, south, east, north = bounds
    row = np.clip(np.floor((north - lat) / (north - south) * size), 0, size - 1)
    column = np.clip(np.floor((lon - west) / (east - west) * size), 0, size - 1)
    return (row * size + column).astype("int64")


def _rows(weights: torch.Tensor) -> torch.Tensor:
    """The row of each stored weight."""
    start = weights.crow_indices()
    return torch.repeat_interleave(torch.arange(len(start) - 1), start.diff())


def _to_torch(matrix: sparse.csr_matrix) -> torch.Tensor:
    start, column = torch.from_numpy(matrix.indptr.astype("i8")), torch.from_numpy(matrix.indices.astype("i8"))
    return _csr(start, column, torch.from_numpy(matrix.data), matrix.shape)


def _csr(start: torch.Tensor, column: torch.Tensor, data: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(start, column, data, shape, check_invariants=True)
