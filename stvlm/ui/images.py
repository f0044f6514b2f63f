"""Images whose pixels are places: on the map, played, beside another moment, and without sensors that one drops by hand."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts.export.static import georeferenced_zip
from stvlm.charts.figures.matrix import Axis, matrix_picture, matrix_player
from stvlm.charts.maps import player, sensor_map
from stvlm.charts.rasters import image_png
from stvlm.charts.scale import fit_scale, with_unit
from stvlm.core.windows import Window
from stvlm.modalities.image.raster import SpatialRaster
from stvlm.modalities.image.sensor_order import overlaps
from stvlm.modalities.image.views import DEPARTURES, ChannelReading, View, needs_image, past_without, read_channel
from stvlm.ui.services import forecasters
from stvlm.ui.shell import inputs, layout, render, view_state
from stvlm.ui.shell.i18n import format_number, format_short, t, told, translate_calendar

if TYPE_CHECKING:
    from stvlm.modalities.image.views import View


PLAYED = 24  # moments
CLICKS = ("choose", "drop")  # what a click on a sensor does


@dataclass(frozen=True, eq=False)
class ChannelSelection:
    """What is looked at: a channel (0 .. 2) of a view of a window, its image (3, G, G) as the model gets it, the sensors left out."""

    window: Window
    raster: SpatialRaster
    view: View
    channel: int
    image: np.ndarray
    silent: tuple[int, ...]
    sensor: int

    @property
    def label(self) -> str:
        """What the channel shows, with the quantity where it shows readings."""
        is_of_readings = self.view.channels[self.channel].kind in DEPARTURES
        return f"{self.window.series.quantity}, {self.channel_label}" if is_of_readings else self.channel_label

    @property
    def channel_label(self) -> str:
        """What the channel shows."""
        return told("view", self.view.channels[self.channel].label)

    def read(self) -> ChannelReading:
        """The channel in its unit."""
        past = past_without(self.window, self.silent)
        return read_channel(past, self.window.series, self.raster, self.view, self.channel, self.image)

    def at(self, cutoff: int, image: np.ndarray | None = None) -> ChannelSelection:
        """The same at another moment; with the image of that moment, where the channel needs one."""
        return replace(self, window=replace(self.window, cutoff=cutoff), image=self.image if image is None else image)


def when(window: Window) -> str:
    """The moment of the last reading that the image shows."""
    return inputs.clock(window.series, window.cutoff - 1)


def channel_map(look: ChannelSelection, other: ChannelSelection | None) -> None:
    """One channel on the map.

    Args:
        look: what is shown. other: the same at another moment, to be compared; None for none.
    """
    reading = look.read()
    if not np.isfinite(reading.array).any():
        st.info(inputs.plain(t("images.nothing", label=look.channel_label)))
        return
    moments = _moments(look)
    playing = len(moments) > 1 and st.toggle(t("images.play"), key="play", help=t("images.play_help", n=len(moments)))
    left, right = st.columns(2, vertical_alignment="bottom")
    opacity = left.slider(t("images.opacity"), 10, 100, 85, 5, key="opacity", persist_state="session") / 100
    with right:
        clicks = st.segmented_control(
            t("images.clicks"),
            CLICKS,
            default="choose",
            format_func={"choose": t("images.choose"), "drop": t("images.drop")}.get,
            key="clicks",
            required=True,
            wrap=True,
            help=t("images.clicks_help"),
        )
    if playing:
        _played(look, moments, opacity)
    else:
        _still(look, reading, opacity, clicks == "drop", None if other is None else other.read())
    if look.silent:
        _dropped(look, reading)
    if other is not None:
        _compared(look, other, opacity)
    with st.expander(t("format.as_table")):
        rows = sensor_rows(look, reading, None if other is None else other.read())
        inputs.table(rows, t("images.table_alt", label=look.label), decimals=fit_scale(reading.array).decimals)
    _download(look, reading)


def _moments(look: ChannelSelection) -> list[int]:
    """The cutoffs that can be played: this one and those just before it; one alone where the picture never changes."""
    if needs_image(look.view, look.channel):
        return [look.window.cutoff]
    first = max(look.window.lookback, look.window.cutoff - PLAYED + 1)
    return list(range(first, look.window.cutoff + 1))


def _still(look: ChannelSelection, reading: ChannelReading, opacity: float, drops: bool, beside: ChannelReading | None) -> None:
    network, theme = look.window.series.network, layout.theme()
    view = _view(look, reading, opacity, _shared_limits(reading, beside))
    known = reading.array[np.isfinite(reading.array)]
    ends = {"low": format_short(known.min(), 4), "high": _measured(known.max(), reading.unit, 4)}
    alt = t("images.map_alt", g=len(reading.array), label=look.channel_label, **ends, when=when(look.window))
    take = (lambda nodes: _turn(look.silent, nodes)) if drops else None
    render.show_map(sensor_map.with_lasso(view, theme, render.wording()), network, "image", alt, height=470, on_pick=take)
    if look.view.title == "Geography":
        st.caption(_ground_words(look))


def _played(look: ChannelSelection, moments: list[int], opacity: float) -> None:
    network = look.window.series.network
    readings = [look.at(cutoff).read() for cutoff in moments]
    values = None if readings[0].values is None else np.stack([reading.values for reading in readings])
    times = [when(look.at(cutoff).window) for cutoff in moments]
    view = player.images_player(
        np.stack([reading.array for reading in readings]),
        look.raster.bounds,
        network,
        times,
        values,
        readings[0].unit,
        look.label,
        layout.theme(),
        _colours(readings[0]),
        opacity,
        render.wording(),
    )
    alt = t("images.played_alt", label=look.label, first=times[0], last=times[-1])
    render.show_map(view, network, "images", alt, height=470)


def _view(
    look: ChannelSelection, reading: ChannelReading, opacity: float, limits: tuple[float, float] | None, label: str = ""
) -> sensor_map.MapView:
    """The map of a reading; `label` is that of its legend, where it is not the channel's own."""
    return sensor_map.image_map(
        reading.array,
        look.raster.bounds,
        look.window.series.network,
        reading.unit,
        label or look.label,
        layout.theme(),
        look.sensor,
        limits,
        _colours(reading),
        opacity=opacity,
        values=reading.values,
        words=render.wording(),
    )


