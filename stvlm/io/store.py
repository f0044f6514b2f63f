"""Keep a series in a folder, exactly, and open it again without reading it whole."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse

from stvlm.core.base_layer import BaseLayer
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.io.source import InputError, show
from stvlm.runtime.atomic import write_folder

VERSION = 1
META = "meta.json"


def save_series(series: SensorSeries, folder: Path | str) -> None:
    """Write a series to a folder, whole or not at all; a series that was there is replaced.

    Files: readings.npy (T, N) float32, times.npy, places.npz (lat, lon), adjacency.npz, facts.parquet, base_layer.npz, context.parquet,
    meta.json.

    Raises:
        InputError: the folder holds something else.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / META).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: holds something else than a series. Choose an empty or a new folder.")
    write_folder(folder, lambda part: _write(series, part))


def _write(series: SensorSeries, folder: Path) -> None:
    network = series.network
    np.save(folder / "readings.npy", np.ascontiguousarray(series.values), allow_pickle=False)
    np.save(folder / "times.npy", series.times, allow_pickle=False)
    np.savez(folder / "places.npz", lat=network.lat, lon=network.lon)
    if network.adjacency is not None:
        a = network.adjacency.tocsr()
        np.savez(folder / "adjacency.npz", data=a.data, indices=a.indices, indptr=a.indptr)
    if network.facts is not None:
        network.facts.to_parquet(folder / "facts.parquet")
    if network.base_layer is not None:
        np.savez(folder / "base_layer.npz", **network.base_layer.to_arrays())  # type: ignore[arg-type]  # names of arrays
    if series.context is not None:
        series.context.to_parquet(folder / "context.parquet")
    meta = {
        "version": VERSION,
        "n_steps": series.n_steps,
        "ids": list(network.ids),
        "quantity": series.quantity,
        "unit": series.unit,
        "known_ahead": list(series.known_ahead),
        "timezone": series.timezone,
        "fingerprint": series.fingerprint,
        "files": {f.name: _check(f) for f in sorted(folder.iterdir())},
    }
    (folder / META).write_text(json.dumps(meta, indent=1), encoding="utf-8")


def _check(file: Path) -> dict[str, Any]:
    """Size of a file, and sha256 of all but the readings, which are too large to read on every load."""
    check: dict[str, Any] = {"bytes": file.stat().st_size}
    if file.name != "readings.npy":
        check["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return check


def load_series(folder: Path | str, verify: bool = False) -> SensorSeries:
    """Open a series that `save_series` wrote; its readings stay on disk until they are used.

    Args:
        verify: also read all readings and compare them with the fingerprint.

    Raises:
        InputError: not a series, written by a newer version, or damaged.
    """
    folder = Path(folder)
    meta = _read_meta(folder)
    for name, check in meta["files"].items():
        file = folder / name
        if Path(name).name != name or not file.is_file() or _check(file) != check:
            raise InputError(f"{folder}: {show(name)} is missing or damaged. Load the data files again.")
    try:
        series = _read(folder, meta)
    except (ValueError, KeyError, TypeError, OSError, EOFError, pa.ArrowException, zipfile.BadZipFile) as error:
        raise InputError(f"{folder}: damaged ({show(error, 80)}). Load the data files again.") from None
    if verify and series.fingerprint != meta["fingerprint"]:
        raise InputError(f"{folder}: the readings are not those that were saved. Load the data files again.")
    return series


def _read_meta(folder: Path) -> dict[str, Any]:
    file = folder / META
    if not file.is_file():
        raise InputError(f"{folder}: holds no series ({META} is missing). Load the data files again.")
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
        version, needed = meta["version"], {"readings.npy", "times.npy", "places.npz"}
        complete = needed <= set(meta["files"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{folder}: {META} is damaged. Load the data files again.") from None
    if version != VERSION:
        raise InputError(f"{folder}: written as version {show(version)}, this program reads {VERSION}. Load the data files again.")
    if not complete:
        raise InputError(f"{folder}: {META} is damaged. Load the data files again.")
    return meta


def _read(folder: Path, meta: dict[str, Any]) -> SensorSeries:
    ids, stored = tuple(meta["ids"]), set(meta["files"])
    places = np.load(folder / "places.npz", allow_pickle=False)
    adjacency = None
    if "adjacency.npz" in stored:
        a = np.load(folder / "adjacency.npz", allow_pickle=False)
        adjacency = sparse.csr_matrix((a["data"], a["indices"], a["indptr"]), shape=(len(ids), len(ids)))
    base_layer = None
    if "base_layer.npz" in stored:
        with np.load(folder / "base_layer.npz", allow_pickle=False) as arrays:
            base_layer = BaseLayer.from_arrays(dict(arrays))
    values = np.load(folder / "readings.npy", mmap_mode="r", allow_pickle=False)
    if values.dtype != np.float32 or values.shape != (meta["n_steps"], len(ids)):
        raise ValueError(f"readings are {values.dtype} {values.shape}")
    network = SensorNetwork(
        ids=ids,
        lat=places["lat"],
        lon=places["lon"],
        adjacency=adjacency,
        facts=pd.read_parquet(folder / "facts.parquet") if "facts.parquet" in stored else None,
        base_layer=base_layer,
    )
    return SensorSeries(
        network=network,
        times=np.load(folder / "times.npy", allow_pickle=False),
        values=values,
        quantity=meta["quantity"],
        unit=meta["unit"],
        context=pd.read_parquet(folder / "context.parquet") if "context.parquet" in stored else None,
        known_ahead=tuple(meta["known_ahead"]),
        timezone=meta["timezone"],
    )
