"""Parquet that unpacks to far more than it weighs, carries pickles, or lies about its places."""

import io
import json
import pickle
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.hostile.doors import read, refused, sensors, series

TIMES = pa.array(["2020-01-01", "2020-01-02", "2020-01-03"])
COLUMNS = {"timestamp": TIMES, "01": [1.0, 2.0, 3.0], "02": [1.0, None, 3.0]}


def packed(columns: dict, facts: dict | None = None, **options) -> bytes:
    """A Parquet file with these columns and notes."""
    table = pa.table(columns)
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(facts) if facts else table, buffer, **options)
    return buffer.getvalue()


def parquet(columns: dict, facts: dict | None = None, **options) -> dict:
    """An upload of readings as Parquet."""
    return series(packed(columns, facts, **options), "r.parquet")


def geo(shapes: list, system: object = None, name: str = "geometry", about: object = None) -> dict:
    """An upload of sensors as GeoParquet."""
    column = {"encoding": "WKB"} | ({"crs": system} if system is not None else {})
    facts = {"version": "1.0.0", "primary_column": name, "columns": {name: column}} if about is None else about
    columns = {"sensor_id": ["01", "02", "NA"], "geometry": pa.array(shapes, pa.binary())}
    return sensors(packed(columns, {b"geo": json.dumps(facts).encode()}), "s.parquet")


def point(x: float, y: float, kind: int = 1) -> bytes:
    """A point as well-known binary."""
    return struct.pack("<BIdd", 1, kind, x, y)


PLACES = [point(11.5, 48.1), point(11.6, 48.2), point(11.7, 48.3)]
BIG = 10_000_000

