"""GeoJSON points, lines and areas, GeoParquet geometries and ESRI ASCII grids, read without GDAL."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import shapely

from stvlm.core.base_layer import NO_AREAS, NO_LINES, WGS84, BaseLayer, Grid
from stvlm.core.series import SensorSeries
from stvlm.io.source import MOST_FACTS, InputError, Source, SourceFile, open_source, read_json, read_text, show
from stvlm.io.text import writable

MOST_BYTES = 32 << 20
MOST_VERTICES = 500_000
MOST_AREAS = 5_000
MOST_CELLS = 2_000_000
FINEST = 1e-8  # degrees a cell, a millimetre
LONGEST_NUMBER = 40  # characters
Places = list[np.ndarray]  # (K, 2) longitude, latitude in degrees each


def read_base_layer(shapes: Source | None, grid: Source | None, grid_unit: str = "") -> BaseLayer | None:
    """The base layer that two files make; None where neither is given.

    Args:
        shapes: a GeoJSON with lines and areas. grid: an ESRI ASCII grid (.asc) in degrees. grid_unit: of its values.

    Raises:
        InputError: one line for each file that cannot be used.
    """
    problems: list[str] = []
    lines, areas, name, values = NO_LINES, NO_AREAS, "", None
    try:
        if shapes is not None:
            lines, areas, name = _read_shapes(_open_small(shapes, ".geojson", ".json"))
    except InputError as error:
        problems += error.problems
    try:
        values = None if grid is None else _read_grid(_open_small(grid, ".asc"), grid_unit)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    return None if shapes is None and grid is None else BaseLayer(lines, areas, name, values)


def with_base_layer(series: SensorSeries, layer: BaseLayer | None) -> SensorSeries:
    """The series whose network lies on a base layer; None leaves it as it is.

    Raises:
        InputError: the layer lies elsewhere.
    """
    if layer is None:
        return series
    if found := layer.elsewhere(series.network.bounds()):
        names = {"base_layer": layer.name, "grid": layer.grid.name if layer.grid else ""}
        raise InputError(f"{names[part]}: {what} Give that of this place; longitude comes first." for part, what in found.items())
    return replace(series, network=replace(series.network, base_layer=layer))


def _open_small(source: Source, *endings: str) -> SourceFile:
    file = open_source(source)
    if file.suffix not in endings:
        raise InputError(f"{file.name}: a base layer is a .geojson with lines and areas, a grid is an .asc. Export it so.")
    if file.size > MOST_BYTES:
        raise InputError(f"{file.name}: {file.size >> 20} MiB; at most {MOST_BYTES >> 20} MiB are read. Simplify it first.")
    return file


def _read_shapes(file: SourceFile) -> tuple[shapely.MultiLineString, shapely.MultiPolygon, str]:
    lines: Places = []
    areas: list[shapely.Polygon] = []
    left = MOST_VERTICES
    for where, geometry in _geometries(read_json(file), file):
        for outline in _outlines(geometry, where):
            left -= sum(len(part) for part in outline)
            if left < 0:
                raise InputError(f"{where}: more than {MOST_VERTICES:,} vertices in all. Simplify the lines and areas first.")
            if geometry["type"].endswith("Polygon"):
                areas.append(shapely.Polygon(outline[0], outline[1:]))
                if len(areas) > MOST_AREAS:
                    raise InputError(f"{where}: more than {MOST_AREAS:,} areas in all. Join some, or leave out those far away.")
            else:
                lines += outline
    if not lines and not areas:
        raise InputError(f"{file.name}: holds no lines and no areas. Export roads, rivers or districts as GeoJSON.")
    return shapely.MultiLineString(lines), shapely.MultiPolygon(areas), show(Path(file.name).stem)


def _geometries(data: Any, file: SourceFile) -> Iterator[tuple[str, dict]]:
    """(where, geometry) of every line or area of a document; the nesting is limited by `read_json`."""
    if isinstance(data, dict) and data.get("crs") and not re.search(r"CRS84|EPSG:+4326", str(data["crs"])):
        raise InputError(f"{file.name}: its coordinates are in {show(data['crs'], 60)}. Export it in WGS84 (EPSG:4326).")
    features = data.get("features") if isinstance(data, dict) and data.get("type") == "FeatureCollection" else [data]
    if not isinstance(features, list):
        raise InputError(f"{file.name}: its features are no list. Export it again as GeoJSON.")
    for number, feature in enumerate(features, 1):
        where = f"{file.name}, feature {number}"
        is_feature = isinstance(feature, dict) and feature.get("type") == "Feature"
        waiting = deque([feature.get("geometry") if is_feature else feature])
        while waiting:
            geometry = waiting.popleft()
            if geometry is None and is_feature:  # GeoJSON allows a feature without a place
                continue
            kind = geometry.get("type") if isinstance(geometry, dict) else None
            if kind == "GeometryCollection" and isinstance(geometry.get("geometries"), list):
                waiting += geometry["geometries"]
            elif kind in ("LineString", "MultiLineString", "Polygon", "MultiPolygon"):
                yield where, geometry
            else:
                found = kind if isinstance(kind, str) else type(geometry).__name__
                raise InputError(f"{where}: {show(found)} is neither a line nor an area. Export lines and areas only.")


def _outlines(geometry: dict, where: str) -> Iterator[Places]:
    """Each line as [places], each area as [outer ring, holes ...]."""
    kind, raw = geometry["type"], geometry.get("coordinates")
    parts = raw if kind.startswith("Multi") else [raw]
    for part in parts if isinstance(parts, list) else [parts]:
        outline = part if kind.endswith("Polygon") else [part]
        if not isinstance(outline, list) or not outline:
            raise InputError(f"{where}: the coordinates of its {kind} are {show(outline)}. Export it again as GeoJSON.")
        yield [_places(places, where, least=4 if kind.endswith("Polygon") else 2) for places in outline]


def _places(raw: Any, where: str, least: int) -> np.ndarray:
    """(K, 2) longitude and latitude in degrees, without jumps between 180 and -180."""
    if not isinstance(raw, list) or len(raw) < least:
        raise InputError(f"{where}: needs at least {least} places in a row. Export it again.")
    bad = next((place for place in raw if not _is_place(place)), None)
    if bad is not None:
        raise InputError(
            f"{where}: {show(bad)} is not [longitude, latitude] in degrees. Export it in WGS84 (EPSG:4326), longitude first."
        )
    places = np.array([place[:2] for place in raw], dtype="f8")
    places[:, 0] = np.unwrap(places[:, 0], period=360)
    return places


def _is_place(place: Any) -> bool:
    if not isinstance(place, list) or len(place) < 2:
        return False
    lon, lat = place[:2]
    return type(lon) in (int, float) and type(lat) in (int, float) and -360 <= lon <= 360 and -90 <= lat <= 90


def _read_grid(file: SourceFile, unit: str) -> Grid:
    """An ESRI ASCII grid: a header of names and numbers, then rows of values from north to south."""
    data, _ = read_text(file)
    header, end = {}, 0
    for match in re.finditer(rb"[ \t]*([A-Za-z_]+)[ \t]+(\S{1,40})[ \t]*\r?\n", data[:2000]):
        if match.start() != end:
            break
        header[match[1].decode().lower()], end = match[2].decode("ascii", "replace"), match.end()
    n_rows, n_columns, bounds = _frame(header, file)
    tokens = data[end:].split(maxsplit=n_rows * n_columns)  # no more than that, for each token takes memory
    if len(tokens) != n_rows * n_columns:
        count = f"{len(tokens):,}" if len(tokens) < n_rows * n_columns else "more"
        raise InputError(f"{file.name}: {count} values, but its header says {n_rows:,} x {n_columns:,}. Export it again.")
    if max(len(token) for token in tokens) > LONGEST_NUMBER:
        raise InputError(f"{file.name}: a value has more than {LONGEST_NUMBER} characters. Export it again.")
    try:
        if b"_" in data[end:]:  # Python reads 1_0 as 10; whoever wrote it meant something else
            raise ValueError
        values = np.array(tokens).astype("f8")
    except ValueError:
        index = next(i for i, token in enumerate(tokens) if _number(token.decode("ascii", "replace")) is None)
        place = f"row {index // n_columns + 1} of the values, column {index % n_columns + 1}"
        raise InputError(f"{file.name}, {place}: '{show(tokens[index].decode('ascii', 'replace'))}' is not a number.") from None
    no_value = _number(told := header.get("nodata_value", "-9999"))
    if no_value is None:
        raise InputError(f"{file.name}, header: NODATA_value is '{show(told)}', not a number. Export it again.")
    values[(values == no_value) | ~np.isfinite(values) | (np.abs(values) > 1e30)] = np.nan
    if np.isnan(values).all():
        raise InputError(f"{file.name}: no cell has a value. Export it again.")
    return Grid(values.reshape(n_rows, n_columns).astype("f4"), bounds, show(Path(file.name).stem), unit)


def _frame(header: dict[str, str], file: SourceFile) -> tuple[int, int, tuple[float, float, float, float]]:
    """Rows, columns and bounds of a grid, checked."""

    def need(*names: str) -> float:
        found = next((_number(header[name]) for name in names if name in header), None)
        if found is None or not abs(found) < 1e9:
            raise InputError(f"{file.name}, header: no number {' or '.join(names)}. Export it as an ESRI ASCII grid (.asc).")
        return found

    n_columns, n_rows = need("ncols"), need("nrows")
    if n_columns < 1 or n_rows < 1 or n_columns % 1 or n_rows % 1 or n_columns * n_rows > MOST_CELLS:
        raise InputError(
            f"{file.name}, header: {n_rows:g} x {n_columns:g} cells; a grid has at most {MOST_CELLS:,}. Make it coarser."
        )
    width, height = need("cellsize", "dx"), need("cellsize", "dy")
    west, south = need("xllcorner", "xllcenter"), need("yllcorner", "yllcenter")
    west -= width / 2 if "xllcorner" not in header else 0
    south -= height / 2 if "yllcorner" not in header else 0
    bounds = west, south, west + width * n_columns, south + height * n_rows
    if (
        min(width, height) < FINEST
        or bounds[0] < -360
        or bounds[2] > 360
        or width * n_columns > 360.01
        or max(-south, bounds[3]) > 90.01
    ):
        raise InputError(
            f"{file.name}, header: spans {south:g} to {bounds[3]:g} north, {west:g} to {bounds[2]:g} east, which are no degrees. "
            "Export it in WGS84 (EPSG:4326)."
        )
    return int(n_rows), int(n_columns), bounds


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


# Sensor tables from GeoJSON points and GeoParquet geometries, without GDAL.

POINT_BYTES = 41  # at most: four coordinates and an EWKB's system
MARGIN = 15.0  # degrees beyond the area that a system is made for


def read_points(file: SourceFile) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A GeoJSON FeatureCollection of points as a table: properties, lat, lon in degrees (WGS84).

    Raises:
        InputError: no points, coordinates of an unknown system, or too many columns.
    """
    data = read_json(file)
    features = data.get("features") if isinstance(data, dict) else None
    if not isinstance(features, list) or not features:
        raise InputError(f"{file.name}: holds no GeoJSON FeatureCollection with points. Export the sensors as GeoJSON points.")
    names: dict[str, None] = {}
    rows = []
    for number, feature in enumerate(features, 1):
        rows.append(_point(feature, number, file))
        names |= dict.fromkeys(rows[-1])
        if len(names) > MOST_FACTS + len(("lat", "lon", "id")):  # each feature may bring names of its own
            raise InputError(f"{file.name}: more than {MOST_FACTS} columns beside id and place. Leave out what is not needed.")
    frame = pd.DataFrame(rows, columns=list(names))
    code = _named_code(data.get("crs"), file)
    if code == WGS84:
        return frame, ()
    frame["lon"], frame["lat"] = in_degrees(frame["lon"].to_numpy(), frame["lat"].to_numpy(), code, file)
    return frame, (f"{file.name}: places converted from EPSG:{code} to WGS84.",)


