"""A map of a network as a still picture, with land, legend, scale bar and north."""

from __future__ import annotations

import numpy as np
import shapely

from stvlm.charts.basemap import MERCATOR_LATITUDE, Bounds, land_around
from stvlm.charts.layers import radius_for
from stvlm.charts.legend import Legend
from stvlm.charts.maps import view_bounds
from stvlm.charts.palette import Theme, theme_of
from stvlm.charts.scale import Scale, format_ticks, format_value, nice_ticks, with_unit
from stvlm.charts.scene import Area, Dot, Line, Scene, Word
from stvlm.data.network import EARTH_RADIUS_KM, SensorNetwork

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
