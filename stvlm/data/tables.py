"""Read one table of a checked file, CSV, Parquet or GeoJSON points: texts stay texts, numbers are checked cell by cell."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stvlm.data.files import InputError, SourceFile, read_json, read_text, show

MISSING = ("", "NA", "N/A", "NaN", "nan", "NAN", "null", "NULL", "None", "none", "-")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, eq=False)
class Table:
    """A table of which only the columns are known until `read` is called.

    Attributes:
        file: where it comes from. columns: names, stripped, unique ("" for one without a name).
        notes: what was recognised.
        frame: all cells, for formats that come whole; None for CSV.
        text: the CSV itself as UTF-8. delimiter, decimal: of the CSV. mixed: whether some of its numbers have the other sign.
        first_row: number in the file of the first row of cells.
    """

    file: SourceFile
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()
    frame: pd.DataFrame | None = None
    text: bytes = b""
    delimiter: str = ","
    decimal: str = "."
    first_row: int = 2
    mixed: bool = False

    def read(self, texts: list[str], numbers: list[str]) -> pd.DataFrame:
        """The columns asked for: `texts` as text ("" = empty; datetimes stay datetimes), `numbers` as float32, NaN = missing.

        Raises:
            InputError: rows of unequal length, or a cell among the numbers that is none.
        """
        if self.frame is not None:
            columns = {c: _keep_times(self.frame[c]) for c in texts}
            columns |= {c: self._numbers(self.frame[c]) for c in numbers}
            return pd.DataFrame(columns, index=pd.RangeIndex(len(self.frame)))
        missing = {c: [] if c in texts else list(MISSING) for c in self.columns}
        types = dict.fromkeys(self.columns, "str") | dict.fromkeys(numbers, "float32")
        try:
            table = self._parse(types, missing)
        except ValueError:  # some cell is no number: read all as text to say which
            table = self._parse(dict.fromkeys(self.columns, "str"), {c: [] for c in self.columns})
            return self._as_frame(table).read(texts, numbers)
        if any(np.isinf(table[c].to_numpy()).any() for c in numbers):
            return self._as_frame(table).read(texts, numbers)
        for column in texts:
            table[column] = table[column].fillna("").str.strip()
        return table[[*texts, *numbers]]

    def _as_frame(self, table: pd.DataFrame) -> Table:
        return Table(self.file, self.columns, frame=table, decimal=self.decimal, first_row=self.first_row, mixed=self.mixed)

    def _parse(self, types: dict[str, str], missing: dict[str, list[str]]) -> pd.DataFrame:
        try:
            return pd.read_csv(
                io.BytesIO(self.text),
                sep=self.delimiter,
                decimal=self.decimal,
                header=None,
                skiprows=self.first_row - 1,
                names=list(self.columns),
                index_col=False,
                dtype=types,
                na_values=missing,
                keep_default_na=False,
                skipinitialspace=True,
                on_bad_lines="error",
            )
        except pd.errors.EmptyDataError:
            raise InputError(f"{self.file.name}: there are no rows below the header. Export it again.") from None
        except pd.errors.ParserError as error:
            found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
            where = (
                f", row {found[2]}: {found[3]} cells, but the header has {found[1]}" if found else ": the rows cannot be told apart"
            )
            raise InputError(f"{self.file.name}{where}. Check delimiters and quotes.") from None

    def _numbers(self, column: pd.Series) -> np.ndarray:
        values, bad = parse_numbers(column, self.decimal, self.mixed)
        bad |= np.isinf(values)
        if bad.any():
            i, n = int(bad.argmax()), int(bad.sum())
            more = f" (and {n - 1} more in this column)" if n > 1 else ""
            raise InputError(
                f"{self.file.name}, row {i + self.first_row}, column '{show(column.name)}': "
                f"'{show(column.iloc[i])}' is not a number{more}. Correct it or leave the cell empty."
            )
        return values.astype("float32")


def parse_numbers(column: pd.Series, decimal: str = ".", mixed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Cells as numbers.

    Args:
        mixed: also read the other decimal sign, where it cannot part thousands: "10,4" and not "1,234".

    Returns:
        values: (n,) float64, NaN where missing or no number. bad: (n,) bool, True where a cell is neither empty nor a number.
    """
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype="float64", na_value=np.nan), np.zeros(len(column), dtype=bool)
    text = to_text(column)
    if mixed:
        other = "," if decimal == "." else "."
        text = text.str.replace(rf"^([+-]?(?:0|\d+))[{other}](?!\d{{3}}$)(\d+)$", rf"\1{decimal}\2", regex=True)
    if decimal == ",":
        text = text.str.replace(".", "?", regex=False).str.replace(",", ".", regex=False)
    values = pd.to_numeric(text.where(text.str.fullmatch(NUMBER), None), errors="coerce").to_numpy("float64", na_value=np.nan)
    return values, np.isnan(values) & ~text.isin(MISSING).to_numpy()