def _colours(reading: ChannelReading) -> str:
    return "diverging" if reading.about_zero else "sequential"


def _shared_limits(reading: ChannelReading, beside: ChannelReading | None) -> tuple[float, float] | None:
    """One scale for two moments, so that a colour means the same in both; None leaves the scale to one moment alone."""
    if beside is None:
        return None
    parts = [r.array.ravel() for r in (reading, beside)] + [r.values for r in (reading, beside) if r.values is not None]
    scale = fit_scale(np.concatenate(parts), kind=_colours(reading))
    return scale.low, scale.high


def _turn(silent: Sequence[int], nodes: Sequence[int]) -> None:
    """Drop sensors, or take those back that were dropped."""
    inputs.choose(sorted(set(silent) ^ set(nodes)), "dropped")


def _dropped(look: ChannelSelection, reading: ChannelReading) -> None:
    """What the sensors dropped by hand take from the picture."""
    whole = replace(look, silent=()).read()
    change = np.abs(reading.array - whole.array)
    names = ", ".join(inputs.sensor_label(look.window.series.network, node) for node in look.silent[:6])
    if len(look.silent) > 6:
        names = t("images.more", names=names, n=len(look.silent) - 6)
    lost = int((np.isfinite(whole.array) & ~np.isfinite(reading.array)).sum())
    known = change[np.isfinite(change)]
    words = [t("images.dropped", names=names)]
    if known.size:
        size = {"mean": _measured(known.mean(), reading.unit), "most": format_short(known.max())}
        words.append(t("images.dropped_change", **size))
    if lost:
        words.append(t("images.dropped_lost", n=format_number(lost, 0)))
    st.caption(inputs.plain(" ".join(words)))
    inputs.clear_button(look.silent, "dropped", t("images.take_back"))


