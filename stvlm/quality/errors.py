"""What is wrong with tables as read, or worth knowing: each finding with its place, its reason and the fix on offer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stvlm.core.base_layer import ELSEWHERE
from stvlm.core.network import SensorNetwork
from stvlm.io.read import RawTables
from stvlm.io.source import show

NICE_STEPS = [
    1,
    5,
    10,
    15,
    20,
    30,
    *(m * 60 for m in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)),
    *(h * 3600 for h in (1, 2, 3, 4, 6, 8, 12)),
]
DAY = 86400
LARGEST = 1e18  # the square of a larger reading, summed, leaves the range of float32


@dataclass(frozen=True)
class Problem:
    """One finding.

    Attributes:
        code: short name, stable. severity: "error" (must be fixed), "warning" or "note".
        what: what was found. where: file and place. why: why it matters, or the cure where no fix is offered.
        fix: name of the fix on offer; None where there is none.
        sensors: ids concerned.
    """

    code: str
    severity: str
    what: str
    where: str
    why: str
    fix: str | None = None
    sensors: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """All in one line: place, finding, cure."""
        cure = f" Fix: --fix {self.fix}" if self.fix else ""
        return f"{self.where}: {self.what} {self.why}{cure}"


def usual_step(times: np.ndarray) -> int:
    """The usual number of seconds between two times; 0 for fewer than two.

    Args:
        times: (n,) datetime64[s], rising, each once. Small jitter is rounded away (298 s and 302 s are 5 minutes).
    """
    gaps = np.diff(times.astype("int64"))
    if not len(gaps):
        return 0
    sizes, counts = np.unique(gaps, return_counts=True)
    if counts.max() * 2 >= len(gaps):
        return int(sizes[counts.argmax()])
    middle = float(np.median(gaps))
    nice = min([*NICE_STEPS, DAY, 7 * DAY], key=lambda s: abs(s - middle))
    return nice if abs(nice - middle) <= 0.05 * middle else max(int(middle), 1)


def words_for(seconds: float) -> str:
    """A length of time in words: "5 minutes", "1 day"."""
    for size, word in ((DAY, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            count = f"{seconds / size:.3g}"
            return f"{count} {word}" + ("" if count == "1" else "s")
    return "0 seconds"


def some(ids: Sequence[str]) -> str:
    """The first few of a list: "S1, S2, S3 and 4 more"."""
    more = f" and {len(ids) - 4} more" if len(ids) > 4 else ""
    return ", ".join(show(i, 24) for i in ids[:4]) + more


def find_errors(raw: RawTables) -> tuple[Problem, ...]:
    """All that keeps the tables from being a series."""
    places = tuple(_place_errors(raw))
    layer = () if any(p.code != "duplicate-ids" for p in places) else _layer_errors(raw)
    return (*places, *layer, *_id_errors(raw), *_time_errors(raw), *_value_errors(raw))


def _place_errors(raw: RawTables) -> Iterator[Problem]:
    file, table = raw.names["sensors"], raw.sensors
    ids, lat, lon = table["sensor_id"], table["lat"].to_numpy(), table["lon"].to_numpy()
    twice = ids[ids.duplicated()].unique().tolist()
    if twice:
        row = int(ids.duplicated().to_numpy().argmax()) + 2
        what = f"{len(twice)} id(s) stand there more than once: {some(twice)}."
        yield Problem(
            "duplicate-ids", "error", what, f"{file}, row {row}", "One id is one sensor.", "drop-duplicate-sensors", tuple(twice)
        )
    empty = ~(np.isfinite(lat) & np.isfinite(lon))
    if empty.any():
        names = tuple(ids[empty])
        what = f"{len(names)} sensor(s) without a place: {some(names)}."
        where = f"{file}, row {int(empty.argmax()) + 2}"
        yield Problem("no-place", "error", what, where, "A map needs lat and lon of each.", "drop-unplaced-sensors", names)
    out = ~empty & ((np.abs(lat) > 90) | (np.abs(lon) > 180))
    if not out.any():
        return
    i = int(out.argmax())
    where = f"{file}, row {i + 2}, sensor {show(ids.iloc[i])}"
    metres = ~empty & ((np.abs(lat) > 180) | (np.abs(lon) > 180))
    if metres.sum() * 2 > (~empty).sum():
        what = f"lat {lat[i]:.6g}, lon {lon[i]:.6g} are no degrees but projected coordinates (metres)."
        yield Problem("projected", "error", what, where, "Name their EPSG code, such as reproject:25832.", "reproject")
    elif (np.abs(lon[~empty]) <= 90).all() and (np.abs(lat[~empty]) <= 180).all():
        what = f"lat {lat[i]:.6g} cannot be; latitude and longitude seem swapped."
        yield Problem("swapped", "error", what, where, "A latitude lies between -90 and 90.", "swap-lat-lon")
    else:
        names = tuple(ids[out])
        what = f"{len(names)} place(s) outside the earth, first lat {lat[i]:.6g}, lon {lon[i]:.6g}."
        yield Problem("no-place", "error", what, where, "Correct them or leave these sensors out.", "drop-unplaced-sensors", names)


def _layer_errors(raw: RawTables) -> Iterator[Problem]:
    """Of tables whose places are sound."""
    if raw.base_layer is None:
        return
    lat, lon = raw.sensors["lat"].to_numpy(), raw.sensors["lon"].to_numpy()
    network = SensorNetwork(tuple(map(str, range(len(lat)))), lat, lon)
    for part, what in raw.base_layer.elsewhere(network.bounds()).items():
        yield Problem("layer-elsewhere", "error", what, raw.names[part], ELSEWHERE)


def _id_errors(raw: RawTables) -> Iterator[Problem]:
    known, read = set(raw.sensors["sensor_id"]), list(raw.readings.columns)
    unknown = [c for c in read if c not in known]
    where = raw.names["series"]
    if len(unknown) == len(read):
        ours, theirs = some(sorted(known)[:3]), some(read[:3])
        zeros = "; they differ only in leading zeros or .0" if {_bare(i) for i in known} & {_bare(i) for i in read} else ""
        what = f"no sensor in common with {raw.names['sensors']}: here {theirs}, there {ours}{zeros}."
        yield Problem("no-common-ids", "error", what, where, "Use the same ids in both files.")
    elif unknown:
        what = f"{len(unknown)} of {len(read)} sensors are not in {raw.names['sensors']}: {some(unknown)}."
        why = "Without a place they cannot be drawn or compared."
        yield Problem("unknown-sensors", "error", what, where, why, "drop-unknown-sensors", tuple(unknown))


def _bare(name: str) -> str:
    return name.removesuffix(".0").lstrip("0")


def _time_errors(raw: RawTables) -> Iterator[Problem]:
    file, index = raw.names["series"], raw.readings.index
    times = np.unique(index.to_numpy())
    if len(times) < 2:
        what = f"only {len(times)} point(s) in time."
        yield Problem("too-short", "error", what, file, "A series needs at least two; give more readings.")
        return
    steps = np.diff(index.to_numpy().astype("int64"))
    if (steps < 0).any():
        i = int((steps < 0).argmax())
        what = f"times are not in order: {index[i + 1]} comes after {index[i]}."
        yield Problem("unsorted", "error", what, f"{file}, row {i + 3}", "Order tells past from future.", "sort-times")
    again = index.duplicated()
    if again.any():
        what = f"{int(again.sum())} time(s) stand there again, first {index[int(again.argmax())]}."
        yield Problem("duplicate-times", "error", what, file, "One time can have one reading per sensor.", "average-duplicates")
    gaps, step = np.diff(times.astype("int64")), usual_step(times)
    if (gaps == step).all():
        return
    i = int((gaps != step).argmax())
    first = f"first after {times[i]} ({words_for(gaps[i])}, usual {words_for(step)})".replace("T", " ", 1)
    if (gaps % step == 0).all():
        missing = int((gaps // step - 1).sum())
        what = f"{missing} step(s) are missing, {first}."
        yield Problem(
            "missing-steps", "error", what, file, "Steps must be equal; missing ones must stand there, empty.", "resample"
        )
    else:
        what = f"times do not rise by equal steps, {first}."
        yield Problem("irregular", "error", what, file, "Forecasts need equal steps.", "resample")


def _value_errors(raw: RawTables) -> Iterator[Problem]:
    values = raw.readings.to_numpy()
    largest, sensor = 0.0, ""
    for block in (values[i : i + 4096] for i in range(0, len(values), 4096)):
        most = np.fmax.reduce(np.abs(block), axis=0, initial=0.0)
        if len(most) and most.max() > largest:
            largest, sensor = float(most.max()), str(raw.readings.columns[int(most.argmax())])
    if largest > LARGEST:
        what = f"a reading of {largest:.3g} (sensor {show(sensor, 24)}); at most {LARGEST:.0e} can be computed with."
        yield Problem("too-large", "error", what, raw.names["series"], "Correct it, or write the readings in a larger unit.")
    if not any(np.isfinite(values[i : i + 4096]).any() for i in range(0, len(values), 4096)):
        yield Problem(
            "all-missing", "error", "there is not one reading.", raw.names["series"], "Check the file and its decimal sign."
        )
