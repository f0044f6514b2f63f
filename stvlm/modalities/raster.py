"""A network on a georeferenced grid: sparse weights built once, painting by one sparse product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from stvlm.data.network import SensorNetwork

REACH = 1.5  # standard deviation of the Gaussian, in median distances between sensors
NEAREST = 1e-6  # floor of a weight, so that a pixel far from all sensors still has the nearest


@dataclass(frozen=True, eq=False)
class SpatialRaster:
    """A square picture of the earth around a network, north up, row 0 in the north.

    Attributes:
        bounds: (west, south, east, north) in degrees; west and east may leave [-180, 180] at the antimeridian.
        size: G, pixels a side.
        weights: (G G, N) sparse CSR, float32: how much each pixel heeds each sensor; no row is empty.
    """

    bounds: tuple[float, float, float, float]
    size: int
    weights: torch.Tensor

    @classmethod
    def build(cls, network: SensorNetwork, size: int, n_neighbours: int = 6) -> SpatialRaster:
        """Weights of the nearest sensors of each pixel, a Gaussian of 1.5 times the median spacing of the sensors.

        A pixel that holds a sensor heeds that sensor alone (all of them, where it holds several).

        Args:
            network: N sensors. size: G. n_neighbours: sensors heeded by a pixel.
        """
        bounds = network.bounds()
        lat, lon = _pixel_centres(bounds, size)
        index, distance = network.nearest_to(lat.ravel(), (lon.ravel() + 180) % 360 - 180, n_neighbours)
        spacing = max(network.spacing_km, _pixel_km(bounds, size))
        weight = np.exp(-(distance**2) / (2 * (REACH * spacing) ** 2))
        weight[:, 0] = np.maximum(weight[:, 0], NEAREST)
        rows = np.repeat(np.arange(size * size), index.shape[1])
        grid = sparse.csr_matrix((weight.ravel(), (rows, index.ravel())), shape=(size * size, network.n_sensors))
        own = _pixels(bounds, size, network.lat, network.unwrapped_lon)
        held = sparse.csr_matrix((np.ones(len(own)), (own, np.arange(len(own)))), shape=grid.shape)
        empty = np.asarray(held.sum(axis=1)).ravel() == 0
        grid = sparse.diags(empty.astype("f8")) @ grid + held
        return cls(bounds, size, _to_torch(grid.tocsr().astype("f4")))

    def paint(self, values: torch.Tensor, observed: torch.Tensor, fallback: float = 0.0) -> torch.Tensor:
        """Paint values by one sparse product, renormalised by what was observed: sum(w m x) / sum(w m).

        Args:
            values: (..., N) float, finite wherever observed. observed: (..., N) bool. fallback: where nothing near was observed.

        Returns:
            (..., G, G), row 0 in the north; differentiable in `values`.
        """
        shape = values.shape[:-1]
        seen = observed.reshape(-1, values.shape[-1]).to(values.dtype)
        flat = torch.where(observed, values, 0).reshape(-1, values.shape[-1])
        both = torch.cat([flat, seen]).T.contiguous()  # (N, 2 R)
        total, mass = (self.weights.to(both.device) @ both).T.split(len(flat))  # (R, G G) each
        painted = torch.where(mass > 1e-12, total / mass.clamp(min=1e-12), fallback)
        return painted.reshape(*shape, self.size, self.size)

    def support(self, observed: torch.Tensor) -> torch.Tensor:
        """(..., G, G) in 0 … 1: which share of the sensors that a pixel heeds was observed."""
        seen = observed.reshape(-1, observed.shape[-1]).float().T.contiguous()
        weights = self.weights.to(seen.device)
        share = (weights @ seen).T / (weights @ torch.ones_like(seen[:, :1])).T
        return share.reshape(*observed.shape[:-1], self.size, self.size)

    def pixel_of(self, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(row, column) of the pixels that hold places; places outside fall on the border."""
        west, _, east, _ = self.bounds
        middle = (west + east) / 2
        unwrapped = middle + (np.asarray(lon, "f8") - middle + 180) % 360 - 180
        return np.divmod(_pixels(self.bounds, self.size, np.asarray(lat, "f8"), unwrapped), self.size)

    def pixel_centres(self) -> tuple[np.ndarray, np.ndarray]:
        """(lat, lon) in degrees, (G, G) each."""
        return _pixel_centres(self.bounds, self.size)


def _pixel_centres(bounds: tuple[float, float, float, float], size: int) -> tuple[np.ndarray, np.ndarray]:
    west, south, east, north = bounds
    share = (np.arange(size) + 0.5) / size
    lat = north - share * (north - south)
    lon = west + share * (east - west)
    return np.repeat(lat[:, None], size, axis=1), np.repeat(lon[None], size, axis=0)


def _pixels(bounds: tuple[float, float, float, float], size: int, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    west, south, east, north = bounds
    row = np.clip(((north - lat) / (north - south) * size).astype(int), 0, size - 1)
    column = np.clip(((lon - west) / (east - west) * size).astype(int), 0, size - 1)
    return row * size + column


def _pixel_km(bounds: tuple[float, float, float, float], size: int) -> float:
    return (bounds[3] - bounds[1]) * 111.195 / size


def _to_torch(matrix: sparse.csr_matrix) -> torch.Tensor:
    parts = (
        torch.from_numpy(matrix.indptr.astype("i8")),
        torch.from_numpy(matrix.indices.astype("i8")),
        torch.from_numpy(matrix.data),
    )
    return torch.sparse_csr_tensor(*parts, size=matrix.shape)