def _point(feature: Any, number: int, file: SourceFile) -> dict[str, Any]:
    """One GeoJSON feature as a row."""
    where = f"{file.name}, feature {number}"
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    if not isinstance(geometry, dict) or geometry.get("type") != "Point":
        raise InputError(f"{where}: is not a point. Export the sensors' places only.")
    place = geometry.get("coordinates")
    if not isinstance(place, list) or len(place) < 2 or not all(type(x) in (int, float) and abs(x) < 1e300 for x in place[:2]):
        raise InputError(f"{where}: the coordinates are not [longitude, latitude]. Export it again.")
    facts = feature.get("properties") or {}
    if not isinstance(facts, dict):
        raise InputError(f"{where}: the properties are not names and values. Export it again.")
    flat: dict[str, Any] = {
        str(writable(k)): writable(v) for k, v in facts.items() if not isinstance(v, list | dict) and k not in ("lat", "lon")
    }
    own_id = {"id": writable(feature["id"])} if isinstance(feature.get("id"), str | int) and "id" not in flat else {}
    return {"lat": float(place[1]), "lon": float(place[0])} | own_id | flat  # the place goes before a property "Lat"


def _named_code(stated: Any, file: SourceFile) -> int:
    """The EPSG code that a GeoJSON's member `crs` names."""
    if not stated:
        return WGS84
    found = re.search(r"(CRS84|EPSG(?:::|:|[0-9.:]{0,9}:)([0-9]{1,6}))$", str(stated)[:200].rstrip("'}] "))
    if found is None:
        raise InputError(f"{file.name}: its coordinates are in {show(stated, 60)}. Export it in WGS84 (EPSG:4326).")
    return int(found[2] or WGS84)