def to_text(column: pd.Series) -> pd.Series:
    """Cells as stripped text, "" where empty; whole numbers without a decimal point."""
    if pd.api.types.is_float_dtype(column.dtype):
        whole = (column.dropna() % 1 == 0).all()
        column = column.astype("Int64" if whole else "object")
    empty = column.isna()
    values = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in column.astype("object")]
    return pd.Series(values, dtype="object", name=column.name).where(~empty.to_numpy(), "").astype("str").str.strip()


def _keep_times(column: pd.Series) -> pd.Series:
    is_time = pd.api.types.is_datetime64_any_dtype(column.dtype)
    return column.reset_index(drop=True) if is_time else to_text(column)


def tidy_column(column: pd.Series, decimal: str = ".", mixed: bool = False) -> pd.Series:
    """A column of facts: float64 where every filled cell is a plain number, else text ("007" is text)."""
    text = to_text(column)
    values, bad = parse_numbers(column, decimal, mixed)
    if bad.any() or np.isnan(values).all() or text.str.match(r"[+-]?0\d").any():
        return text
    return pd.Series(values, name=column.name)


def open_table(file: SourceFile, has_header: bool = True) -> Table:
    """The table inside a text, Parquet or JSON file.

    Args:
        has_header: False where the first row may hold numbers, which may repeat; then only the text is of use.

    Raises:
        InputError: a file that holds no table, is too large, or has columns twice.
    """
    if file.kind == "Parquet":
        return _open_parquet(file)
    if file.kind == "JSON":
        return _open_geojson(file)
    if file.kind in ("text", "gzip"):
        return _open_csv(file, has_header)
    raise InputError(f"{file.name}: {file.kind} files hold no table of this kind. Use CSV, Parquet or GeoJSON.")


def check_columns(file: SourceFile, columns: Sequence[str]) -> None:
    """Refuse a table that names a column twice.

    Raises:
        InputError: naming the first such column.
    """
    twice = [c for c, count in Counter(columns).items() if c and count > 1]
    if twice:
        raise InputError(
            f"{file.name}, header: the column '{show(twice[0])}' stands there more than once. Give each column its own name."
        )


