"""Text of strangers on its way out: one function for each place that would act on some of its signs."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # a spreadsheet would run a cell that starts so
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


def cells(column: pd.Series) -> pd.Series:
    """Text in a CSV that no spreadsheet takes for a formula: an apostrophe stands before a first = + - @, tab or line break."""
    return column.where(~column.str.startswith(FORMULA), "'" + column)


def file_name(text: object, ending: str = "") -> str:
    """A plain name of a file: letters, digits, dot, minus and underscore; no path, no hidden file, no device.

    Args:
        ending: ".csv", kept as it is.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", str(text)).strip("._-")[:80] or "file"
    return (f"_{name}" if _RESERVED.match(name) else name) + ending
