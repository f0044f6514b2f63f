"""Images whose pixels are places: on the map, played, beside another moment, and without sensors that one drops by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import lasso, maps, player
from stvlm.charts.georeferenced import georeferenced_zip
from stvlm.charts.scale import fit_scale, with_unit
from stvlm.data.windows import Window
from stvlm.modalities.image import View
from stvlm.modalities.raster import SpatialRaster
from stvlm.modalities.readout import DEPARTURES, Reading, needs_image, past_without, read_channel
from stvlm.ui import frame, grouping, session, show, widgets
from stvlm.ui.words import brief, number, say, told

PLAYED = 24  # moments
CLICKS = ("choose", "drop")  # what a click on a sensor does


@dataclass(frozen=True, eq=False)
class Look:
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

    def read(self) -> Reading:
        """The channel in its unit."""
        past = past_without(self.window, self.silent)
        return read_channel(past, self.window.series, self.raster, self.view, self.channel, self.image)

    def at(self, cutoff: int, image: np.ndarray | None = None) -> Look:
        """The same at another moment; with the image of that moment, where the channel needs one."""
        return replace(self, window=replace(self.window, cutoff=cutoff), image=self.image if image is None else image)


def when(window: Window) -> str:
    """The moment of the last reading that the image shows."""
    return widgets.clock(window.series, window.cutoff - 1)


def on_map(look: Look, other: Look | None) -> None:
    """One channel on the map.

    Args:
        look: what is shown. other: the same at another moment, to be compared; None for none.
    """
    reading = look.read()
    if not np.isfinite(reading.array).any():
        st.info(widgets.plain(say("images.nothing", label=look.channel_label)))
        return
    moments = _moments(look)
    playing = len(moments) > 1 and st.toggle(say("images.play"), key="play", help=say("images.play_help", n=len(moments)))
    left, right = st.columns(2, vertical_alignment="bottom")
    opacity = left.slider(say("images.opacity"), 10, 100, 85, 5, key="opacity", persist_state="session") / 100
    with right:
        clicks = st.segmented_control(
            say("images.clicks"),
            CLICKS,
            default="choose",
            format_func={"choose": say("images.choose"), "drop": say("images.drop")}.get,
            key="clicks",
            required=True,
            wrap=True,
            help=say("images.clicks_help"),
        )
    if playing:
        _played(look, moments, opacity)
    else:
        _still(look, reading, opacity, clicks == "drop", None if other is None else other.read())
    if look.silent:
        _dropped(look, reading)
    if other is not None:
        _compared(look, other, opacity)
    with st.expander(say("format.as_table")):
        rows = sensor_rows(look, reading, None if other is None else other.read())
        widgets.table(rows, say("images.table_alt", label=look.label), decimals=fit_scale(reading.array).decimals)
    _download(look, reading)


def _moments(look: Look) -> list[int]:
    """The cutoffs that can be played: this one and those just before it; one alone where the picture never changes."""
    if needs_image(look.view, look.channel):
        return [look.window.cutoff]
    first = max(look.window.lookback, look.window.cutoff - PLAYED + 1)
    return list(range(first, look.window.cutoff + 1))


def _still(look: Look, reading: Reading, opacity: float, drops: bool, beside: Reading | None) -> None:
    network, theme = look.window.series.network, frame.theme()
    view = _view(look, reading, opacity, _shared_limits(reading, beside))
    known = reading.array[np.isfinite(reading.array)]
    ends = {"low": brief(known.min(), 4), "high": _measured(known.max(), reading.unit, 4)}
    alt = say("images.map_alt", g=len(reading.array), label=look.channel_label, **ends, when=when(look.window))
    take = (lambda nodes: _turn(look.silent, nodes)) if drops else None
    show.show_map(lasso.with_lasso(view, theme, show.wording()), network, "image", alt, height=470, on_pick=take)
    if look.view.title == "Geography":
        st.caption(_ground_words(look))


def _played(look: Look, moments: list[int], opacity: float) -> None:
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
        frame.theme(),
        _colours(readings[0]),
        opacity,
        show.wording(),
    )
    alt = say("images.played_alt", label=look.label, first=times[0], last=times[-1])
    show.show_map(view, network, "images", alt, height=470)


def _view(look: Look, reading: Reading, opacity: float, limits: tuple[float, float] | None, label: str = "") -> maps.MapView:
    """The map of a reading; `label` is that of its legend, where it is not the channel's own."""
    return maps.image_map(
        reading.array,
        look.raster.bounds,
        look.window.series.network,
        reading.unit,
        label or look.label,
        frame.theme(),
        look.sensor,
        limits,
        _colours(reading),
        opacity=opacity,
        values=reading.values,
        words=show.wording(),
    )


def _colours(reading: Reading) -> str:
    return "diverging" if reading.about_zero else "sequential"


def _shared_limits(reading: Reading, beside: Reading | None) -> tuple[float, float] | None:
    """One scale for two moments, so that a colour means the same in both; None leaves the scale to one moment alone."""
    if beside is None:
        return None
    parts = [r.array.ravel() for r in (reading, beside)] + [r.values for r in (reading, beside) if r.values is not None]
    scale = fit_scale(np.concatenate(parts), kind=_colours(reading))
    return scale.low, scale.high


