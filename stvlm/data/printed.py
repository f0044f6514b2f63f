"""Tables as text for other programs: CSV, LaTeX, Markdown. Nothing in a cell is taken for a formula or a command."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from stvlm.data.escape import cells as cells_of_csv
from stvlm.data.escape import latex, table_cell


def table_csv(table: pd.DataFrame) -> str:
    """A table as CSV; an apostrophe stands before texts and column names that a spreadsheet would run."""
    out = table.copy()
    for column in out.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in out.dtypes]]:
        out[column] = cells_of_csv(out[column].astype("str"))
    out.columns = cells_of_csv(pd.Series([str(column) for column in out.columns], dtype="str")).tolist()
    return out.to_csv(index=False)


def table_latex(table: pd.DataFrame, decimals: int = 3) -> str:
    """A table as a LaTeX `tabular` with the rules of booktabs; every sign that LaTeX would act on is escaped."""
    columns = "".join("r" if pd.api.types.is_numeric_dtype(kind) else "l" for kind in table.dtypes)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(table.columns, decimals), r"\midrule"]
    lines += [_latex_row(row, decimals) for row in table.itertuples(index=False, name=None)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def table_markdown(table: pd.DataFrame, decimals: int = 3) -> str:
    """A table as Markdown; every sign that Markdown or HTML would act on is escaped."""
    marks = ["---:" if pd.api.types.is_numeric_dtype(kind) else "---" for kind in table.dtypes]
    rows = [table.columns, *table.itertuples(index=False, name=None)]
    head, *body = (["" if cell is None else _escaped(cell, decimals, table_cell) for cell in row] for row in rows)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, marks, *body)) + "\n"


def _latex_row(cells: object, decimals: int) -> str:
    return " & ".join(_escaped(cell, decimals, latex) for cell in cells) + r" \\"


def _escaped(cell: object, decimals: int, escape: Callable[[object], str]) -> str:
    if isinstance(cell, float | np.floating):
        return f"{cell:.{decimals}f}" if np.isfinite(cell) else ""
    return escape(cell)
