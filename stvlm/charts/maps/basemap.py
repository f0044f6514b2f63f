"""Land, borders and states around a view, as GeoJSON: the base map that needs no network."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import shapely

from stvlm.core.base_layer import STATES, Bounds, areas_of, countries_within, cut, load

MERCATOR_LATITUDE = 85.0511  # the web map's projection ends here
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
    countries = countries_within(extent, side)
    found = {"land": shapely.union_all([areas_of(piece) for piece in countries]), "border": _lines(countries, extent)}
    if side < STATES_SPAN_DEGREES:
        found["state"] = _lines(cut(load(STATES), extent), extent)
    tolerance = side / 1200  # about a pixel of the whole view
    simple = {name: _simplify(geometry, tolerance) for name, geometry in found.items()}
    return {name: _geojson(geometry, digits=4 if side < 2 else 2) for name, geometry in simple.items() if not geometry.is_empty}


def _lines(pieces: list[shapely.Geometry], extent: Bounds) -> shapely.Geometry:
    """Outlines of the pieces without the edges that the cut made, and without the seams at the antimeridian."""
    west, south, east, north = extent
    cuts = [shapely.LinearRing([(west, south), (east, south), (east, north), (west, north)])]
    cuts += [shapely.LineString([(turn, south), (turn, north)]) for turn in (-540.0, -180.0, 180.0, 540.0) if west < turn < east]
    outlines = shapely.union_all([shapely.boundary(areas_of(piece)) for piece in pieces])
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
