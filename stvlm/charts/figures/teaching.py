"""The prompt with its token borders, each number of it tied to its sensor on a small map beside; one page of HTML that asks no host."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stvlm.charts.maps.basemap import land_around
from stvlm.charts.style import Theme, browser_file, plain, style, theme_of, with_alpha
from stvlm.core.escape import html as escape
from stvlm.core.escape import script
from stvlm.core.network import SensorNetwork

SIDE = 300  # pixels of the map
MOST_DOTS = 3000  # sensors drawn; of a larger network those that the text names, and an even choice of the others


@dataclass(frozen=True)
class Mark:
    """A number of the text: its place, what it is, in words, and the node that it is of (None: no single sensor)."""

    start: int
    end: int
    words: str
    node: int | None = None


def prompt_links_html(
    text: str,
    tokens: Sequence[str],
    marks: Sequence[Mark],
    network: SensorNetwork,
    words: dict[str, str],
    theme: str = "light",
) -> str:
    """Hovering over a number, or reaching it by the tab key, says what it is and rings its sensor; a sensor lights its numbers.

    Args:
        text: the prompt. tokens: joined, they are the text; () shows no borders.
        marks: numbers of the text, in its order, none over another.
        network: whose sensors stand on the map.
        words: "hint" below the text before anything is chosen, "map" and "text" for those who hear the page, "token".
        theme: "light" or "dark".

    Raises:
        ValueError: tokens that are not the text.
    """
    if tokens and "".join(tokens) != text:
        raise ValueError("The tokens, joined, are not the text.")
    colours = theme_of(theme)
    body = _text(text, tokens, marks, words["token"])
    names = [escape(network.name(n)) for n in range(network.n_sensors)]
    told = script([mark.words for mark in marks])
    return (
        f"<style>{_style(colours)}</style><div class='row'><div class='read'>"
        f"<div class='prompt' aria-label='{escape(words['text'], quote=True)}'>{body}</div>"
        f"<p class='told' role='status' aria-live='polite'>{escape(words['hint'])}</p></div>"
        f"{_map(network, names, _drawn(network, marks), colours, words['map'])}</div><script>const told={told};{_SCRIPT}</script>"
    )


def _text(text: str, tokens: Sequence[str], marks: Sequence[Mark], word: str) -> str:
    """Spans of tokens, in turns light and dark; numbers are buttons around theirs."""
    ends = np.cumsum([len(token) for token in tokens]) if tokens else np.array([len(text)])
    cuts = sorted({0, len(text), *map(int, ends), *(m.start for m in marks), *(m.end for m in marks)})
    opened, closed = {m.start: i for i, m in enumerate(marks)}, {m.end for m in marks}
    pieces = []
    for start, end in pairwise(cuts):
        if start in opened:
            mark = marks[opened[start]]
            node = "" if mark.node is None else f" data-node='{mark.node}'"
            pieces.append(
                f"<b tabindex='0' role='button' data-mark='{opened[start]}'{node} title='{escape(mark.words, quote=True)}'>"
            )
        token = int(np.searchsorted(ends, start, side="right"))
        begins = start == (ends[token - 1] if token else 0)
        look = f"t{token % 2}{' f' if begins else ''}" if tokens else ""
        title = f" title='{escape(word, quote=True)} {token + 1}'" if tokens else ""
        pieces.append(f"<span class='{look}'{title}>{escape(text[start:end])}</span>")
        if end in closed:
            pieces.append("</b>")
    return "".join(pieces)


def _drawn(network: SensorNetwork, marks: Sequence[Mark]) -> list[int]:
    """The nodes that stand on the map."""
    every = -(-network.n_sensors // MOST_DOTS)
    return sorted({*range(0, network.n_sensors, every), *(m.node for m in marks if m.node is not None)})


def _map(network: SensorNetwork, names: Sequence[str], nodes: Sequence[int], colours: Theme, label: str) -> str:
    """Land and sensors as SVG, north up; degrees of longitude are as wide as they are at the middle latitude."""
    lat, lon = network.lat, network.lon
    squeeze = max(np.cos(np.radians(float(lat.mean()))), 0.05)
    half = 0.6 * max(np.ptp(lat), np.ptp(lon) * squeeze, 0.02)
    middle = (float(lat.min() + lat.max()) / 2, float(lon.min() + lon.max()) / 2)
    bounds = (middle[1] - half / squeeze, middle[0] - half, middle[1] + half / squeeze, middle[0] + half)

    def place(east: np.ndarray, north: np.ndarray) -> np.ndarray:
        x = (np.asarray(east) - bounds[0]) / (bounds[2] - bounds[0])
        y = (bounds[3] - np.asarray(north)) / (bounds[3] - bounds[1])
        return (SIDE * np.stack([x, y], axis=-1)).round(1)

    land = land_around(bounds)[1].get("land", {"type": "MultiPolygon", "coordinates": []})
    areas = land["coordinates"] if land["type"] == "MultiPolygon" else [land["coordinates"]]
    rings = [place(*np.asarray(ring, "f8").T[:2]) for area in areas for ring in area]
    path = " ".join("M" + "L".join(f"{x:g},{y:g}" for x, y in ring) + "Z" for ring in rings)
    dots = "".join(
        f"<circle cx='{x:g}' cy='{y:g}' r='4' data-node='{n}'><title>{names[n]}</title></circle>"
        for n, (x, y) in zip(nodes, place(lon[nodes], lat[nodes]), strict=True)
    )
    return (
        f"<svg viewBox='0 0 {SIDE} {SIDE}' role='img' aria-label='{escape(label, quote=True)}'>"
        f"<rect width='{SIDE}' height='{SIDE}' fill='{colours.sea}'/>"
        f"<path d='{path}' fill='{colours.land}' stroke='{colours.coast}' fill-rule='evenodd'/>{dots}"
        f"<circle id='ring' r='10' fill='none' stroke='{colours.ring}' stroke-width='3' visibility='hidden'/>"
        f"<text id='name' fill='{colours.text}' stroke='{colours.panel}' visibility='hidden'></text>"
        f"<text x='{SIDE - 8}' y='18' fill='{colours.muted}' text-anchor='end'>▲ N</text></svg>"
    )


def _style(colours: Theme) -> str:
    light, dark = with_alpha(colours.accent, 0.10), with_alpha(colours.accent, 0.24)
    return (
        f"body{{margin:0;background:transparent;color:{colours.text};font:15px/1.9 sans-serif}}"
        ".row{display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start}.read{flex:1 1 320px}"
        f"svg{{flex:0 1 {SIDE}px;width:{SIDE}px;max-width:100%;border-radius:6px}}"
        "svg text{font:12px sans-serif;paint-order:stroke;stroke-width:3px}"
        f"circle[data-node]{{fill:{colours.accent};stroke:{colours.outline};cursor:pointer}}"
        ".prompt{white-space:pre-wrap;overflow-wrap:anywhere}"
        f".t0{{background:{light}}}.t1{{background:{dark}}}.f{{box-shadow:inset 1px 0 {colours.muted}}}"
        f"b{{font-weight:600;cursor:pointer;border-bottom:2px solid {colours.muted};outline-offset:2px}}"
        f"b[data-node]{{border-bottom-color:{colours.ring}}}b.on{{outline:2px solid {colours.ring};border-radius:2px}}"
        f"b:focus-visible{{outline:2px solid {colours.ring}}}"
        f".told{{margin:10px 0 0;min-height:2.6em;color:{colours.muted};line-height:1.35}}"
    )


_SCRIPT = browser_file("prompt_map.js")


# Small figures for teaching: a sensor's past as measured and as the model gets it, and bars of anything.


def past_lines(
    past: np.ndarray, scaled: np.ndarray, times: np.ndarray, measured: str, departure: str, time: str, theme: str = "light"
) -> go.Figure:
    """One sensor's past: readings above, departures from the usual below.

    Args:
        past: (L,) in their unit, NaN = missing. scaled: (L,) in standard deviations. times: (L,) datetime64[s], local.
        measured, departure: titles of the two parts; time: of their axis. theme: "light" or "dark".
    """
    colours = theme_of(theme)
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.16, subplot_titles=(plain(measured), plain(departure))
    )
    for row, (values, colour) in enumerate(((past, colours.text), (scaled, colours.accent)), 1):
        figure.add_scatter(
            x=times, y=values, mode="lines+markers", line_color=colour, connectgaps=False, hovertemplate="%{y:.3~g}<extra></extra>",
            row=row, col=1,
        )  # fmt: skip
    style(figure, theme)
    figure.update_layout(showlegend=False)
    figure.update_annotations(x=0, xanchor="left", font_size=13)
    figure.update_yaxes(title_text="")
    figure.update_yaxes(zeroline=True, row=2, col=1)
    figure.update_xaxes(title_text=plain(time), row=2, col=1)
    return figure


def bars(
    names: Sequence[str], values: Sequence[float], texts: Sequence[str], label: str, colours: Sequence[str], theme: str = "light"
):
    """A bar for each of K things, lying, the first at the top.

    Args:
        names: K. values: (K,). texts: K, written at the bars. label: of the values. colours: K. theme: "light" or "dark".
    """
    figure = go.Figure()
    figure.add_bar(
        y=[plain(name) for name in names],
        x=values,
        text=[plain(text) for text in texts],
        orientation="h",
        textposition="outside",
        cliponaxis=False,
        marker_color=list(colours),
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
    style(figure, theme, "", label)
    figure.update_yaxes(autorange="reversed", title_text="")
    figure.update_xaxes(range=[0, 1.15 * max(float(np.nanmax(values, initial=0.0)), 1e-9)])
    return figure


# Two prompts side by side, sentence by sentence, with the words that differ marked; safe to show as HTML.

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