def _open_csv(file: SourceFile, has_header: bool) -> Table:
    text, notes = read_text(file)
    hint = re.match(rb"sep=(.)\r?\n", text)  # spreadsheets may put this before the header
    text = (text[hint.end() :] if hint else text).lstrip(b"\r\n")
    delimiter = hint[1].decode("latin-1") if hint else _find_delimiter(text)
    sample = io.StringIO(text[: 1 << 22].decode("utf-8", "replace"))
    rows = csv.reader(sample, delimiter=delimiter, skipinitialspace=True)
    try:
        header = [c.strip() for c in next(rows)]
        second = next((r for r in rows if r), None)
    except csv.Error as error:
        raise InputError(f"{file.name}: the first rows cannot be read ({show(error)}). Check delimiters and quotes.") from None
    file.check_cells(max(text.count(b"\n"), text.count(b"\r")), len(header))
    if has_header:
        check_columns(file, header)
    if second is None:
        raise InputError(f"{file.name}: there are no rows below the header. Export it again.")
    if len(second) > len(header):
        raise InputError(
            f"{file.name}, row 2: {len(second)} cells, but the header has {len(header)}. Name every column in the header."
        )
    decimal, mixed, more = _decimals(file, text, delimiter)
    notes += more
    if delimiter != "," or decimal == ",":
        words = {"\t": "tabs"}.get(delimiter, f"'{delimiter}'")
        notes += (f"{file.name}: columns are parted by {words}, decimals by '{decimal}'.",)
    notes += _short_rows(file, text, delimiter, len(header))
    return Table(file, _name_blanks(header), notes, text=text, delimiter=delimiter, decimal=decimal, mixed=mixed)


def _decimals(file: SourceFile, text: bytes, delimiter: str) -> tuple[str, bool, tuple[str, ...]]:
    """The usual decimal sign of the cells, whether some have the other one, and then where the first of these stands."""
    parting = (delimiter.encode(),) * 2
    comma = rb'"[+-]?\d+,\d+"' if delimiter == "," else rb"(?:^|[%b\n\"])\s*[+-]?\d+,\d+\s*(?=[%b\r\n\"]|$)" % parting
    if not re.search(comma, text):
        return ".", False, ()
    point = rb"(?:[%b\n\"])\s*[+-]?\d+\.\d+\s*(?=[%b\r\n\"]|$)" % parting
    if not re.search(point, text):
        return ",", False, ()
    start = text[: 1 << 22]
    decimal, odd, pattern = (
        (".", ",", comma) if len(re.findall(comma, start)) <= len(re.findall(point, start)) else (",", ".", point)
    )
    first = re.search(pattern, text)
    row = text.count(b"\n", 0, first.end()) + 1
    cell = show(first[0].decode("utf-8", "replace").strip('\n"\t ;|'), 20)
    return (
        decimal,
        True,
        (f"{file.name}, row {row}: the decimal sign '{odd}' among others with '{decimal}', first '{cell}'; read alike.",),
    )


def _short_rows(file: SourceFile, text: bytes, delimiter: str, n_columns: int) -> tuple[str, ...]:
    """A note on rows with fewer cells than the header, as a cut-off file has; quoted text is not looked into."""
    parting = delimiter.encode()
    if b'"' in text or text.count(parting) == (text.strip().count(b"\n") + 1) * (n_columns - 1):
        return ()
    short = [i for i, line in enumerate(text.splitlines(), 1) if line.strip() and line.count(parting) < n_columns - 1]
    if not short:
        return ()
    return (f"{file.name}, row {short[0]}: fewer cells than the header ({len(short)} such rows); the rest counts as missing.",)


def _name_blanks(header: list[str]) -> tuple[str, ...]:
    """Columns without a name get one, since every column needs its own."""
    return tuple(c or ("" if i == 0 else f"unnamed {i + 1}") for i, c in enumerate(header))


def _find_delimiter(text: bytes) -> str:
    """The delimiter that parts the header, and parts the next rows as often."""
    lines = [re.sub(rb'"[^"]*"', b"", line) for line in text[: 1 << 20].splitlines() if line.strip()][:6]
    counts = {d: [line.count(d.encode()) for line in lines] for d in (",", ";", "\t", "|")}
    return max(counts, key=lambda d: (counts[d][0] > 0, len(set(counts[d])) == 1, counts[d][0]))


