"""One window → images, most of them georeferenced: what the vision tower looks at, with a legend in the reading's unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.modalities.image.raster import SHRINK, SpatialRaster
from stvlm.modalities.image.sensor_order import SensorCurve, overlaps

# Views whose pixels are no places on earth: correlations between sensors, sensors over time.

STILL = 1e-6  # variance added to each sensor's own: one that does not move has correlation 0
NONE = 1e-6  # share of observed pairs below which nothing is known


def correlation_view(curve: SensorCurve, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """Correlation, closeness and lead of the sensors of two pixels, row and column along the curve.

    With z = (x - mean) / spread of what was observed of a sensor, and 0 elsewhere, the mean correlation of the pairs of two pixels
    is (sum over t of z_a z_b) / (sum over t of m_a m_b), z_a and m_a being pooled over the pixel's sensors first: two products
    of (G, L) matrices, and no (N, N) matrix. Pairs count as often as both were observed.

    Args:
        curve: of the network. past: (B, L, N) scaled departures without gaps. observed: (B, L, N) bool.

    Returns:
        (B, 3, G, G) float32, differentiable in `past`: correlation over the lookback in -1 … 1, closeness in 0 … 1, and lead in
        -1 … 1: the correlation of the row one step earlier with the column, less that of the column one step earlier with the row.
    """
    pool = curve.pool.to(past.device).T  # (N, G)
    seen = observed.float()
    count = seen.sum(dim=1, keepdim=True).clamp(min=1)
    held = torch.where(observed, past, 0).float()
    away = (held - held.sum(dim=1, keepdim=True) / count) * seen
    spread = (away.square().sum(dim=1, keepdim=True) / count + STILL).sqrt()
    z, m = (away / spread) @ pool, seen @ pool  # (B, L, G) each
    both = _correlation(z, m, z, m)
    earlier = _correlation(z[:, :-1], m[:, :-1], z[:, 1:], m[:, 1:])  # row earlier, column later
    lead = (earlier - earlier.transpose(1, 2)).clamp(-1, 1)
    return torch.stack([both, curve.closeness.to(past.device).expand_as(both), lead], dim=1)


def _correlation(z: torch.Tensor, m: torch.Tensor, other_z: torch.Tensor, other_m: torch.Tensor) -> torch.Tensor:
    """(B, G, G) in -1 … 1 of pooled z and m, (B, L, G) each; 0 where no two were observed together."""
    pairs = m.transpose(1, 2) @ other_m
    return (z.transpose(1, 2) @ other_z / pairs.clamp(min=NONE)).clamp(-1, 1)


def space_time(curve: SensorCurve, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """The lookback of all sensors: a row for each place on the curve, the oldest step on the left.

    Args:
        curve, past, observed: as in `relations`.

    Returns:
        (B, 3, G, G) float32, differentiable in `past`: departure, its change from the step before, and the share observed.
    """
    size, steps = len(curve.pool), past.shape[1]
    sensors = curve.pool.to(past.device)  # (G, N)
    columns = torch.from_numpy(overlaps(steps, size)).float().to(past.device).T  # (L, G)
    seen = observed.float()
    held = torch.where(observed, past, 0).float()
    pair = seen * torch.cat([torch.zeros_like(seen[:, :1]), seen[:, :-1]], dim=1)  # also observed the step before
    step = (held - torch.cat([torch.zeros_like(held[:, :1]), held[:, :-1]], dim=1)) * pair

    def pool(values: torch.Tensor) -> torch.Tensor:
        return sensors @ values.transpose(1, 2) @ columns  # (B, G, G)

    share, pairs = pool(seen), pool(pair)
    return torch.stack([pool(held) / share.clamp(min=NONE), pool(step) / pairs.clamp(min=NONE), share], dim=1)


LIMIT = 4.0  # scaled departures (standard deviations) at which a channel is nearly black or white
SHARE_LOW, SHARE_SPAN = 0.01, 0.98  # a share 0 … 1 is painted as 0.01 … 0.99


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
        label: in plain words. kind: "level" (departure of a time from the usual), "change" (difference of two times), "spread",
            "share" (0 … 1), "correlation" (-1 … 1), "value" (low … high in `unit`) or "nothing" (flat grey).
        unit, low, high: of a value.
    """

    label: str
    kind: str
    unit: str = ""
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class View:
    """One kind of image.

    Attributes:
        title: in plain words. channels: what they show. paint: (raster, past, observed) -> (B, 3, G, G) in 0 … 1.
        is_georeferenced: whether a pixel is a place on earth; else it stands for sensors, and its attention has no place on a map.
        rows, columns: what they stand for, where they are no places.
        channels_on: what the channels show on one raster, where that depends on its network; None where it does not.
    """

    title: str
    channels: tuple[Channel, Channel, Channel]
    paint: Callable[[SpatialRaster, torch.Tensor, torch.Tensor], torch.Tensor]
    is_georeferenced: bool = True
    rows: str = ""
    columns: str = ""
    channels_on: Callable[[SpatialRaster], tuple[Channel, Channel, Channel]] | None = None


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


