"""Read one table of a checked file, CSV, Parquet or GeoJSON points: texts stay texts, numbers are checked cell by cell."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stvlm.io.geojson import read_points
from stvlm.io.parquet import read_parquet
from stvlm.io.source import InputError, SourceFile, read_text, show
from stvlm.io.text import check_lengths, tidy, told, writable

MISSING = ("", "NA", "N/A", "NaN", "nan", "NAN", "null", "NULL", "None", "none", "-")
BLOCK = 1_000_000  # cells looked at in one go
WIDE = 1000  # columns of numbers; with more, a list of missing words for each takes longer than the reading
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")


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
            columns = {c: _keep_times(self.frame[c]) for c in texts} | self._numbers(numbers)
            return pd.DataFrame(columns, index=pd.RangeIndex(len(self.frame)))
        is_wide = len(numbers) > WIDE
        missing = list(MISSING) if is_wide else {c: [] if c in texts else list(MISSING) for c in self.columns}
        types = dict.fromkeys(self.columns, "str") | dict.fromkeys(numbers, np.dtype("float32"))
        try:
            table = self._parse(types, missing)
        except ValueError as error:  # some cell is no number: read all as text to say which
            if isinstance(error, InputError):
                raise
            return self._as_frame().read(texts, numbers)
        values = pd.DataFrame(table[numbers].to_numpy(dtype="float32"), columns=numbers)  # in one piece, where pandas holds columns
        words = self._parse(dict.fromkeys(texts, "str"), {}, usecols=texts) if is_wide else table[texts]
        if numbers and np.isinf(values.to_numpy()).any():
            return self._as_frame().read(texts, numbers)
        words = pd.DataFrame({c: words[c].fillna("").str.strip() for c in texts}, index=values.index)
        return pd.concat([words, values], axis=1)

    def head(self, n_rows: int) -> pd.DataFrame:
        """The first rows, every cell as text.

        Raises:
            InputError: rows of unequal length.
        """
        if self.frame is not None:
            return self.frame.head(n_rows).astype("str")
        return self._parse(dict.fromkeys(self.columns, "str"), {c: [] for c in self.columns}, n_rows)

    def _as_frame(self) -> Table:
        table = self._parse(dict.fromkeys(self.columns, "object"), {})  # a thousand columns of "str" take seconds to make
        return Table(self.file, self.columns, frame=table, decimal=self.decimal, first_row=self.first_row, mixed=self.mixed)

    def _parse(
        self,
        types: dict[str, str | np.dtype],
        missing: list[str] | dict[str, list[str]],
        n_rows: int | None = None,
        usecols: list[str] | None = None,
    ) -> pd.DataFrame:
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
                usecols=usecols,
                keep_default_na=False,
                skipinitialspace=True,
                nrows=n_rows,
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

    def _numbers(self, names: list[str]) -> dict[str, np.ndarray]:
        """Columns of the frame as float32. Texts are looked at many columns at a time, for each look takes a millisecond."""
        frame = self.frame if self.frame is not None else pd.DataFrame()
        is_number = {c: pd.api.types.is_numeric_dtype(kind) for c, kind in frame[names].dtypes.items()}
        columns = {c: self._checked(frame[c], c) for c in names if is_number[c]}
        words, n_rows = [c for c in names if not is_number[c]], len(frame)
        width = max(1, BLOCK // max(n_rows, 1))
        for start in range(0, len(words), width):
            block = words[start : start + width]
            cells = pd.Series(frame[block].to_numpy(dtype="object").ravel(order="F"))
            values, bad = parse_numbers(cells, self.decimal, self.mixed)
            with np.errstate(over="ignore"):
                numbers = values.astype("float32")
            wrong = (bad | np.isinf(numbers)).reshape(-1, n_rows).any(axis=1)
            if wrong.any():
                i = int(wrong.argmax())
                self._checked(cells[i * n_rows : (i + 1) * n_rows], block[i])
            columns |= zip(block, numbers.reshape(-1, n_rows), strict=True)
        return {c: columns[c] for c in names}

    def _checked(self, cells: pd.Series, name: str) -> np.ndarray:
        """(n,) float32 of one column."""
        values, bad = parse_numbers(cells, self.decimal, self.mixed)
        with np.errstate(over="ignore"):
            numbers = values.astype("float32")
        bad |= np.isinf(numbers)
        if bad.any():
            i, n = int(bad.argmax()), int(bad.sum())
            more = f" (and {n - 1} more in this column)" if n > 1 else ""
            raise InputError(
                f"{self.file.name}, row {i + self.first_row}, column '{show(name)}': "
                f"'{show(cells.iloc[i])}' is not a number{more}. Correct it or leave the cell empty."
            )
        return numbers


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
    values = [writable(v) for v in column.astype("object")]
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
    if file.kind in ("Parquet", "JSON"):
        return _open_whole(file)
    if file.kind in ("text", "gzip"):
        return _open_csv(file, has_header)
    raise InputError(f"{file.name}: {file.kind} files hold no table of this kind. Use CSV, Parquet or GeoJSON.")


def check_columns(file: SourceFile, columns: Sequence[str]) -> None:
    """Refuse a table that names a column twice, or too long.

    Raises:
        InputError: naming the first such column, or one with a name without end.
    """
    check_lengths(columns, f"{file.name}, header: a column name")
    twice = [c for c, count in Counter(columns).items() if c and count > 1]
    if twice:
        raise InputError(
            f"{file.name}, header: the column '{show(twice[0])}' stands there more than once. Give each column its own name."
        )


def _open_csv(file: SourceFile, has_header: bool) -> Table:
    text, notes = read_text(file)
    hint = re.match(rb"sep=([,;\t|])\r?\n", text)  # spreadsheets may put this before the header
    text = (text[hint.end() :] if hint else text).lstrip(b"\r\n")
    delimiter = hint[1].decode("latin-1") if hint else _find_delimiter(text)
    sample = io.StringIO(text[: 1 << 22].decode("utf-8", "replace"))
    rows = csv.reader(sample, delimiter=delimiter, skipinitialspace=True)
    try:
        written = [c.strip() for c in next(rows)]
        second = next((r for r in rows if r), None)
    except csv.Error as error:
        raise InputError(f"{file.name}: the first rows cannot be read ({show(error)}). Check delimiters and quotes.") from None
    header = [tidy(c) for c in written]
    file.check_cells(max(text.count(b"\n"), text.count(b"\r")), len(header))
    if has_header:
        check_columns(file, header)
    notes += told(f"{file.name}, header", written, header)
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
    sign = delimiter.encode()
    number = rb"[ \t]{0,20}[+-]?\d{1,40}%b\d{1,40}[ \t]{0,20}"  # bounded, so that no text makes the search long
    comma = rb'"[+-]?\d{1,40},\d{1,40}"' if sign == b"," else rb"(?:^|[%b\n\"])%b(?=[%b\r\n\"]|$)" % (sign, number % b",", sign)
    if not re.search(comma, text):
        return ".", False, ()
    point = rb"(?:[%b\n\"])%b(?=[%b\r\n\"]|$)" % (sign, number % rb"\.", sign)
    if not re.search(point, text):
        return ",", False, ()
    start = text[: 1 << 22]
    decimal, odd, pattern = (
        (".", ",", comma) if len(re.findall(comma, start)) <= len(re.findall(point, start)) else (",", ".", point)
    )
    first = re.search(pattern, text)
    assert first is not None  # noqa: S101  both kinds of number were found above
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


def _open_whole(file: SourceFile) -> Table:
    """A table that comes with all its cells: Parquet, GeoJSON points."""
    frame, notes = read_parquet(file) if file.kind == "Parquet" else read_points(file)
    names = [tidy(str(c).strip()) for c in frame.columns]
    notes += told(f"{file.name}, header", list(frame.columns), names)
    frame.columns = names
    check_columns(file, names)
    if not len(frame):
        raise InputError(f"{file.name}: the table has no rows. Export it again.")
    return Table(file, tuple(names), notes, frame=frame, first_row=1)
