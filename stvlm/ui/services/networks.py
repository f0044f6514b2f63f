"""The networks that the app can show: the samples, and those that were uploaded to the workspace."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.core.series import SensorSeries
from stvlm.datasets.samples import SAMPLES, Sample, load_sample
from stvlm.io import store
from stvlm.io.read import RawTables
from stvlm.io.source import InputError
from stvlm.jobs.run import DataSource, RunSpec
from stvlm.quality import report as quality
from stvlm.runtime import logs
from stvlm.runtime.atomic import write_atomic
from stvlm.runtime.cache import parsed_file
from stvlm.runtime.settings import settings
from stvlm.ui.shell import view_state
from stvlm.ui.shell.i18n import t, told
from stvlm.workspace import quota
from stvlm.workspace.paths import workspace

SAMPLE = "sample:"


class UnknownNetworkError(LookupError):
    """No network has this id on this server."""


def sample(data: str) -> Sample | None:
    """The sample that an id names, or None for an uploaded network."""
    return SAMPLES.get(data.removeprefix(SAMPLE)) if data.startswith(SAMPLE) else None


def of_run(source: DataSource) -> str:
    """The id of the network that a run reads."""
    return f"{SAMPLE}{source.sample}" if source.sample else str(source.dataset)


def folder(data: str) -> Path:
    """Where an uploaded network lies.

    Raises:
        UnknownNetworkError: an id that is none, or of which there is nothing here.
    """
    if re.fullmatch(r"[0-9a-f]{16}", data):
        path = _root() / data
        if path.is_dir():
            return path
    raise UnknownNetworkError(data)


def load(data: str) -> SensorSeries:
    """The readings of a network, shared by all sessions: never change them in place.

    Raises:
        UnknownNetworkError: where the server has none of this id.
    """
    if data.startswith(SAMPLE):
        if sample(data) is None:
            raise UnknownNetworkError(data)
    else:
        folder(data)
    with st.spinner(t("wait.network")):
        return _load(data)


@st.cache_resource(max_entries=6, show_spinner=False)
def _load(data: str) -> SensorSeries:
    found = sample(data)
    return load_sample(found.name) if found else store.load_series(folder(data))


def title(data: str) -> str:
    """What people call a network; the id itself where nothing better is known. An uploader's own text: not markdown."""
    if found := sample(data):
        return told("sample", found.title)
    try:
        return str(card(data)["title"])
    except UnknownNetworkError:
        return data


def card(data: str) -> dict[str, object]:
    """What was noted when a network was uploaded: title, files, fixes, time; hardly anything where the note is gone or harmed.

    Raises:
        UnknownNetworkError: where the server has none of this id.
    """
    note = None
    with suppress(OSError, ValueError, RecursionError):
        note = parsed_file(folder(data).with_suffix(".json"), json.loads)
    return note if _is_card(note) else {"title": data, "files": [], "fixes": []}


def _is_card(note: object) -> bool:
    """Whether a note holds what `add` writes."""
    if not isinstance(note, dict) or not isinstance(note.get("title"), str):
        return False
    lists, kinds = [note.get(part, []) for part in ("files", "fixes", "columns")], (str, str, list)
    return all(isinstance(part, list) and all(isinstance(x, k) for x in part) for part, k in zip(lists, kinds, strict=True))


def add(
    series: SensorSeries,
    name: str,
    files: list[str],
    fixes: tuple[str, ...],
    upload: str = "",
    columns: tuple[tuple[str, str, str], ...] = (),
) -> str:
    """Put an uploaded network into the workspace, under the hash of its content.

    Args:
        series: the checked readings. name: what to call it. files: names of the files it came from. fixes: those applied.
        upload, columns: the files themselves, and which column was said to be what, so that one can go back to them.

    Returns:
        Its id, for the URL.

    Raises:
        InputError: no room for one more, or the workspace cannot be written.
    """
    data = series.fingerprint[:16]
    note = {"title": name or data, "files": files, "fixes": list(fixes), "upload": upload, "columns": columns}
    with quota.writing("networks"):  # two tabs may add the same one
        if not _is_whole(_root() / data, series):  # what is there already is not taken away for a moment to be written again
            quota.for_network()
            store.save_series(series, _root() / data)
        note["added"] = datetime.now(UTC).isoformat(timespec="seconds")
        write_atomic(_root() / f"{data}.json", note)
    _load.clear(data)
    logs.note("network added", network=data, n_sensors=series.network.n_sensors, n_steps=series.n_steps)
    return data


