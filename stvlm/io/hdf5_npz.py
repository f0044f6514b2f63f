"""Readings from array files, METR-LA style .h5 and PEMS .npz, without pickle and without links to other files."""

from __future__ import annotations

import math
import re
import struct
import tokenize
import zipfile
import zlib
from typing import IO, BinaryIO

import h5py
import numpy as np
import pandas as pd

from stvlm.io.source import InputError, SourceFile, show
from stvlm.io.table import to_text
from stvlm.io.text import LONGEST_NAME, check_lengths, tidy_column_of_names
from stvlm.io.timestamps import YEARS, Clock, parse_times

NEEDED = {"axis0", "axis1", "block0_values", "block0_items"}
HEADER_ERRORS = (SyntaxError, tokenize.TokenError)  # numpy reads a header as a literal of Python
DAMAGE = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, RuntimeError, OverflowError, MemoryError, *HEADER_ERRORS)
MOST_MEMBERS = 200  # of a file: groups and arrays
MOST_GROWTH, SMALL = 1100, 64 << 20  # deflate packs no tighter than 1032 : 1; what is small may be as it likes


def read_h5(file: SourceFile) -> tuple[pd.DataFrame, Clock]:
    """Readings of a pandas table in HDF5 (fixed format, as METR-LA and PEMS-BAY come).

    Returns:
        readings: (rows, sensors) float32, columns = ids. clock: their times.

    Raises:
        InputError: no such table, links or storage outside the file, pickled parts, too large, or damaged.
    """
    try:
        with file.open() as handle, h5py.File(handle, "r") as stored:
            group = _find_group(stored, file)
            times = _h5_times(group, file)
            blocks = sorted(k for k in group if re.fullmatch(r"block[0-9]{1,3}_values", k))
            shapes = [_checked(group, block, file).shape for block in blocks]
            if any(len(shape) != 2 or shape[0] != len(times) for shape in shapes):
                raise InputError(f"{file.name}: its blocks must have one row per time. Save it again with to_hdf(format='fixed').")
            file.check_cells(len(times), sum(columns for _, columns in shapes))
            parts = [_h5_block(group, block, file) for block in blocks]
            order = _h5_ids(group, "axis0", file)
    except InputError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise InputError(f"{file.name}: damaged HDF5 ({show(error, 60)}). Copy or export it again.") from None
    readings = pd.concat(parts, axis=1)
    twice = readings.columns[readings.columns.duplicated()]
    if len(twice) or set(order) != set(readings.columns):
        what = f"the sensor '{show(twice[0])}' stands there twice" if len(twice) else "axis0 and the blocks name other sensors"
        raise InputError(f"{file.name}: {what}. Give each column its own name.")
    readings = readings[order]
    readings.index = pd.DatetimeIndex(times, name="timestamp")
    return readings, Clock(times, notes=(f"{file.name}: read as a pandas table in HDF5.",))


def _find_group(stored: h5py.File, file: SourceFile) -> h5py.Group:
    """The group that holds the table; links that leave the file are refused."""
    if len(stored) > MOST_MEMBERS:
        raise InputError(f"{file.name}: holds {len(stored):,} parts instead of one table. Save the readings alone.")
    for key in stored:
        if not isinstance(stored.get(key, getlink=True), h5py.HardLink):
            raise InputError(f"{file.name}, {show(key)}: is a link. Save the readings in the file itself.")
        group = stored[key]
        if isinstance(group, h5py.Group) and len(group) <= MOST_MEMBERS and set(group) >= NEEDED:
            return group
    raise InputError(
        f"{file.name}: holds no table with axis0, axis1 and block0_values. Save it with to_hdf(format='fixed'), or as Parquet."
    )


