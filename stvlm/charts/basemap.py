"""Land, borders and states from bundled files, cut to the view: the base map that needs no network."""

from __future__ import annotations

import gzip
import json
from functools import lru_cache
from importlib import resources

import numpy as np
import shapely
from shapely.geometry import shape

Bounds = tuple[float, float, float, float]  # west, south, east, north in degrees; may leave [-180, 180]

MERCATOR_LATITUDE = 85.0511  # the web map's projection ends here
COARSE_SPAN_DEGREES = 25.0  # wider views take the 110 m countries
STATES_SPAN_DEGREES = 70.0  # wider views show no states


def land_around(bounds: Bounds) -> tuple[Bounds, dict[str, dict]]:
    """Land, coasts and borders around a view, wide enough for zooming out twice.

    Args:
        bounds: of the view.

    Returns:
        extent: bounds of what was cut out.
        shapes: GeoJSON geometries "land" (areas), "border" and "state" (lines); a key is left out where there is nothing.
    """
    west, south, east, north = bounds
    width, height = max(east - west, 0.02), max(north - south, 0.02)
    side = max(width, height)
    extent = (
        max(west - 2.5 * side, west - 120.0, -540.0),
        max(south - 1.5 * side, -MERCATOR_LATITUDE),
        min(east + 2.5 * side, east + 120.0, 540.0),
        min(north + 1.5 * side, MERCATOR_LATITUDE),
    )
    extent = tuple(round(float(x), 2) for x in extent)
    return extent, _cut(extent, round(side, 3))


@lru_cache(maxsize=64)
def _cut(extent: Bounds, side: float) -> dict[str, dict]:
    countries = _pieces("countries_110m" if side > COARSE_SPAN_DEGREES else "countries_50m", extent)
    found = {"land": shapely.union_all([_areas(piece) for piece in countries]), "border": _lines(countries, extent)}
    if side < STATES_SPAN_DEGREES:
        found["state"] = _lines(_pieces("us_states_10m", extent), extent)
    tolerance = side / 1200  # about a pixel of the whole view
    simple = {name: _simplify(geometry, tolerance) for name, geometry in found.items()}
    return {name: _geojson(geometry, digits=4 if side < 2 else 2) for name, geometry in simple.items() if not geometry.is_empty}


@lru_cache(maxsize=4)
def _load(name: str) -> np.ndarray:
    """The valid geometries of one bundled file, as an object array."""
    packed = resources.files("stvlm.charts").joinpath("assets", f"{name}.geojson.gz").read_bytes()
    features = json.loads(gzip.decompress(packed))["features"]
    return shapely.make_valid(np.array([_unwrap(shape(f["geometry"])) for f in features], dtype=object))


def _unwrap(areas: shapely.Geometry) -> shapely.MultiPolygon:
    """Areas whose outlines no longer jump between 180 and -180 degrees; they may reach beyond 180 instead."""
    return shapely.MultiPolygon(
        [
            shapely.Polygon(_unwrap_ring(area.exterior), [_unwrap_ring(hole) for hole in area.interiors])
            for area in shapely.get_parts(areas)
        ]
    )


def _unwrap_ring(ring: shapely.LinearRing) -> np.ndarray:
    """(K, 2) longitude and latitude; a ring around a pole is closed along the pole, with its seam at 180 degrees."""
    places = np.asarray(ring.coords)[:-1]
    jump = np.flatnonzero(np.abs(np.diff(places[:, 0])) > 180)
    if jump.size == 0:
        return places
    places = np.roll(places, -(jump[0] + 1), axis=0)
    lon = np.unwrap(places[:, 0], period=360)
    if abs(lon[-1] - lon[0]) > 180:  # once around the earth
        pole = 90.0 if places[:, 1].mean() > 0 else -90.0
        west_to_east = np.sign(lon[-1] - lon[0])
        lon = np.concatenate([[-180.0 * west_to_east], lon, [180.0 * west_to_east]])
        lat = np.concatenate([[pole], places[:, 1], [pole]])
        return np.stack([lon, lat], axis=-1)
    return np.stack([lon, places[:, 1]], axis=-1)


def _pieces(name: str, extent: Bounds) -> list[shapely.Geometry]:
    """What lies within the extent, each once per turn around the earth that the extent covers."""
    box = shapely.box(*extent)
    whole = _load(name)
    pieces = []
    for turn in (-720.0, -360.0, 0.0, 360.0, 720.0):  # areas themselves may reach from -540 to 540
        window = shapely.transform(box, lambda xy, turn=turn: xy - np.array([turn, 0.0]))
        hits = whole[shapely.intersects(whole, window)]
        cut = shapely.intersection(hits, window)
        pieces += list(shapely.transform(cut, lambda xy, turn=turn: xy + np.array([turn, 0.0])))
    return pieces


def _areas(piece: shapely.Geometry) -> shapely.Geometry:
    parts = shapely.get_parts(piece)
    return shapely.MultiPolygon([p for p in parts if p.geom_type == "Polygon"])


def _lines(pieces: list[shapely.Geometry], extent: Bounds) -> shapely.Geometry:
    """Outlines of the pieces without the edges that the cut made, and without the seams at the antimeridian."""
    west, south, east, north = extent
    cuts = [shapely.LinearRing([(west, south), (east, south), (east, north), (west, north)])]
    cuts += [shapely.LineString([(turn, south), (turn, north)]) for turn in (-540.0, -180.0, 180.0, 540.0) if west < turn < east]
    outlines = shapely.union_all([shapely.boundary(_areas(piece)) for piece in pieces])
    return shapely.line_merge(outlines.difference(shapely.union_all(cuts).buffer(1e-3)))


def _simplify(geometry: shapely.Geometry, tolerance: float) -> shapely.Geometry:
    """Straighter outlines, without the islets that would be no more than a dot."""
    parts = shapely.get_parts(geometry)
    west, south, east, north = shapely.bounds(parts).T
    parts = parts[np.maximum(east - west, north - south) > 3 * tolerance]
    parts = shapely.simplify(parts, tolerance)
    return shapely.multipolygons(parts) if geometry.geom_type.endswith("Polygon") else shapely.multilinestrings(parts)


def _geojson(geometry: shapely.Geometry, digits: int) -> dict:
    return json.loads(shapely.to_geojson(geometry), parse_float=lambda text: round(float(text), digits))
