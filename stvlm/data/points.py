"""Tables of places, GeoJSON points and the geometries of GeoParquet, without GDAL: plain numbers, known coordinates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyproj

from stvlm.data.files import InputError, SourceFile, read_json, show
from stvlm.data.letters import writable

WGS84 = 4326
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
        file.check_cells(len(features), len(names))  # each feature may bring names of its own
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
    flat = {writable(k): writable(v) for k, v in facts.items() if not isinstance(v, list | dict) and k not in ("lat", "lon")}
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


def places_of_wkb(shapes: Sequence[Any], file: SourceFile) -> tuple[np.ndarray, np.ndarray]:
    """x and y of points as GeoParquet holds them (well-known binary, ISO and EWKB); NaN where there is none.

    Raises:
        InputError: another shape than a point.
    """
    places = np.full((len(shapes), 2), np.nan)
    for i, shape in enumerate(shapes):
        if shape is None:
            continue
        if not isinstance(shape, bytes) or len(shape) not in (21, 25, 29, 33, 37, 41) or shape[0] > 1:
            raise InputError(f"{file.name}, row {i + 1}: every geometry must be a point. Export the sensors' places only.")
        order = "<" if shape[0] else ">"
        kind = int(np.frombuffer(shape, f"{order}u4", 1, 1)[0])
        if (kind & 0x0FFFFFFF) % 1000 != 1:
            raise InputError(f"{file.name}, row {i + 1}: every geometry must be a point. Export the sensors' places only.")
        places[i] = np.frombuffer(shape, f"{order}f8", 2, 9 if kind & 0x20000000 else 5)  # an EWKB may state its system first
    return places[:, 0], places[:, 1]
