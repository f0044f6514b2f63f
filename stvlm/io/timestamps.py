"""Read times as people write them, and refuse to guess where a date could mean two days."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stvlm.io.source import InputError, show

HOUR = r"\d{1,2}(?::?\d{2}(?::?\d{2}(?:[.,]\d+)?)?)?"
ISO = rf"^(\d{{4}}[-/.]?\d{{1,2}}[-/.]?\d{{1,2}})(?:[T ]\s*({HOUR})\s*(Z|[+-]\d{{2}}(?::?\d{{2}})?)?)?$"
SLASHED = r"^(\d{1,2})([./-])(\d{1,2})[./-](\d{4})(?:[T ,]+(\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)\s*([AaPp][Mm])?)?$"
HOURS = r"1[789]\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])"  # 1999010100: an hour, or seconds since 1970
YEARS = (1700, 2200)


@dataclass(frozen=True)
class Clock:
    """Times as read.

    Attributes:
        times: (n,) datetime64[s]; UTC where the file named a zone, else the file's own clock.
        zoned: True where the file named a zone.
        timezone: IANA name of that zone, "" where the file named none or only offsets that have no name.
        notes: what was recognised.
    """

    times: np.ndarray
    zoned: bool = False
    timezone: str = ""
    notes: tuple[str, ...] = ()


def is_newest_first(times: np.ndarray) -> bool:
    """Whether times (n,) fall more often than they rise."""
    steps = np.diff(times.astype("datetime64[s]").astype("int64"))
    return bool((steps < 0).sum() > (steps > 0).sum())


def parse_times(column: pd.Series, name: str, first_row: int = 2) -> Clock:
    """Read a column of times: ISO, date only, day first or month first where one reading is possible, or seconds since 1970.

    Args:
        column: (n,) text, numbers or datetimes.
        name: of the file, for messages. first_row: row number in the file of the first entry.

    Raises:
        InputError: an entry that is no time, mixed spellings, or dates that could mean two days.
    """
    place = f"{name}, column '{show(column.name)}'"
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        zone = str(column.dt.tz)
        clock = Clock(_seconds(column.dt.tz_convert("UTC").dt.tz_localize(None)), True, zone if "/" in zone else "")
        clock = Clock(clock.times, True, clock.timezone, (f"{place}: times of zone {zone}, converted to UTC.",))
    elif pd.api.types.is_datetime64_dtype(column.dtype):
        clock = Clock(_seconds(column))
    else:
        text = column.astype("str").str.strip()
        codes, entries = pd.factorize(text, use_na_sentinel=False)
        unique = pd.Series(entries, dtype="str")
        rows = np.unique(codes, return_index=True)[1] + first_row  # first row in which each entry stands
        clock = _parse_text(unique, rows, place)
        clock = Clock(clock.times[codes], clock.zoned, clock.timezone, clock.notes)
    if np.isnat(clock.times).any():
        row = int(np.isnat(clock.times).argmax()) + first_row
        raise InputError(f"{place}, row {row}: the time is missing. Fill it in or delete the row.")
    years = clock.times.astype("datetime64[Y]").astype("int64") + 1970
    if len(years) and (years.min() < YEARS[0] or years.max() > YEARS[1]):
        row = int(((years < YEARS[0]) | (years > YEARS[1])).argmax())
        raise InputError(f"{place}, row {row + first_row}: the year {years[row]} cannot be right. Write times as 2020-04-03 08:00.")
    return clock


def _seconds(column: pd.Series) -> np.ndarray:
    return column.to_numpy().astype("datetime64[s]")


def _parse_text(text: pd.Series, rows: np.ndarray, place: str) -> Clock:
    """Distinct entries -> times; `rows` says where each first stands."""
    iso, slashed = text.str.match(ISO).to_numpy(bool), text.str.match(SLASHED).to_numpy(bool)
    epoch = text.str.fullmatch(r"[01]\d{9}|[01]\d{12}").to_numpy(bool)
    if len(text) and epoch.all():
        length = text.str.len().iloc[0]
        if (text.str.len() == length).all():
            if len(text) > 1 and text.str.fullmatch(HOURS).all():
                raise InputError(
                    f"{place}, row {rows[0]}: '{text.iloc[0]}' could be an hour or seconds since 1970. Write times as 2020-04-03 08:00."
                )
            unit = "s" if length == 10 else "ms"
            times = text.astype("int64").to_numpy().astype(f"datetime64[{unit}]").astype("datetime64[s]")
            return Clock(times, True, "", (f"{place}: read as {'milli' if unit == 'ms' else ''}seconds since 1970, UTC.",))
    odd = ~(iso | slashed)
    if odd.any():
        i = int(np.argmax(odd))
        entry = show(text.iloc[i])
        what = f"'{entry}' is not a time" if entry else "the time is missing"
        raise InputError(f"{place}, row {rows[i]}: {what}. Write times as 2020-04-03 08:00.")
    if iso.any() and slashed.any():
        a, b = int(np.argmax(iso)), int(np.argmax(slashed))
        raise InputError(
            f"{place}: times are written in two ways, '{show(text.iloc[a])}' (row {rows[a]}) and "
            f"'{show(text.iloc[b])}' (row {rows[b]}). Write all as 2020-04-03 08:00."
        )
    return _parse_iso(text, rows, place) if iso.any() or not len(text) else _parse_slashed(text, rows, place)


def _parse_iso(text: pd.Series, rows: np.ndarray, place: str) -> Clock:
    text = text.str.replace(r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})", r"\1-\2-\3", regex=True)
    zone = text.str.extract(ISO)[2]
    zoned = zone.notna()
    text = text.str.replace(r"\s+(?=[+-]\d{2}(:?\d{2})?$|Z$)", "", regex=True)
    if zoned.any() and not zoned.all():
        i = int(np.argmin(zoned.to_numpy()))
        raise InputError(
            f"{place}, row {rows[i]}: '{show(text.iloc[i])}' has no time zone, other times have one. Write the zone at all or none."
        )
    parsed = _to_datetime(text, utc=bool(zoned.any()))
    if parsed.isna().any():
        i = int(np.argmax(parsed.isna().to_numpy()))
        raise InputError(f"{place}, row {rows[i]}: '{show(text.iloc[i])}' is not a time. Write times as 2020-04-03 08:00.")
    notes = []
    whole = parsed.dt.floor("s")
    if (whole != parsed).any():
        notes.append(f"{place}: parts of a second were left out.")
    if not zoned.any():
        return Clock(_seconds(whole), notes=tuple(notes))
    offsets = sorted(set(zone))
    notes.append(f"{place}: times with the zone {', '.join(offsets[:3])}, converted to UTC.")
    return Clock(_seconds(whole.dt.tz_localize(None)), True, _name_offset(offsets), tuple(notes))


def _to_datetime(text: pd.Series, utc: bool) -> pd.Series:
    """ISO text -> datetimes of one resolution, NaT where it is none."""
    parsed = pd.to_datetime(text, format="ISO8601", utc=utc, errors="coerce")
    if parsed.isna().any():  # one-digit months and hours are no ISO, but clear
        retry = text[parsed.isna()].str.replace(r"(?<=[-T ])(\d)(?=[-:T ]|$)", r"0\1", regex=True)
        parsed = parsed.fillna(pd.to_datetime(retry, format="ISO8601", utc=utc, errors="coerce"))
    return parsed


def _name_offset(offsets: list[str]) -> str:
    """The IANA name of one whole-hour offset; "" for several, as in a year with daylight saving."""
    if len(offsets) != 1:
        return ""
    match = re.fullmatch(r"([+-])(\d{2}):?(\d{2})", offsets[0].ljust(5, "0"))
    if match is None or (match[2] == match[3] == "00"):  # "Z" or +00:00
        return "UTC"
    sign = "-" if match[1] == "+" else "+"  # the names of the Etc zones count the other way
    return f"Etc/GMT{sign}{int(match[2])}" if match[3] == "00" and int(match[2]) <= 12 else ""


def _parse_slashed(text: pd.Series, rows: np.ndarray, place: str) -> Clock:
    parts = text.str.extract(SLASHED)
    first, second = parts[0].astype(int), parts[2].astype(int)
    if (first > 12).any() and (second > 12).any():
        a, b = int(np.argmax(first > 12)), int(np.argmax(second > 12))
        raise InputError(
            f"{place}: '{show(text.iloc[a])}' (row {rows[a]}) has the day first, '{show(text.iloc[b])}' (row {rows[b]}) the month. "
            "Write all as 2020-04-03 08:00."
        )
    dotted = bool((parts[1] == ".").all())
    if not dotted and not (first > 12).any() and not (second > 12).any():
        raise InputError(
            f"{place}, row {rows[0]}: '{show(text.iloc[0])}' could be day/month or month/day, and no date tells. "
            "Write dates as 2020-04-03."
        )
    day, month = (second, first) if (second > 12).any() else (first, second)
    date = parts[3] + "-" + month.astype("str").str.zfill(2) + "-" + day.astype("str").str.zfill(2)
    hour = parts[4].fillna("00:00").str.replace(r"^(\d):", r"0\1:", regex=True)
    parsed = _to_datetime(date + " " + hour, utc=False)
    if parsed.isna().any():
        i = int(np.argmax(parsed.isna().to_numpy()))
        raise InputError(f"{place}, row {rows[i]}: '{show(text.iloc[i])}' is not a time. Write times as 2020-04-03 08:00.")
    half = parts[5].fillna("").str.lower()
    shift = np.where((half == "pm") & (parsed.dt.hour < 12), 12, 0) - np.where((half == "am") & (parsed.dt.hour == 12), 12, 0)
    order = "month first" if (second > 12).any() else "day first"
    times = _seconds(parsed.dt.floor("s")) + shift.astype("timedelta64[h]")
    return Clock(times, notes=(f"{place}: dates read with the {order}.",))
