"""What is not wrong but worth knowing: silent, stuck, jumping or lonely sensors, zeros that may be missing, clocks that jump."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import shapely

from stvlm.core.base_layer import COARSE, FINE, load
from stvlm.core.network import SensorNetwork
from stvlm.core.outliers import OUTSIZED, outlier_limit, outsized
from stvlm.io.read import RawTables
from stvlm.io.source import show
from stvlm.io.text import look_alike
from stvlm.quality.errors import Problem, finding, preview_ids, usual_step
from stvlm.runtime.messages import Message, duration

BLOCK = 4_000_000  # cells looked at in one go
FEWEST_ALIKE, MOST_ALIKE = 24, 32  # readings that two sensors must share; different sensors of one place that are compared
SENTINELS = (-9999.0, -999.0, -99.9, -99.0)


@dataclass(frozen=True, eq=False)
class Columns:
    """Figures per sensor of the readings, each (sensors,).

    Attributes:
        observed: number of readings. longest_gap: steps missing in a row between two readings. longest_run: steps of one value
            other than 0 in a row. silent_end: steps after the last reading.
        zeros, after_drop: zeros, and zeros that come straight after a reading of at least 3/4 of the usual level.
        zero_falls: times that a reading is followed by a zero.
        sentinels: readings that are -999 or the like.
        middle, spread: median, and distance from the 25 % to the 75 % quantile, of at most 5000 rows. low: their 1 % quantile.
        worst: reading farthest from the median. worst_row: its row. outliers: number of readings over 20 spreads away (its own or
            the usual one, whichever is larger).
    """

    observed: np.ndarray
    longest_gap: np.ndarray
    longest_run: np.ndarray
    silent_end: np.ndarray
    zeros: np.ndarray
    zero_falls: np.ndarray
    after_drop: np.ndarray
    sentinels: np.ndarray
    middle: np.ndarray
    spread: np.ndarray
    worst: np.ndarray
    worst_row: np.ndarray
    outliers: np.ndarray


def measure(values: np.ndarray) -> Columns:
    """Look at all readings once, some sensors at a time.

    Args:
        values: (T, N) float32, NaN = missing; T > 0.
    """
    width = max(1, BLOCK // max(len(values), 1))
    blocks = [_measure_block(np.asarray(values[:, i : i + width])) for i in range(0, values.shape[1], width)]
    return Columns(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def _measure_block(values: np.ndarray) -> tuple[np.ndarray, ...]:
    n_steps, n_sensors = values.shape
    seen = np.isfinite(values)
    sample = values[:: max(1, n_steps // 5000)]
    live = np.where(seen.any(axis=0), sample, np.float32(0))  # a column without readings has quantiles 0
    live = np.where(np.isfinite(live).any(axis=0), live, np.float32(0))
    low, middle, high = _quantiles(live, (0.25, 0.5, 0.75))
    spread = high - low
    away = np.abs(np.where(seen, values, middle.astype("float32")) - middle)
    worst_row = away.argmax(axis=0)
    worst = values[worst_row, np.arange(n_sensors)]
    limit = outlier_limit(spread)
    same = np.zeros_like(seen)
    same[1:] = (values[1:] == values[:-1]) & (values[1:] != 0)
    zero = values == 0
    positive = np.where(live > 0, live, np.nan)
    level = _quantiles(np.where(np.isfinite(positive).any(axis=0), positive, 1.0), (0.5,))[0]
    falls = zero[1:] & seen[:-1] & ~zero[:-1]
    drop = falls & (values[:-1] >= 0.75 * level)
    between = ~seen & (np.maximum.accumulate(seen, axis=0)) & (np.maximum.accumulate(seen[::-1], axis=0)[::-1])
    return (
        seen.sum(axis=0),
        _longest(between),
        np.where(seen.any(axis=0), _longest(same) + 1, 0),
        np.where(seen.any(axis=0), seen[::-1].argmax(axis=0), n_steps),
        zero.sum(axis=0),
        falls.sum(axis=0),
        drop.sum(axis=0),
        np.isin(values, np.asarray(SENTINELS, dtype="float32")).sum(axis=0),
        middle,
        spread,
        worst,
        worst_row,
        (away > limit).sum(axis=0),
    )


def _quantiles(values: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """`np.nanquantile` along the first axis, which goes through the columns one by one and is slow where there are many.

    Args:
        values: (T, N), NaN = missing; each column holds a number.

    Returns:
        (len(shares), N) float64.
    """
    ranked, n = np.sort(values, axis=0), np.isfinite(values).sum(axis=0)  # NaN stands at the end
    place = np.multiply.outer(shares, n - 1)
    below = place.astype("int64")
    low, high = (np.take_along_axis(ranked, at, axis=0).astype("float64") for at in (below, np.minimum(below + 1, n - 1)))
    return low + (high - low) * (place - below)


def stuck_run(columns: Columns) -> int:
    """From how many equal readings in a row on a sensor counts as stuck."""
    return int(max(24, 3 * float(np.median(columns.longest_run))))


def stuck_nodes(columns: Columns) -> np.ndarray:
    """(N,) bool: sensors that stood still for long, or always."""
    always = (columns.longest_run == columns.observed) & (columns.observed >= 10)
    return (columns.longest_run >= stuck_run(columns)) | always


def _longest(flags: np.ndarray) -> np.ndarray:
    """(N,) int: the most True in a row of (T, N) flags."""
    rows = np.arange(1, len(flags) + 1, dtype="int32")[:, None]
    last_false = np.maximum.accumulate(np.where(flags, np.int32(0), rows), axis=0)
    return (rows - last_false).max(axis=0)


def find_oddities(raw: RawTables, columns: Columns) -> Iterator[Problem]:
    """Warnings and notes on tables that may still hold errors."""
    yield from _silence(raw, columns)
    yield from _odd_values(raw, columns)
    yield from _duplicates(raw, columns)
    yield from _odd_clock(raw)
    yield from _odd_places(raw)


def _silence(raw: RawTables, columns: Columns) -> Iterator[Problem]:
    file, ids, n_steps = raw.names["series"], raw.readings.columns, len(raw.readings)
    known = set(raw.sensors["sensor_id"])
    alive = set(ids[columns.observed > 0])
    dead = tuple(i for i in raw.sensors["sensor_id"] if i not in alive)
    if dead and alive & known:
        about: dict[str, Any] = {"n": len(dead), "all": len(known), "ids": preview_ids(dead)}
        yield finding("dead-sensors", "warning", file, "drop-dead-sensors", dead, **about)
    share = columns.observed / n_steps
    thin = tuple(ids[(share > 0) & (share < 0.5)])
    if thin:
        yield finding("low-coverage", "warning", file, None, thin, n=len(thin), ids=preview_ids(thin))
    is_long = max(24, n_steps // 20)  # steps
    long = columns.longest_gap >= is_long
    if long.any():
        names, worst = tuple(ids[long]), int(columns.longest_gap.argmax())
        about = {"n": len(names), "sensor": show(ids[worst], 24), "steps": columns.longest_gap[worst]}
        yield finding("long-gaps", "warning", file, None, names, **about)
    since = np.where(columns.observed > 0, columns.silent_end, 0)
    newest = int(since[columns.observed > 0].min(initial=n_steps))
    if not raw.readings.index.is_monotonic_increasing:
        return  # named as an error
    if is_long <= newest < n_steps:
        about = {"time": raw.readings.index[n_steps - 1 - newest], "steps": newest}
        yield finding("silent-end", "warning", file, None, tuple(ids[since > 0]), what="what_all", **about)
    stopped = since - (newest if newest < n_steps else 0) >= is_long
    if stopped.any():
        names, worst = tuple(ids[stopped]), int(since.argmax())
        about = {"n": len(names), "all": len(ids), "sensor": show(ids[worst], 24), "steps": since[worst]}
        yield finding("silent-end", "warning", file, None, names, **about)


def _odd_values(raw: RawTables, columns: Columns) -> Iterator[Problem]:
    file, ids = raw.names["series"], raw.readings.columns
    stuck = stuck_nodes(columns)
    if stuck.any():
        names, worst = tuple(ids[stuck]), int(np.where(stuck, columns.longest_run, 0).argmax())
        about: dict[str, Any] = {"n": len(names), "sensor": show(ids[worst], 24), "steps": columns.longest_run[worst]}
        yield finding("stuck", "warning", file, "stuck-is-missing", names, **about)
    falls, drops = int(columns.zero_falls.sum()), int(columns.after_drop.sum())
    if falls >= 5 and drops > 0.5 * falls and columns.zeros.sum() < 0.5 * columns.observed.sum():
        names = tuple(ids[columns.after_drop > 0])
        yield finding("zero-runs", "warning", file, "zero-is-missing", names, n=columns.zeros.sum(), ids=preview_ids(names))
    marked = columns.sentinels > 0
    if marked.any() and (columns.middle[marked] > -50).any():
        names = tuple(ids[marked])
        yield finding("sentinels", "warning", file, "sentinel-is-missing", names, n=columns.sentinels.sum(), ids=preview_ids(names))
    far = columns.outliers > 0
    if far.any():
        size = np.where(far, np.abs(columns.worst - columns.middle) / np.where(columns.spread > 0, columns.spread, 1), 0)
        i = int(size.argmax())
        time = raw.readings.index[columns.worst_row[i]]
        where = Message("place.time_sensor", file=file, sensor=show(ids[i], 24), time=time)
        about = {"n": columns.outliers.sum(), "n_sensors": far.sum(), "value": columns.worst[i], "usual": columns.middle[i]}
        yield finding("outliers", "warning", where, "outliers-are-missing", tuple(ids[far]), **about)
    large = outsized(columns.spread)
    if large.any():
        names = tuple(ids[large])
        yield finding("outsized", "warning", file, None, names, n=len(names), ids=preview_ids(names), factor=int(OUTSIZED))


def _duplicates(raw: RawTables, columns: Columns) -> Iterator[Problem]:
    """Sensors that read exactly what another reads: always, or wherever both read and they share their place."""
    values, ids = raw.readings.to_numpy(), raw.readings.columns
    moving = np.flatnonzero((columns.observed >= FEWEST_ALIKE) & (columns.worst != columns.middle))
    place = raw.sensors.drop_duplicates("sensor_id").set_index("sensor_id")[["lat", "lon"]].round(5).reindex(ids)
    alike: dict[object, list[int]] = {}  # by figures that are equal of equal columns, and by place
    for node in map(int, moving):
        alike.setdefault(tuple(figure[node] for figure in vars(columns).values()), []).append(node)
        if place.iloc[node].notna().all():
            alike.setdefault(tuple(place.iloc[node]), []).append(node)
    twin_of: dict[int, int] = {}
    for nodes in alike.values():
        apart: list[int] = []  # of those compared so far, no two are alike
        for node in nodes:
            twin = next((one for one in apart if _read_alike(values[:, one], values[:, node])), None)
            if twin is not None:
                twin_of.setdefault(node, twin)
            elif len(apart) < MOST_ALIKE:
                apart.append(node)
    if twin_of:
        names = tuple(ids[node] for node in twin_of)
        pairs = [f"{show(ids[node], 24)} = {show(ids[first], 24)}" for node, first in twin_of.items()]
        yield finding("duplicate-readings", "warning", raw.names["series"], None, names, n=len(names), ids=preview_ids(pairs))


def _read_alike(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two sensors (T,) read the same wherever both read, often enough and not always one number."""
    both = np.isfinite(first) & np.isfinite(second)
    if both.sum() < max(FEWEST_ALIKE, 0.5 * np.isfinite(second).sum()) or (first[both] != second[both]).any():
        return False
    return bool(np.ptp(first[both]) > 0)