def n_views(config: ImageConfig) -> int:
    """V, images per window."""
    return len(config.views)


def legend(config: ImageConfig, raster: SpatialRaster | None = None) -> list[View]:
    """What each view shows, in the order of the V axis; with a raster, what it shows of that network."""
    views = [VIEWS[name] for name in config.views]
    if raster is None:
        return views
    return [replace(view, channels=view.channels_on(raster)) if view.channels_on else view for view in views]


def view_values(images: np.ndarray, config: ImageConfig, raster: SpatialRaster | None = None) -> np.ndarray:
    """Read the images back, each channel as `channel_values` does.

    Args:
        images: (V, 3, G, G) in 0 … 1, as `paint_views` made them. config: the same. raster: needed for geography.

    Returns:
        (V, 3, G, G) float32.
    """
    views = legend(config, raster)
    return np.stack(
        [np.stack([channel_values(images[v, c], what) for c, what in enumerate(view.channels)]) for v, view in enumerate(views)]
    ).astype("f4")


def channel_values(shades: np.ndarray, channel: Channel) -> np.ndarray:
    """What the shades (...) of a channel stand for: scaled departures, shares 0 … 1, correlations or values of a grid."""
    shades = np.asarray(shades, "f8")
    if channel.kind == "share":
        return np.clip((shades - SHARE_LOW) / SHARE_SPAN, 0, 1)
    if channel.kind == "correlation":
        return (shades - 0.5) / 0.49
    if channel.kind == "value":
        return channel.low + (shades - SHARE_LOW) / SHARE_SPAN * (channel.high - channel.low)
    return np.full_like(shades, np.nan) if channel.kind == "nothing" else from_shade(shades)


def field_in_unit(raster: SpatialRaster, values: np.ndarray, observed: np.ndarray | None = None) -> np.ndarray:
    """(G, G) float32 in the unit of `values` (N,): the same painting for people. NaN where nothing was observed anywhere near."""
    seen = np.isfinite(values) if observed is None else np.asarray(observed, bool) & np.isfinite(values)
    if not seen.any():
        return np.full((raster.size, raster.size), np.nan, "f4")
    middle = float(np.mean(values[seen], dtype="f8"))
    known = torch.from_numpy(seen)
    painted = raster.paint(torch.from_numpy(np.where(seen, values - middle, 0).astype("f4")), known).numpy().astype("f8")
    return np.where(raster.mass(known).numpy() > SHRINK, painted + middle, np.nan).astype("f4")