def _compared(look: ChannelSelection, other: ChannelSelection, opacity: float) -> None:
    """The other moment in the same colours, and what changed since."""
    network, mine, theirs = look.window.series.network, look.read(), other.read()
    left, right = st.columns(2)
    with left:
        st.markdown(f"**{inputs.plain(when(other.window))}**")
        view = _view(other, theirs, opacity, _shared_limits(mine, theirs))
        render.show_map(view, network, "other", t("images.other_alt", when=when(other.window)), height=320)
    with right:
        st.markdown(f"**{t('images.difference')}**")
        values = None if mine.values is None else mine.values - theirs.values
        off = ChannelReading(mine.array - theirs.array, values, mine.unit, True)
        known = np.abs(off.array[np.isfinite(off.array)])
        alt = {"minus": t("images.minus", first=when(look.window), second=when(other.window))}
        if known.size:
            size = {"mean": _measured(known.mean(), mine.unit), "most": format_short(known.max())}
            alt = t("images.difference_alt", **alt, **size)
        else:
            alt = t("images.difference_unknown", **alt)
        label = t("images.change_of", label=look.label)
        render.show_map(_view(look, off, opacity, None, label), network, "difference", alt, height=320)


def _measured(value: float, unit: str, digits: int = 3) -> str:
    return f"{format_short(value, digits)} {unit}".rstrip()


def sensor_rows(look: ChannelSelection, reading: ChannelReading, other: ChannelReading | None) -> pd.DataFrame:
    """Each sensor with its reading and its pixel; with those of the other moment and the difference, where there is one."""
    network = look.window.series.network
    row, column = look.raster.pixel_of(network.lat, network.lon)
    columns = {t("common.sensor"): [inputs.sensor_label(network, node) for node in range(network.n_sensors)]}
    if reading.values is not None:
        columns[with_unit(t("images.reading"), reading.unit)] = np.asarray(reading.values, "f8")
    columns[with_unit(t("images.pixel"), reading.unit)] = reading.array[row, column].astype("f8")
    if other is not None:
        columns[with_unit(t("images.pixel_then"), reading.unit)] = other.array[row, column].astype("f8")
        columns[with_unit(t("images.difference"), reading.unit)] = (reading.array - other.array)[row, column].astype("f8")
    return pd.DataFrame(columns)


def _ground_words(look: ChannelSelection) -> str:
    """What to know of the ground: it does not change, and where the coast is too coarse."""
    network, raster = look.window.series.network, look.raster
    row, column = raster.pixel_of(network.lat, network.lon)
    wet = int((raster.ground.land[row, column] < 0.5).sum())
    coarse = t("images.ground_wet", wet=wet, n=network.n_sensors) if wet else ""
    return f"{t('images.ground')} {coarse}".rstrip()


def _download(look: ChannelSelection, reading: ChannelReading) -> None:
    stamp = str(look.window.past_times[-1]).replace(":", "")
    name = f"{look.view.title.lower()}_{look.channel + 1}_{stamp}"
    scale = fit_scale(reading.array, kind=_colours(reading))
    about = t("images.about", label=with_unit(look.label, reading.unit), when=when(look.window))
    st.download_button(
        t("images.get_world"),
        lambda: georeferenced_zip(reading.array, look.raster.bounds, scale, name, about),
        f"{name}.zip",
        "application/zip",
        icon=":material/download:",
        on_click="ignore",
        key="get-world",
        help=t("images.get_world_help"),
    )


def pick_other(window: Window) -> int | None:
    """Choose another moment to compare with; None for none."""
    asked = bool(view_state.get_param("other"))
    key = view_state.bind("compare", asked)
    first, last = window.lookback, window.series.n_steps
    if first >= last:
        return None
    series = window.series
    start = max(first, window.cutoff - max(window.horizon, 1))

    moment = str(series.times_after(start, 1)[0])
    take = view_state.sync_to_url("other", key, (False, True), lambda is_on: moment if is_on else "")
    if not st.toggle(t("images.compare"), key=key, on_change=take):
        return None
    return inputs.pick_time(series, "other", first, last, start, t("images.other"))


# The Spatial images page: every channel of every view, large, in the unit of the readings and as the model gets it.


def pictures(choice: forecasters.Choice, window: Window) -> None:
    """One channel large in its unit, on the map where its pixels are places; beside it the very tensor that the model gets."""
    if forecasters.model_inputs(choice, window).images is None:
        st.info(t("images.no_image"))
        return
    _linked(choice, window)


