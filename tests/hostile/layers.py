"""What may lie beside sensors and readings: links, context, base layers, grids; and fixes asked for with odd parameters."""

import json

from tests.hostile.doors import SENSORS, WIDE, read, refused
from tests.hostile.texts import bomb


def beside(role: str, name: str, content: bytes | str, **more) -> dict:
    """An upload with one more file."""
    return {role: (name, content.encode() if isinstance(content, str) else content)} | more


def shapes(*geometries: dict, **more) -> dict:
    """An upload with a base layer."""
    features = [{"type": "Feature", "geometry": geometry, "properties": {}} for geometry in geometries]
    return beside("base_layer", "b.geojson", json.dumps({"type": "FeatureCollection", "features": features} | more))


def grid(header: str, values: bytes | str = "1 2\n3 4\n") -> dict:
    """An upload with an elevation grid."""
    return beside("grid", "g.asc", header.encode() + (values if isinstance(values, bytes) else values.encode()))


HEAD = "ncols 2\nnrows 2\nxllcorner 11\nyllcorner 48\ncellsize 1\n"
LINE = {"type": "LineString", "coordinates": [[11.5, 48.1], [11.6, 48.2]]}
RING = [[11, 48], [12, 48], [12, 49], [11, 48]]

# Links

refused("links: 25 million cells of a matrix of words", "a.csv", lambda: beside("adjacency", "a.csv", ("x,y,z\n" * 3).encode()))
refused("links: a closeness of inf", "a.csv", lambda: beside("adjacency", "a.csv", "from,to,weight\n01,02,inf\n"))
refused("links: a closeness below zero", "is no closeness", lambda: beside("adjacency", "a.csv", "from,to,weight\n01,02,-1\n"))
refused("links: a distance of 1e39", "a.csv", lambda: beside("adjacency", "a.csv", "from,to,distance\n01,02,1e39\n"))
read("links: every distance zero", "3 sensors", lambda: beside("adjacency", "a.csv", "from,to,distance\n01,02,0\n02,NA,0\n"))
refused("links: a matrix with a hole", "a.csv", lambda: beside("adjacency", "a.csv", ",01,02,NA\n01,0,1,\n02,0,0,1\nNA,0,0,0\n"))
refused(
    "links: a bomb", "a.csv.gz: unpacks to more than", lambda: beside("adjacency", "a.csv.gz", bomb(b"1,2,3\n" * 4_000_000, 40))
)
read("links: 640,000 between ids of 200 characters", "800 sensors", lambda: _crowd(800))


def _crowd(n: int) -> dict:
    """Everybody near everybody, under long names."""
    ids = [f"{i:0200}" for i in range(n)]
    table = "sensor_id,lat,lon\n" + "".join(f"{name},48,{11 + i / n}\n" for i, name in enumerate(ids))
    head, ones = ",".join(ids), ",".join("1" * n)
    readings = f"t,{head}\n2020-01-01,{ones}\n2020-01-02,{ones}\n"
    matrix = beside("adjacency", "a.csv", head + f"\n{ones}" * n)
    return matrix | {"sensors": ("s.csv", table.encode()), "series": ("r.csv", readings.encode())}


# Context

refused(
    "context: 600 columns",
    "600 columns beside the time",
    lambda: beside("context", "c.csv", "time" + "".join(f",c{i}" for i in range(600)) + "\n2020-01-01" + ",1" * 600 + "\n"),
)
read(
    "context: a text of 100 kB",
    "cut to 500 characters",
    lambda: beside("context", "c.csv", "time,event\n2020-01-01 00:00," + "x" * 100_000 + "\n"),
)
refused(
    "context: one time a million times",
    "stands there more than once",
    lambda: beside("context", "c.csv", "time,rain\n" + "2020-01-01,1\n" * 200_000),
)
refused("context: a pickle", "a Python pickle", lambda: beside("context", "c.csv", b"\x80\x04K\x01."))
read(
    "context: a column called timestamp twice removed",
    "3 sensors",
    lambda: beside("context", "c.csv", "time,__class__\n2020-01-01,{{x}}\n"),
)

# Base layers

