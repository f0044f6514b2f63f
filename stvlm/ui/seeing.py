"""The Spatial images page: every channel of every view, large, in the unit of the readings and as the model gets it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from stvlm.charts.images import image_png
from stvlm.data.windows import Window
from stvlm.ui import grouping, models, session, widgets
from stvlm.ui.words import number, say, told

if TYPE_CHECKING:
    from stvlm.modalities.image import View


def pictures(choice: models.Choice, window: Window) -> None:
    """One channel large in its unit, on the map where its pixels are places; beside it the very tensor that the model gets."""
    if models.seen(choice, window).images is None:
        st.info(say("images.no_image"))
        return
    _linked(choice, window)


@st.fragment
def _linked(choice: models.Choice, window: Window) -> None:
    from stvlm.modalities.image import ImageConfig, legend
    from stvlm.ui import fields, matrices  # they need the model's libraries, which are loaded by now

    network = window.series.network
    silent = grouping.chosen(network, "dropped")
    seen = models.seen(choice, window, silent)
    names = models.view_names(choice, window.series)
    views = dict(zip(names, legend(ImageConfig(views=names), seen.raster), strict=True))
    name = _pick_view(views)
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        channel = _pick_channel(name, views[name])
    on_map = views[name].is_georeferenced
    with right:
        sensor = widgets.pick_sensor(network, say("common.sensor_or_map" if on_map else "common.sensor"))
    place = names.index(name)
    # the names beside a matrix take room: it gets the whole width
    left, right = st.columns([3, 2]) if on_map else (st.container(), st.columns([2, 3])[0])
    with left:
        other = fields.pick_other(window)
        look = fields.Look(window, seen.raster, views[name], channel, seen.images[place], silent, sensor)

        def image_at(cutoff: int) -> np.ndarray:
            return models.seen(choice, look.at(cutoff).window, silent).images[place]

        beside = None if other is None else look.at(other, image_at(other))
        if on_map:
            fields.on_map(look, beside)
        else:
            matrices.on_axes(look, beside, image_at)
    with right:
        read = models.views_read(choice, window.series)
        given = [names.index(other) for other in (read if name in read else names)]
        _tensor(window, seen.images[given], given.index(place), views[name], name in read)


def _pick_view(views: dict[str, View]) -> str:
    """Choose one of the images of a window; the URL says which by its channel."""
    options = [f"{name} {channel + 1}" for name in views for channel in range(3)]
    name = session.chosen("channel", options, options[0]).rsplit(" ", 1)[0]
    if len(views) > 1:
        key = session.tied("view", name)
        st.segmented_control(
            say("images.image"),
            list(views),
            key=key,
            format_func=lambda other: told("view", views[other].title),
            wrap=True,
            required=True,
            on_change=session.taken,
            args=("channel", key, lambda other: f"{other} 1"),
        )
    return name


def _pick_channel(name: str, view: View) -> int:
    """Choose one of the three channels, 0 .. 2, of the view in the URL."""
    options = [f"{name} {channel + 1}" for channel in range(3)]
    labels = {word: told("view", channel.label) for word, channel in zip(options, view.channels, strict=True)}
    return options.index(session.segmented("channel", say("images.what"), options, labels.get, wrap=True))


def _tensor(window: Window, images: np.ndarray, view: int, kind: View, is_read: bool) -> None:
    """The tensor itself: all three channels as one colour image, and each alone.

    Args:
        images: (V, 3, G, G), those that the model reads, else all that can be painted. view: the one in view. is_read: by the model.
    """
    image = np.asarray(images[view])
    colours = (say("images.red"), say("images.green"), say("images.blue"))
    st.markdown(f"**{say('images.tensor' if is_read else 'images.tensor_unread')}**")
    st.image(image_png(image, 480), width="stretch", alt=say("images.colours_alt", title=told("view", kind.title)))
    for column, colour, channel in zip(st.columns(3), colours, image, strict=True):
        column.image(image_png(channel, 160), width="stretch", alt=say("images.channel_alt", colour=colour), caption=colour)
    shape = " × ".join(str(n) for n in images.shape)
    meaning = ", ".join(f"{colour}: {told('view', what.label)}" for colour, what in zip(colours, kind.channels, strict=True))
    said = say("images.shape", shape=shape, low=number(image.min(), 3), high=number(image.max(), 3), meaning=meaning)
    st.caption(widgets.plain(f"{said} {_grey_words(kind)}"))
    stamp = str(window.future_times[0]).replace(":", "")
    with st.container(horizontal=True):
        st.download_button(
            say("images.get_tensor"),
            lambda: _npy(images),
            f"images_{stamp}.npy",
            "application/octet-stream",
            icon=":material/download:",
            on_click="ignore",
            key="get-tensor",
        )
        st.download_button(
            say("images.get_colours"),
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
        return say("images.grey_correlation")
    usual = {"level", "change", "spread"}
    return say("images.grey_usual" if kinds & usual else "images.grey_share")


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
