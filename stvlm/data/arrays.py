"""Readings from array files, METR-LA style .h5 and PEMS .npz, without pickle and without links to other files."""

from __future__ import annotations

import re
import zipfile

import h5py
import numpy as np
import pandas as pd

from stvlm.data.files import InputError, SourceFile, show
from stvlm.data.tables import to_text
from stvlm.data.times import YEARS, Clock, parse_times


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
            blocks = sorted(k for k in group if re.fullmatch(r"block\d+_values", k))
            parts = []
            for block in blocks:
                values = _h5_array(group, block, file)
                if values.ndim != 2 or len(values) != len(times) or values.dtype.kind not in "fiu":
                    raise InputError(
                        f"{file.name}, {block}: must be numbers, one row per time. Save it again with to_hdf(format='fixed')."
                    )
                parts.append(pd.DataFrame(values.astype("float32"), columns=_h5_ids(group, block.replace("values", "items"), file)))
            order = _h5_ids(group, "axis0", file)
    except InputError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError) as error:
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
    for key in stored:
        if not isinstance(stored.get(key, getlink=True), h5py.HardLink):
            raise InputError(f"{file.name}, {show(key)}: is a link. Save the readings in the file itself.")
        group = stored[key]
        if isinstance(group, h5py.Group) and {"axis0", "axis1", "block0_values", "block0_items"} <= set(group):
            return group
    raise InputError(
        f"{file.name}: holds no table with axis0, axis1 and block0_values. Save it with to_hdf(format='fixed'), or as Parquet."
    )


def _h5_array(group: h5py.Group, key: str, file: SourceFile) -> np.ndarray:
    """One dataset of the file itself, after its size was checked."""
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
    if data.size * data.dtype.itemsize > file.limits.unpacked_bytes or data.size > file.limits.cells:
        raise InputError(f"{where}: {data.size:,} numbers are too many. Split the file.")
    return data[()]


def _h5_times(group: h5py.Group, file: SourceFile) -> np.ndarray:
    """(rows,) datetime64[s]; the unit stands in the attribute `kind`, nanoseconds where it does not."""
    kind = group["axis1"].attrs.get("kind", b"datetime64")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    stamps = _h5_array(group, "axis1", file)
    if not kind.startswith("datetime64") or stamps.dtype.kind not in "iu" or stamps.ndim != 1:
        raise InputError(f"{file.name}, axis1: holds no times but '{show(kind)}'. Save the readings with times as the index.")
    unit = re.search(r"\[(s|ms|us|ns)\]", kind)
    times = stamps.astype("int64").astype(f"datetime64[{unit[1] if unit else 'ns'}]").astype("datetime64[s]")
    years = times.astype("datetime64[Y]").astype("int64") + 1970
    if len(years) and (years.min() < YEARS[0] or years.max() > YEARS[1]):
        raise InputError(f"{file.name}, axis1: the year {years[0]} cannot be right. Save the readings with times as the index.")
    return times


def _h5_ids(group: h5py.Group, key: str, file: SourceFile) -> list[str]:
    return list(to_text(pd.Series(list(_h5_array(group, key, file)))))


def read_npz(file: SourceFile, ids: tuple[str, ...], start: str | None, step_minutes: float | None) -> tuple[pd.DataFrame, Clock]:
    """Readings of a PEMS style .npz: an array `data` of (times, sensors, channels), of which channel 0 is taken.

    Args:
        ids: of the sensor table; the columns follow its order.
        start: time of the first reading. step_minutes: minutes between two.

    Raises:
        InputError: no such array, pickled, too large, damaged, as many sensors as the table has not, or no start and step.
    """
    values, channels = _npz_values(file)
    if start is None or not step_minutes or step_minutes <= 0:
        raise InputError(f"{file.name}: holds no times. Give the start and the minutes between two readings.")
    if ids and values.shape[1] != len(ids):
        raise InputError(
            f"{file.name}: {values.shape[1]} sensors, but the sensor table has {len(ids)}. Give both the same sensors in one order."
        )
    first = parse_times(pd.Series([start], name="start"), file.name, 1)
    times = first.times[0] + np.arange(len(values)) * np.timedelta64(round(step_minutes * 60), "s")
    notes = (
        *first.notes,
        f"{file.name}: columns follow the order of the sensor table; times start at {start}, every {step_minutes:g} minutes.",
    )
    if channels > 1:
        notes += (f"{file.name}: the first of {channels} channels is read.",)
    columns = pd.Index(ids or [str(i) for i in range(values.shape[1])], dtype="str")
    readings = pd.DataFrame(values.astype("float32"), columns=columns, index=pd.DatetimeIndex(times, name="timestamp"))
    return readings, Clock(times, first.zoned, first.timezone, notes)


def _npz_values(file: SourceFile) -> tuple[np.ndarray, int]:
    """(times, sensors) numbers of channel 0, and the number of channels."""
    try:
        with file.open() as handle, zipfile.ZipFile(handle) as archive:
            members = {m.filename: m for m in archive.infolist()}
            if sum(m.file_size for m in members.values()) > file.limits.unpacked_bytes:
                raise InputError(f"{file.name}: unpacks to more than {file.limits.unpacked_bytes >> 20:,} MiB. Split it.")
            arrays = [n for n in members if n.endswith(".npy")]
            key = "data.npy" if "data.npy" in arrays else next(iter(arrays), "")
            if not key or (key != "data.npy" and len(arrays) > 1):
                raise InputError(f"{file.name}: holds no array named 'data'. Save it with np.savez(file, data=readings).")
            with archive.open(key) as member:
                values = _read_npy(member, members[key].file_size, file)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file.name}: damaged .npz ({show(error, 60)}). Copy or save it again.") from None
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise InputError(f"{file.name}: the array must be times x sensors [x channels], not {values.shape}. Save it again.")
    return (values[..., 0], values.shape[2]) if values.ndim == 3 else (values, 1)


def _read_npy(member: zipfile.ZipExtFile, size: int, file: SourceFile) -> np.ndarray:
    """A .npy member, after its header was compared with its size."""
    version = np.lib.format.read_magic(member)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(member)
    if dtype.kind not in "fiu":
        what = "pickled objects, which can run code" if dtype.hasobject else f"{dtype} instead of numbers"
        raise InputError(f"{file.name}: holds {what}. Save plain numbers with np.savez.")
    count = int(np.prod(shape, dtype="object"))
    if count * dtype.itemsize > size:
        raise InputError(f"{file.name}: says {shape}, but holds fewer numbers. Save it again.")
    file.check_cells(count, 1)
    values = np.frombuffer(member.read(count * dtype.itemsize), dtype=dtype)
    return values.reshape(shape, order="F" if fortran else "C")
