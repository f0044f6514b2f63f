"""Static exports: maps, images for a GIS, time plots, animated GIFs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import numpy as np
import pandas as pd
import shapely
from PIL import Image

from stvlm.charts.export.canvas import Area, Dot, Line, Scene, Word, scene_image
from stvlm.charts.figures.lines import baseline_colours, readings_around
from stvlm.charts.maps.basemap import MERCATOR_LATITUDE, Bounds, land_around
from stvlm.charts.maps.layers import radius_for
from stvlm.charts.maps.legend import Legend
from stvlm.charts.maps.sensor_map import view_bounds
from stvlm.charts.rasters import image_png
from stvlm.charts.scale import Scale, fit_scale, format_ticks, format_times, format_value, nice_ticks, with_unit
from stvlm.charts.style import Theme, theme_of
from stvlm.core.forecast import Forecast
from stvlm.core.network import EARTH_RADIUS_KM, SensorNetwork
from stvlm.core.series import SensorSeries, to_local

MARGIN = 12.0
HEAD, FOOT = 34.0, 58.0  # pixels for the title above and the legend below


class Projection:
    """From degrees to pixels of a box, as a web map does (Mercator), north up, the whole view inside."""

    def __init__(self, view: Bounds, box: tuple[float, float, float, float]) -> None:
        """Fit a view (west, south, east, north) into a box (left, top, right, bottom) in pixels."""
        west, south, east, north = view
        left, top, right, bottom = box
        x, y = _mercator(np.array([west, east]), np.array([south, north]))
        self.per_radian = min((right - left) / (x[1] - x[0]), (bottom - top) / (y[1] - y[0])) * 0.94
        self.middle = (x[0] + x[1]) / 2, (y[0] + y[1]) / 2
        self.centre = (left + right) / 2, (top + bottom) / 2
        self.latitude = (south + north) / 2
        self.box = box

    def pixels(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """(K, 2) pixels of (K,) places."""
        x, y = _mercator(lon, lat)
        across = self.centre[0] + (x - self.middle[0]) * self.per_radian
        down = self.centre[1] - (y - self.middle[1]) * self.per_radian
        return np.stack([across, down], axis=-1)

    @property
    def seen(self) -> Bounds:
        """(west, south, east, north) in degrees that fill the box."""
        half = (self.box[2] - self.box[0]) / 2 / self.per_radian, (self.box[3] - self.box[1]) / 2 / self.per_radian
        west, east = (np.degrees(self.middle[0] + side * half[0]) for side in (-1, 1))
        south, north = (np.degrees(np.arctan(np.sinh(self.middle[1] + side * half[1]))) for side in (-1, 1))
        return float(west), float(south), float(east), float(north)

    @property
    def pixels_per_km(self) -> float:
        """In the middle of the view."""
        return self.per_radian / (EARTH_RADIUS_KM * np.cos(np.radians(self.latitude)))


def map_scene(
    network: SensorNetwork,
    values: np.ndarray,
    scale: Scale,
    label: str,
    unit: str = "",
    when: str = "",
    theme: str = "light",
    selected: int | None = None,
    size: tuple[int, int] = (760, 560),
) -> Scene:
    """One number for each sensor on the land around.

    Args:
        network: N sensors. values: (N,) in `unit`, NaN = missing. scale: their colours. label, unit: of the values, for the legend.
        when: the moment, above the map. theme: "light" or "dark". selected: node with a ring. size: (width, height) in pixels.
    """
    colours, (width, height) = theme_of(theme), size
    box = (0.0, HEAD, float(width), height - FOOT)
    projection = Projection(view_bounds(network), box)
    scene = Scene(width, height, colours.panel, f"Map: {label}, {when}".rstrip(", "))
    land, credit = _land(projection, colours)
    scene.shapes.extend(land)
    scene.shapes.extend(sensor_dots(network, values, scale, unit, colours, projection))
    if selected is not None:
        x, y = projection.pixels(network.unwrapped_lon[[selected]], network.lat[[selected]])[0]
        scene.shapes.append(Dot(x, y, radius_for(network.n_sensors) + 5, "", colours.ring, 3))
    scene.shapes.extend(_scale_bar(projection, colours))
    scene.shapes.append(Word(width - MARGIN, HEAD + 16, "▲ N", colours.text, 13, "end", bold=True))
    scene.shapes.append(Word(width - MARGIN, height - FOOT - 10, credit, colours.muted, 10, "end"))
    scene.shapes.append(Word(MARGIN, HEAD / 2, with_unit(label, unit), colours.text, 15, bold=True))
    scene.shapes.append(Word(width - MARGIN, HEAD / 2, when, colours.text, 14, "end", mark="when"))
    missing = bool(np.isnan(np.asarray(values, "f8")).any())
    scene.shapes.extend(
        _colour_bar(Legend.of(scale, label, unit, missing), scale, (MARGIN + 8, height - FOOT + 14, 320.0), colours)
    )
    return scene


def sensor_dots(
    network: SensorNetwork, values: np.ndarray, scale: Scale, unit: str, colours: Theme, projection: Projection
) -> list[Dot]:
    """A circle for each sensor; hollow where the value is missing."""
    places = projection.pixels(network.unwrapped_lon, network.lat)
    radius, fills = radius_for(network.n_sensors), scale.hex(values)
    dots = []
    for node, (x, y) in enumerate(places):
        known = bool(np.isfinite(values[node]))
        title = f"{network.name(node)} · {format_value(float(values[node]), scale.decimals, unit)}"
        look = (fills[node], colours.outline, 0.8) if known else ("", colours.missing, 2.0)
        dots.append(Dot(x, y, radius, *look, title=title, mark=f"sensor-{node}"))
    return dots


def _mercator(lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lat = np.radians(np.clip(np.asarray(lat, "f8"), -MERCATOR_LATITUDE, MERCATOR_LATITUDE))
    return np.radians(np.asarray(lon, "f8")), np.log(np.tan(np.pi / 4 + lat / 2))


def _land(projection: Projection, colours: Theme) -> tuple[list[Area | Line], str]:
    """Sea, land, coasts and borders inside the box; and whose they are."""
    left, top, right, bottom = projection.box
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    shapes: list[Area | Line] = [Area([corners], colours.sea)]
    _, found = land_around(projection.seen)
    looks = {"state": (colours.border, 0.8, (3, 3)), "border": (colours.coast, 1.0, ())}
    for name in ("land", "state", "border"):
        if name not in found:
            continue
        geometry = shapely.transform(shapely.geometry.shape(found[name]), lambda p: projection.pixels(p[:, 0], p[:, 1]))
        parts = shapely.get_parts(shapely.clip_by_rect(shapely.make_valid(geometry), left, top, right, bottom))
        for part in parts:
            if part.geom_type == "Polygon" and name == "land":
                shapes.append(Area([shapely.get_coordinates(ring) for ring in (part.exterior, *part.interiors)], colours.land))
            elif part.geom_type == "LineString" and name != "land":
                shapes.append(Line(shapely.get_coordinates(part), *looks[name]))
    return shapes, "Natural Earth" + (", US Census Bureau" if "state" in found else "")


def _scale_bar(projection: Projection, colours: Theme) -> list[Line | Word]:
    """A bar of a round number of kilometres, at most 120 pixels long."""
    most = 120 / projection.pixels_per_km
    power = 10.0 ** np.floor(np.log10(most))
    km = max(factor * power for factor in (1, 2, 5) if factor * power <= most)
    left, bottom = MARGIN, projection.box[3] - 12
    right = left + km * projection.pixels_per_km
    text = f"{km:g} km" if km >= 1 else f"{1000 * km:g} m"
    bracket = np.array([(left, bottom - 6), (left, bottom), (right, bottom), (right, bottom - 6)])
    return [Line(bracket, colours.text, 1.5), Word((left + right) / 2, bottom - 10, text, colours.text, 11, "middle")]


def _colour_bar(legend: Legend, scale: Scale, place: tuple[float, float, float], colours: Theme) -> list[Area | Line | Word]:
    """The legend: a bar with round numbers below it, and what else there is to know."""
    left, top, width = place
    edges = left + width * np.arange(65) / 64
    fills = scale.hex(np.linspace(scale.low, scale.high, 64))
    shapes: list[Area | Line | Word] = [
        Area([np.array([(a, top), (b, top), (b, top + 12), (a, top + 12)])], fill)
        for a, b, fill in zip(edges[:-1], edges[1:] + 0.5, fills, strict=True)
    ]
    ticks = nice_ticks(scale.low, scale.high)
    for tick, text in zip(ticks, format_ticks(ticks), strict=True):
        x = left + width * (tick - scale.low) / (scale.high - scale.low)
        shapes.append(Line(np.array([(x, top + 12), (x, top + 17)]), colours.text))
        shapes.append(Word(x, top + 26, text, colours.text, 11, "middle"))
    ends = " and ".join(word for word, on in (("lower", legend.below), ("higher", legend.above)) if on)
    notes = ([f"{ends} values take the end colour"] if ends else []) + (["hollow: missing"] if legend.missing else [])
    for row, note in enumerate(notes):
        shapes.append(Word(left + width + 24, top + 4 + 15 * row, note, colours.muted, 11))
    return shapes


# Georeferenced images for a GIS: PNG, world file and projection in one archive.

WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]]'
)


def world_file(bounds: Bounds, shape: tuple[int, int]) -> str:
    """The six lines of a world file: width of a pixel, two turns, minus its height, longitude and latitude of the first centre.

    Args:
        bounds: (west, south, east, north) in degrees of the outer edges. shape: (rows, columns) of the picture.
    """
    west, south, east, north = bounds
    width, height = (east - west) / shape[1], (north - south) / shape[0]
    lines = (width, 0.0, 0.0, -height, west + width / 2, north - height / 2)
    return "".join(f"{number:.12f}\n" for number in lines)


def georeferenced_zip(array: np.ndarray, bounds: Bounds, scale: Scale, name: str, about: str) -> bytes:
    """A zip archive with the picture, its world file, its projection and a text that says what the colours mean.

    Args:
        array: (G, G), row 0 in the north; NaN is transparent. bounds: (west, south, east, north) in degrees of its outer edges.
        scale: colours. name: of the files, without ending. about: what is shown, in words.
    """
    picture = scale.rgba(np.asarray(array, "f8"))  # a pixel of the file is a pixel of the image
    meaning = f"{about}\nColours from {scale.low:.6g} to {scale.high:.6g}: {', '.join(scale.stops)}\nNorth is up. WGS 84.\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.png", image_png(picture, least_pixels=1))
        archive.writestr(f"{name}.pgw", world_file(bounds, array.shape))
        archive.writestr(f"{name}.prj", WGS84)
        archive.writestr(f"{name}.txt", meaning)
    return buffer.getvalue()


# Static time plot: past, observed, forecast and prediction intervals.

LEFT, RIGHT, TOP, BOTTOM = 64.0, 16.0, 58.0, 44.0  # pixels around the axes
BAND_OPACITY = {0.95: 0.14, 0.8: 0.22, 0.5: 0.34}


def lines_scene(
    series: SensorSeries | None,
    forecast: Forecast,
    sensor: int,
    baselines: Sequence[Forecast] = (),
    step: int | None = None,
    past_steps: int = 48,
    theme: str = "light",
    size: tuple[int, int] = (760, 360),
) -> Scene:
    """The still twin of `lines.forecast_lines`.

    Args:
        series: readings of the same network, or None. forecast: H steps of N sensors. sensor: node. baselines: other forecasts.
        step: chosen step, marked by a vertical line. past_steps: readings before the forecast. theme: "light" or "dark".
        size: (width, height) in pixels.
    """
    colours = theme_of(theme)
    clock = to_local(forecast.times, forecast.timezone)
    past, came = readings_around(series, forecast, sensor, past_steps)
    name = forecast.network.name(sensor)
    scene = Scene(*size, colours.panel, f"{name}: {with_unit(forecast.quantity, forecast.unit)}, past and forecast with bands")
    rows = [past[1], came, *forecast.values[:, :, sensor], *(b.median[:, sensor] for b in baselines)]
    frame = _Frame(np.concatenate([past[0], clock]), np.concatenate([np.asarray(row, "f8") for row in rows]), size)
    scene.shapes.append(Word(LEFT, 16, f"{name}: {with_unit(forecast.quantity, forecast.unit)}", colours.text, 15, bold=True))
    scene.shapes.extend(_axes(frame, colours))
    for share in sorted(forecast.shares, reverse=True):
        low, high = (bound[:, sensor] for bound in forecast.band(share))
        for ring in _band_rings(frame.x(clock), frame.y(low), frame.y(high)):
            scene.shapes.append(Area([ring], colours.accent, BAND_OPACITY.get(share, 0.2)))
    begin = frame.x(clock[:1])[0] - frame.step_pixels / 2
    scene.shapes.append(Line(np.array([(begin, TOP), (begin, size[1] - BOTTOM)]), colours.muted, 1.5))
    looks: list[tuple[str, np.ndarray, np.ndarray, str, float, tuple, bool]] = []
    looks.append(("past", past[0], past[1], colours.text, 1.5, (), False))
    looks += [
        (b.name, clock, b.median[:, sensor], colour, 1.4, (6, 4), False)
        for b, colour in zip(baselines, baseline_colours(len(baselines)), strict=True)
    ]
    looks.append(("what came", clock, came, colours.text, 1.2, (2, 3), True))
    looks.append((f"{forecast.name}, median", clock, forecast.median[:, sensor], colours.accent, 2.5, (), True))
    for _, x, y, colour, width, dash, dots in looks:
        scene.shapes.extend(_drawn(frame.x(x), frame.y(y), colour, width, dash, dots))
    if step is not None:
        at = float(frame.x(clock[[step]])[0])
        scene.shapes.append(Line(np.array([(at, TOP), (at, size[1] - BOTTOM)]), colours.ring, 1.5, (2, 3)))
        when = format_times(forecast.times, forecast.timezone)[step]
        scene.shapes.append(Word(at - 4, size[1] - BOTTOM - 8, when, colours.ring, 11, "end"))
    scene.shapes.extend(_key([look for look in looks if np.isfinite(np.asarray(look[2], "f8")).any()], forecast, colours))
    return scene


class _Frame:
    """From times and values to pixels."""

    def __init__(self, times: np.ndarray, values: np.ndarray, size: tuple[int, int]) -> None:
        seconds = np.asarray(times).astype("datetime64[s]").astype("int64")
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        spread = (high - low) or abs(high) or 1.0
        self.low, self.high = low - 0.05 * spread, high + 0.05 * spread
        self.times, self.size = np.asarray(times).astype("datetime64[s]"), size
        gaps = np.diff(np.unique(seconds))
        self._step = float(gaps.min()) if gaps.size else 3600.0
        self._first, self._last = seconds.min() - self._step, seconds.max() + self._step
        self.step_pixels = self._step * self._per_second

    @property
    def _per_second(self) -> float:
        return (self.size[0] - LEFT - RIGHT) / (self._last - self._first)

    def x(self, times: np.ndarray) -> np.ndarray:
        """(K,) pixels of times."""
        return LEFT + (np.asarray(times).astype("datetime64[s]").astype("int64") - self._first) * self._per_second

    def y(self, values: np.ndarray) -> np.ndarray:
        """(K,) pixels of values; NaN stays NaN."""
        share = (np.asarray(values, "f8") - self.low) / (self.high - self.low)
        return self.size[1] - BOTTOM - share * (self.size[1] - TOP - BOTTOM)


def _axes(frame: _Frame, colours: Theme) -> list[Line | Word]:
    width, height = frame.size
    bottom = height - BOTTOM
    shapes: list[Line | Word] = [Line(np.array([(LEFT, TOP), (LEFT, bottom), (width - RIGHT, bottom)]), colours.muted)]
    ticks = nice_ticks(frame.low, frame.high, 6)
    for y, text in zip(frame.y(ticks), format_ticks(ticks), strict=True):
        shapes.append(Line(np.array([(LEFT, y), (width - RIGHT, y)]), colours.grid))
        shapes.append(Word(LEFT - 7, y, text, colours.text, 11, "end"))
    places, labels = time_ticks(frame.times)
    for x, text in zip(frame.x(frame.times[places]), labels, strict=True):
        shapes.append(Line(np.array([(x, bottom), (x, bottom + 5)]), colours.muted))
        shapes.append(Word(x, bottom + 16, text, colours.text, 11, "middle"))
    return shapes


def time_ticks(clock: np.ndarray, at_most: int = 6) -> tuple[np.ndarray, list[str]]:
    """Places (K,) among rising local times (T,) for about `at_most` labels, away from the ends, and the labels."""
    share = (np.arange(at_most) + 0.5) / at_most
    places = np.unique((share * (len(clock) - 1)).round().astype("int64"))
    local = pd.DatetimeIndex(clock)
    daily = bool((local == local.normalize()).all())
    return places, list(local[places].strftime("%d %b %Y" if daily else "%d %b %H:%M"))


def _band_rings(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[np.ndarray]:
    """Closed outlines (K, 2) of a band, one for each run of steps without a gap; a run of one step becomes a narrow box."""
    known = np.isfinite(low) & np.isfinite(high)
    rings = []
    for run in np.split(np.arange(len(x)), np.flatnonzero(np.diff(known.astype(int))) + 1):
        if not known[run[0]]:
            continue
        at, lower, upper = x[run], low[run], high[run]
        if len(run) == 1:
            at, lower, upper = np.array([at[0] - 4, at[0] + 4]), lower.repeat(2), upper.repeat(2)
        rings.append(np.concatenate([np.stack([at, upper], -1), np.stack([at, lower], -1)[::-1]]))
    return rings


def _drawn(x: np.ndarray, y: np.ndarray, colour: str, width: float, dash: tuple, dots: bool) -> list[Line | Dot]:
    """A line that a gap parts, and its points where asked or where a point stands alone."""
    known = np.isfinite(y)
    shapes: list[Line | Dot] = []
    for run in np.split(np.arange(len(x)), np.flatnonzero(np.diff(known.astype(int))) + 1) if len(x) else []:
        if known[run[0]]:
            if len(run) > 1:
                shapes.append(Line(np.stack([x[run], y[run]], -1), colour, width, dash))
            if dots or len(run) == 1:
                shapes += [Dot(float(x[i]), float(y[i]), 3, "" if dash else colour, colour, 1.2) for i in run]
    return shapes


def _key(looks: list[tuple], forecast: Forecast, colours: Theme) -> list[Area | Line | Word]:
    """What each line and band is, in one row below the title."""
    shapes: list[Area | Line | Word] = []
    x, y = LEFT, 40.0
    for name, _, _, colour, width, dash, _ in looks:
        shapes.append(Line(np.array([(x, y), (x + 22, y)]), colour, width, dash))
        shapes.append(Word(x + 27, y, name, colours.text, 11))
        x += 27 + 6.2 * len(name) + 14
    for share in forecast.shares:
        box = np.array([(x, y - 5), (x + 16, y - 5), (x + 16, y + 5), (x, y + 5)])
        shapes.append(Area([box], colours.accent, BAND_OPACITY.get(share, 0.2) + 0.1))
        shapes.append(Word(x + 20, y, f"{100 * share:.3g} %", colours.text, 11))
        x += 58
    return shapes


# Animated GIF of a forecast.

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
