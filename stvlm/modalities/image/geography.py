"""What lies below a network, painted once: land and water, the user's own lines and areas, a grid such as elevation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import shapely

from stvlm.core.base_layer import BaseLayer, Bounds, Grid, dry_land, meeting

SAMPLES = 4  # places a side of each pixel at which land and areas are asked for
MOST_SAMPLES = 16  # the same for a grid with small cells
PIECE = 0.125  # pixel sides: lines are counted in pieces of this length
MOST_PIECES = 2_000_000
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False)
class Ground:
    """The ground below the pixels of a raster.

    Attributes:
        land: (G, G) float32, share of each pixel that is land; inland waters count as land.
        shapes: (G, G) float32 in 0 … 1: length of lines and outlines in pixel sides, at most 1; areas at least half their share.
            None where no lines or areas were given.
        values: (G, G) float32, mean of the grid in its unit, NaN where it has none; None where no grid was given.
        low, high: of the values.
    """

    land: np.ndarray
    shapes: np.ndarray | None = None
    values: np.ndarray | None = None
    low: float = 0.0
    high: float = 1.0


@lru_cache(maxsize=16)
def paint_ground(layer: BaseLayer | None, bounds: Bounds, size: int) -> Ground:
    """The ground within bounds as size x size pixels, row 0 in the north.

    Args:
        layer: the user's own, or None. bounds: (west, south, east, north) in degrees. size: G.
    """
    land = _covered(np.array([dry_land(bounds)], dtype=object), bounds, size)
    shapes = values = None
    low, high = 0.0, 1.0
    if layer is not None and layer.has_shapes:
        areas = shapely.get_parts(layer.areas)
        lines = np.concatenate([shapely.get_parts(layer.lines), shapely.boundary(areas)])
        fill = _covered(meeting(areas, bounds), bounds, size)
        shapes = np.maximum(_lengths(meeting(lines, bounds), bounds, size).clip(0, 1), fill / 2)
    if layer is not None and layer.grid is not None:
        values = _means(layer.grid, bounds, size)
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        if high - low <= 1e-6 * max(abs(low), abs(high), 1e-9):  # all alike: the middle grey
            low, high = low - 0.5, high + 0.5
    return Ground(land, shapes, values, low, high)


def _covered(areas: np.ndarray, bounds: Bounds, size: int) -> np.ndarray:
    """(G, G) float32: share of each pixel that some area covers, asked at SAMPLES x SAMPLES places of each pixel."""
    west, south, east, north = bounds
    fine = size * SAMPLES
    lon = west + (np.arange(fine) + 0.5) / fine * (east - west)
    lat = north - (np.arange(fine) + 0.5) / fine * (north - south)
    inside = np.zeros((fine, fine), dtype=bool)
    for area in shapely.get_parts(areas):
        left, low, right, high = area.bounds
        rows = slice(np.searchsorted(-lat, -high), np.searchsorted(-lat, -low, side="right"))
        columns = slice(np.searchsorted(lon, left), np.searchsorted(lon, right, side="right"))
        here = inside[rows, columns]
        row, column = np.nonzero(~here)  # areas that lie over each other are not asked twice
        shapely.prepare(area)
        here[row, column] = shapely.contains_xy(area, lon[columns][column], lat[rows][row])
    return inside.reshape(size, SAMPLES, size, SAMPLES).mean(axis=(1, 3)).astype("f4")


def _lengths(lines: np.ndarray, bounds: Bounds, size: int) -> np.ndarray:
    """(G, G) float32: length of all lines in each pixel, in pixel sides; only pixels that a line crosses have any."""
    west, south, east, north = bounds
    inside = shapely.clip_by_rect(lines, *bounds)  # unlike an intersection, it does not ask where lines cross each other
    places, line = shapely.get_coordinates(shapely.get_parts(inside), return_index=True)
    pixel = np.stack([(places[:, 0] - west) / (east - west), (north - places[:, 1]) / (north - south)], axis=-1) * size
    joined = line[1:] == line[:-1]
    start, way = pixel[:-1][joined], (pixel[1:] - pixel[:-1])[joined]
    length = np.hypot(*way.T)
    piece = max(PIECE, float(length.sum()) / MOST_PIECES)
    count = np.ceil(length / piece).astype("int64")
    which = np.repeat(np.arange(len(count)), count)
    spot = 0.5 if piece == PIECE else np.arange(len(which)) * GOLDEN % 1  # long pieces: anywhere on them, evenly
    share = (np.arange(len(which)) - np.repeat(count.cumsum() - count, count) + spot) / count[which]
    column, row = np.floor(start[which] + way[which] * share[:, None]).astype("int64").clip(0, size - 1).T
    found = np.bincount(row * size + column, weights=(length / np.maximum(count, 1))[which], minlength=size * size)
    return found.reshape(size, size).astype("f4")


def _means(grid: Grid, bounds: Bounds, size: int) -> np.ndarray:
    """(G, G) float32: mean of the cells below each pixel, NaN where there is none."""
    west, south, east, north = bounds
    height, width = grid.cell_degrees
    per_pixel = max((north - south) / size / height, (east - west) / size / width)
    samples = int(np.clip(np.ceil(per_pixel), 2, MOST_SAMPLES))
    share = (np.arange(size * samples) + 0.5) / (size * samples)
    lon, lat = np.meshgrid(west + share * (east - west), north - share * (north - south))
    values = grid.at(lat, lon).reshape(size, samples, size, samples)
    known = np.isfinite(values)
    total, count = np.where(known, values, 0).sum(axis=(1, 3), dtype="f8"), known.sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype("f4")
