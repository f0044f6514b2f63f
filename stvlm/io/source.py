"""Open a file that nobody vouches for: its size, its kind and its text are checked before anything parses it."""

from __future__ import annotations

import codecs
import io
import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stvlm.runtime.memory import BYTES_PER_CELL, MemoryShortError, need

Source = Path | str | tuple[str, bytes]

JSON_DEPTH = 32
MOST_FACTS = 500  # columns of a table beside those that are needed
KINDS = {  # file ending -> what must be inside
    ".csv": "text",
    ".tsv": "text",
    ".txt": "text",
    ".asc": "text",
    ".gz": "gzip",
    ".parquet": "Parquet",
    ".geoparquet": "Parquet",
    ".geojson": "JSON",
    ".json": "JSON",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".hdf": "HDF5",
    ".npz": "zip",
}
MAGIC = (
    (b"PAR1", "Parquet"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\x93NUMPY", "npy"),
    (b"\xd0\xcf\x11\xe0", "old Excel"),
    (b"SQLite format 3", "SQLite"),
    (b"%PDF-", "PDF"),
    (b"#!", "a script"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\0", "a program"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"7z\xbc\xaf\x27\x1c", "an archive"),
    (b"\xfd7zXZ\0", "an archive"),
    (b"BZh", "an archive"),
    (b"\x28\xb5\x2f\xfd", "an archive"),
    (codecs.BOM_UTF32_LE, "binary data"),  # begins as UTF-16 does
)
CHUNK = 1 << 22


class InputError(ValueError):
    """Files that cannot be used as they are.

    Attributes:
        problems: one clear line each: the file, the place in it, and the cure.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Limits:
    """How much a file may ask of this machine.

    Attributes:
        file_bytes: as stored. unpacked_bytes: after decompression.
        cells: rows times columns. columns, rows: of one table. json_values: numbers, texts, lists and objects of one JSON file.
    """

    file_bytes: int
    unpacked_bytes: int
    cells: int
    columns: int = 100_000
    rows: int = 1_000_000_000
    json_values: int = 50_000_000


FOR_PATHS = Limits(file_bytes=16 << 30, unpacked_bytes=32 << 30, cells=2_000_000_000)
FOR_UPLOADS = Limits(
    file_bytes=256 << 20, unpacked_bytes=1 << 29, cells=100_000_000, columns=20_000, rows=10_000_000, json_values=3_000_000
)


@dataclass(frozen=True)
class SourceFile:
    """One file, by path or as the bytes of an upload.

    Attributes:
        name: for messages only, never a path. suffix: lower case, ".csv".
        kind: what its first bytes say it holds. size: bytes.
    """

    name: str
    suffix: str
    kind: str
    size: int
    limits: Limits
    content: Path | bytes

    def open(self) -> BinaryIO:
        """A fresh handle at the first byte."""
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb")

    def read(self) -> bytes:
        """All bytes, as stored."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()

    def check_cells(self, rows: int, columns: int) -> None:
        """Refuse a table that is too large, before it is read.

        Raises:
            InputError: more cells, rows or columns than the limits allow, or than memory has room for.
        """
        if rows > self.limits.rows:
            raise InputError(f"{self.name}: {rows:,} rows; at most {self.limits.rows:,} are read. Split the file.")
        if columns > self.limits.columns:
            raise InputError(f"{self.name}: {columns:,} columns; at most {self.limits.columns:,} are read. Split the file.")
        if rows * columns > self.limits.cells:
            raise InputError(
                f"{self.name}: {rows:,} rows x {columns:,} columns is over {self.limits.cells:,} cells. Split the file."
            )
        try:
            need(rows * columns * BYTES_PER_CELL, f"{self.name}: reading {rows:,} rows x {columns:,} columns", "Split the file.")
        except MemoryShortError as error:
            raise InputError(str(error)) from None


def open_source(source: Source) -> SourceFile:
    """Look at a file from outside: is it there, is it small enough, does it hold what its name says?

    Args:
        source: a path, or (file name, bytes) of an upload.

    Raises:
        InputError: absent, empty, too large, of an unknown kind, or content that disagrees with the name.
    """
    if isinstance(source, tuple):
        raw_name, given = source
        content: bytes | Path = bytes(given)
        limits, size = FOR_UPLOADS, len(given)
    else:
        content = path = Path(source)
        raw_name, limits = path.name, FOR_PATHS
        if not path.is_file():
            raise InputError(f"{show(raw_name)}: there is no such file in {path.parent}.")
        size = path.stat().st_size
    name = show(re.split(r"[\\/]", raw_name)[-1], 80)
    suffix = Path(raw_name.lower()).suffix
    if size == 0:
        raise InputError(f"{name}: the file is empty. Export it again.")
    if size > limits.file_bytes:
        raise InputError(
            f"{name}: {size >> 20:,} MiB; at most {limits.file_bytes >> 20:,} MiB are read. Split it or save it as Parquet."
        )
    if suffix not in KINDS:
        raise InputError(f"{name}: files ending in '{show(suffix)}' are not read. {_cure(suffix)}")
    head = content[:4096] if isinstance(content, bytes) else _head(content)
    kind = sniff(head)
    if kind != KINDS[suffix]:
        raise InputError(f"{name}: the name says {KINDS[suffix]}, but the content is {kind}. {_cure(suffix)}")
    return SourceFile(name, suffix, kind, size, limits, content)


def _head(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(4096)


def _cure(suffix: str) -> str:
    if suffix in (".xlsx", ".xls"):
        return "Save the sheet as CSV."
    if suffix in (".pkl", ".pickle"):
        return "A pickle can run code when it is opened; save it as CSV, Parquet or .npz."
    if suffix in (".shp", ".gpkg", ".kml", ".zip"):
        return "Export it as GeoJSON or CSV."
    return "Export it again as CSV, CSV.gz, Parquet, GeoJSON, .h5 or .npz, with the matching ending."


def sniff(head: bytes) -> str:
    """What the first bytes say a file holds: "text", "JSON", "Parquet", "HDF5", "zip", "gzip" and others."""
    for magic, kind in MAGIC:
        if head.startswith(magic):
            return kind
    if re.match(rb"\x80[\x02-\x05]", head):
        return "a Python pickle"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "text"
    if b"\0" in head:
        return "binary data"
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if start.startswith(b"<"):
        return "XML or HTML"
    return "JSON" if start.startswith((b"{", b"[")) else "text"


def read_text(file: SourceFile) -> tuple[bytes, tuple[str, ...]]:
    """The text of a file as plain UTF-8.

    Returns:
        data: UTF-8 bytes without a byte order mark.
        notes: what had to be guessed.

    Raises:
        InputError: a gzip that is damaged, too large when unpacked, or holds no text; text without a known encoding.
    """
    data = _unpack(file) if file.kind == "gzip" else file.read()
    if not data[:CHUNK].strip() and not data.strip():
        raise InputError(f"{file.name}: the file is empty. Export it again.")
    if file.kind == "gzip" and sniff(data[:4096]) != "text":
        raise InputError(f"{file.name}: unpacked, it holds {sniff(data[:4096])}, not CSV text. Only CSV may be gzipped.")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _recode(data, "utf-16"), (f"{file.name}: read as UTF-16.",)
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\0" in data:
        raise InputError(f"{file.name}: holds binary zeros, so it is no text. Export it again as CSV.")
    try:
        check = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, len(data), CHUNK):  # in pieces: the whole text may need four times the memory
            check.decode(data[start : start + CHUNK], final=start + CHUNK >= len(data))
    except UnicodeDecodeError:
        return _recode(data, "cp1252"), (f"{file.name}: not UTF-8; read as Latin-1 (Windows-1252).",)
    return data, ()


def _recode(data: bytes, encoding: str) -> bytes:
    """Text of another encoding as UTF-8; what cannot be read becomes a question mark in a black diamond."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    starts = range(0, len(data), CHUNK)
    return b"".join(decoder.decode(data[i : i + CHUNK], final=i + CHUNK >= len(data)).encode("utf-8", "replace") for i in starts)


def _unpack(file: SourceFile) -> bytes:
    """Unpack a gzip piece by piece, so that a small file cannot fill the memory."""
    unpacked, unpacker = io.BytesIO(), zlib.decompressobj(wbits=31)
    members, most_members = 1, 1000 + file.size // 1024
    with file.open() as handle:
        rest = handle.read(1 << 16)
        while rest:
            try:
                unpacked.write(unpacker.decompress(rest, CHUNK))
            except zlib.error:
                raise InputError(f"{file.name}: the gzip data is damaged. Copy or export the file again.") from None
            if unpacked.tell() > file.limits.unpacked_bytes:
                raise InputError(
                    f"{file.name}: unpacks to more than {file.limits.unpacked_bytes >> 20:,} MiB. Split it or save it as Parquet."
                )
            if unpacker.eof:  # a gzip may hold several members
                rest = unpacker.unused_data.lstrip(b"\0") or handle.read(1 << 16)
                members += 1
                if members > most_members:
                    raise InputError(f"{file.name}: the gzip data is in more than {most_members:,} pieces. Export the file again.")
                unpacker = zlib.decompressobj(wbits=31) if rest else unpacker
            else:
                rest = unpacker.unconsumed_tail or handle.read(1 << 16)
    if not unpacker.eof:
        raise InputError(f"{file.name}: the gzip data ends too early. Copy or export the file again.")
    return unpacked.getvalue()


def read_json(file: SourceFile) -> Any:
    """Parse a JSON file of limited depth and size.

    Raises:
        InputError: nested too deep, too many values, or not JSON.
    """
    data, _ = read_text(file)
    check_json(data, file.name, file.limits.json_values)
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except ValueError as error:
        raise InputError(f"{file.name}: not valid JSON ({show(str(error), 80)}). Export it again.") from None


def check_json(data: bytes, name: str, most_values: int) -> None:
    """Refuse JSON that would become many objects in memory, before it is parsed.

    Args:
        data: the text; it need not be JSON. name: of the file, for messages. most_values: numbers, texts, lists and objects.

    Raises:
        InputError: nested too deep, or too many values.
    """
    bare = re.sub(rb'"(?:[^"\\]++|\\.)*+"?', b"", data, flags=re.DOTALL)  # the signs outside of texts; nothing is looked at twice
    depth, values = 0, 0
    for start in range(0, len(bare), CHUNK):
        signs = np.frombuffer(bare[start : start + CHUNK], dtype="uint8")
        opens = np.isin(signs, list(b"{["))
        levels = depth + np.cumsum(opens.astype("int8") - np.isin(signs, list(b"}]")).astype("int8"), dtype="int32")
        depth, values = int(levels[-1]), values + int(opens.sum() + (signs == ord(",")).sum())
        if levels.max() > JSON_DEPTH:
            raise InputError(f"{name}: nested more than {JSON_DEPTH} levels deep. Export plain GeoJSON.")
        if values > most_values:
            raise InputError(f"{name}: more than {most_values:,} values. Leave out what is not needed, or use CSV.")


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not a JSON number")


def show(value: object, width: int = 40) -> str:
    """A value from a file as harmless short text for a message."""
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return text if len(text) <= width else text[: width - 1] + "…"
