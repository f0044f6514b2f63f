"""Who is near whom, as users give it: a matrix, or a list of edges with or without weights."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from stvlm.io.source import InputError, Source, SourceFile, open_source, show
from stvlm.io.table import Table, check_columns, open_table, parse_numbers, to_text
from stvlm.io.text import tidy_column_of_names

FROM = ("from", "source", "src", "start", "from_id", "u", "i")
TO = ("to", "target", "dst", "destination", "end", "to_id", "v", "j")
WEIGHTS = ("weight", "w", "closeness", "similarity")
DISTANCES = ("distance", "dist", "distance_km", "distance_m", "length", "cost")


def read_adjacency(source: Source, ids: tuple[str, ...]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Closeness between sensors.

    A column of distances becomes closeness exp(-(distance / s)²), s = the standard deviation of all distances.

    Args:
        ids: of the sensor table; a matrix without ids follows its order.

    Returns:
        edges: rows `from`, `to` (ids, text), `weight` (float64 closeness > 0), each pair once.
        notes: what was recognised and left out.

    Raises:
        InputError: neither a matrix nor an edge list, a cell that is no number or negative, or no sensor of the table.
    """
    file = open_source(source)
    table = open_table(file, has_header=False)
    plain = {c.lower(): c for c in reversed(table.columns)}
    start, end = (next((plain[w] for w in words if w in plain), None) for words in (FROM, TO))
    if start is not None and end is not None:
        check_columns(file, table.columns)
        edges, notes = _read_edges(file, table, plain, start, end)
    else:
        edges, notes = _read_matrix(file, table, ids)
    bad = ~(edges["weight"] >= 0)
    if bad.any():
        row = edges[bad].iloc[0]
        raise InputError(
            f"{file.name}, from '{show(row['from'])}' to '{show(row['to'])}': {row['weight']} is no closeness. "
            "Use numbers from 0 up, without gaps."
        )
    known = edges["from"].isin(ids) & edges["to"].isin(ids)
    if not known.any():
        raise InputError(f"{file.name}: names no sensor of the sensor table (such as '{show(ids[0])}'). Use the same ids in both.")
    if not known.all():
        notes += (f"{file.name}: {int((~known).sum())} edges name sensors that the sensor table lacks; left out.",)
    edges = edges[known & (edges["weight"] > 0)]
    twice = edges.duplicated(["from", "to"], keep="last")
    if twice.any():
        notes += (f"{file.name}: {int(twice.sum())} edges stand there more than once; the last counts.",)
    return edges[~twice].reset_index(drop=True), (*table.notes, *notes)


def _read_edges(
    file: SourceFile, table: Table, plain: dict[str, str], start: str, end: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    weight = next((plain[w] for w in WEIGHTS if w in plain), None)
    distance = next((plain[w] for w in DISTANCES if w in plain), None)
    column = weight or distance
    cells = table.read([start, end], [column] if column else [])
    edges = pd.DataFrame(
        {
            "from": tidy_column_of_names(to_text(cells[start])),
            "to": tidy_column_of_names(to_text(cells[end])),
            "weight": cells[column].astype("float64") if column else 1.0,
        }
    )
    if weight:
        return edges, (f"{file.name}: a list of edges with closeness '{show(weight)}'.",)
    if not distance:
        return edges, (f"{file.name}: a list of edges without weights, each counts 1.",)
    wrong = ~(edges["weight"] >= 0)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(
            f"{file.name}, row {row + table.first_row}: the distance {edges['weight'].iloc[row]} cannot be. Use numbers from 0 up."
        )
    spread = float(edges["weight"].std(ddof=0)) or float(edges["weight"].mean()) or 1.0
    edges["weight"] = np.exp(-((edges["weight"] / spread) ** 2))
    return edges, (f"{file.name}: distances '{show(distance)}' turned into closeness exp(-(d / {spread:.4g})²).",)


def _read_matrix(file: SourceFile, table: Table, ids: tuple[str, ...]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A matrix with ids in the header (and usually in the first column), or bare numbers in the order of the sensor table."""
    columns = list(table.columns)
    has_header = len(set(columns) & set(ids)) > 0
    if not has_header and len(columns) == len(ids):
        values = _bare_matrix(file, table)
        if values.shape == (len(ids), len(ids)):
            return _to_edges(values, list(ids), list(ids)), (
                f"{file.name}: a matrix without ids, in the order of the sensor table.",
            )
    if not has_header:
        raise InputError(
            f"{file.name}: neither edges (columns from, to[, weight|distance]) nor a matrix of the {len(ids)} sensors. "
            f"Its header is {', '.join(show(c, 20) for c in columns[:4])}."
        )
    check_columns(file, columns)
    labelled = columns[0] not in ids
    targets = columns[1:] if labelled else columns
    cells = table.read([columns[0]] if labelled else [], targets)
    sources = list(tidy_column_of_names(to_text(cells[columns[0]]))) if labelled else targets
    if len(sources) != len(cells):
        raise InputError(
            f"{file.name}: {len(cells)} rows but {len(targets)} columns. A matrix needs one row and one column per sensor."
        )
    values = cells[targets].to_numpy("float64")
    return _to_edges(values, sources, targets), (f"{file.name}: a matrix, row = from, column = to.",)


def _bare_matrix(file: SourceFile, table: Table) -> np.ndarray:
    if table.frame is not None:
        return table.read([], list(table.columns))[list(table.columns)].to_numpy("float64")
    table.file.check_cells(table.text.count(b"\n"), len(table.columns))
    options: dict[str, Any] = {"sep": table.delimiter, "header": None, "keep_default_na": False}
    try:
        return pd.read_csv(io.BytesIO(table.text), decimal=table.decimal, dtype="float64", **options).to_numpy()
    except pd.errors.ParserError:
        raise InputError(f"{file.name}: its rows differ in length. A matrix needs one row and one column per sensor.") from None
    except ValueError:  # some cell is no number: read all as text to say which
        frame = pd.read_csv(io.BytesIO(table.text), dtype="str", **options)
    parsed = [parse_numbers(frame[c], table.decimal) for c in frame]
    bad = np.stack([b for _, b in parsed], axis=1)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"{file.name}, row {row + 1}, column {column + 1}: '{show(frame.iat[row, column])}' is not a number. Correct it."
        )
    return np.stack([v for v, _ in parsed], axis=1)


def _to_edges(values: np.ndarray, sources: list[str], targets: list[str]) -> pd.DataFrame:
    row, column = np.nonzero(~(values == 0))  # NaN is kept, to be refused
    start, end = (np.asarray(ids, dtype="object") for ids in (sources, targets))  # an edge points at its ids: they may be long
    edges = {"from": pd.Series(start[row], dtype="object"), "to": pd.Series(end[column], dtype="object")}
    return pd.DataFrame(edges | {"weight": values[row, column]})


def to_matrix(edges: pd.DataFrame, ids: tuple[str, ...]) -> sparse.csr_matrix:
    """(N, N) float64 closeness, row = from, for the sensors `ids`; edges of other sensors are left out."""
    node = {name: i for i, name in enumerate(ids)}
    known = edges[edges["from"].isin(ids) & edges["to"].isin(ids)]
    row, column = (np.fromiter((node[name] for name in known[end]), "int64", len(known)) for end in ("from", "to"))
    place = (known["weight"].to_numpy("float64"), (row, column))
    return sparse.csr_matrix(place, shape=(len(ids), len(ids)))