def _odd_clock(raw: RawTables) -> Iterator[Problem]:
    """A missing hour on a Sunday in spring or a doubled one in autumn: local times with daylight saving."""
    times = np.unique(raw.readings.index.to_numpy())
    step = usual_step(times)
    if raw.zoned or not 0 < step <= 3600:
        return
    before = pd.DatetimeIndex(times[:-1][np.diff(times.astype("int64")) == step + 3600])
    again = pd.DatetimeIndex(raw.readings.index[raw.readings.index.duplicated()])
    spring = before[(before.dayofweek == 6) & before.month.isin([3, 4, 9, 10]) & (before.hour <= 3)]
    autumn = again[(again.dayofweek == 6) & again.month.isin([3, 4, 10, 11]) & (again.hour <= 3)]
    if len(spring) + len(autumn):
        yield finding("daylight-saving", "warning", raw.names["series"], "local-time", time=min([*spring, *autumn]))


def _odd_places(raw: RawTables) -> Iterator[Problem]:
    file, table = raw.names["sensors"], raw.sensors
    lat, lon = table["lat"].to_numpy(), table["lon"].to_numpy()
    if not ((np.abs(lat) <= 90) & (np.abs(lon) <= 180)).all() or table["sensor_id"].duplicated().any():
        return  # named as an error
    ids = tuple(table["sensor_id"])
    if len(ids) == 1:
        yield finding("one-sensor", "note", file, None, ids)
        return
    twins = look_alike(ids)
    if twins:
        first, second = (show(name, 24) for name in twins[0])
        yield finding("look-alike", "warning", file, None, twins[0], n=len(twins), first=first, second=second)
    null = (lat == 0) & (lon == 0)
    if null.any():
        names = tuple(table["sensor_id"][null])
        yield finding("null-island", "warning", file, "drop-unplaced-sensors", names, n=len(names), ids=preview_ids(names))
    if (lat < -60).all():
        yield finding("polar", "warning", file, "swap-lat-lon", lat=lat[0], lon=lon[0])
    elif (np.abs(lon) <= 90).all() and _at_sea(lat, lon) and not _at_sea(lon, lat, least=0.9):
        yield finding("swapped-at-sea", "warning", file, "swap-lat-lon", lat=lat[0], lon=lon[0])
    spots = pd.DataFrame({"lat": lat.round(5), "lon": lon.round(5)})
    shared = spots.duplicated(keep=False).to_numpy()
    if shared.any():
        names = tuple(table["sensor_id"][shared])
        yield finding("co-located", "note", file, None, names, n=len(names), ids=preview_ids(names))
    if len(ids) > 3:
        network = SensorNetwork(ids, lat, lon)
        away = network.neighbours(1)[1][:, 0]
        lonely = away > max(20 * network.spacing_km, 3 * float(np.quantile(away, 0.95)), 5.0)
        if lonely.any():
            names, i = tuple(table["sensor_id"][lonely]), int(away.argmax())
            about: dict[str, Any] = {"n": len(names), "sensor": show(ids[i], 24), "km": away[i], "usual": network.spacing_km}
            yield finding("isolated", "warning", file, None, names, **about)


