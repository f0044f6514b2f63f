"""The sensors of a network in one row: a Hilbert curve keeps neighbours on earth near in the row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from stvlm.core.network import SensorNetwork

LEVELS = 16  # the curve visits 2^16 x 2^16 cells
BLOCK = 256  # rows of closeness that are in memory at once
MANY = 2048  # sensors whose closeness is measured, evenly along the curve where there are more


@dataclass(frozen=True, eq=False)
class SensorCurve:
    """How N sensors in a row fill the G rows (or columns) of an image that has no place on earth.

    Attributes:
        order: (N,) int64, the sensors along the curve.
        pool: (G, N) float32, the share of each sensor in each pixel; rows sum to 1.
        closeness: (G, G) float32 in 0 … 1, row = from; 1 for the closest pair of pixels.
        has_links: whether closeness is that of the links given; else it is exp(-(distance / r)²), r = root mean square distance
            of the sensors from their middle.
    """

    order: np.ndarray
    pool: torch.Tensor
    closeness: torch.Tensor
    has_links: bool

    @classmethod
    def build(cls, network: SensorNetwork, size: int) -> SensorCurve:
        """Order the sensors, and average (N > G) or repeat (N < G) them over `size` pixels."""
        order = curve_order(network)
        pool = np.zeros((size, network.n_sensors))
        pool[:, order] = overlaps(network.n_sensors, size)
        has_links = network.adjacency is not None and network.adjacency.nnz > 0
        if has_links:
            close = _linked(network.adjacency, pool)
        else:
            nodes = np.sort(order[np.unique(np.linspace(0, len(order) - 1, min(len(order), MANY)).astype(int))])
            share = pool[:, nodes]
            close = _near(network.position_km, nodes, share / share.sum(axis=1, keepdims=True))
        close = (close / close.max()).astype("f4")
        return cls(order, torch.from_numpy(pool.astype("f4")), torch.from_numpy(close), has_links)

    def members(self, pixel: int) -> np.ndarray:
        """The sensors (K,) of a pixel, along the curve."""
        return self.order[self.pool[pixel].numpy()[self.order] > 0]

    def pixel_of(self, node: int) -> int:
        """The pixel in which a sensor has its largest share; the middle one of several."""
        share = self.pool[:, node].numpy()
        rows = np.flatnonzero(share >= share.max() - 1e-6)
        return int(rows[len(rows) // 2])


def curve_order(network: SensorNetwork) -> np.ndarray:
    """(N,) int64: sensors by their place on a Hilbert curve over the network's own extent, then by id."""
    west, south, east, north = network.bounds()
    x = (network.unwrapped_lon - west) / (east - west)
    y = (network.lat - south) / (north - south)
    cells = [np.floor(np.round(share * 2**LEVELS, 3)).astype("int64").clip(0, 2**LEVELS - 1) for share in (x, y)]
    return np.lexsort((np.array(network.ids), hilbert(*cells, LEVELS)))


def hilbert(x: np.ndarray, y: np.ndarray, levels: int) -> np.ndarray:
    """(N,) int64: how far along a Hilbert curve the cells (x, y) of a 2^levels x 2^levels square lie.

    Each level asks for the quarter, then turns the frame so that the smaller curve enters and leaves at the right corners.
    """
    x, y = x.copy(), y.copy()
    along = np.zeros(len(x), "int64")
    for level in reversed(range(levels)):
        side = 1 << level
        right, up = (x & side) > 0, (y & side) > 0
        along += side * side * np.where(right, np.where(up, 2, 3), np.where(up, 1, 0))
        x, y = x & (side - 1), y & (side - 1)
        flip = right & ~up
        x, y = np.where(flip, side - 1 - x, x), np.where(flip, side - 1 - y, y)
        x, y = np.where(up, x, y), np.where(up, y, x)
    return along


def overlaps(n: int, size: int) -> np.ndarray:
    """(size, n) float64, rows sum to 1: n things in a row spread over `size` pixels, whole ones repeated where n <= size."""
    if n <= size:
        share = np.zeros((size, n))
        share[np.arange(size), ((np.arange(size) + 0.5) * n / size).astype("int64")] = 1
        return share
    edge = np.arange(size + 1)[:, None] * (n / size)
    inside = np.minimum(edge[1:], np.arange(n) + 1) - np.maximum(edge[:-1], np.arange(n))
    return inside.clip(0) * size / n


def _linked(adjacency: sparse.csr_matrix, pool: np.ndarray) -> np.ndarray:
    """(G, G): mean closeness of the links between two pixels; a sensor is as close to itself as the strongest link."""
    links = sparse.csr_matrix(adjacency, dtype="f8")
    links = links / links.max() if links.max() > 0 else links
    links = links - sparse.diags(links.diagonal()) + sparse.identity(links.shape[0])
    thin = sparse.csr_matrix(pool)
    return (thin @ links @ thin.T).toarray()


def _near(position_km: np.ndarray, nodes: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """(G, G): mean of exp(-(distance / r)²) between the sensors of two pixels, in blocks, so that no K x K matrix is made.

    Args:
        position_km: (N, 2). nodes: (K,) the sensors that are measured. pool: (G, K) their shares in the pixels.
    """
    place = position_km - position_km.mean(axis=0)
    place = (place / max(float(np.sqrt((place**2).sum(axis=1).mean())), 0.05))[nodes]
    thin = sparse.csr_matrix(pool)
    found = np.zeros((len(pool), len(pool)))
    for start in range(0, len(place), BLOCK):
        rows = place[start : start + BLOCK]
        square = ((rows[:, None] - place[None]) ** 2).sum(axis=-1)  # (block, N)
        found += thin[:, start : start + BLOCK] @ (thin @ np.exp(-square).T).T
    return found
