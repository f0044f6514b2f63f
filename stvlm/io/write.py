"""Write forecasts and tables as files that other programs open: CSV, Parquet, GeoJSON, LaTeX, Markdown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from stvlm.core.escape import cells as cells_of_csv
from stvlm.core.escape import latex, read_cell, table_cell
from stvlm.core.forecast import Forecast
from stvlm.io.source import InputError, open_source, show
from stvlm.io.table import open_table
from stvlm.io.timestamps import parse_times

COLUMNS = ("timestamp", "sensor_id", "value", "lower_80", "upper_80")


def write_forecast(forecast: Forecast, path: Path | str) -> None:
    """Write a forecast as .csv, .parquet or .geojson (one point per sensor and step), whole or not at all.

    Raises:
        InputError: another ending.
    """
    path = Path(path)
    writers = {".csv": _write_csv, ".parquet": _write_parquet, ".geojson": _write_geojson}
    if path.suffix.lower() not in writers:
        raise InputError(f"{show(path.name)}: a forecast is written as .csv, .parquet or .geojson. Choose one of these endings.")
    part = path.with_name(f".{path.name}.part")
    writers[path.suffix.lower()](forecast, part)
    os.replace(part, path)


def _write_csv(forecast: Forecast, path: Path) -> None:
    table = forecast.to_frame()
    table["timestamp"] = _iso(table["timestamp"])
    path.write_text(table_csv(table), encoding="utf-8", newline="")


def _write_parquet(forecast: Forecast, path: Path) -> None:
    forecast.to_frame().to_parquet(path, index=False)


def _write_geojson(forecast: Forecast, path: Path) -> None:
    table = forecast.to_geodataframe()
    table["timestamp"] = _iso(table["timestamp"])
    numbers = table.select_dtypes("number").columns
    table[numbers] = table[numbers].astype("float64").replace([np.inf, -np.inf], np.nan)
    path.write_text(table.to_json(na="null", drop_id=True, allow_nan=False), encoding="utf-8")


def _iso(times: pd.Series) -> pd.Series:
    """2020-04-03 08:00:00, with +00:00 behind it where the zone is known."""
    zone = "+00:00" if isinstance(times.dtype, pd.DatetimeTZDtype) else ""
    return times.dt.strftime("%Y-%m-%d %H:%M:%S") + zone


def read_forecast(path: Path | str) -> pd.DataFrame:
    """Read what `write_forecast` wrote: the columns of `Forecast.to_frame`.

    Raises:
        InputError: a file without these columns.
    """
    file = open_source(Path(path))
    table = open_table(file)
    absent = [c for c in COLUMNS if c not in table.columns]
    if absent:
        raise InputError(f"{file.name}, header: no column {', '.join(absent)}. Write it with write_forecast.")
    cells = table.read(["timestamp", "sensor_id"], list(COLUMNS[2:]))
    clock = parse_times(cells["timestamp"], file.name, table.first_row)
    times = pd.DatetimeIndex(clock.times)
    cells["timestamp"] = times.tz_localize("UTC") if clock.zoned else times
    if file.kind == "text":
        cells["sensor_id"] = cells["sensor_id"].map({name: read_cell(name) for name in cells["sensor_id"].unique()})
    return cells[list(COLUMNS)]


# Tables as text for other programs: CSV, LaTeX, Markdown. Nothing in a cell is taken for a formula or a command.


def table_csv(table: pd.DataFrame, float_format: str | None = None) -> str:
    """A table as CSV, the only one of this program that others open; no text or column name in it is taken for a formula."""
    return cells_of_csv(table).to_csv(index=False, float_format=float_format)


def table_latex(table: pd.DataFrame, decimals: int = 3) -> str:
    """A table as a LaTeX `tabular` with the rules of booktabs; every sign that LaTeX would act on is escaped."""
    columns = "".join("r" if pd.api.types.is_numeric_dtype(kind) else "l" for kind in table.dtypes)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(table.columns, decimals), r"\midrule"]
    lines += [_latex_row(row, decimals) for row in table.itertuples(index=False, name=None)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def table_markdown(table: pd.DataFrame, decimals: int = 3) -> str:
    """A table as Markdown; every sign that Markdown or HTML would act on is escaped."""
    marks = ["---:" if pd.api.types.is_numeric_dtype(kind) else "---" for kind in table.dtypes]
    rows: list[Iterable[object]] = [table.columns, *table.itertuples(index=False, name=None)]
    head, *body = (["" if cell is None else _escaped(cell, decimals, table_cell) for cell in row] for row in rows)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, marks, *body)) + "\n"


def _latex_row(cells: Iterable[object], decimals: int) -> str:
    return " & ".join(_escaped(cell, decimals, latex) for cell in cells) + r" \\"


def _escaped(cell: object, decimals: int, escape: Callable[[object], str]) -> str:
    if isinstance(cell, float | np.floating):
        return f"{cell:.{decimals}f}" if np.isfinite(cell) else ""
    return escape(cell)