def _at_sea(lat: np.ndarray, lon: np.ndarray, least: float = 0.1) -> bool:
    """Whether less than a share of the places lie on land; a quarter of a degree off the coast still counts as land.

    Args:
        lat, lon: (N,) degrees; of many, some hundred are looked at. least: the share.
    """
    pick = slice(None, None, max(1, len(lat) // 300))
    places = shapely.points(lon[pick], lat[pick])
    shares = []
    for name in (COARSE, FINE):  # the coarse countries lack small islands
        near = shapely.STRtree(load(name)).query(places, predicate="dwithin", distance=0.25)[0]
        shares.append(len(np.unique(near)) / len(places))
        if shares[-1] >= least:
            return False
    return True


def summary(raw: RawTables, columns: Columns) -> Problem:
    """One note on size, clock and coverage."""
    times = np.unique(raw.readings.index.to_numpy())
    step, index = usual_step(times), raw.readings.index
    about: dict[str, Any] = {
        "n_sensors": raw.readings.shape[1],
        "times": len(times),
        "share": columns.observed.sum() / max(raw.readings.size, 1),
    }
    about |= {"zone": "UTC" if raw.zoned else Message("finding.summary.own_clock")}
    if not step:
        return finding("summary", "note", raw.names["series"], what="what_once", why="", **about)
    clock = {"step": duration(step, 3), "first": index.min(), "last": index.max()}
    return finding("summary", "note", raw.names["series"], why="", **about, **clock)
