"""Three shares as one colour, and the triangle that tells which colour is which mixture."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from stvlm.charts.palette import TERNARY, hex_of, theme_of
from stvlm.charts.scene import Area, Dot, Line, Scene, Word, scene_svg
from stvlm.charts.wording import ENGLISH, Wording
from stvlm.data.escape import html as escape
from stvlm.data.forecast import MODALITIES

LEAST_SPAN = 0.1  # of all: shares that differ by less than that look alike
FIELDS = 10  # along a side of the legend
WIDTH, HEIGHT = 330, 300  # pixels of the legend
CORNERS = np.array([[165.0, 34.0], [285.0, 242.0], [45.0, 242.0]])  # pixels: of vision above, text on the right, series on the left

# B. Ottosson 2020, "A perceptual color space for image processing": from linear sRGB to cone answers, from their cube roots to OKLab.
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OPPONENT = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@dataclass(frozen=True)
class Triangle:
    """The part of all mixtures that the colours span.

    Attributes:
        lows: least share of each of MODALITIES. span: share that is left to mix; a corner is `lows` with `span` added to one.
    """

    lows: tuple[float, float, float] = (0.0, 0.0, 0.0)
    span: float = 1.0

    @classmethod
    def around(cls, shares: np.ndarray) -> Triangle:
        """The smallest triangle that holds the shares (N, 3), to whole hundredths, of at least LEAST_SPAN."""
        known = shares[np.isfinite(shares).all(axis=1)]
        if not len(known):
            return cls()
        lows = np.floor(100 * known.min(axis=0) + 1e-6) / 100
        lacking = max(LEAST_SPAN - (1 - lows.sum()), 0.0)
        for _ in range(3):  # widened on all sides alike, as far as there is room
            room = lows > 0
            if lacking <= 1e-9 or not room.any():
                break
            cut = np.where(room, np.minimum(lows, lacking / room.sum()), 0.0)
            lows, lacking = lows - cut, lacking - cut.sum()
        return cls(tuple(float(low) for low in lows.round(6)), float(round(1 - lows.sum(), 6)))

    def mixture(self, shares: np.ndarray) -> np.ndarray:
        """(N, 3) where shares lie between the corners: rows sum to 1; NaN becomes the middle."""
        inside = np.clip((np.asarray(shares, "f8") - self.lows) / self.span, 0, None)
        inside = np.where(np.isfinite(inside).all(axis=1, keepdims=True), inside, 1 / 3)
        return inside / np.maximum(inside.sum(axis=1, keepdims=True), 1e-12)

    def colours(self, shares: np.ndarray) -> list[str]:
        """N colours "#rrggbb" of (N, 3) shares."""
        return blend(self.mixture(shares))


def blend(mixture: np.ndarray) -> list[str]:
    """N colours of (N, 3) mixtures of the three corner colours, evenly for the eye."""
    corners = np.array([[int(TERNARY[name][i : i + 2], 16) for i in (1, 3, 5)] for name in MODALITIES]) / 255
    linear = np.where(corners <= 0.04045, corners / 12.92, ((corners + 0.055) / 1.055) ** 2.4)
    lab = np.cbrt(linear @ _CONES.T) @ _OPPONENT.T  # (3, 3)
    mixed = ((mixture @ lab @ np.linalg.inv(_OPPONENT).T) ** 3) @ np.linalg.inv(_CONES).T
    mixed = np.clip(mixed, 0, 1)
    coded = np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** (1 / 2.4) - 0.055)
    return hex_of(np.round(255 * coded))


def triangle_html(
    triangle: Triangle,
    shares: np.ndarray | None = None,
    selected: int | None = None,
    theme: str = "light",
    words: Wording = ENGLISH,
) -> str:
    """The legend as a picture with its text twin, safe to show as HTML; arguments as of `triangle_svg`."""
    svg = triangle_svg(triangle, shares, selected, theme, words)
    source = base64.b64encode(svg.encode()).decode()
    spoken = escape(_spoken(triangle, words), quote=True)
    return f'<img src="data:image/svg+xml;base64,{source}" alt="{spoken}" width="{WIDTH}" height="{HEIGHT}">'


def triangle_svg(
    triangle: Triangle,
    shares: np.ndarray | None = None,
    selected: int | None = None,
    theme: str = "light",
    words: Wording = ENGLISH,
) -> str:
    """The legend: fields of colour, three named corners, ticks in % along each side, a dot for each sensor.

    Args:
        triangle: what the colours span. shares: (N, 3) of the sensors, or None. selected: node with a ring. theme: "light" or "dark".
        words: what it says.
    """
    colours = theme_of(theme)
    names = [words.modality(name) for name in MODALITIES]
    highs = [low + triangle.span for low in triangle.lows]
    shapes = [Area([_place(corners)], colour) for corners, colour in _fields()]
    shapes += [Line(CORNERS[[a, b]], colours.text, 1.2) for a, b in ((0, 1), (1, 2), (2, 0))]
    shapes += _ticks(triangle, colours.text)
    for name, high, (x, y), anchor in zip(names, highs, [(165, 16), (268, 282), (62, 282)], ["middle"] * 3, strict=True):
        shapes.append(Word(x, y, f"{name} {words.number(100 * high, 0)} %", colours.text, 13, anchor, bold=True))
    if shares is not None and len(shares) <= 500:
        shapes += [Dot(x, y, 1.6, colours.text) for x, y in _place(triangle.mixture(shares))]
    if shares is not None and selected is not None:
        x, y = _place(triangle.mixture(shares[[selected]]))[0]
        shapes.append(Dot(x, y, 6, "", colours.ring, 3))
    return scene_svg(Scene(WIDTH, HEIGHT, "none", _spoken(triangle, words), shapes))


def _spoken(triangle: Triangle, words: Wording) -> str:
    corners = (
        f"{words.modality(name)} {100 * (low + triangle.span):.0f} %" for name, low in zip(MODALITIES, triangle.lows, strict=True)
    )
    return words.mix_spoken.format(corners=", ".join(corners))


def _fields() -> list[tuple[np.ndarray, str]]:
    """The small triangles of the legend as mixtures (3, 3) of their corners, each with the colour of its middle."""
    whole, found = FIELDS, []
    for i in range(whole):
        for j in range(whole - i):
            up = np.array([(i + 1, j), (i, j + 1), (i, j)]) / whole
            found.append(np.column_stack([up, 1 - up.sum(axis=1)]))
            if j < whole - i - 1:
                down = np.array([(i + 1, j + 1), (i + 1, j), (i, j + 1)]) / whole
                found.append(np.column_stack([down, 1 - down.sum(axis=1)]))
    return list(zip(found, blend(np.array([corners.mean(axis=0) for corners in found])), strict=True))


def _ticks(triangle: Triangle, colour: str) -> list[Line | Word]:
    """Shares along each side: of one modality, from its least at the next corner to its most at its own."""
    shapes: list[Line | Word] = []
    outward = {0: (9.0, -5.0), 1: (0.0, 11.0), 2: (-9.0, -5.0)}  # vision on the right side, text below, series on the left
    for kind, origin in enumerate((1, 2, 0)):
        for part in (0.0, 0.5):  # the corner itself has its share beside its name
            mixture = np.zeros(3)
            mixture[kind], mixture[origin] = part, 1 - part
            x, y = _place(mixture[None])[0]
            dx, dy = outward[kind]
            shapes.append(Line(np.array([[x, y], [x + 0.5 * dx, y + 0.5 * dy]]), colour, 1.0))
            share = 100 * (triangle.lows[kind] + part * triangle.span)
            shapes.append(Word(x + dx, y + dy, f"{share:.0f}", colour, 11, ("start", "middle", "end")[kind]))
    return shapes


def _place(mixture: np.ndarray) -> np.ndarray:
    """(K, 2) pixels of (K, 3) mixtures."""
    return mixture @ CORNERS