def _checked(group: h5py.Group, key: str, file: SourceFile) -> h5py.Dataset:
    """One dataset of the file itself, unread, whose numbers and pieces are of a sane size and really there."""
    where = f"{file.name}, {key}"
    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        raise InputError(f"{where}: is a link. Save the readings in the file itself.")
    data = group[key]
    if not isinstance(data, h5py.Dataset):
        raise InputError(f"{where}: is no array. Save it with to_hdf(format='fixed'), or as Parquet.")
    if data.external or data.is_virtual:
        raise InputError(f"{where}: its numbers lie in another file. Save the readings in the file itself.")
    if data.dtype.kind not in "fiuS" and not h5py.check_string_dtype(data.dtype):
        raise InputError(f"{where}: is pickled, which can run code. Save it as Parquet or CSV.")
    size, piece = data.size * data.dtype.itemsize, math.prod(data.chunks or (0,)) * data.dtype.itemsize
    if size > file.limits.unpacked_bytes or data.size > file.limits.cells or (data.ndim and len(data) > file.limits.rows):
        raise InputError(f"{where}: {data.size:,} numbers are too many. Split the file.")
    if piece > max(2 * size, SMALL):
        raise InputError(f"{where}: is stored in pieces of {piece >> 20:,} MiB. Save it again without compression.")
    if size > SMALL and size > MOST_GROWTH * data.id.get_storage_size():
        raise InputError(f"{where}: promises {data.size:,} numbers, but hardly holds any. Save it again.")
    return data


def _h5_block(group: h5py.Group, block: str, file: SourceFile) -> pd.DataFrame:
    """(rows, sensors) float32 of one block."""
    data = _checked(group, block, file)
    if data.dtype.kind not in "fiu":
        raise InputError(f"{file.name}, {block}: must be numbers. Save it again with to_hdf(format='fixed').")
    names = _h5_ids(group, block.replace("values", "items"), file)
    return pd.DataFrame(as_readings(data[()], f"{file.name}, {block}"), columns=names)


def as_readings(values: np.ndarray, where: str) -> np.ndarray:
    """Numbers as float32, none of them infinite.

    Raises:
        InputError: naming how many are, or do not fit.
    """
    with np.errstate(over="ignore"):
        readings = values.astype("float32")
    endless = int(np.isinf(readings).sum())
    if endless:
        raise InputError(f"{where}: {endless:,} readings are infinite or too large. Correct them or leave them missing.")
    return readings


def _h5_times(group: h5py.Group, file: SourceFile) -> np.ndarray:
    """(rows,) datetime64[s]; the unit stands in the attribute `kind`, nanoseconds where it does not."""
    data = _checked(group, "axis1", file)
    stated = data.attrs.get("kind", b"datetime64")
    kind = stated.decode("utf-8", "replace") if isinstance(stated, bytes) else str(stated)
    if not kind.startswith("datetime64") or data.dtype.kind not in "iu" or data.ndim != 1:
        raise InputError(f"{file.name}, axis1: holds no times but '{show(kind)}'. Save the readings with times as the index.")
    unit = re.search(r"\[(s|ms|us|ns)\]", kind)
    times = data[()].astype("int64").astype(f"datetime64[{unit[1] if unit else 'ns'}]").astype("datetime64[s]")
    return check_years(times, f"{file.name}, axis1")


def check_years(times: np.ndarray, where: str) -> np.ndarray:
    """The times, (rows,) datetime64[s], if all lie in years that can be.

    Raises:
        InputError: naming the first that does not.
    """
    years = times.astype("datetime64[Y]").astype("int64") + 1970
    wrong = (years < YEARS[0]) | (years > YEARS[1])
    if wrong.any():
        raise InputError(f"{where}: the year {years[wrong.argmax()]} cannot be right. Save the readings with times as the index.")
    return times


def _h5_ids(group: h5py.Group, key: str, file: SourceFile) -> list[str]:
    """The ids of a block; texts of free length one by one, for each may be as long as the file."""
    data = _checked(group, key, file)
    if data.ndim != 1 or data.size > file.limits.columns:
        raise InputError(f"{file.name}, {key}: must name the sensors, not {data.shape}. Save it with to_hdf(format='fixed').")
    if data.dtype.kind == "S":
        check_lengths(["x" * min(data.dtype.itemsize, 10 * LONGEST_NAME)], f"{file.name}, {key}: an id")
        cells = list(data[()])
    elif h5py.check_string_dtype(data.dtype):
        cells = []
        for i in range(data.size):
            cells.append(data[i])
            check_lengths([cells[-1].decode("utf-8", "replace")], f"{file.name}, {key}: an id")
    else:
        cells = list(data[()])
    return list(tidy_column_of_names(to_text(pd.Series(cells))))


