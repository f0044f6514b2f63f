"""A forecast played over time as an animated GIF, which any slide or message shows without this program."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from stvlm.charts.palette import theme_of
from stvlm.charts.scale import fit_scale, format_times
from stvlm.charts.scene import scene_image
from stvlm.charts.still import map_scene
from stvlm.data.forecast import Forecast

MOST_FRAMES = 96


def forecast_gif(
    forecast: Forecast,
    theme: str = "light",
    selected: int | None = None,
    per_second: float = 2.0,
    size: tuple[int, int] = (640, 480),
) -> bytes:
    """The median forecast, one frame for each step (of every second or third, where there are over 96), for ever again.

    Args:
        forecast: H steps of N sensors. theme: "light" or "dark". selected: node with a ring.
        per_second: frames. size: (width, height) in pixels.
    """
    steps = np.arange(0, len(forecast.times), -(-len(forecast.times) // MOST_FRAMES))
    scale = fit_scale(forecast.median)
    times = format_times(forecast.times, forecast.timezone)
    label = f"{forecast.quantity}, median forecast"
    colours = None
    frames = []
    for step in steps:
        scene = map_scene(forecast.network, forecast.median[step], scale, label, forecast.unit, times[step], theme, selected, size)
        image = scene_image(scene)
        if colours is None:  # one table of colours for all frames, with the whole scale in it, so that nothing flickers
            colours = _colour_table(image, scale.hex(np.linspace(scale.low, scale.high, 128)), theme)
        frames.append(image.quantize(palette=colours, dither=Image.Dither.NONE))
    buffer = io.BytesIO()
    pause = round(1000 / per_second)
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[pause] * (len(frames) - 1) + [2 * pause] if len(frames) > 1 else pause,
        loop=0,
        optimize=False,
        disposal=1,
    )
    return buffer.getvalue()


def _colour_table(image: Image.Image, of_scale: list[str], theme: str) -> Image.Image:
    """A palette of 256 colours: those of the scale and of the theme, and the commonest of the picture."""
    known = [theme_of(theme).ring, theme_of(theme).missing, theme_of(theme).outline, *of_scale]
    rgb = [int(colour[i : i + 2], 16) for colour in known for i in (1, 3, 5)]
    common = image.quantize(256 - len(known), dither=Image.Dither.NONE).getpalette()[: 3 * (256 - len(known))]
    table = Image.new("P", (1, 1))
    table.putpalette((rgb + common + [0] * 768)[:768])
    return table