def _turn(silent: Sequence[int], nodes: Sequence[int]) -> None:
    """Drop sensors, or take those back that were dropped."""
    grouping.choose(sorted(set(silent) ^ set(nodes)), "dropped")


def _dropped(look: Look, reading: Reading) -> None:
    """What the sensors dropped by hand take from the picture."""
    whole = replace(look, silent=()).read()
    change = np.abs(reading.array - whole.array)
    names = ", ".join(widgets.sensor_label(look.window.series.network, node) for node in look.silent[:6])
    if len(look.silent) > 6:
        names = say("images.more", names=names, n=len(look.silent) - 6)
    lost = int((np.isfinite(whole.array) & ~np.isfinite(reading.array)).sum())
    known = change[np.isfinite(change)]
    words = [say("images.dropped", names=names)]
    if known.size:
        size = {"mean": _measured(known.mean(), reading.unit), "most": brief(known.max())}
        words.append(say("images.dropped_change", **size))
    if lost:
        words.append(say("images.dropped_lost", n=number(lost, 0)))
    st.caption(widgets.plain(" ".join(words)))
    grouping.clear_button(look.silent, "dropped", say("images.take_back"))


def _compared(look: Look, other: Look, opacity: float) -> None:
    """The other moment in the same colours, and what changed since."""
    network, mine, theirs = look.window.series.network, look.read(), other.read()
    left, right = st.columns(2)
    with left:
        st.markdown(f"**{widgets.plain(when(other.window))}**")
        view = _view(other, theirs, opacity, _shared_limits(mine, theirs))
        show.show_map(view, network, "other", say("images.other_alt", when=when(other.window)), height=320)
    with right:
        st.markdown(f"**{say('images.difference')}**")
        values = None if mine.values is None else mine.values - theirs.values
        off = Reading(mine.array - theirs.array, values, mine.unit, True)
        known = np.abs(off.array[np.isfinite(off.array)])
        alt = {"minus": say("images.minus", first=when(look.window), second=when(other.window))}
        if known.size:
            size = {"mean": _measured(known.mean(), mine.unit), "most": brief(known.max())}
            alt = say("images.difference_alt", **alt, **size)
        else:
            alt = say("images.difference_unknown", **alt)
        label = say("images.change_of", label=look.label)
        show.show_map(_view(look, off, opacity, None, label), network, "difference", alt, height=320)


def _measured(value: float, unit: str, digits: int = 3) -> str:
    return f"{brief(value, digits)} {unit}".rstrip()


def sensor_rows(look: Look, reading: Reading, other: Reading | None) -> pd.DataFrame:
    """Each sensor with its reading and its pixel; with those of the other moment and the difference, where there is one."""
    network = look.window.series.network
    row, column = look.raster.pixel_of(network.lat, network.lon)
    columns = {say("common.sensor"): [widgets.sensor_label(network, node) for node in range(network.n_sensors)]}
    if reading.values is not None:
        columns[with_unit(say("images.reading"), reading.unit)] = np.asarray(reading.values, "f8")
    columns[with_unit(say("images.pixel"), reading.unit)] = reading.array[row, column].astype("f8")
    if other is not None:
        columns[with_unit(say("images.pixel_then"), reading.unit)] = other.array[row, column].astype("f8")
        columns[with_unit(say("images.difference"), reading.unit)] = (reading.array - other.array)[row, column].astype("f8")
    return pd.DataFrame(columns)


def _ground_words(look: Look) -> str:
    """What to know of the ground: it does not change, and where the coast is too coarse."""
    network, raster = look.window.series.network, look.raster
    row, column = raster.pixel_of(network.lat, network.lon)
    wet = int((raster.ground.land[row, column] < 0.5).sum())
    coarse = say("images.ground_wet", wet=wet, n=network.n_sensors) if wet else ""
    return f"{say('images.ground')} {coarse}".rstrip()


def _download(look: Look, reading: Reading) -> None:
    stamp = str(look.window.past_times[-1]).replace(":", "")
    name = f"{look.view.title.lower()}_{look.channel + 1}_{stamp}"
    scale = fit_scale(reading.array, kind=_colours(reading))
    about = say("images.about", label=with_unit(look.label, reading.unit), when=when(look.window))
    st.download_button(
        say("images.get_world"),
        lambda: georeferenced_zip(reading.array, look.raster.bounds, scale, name, about),
        f"{name}.zip",
        "application/zip",
        icon=":material/download:",
        on_click="ignore",
        key="get-world",
        help=say("images.get_world_help"),
    )


def pick_other(window: Window) -> int | None:
    """Choose another moment to compare with; None for none."""
    asked = bool(session.get("other"))
    key = session.tied("compare", asked)
    first, last = window.lookback, window.series.n_steps
    if first >= last:
        return None
    series = window.series
    start = max(first, window.cutoff - max(window.horizon, 1))

    def take() -> None:
        moment = str(series.times_after(start, 1)[0])
        session.put("other", moment if st.session_state[key] else "")

    if not st.toggle(say("images.compare"), key=key, on_change=take):
        return None
    return widgets.pick_time(series, "other", first, last, start, say("images.other"))