def read_npz(file: SourceFile, ids: tuple[str, ...], start: str | None, step_minutes: float | None) -> tuple[pd.DataFrame, Clock]:
    """Readings of a PEMS style .npz: an array `data` of (times, sensors, channels), of which channel 0 is taken.

    Args:
        ids: of the sensor table; the columns follow its order.
        start: time of the first reading. step_minutes: minutes between two.

    Raises:
        InputError: no such array, pickled, too large, damaged, as many sensors as the table has not, or no start and step.
    """
    values, channels = _npz_values(file)
    if start is None or not step_minutes or not 1 / 60 <= step_minutes <= 366 * 1440:
        raise InputError(f"{file.name}: holds no times. Give the start and the minutes between two readings.")
    if ids and values.shape[1] != len(ids):
        raise InputError(
            f"{file.name}: {values.shape[1]} sensors, but the sensor table has {len(ids)}. Give both the same sensors in one order."
        )
    first = parse_times(pd.Series([start], name="start"), file.name, 1)
    times = first.times[0] + np.arange(len(values)) * np.timedelta64(round(step_minutes * 60), "s")
    check_years(times[-1:], f"{file.name}, start and step")
    notes = (
        *first.notes,
        f"{file.name}: columns follow the order of the sensor table; times start at {start}, every {step_minutes:g} minutes.",
    )
    if channels > 1:
        notes += (f"{file.name}: the first of {channels} channels is read.",)
    columns = pd.Index(ids or [str(i) for i in range(values.shape[1])], dtype="str")
    readings = pd.DataFrame(as_readings(values, file.name), columns=columns, index=pd.DatetimeIndex(times, name="timestamp"))
    return readings, Clock(times, first.zoned, first.timezone, notes)


def _npz_values(file: SourceFile) -> tuple[np.ndarray, int]:
    """(times, sensors) numbers of channel 0, and the number of channels."""
    try:
        with file.open() as handle, zipfile.ZipFile(_few_members(handle, file)) as archive:
            members = {m.filename: m for m in archive.infolist()}
            if sum(m.file_size for m in members.values()) > file.limits.unpacked_bytes:
                raise InputError(f"{file.name}: unpacks to more than {file.limits.unpacked_bytes >> 20:,} MiB. Split it.")
            arrays = [n for n in members if n.endswith(".npy")]
            key = "data.npy" if "data.npy" in arrays else next(iter(arrays), "")
            if not key or (key != "data.npy" and len(arrays) > 1):
                raise InputError(f"{file.name}: holds no array named 'data'. Save it with np.savez(file, data=readings).")
            if members[key].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a limit
                raise InputError(f"{file.name}: is packed in an unusual way. Save it with np.savez or np.savez_compressed.")
            with archive.open(key) as member:
                values = _read_npy(member, members[key].file_size, file)
    except DAMAGE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file.name}: damaged .npz ({show(error, 60)}). Copy or save it again.") from None
    return (values[..., 0], values.shape[2]) if values.ndim == 3 else (values, 1)


def _few_members(handle: BinaryIO, file: SourceFile) -> BinaryIO:
    """The archive, if its table of contents is short: `zipfile` reads all of it at once."""
    handle.seek(max(file.size - (1 << 16) - 22, 0))
    end = handle.read()
    place = end.rfind(b"PK\x05\x06")
    if place < 0 or len(end) < place + 22:
        raise zipfile.BadZipFile("no table of contents")
    count, size = struct.unpack_from("<10xHL", end, place)
    if count > MOST_MEMBERS or size > MOST_MEMBERS * 1024:  # the largest values stand for a longer table elsewhere
        raise InputError(f"{file.name}: holds more than {MOST_MEMBERS} arrays. Save the readings alone.")
    handle.seek(0)
    return handle


def _read_npy(member: IO[bytes], size: int, file: SourceFile) -> np.ndarray:
    """A .npy member, after its header was compared with its size."""
    version = np.lib.format.read_magic(member)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(member)
    if dtype.kind not in "fiu":
        what = "pickled objects, which can run code" if dtype.hasobject else f"{dtype} instead of numbers"
        raise InputError(f"{file.name}: holds {what}. Save plain numbers with np.savez.")
    if len(shape) not in (2, 3) or any(type(side) is not int or side < 1 for side in shape):  # numpy's header lets True pass
        raise InputError(f"{file.name}: the array must be times x sensors [x channels], not {shape}. Save it again.")
    count = math.prod(shape)
    if count * dtype.itemsize > size:
        raise InputError(f"{file.name}: says {shape}, but holds fewer numbers. Save it again.")
    file.check_cells(shape[0], math.prod(shape[1:]))
    values = np.frombuffer(member.read(count * dtype.itemsize), dtype=dtype)
    return values.reshape(shape, order="F" if fortran else "C")