refused(
    "layer: coordinates that are no numbers",
    "is not [longitude, latitude]",
    lambda: shapes({**LINE, "coordinates": [["a", "b"], [1, 2]]}),
)
refused(
    "layer: a coordinate of 400 digits",
    "is not [longitude, latitude]",
    lambda: shapes({**LINE, "coordinates": [[10**400, 1], [1, 2]]}),
)
refused(
    "layer: true and false as degrees",
    "is not [longitude, latitude]",
    lambda: shapes({**LINE, "coordinates": [[True, False], [1, 2]]}),
)
refused("layer: a line of one place", "needs at least 2 places", lambda: shapes({**LINE, "coordinates": [[1, 2]]}))
refused("layer: a point", "neither a line nor an area", lambda: shapes({"type": "Point", "coordinates": [1, 2]}))
refused("layer: metres", "its coordinates are in", lambda: shapes(LINE, crs={"properties": {"name": "EPSG:3857"}}))
refused("layer: collections 40 deep", "nested more than 32 levels", lambda: shapes(_nested(20)))
refused(
    "layer: 600,000 vertices",
    "more than 500,000 vertices",
    lambda: shapes(*[{**LINE, "coordinates": LINE["coordinates"] * 1000}] * 300),
)
refused("layer: 6,000 areas", "more than 5,000 areas", lambda: shapes({"type": "MultiPolygon", "coordinates": [[RING]] * 6000}))
refused("layer: a VRT of GDAL", "XML or HTML", lambda: beside("base_layer", "b.geojson", "<OGRVRTDataSource/>"))
refused(
    "layer: on the other side of the earth",
    "lie outside the network",
    lambda: shapes({**LINE, "coordinates": [[-170, -40], [-169, -41]]}),
)
read(
    "layer: an area that crosses itself 500 times", "3 sensors", lambda: shapes({"type": "Polygon", "coordinates": [_zigzag(500)]})
)
refused("layer: 40 MiB", "at most 32 MiB are read", lambda: beside("base_layer", "b.geojson", b"{" + b" " * (40 << 20) + b"}"))
refused(
    "layer: a shapefile", "files ending in '.shp' are not read", lambda: beside("base_layer", "b.shp", b"\0\0\x27\x0a" + bytes(96))
)
refused("layer: a geopackage", "files ending in '.gpkg' are not read", lambda: beside("base_layer", "b.gpkg", b"SQLite format 3\0"))


def _nested(depth: int) -> dict:
    shape: dict = LINE
    for _ in range(depth):
        shape = {"type": "GeometryCollection", "geometries": [shape]}
    return shape


def _zigzag(n: int) -> list:
    ring = [[11 + i % 2, 48 + i / n] for i in range(n)] + [[11 + (i + 1) % 2, 48 + i / n] for i in range(n)]
    return [*ring, ring[0]]


# Grids

refused(
    "grid: a million times a million",
    "cells; a grid has at most",
    lambda: grid(HEAD.replace("ncols 2", "ncols 1000000").replace("nrows 2", "nrows 1000000")),
)
refused("grid: less than no columns", "cells; a grid has at most", lambda: grid(HEAD.replace("ncols 2", "ncols -2")))
refused("grid: NaN columns", "no number ncols", lambda: grid(HEAD.replace("ncols 2", "ncols nan")))
refused("grid: cells of nothing", "g.asc, header", lambda: grid(HEAD.replace("cellsize 1", "cellsize 0")))
refused("grid: cells of hardly anything", "g.asc, header", lambda: grid(HEAD.replace("cellsize 1", "cellsize 1e-300")))
refused("grid: 15 million values for four cells", "but its header says", lambda: grid(HEAD, b"1 " * 15_000_000))
refused("grid: a value of a million digits", "more than 40 characters", lambda: grid(HEAD, "1 2 3 " + "4" * 1_000_000))
refused("grid: a value that is a word", "is not a number", lambda: grid(HEAD, "1 2 3 x\n"))
refused("grid: no value at all", "no cell has a value", lambda: grid(HEAD, "-9999 -9999 nan inf\n"))
refused("grid: a header without end", "g.asc", lambda: grid("ncols 2\n" * 10_000))
refused("grid: beyond the poles", "which are no degrees", lambda: grid(HEAD.replace("yllcorner 48", "yllcorner 89.5")))

# Fixes that were asked for

refused("fix: an unknown one", "there is no such fix", lambda: {"fixes": ("__import__('os')",)})
refused("fix: a step of nothing", "no such step", lambda: {"fixes": ("resample:0",)})
refused("fix: a step of NaN", "no such step", lambda: {"fixes": ("resample:nan",)})
refused("fix: a step without end", "no such step", lambda: {"fixes": ("resample:1e308",)})
refused("fix: a step of a trillion minutes", "r.csv", lambda: {"fixes": ("resample:1e12",)})
refused(
    "fix: seconds over 200 years",
    "mostly empty",
    lambda: {"series": ("r.csv", WIDE.replace(b"2020-01-01 02", b"2190-01-01 02")), "fixes": ("resample:0.0166667",)},
)
refused("fix: coordinates of no system", "no such EPSG code", lambda: {"fixes": ("reproject:999999999999",)})
refused("fix: coordinates of a file", "no such EPSG code", lambda: {"fixes": ("reproject:+init=/etc/passwd",)})
refused("fix: a zone that climbs out", "no such zone", lambda: {"fixes": ("local-time:../../../etc/passwd",)})
refused("fix: a zone with a NUL", "no such zone", lambda: {"fixes": ("local-time:Europe\0Berlin",)})
refused(
    "fix: degrees taken for metres",
    "places far outside",
    lambda: {"sensors": ("s.csv", SENSORS.replace(b"48.1", b"1e300")), "fixes": ("reproject:25832",)},
)
