"""The usual files and terms of well-known comparisons: METR-LA, PEMS-BAY, PEMS03/04/07/08, and the protocol of T-GCN."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components, shortest_path

from stvlm.core.network import EARTH_RADIUS_KM
from stvlm.io.adjacency import DISTANCES, FROM, TO
from stvlm.io.hdf5_npz import read_npz
from stvlm.io.read import InputFiles, RawTables, read_tables
from stvlm.io.source import InputError, Source, open_source, show
from stvlm.io.table import open_table, to_text
from stvlm.quality.fixes import apply_fixes

KM_PER_DEGREE = np.pi * EARTH_RADIUS_KM / 180
SIDE_KM = 40.0  # of a made-up layout
MOST_LAID_OUT = 3000  # sensors: the layout takes time and memory by their square


@dataclass(frozen=True)
class Protocol:
    """The terms of a comparison.

    Attributes:
        title: in plain words. lookback, horizon: L, H in steps. split: shares of training, validation, test.
        report_steps: of the horizon, whose scores are reported. is_cumulative: whether those are over all steps up to each, else at it.
    """

    title: str
    lookback: int
    horizon: int
    split: tuple[float, float, float]
    report_steps: tuple[int, ...]
    is_cumulative: bool = False


@dataclass(frozen=True)
class Preset:
    """How the usual files of a network are read, and the usual terms of forecasting it.

    Attributes:
        title: in plain words. quantity, unit: what is measured. protocol: the terms. step_minutes: of a step.
        start: time of the first reading, for files without times; "" where the file has them.
        fixes: that the files need. has_places: whether a table of places comes with them.
        files: the usual names: readings, sensor table, distances ("" for none). sensors, steps: how many the usual file holds.
        seasons_minutes: lengths of the seasons.
    """

    title: str
    quantity: str
    unit: str
    protocol: Protocol
    fixes: tuple[str, ...]
    files: tuple[str, str, str]
    sensors: int
    steps: int
    start: str = ""
    has_places: bool = False
    step_minutes: float = 5.0
    seasons_minutes: tuple[int, ...] = (1440, 10080)


SPEED = Protocol("METR-LA and PEMS-BAY, as since DCRNN", 12, 12, (0.7, 0.1, 0.2), (3, 6, 12))
FLOW = Protocol("PEMS03/04/07/08, as since ASTGCN", 12, 12, (0.6, 0.2, 0.2), (3, 6, 12))
PROTOCOLS: dict[str, Protocol] = {
    # The original splits the rows 80 / 20, trains a model for each horizon of 3, 6, 9 and 12 steps, scores each over all of its steps,
    # and reports the epoch with the lowest test error. Here one model of 12 steps is trained, its scores over the first 3, 6, 9 and 12
    # steps are reported (the harder task for the short ones), and all choices are made on a validation part: the last eighth of the 80 %.
    # A lookback may reach back over the start of the test part, so that there are up to 12 windows more than in the original.
    "t-gcn": Protocol("T-GCN (Zhao et al. 2020)", 12, 12, (0.7, 0.1, 0.2), (3, 6, 9, 12), is_cumulative=True),
}


def _flow(number: str, sensors: int, steps: int, start: str) -> Preset:
    name = f"PEMS{number}"
    files, fixes = (f"{name}.npz", "", f"{name}.csv"), ("zero-is-missing",)
    return Preset(f"{name}, traffic flow", "traffic flow", "vehicles/5min", FLOW, fixes, files, sensors, steps, start)


PRESETS: dict[str, Preset] = {
    "metr-la": Preset(
        "METR-LA, traffic speed", "traffic speed", "mile/h", SPEED, ("zero-is-missing",),
        ("metr-la.h5", "graph_sensor_locations.csv", "distances_la_2012.csv"), 207, 34272, has_places=True,
    ),  # the hour that the clock skips in spring is absent from the file of PEMS-BAY: it stays on the clock, without readings
    "pems-bay": Preset(
        "PEMS-BAY, traffic speed", "traffic speed", "mile/h", SPEED, ("zero-is-missing", "resample:5"),
        ("pems-bay.h5", "graph_sensor_locations_bay.csv", "distances_bay_2017.csv"), 325, 52116, has_places=True,
    ),
    "pems03": _flow("03", 358, 26208, "2018-09-01 00:00"),
    "pems04": _flow("04", 307, 16992, "2018-01-01 00:00"),
    "pems07": _flow("07", 883, 28224, "2017-05-01 00:00"),
    "pems08": _flow("08", 170, 17856, "2016-07-01 00:00"),
}  # fmt: skip


def read_preset(
    name: str,
    series: Source,
    sensors: Source | None = None,
    distances: Source | None = None,
    fixes: Sequence[str] = (),
    **more: Any,
) -> RawTables:
    """Read the usual files of a network.

    Where a preset has no places, sensors may be laid out by the distances between them: then a map shows nearness and no geography,
    and a note says so.

    Args:
        name: of PRESETS. series: .h5 or .npz. sensors: the table of places; it may lack a header. distances: a list of edges, or a
            matrix; it may lack a header. fixes: to apply beside those of the preset. more: as in `read_tables`: context, base_layer ...

    Raises:
        InputError: no such preset, files that cannot be read, or places that nothing tells of.
    """
    preset, notes, given = find_preset(name), (), distances
    distances = None if distances is None else _headed(distances, "from,to,distance")
    if sensors is None:
        readings, _, edges = preset.files
        if preset.has_places:
            raise InputError(f"{name}: needs its sensor table, --sensors {preset.files[1]}, which comes with {readings}.")
        if distances is None:
            raise InputError(
                f"{name}: its files hold no coordinates. Give a sensor table with sensor_id, lat, lon (--sensors), or the list of "
                f"distances (--adjacency {edges}): the sensors are then laid out by it, and the map shows nearness, no geography."
            )
        order = Path(given).with_suffix(".txt") if isinstance(given, (str, Path)) else None
        order = order if order is not None and order.is_file() else None
        columns = read_npz(open_source(series), (), preset.start, preset.step_minutes)[0].shape[1]
        sensors, notes = lay_out(distances, columns, order)
    else:
        sensors = _headed(sensors, "sensor_id,lat,lon")
    raw = read_tables(InputFiles(sensors, series, distances, start=preset.start or None, step_minutes=preset.step_minutes, **more))
    rows, columns = raw.readings.shape
    if (rows, columns) != (preset.steps, preset.sensors):
        notes += (f"{name}: {columns} sensors x {rows} steps; the usual file has {preset.sensors} x {preset.steps}.",)
    wanted = {fix.partition(":")[0]: fix for fix in (*preset.fixes, *fixes)}
    return apply_fixes(replace(raw, notes=(*raw.notes, *notes)), wanted.values())


def find_preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        InputError: there is none.
    """
    if name not in PRESETS:
        raise InputError(f"There is no preset '{name}'. Choose from {', '.join(PRESETS)}.")
    return PRESETS[name]


