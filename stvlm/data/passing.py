"""Tables as read, handed from one process to another in plain files: numbers as arrays, words as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stvlm.data.baselayer import BaseLayer
from stvlm.data.formats import RawTables

TABLES = ("sensors", "adjacency", "context")


def put(raw: RawTables, folder: Path) -> None:
    """Write tables into a folder."""
    np.save(folder / "readings.npy", raw.readings.to_numpy(dtype="float32"), allow_pickle=False)
    np.save(folder / "times.npy", raw.readings.index.to_numpy().astype("datetime64[s]"), allow_pickle=False)
    if raw.context is not None:
        np.save(folder / "context.npy", raw.context.index.to_numpy().astype("datetime64[s]"), allow_pickle=False)
    if raw.base_layer is not None:
        np.savez(folder / "layer.npz", **raw.base_layer.to_arrays())
    words = {name: getattr(raw, name) for name in ("names", "notes", "timezone", "zoned", "fixes", "context_clock")}
    words["ids"] = list(raw.readings.columns)
    words |= {name: _plain(getattr(raw, name)) for name in TABLES}
    (folder / "words.json").write_text(json.dumps(words), encoding="utf-8")


def take(folder: Path) -> RawTables:
    """Read what `put` wrote."""
    words = json.loads((folder / "words.json").read_text("utf-8"))
    times = pd.DatetimeIndex(np.load(folder / "times.npy", allow_pickle=False), name="timestamp")
    tables = {name: _table(words[name]) for name in TABLES}
    if tables["context"] is not None:
        tables["context"].index = pd.DatetimeIndex(np.load(folder / "context.npy", allow_pickle=False), name="timestamp")
    layer = None
    if (folder / "layer.npz").is_file():
        with np.load(folder / "layer.npz", allow_pickle=False) as arrays:
            layer = BaseLayer.from_arrays(dict(arrays))
    values = np.load(folder / "readings.npy", allow_pickle=False)
    return RawTables(
        readings=pd.DataFrame(values, index=times, columns=pd.Index(words["ids"], dtype="str")),
        names=words["names"],
        notes=tuple(words["notes"]),
        timezone=words["timezone"],
        zoned=words["zoned"],
        fixes=tuple(words["fixes"]),
        base_layer=layer,
        context_clock=words["context_clock"],
        **tables,
    )


def _plain(table: pd.DataFrame | None) -> list[list[Any]] | None:
    """[name, whether numbers, cells] of each column; a missing number is null."""
    if table is None:
        return None
    columns = []
    for name, cells in table.items():
        is_number = pd.api.types.is_numeric_dtype(cells.dtype)
        columns.append([name, is_number, cells.where(cells.notna(), None).astype("object").tolist()])
    return columns


def _table(columns: list[list[Any]] | None) -> pd.DataFrame | None:
    if columns is None:
        return None
    return pd.DataFrame({name: pd.Series(cells, dtype="float64" if is_number else "str") for name, is_number, cells in columns})
