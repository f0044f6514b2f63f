"""The Spatial images page: every channel of every view, large, in the unit of the readings and as the model gets it."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import maps
from stvlm.charts.images import image_png
from stvlm.charts.matrix import Axis, matrix_picture
from stvlm.data.windows import Window
from stvlm.ui import frame, session, show, widgets

if TYPE_CHECKING:
    from stvlm.modalities.image import View
    from stvlm.predict import Seen

DEPARTURE = "standard deviations from the usual"
DEPARTURES = ("level", "change", "spread")


def pictures(window: Window, seen: Seen, view_names: tuple[str, ...]) -> None:
    """One channel large in its unit, on the map where its pixels are places; beside it the very tensor that the model gets."""
    if seen.images is None:
        st.info("This model looks at no image: it was made without the modality vision. Choose another forecaster above.")
        return
    _linked(window, seen, view_names)


@st.fragment
def _linked(window: Window, seen: Seen, view_names: tuple[str, ...]) -> None:
    from stvlm.modalities.image import ImageConfig, legend

    views = dict(zip(view_names, legend(ImageConfig(views=view_names), seen.raster), strict=True))
    name = _pick_view(views)
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        channel = _pick_channel(name, views[name])
    on_map = views[name].is_georeferenced
    with right:
        sensor = widgets.pick_sensor(window.series.network, "Sensor (or click one on the map)" if on_map else "Sensor")
    left, right = st.columns([3, 2])
    with left:
        (_map if on_map else _matrix)(window, seen, view_names.index(name), views[name], channel, sensor)
    with right:
        _tensor(window, seen, view_names.index(name), views[name])


def _pick_view(views: dict[str, View]) -> str:
    """Choose one of the images of a window; the URL says which by its channel."""
    options = [f"{name} {channel + 1}" for name in views for channel in range(3)]
    name = session.chosen("channel", options, options[0]).rsplit(" ", 1)[0]
    if len(views) > 1:
        key = session.tied("view", name)
        st.segmented_control(
            "Image",
            list(views),
            key=key,
            format_func=lambda other: views[other].title,
            wrap=True,
            required=True,
            on_change=session.taken,
            args=("channel", key, lambda other: f"{other} 1"),
        )
    return name


def _pick_channel(name: str, view: View) -> int:
    """Choose one of the three channels, 0 .. 2, of the view in the URL."""
    options = [f"{name} {channel + 1}" for channel in range(3)]
    picked = session.chosen("channel", options, options[0])
    key = session.tied("channel", picked)
    st.segmented_control(
        "What to look at",
        options,
        key=key,
        format_func=lambda word: view.channels[options.index(word)].label,
        wrap=True,
        required=True,
        on_change=session.taken,
        args=("channel", key, str),
    )
    return options.index(picked)


def _map(window: Window, seen: Seen, view: int, kind: View, channel: int, sensor: int) -> None:
    label = kind.channels[channel].label
    array, values, unit, about_zero = in_unit(window, seen, view, kind, channel)
    if not np.isfinite(array).any():
        st.info(f"This channel is {label}: every pixel is grey, and tells the model nothing.")
        return
    drawn = maps.image_map(
        array,
        seen.raster.bounds,
        window.series.network,
        unit,
        f"{window.series.quantity}, {label}" if kind.channels[channel].kind in DEPARTURES else label,
        frame.theme(),
        sensor,
        kind="diverging" if about_zero else "sequential",
        values=values,
    )
    known = np.isfinite(array)
    low, high = (float(f(array[known])) if known.any() else float("nan") for f in (np.min, np.max))
    g = array.shape[0]
    alt = f"Image of {g} × {g} pixels, {label}: {low:.4g} to {high:.4g} {unit}. North is up; each pixel has its place on the map."
    show.show_map(drawn, window.series.network, "image", alt, height=470)
    if kind.title == "Geography":
        st.caption(_ground_words(seen))


def _ground_words(seen: Seen) -> str:
    """What to know of the ground: it does not change, and where the coast is too coarse."""
    network = seen.raster.network
    row, column = seen.raster.pixel_of(network.lat, network.lon)
    wet = int((seen.raster.ground.land[row, column] < 0.5).sum())
    coarse = f" {wet} of {network.n_sensors} sensors lie in its water." if wet else ""
    return f"The ground is the same for every moment. Land: Natural Earth, bundled, good to some kilometres.{coarse}"


def _matrix(window: Window, seen: Seen, view: int, kind: View, channel: int, sensor: int) -> None:
    """A view whose pixels are no places: sensors by sensors, or sensors by time."""
    label, curve, series = kind.channels[channel].label, seen.raster.curve, window.series
    array, _, unit, about_zero = in_unit(window, seen, view, kind, channel)
    from stvlm.modalities.curve import overlaps

    names = [widgets.sensor_label(series.network, int(node)) for node in curve.order]
    pixels, shown = _along(curve.pool.numpy()[:, curve.order], names)
    rows = Axis(kind.rows, shown, int(np.abs(pixels - curve.pixel_of(sensor)).argmin()))
    columns, across = replace(rows, title=kind.columns), pixels
    if kind.title == "Space-time":
        times = pd.DatetimeIndex(series.local_times[window.cutoff - window.lookback : window.cutoff])
        times = list(times.strftime("%-d %b %Y" if widgets.is_daily(series) else "%-d %b %H:%M"))
        across, shown = _along(overlaps(window.lookback, len(array)), times)
        columns = Axis(kind.columns, shown)
    array = array[np.ix_(pixels, across)]
    limits = {"value": (0.0, 1.0), "share": (0.0, 100.0)}.get(kind.channels[channel].kind)
    if kind.title == "Relations" and channel == 0:
        limits = (-1.0, 1.0)
    colours = "diverging" if about_zero else "sequential"
    words = f"{series.quantity}, {label}" if kind.channels[channel].kind in DEPARTURES else label
    show.plot(matrix_picture(array, rows, columns, words, unit, frame.theme(), colours, limits), "matrix", words, height=520)
    known = array[np.isfinite(array)]
    span = f"{known.min():.3g} to {known.max():.3g} {unit}".rstrip() if known.size else "nothing was observed"
    st.caption(
        widgets.plain(
            f"{label}: {span}. Rows: {kind.rows}; columns: {kind.columns}. The curve (Hilbert's) keeps neighbours near in the row; "
            f"the dotted lines mark {widgets.sensor_label(series.network, sensor)}. These pixels have no place on the map."
        )
    )


def _along(share: np.ndarray, names: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """What the pixels of one side stand for, each thing once.

    Args:
        share: (G, K) of each of K things in each pixel. names: of the things, in their order.

    Returns:
        pixels: (P,) those to show: one for each thing where K <= G, else all. names: P texts.
    """
    if share.shape[1] <= share.shape[0]:
        return share.argmax(axis=0), tuple(names)
    ends = [np.flatnonzero(row)[[0, -1]] for row in share]
    return np.arange(len(share)), tuple(f"{names[a]} and {b - a} more" if b > a else names[a] for a, b in ends)


def in_unit(window: Window, seen: Seen, view: int, kind: View, channel: int) -> tuple[np.ndarray, np.ndarray | None, str, bool]:
    """One channel as people read it.

    Args:
        window, seen: the readings and what the model got of them. view: place of the view in the tensor. kind: the view.
        channel: 0 .. 2.

    Returns:
        array: (G, G), row 0 in the north. values: (N,) of the sensors, or None. unit: of both. about_zero: whether 0 is the middle.
    """
    from stvlm.modalities.image import channel_values, field_in_unit

    what = kind.channels[channel]
    if kind.title == "Space-time":
        return _over_time(window, seen, channel), None, "%" if channel == 2 else window.series.unit, channel == 1
    values = _of_readings(what.label, window.past)
    if values is not None:
        return field_in_unit(seen.raster, values), values, window.series.unit, what.kind == "change"
    array = channel_values(seen.images[view, channel], what)
    if what.kind == "share":
        return 100 * array, None, "%", False
    if kind.title == "Geography" and channel == 2 and seen.raster.ground.values is not None:
        array = seen.raster.ground.values  # the grey of pixels without a value stands for none
    if what.kind in DEPARTURES:
        return array, None, DEPARTURE, what.kind != "spread"
    return array, None, what.unit, what.kind == "correlation"


def _over_time(window: Window, seen: Seen, channel: int) -> np.ndarray:
    """(G, G): the space-time view of the readings themselves, in their unit or in %; NaN where nothing was observed."""
    import torch

    from stvlm.modalities.relations import space_time

    past = torch.from_numpy(np.nan_to_num(window.past))[None]
    level, change, share = space_time(seen.raster.curve, past, torch.from_numpy(np.isfinite(window.past))[None])[0].numpy()
    if channel == 2:
        return 100 * share
    return np.where(share > 0, level if channel == 0 else change, np.nan)


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
    return of[label]() if label in of else None


def _known(rows: np.ndarray) -> np.ndarray:
    """(N,) the first reading that is there, from the top of (L, N)."""
    index = np.isfinite(rows).argmax(axis=0)
    return rows[index, np.arange(rows.shape[1])]


def _tensor(window: Window, seen: Seen, view: int, kind: View) -> None:
    """The tensor itself: all three channels as one colour image, and each alone."""
    image = np.asarray(seen.images[view])
    st.markdown("**The exact tensor that the model gets**")
    st.image(image_png(image, 480), width="stretch", alt=f"{kind.title}: the three channels as red, green and blue.")
    for column, colour, channel in zip(st.columns(3), ("red", "green", "blue"), image, strict=True):
        column.image(image_png(channel, 160), width="stretch", alt=f"Channel {colour} in grey.", caption=colour)
    shape = " × ".join(str(n) for n in seen.images.shape)
    meaning = ", ".join(f"{colour}: {what.label}" for colour, what in zip(("red", "green", "blue"), kind.channels, strict=True))
    st.caption(
        f"{shape} (views × channels × rows × columns), {image.min():.3f} to {image.max():.3f}. {meaning}. {_grey_words(kind)}"
    )
    stamp = str(window.future_times[0]).replace(":", "")
    with st.container(horizontal=True):
        st.download_button(
            ".npy",
            _npy(seen.images),
            f"images_{stamp}.npy",
            "application/octet-stream",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            ".png",
            image_png(image, 1),
            f"{kind.title.lower()}_{stamp}.png",
            "image/png",
            icon=":material/download:",
            on_click="ignore",
        )


def _grey_words(kind: View) -> str:
    kinds = {channel.kind for channel in kind.channels}
    if "correlation" in kinds:
        return "Grey 0.5 is no correlation."
    return "Grey 0.5 is the usual reading at that time." if kinds & set(DEPARTURES) else "Shares run from 0.01 to 0.99."


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