def _open_parquet(file: SourceFile) -> Table:
    try:
        with file.open() as handle:
            stored = pq.ParquetFile(handle)
            meta, schema = stored.metadata, stored.schema_arrow
            columns = [str(c) for c in schema.names]
        unpacked = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        if unpacked > file.limits.unpacked_bytes:
            raise InputError(f"{file.name}: unpacks to more than {file.limits.unpacked_bytes >> 20:,} MiB. Split it.")
        file.check_cells(meta.num_rows, len(columns))
        check_columns(file, columns)
        with file.open() as handle:
            is_geo = b"geo" in (schema.metadata or {})
            frame = gpd.read_parquet(handle) if is_geo else pd.read_parquet(handle)
    except InputError:
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{file.name}: damaged Parquet ({show(error, 60)}). Export it again.") from None
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    notes: tuple[str, ...] = ()
    if is_geo:
        frame, notes = _places_of(frame, file)
    frame.columns = [str(c).strip() for c in frame.columns]
    check_columns(file, list(frame.columns))
    if not len(frame):
        raise InputError(f"{file.name}: the table has no rows. Export it again.")
    return Table(file, tuple(frame.columns), notes, frame=frame, first_row=1)


def _places_of(frame: gpd.GeoDataFrame, file: SourceFile) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Points of a GeoParquet as columns lat and lon in WGS84."""
    if not (frame.geometry.geom_type == "Point").all():
        raise InputError(f"{file.name}: every geometry must be a point. Export the sensors' places only.")
    notes: tuple[str, ...] = ()
    if frame.crs is not None and frame.crs.to_epsg() != 4326:
        notes = (f"{file.name}: places converted from {frame.crs.to_string()} to WGS84.",)
        frame = frame.to_crs(4326)
    table = pd.DataFrame(frame.drop(columns=[frame.geometry.name, "lat", "lon"], errors="ignore"))
    return table.assign(lat=frame.geometry.y.to_numpy(), lon=frame.geometry.x.to_numpy()), notes


def _open_geojson(file: SourceFile) -> Table:
    data = read_json(file)
    features = data.get("features") if isinstance(data, dict) else None
    if not isinstance(features, list) or not features:
        raise InputError(f"{file.name}: holds no GeoJSON FeatureCollection with points. Export the sensors as GeoJSON points.")
    file.check_cells(len(features), 3)
    rows = [_point(feature, i + 1, file) for i, feature in enumerate(features)]
    frame = pd.DataFrame(rows)
    frame.columns = [str(c).strip() for c in frame.columns]
    check_columns(file, list(frame.columns))
    notes: tuple[str, ...] = ()
    crs = re.search(r"EPSG:+(\d+)$", str(data.get("crs") or "").rstrip("'}] "))
    if crs and crs[1] not in ("4326",):
        points = gpd.GeoSeries(gpd.points_from_xy(frame["lon"], frame["lat"]), crs=int(crs[1])).to_crs(4326)
        frame["lon"], frame["lat"] = points.x, points.y
        notes = (f"{file.name}: places converted from EPSG:{crs[1]} to WGS84.",)
    return Table(file, tuple(frame.columns), notes, frame=frame, first_row=1)


def _point(feature: Any, number: int, file: SourceFile) -> dict[str, Any]:
    """One GeoJSON feature as a row."""
    where = f"{file.name}, feature {number}"
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    if not isinstance(geometry, dict) or geometry.get("type") != "Point":
        raise InputError(f"{where}: is not a point. Export the sensors' places only.")
    place = geometry.get("coordinates")
    if not isinstance(place, list) or len(place) < 2 or not all(isinstance(x, int | float) for x in place[:2]):
        raise InputError(f"{where}: the coordinates are not [longitude, latitude]. Export it again.")
    facts = feature.get("properties") or {}
    if not isinstance(facts, dict):
        raise InputError(f"{where}: the properties are not names and values. Export it again.")
    flat = {k: v for k, v in facts.items() if not isinstance(v, list | dict) and k not in ("lat", "lon")}
    own_id = {"id": feature["id"]} if "id" in feature and "id" not in flat else {}
    return own_id | flat | {"lat": float(place[1]), "lon": float(place[0])}