def to_degrees(x: np.ndarray, y: np.ndarray, code: int) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude (WGS84) of places in an EPSG system.

    Args:
        x, y: (n,) eastwards and northwards, in the unit of the system; NaN where a place is not given.

    Raises:
        ValueError: an unknown code, one of another kind, such as heights, or places far outside the area that the system is made for.
    """
    try:
        system = pyproj.CRS.from_epsg(code)
    except pyproj.exceptions.CRSError:
        raise ValueError("no such EPSG code") from None
    if not (system.is_projected or system.is_geographic):
        raise ValueError("no such EPSG code of places on a map")
    lon, lat = pyproj.Transformer.from_crs(system, WGS84, always_xy=True).transform(x, y)
    area = system.area_of_use
    if area is not None:
        given = np.isfinite(x) & np.isfinite(y)
        away = np.maximum(area.south - lat, lat - area.north) > MARGIN
        if area.west <= area.east:
            away |= np.maximum(area.west - lon, lon - area.east) > MARGIN
        if (given & ~(~away & np.isfinite(lon) & np.isfinite(lat))).any():
            raise ValueError(f"places far outside {show(area.name, 60)}, for which EPSG:{code} is made")
    return lon, lat


def in_degrees(x: np.ndarray, y: np.ndarray, code: int, file: SourceFile) -> tuple[np.ndarray, np.ndarray]:
    """`to_degrees` of the places in a file.

    Raises:
        InputError: they cannot be converted.
    """
    try:
        return to_degrees(x, y, code)
    except ValueError as error:
        raise InputError(f"{file.name}: its coordinates are in EPSG:{code}: {error}. Export it in WGS84 (EPSG:4326).") from None


def code_of_system(system: Any, file: SourceFile) -> int:
    """The EPSG code of a coordinate system as GeoParquet states it: by its id alone, for a system in words may name files.

    Args:
        system: PROJJSON; None stands for WGS84.

    Raises:
        InputError: one without a known id.
    """
    if system is None:
        return WGS84
    named = system.get("id") if isinstance(system, dict) else None
    authority, code = (str(named.get(key))[:20] for key in ("authority", "code")) if isinstance(named, dict) else ("", "")
    if (authority, code) == ("OGC", "CRS84"):
        return WGS84
    if authority != "EPSG" or not re.fullmatch(r"[0-9]{1,6}", code):
        raise InputError(f"{file.name}: its coordinates are in no EPSG system. Export it in WGS84 (EPSG:4326).")
    return int(code)


def places_of_wkb(cells: Sequence[Any], file: SourceFile) -> tuple[np.ndarray, np.ndarray]:
    """x and y of points as GeoParquet holds them (well-known binary, ISO and EWKB); NaN where there is none.

    Raises:
        InputError: another shape than a point.
    """
    is_given = np.array([cell is not None for cell in cells], dtype=bool)
    is_short = np.array([cell is None or (isinstance(cell, bytes) and len(cell) <= POINT_BYTES) for cell in cells], dtype=bool)
    shapes = shapely.from_wkb([cell if ok else None for cell, ok in zip(cells, is_short, strict=True)], on_invalid="ignore")
    wrong = is_given & (shapely.get_type_id(shapes) != shapely.GeometryType.POINT)
    if wrong.any():
        raise InputError(
            f"{file.name}, row {int(wrong.argmax()) + 1}: every geometry must be a point. Export the sensors' places only."
        )
    shapes[shapely.is_empty(shapes)] = None  # NaN NaN is the empty point, which has no x
    return shapely.get_x(shapes), shapely.get_y(shapes)