def _field(raster: SpatialRaster, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """The last reading of each sensor, how far it is from its first one, and how well each pixel is observed at the last step."""
    first = past.gather(1, observed.int().argmax(dim=1, keepdim=True))[:, 0]  # (B, N)
    now = past[:, -1]
    painted = raster.paint(torch.stack([now, now - first], dim=1), observed.any(dim=1, keepdim=True))  # (B, 2, G, G)
    share = SHARE_LOW + SHARE_SPAN * raster.support(observed[:, -1:])  # (B, 1, G, G)
    return torch.cat([to_shade(painted), share], dim=1)  # (B, 3, G, G)


def _spread(raster: SpatialRaster, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """Mean, standard deviation and range of what was observed in the lookback."""
    count = observed.sum(dim=1).clamp(min=1)  # (B, N)
    mean = torch.where(observed, past, 0).sum(dim=1) / count
    square = torch.where(observed, (past - mean[:, None]) ** 2, 0).sum(dim=1) / count
    spread = (square + 1e-6).sqrt()  # the root of 0 has no slope
    high = torch.where(observed, past, -torch.inf).amax(dim=1)
    low = torch.where(observed, past, torch.inf).amin(dim=1)
    ever = observed.any(dim=1)
    height = torch.where(ever, high, 0) - torch.where(ever, low, 0)
    return to_shade(raster.paint(torch.stack([mean, spread, height], dim=1), ever[:, None]))  # (B, 3, G, G)


def _frames(raster: SpatialRaster, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """The last readings as they were at the start, in the middle and at the end of the lookback."""
    steps = [0, past.shape[1] // 2, past.shape[1] - 1]
    known = torch.stack([observed[:, : step + 1].any(dim=1) for step in steps], dim=1)  # (B, 3, N)
    return to_shade(raster.paint(past[:, steps], known))  # (B, 3, G, G)


def _relations(raster: SpatialRaster, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """Who moves with whom, who is close to whom, who leads whom: pixels are pairs of sensors."""
    together, closeness, lead = correlation_view(raster.curve, past, observed).unbind(1)
    return torch.stack([0.5 + 0.49 * together, SHARE_LOW + SHARE_SPAN * closeness, 0.5 + 0.49 * lead], dim=1)


def _space_time(raster: SpatialRaster, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """The lookback itself: pixels are a sensor at a time."""
    departure, change, share = space_time(raster.curve, past, observed).unbind(1)
    return torch.stack([to_shade(departure), to_shade(change), SHARE_LOW + SHARE_SPAN * share], dim=1)


def _geography(raster: SpatialRaster, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """What lies below the network: the same for every window."""
    ground, flat = raster.ground, np.full((raster.size, raster.size), 0.5, "f4")
    shapes = raster.nearness.numpy().reshape(flat.shape) if ground.shapes is None else ground.shapes
    values = None if ground.values is None else (ground.values - ground.low) / (ground.high - ground.low)
    grid = flat if values is None else np.where(np.isfinite(values), SHARE_LOW + SHARE_SPAN * values, flat)
    shades = np.stack([SHARE_LOW + SHARE_SPAN * ground.land, SHARE_LOW + SHARE_SPAN * shapes, grid]).astype("f4")
    return torch.from_numpy(shades).to(past.device).expand(len(past), -1, -1, -1)


def _ground_channels(raster: SpatialRaster) -> tuple[Channel, Channel, Channel]:
    """What geography shows of one network: of what was not given it says so."""
    layer, ground = raster.network.base_layer, raster.ground
    shapes = Channel("nearness of a sensor (no base layer given)", "value")
    if ground.shapes is not None:
        shapes = Channel(f"{layer.name}: lines and outlines, areas at half", "share")
    grid = Channel("flat (no grid given)", "nothing")
    if ground.values is not None:
        grid = Channel(layer.grid.name, "value", layer.grid.unit, ground.low, ground.high)
    return LAND, shapes, grid


LAND = Channel("land (inland waters too; the coast is good to some km)", "share")
TOGETHER = Channel("correlation over the lookback", "correlation")
LEAD = Channel("lead of the row over the column by a step", "correlation")


def _pair_channels(raster: SpatialRaster) -> tuple[Channel, Channel, Channel]:
    given = "links given" if raster.curve.has_links else "distance"
    return TOGETHER, Channel(f"closeness by the {given}", "value"), LEAD


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
    "relations": View(
        "Relations",
        (TOGETHER, Channel("closeness", "value"), LEAD),
        _relations,
        is_georeferenced=False,
        rows="sensors along the curve",
        columns="sensors along the curve",
        channels_on=_pair_channels,
    ),
    "space-time": View(
        "Space-time",
        (Channel("reading", "level"), Channel("change from the step before", "change"), Channel("observed", "share")),
        _space_time,
        is_georeferenced=False,
        rows="sensors along the curve",
        columns="steps of the lookback, the oldest on the left",
    ),
    "geography": View(
        "Geography",
        (LAND, Channel("base layer, or nearness of a sensor", "share"), Channel("grid, or nothing", "value")),
        _geography,
        channels_on=_ground_channels,
    ),
}


# Channels in the unit of the readings, for people.

DEPARTURE = "standard deviations from the usual"
DEPARTURES = ("level", "change", "spread")


@dataclass(frozen=True, eq=False)
class ChannelReading:
    """One channel of one image, read.

    Attributes:
        array: (G, G) in `unit`, row 0 in the north where pixels are places; NaN where nothing is known.
        values: (N,) of the sensors themselves, in `unit`; None where the channel is not painted from one number per sensor.
        unit: of both. about_zero: whether 0 is the middle of the colours.
    """

    array: np.ndarray
    values: np.ndarray | None
    unit: str
    about_zero: bool


def past_without(window: Window, silent: Sequence[int] = ()) -> np.ndarray:
    """(L, N) float32, the readings of a lookback; NaN where missing and for the sensors (nodes) left out."""
    past = window.past
    if len(silent):
        past = past.copy()
        past[:, list(silent)] = np.nan
    return past


def read_channel(
    past: np.ndarray, series: SensorSeries, raster: SpatialRaster, view: View, channel: int, image: np.ndarray | None
) -> ChannelReading:
    """One channel as people read it.

    Args:
        past: (L, N) readings in the unit of `series`, NaN = missing. raster: of the same network. view: what was painted.
        channel: 0 .. 2. image: (3, G, G) of the view as the model gets it; only needed where the channel holds no readings
            (see `needs_image`).

    Raises:
        ValueError: an image is needed and was not given.
    """
    what = view.channels[channel]
    if view.title == "Space-time":
        return ChannelReading(_over_time(raster, past, channel), None, "%" if channel == 2 else series.unit, channel == 1)
    values = _of_readings(what.label, past)
    if values is not None:
        return ChannelReading(field_in_unit(raster, values), values, series.unit, what.kind == "change")
    if what.label == "observed now":
        seen = np.isfinite(past[-1])
        return ChannelReading(100 * raster.support(torch.from_numpy(seen)).numpy(), 100.0 * seen, "%", False)
    if image is None:
        raise ValueError(f"The channel {what.label} is read off the image itself, and none was given.")
    array = channel_values(image[channel], what)
    if what.kind == "share":
        return ChannelReading(100 * array, None, "%", False)
    if view.title == "Geography" and channel == 2 and raster.ground.values is not None:
        return ChannelReading(raster.ground.values, None, what.unit, False)  # the grey of pixels without a value stands for none
    if what.kind in DEPARTURES:
        return ChannelReading(array, None, DEPARTURE, what.kind != "spread")
    return ChannelReading(array, None, what.unit, what.kind == "correlation")


def needs_image(view: View, channel: int) -> bool:
    """Whether a channel can only be read off the tensor, so that another moment needs another one."""
    label = view.channels[channel].label
    return view.title != "Space-time" and label != "observed now" and label not in _LABELS


def _over_time(raster: SpatialRaster, past: np.ndarray, channel: int) -> np.ndarray:
    """(G, G): the space-time view of the readings themselves, in their unit or in %; NaN where nothing was observed."""
    filled = torch.from_numpy(np.nan_to_num(past))[None]
    level, change, share = space_time(raster.curve, filled, torch.from_numpy(np.isfinite(past))[None])[0].numpy()
    if channel == 2:
        return 100 * share
    return np.where(share > 0, level if channel == 0 else change, np.nan)


_LABELS = (
    "now",
    "change over the lookback",
    "start of the lookback",
    "middle of the lookback",
    "mean of the lookback",
    "spread over the lookback",
    "range over the lookback",
)


def _of_readings(label: str, past: np.ndarray) -> np.ndarray | None:
    """(N,) in the unit: what a channel paints, taken from the readings themselves; None for another kind of channel."""
    last, first, middle = _known(past[::-1]), _known(past), past[len(past) // 2]
    seen = np.isfinite(past).any(axis=0)
    filled = np.where(seen, past, 0)
    of = {
        "now": lambda: last,
        "change over the lookback": lambda: last - first,
        "start of the lookback": lambda: past[0],
        "middle of the lookback": lambda: middle,
        "mean of the lookback": lambda: np.where(seen, np.nanmean(filled, axis=0), np.nan),
        "spread over the lookback": lambda: np.where(seen, np.nanstd(filled, axis=0), np.nan),
        "range over the lookback": lambda: np.where(seen, np.nanmax(filled, axis=0) - np.nanmin(filled, axis=0), np.nan),
    }
    return of[label]() if label in _LABELS else None


def _known(rows: np.ndarray) -> np.ndarray:
    """(N,) the first reading that is there, from the top of (L, N)."""
    index = np.isfinite(rows).argmax(axis=0)
    return rows[index, np.arange(rows.shape[1])]
