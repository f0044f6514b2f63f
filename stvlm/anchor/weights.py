"""Who counts for how much at a place: inverse distances, kriging, links of the network, the mean of all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from stvlm.anchor.sites import Sites
from stvlm.data.network import SensorNetwork

CLOSEST = 0.05  # of the usual distance between sensors: nearer than that counts as that near
DOUBT_REACH, DOUBT_NUGGET = 0.5, 0.1  # of the covariance by which the doubt of one place is compared to that of others


@dataclass(frozen=True)
class Kernel:
    """How much each sensor counts at a place.

    Attributes:
        kind: "mean" of all; "distance": inverse distance to the `power` of the `nearest` (0: all); "kriging": ordinary kriging with
            a covariance of `reach` (half extents of the network) and `nugget` (share of the sill), exponential or, `is_smooth`,
            Matérn's of 3/2; "links": closeness of the adjacency, in either direction, and inverse distance where a place has no link.
    """

    kind: str
    nearest: int = 0
    power: float = 1.0
    reach: float = 1.0
    nugget: float = 0.1
    is_smooth: bool = False

    @property
    def is_positive(self) -> bool:
        """Whether no weight is below 0, as a weighted median needs."""
        return self.kind != "kriging"

    @property
    def label(self) -> str:
        """In plain words."""
        who = f"{self.nearest} nearest" if self.nearest else "all"
        return {
            "mean": "mean of all",
            "distance": f"inverse distance^{self.power:g}, {who}",
            "kriging": f"{'smooth ' if self.is_smooth else ''}kriging, reach {self.reach:g}, nugget {self.nugget:g}",
            "links": f"links, else inverse distance^{self.power:g}, {who}",
        }[self.kind]


KERNELS = (
    Kernel("mean"),
    Kernel("distance", 1),
    *(Kernel("distance", nearest, power) for nearest in (3, 6, 12, 0) for power in (1.0, 2.0)),
    *(Kernel("kriging", reach=reach, nugget=nugget) for reach in (0.15, 0.5, 1.5, 5.0) for nugget in (0.01, 0.1, 0.3, 1.0)),
    *(Kernel("kriging", reach=reach, nugget=nugget, is_smooth=True) for reach in (0.5, 1.5, 5.0) for nugget in (0.001, 0.03, 0.3)),
    *(Kernel("links", nearest, 2.0) for nearest in (1, 6)),
)


def mixing_weights(kernel: Kernel, network: SensorNetwork, sites: Sites) -> np.ndarray:
    """(M, N) float64, rows sum to 1: how much each sensor of the network counts at each site."""
    n = network.n_sensors
    if kernel.kind == "mean":
        return np.full((len(sites.lat), n), 1 / n)
    if kernel.kind == "kriging":
        return _kriging(kernel, network, sites)
    weights = _inverse_distance(kernel, network, sites)
    if kernel.kind == "links" and sites.links is not None:
        total = sites.links.sum(axis=1, keepdims=True)
        weights = np.where(total > 1e-9, sites.links / np.maximum(total, 1e-9), weights)
    return weights


def _inverse_distance(kernel: Kernel, network: SensorNetwork, sites: Sites) -> np.ndarray:
    """Shepard's weights of the nearest sensors."""
    k = min(kernel.nearest or network.n_sensors, network.n_sensors)
    index, distance = network.nearest_to(sites.lat, sites.lon, k)
    near = np.maximum(distance, CLOSEST * network.spacing_km) ** -kernel.power
    weights = np.zeros((len(sites.lat), network.n_sensors))
    np.put_along_axis(weights, index.reshape(near.shape), near, axis=1)
    return weights / weights.sum(axis=1, keepdims=True)


def _kriging(kernel: Kernel, network: SensorNetwork, sites: Sites) -> np.ndarray:
    """Ordinary kriging (Cressie 1993, 3.2): C⁻¹(c + 1 μ) with μ such that the weights sum to 1."""
    covariance, toward = _covariances(network, sites, kernel)
    factor = cho_factor(covariance)
    ones = cho_solve(factor, np.ones(network.n_sensors))  # (N,)
    simple = cho_solve(factor, toward.T).T  # (M, N)
    return simple + (1 - simple.sum(axis=1, keepdims=True)) / ones.sum() * ones


def unexplained(network: SensorNetwork, sites: Sites) -> np.ndarray:
    """(M,) share of a reading's variance that the sensors around leave open under a middling covariance: 1 + wᵀCw - 2wᵀc."""
    kernel = Kernel("kriging", reach=DOUBT_REACH, nugget=DOUBT_NUGGET)
    weights = _kriging(kernel, network, sites)
    covariance, toward = _covariances(network, sites, kernel)
    return 1 + np.einsum("mn,nk,mk->m", weights, covariance, weights, optimize=True) - 2 * (weights * toward).sum(axis=1)


def _covariances(network: SensorNetwork, sites: Sites, kernel: Kernel) -> tuple[np.ndarray, np.ndarray]:
    """Covariance among sensors (N, N), with the nugget, and from sites to sensors (M, N); the sill is 1."""
    here, there = network.position_km, sites.position_km(network)

    def among(first: np.ndarray) -> np.ndarray:
        far = cdist(first, here) / (kernel.reach * network.half_extent_km)
        return (1 + 3**0.5 * far) * np.exp(-(3**0.5) * far) if kernel.is_smooth else np.exp(-far)

    return among(here) + kernel.nugget * np.eye(len(here)), among(there)


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(..., N) with weights (M, N) >= 0 → (..., M): the least value at which half of the weight is reached."""
    order = np.argsort(values, axis=-1)
    ordered = np.take_along_axis(values, order, axis=-1)
    out = np.empty((*values.shape[:-1], len(weights)), "f4")
    for m, mine in enumerate(weights):
        reached = np.cumsum(mine[order], axis=-1)
        place = (reached >= 0.5 * reached[..., -1:]).argmax(axis=-1)
        out[..., m] = np.take_along_axis(ordered, place[..., None], axis=-1)[..., 0]
    return out