def _headed(source: Source, header: str) -> Source:
    """A CSV file as it is, or with a header where its first line is a row of numbers."""
    file = open_source(source)
    first = file.read()[:4096].partition(b"\n")[0].decode("utf-8", "replace").strip() if file.kind == "text" else ""
    if not re.fullmatch(r"\d+,-?[\d.]+,-?[\d.eE+-]+", first):
        return source
    return file.name, f"{header}\n".encode() + file.read()


def lay_out(distances: Source, n_sensors: int, order: Path | None = None) -> tuple[Source, tuple[str, ...]]:
    """Places for sensors of which only the distances are known: around 0° N 0° E, near where few steps along the edges lead.

    Classical scaling (Torgerson 1952) of the shortest paths; where no path leads, twice the longest one counts.

    Args:
        distances: a list of edges with distances, which names sensors by their place in the readings, from 0 on, or by ids.
        n_sensors: N of the readings. order: a file with the ids in the order of the readings, one a line.

    Returns:
        A sensor table in the order of the readings, and a note that says what the places are.

    Raises:
        InputError: no list of distances, too many sensors, or ids whose order is not known.
    """
    file = open_source(distances)
    table = open_table(file)
    plain = {column.lower(): column for column in reversed(table.columns)}
    found = [next((plain[word] for word in words if word in plain), None) for words in (FROM, TO, DISTANCES)]
    if None in found:
        raise InputError(f"{file.name}: to lay out sensors it must have columns from, to and distance (or cost).")
    if n_sensors > MOST_LAID_OUT:
        raise InputError(f"{n_sensors} sensors are too many to be laid out; at most {MOST_LAID_OUT}. Give a sensor table.")
    start, end, length = found
    cells = table.read([start, end], [length])
    ends = [to_text(cells[start]), to_text(cells[end])]
    ids = [str(i) for i in range(n_sensors)] if order is None else order.read_text("utf-8").split()
    place = {word: i for i, word in enumerate(ids)}
    strange = next((word for side in ends for word in side if word not in place), None)
    if strange is not None or len(ids) != n_sensors:
        what = f"names '{show(strange)}'" if strange is not None else f"{len(ids)} ids stand in {order}"
        raise InputError(
            f"{file.name}: {what}, but the readings have {n_sensors} columns without names. Give a sensor table (--sensors) in the "
            "order of the columns, or put the ids, one a line, into a file of the same name ending in .txt beside it."
        )
    rows, columns = ([place[word] for word in side] for side in ends)
    weights = np.maximum(np.nan_to_num(cells[length].to_numpy("f8")), 1e-9)
    x, y = _scaled(sparse.coo_matrix((weights, (rows, columns)), shape=(n_sensors, n_sensors)).tocsr())
    lines = [f"{word},{lat:.6f},{lon:.6f}" for word, lat, lon in zip(ids, y / KM_PER_DEGREE, x / KM_PER_DEGREE, strict=True)]
    note = f"{file.name}: sensors were laid out by the distances between them. A map shows nearness, no geography."
    return ("layout.csv", "\n".join(["sensor_id,lat,lon", *lines, ""]).encode()), (note,)


