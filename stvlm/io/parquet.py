"""Parquet and GeoParquet as a table: what it would unpack to is known before it is unpacked, and nothing in it is run."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stvlm.core.base_layer import WGS84
from stvlm.io.geojson import code_of_system, in_degrees, places_of_wkb
from stvlm.io.source import InputError, SourceFile, show

MOST_TEXTS = 20_000_000  # text cells: each takes many times the memory of a number
MOST_GROWTH, SMALL = 400, 64 << 20  # a table may take so many times the bytes of its file, once it is not small
DAMAGE = (pa.ArrowException, OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError, RuntimeError)


def read_parquet(file: SourceFile) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """All cells of a Parquet file; places of a GeoParquet as columns lat and lon in degrees (WGS84).

    Raises:
        InputError: too large, nested, damaged, or places that are no points in known coordinates.
    """
    try:
        with file.open() as handle:
            table = _read(handle, file)
        facts = table.schema.metadata or {}
        frame = table.to_pandas(ignore_metadata=True)
        frame = frame[_index_first(list(frame.columns), facts)].rename(columns={"__index_level_0__": "index"})
        return _with_places(frame, json.loads(facts[b"geo"]), file) if b"geo" in facts else (frame, ())
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{file.name}: damaged Parquet ({show(error, 60)}). Export it again.") from None


def _read(handle: Any, file: SourceFile) -> pa.Table:
    """The table, after its size was checked; texts come as indices of a dictionary, and become texts when their sum is known."""
    stored = pq.ParquetFile(handle)
    meta, schema = stored.metadata, stored.schema_arrow
    groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
    if sum(group.total_byte_size for group in groups) > file.limits.unpacked_bytes:
        raise InputError(f"{file.name}: unpacks to more than {file.limits.unpacked_bytes >> 20:,} MiB. Split it.")
    file.check_cells(meta.num_rows, len(schema.names))
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise InputError(f"{file.name}, header: the column '{show(twice[0])}' stands there more than once. Name each differently.")
    if 8 * meta.num_rows * len(schema.names) > max(SMALL, MOST_GROWTH * file.size):
        raise InputError(f"{file.name}: unpacks to over {MOST_GROWTH} times its size, as no real table does. Export it as CSV.")
    nested = [field.name for field in schema if pa.types.is_nested(field.type)]
    if nested:
        raise InputError(f"{file.name}, column '{show(nested[0])}': holds lists or parts, not plain cells. Leave it out.")
    texts = [field.name for field in schema if _is_text(field.type)]
    if meta.num_rows * len(texts) > MOST_TEXTS:
        raise InputError(f"{file.name}: {len(texts):,} columns of text, {meta.num_rows:,} rows. Leave out what is not needed.")
    table = pq.ParquetFile(handle, read_dictionary=texts).read(use_threads=False)
    table.validate(full=True)  # what is called text may hold other bytes
    size = 0
    for name in texts:
        size += sum(_characters(piece) for piece in table.column(name).chunks)
        if size > file.limits.unpacked_bytes // 4:
            raise InputError(f"{file.name}, column '{show(name)}': its texts are too long. Leave it out, or split the file.")
    return table.cast(pa.schema([_plain(field) for field in table.schema], table.schema.metadata))


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(
        test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    )  # fmt: skip


def _characters(piece: pa.Array) -> int:
    """Bytes that an array of texts would take without its dictionary."""
    if not isinstance(piece, pa.DictionaryArray):
        return piece.nbytes
    return pc.sum(pc.take(pc.binary_length(piece.dictionary), piece.indices)).as_py() or 0


def _plain(field: pa.Field) -> pa.Field:
    """A field without its dictionary; texts with room for more than 2 GiB."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    wide = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
    return pa.field(field.name, wide.get(kind, kind))


def _index_first(columns: list[str], facts: dict[bytes, bytes]) -> list[str]:
    """The columns, those first that pandas had as the index."""
    stated = json.loads(facts[b"pandas"]).get("index_columns", []) if b"pandas" in facts else []
    index = [name for name in stated if isinstance(name, str) and name in columns]
    return [*dict.fromkeys([*index, *columns])]


def _with_places(frame: pd.DataFrame, geo: Any, file: SourceFile) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Points of a GeoParquet as columns lat and lon."""
    column = geo["primary_column"]
    about = geo["columns"][column]
    if about.get("encoding") != "WKB":
        raise InputError(f"{file.name}: its geometries are written as {show(about.get('encoding'))}. Export it with WKB.")
    x, y = places_of_wkb(frame[column].tolist(), file)
    code = code_of_system(about.get("crs"), file)
    notes: tuple[str, ...] = ()
    if code != WGS84:
        x, y = in_degrees(x, y, code, file)
        notes = (f"{file.name}: places converted from EPSG:{code} to WGS84.",)
    facts = frame.drop(columns=[column, "lat", "lon"], errors="ignore")
    return pd.concat([pd.DataFrame({"lat": y, "lon": x}, index=frame.index), facts], axis=1), notes  # they go before a column "Lat"
