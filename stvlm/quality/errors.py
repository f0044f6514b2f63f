"""What is wrong with tables as read, or worth knowing: each finding with its place, its reason and the fix on offer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stvlm.core.network import SensorNetwork
from stvlm.io.read import RawTables
from stvlm.io.source import show
from stvlm.runtime.messages import Message, duration

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
FIX_FORMS = {"reproject": "reproject:EPSG_CODE", "local-time": "local-time:TIME_ZONE"}  # fixes that must be told something
LARGEST = 1e18  # the square of a larger reading, summed, leaves the range of float32


@dataclass(frozen=True)
class Problem:
    """One finding; its sentences stand in the catalogue under `finding.<code>`.

    Attributes:
        code: short name, stable.
        severity: "error" (must be fixed), "warning" or "note".
        what: what was found.
        where: file and place in it.
        why: why it matters, or the cure where no fix is offered; None where there is nothing to say.
        fix: name of the fix on offer; None where there is none.
        sensors: ids concerned.
    """

    code: str
    severity: str
    what: Message
    where: str | Message
    why: Message | None = None
    fix: str | None = None
    sensors: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """`message` in English."""
        return str(self.message)

    @property
    def message(self) -> Message:
        """All in one line: place, finding, cure."""
        code, cure = ("finding.line_fix", {"fix": FIX_FORMS.get(self.fix, self.fix)}) if self.fix else ("finding.line", {})
        return Message(code, where=self.where, what=self.what, why=self.why or "", **cure)


def finding(
    code: str,
    severity: str,
    where: str | Message,
    fix: str | None = None,
    sensors: tuple[str, ...] = (),
    *,
    what: str = "what",
    why: str = "why",
    **parameters: object,
) -> Problem:
    """A finding whose sentences stand in the catalogue.

    Args:
        code: short name, "no-place".
        severity: "error", "warning" or "note".
        where: file and place in it.
        fix: name of the fix on offer.
        sensors: ids concerned.
        what: which of the sentences of `finding.<code>` says what was found.
        why: which of them says why it matters; "" for none.
        parameters: what fills the gaps of the former.
    """
    table = f"finding.{code.replace('-', '_')}"
    reason = Message(f"{table}.{why}") if why else None
    return Problem(code, severity, Message(f"{table}.{what}", **parameters), where, reason, fix, sensors)


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


def preview_ids(ids: Sequence[str]) -> str | Message:
    """The first few of a list: "S1, S2, S3, S4 and 4 more"."""
    items = ", ".join(show(i, 24) for i in ids[:4])
    return Message("list.more", items=items, n=len(ids) - 4) if len(ids) > 4 else items


def find_errors(raw: RawTables) -> tuple[Problem, ...]:
    """All that keeps the tables from being a series."""
    places = tuple(_place_errors(raw))
    layer = () if any(p.code != "duplicate-ids" for p in places) else _layer_errors(raw)
    return (*places, *layer, *_id_errors(raw), *_time_errors(raw), *_value_errors(raw))


def _place_errors(raw: RawTables) -> Iterator[Problem]:
    file, table = raw.names["sensors"], raw.sensors
    ids, lat, lon = table["sensor_id"], table["lat"].to_numpy(), table["lon"].to_numpy()
    twice = tuple(ids[ids.duplicated()].unique())
    if twice:
        where = Message("place.row", file=file, row=int(ids.duplicated().to_numpy().argmax()) + 2)
        about: dict[str, Any] = {"n": len(twice), "ids": preview_ids(twice)}
        yield finding("duplicate-ids", "error", where, "drop-duplicate-sensors", twice, **about)
    empty = ~(np.isfinite(lat) & np.isfinite(lon))
    if empty.any():
        names = tuple(ids[empty])
        where = Message("place.row", file=file, row=int(empty.argmax()) + 2)
        yield finding("no-place", "error", where, "drop-unplaced-sensors", names, n=len(names), ids=preview_ids(names))
    out = ~empty & ((np.abs(lat) > 90) | (np.abs(lon) > 180))
    if not out.any():
        return
    i = int(out.argmax())
    where, place = Message("place.row_sensor", file=file, row=i + 2, sensor=show(ids.iloc[i])), {"lat": lat[i], "lon": lon[i]}
    metres = ~empty & ((np.abs(lat) > 180) | (np.abs(lon) > 180))
    if metres.sum() * 2 > (~empty).sum():
        yield finding("projected", "error", where, "reproject", **place)
    elif (np.abs(lon[~empty]) <= 90).all() and (np.abs(lat[~empty]) <= 180).all():
        yield finding("swapped", "error", where, "swap-lat-lon", lat=lat[i])
    else:
        names = tuple(ids[out])
        about = {"what": "what_outside", "why": "why_outside", "n": len(names)}
        yield finding("no-place", "error", where, "drop-unplaced-sensors", names, **about, **place)


def _layer_errors(raw: RawTables) -> Iterator[Problem]:
    """Of tables whose places are sound."""
    if raw.base_layer is None:
        return
    lat, lon = raw.sensors["lat"].to_numpy(), raw.sensors["lon"].to_numpy()
    network = SensorNetwork(tuple(map(str, range(len(lat)))), lat, lon)
    for part, what in raw.base_layer.elsewhere(network.bounds()).items():
        yield Problem("layer-elsewhere", "error", what, raw.names[part], Message("finding.layer_elsewhere.why"))


def _id_errors(raw: RawTables) -> Iterator[Problem]:
    known, read = set(raw.sensors["sensor_id"]), list(raw.readings.columns)
    unknown = tuple(c for c in read if c not in known)
    where, table = raw.names["series"], raw.names["sensors"]
    if len(unknown) == len(read):
        what = "what_zeros" if {_bare(i) for i in known} & {_bare(i) for i in read} else "what"
        ours, theirs = preview_ids(sorted(known)[:3]), preview_ids(read[:3])
        yield finding("no-common-ids", "error", where, what=what, file=table, theirs=theirs, ours=ours)
    elif unknown:
        about: dict[str, Any] = {"n": len(unknown), "all": len(read), "file": table, "ids": preview_ids(unknown)}
        yield finding("unknown-sensors", "error", where, "drop-unknown-sensors", unknown, **about)


def _bare(name: str) -> str:
    return name.removesuffix(".0").lstrip("0")


def _time_errors(raw: RawTables) -> Iterator[Problem]:
    file, index = raw.names["series"], raw.readings.index
    times = np.unique(index.to_numpy())
    if len(times) < 2:
        yield finding("too-short", "error", file, n=len(times))
        return
    steps = np.diff(index.to_numpy().astype("int64"))
    if (steps < 0).any():
        i = int((steps < 0).argmax())
        where = Message("place.row", file=file, row=i + 3)
        yield finding("unsorted", "error", where, "sort-times", later=index[i + 1], earlier=index[i])
    again = index.duplicated()
    if again.any():
        yield finding("duplicate-times", "error", file, "average-duplicates", n=int(again.sum()), time=index[int(again.argmax())])
    gaps, step = np.diff(times.astype("int64")), usual_step(times)
    if (gaps == step).all():
        return
    i = int((gaps != step).argmax())
    first: dict[str, Any] = {"time": str(times[i]).replace("T", " "), "gap": duration(gaps[i], 3), "step": duration(step, 3)}
    if (gaps % step == 0).all():
        yield finding("missing-steps", "error", file, "resample", n=int((gaps // step - 1).sum()), **first)
    else:
        yield finding("irregular", "error", file, "resample", **first)


def _value_errors(raw: RawTables) -> Iterator[Problem]:
    values = raw.readings.to_numpy()
    largest, sensor = 0.0, ""
    for block in (values[i : i + 4096] for i in range(0, len(values), 4096)):
        most = np.fmax.reduce(np.abs(block), axis=0, initial=0.0)
        if len(most) and most.max() > largest:
            largest, sensor = float(most.max()), str(raw.readings.columns[int(most.argmax())])
    if largest > LARGEST:
        yield finding("too-large", "error", raw.names["series"], value=largest, sensor=show(sensor, 24), most=LARGEST)
    if not any(np.isfinite(values[i : i + 4096]).any() for i in range(0, len(values), 4096)):
        yield finding("all-missing", "error", raw.names["series"])
