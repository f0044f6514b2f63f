"""One window → georeferenced images: what the vision tower looks at, with a legend in the reading's unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from stvlm.data.network import SensorNetwork
from stvlm.modalities.raster import SpatialRaster

LIMIT = 4.0  # scaled departures (standard deviations) at which a channel is nearly black or white


@dataclass(frozen=True)
class ImageConfig:
    """How the images are painted.

    Attributes:
        size: G, pixels a side. views: names of VIEWS, one image each. n_neighbours: sensors that a pixel heeds.
    """

    size: int = 32
    views: tuple[str, ...] = ("field",)
    n_neighbours: int = 6

    def __post_init__(self) -> None:
        unknown = [v for v in self.views if v not in VIEWS]
        if unknown or not self.views:
            raise ValueError(f"views must be some of {', '.join(VIEWS)}; got {self.views}.")


@dataclass(frozen=True)
class Channel:
    """What one channel of a view shows.

    Attributes:
        label: in plain words. kind: "level" (departure of a time from the usual), "change" (difference of two times), "spread"
            or "share" (0 … 1).
    """

    label: str
    kind: str


@dataclass(frozen=True)
class View:
    """One kind of image: its three channels and how they are painted from (raster, past, observed)."""

    title: str
    channels: tuple[Channel, Channel, Channel]
    paint: Callable[[SpatialRaster, torch.Tensor, torch.Tensor], torch.Tensor]


def build_raster(network: SensorNetwork, config: ImageConfig) -> SpatialRaster:
    """The raster of a network, built once."""
    return SpatialRaster.build(network, config.size, config.n_neighbours)


def paint_views(raster: SpatialRaster, past: torch.Tensor, observed: torch.Tensor, config: ImageConfig) -> torch.Tensor:
    """Paint every view of a batch of windows: what the backbone gets before its mean and spread.

    Args:
        raster: of the network. past: (B, L, N) scaled departures without gaps. observed: (B, L, N) bool. config: views.

    Returns:
        (B, V, 3, G, G) in 0 … 1, differentiable in `past`. 0.5 is the usual reading; never one flat value of 0.
    """
    return torch.stack([VIEWS[name].paint(raster, past, observed) for name in config.views], dim=1)


def to_shade(scaled: torch.Tensor) -> torch.Tensor:
    """Scaled departures → 0.01 … 0.99, straight around 0 and bent towards the ends."""
    return 0.5 + 0.49 * torch.tanh(scaled / LIMIT)


def from_shade(shade: np.ndarray) -> np.ndarray:
    """The inverse of `to_shade`: what a shade of a "level" or "change" channel stands for, in scaled departures."""
    return LIMIT * np.arctanh(np.clip((np.asarray(shade, "f8") - 0.5) / 0.49, -0.9999, 0.9999))


def field_in_unit(raster: SpatialRaster, values: np.ndarray, observed: np.ndarray | None = None) -> np.ndarray:
    """(G, G) float32 in the unit of `values` (N,): the same painting for people. NaN where nothing was observed anywhere near."""
    seen = np.isfinite(values) if observed is None else observed & np.isfinite(values)
    tensor = torch.from_numpy(np.nan_to_num(np.asarray(values, "f4")))
    return raster.paint(tensor, torch.from_numpy(np.asarray(seen)), fallback=float("nan")).numpy()


def _field(raster: SpatialRaster, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    ever = observed.any(dim=1)
    now = raster.paint(past[:, -1], ever)
    change = raster.paint(past[:, -1] - past[:, 0], ever)
    return torch.stack([to_shade(now), to_shade(change), 0.01 + 0.98 * raster.support(observed[:, -1])], dim=1)  # (B, 3, G, G)


def _spread(raster: SpatialRaster, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    ever = observed.any(dim=1)
    spread = past.std(dim=1, unbiased=False)
    painted = [raster.paint(row, ever) for row in (past.mean(dim=1), spread, past.amax(dim=1) - past.amin(dim=1))]
    return torch.stack([to_shade(p) for p in painted], dim=1)


def _frames(raster: SpatialRaster, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    steps = [0, past.shape[1] // 2, past.shape[1] - 1]
    ever = observed.any(dim=1)
    return to_shade(torch.stack([raster.paint(past[:, step], ever) for step in steps], dim=1))


VIEWS: dict[str, View] = {
    "field": View(
        "Field",
        (Channel("now", "level"), Channel("change over the lookback", "change"), Channel("observed now", "share")),
        _field,
    ),
    "frames": View(
        "Frames",
        (Channel("start of the lookback", "level"), Channel("middle of the lookback", "level"), Channel("now", "level")),
        _frames,
    ),
    "spread": View(
        "Spread",
        (
            Channel("mean of the lookback", "level"),
            Channel("spread over the lookback", "spread"),
            Channel("range over the lookback", "spread"),
        ),
        _spread,
    ),
}
