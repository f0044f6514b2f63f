"""What a network lies on and no reading can tell: the user's own lines and areas, and a grid such as elevation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import shapely

from stvlm.data.land import Bounds, meeting

NO_LINES, NO_AREAS = shapely.MultiLineString(), shapely.MultiPolygon()
ELSEWHERE = "Give that of this place; longitude comes first."


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

    def elsewhere(self, bounds: Bounds) -> dict[str, str]:
        """Which parts do not touch the bounds of a network: of another place, or with swapped coordinates.

        Returns:
            "base_layer", "grid" -> where it lies instead, in words.
        """
        found = {}
        shapes = np.concatenate([shapely.get_parts(self.lines), shapely.get_parts(self.areas)])
        if len(shapes) and not len(meeting(shapes, bounds)):
            found["base_layer"] = f"its lines and areas lie outside the network: {_span(shapely.total_bounds(shapes))}."
        if self.grid is not None and not len(meeting(np.array([shapely.box(*self.grid.bounds)], dtype=object), bounds)):
            found["grid"] = f"the grid lies outside the network: {_span(self.grid.bounds)}."
        return found

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
            grid = Grid(arrays["values"], tuple(float(x) for x in arrays["bounds"]), name, unit)
        return cls(lines, areas, str(arrays["name"]), grid)


def _span(bounds: Bounds) -> str:
    west, south, east, north = (round(float(x), 3) for x in bounds)
    return f"{south} to {north}° north, {west} to {east}° east"
