"""Land of the earth from bundled files: what is dry and where borders run, with no network connection."""

from __future__ import annotations

import gzip
import json
from functools import lru_cache
from importlib import resources

import numpy as np
import shapely
from shapely.geometry import shape

Bounds = tuple[float, float, float, float]  # west, south, east, north in degrees; may leave [-180, 180]

COARSE, FINE, STATES = "countries_110m", "countries_50m", "us_states_10m"
COARSE_SPAN_DEGREES = 25.0  # wider views take the coarse countries


def countries_within(extent: Bounds, side: float) -> list[shapely.Geometry]:
    """Countries cut to an extent; inland waters count as land.

    Args:
        extent: what is cut out. side: of the view in degrees, which decides how fine the coast is.
    """
    return cut(load(COARSE if side > COARSE_SPAN_DEGREES else FINE), extent)


def dry_land(bounds: Bounds) -> shapely.Geometry:
    """All land within bounds, as one geometry; its coast is good to a few kilometres."""
    west, south, east, north = bounds
    return shapely.union_all([areas_of(piece) for piece in countries_within(bounds, max(east - west, north - south))])


@lru_cache(maxsize=4)
def load(name: str) -> np.ndarray:
    """The valid geometries of one bundled file, as an object array."""
    packed = resources.files("stvlm.data").joinpath("assets", f"{name}.geojson.gz").read_bytes()
    features = json.loads(gzip.decompress(packed))["features"]
    return shapely.make_valid(np.array([_unwrap(shape(f["geometry"])) for f in features], dtype=object))


def cut(geometries: np.ndarray, extent: Bounds) -> list[shapely.Geometry]:
    """What lies within the extent and nothing beyond it, each once per turn around the earth that the extent covers.

    Args:
        geometries: object array of valid geometries in degrees, from our own files: an intersection of lines that fold over each
            other many times would not end. extent: may leave [-180, 180].
    """
    return list(shapely.intersection(meeting(geometries, extent), shapely.box(*extent)))


def meeting(geometries: np.ndarray, extent: Bounds) -> np.ndarray:
    """The geometries that touch an extent, whole, each once per turn around the earth at which it does, moved to that turn."""
    found = []
    for turn in (-720.0, -360.0, 0.0, 360.0, 720.0):  # areas themselves may reach from -540 to 540
        west, south, east, north = extent
        hits = geometries[shapely.intersects(geometries, shapely.box(west - turn, south, east - turn, north))]
        found.append(shapely.transform(hits, lambda xy, turn=turn: xy + np.array([turn, 0.0])) if turn else hits)
    return np.concatenate(found)


def areas_of(piece: shapely.Geometry) -> shapely.MultiPolygon:
    """The areas of a geometry, without the lines and points that a cut may leave."""
    parts = shapely.get_parts(shapely.get_parts(piece))  # a collection may hold multi-areas
    return shapely.multipolygons(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON])


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
