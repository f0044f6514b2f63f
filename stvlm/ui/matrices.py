"""Images whose pixels are no places: sensors by sensors, or sensors over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts.matrix import Axis, matrix_picture, matrix_player
from stvlm.modalities.curve import overlaps
from stvlm.ui import frame, show, widgets
from stvlm.ui.fields import Look, when
from stvlm.ui.words import brief, calendar, say, told

PLAYED = 12  # moments


def on_axes(look: Look, other: Look | None, image_at: Callable[[int], np.ndarray]) -> None:
    """One channel as a matrix with names on both sides.

    Args:
        look: what is shown. other: the same at another moment, to be compared; None for none. image_at: the image of a cutoff.
    """
    moments = list(range(max(look.window.lookback, look.window.cutoff - PLAYED + 1), look.window.cutoff + 1))
    playing = len(moments) > 1 and st.toggle(say("images.play"), key="play", help=say("images.play_help", n=len(moments)))
    reading = look.read()
    rows, columns, places = _axes(look, reading.array)
    array, kind = reading.array[places], "diverging" if reading.about_zero else "sequential"
    limits, theme = _limits(look), frame.theme()
    if playing:
        with st.spinner(say("wait.painting")):
            arrays = np.stack([look.at(cutoff, image_at(cutoff)).read().array[places] for cutoff in moments])
        times = [when(look.at(cutoff).window) for cutoff in moments]
        figure = matrix_player(arrays, times, rows, columns, look.label, reading.unit, theme, kind, limits)
    else:
        figure = matrix_picture(array, rows, columns, look.label, reading.unit, theme, kind, limits)
    show.plot(figure, "matrix", look.label, height=620 if playing else 520)
    known = array[np.isfinite(array)]
    span = say("images.unobserved")
    if known.size:
        span = say("images.span", low=brief(known.min()), high=f"{brief(known.max())} {reading.unit}".rstrip())
    name = widgets.sensor_label(look.window.series.network, look.sensor)
    sides = {"rows": told("view", look.view.rows), "columns": told("view", look.view.columns)}
    st.caption(widgets.plain(say("images.matrix", label=look.channel_label, span=span, **sides, name=name)))
    if other is not None:
        off = array - other.read().array[places]
        title = f"{look.label}: {say('images.minus', first=when(look.window), second=when(other.window))}"
        show.plot(matrix_picture(off, rows, columns, title, reading.unit, theme, "diverging"), "difference", title, height=480)
    with st.expander(say("format.as_table")):
        table = pd.DataFrame(array, columns=_distinct(columns.names))
        table.insert(0, say("images.row"), rows.names)
        widgets.table(table, say("images.matrix_alt", label=look.label))


def _limits(look: Look) -> tuple[float, float] | None:
    """The ends of the colours where they are known beforehand."""
    if look.view.title == "Relations" and look.channel == 0:
        return -1.0, 1.0
    return {"value": (0.0, 1.0), "share": (0.0, 100.0)}.get(look.view.channels[look.channel].kind)


def _axes(look: Look, array: np.ndarray) -> tuple[Axis, Axis, tuple[np.ndarray, np.ndarray]]:
    """Names of rows and columns, and the pixels to show of each."""
    curve, series, window = look.raster.curve, look.window.series, look.window
    names = [widgets.sensor_label(series.network, int(node)) for node in curve.order]
    pixels, shown = along(curve.pool.numpy()[:, curve.order], names)
    marked = int(np.abs(pixels - curve.pixel_of(look.sensor)).argmin())
    rows = Axis(told("view", look.view.rows), shown, marked, say("images.hover_row"))
    if look.view.title != "Space-time":
        return rows, replace(rows, title=told("view", look.view.columns), one=say("images.hover_column")), np.ix_(pixels, pixels)
    times = pd.DatetimeIndex(series.local_times[window.cutoff - window.lookback : window.cutoff])
    times = [calendar(time) for time in times.strftime("%-d %b %Y" if widgets.is_daily(series) else "%-d %b %H:%M")]
    across, shown = along(overlaps(window.lookback, len(array)), times)
    return rows, Axis(told("view", look.view.columns), shown, one=say("images.hover_column")), np.ix_(pixels, across)


def along(share: np.ndarray, names: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """What the pixels of one side stand for, each thing once.

    Args:
        share: (G, K) of each of K things in each pixel. names: of the things, in their order.

    Returns:
        pixels: (P,) those to show: one for each thing where K <= G, else all. names: P texts.
    """
    if share.shape[1] <= share.shape[0]:
        return share.argmax(axis=0), tuple(names)
    ends = [np.flatnonzero(row)[[0, -1]] for row in share]
    return np.arange(len(share)), tuple(say("images.more", names=names[a], n=b - a) if b > a else names[a] for a, b in ends)


def _distinct(names: tuple[str, ...]) -> list[str]:
    """The names with a number behind those that come again: columns of a table must differ."""
    return [name if names.index(name) == place else f"{name} ({place + 1})" for place, name in enumerate(names)]