def _is_whole(path: Path, series: SensorSeries) -> bool:
    """Whether the folder holds just this series, all of it."""
    try:
        return store.load_series(path).fingerprint == series.fingerprint
    except InputError:
        return False


def uploaded() -> list[str]:
    """Ids of the uploaded networks, newest first."""
    cards = sorted(_root().glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True) if _root().is_dir() else []
    return [path.stem for path in cards if path.with_suffix("").is_dir()]


def listed() -> list[str]:
    """Those of the uploaded networks that stand on this visitor's pages, newest first."""
    return [data for data in uploaded() if settings().list_shared or data in view_state.opened()]


def _root() -> Path:
    return workspace() / "datasets"  # where the worker of a run looks too


def report(data: str) -> quality.QualityReport:
    """What is wrong with a network that is already in use: what its fixes left."""
    series = load(data)
    with st.spinner(t("wait.checking")):
        return _report(data, series)


@st.cache_data(max_entries=8, show_spinner=False)
def _report(data: str, _series: SensorSeries) -> quality.QualityReport:
    network = _series.network
    sensors = pd.DataFrame({"sensor_id": network.ids, "lat": network.lat, "lon": network.lon})
    readings = pd.DataFrame(_series.values, index=pd.DatetimeIndex(_series.times), columns=list(network.ids))
    return quality.inspect(
        RawTables(sensors, readings, {"sensors": "sensor table", "series": "readings"}, zoned=bool(_series.timezone))
    )


@st.cache_data(max_entries=8, show_spinner=False)
def coverage(data: str) -> np.ndarray:
    """(N,) float64 in percent: how much of each sensor's readings is there."""
    series = _load(data)
    blocks = range(0, series.n_steps, 65536)  # so that a memory-mapped array is never read whole
    return sum(np.isfinite(series.values[i : i + 65536]).sum(axis=0) for i in blocks) / series.n_steps * 100


def window_sizes(data: str, series: SensorSeries) -> tuple[int, int, tuple[float, float, float]]:
    """Lookback and horizon in steps, and the split, to begin with: the sample's own, else what suits the length of the series."""
    if found := sample(data):
        return found.lookback, found.horizon, found.split
    size = max(1, min(12, series.n_steps // 30))
    return max(size, 2), size, (0.6, 0.2, 0.2)


# Lines of a shell that do again what a page shows; what is not known here stands in capitals.


def source(data: str, series: SensorSeries) -> tuple[list[str], str]:
    """Remarks on a network's data, and the options that name them.

    Args:
        data: id of the network. series: its readings.
    """
    if found := sample(data):
        return [], f"--sample {found.name}"
    noted = card(data)
    names = ", ".join(" ".join(str(name).split()) for name in noted.get("files", []))
    options = "--sensors SENSORS --series READINGS"
    for name, value in (("quantity", series.quantity), ("unit", series.unit), ("timezone", series.timezone)):
        options += f" --{name} {shlex.quote(value)}" if value else ""
    fixes = ",".join(noted.get("fixes", []))
    options += f" --fix {shlex.quote(fixes)}" if fixes else ""
    options += f" --context CONTEXT --known-ahead {shlex.quote(','.join(series.known_ahead))}" if series.known_ahead else ""
    return [f"# put your own files for the words in capitals; they were: {names}"], options


def fit_command(spec: RunSpec, series: SensorSeries) -> str:
    """The lines that train a run's model again.

    Args:
        spec: of the run. series: its readings.
    """
    remarks, options = source(of_run(spec.data), series)
    for name, value in spec.config.items():
        if value is None or name == "seasons_minutes":
            continue
        shown = ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in _parts(value))
        options += f" --{name.replace('_', '-')} {shlex.quote(shown)}"
    return "\n".join([*remarks, f"python -m stvlm fit {options} --out my-model"])


def _parts(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