read("an honest Parquet", "2 sensors", lambda: parquet(COLUMNS) | sensors("sensor_id,lat,lon\n01,48,11\n02,48,12\n"))
read("an honest GeoParquet", "3 sensors", lambda: geo(PLACES))
refused(
    "Parquet: 80 million equal numbers in a few kB",
    "over 400 times its size",
    lambda: parquet({"t": _same(9_000_000), **{f"a{i}": _same(9_000_000) for i in range(3)}}),
)
refused(
    "Parquet: a million times one text of 10 kB",
    "its texts are too long",
    lambda: parquet({"timestamp": pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_000_000, "i4")), pa.array(["x" * 10_000]))}),
)
refused("Parquet: lists", "holds lists or parts", lambda: parquet({**COLUMNS, "x": [[1.0], [2.0], [3.0]]}))
refused("Parquet: lists in lists", "holds lists or parts", lambda: parquet({**COLUMNS, "x": [[[[1.0]]], [], []]}))
refused("Parquet: records", "holds lists or parts", lambda: parquet({**COLUMNS, "x": [{"a": 1}] * 3}))
refused(
    "Parquet: 25,000 columns",
    "columns; at most",
    lambda: parquet({"t": TIMES, **{f"a{i}": [1.0] * 3 for i in range(20_001)}}, write_statistics=False),
)
refused("Parquet: infinite readings", "'inf' is not a number", lambda: parquet({**COLUMNS, "02": [1.0, float("inf"), 2.0]}))
refused("Parquet: readings beyond float32", "'1e+39' is not a number", lambda: parquet({**COLUMNS, "02": [1.0, 1e39, 2.0]}))
refused("Parquet: a pickle in a cell", "is not a number", lambda: parquet({**COLUMNS, "02": [pickle.dumps(print)] * 3}))
refused("Parquet: a pickle as an Arrow type", "r.parquet", lambda: series(_pickled_type(), "r.parquet"))
refused(
    "Parquet: an index of 10^18 rows in the notes of pandas",
    "no sensor in common",
    lambda: parquet(
        {"timestamp": TIMES, "x": [1.0, 2.0, 3.0]},
        {b"pandas": b'{"index_columns":[{"kind":"range","start":0,"stop":1000000000000000000,"step":1}],"columns":[]}'},
    ),
)
refused(
    "Parquet: notes of pandas 5,000 levels deep",
    "damaged Parquet",
    lambda: parquet(COLUMNS, {b"pandas": b"[" * 5000 + b"]" * 5000}),
)
refused(
    "Parquet: texts that are no letters",
    "damaged Parquet (Column 3",
    lambda: parquet({**COLUMNS, "x": _no_letters(b"\xff\xfe\x80")}),
)
refused("Parquet: notes of pandas that are a list", "damaged Parquet", lambda: parquet(COLUMNS, {b"pandas": b"[1]"}))
refused("Parquet: notes that are no text", "damaged Parquet", lambda: parquet(COLUMNS, {b"pandas": b"\xff{"}))
refused("Parquet: two columns of one name", "stands there more than once", lambda: series(_twice(), "r.parquet"))
refused("Parquet: a footer of 2 GB", "damaged Parquet", lambda: series(packed(COLUMNS)[:-8] + b"\xff\xff\xff\x7fPAR1", "r.parquet"))
refused("Parquet: no footer", "damaged Parquet", lambda: series(b"PAR1" * 3, "r.parquet"))
refused(
    "Parquet: dates of the year 5 million",
    "r.parquet",
    lambda: parquet({**COLUMNS, "timestamp": pa.array([2**31 - 1] * 3, pa.date32())}),
)
refused(
    "Parquet: times of the year 292277",
    "cannot be right",
    lambda: parquet({**COLUMNS, "timestamp": pa.array([2**62] * 3, pa.timestamp("us"))}),
)
refused(
    "Parquet: times in a zone of nowhere",
    "r.parquet",
    lambda: parquet({**COLUMNS, "timestamp": pa.array([0, 1, 2], pa.timestamp("s", "Mars/Olympus"))}),
)
refused("Parquet: Arrow under its name", "the name says Parquet", lambda: series(b"ARROW1\0\0" + b"\0" * 90, "r.parquet"))
refused("Parquet: encrypted", "the name says Parquet", lambda: series(b"PARE" + packed(COLUMNS)[4:-4] + b"PARE", "r.parquet"))
refused("GeoParquet: lines", "every geometry must be a point", lambda: geo([struct.pack("<BII", 1, 2, 2**31)] * 3))
refused(
    "GeoParquet: a multipoint of four billion",
    "every geometry must be a point",
    lambda: geo([struct.pack("<BII", 1, 4, 2**32 - 1) + bytes(12)] * 3),
)
refused("GeoParquet: texts instead of shapes", "every geometry must be a point", lambda: geo([b"POINT (1 2)"] * 3))
refused("GeoParquet: places not given", "without a location", lambda: geo([None, *PLACES[1:]]))
refused("GeoParquet: places that are NaN", "without a location", lambda: geo([point(np.nan, np.nan), *PLACES[1:]]))
refused("GeoParquet: a system in a file", "in no EPSG system", lambda: geo(PLACES, "+init=/etc/passwd:root"))
refused("GeoParquet: a grid in a file", "in no EPSG system", lambda: geo(PLACES, {"type": "BoundCRS", "grid": "/etc/passwd"}))
refused("GeoParquet: an unknown EPSG code", "in EPSG:99999", lambda: geo(PLACES, {"id": {"authority": "EPSG", "code": 99999}}))
refused("GeoParquet: a column that is not there", "damaged Parquet", lambda: geo(PLACES, name="elsewhere"))
refused("GeoParquet: notes that are a number", "damaged Parquet", lambda: geo(PLACES, about=7))
refused(
    "GeoParquet: an encoding of its own",
    "are written as",
    lambda: geo(PLACES, about={"primary_column": "geometry", "columns": {"geometry": {"encoding": "pickle"}}}),
)


def _same(n: int) -> pa.Array:
    return pa.array(np.ones(n))


def _no_letters(content: bytes) -> pa.Array:
    """A column of texts, one byte each."""
    ends = pa.py_buffer(np.arange(len(content) + 1, dtype="int32").tobytes())
    return pa.Array.from_buffers(pa.string(), len(content), [None, ends, pa.py_buffer(content)])


def _twice() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([TIMES, TIMES], names=["a", "a"]), buffer)
    return buffer.getvalue()


def _pickled_type() -> bytes:
    note = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickle.dumps(print)}
    field = pa.field("01", pa.float64(), metadata=note)
    table = pa.Table.from_arrays(
        [pa.array([2**62] * 3, pa.timestamp("us")), pa.array([1.0, 2.0, 3.0])],
        schema=pa.schema([pa.field("timestamp", pa.timestamp("us")), field]),
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()