def _scaled(edges: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """(N,) and (N,): east and north in km, SIDE_KM across; the sign of an axis is that of its largest value."""
    n = edges.shape[0]
    paths = shortest_path(edges, directed=False)
    longest = float(paths[np.isfinite(paths)].max()) or 1.0
    paths[~np.isfinite(paths)] = 2 * longest if connected_components(edges, directed=False)[0] > 1 else longest
    centred = paths**2 - (paths**2).mean(axis=0)
    values, vectors = np.linalg.eigh(-0.5 * (centred - centred.mean(axis=1, keepdims=True)))
    axes = vectors[:, -2:][:, ::-1] * np.sqrt(np.maximum(values[-2:][::-1], 0)) if n > 1 else np.zeros((n, 2))
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] + 1e-300)
    size = np.ptp(axes, axis=0).max() or 1.0
    x, y = (axes / size * SIDE_KM).T
    return x, y


def usual_files(name: str, folder: Path) -> tuple[Path, Path | None, Path | None]:
    """Readings, sensor table and distances of a preset in a folder, by their usual names; None where there is none.

    Raises:
        InputError: no readings.
    """
    series, places, edges = find_preset(name).files
    if not (folder / series).is_file():
        raise InputError(f"there is no {series} in {folder}.")
    sensors = [folder / file for file in ("sensors.csv", places) if file and (folder / file).is_file()]
    distances = [folder / file for file in ("adjacency.csv", edges) if file and (folder / file).is_file()]
    return folder / series, sensors[0] if sensors else None, distances[0] if distances else None
