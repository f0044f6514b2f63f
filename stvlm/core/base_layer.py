"""What a network lies on: lines, areas and grids of the user, and the bundled outlines of land."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import shapely
from shapely.geometry import shape

from stvlm.runtime.assets import asset
from stvlm.runtime.messages import Message

if TYPE_CHECKING:
    import geopandas

# Bundled outlines of land, countries and states.

WGS84 = 4326  # its EPSG code
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
    packed = asset("outlines", f"{name}.geojson.gz").read_bytes()
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


NO_LINES, NO_AREAS = shapely.MultiLineString(), shapely.MultiPolygon()


@dataclass(frozen=True, eq=False)
class Grid:
    """Values on a regular grid of the earth.

    Attributes:
        values: (R, C) float32 in `unit`, row 0 in the north; NaN = no value.
        bounds: (west, south, east, north) in degrees of the outer edges.
        name, unit: what it tells, "elevation", and in which unit; "" for none.
    """

    values: np.ndarray
    bounds: Bounds
    name: str = "grid"
    unit: str = ""

    def at(self, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        """Values of the cells that hold places (...) in degrees; NaN outside. Longitudes may be whole turns away."""
        west, south, east, north = self.bounds
        n_rows, n_columns = self.values.shape
        row = np.floor((north - lat) / (north - south) * n_rows).astype("int64")
        column = np.floor((lon - west) % 360 / (east - west) * n_columns).astype("int64")
        inside = (row >= 0) & (row < n_rows) & (column >= 0) & (column < n_columns)
        return np.where(inside, self.values[np.where(inside, row, 0), np.where(inside, column, 0)], np.nan)

    @property
    def cell_degrees(self) -> tuple[float, float]:
        """Height and width of a cell."""
        west, south, east, north = self.bounds
        return (north - south) / self.values.shape[0], (east - west) / self.values.shape[1]


@dataclass(frozen=True, eq=False)
class BaseLayer:
    """Lines (roads, rivers), areas (districts, woods) and a grid (elevation, land use) below a network, WGS84.

    Attributes:
        lines, areas: geometries in degrees, as drawn: areas may cross themselves or each other; may be empty.
        name: what people call lines and areas, "roads"; "" where there are none.
        grid: or None.
    """

    lines: shapely.MultiLineString = field(default=NO_LINES)
    areas: shapely.MultiPolygon = field(default=NO_AREAS)
    name: str = ""
    grid: Grid | None = None

    @property
    def summary(self) -> str:
        """What it holds, in words: "12 lines, 3 areas"."""
        grid = self.grid
        cells = [] if grid is None else [f"a grid of {grid.values.shape[0]} x {grid.values.shape[1]} cells"]
        counts = [f"{len(g.geoms)} {word}" for g, word in ((self.lines, "lines"), (self.areas, "areas")) if not g.is_empty]
        return ", ".join(counts + cells)

    @property
    def title(self) -> str:
        """The names of its parts: "roads, elevation"."""
        return ", ".join(name for name in (self.name, self.grid.name if self.grid else "") if name)

    @property
    def has_shapes(self) -> bool:
        """Whether there are lines or areas."""
        return not (self.lines.is_empty and self.areas.is_empty)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of all shapes, values and words."""
        digest = hashlib.sha256()
        for name, array in self.to_arrays().items():
            digest.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def elsewhere(self, bounds: Bounds) -> dict[str, Message]:
        """Which parts do not touch the bounds of a network: of another place, or with swapped coordinates.

        Returns:
            "base_layer", "grid" -> where it lies instead.
        """
        found: dict[str, Message] = {}
        shapes = np.concatenate([shapely.get_parts(self.lines), shapely.get_parts(self.areas)])
        if len(shapes) and not len(meeting(shapes, bounds)):
            found["base_layer"] = Message("finding.layer_elsewhere.what", extent=_extent(shapely.total_bounds(shapes)))
        if self.grid is not None and not len(meeting(np.array([shapely.box(*self.grid.bounds)], dtype=object), bounds)):
            found["grid"] = Message("finding.layer_elsewhere.what_grid", extent=_extent(self.grid.bounds))
        return found

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """A row for each line and each area, in WGS84, with the column name; without the grid."""
        import geopandas

        shapes = np.concatenate([shapely.get_parts(self.lines), shapely.get_parts(self.areas)])
        return geopandas.GeoDataFrame({"name": [self.name] * len(shapes)}, geometry=shapes, crs=WGS84)

    @classmethod
    def from_geodataframe(cls, frame: geopandas.GeoDataFrame, name: str) -> BaseLayer:
        """Lines and areas in any coordinate system; lines that cross the antimeridian go on beyond 180 degrees.

        Args:
            frame: rows with lines or areas, single ones or several in one.
            name: what people call them, "roads".

        Raises:
            ValueError: no coordinate system, or a shape that is neither line nor area.
        """
        if frame.crs is None:
            raise ValueError("The table states no coordinate system. Set it first: frame.set_crs(4326).")
        shapes = shapely.get_parts(frame.geometry.dropna().to_crs(WGS84).to_numpy())
        kind = shapely.get_type_id(shapes)
        is_line, is_area = kind == shapely.GeometryType.LINESTRING, kind == shapely.GeometryType.POLYGON
        if not (is_line | is_area).all():
            raise ValueError("A base layer is made of lines and areas.")
        lines = [
            np.column_stack([np.unwrap(xy[:, 0], period=360), xy[:, 1]]) for xy in map(shapely.get_coordinates, shapes[is_line])
        ]
        return cls(shapely.MultiLineString(lines), _unwrap(shapely.multipolygons(shapes[is_area])), name)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays that hold all of it, for a file."""
        arrays = {"name": np.array(self.name)}
        arrays |= {k: np.frombuffer(shapely.to_wkb(g), "uint8") for k, g in (("lines", self.lines), ("areas", self.areas))}
        if self.grid is not None:
            words = np.array([self.grid.name, self.grid.unit])
            arrays |= {"values": self.grid.values, "bounds": np.array(self.grid.bounds), "words": words}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> BaseLayer:
        """What `to_arrays` made.

        Raises:
            KeyError, ValueError: something else.
        """
        lines, areas = (shapely.from_wkb(np.asarray(arrays[k], "uint8").tobytes()) for k in ("lines", "areas"))
        if lines.geom_type != "MultiLineString" or areas.geom_type != "MultiPolygon":
            raise ValueError(f"lines are {lines.geom_type}, areas are {areas.geom_type}")
        grid = None
        if "values" in arrays:
            name, unit = (str(word) for word in arrays["words"])
            west, south, east, north = (float(x) for x in arrays["bounds"])
            grid = Grid(arrays["values"], (west, south, east, north), name, unit)
        return cls(lines, areas, str(arrays["name"]), grid)


def _extent(bounds: Bounds) -> Message:
    west, south, east, north = (round(float(x), 3) for x in bounds)
    return Message("finding.layer_elsewhere.extent", west=west, south=south, east=east, north=north)
