"""The Spatial images page: every channel of every view, large, in the unit of the readings and as the model gets it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from stvlm.charts import maps
from stvlm.charts.images import image_png
from stvlm.data.windows import Window
from stvlm.ui import frame, session, show, widgets

if TYPE_CHECKING:
    from stvlm.modalities.image import View
    from stvlm.predict import Seen

DEPARTURE = "standard deviations from the usual"


def pictures(window: Window, seen: Seen, view_names: tuple[str, ...]) -> None:
    """One channel large on the map in the unit, beside it the very tensor that the model gets."""
    if seen.images is None:
        st.info("This model looks at no image: it was made without the modality vision. Choose another forecaster above.")
        return
    _linked(window, seen, view_names)


@st.fragment
def _linked(window: Window, seen: Seen, view_names: tuple[str, ...]) -> None:
    from stvlm.modalities.image import VIEWS

    options = [f"{name} {channel + 1}" for name in view_names for channel in range(3)]
    labels = {
        f"{name} {i + 1}": f"{VIEWS[name].title}: {c.label}" for name in view_names for i, c in enumerate(VIEWS[name].channels)
    }
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        picked = session.chosen("channel", options, options[0])
        key = session.tied("channel", picked)
        st.segmented_control(
            "What to look at",
            options,
            key=key,
            format_func=labels.get,
            wrap=True,
            required=True,
            on_change=session.taken,
            args=("channel", key, str),
        )
    name, channel = picked.rsplit(" ", 1)
    channel = int(channel) - 1
    with right:
        sensor = widgets.pick_sensor(window.series.network, "Sensor (or click one on the map)")
    left, right = st.columns([3, 2])
    with left:
        _map(window, seen, view_names.index(name), VIEWS[name], channel, sensor)
    with right:
        _tensor(window, seen, view_names.index(name), VIEWS[name])


def _map(window: Window, seen: Seen, view: int, kind: View, channel: int, sensor: int) -> None:
    label = kind.channels[channel].label
    array, values, unit, about_zero = in_unit(window, seen, view, kind, channel)
    drawn = maps.image_map(
        array,
        seen.raster.bounds,
        window.series.network,
        unit,
        label if unit == "%" else f"{window.series.quantity}, {label}",
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


def in_unit(window: Window, seen: Seen, view: int, kind: View, channel: int) -> tuple[np.ndarray, np.ndarray | None, str, bool]:
    """One channel as people read it.

    Args:
        window, seen: the readings and what the model got of them. view: place of the view in the tensor. kind: the view.
        channel: 0 .. 2.

    Returns:
        array: (G, G), row 0 in the north. values: (N,) of the sensors, or None. unit: of both. about_zero: whether 0 is the middle.
    """
    from stvlm.modalities.image import field_in_unit, from_shade

    what = kind.channels[channel]
    values = _of_readings(what.label, window.past)
    if values is not None:
        return field_in_unit(seen.raster, values), values, window.series.unit, what.kind == "change"
    shade = np.asarray(seen.images[view, channel], "f8")
    if what.kind == "share":
        return (shade - 0.01) / 0.98 * 100, None, "%", False
    return from_shade(shade), None, DEPARTURE, what.kind != "spread"


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
        f"{shape} (views × channels × rows × columns), {image.min():.3f} to {image.max():.3f}. "
        f"{meaning}. Grey 0.5 is the usual reading at that time."
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


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