@st.fragment
def _linked(choice: forecasters.Choice, window: Window) -> None:
    from stvlm.modalities.image.views import ImageConfig, legend

    network = window.series.network
    silent = inputs.chosen(network, "dropped")
    seen = forecasters.model_inputs(choice, window, silent)
    names = forecasters.view_names(choice, window.series)
    views = dict(zip(names, legend(ImageConfig(views=names), seen.raster), strict=True))
    name = _pick_view(views)
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        channel = _pick_channel(name, views[name])
    is_georeferenced = views[name].is_georeferenced
    with right:
        sensor = inputs.pick_sensor(network, t("common.sensor_or_map" if is_georeferenced else "common.sensor"))
    place = names.index(name)
    # the names beside a matrix take room: it gets the whole width
    left, right = st.columns([3, 2]) if is_georeferenced else (st.container(), st.columns([2, 3])[0])
    with left:
        other = pick_other(window)
        look = ChannelSelection(window, seen.raster, views[name], channel, seen.images[place], silent, sensor)

        def image_at(cutoff: int) -> np.ndarray:
            return forecasters.model_inputs(choice, look.at(cutoff).window, silent).images[place]

        beside = None if other is None else look.at(other, image_at(other))
        if is_georeferenced:
            channel_map(look, beside)
        else:
            channel_matrix(look, beside, image_at)
    with right:
        read = forecasters.views_read(choice, window.series)
        given = [names.index(other) for other in (read if name in read else names)]
        _tensor(window, seen.images[given], given.index(place), views[name], name in read)


def _pick_view(views: dict[str, View]) -> str:
    """Choose one of the images of a window; the URL says which by its channel."""
    options = [f"{name} {channel + 1}" for name in views for channel in range(3)]
    name = view_state.param_in("channel", options, options[0]).rsplit(" ", 1)[0]
    if len(views) > 1:
        key = view_state.bind("view", name)
        st.segmented_control(
            t("images.image"),
            list(views),
            key=key,
            format_func=lambda other: told("view", views[other].title),
            wrap=True,
            required=True,
            on_change=view_state.sync_to_url("channel", key, views, lambda other: f"{other} 1"),
        )
    return name


def _pick_channel(name: str, view: View) -> int:
    """Choose one of the three channels, 0 .. 2, of the view in the URL."""
    options = [f"{name} {channel + 1}" for channel in range(3)]
    labels = {word: told("view", channel.label) for word, channel in zip(options, view.channels, strict=True)}
    return options.index(view_state.segmented_control("channel", t("images.what"), options, labels.get, wrap=True))


def _tensor(window: Window, images: np.ndarray, view: int, kind: View, is_read: bool) -> None:
    """The tensor itself: all three channels as one colour image, and each alone.

    Args:
        images: (V, 3, G, G), those that the model reads, else all that can be painted. view: the one in view. is_read: by the model.
    """
    image = np.asarray(images[view])
    colours = (t("images.red"), t("images.green"), t("images.blue"))
    st.markdown(f"**{t('images.tensor' if is_read else 'images.tensor_unread')}**")
    st.image(image_png(image, 480), width="stretch", alt=t("images.colours_alt", title=told("view", kind.title)))
    for column, colour, channel in zip(st.columns(3), colours, image, strict=True):
        column.image(image_png(channel, 160), width="stretch", alt=t("images.channel_alt", colour=colour), caption=colour)
    shape = " × ".join(str(n) for n in images.shape)
    meaning = ", ".join(f"{colour}: {told('view', what.label)}" for colour, what in zip(colours, kind.channels, strict=True))
    said = t("images.shape", shape=shape, low=format_number(image.min(), 3), high=format_number(image.max(), 3), meaning=meaning)
    st.caption(inputs.plain(f"{said} {_grey_words(kind)}"))
    stamp = str(window.future_times[0]).replace(":", "")
    with st.container(horizontal=True):
        st.download_button(
            t("images.get_tensor"),
            lambda: _npy(images),
            f"images_{stamp}.npy",
            "application/octet-stream",
            icon=":material/download:",
            on_click="ignore",
            key="get-tensor",
        )
        st.download_button(
            t("images.get_colours"),
            lambda: image_png(image, 1),
            f"{kind.title.lower()}_{stamp}.png",
            "image/png",
            icon=":material/download:",
            on_click="ignore",
            key="get-colours",
        )


def _grey_words(kind: View) -> str:
    kinds = {channel.kind for channel in kind.channels}
    if "correlation" in kinds:
        return t("images.grey_correlation")
    usual = {"level", "change", "spread"}
    return t("images.grey_usual" if kinds & usual else "images.grey_share")


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


