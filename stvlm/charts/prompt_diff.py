"""Two prompts side by side, sentence by sentence, with the words that differ marked; safe to show as HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from stvlm.charts.palette import theme_of, with_alpha
from stvlm.data.escape import html as escape

Pair = tuple[str, str, str]  # kind of the sentence, its words here and there; "" where there is no such sentence


def align(here: Sequence[tuple[str, str]], there: Sequence[tuple[str, str]]) -> list[Pair]:
    """Sentences of two prompts that tell of the same, in their order.

    Args:
        here, there: (kind, sentence) each.
    """
    kinds = list(dict.fromkeys([kind for kind, _ in here] + [kind for kind, _ in there]))
    order = {kind: place for place, kind in enumerate(kinds)}
    rows: list[Pair] = []
    for kind in sorted(kinds, key=order.get):
        mine, theirs = ([text for k, text in side if k == kind] for side in (here, there))
        for i in range(max(len(mine), len(theirs))):
            rows.append((kind, mine[i] if i < len(mine) else "", theirs[i] if i < len(theirs) else ""))
    return rows


def prompt_diff_html(rows: Sequence[Pair], heads: tuple[str, str, str], theme: str = "light") -> str:
    """A table of sentences; what differs is underlined and shaded.

    Args:
        rows: as `align` makes them. heads: titles of the three columns.
        theme: "light" or "dark".
    """
    colours = theme_of(theme)
    look = f"background:{with_alpha(colours.ring, 0.18)};color:inherit;text-decoration:underline;border-radius:2px"
    cell = f"style='padding:6px 10px;border-top:1px solid {colours.grid};vertical-align:top;text-align:left'"
    body = ""
    for kind, here, there in rows:
        mine, theirs = _marked(here, there, look)
        body += f"<tr><th scope='row' {cell}>{escape(kind)}</th><td {cell}>{mine or '–'}</td><td {cell}>{theirs or '–'}</td></tr>"
    head = "".join(f"<th scope='col' {cell}>{escape(text)}</th>" for text in heads)
    return f"<table style='width:100%;border-collapse:collapse;color:{colours.text};font:14px/1.5 sans-serif'><tr>{head}</tr>{body}</table>"


def _marked(here: str, there: str, look: str) -> tuple[str, str]:
    """Two sentences with the words that only one of them has marked."""
    mine, theirs = (re.findall(r"\s+|\S+", text) for text in (here, there))
    out = ["", ""]
    for change, a, b, c, d in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        for side, part in enumerate(("".join(mine[a:b]), "".join(theirs[c:d]))):
            text = escape(part)
            out[side] += text if change == "equal" or not part.strip() else f"<mark style='{look}'>{text}</mark>"
    return out[0], out[1]
