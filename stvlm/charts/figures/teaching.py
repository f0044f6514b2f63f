"""The prompt with its token borders, each number of it tied to its sensor on a small map beside; one page of HTML that asks no host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stvlm.charts.basemap import land_around
from stvlm.charts.palette import Theme, theme_of, with_alpha
from stvlm.data.escape import html as escape
from stvlm.data.escape import script
from stvlm.data.network import SensorNetwork

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


_SCRIPT = """
const all = q => [...document.querySelectorAll(q)], ring = document.getElementById('ring'), name = document.getElementById('name');
const say = document.querySelector('.told');
function light(node) {
  const dot = node === undefined ? null : document.querySelector(`circle[data-node="${node}"]`);
  for (const mark of [ring, name]) mark.setAttribute('visibility', dot ? 'visible' : 'hidden');
  if (!dot) return;
  const x = +dot.getAttribute('cx'), y = +dot.getAttribute('cy');
  ring.setAttribute('cx', x); ring.setAttribute('cy', y);
  name.textContent = dot.textContent;
  name.setAttribute('x', x); name.setAttribute('y', y < 30 ? y + 26 : y - 15);
  name.setAttribute('text-anchor', x < 80 ? 'start' : x > 220 ? 'end' : 'middle');
}
function choose(mark) {
  all('b.on').forEach(b => b.classList.remove('on'));
  mark.classList.add('on');
  say.textContent = mark.textContent + ': ' + told[+mark.dataset.mark];
  light(mark.dataset.node);
}
all('b').forEach(b => ['mouseenter', 'focus', 'click'].forEach(e => b.addEventListener(e, () => choose(b))));
all('circle[data-node]').forEach(dot => ['mouseenter', 'click'].forEach(e => dot.addEventListener(e, () => {
  all('b.on').forEach(b => b.classList.remove('on'));
  const mine = all(`b[data-node="${dot.dataset.node}"]`);
  mine.forEach(b => b.classList.add('on'));
  say.textContent = [dot.textContent, ...mine.map(b => b.textContent + ', ' + told[+b.dataset.mark])].join(' · ');
  light(dot.dataset.node);
})));
"""
