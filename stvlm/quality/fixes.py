"""Mend tables as read, one named fix at a time; what was done is written down."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from stvlm.core.outliers import outlier_limit
from stvlm.io.geojson import to_degrees
from stvlm.io.read import RawTables
from stvlm.io.source import FOR_PATHS, InputError, show
from stvlm.io.timestamps import is_newest_first
from stvlm.quality.errors import NICE_STEPS, usual_step
from stvlm.quality.warnings import SENTINELS, measure, stuck_nodes, stuck_run
from stvlm.runtime.messages import duration

Fix = Callable[[RawTables, str], RawTables]  # (tables, parameter as text, "" for none) -> tables


def apply_fixes(raw: RawTables, names: Iterable[str]) -> RawTables:
    """Apply fixes in the order in which they make sense, whatever the order of `names`.

    Args:
        names: of FIXES, some with a parameter: "resample", "resample:60", "reproject:25832", "local-time:Europe/Berlin".

    Returns:
        Mended tables; `fixes` lists what was applied, in order.

    Raises:
        InputError: an unknown name, or a parameter that cannot be read.
    """
    wanted = {n.partition(":")[0]: n for n in names}
    unknown = [n for n in wanted if n not in FIXES]
    if unknown:
        raise InputError(f"--fix {show(unknown[0])}: there is no such fix. Choose from {', '.join(FIXES)}.")
    for name in FIXES:
        if name in wanted:
            raw = FIXES[name](raw, wanted[name].partition(":")[2].strip())
            raw = replace(raw, fixes=(*raw.fixes, wanted[name]))
    return raw


def _swap(raw: RawTables, _: str) -> RawTables:
    return replace(raw, sensors=raw.sensors.assign(lat=raw.sensors["lon"], lon=raw.sensors["lat"]))


def _reproject(raw: RawTables, code: str) -> RawTables:
    """lat holds northing, lon holds easting, in metres of the named system."""
    if not code:
        raise InputError("--fix reproject: which coordinates? Write the EPSG code, such as reproject:25832.")
    try:
        number = re.fullmatch(r"(?:EPSG:)?([0-9]{1,6})", code.upper())
        if number is None:
            raise ValueError("no such EPSG code")
        lon, lat = to_degrees(raw.sensors["lon"].to_numpy(), raw.sensors["lat"].to_numpy(), int(number[1]))
    except ValueError as error:
        raise InputError(f"--fix reproject:{show(code)}: {error}. Write it such as reproject:25832.") from None
    return replace(raw, sensors=raw.sensors.assign(lat=lat, lon=lon))


def _keep_sensors(raw: RawTables, keep: np.ndarray) -> RawTables:
    gone = set(raw.sensors["sensor_id"][~keep]) - set(raw.sensors["sensor_id"][keep])
    if not keep.any():
        raise InputError(f"{raw.names['sensors']}: this fix would leave no sensor. Correct the file.")
    readings = raw.readings[[c for c in raw.readings.columns if c not in gone]] if gone else raw.readings
    return replace(raw, sensors=raw.sensors[keep].reset_index(drop=True), readings=readings)


def _drop_duplicates(raw: RawTables, _: str) -> RawTables:
    return _keep_sensors(raw, ~raw.sensors["sensor_id"].duplicated().to_numpy())


def _drop_unplaced(raw: RawTables, _: str) -> RawTables:
    lat, lon = raw.sensors["lat"].to_numpy(), raw.sensors["lon"].to_numpy()
    return _keep_sensors(raw, (np.abs(lat) <= 90) & (np.abs(lon) <= 180) & ~((lat == 0) & (lon == 0)))


def _drop_unknown(raw: RawTables, _: str) -> RawTables:
    known = set(raw.sensors["sensor_id"])
    return replace(raw, readings=raw.readings[[c for c in raw.readings.columns if c in known]])


def _drop_dead(raw: RawTables, _: str) -> RawTables:
    alive = set(raw.readings.columns[np.isfinite(raw.readings.to_numpy()).any(axis=0)])
    return _keep_sensors(raw, raw.sensors["sensor_id"].isin(alive).to_numpy())


def _hide(raw: RawTables, values: Iterable[float]) -> RawTables:
    hidden = np.isin(raw.readings.to_numpy(), np.asarray([*values], dtype="float32"))
    return replace(raw, readings=raw.readings.mask(hidden))


def _hide_outliers(raw: RawTables, _: str) -> RawTables:
    if not raw.readings.size:
        return raw
    columns, values = measure(raw.readings.to_numpy()), raw.readings.to_numpy()
    return replace(raw, readings=raw.readings.mask(np.abs(values - columns.middle) > outlier_limit(columns.spread)))


def _hide_stuck(raw: RawTables, _: str) -> RawTables:
    """Runs of one value as long as those that are reported, and sensors that never changed."""
    if not raw.readings.size:
        return raw
    columns, values = measure(raw.readings.to_numpy()), raw.readings.to_numpy().copy()
    for node in np.flatnonzero(stuck_nodes(columns)):
        least = min(stuck_run(columns), int(columns.observed[node]))
        starts = np.flatnonzero(np.r_[True, values[1:, node] != values[:-1, node]])
        lengths = np.diff(np.r_[starts, len(values)])
        for start, length in zip(starts[lengths >= least], lengths[lengths >= least], strict=True):
            if values[start, node] != 0:
                values[start : start + length, node] = np.nan
    return replace(raw, readings=pd.DataFrame(values, index=raw.readings.index, columns=raw.readings.columns))


def _sort(raw: RawTables, _: str) -> RawTables:
    return replace(raw, readings=raw.readings.sort_index(kind="stable"))


def _local_time(raw: RawTables, zone: str) -> RawTables:
    """Local times to UTC. Where a time stands twice, as in autumn, the earlier one is summer time."""
    if raw.zoned:
        raise InputError(f"{raw.names['series']}: its times have a zone already. Leave --fix local-time out.")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"--fix local-time:{show(zone)}: no such zone. Write it such as local-time:Europe/Berlin.") from None
    index = pd.DatetimeIndex(raw.readings.index)
    later = index.duplicated(keep="last" if is_newest_first(index.to_numpy()) else "first")
    local = index.tz_localize(zone, ambiguous=~later, nonexistent="NaT")
    unreal = np.asarray(local.isna())
    if np.isfinite(raw.readings.to_numpy()[unreal]).any():
        raise InputError(
            f"{raw.names['series']}: {index[unreal][0]} does not exist in {zone}, where clocks jump. Choose another zone."
        )
    utc = local[~unreal].tz_convert("UTC").tz_localize(None).as_unit("s").rename("timestamp")
    readings = raw.readings[~unreal].set_axis(utc).sort_index(kind="stable")
    return replace(raw, readings=readings, timezone=zone, zoned=True, context_clock=zone if raw.context is not None else "")


def _average(raw: RawTables, _: str) -> RawTables:
    readings = raw.readings
    again = readings.index.duplicated(keep=False)
    if not again.any():
        return raw
    means = readings[again].groupby(level=0).mean()
    values = readings.to_numpy().copy()
    first = again & ~readings.index.duplicated()
    values[first] = means.loc[readings.index[first]].to_numpy()
    kept = ~readings.index.duplicated()
    return replace(raw, readings=pd.DataFrame(values[kept], index=readings.index[kept], columns=readings.columns))


def _resample(raw: RawTables, minutes: str) -> RawTables:
    """Readings on an even clock: the mean of what falls into each step, missing where nothing does."""
    times = raw.readings.index.to_numpy().astype("datetime64[s]").astype("int64")
    unique = np.unique(times)
    usual = usual_step(unique)
    try:
        step = round(float(minutes) * 60) if minutes else usual
    except (ValueError, OverflowError):  # no number, or one without end
        step = 0
    if step < 1 or len(unique) < 2:
        raise InputError(
            f"--fix resample{':' + show(minutes) if minutes else ''}: no such step. Write minutes, such as resample:60."
        )
    if step > usual or step in NICE_STEPS:
        phases, counts = np.unique(unique % step, return_counts=True)
        phase = int(phases[counts.argmax()]) if step == usual else 0
    else:
        phase = int(unique[0] % step)
    shift = step // 2 if step == usual else 0  # jitter goes to the nearest step; a longer step begins at its own time
    place = (times - phase + shift) // step
    place -= place.min()
    start = int((times.min() - phase + shift) // step * step + phase)
    n_steps, n_sensors = int(place.max()) + 1, raw.readings.shape[1]
    if n_steps * n_sensors > min(FOR_PATHS.cells, 64 * len(times) * max(n_sensors, 1) + 1_000_000):
        raise InputError(
            f"{raw.names['series']}: steps of {duration(step, 3)} make {n_steps:,} steps, mostly empty. "
            "Choose a longer step, such as resample:60."
        )
    index = pd.DatetimeIndex((start + np.arange(n_steps) * step).astype("datetime64[s]"), name="timestamp")
    values = np.full((n_steps, n_sensors), np.nan, dtype="float32")
    if len(np.unique(place)) == len(place):
        values[place] = raw.readings.to_numpy()
    else:
        means = raw.readings.groupby(place).mean()
        values[means.index.to_numpy()] = means.to_numpy()
    return replace(raw, readings=pd.DataFrame(values, index=index, columns=raw.readings.columns))


def _close_gaps(raw: RawTables, _: str) -> RawTables:
    times = np.unique(raw.readings.index.to_numpy().astype("datetime64[s]"))
    if len(times) != len(raw.readings):
        raise InputError(f"{raw.names['series']}: times stand there twice. Add --fix average-duplicates.")
    even = times[0] + np.arange(len(times)) * np.timedelta64(usual_step(times), "s")
    readings = raw.readings.sort_index().set_axis(pd.DatetimeIndex(even, name="timestamp"))
    return replace(raw, readings=readings)


FIXES: dict[str, Fix] = {  # in the order in which they are applied; what each does is said in the catalogue, "fix.<name>"
    "swap-lat-lon": _swap,
    "reproject": _reproject,
    "drop-duplicate-sensors": _drop_duplicates,
    "drop-unplaced-sensors": _drop_unplaced,
    "drop-unknown-sensors": _drop_unknown,
    "sentinel-is-missing": lambda raw, _: _hide(raw, SENTINELS),
    "zero-is-missing": lambda raw, _: _hide(raw, (0.0,)),
    "stuck-is-missing": _hide_stuck,
    "outliers-are-missing": _hide_outliers,
    "local-time": _local_time,
    "sort-times": _sort,
    "average-duplicates": _average,
    "resample": _resample,
    "close-gaps": _close_gaps,
    "drop-dead-sensors": _drop_dead,
}
