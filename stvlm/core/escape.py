"""Text of strangers on its way out: one function for each place that would act on some of its signs."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

import pandas as pd

_SIGNS = r"=+\-@＝＋－＠"  # a spreadsheet takes a cell that begins with one of these for a formula
_SKIPPED = r"""(?:[^\S\t\r\n]|['"])*"""  # and may pass over these before it
_FORMULA = re.compile(rf"^(?={_SKIPPED}[{_SIGNS}\t\r\n])|(?<=[;\t\r\n])(?={_SKIPPED}[{_SIGNS}])")
_DEFUSED = re.compile(rf"^'(?={_SKIPPED}[{_SIGNS}\t\r\n])|(?<=[;\t\r\n])'(?={_SKIPPED}[{_SIGNS}])")
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "[": "{[}", "*": "{*}", "\n": " ",
    "−": "$-$", "…": r"\ldots{}", "×": r"$\times$",
}  # fmt: skip
_LINKED = re.compile(r"(https?:(?=//)|www(?=\.)|@)", re.IGNORECASE)  # where Streamlit makes a link of plain text
_TABLE = {"\\": "\\\\", "|": "\\|", "<": "&lt;", ">": "&gt;", "*": "\\*", "`": "\\`", "[": "\\[", "]": "\\]", "\n": " "}
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)


def html(text: object, quote: bool = True) -> str:
    """Text inside HTML or SVG, between tags and in quoted attributes: no tag comes of it.

    Args:
        quote: also escape quotes; False only between tags.
    """
    return escape(str(text), quote=quote)


def script(data: Any) -> str:
    """Data inside a <script>, as JSON that cannot end the script nor open a comment or a tag.

    Raises:
        ValueError: a number that is not finite.
    """
    text = json.dumps(data, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def markdown(text: object) -> str:
    """Text inside Streamlit's markdown: no link, image, colour, icon or formula comes of it.

    Addresses become links even where each of their signs is escaped; a word joiner, which nobody sees, keeps them apart.
    """
    text = _LINKED.sub("\\1\u2060", re.sub(r"\s", " ", str(text)))
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|$:~&])", r"\\\1", text)


def table_cell(text: object) -> str:
    """Text inside a cell of a Markdown table."""
    return "".join(_TABLE.get(sign, sign) for sign in str(text))


def latex(text: object) -> str:
    """Text inside a LaTeX document: no command comes of it, also at the start of a row."""
    return "".join(_LATEX.get(sign, sign) for sign in str(text))


def cell(text: str) -> str:
    """Text in a cell that no spreadsheet takes for a formula, whichever sign it takes for the end of a cell.

    An apostrophe goes before what would begin as a formula, at the start and behind a semicolon, tab or line break: at these a spreadsheet
    of another country begins a new cell, and so does pasting. `read_cell` takes it away again.
    """
    return _FORMULA.sub("'", text)


def read_cell(text: str) -> str:
    """The text that `cell` made this of."""
    return _DEFUSED.sub("", text)


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts and column names are written by `cell`; its numbers and times are what they were."""
    out = table.copy(deep=False)
    for place, kind in enumerate(table.dtypes):
        if pd.api.types.is_object_dtype(kind) or isinstance(kind, pd.StringDtype | pd.CategoricalDtype):
            written = table.iloc[:, place].map(lambda value: cell(value) if isinstance(value, str) else value)
            out.isetitem(place, written)  # type: ignore[arg-type]  # the stubs know scalars and lists only
    return out.set_axis([cell(name) if isinstance(name, str) else name for name in table.columns], axis="columns")


def file_name(text: object, ending: str = "") -> str:
    """A plain name of a file: letters, digits, dot, minus and underscore; no path, no hidden file, no device.

    Args:
        ending: ".csv", kept as it is.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", str(text)).strip("._-")[:80] or "file"
    return (f"_{name}" if _RESERVED.match(name) else name) + ending
