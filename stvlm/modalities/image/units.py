"""The images as people read them: every channel in the unit of the readings, at any moment, with any sensor left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.modalities.image.raster import SpatialRaster
from stvlm.modalities.image.views import View, channel_values, field_in_unit, space_time

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