# Images whose pixels are no places: sensors by sensors, or sensors over time.

MATRICES_PLAYED = 12  # moments


def channel_matrix(look: ChannelSelection, other: ChannelSelection | None, image_at: Callable[[int], np.ndarray]) -> None:
    """One channel as a matrix with names on both sides.

    Args:
        look: what is shown. other: the same at another moment, to be compared; None for none. image_at: the image of a cutoff.
    """
    moments = list(range(max(look.window.lookback, look.window.cutoff - MATRICES_PLAYED + 1), look.window.cutoff + 1))
    playing = len(moments) > 1 and st.toggle(t("images.play"), key="play", help=t("images.play_help", n=len(moments)))
    reading = look.read()
    rows, columns, places = _axes(look, reading.array)
    array, kind = reading.array[places], "diverging" if reading.about_zero else "sequential"
    limits, theme = _limits(look), layout.theme()
    if playing:
        with st.spinner(t("wait.painting")):
            arrays = np.stack([look.at(cutoff, image_at(cutoff)).read().array[places] for cutoff in moments])
        times = [when(look.at(cutoff).window) for cutoff in moments]
        figure = matrix_player(arrays, times, rows, columns, look.label, reading.unit, theme, kind, limits)
    else:
        figure = matrix_picture(array, rows, columns, look.label, reading.unit, theme, kind, limits)
    render.plot(figure, "matrix", look.label, height=620 if playing else 520)
    known = array[np.isfinite(array)]
    span = t("images.unobserved")
    if known.size:
        span = t("images.span", low=format_short(known.min()), high=f"{format_short(known.max())} {reading.unit}".rstrip())
    name = inputs.sensor_label(look.window.series.network, look.sensor)
    sides = {"rows": told("view", look.view.rows), "columns": told("view", look.view.columns)}
    st.caption(inputs.plain(t("images.matrix", label=look.channel_label, span=span, **sides, name=name)))
    if other is not None:
        off = array - other.read().array[places]
        title = f"{look.label}: {t('images.minus', first=when(look.window), second=when(other.window))}"
        render.plot(matrix_picture(off, rows, columns, title, reading.unit, theme, "diverging"), "difference", title, height=480)
    with st.expander(t("format.as_table")):
        table = pd.DataFrame(array, columns=_distinct(columns.names))
        table.insert(0, t("images.row"), rows.names)
        inputs.table(table, t("images.matrix_alt", label=look.label))


def _limits(look: ChannelSelection) -> tuple[float, float] | None:
    """The ends of the colours where they are known beforehand."""
    if look.view.title == "Relations" and look.channel == 0:
        return -1.0, 1.0
    return {"value": (0.0, 1.0), "share": (0.0, 100.0)}.get(look.view.channels[look.channel].kind)


def _axes(look: ChannelSelection, array: np.ndarray) -> tuple[Axis, Axis, tuple[np.ndarray, np.ndarray]]:
    """Names of rows and columns, and the pixels to show of each."""
    curve, series, window = look.raster.curve, look.window.series, look.window
    names = [inputs.sensor_label(series.network, int(node)) for node in curve.order]
    pixels, shown = along(curve.pool.numpy()[:, curve.order], names)
    marked = int(np.abs(pixels - curve.pixel_of(look.sensor)).argmin())
    rows = Axis(told("view", look.view.rows), shown, marked, t("images.hover_row"))
    if look.view.title != "Space-time":
        return rows, replace(rows, title=told("view", look.view.columns), one=t("images.hover_column")), np.ix_(pixels, pixels)
    times = pd.DatetimeIndex(series.local_times[window.cutoff - window.lookback : window.cutoff])
    times = [translate_calendar(time) for time in times.strftime("%-d %b %Y" if inputs.is_daily(series) else "%-d %b %H:%M")]
    across, shown = along(overlaps(window.lookback, len(array)), times)
    return rows, Axis(told("view", look.view.columns), shown, one=t("images.hover_column")), np.ix_(pixels, across)


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
    return np.arange(len(share)), tuple(t("images.more", names=names[a], n=b - a) if b > a else names[a] for a, b in ends)


def _distinct(names: tuple[str, ...]) -> list[str]:
    """The names with a number behind those that come again: columns of a table must differ."""
    return [name if names.index(name) == place else f"{name} ({place + 1})" for place, name in enumerate(names)]
