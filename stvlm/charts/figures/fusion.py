"""Figures of a fusion: weights of the modalities, attention to the prompt, effect of deletion, ternary legend."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from stvlm.charts.export.canvas import Area, Dot, Line, Scene, Word, scene_svg
from stvlm.charts.labels import ENGLISH, Wording
from stvlm.charts.rasters import image_png
from stvlm.charts.scale import with_unit
from stvlm.charts.style import MODALITY_COLOURS, TERNARY, hex_of, plain, say, style, theme_of
from stvlm.core.escape import html as escape
from stvlm.core.forecast import MODALITIES, FusionExplanation
from stvlm.core.series import to_local

__all__ = ["deletion_bars", "deletion_lines", "image_png", "prompt_html", "share_course", "shares_bars"]


def shares_bars(
    explanation: FusionExplanation, sensor: int | None = None, theme: str = "light", words: Wording = ENGLISH
) -> go.Figure:
    """Shares of vision, text and series in the fusion, in %.

    Args:
        explanation: of N sensors.
        sensor: node, drawn beside the mean of all sensors; None shows the mean alone.
        theme: "light" or "dark".
        words: what it says.
    """
    percent = 100 * np.asarray(explanation.modality_weights, "f8")  # (N, 3)
    rows = [(words.mean_of_all, _mean(percent, axis=0))]
    if sensor is not None:
        rows.insert(0, (explanation.network.name(sensor), percent[sensor]))
    figure = go.Figure()
    _bars(figure, rows, "%{x}: %{y:.1f} %", ["{:.1f} %"] * len(rows), words)
    style(figure, theme, "", "", words.share)
    top = max([float(np.nanmax(values)) for _, values in rows if np.isfinite(values).any()], default=100.0)
    figure.update_layout(height=300, barmode="group", yaxis_range=[0, min(1.15 * max(top, 1.0), 112.0)])
    return figure if np.isfinite(percent).any() else say(figure, words.no_shares)


def deletion_bars(
    explanation: FusionExplanation, sensor: int | None = None, theme: str = "light", words: Wording = ENGLISH
) -> go.Figure:
    """How far the forecast moves when a modality is taken away: mean absolute change over the horizon, in its unit.

    Args:
        explanation: with the measured changes in `deletion`.
        sensor: node, drawn beside the mean of all sensors; None shows the mean alone.
        theme: "light" or "dark".
        words: what it says.
    """
    figure = go.Figure()
    names = [name for name in MODALITIES if name in explanation.deletion]
    changes = {name: _mean(np.abs(np.asarray(explanation.deletion[name], "f8")), axis=0) for name in names}  # (N,) each
    rows = [(words.mean_of_all, np.array([_mean(changes[name]) for name in names]))]
    if sensor is not None:
        rows.insert(0, (explanation.network.name(sensor), np.array([changes[name][sensor] for name in names])))
    unit = explanation.unit
    label = with_unit(words.change, unit)
    if names:
        _bars(
            figure,
            rows,
            f"{words.without.format(modality='%{x}')}: %{{y:.3~g}} {plain(unit)}".rstrip(),
            ["{:.3g}"] * len(rows),
            words,
            names,
        )
    style(figure, theme, "", words.taken_away, label)
    figure.update_layout(height=300, barmode="group")
    figure.update_yaxes(rangemode="tozero")
    return figure if names else say(figure, words.no_deletion)


def deletion_lines(
    explanation: FusionExplanation, sensor: int, timezone: str = "", theme: str = "light", words: Wording = ENGLISH
) -> go.Figure:
    """Change of one sensor's forecast at each step when a modality is taken away, in its unit, with its sign.

    Args:
        explanation: with the measured changes in `deletion`. sensor: node. timezone: of the network's clock. theme: "light" or "dark".
        words: what it says.
    """
    figure, clock = go.Figure(), to_local(explanation.times, timezone)
    for name, change in explanation.deletion.items():
        label = words.without.format(modality=words.modality(name))
        hover = f"{plain(label)}: %{{y:+.3~g}} {plain(explanation.unit)}".rstrip()
        figure.add_scatter(x=clock, y=change[:, sensor], name=plain(label), hovertemplate=hover, **_course(name))
    style(figure, theme, "", words.zone(timezone), with_unit(words.change_signed, explanation.unit))
    return figure if explanation.deletion else say(figure, words.no_deletion)


def share_course(labels: Sequence[str], shares: np.ndarray, theme: str = "light", words: Wording = ENGLISH) -> go.Figure:
    """Shares of the modalities at several times of day, in %.

    Args:
        labels: of C times. shares: (C, 3); rows sum to 1. theme: "light" or "dark". words: what it says.
    """
    figure = go.Figure()
    for place, name in enumerate(MODALITIES):
        label = words.modality(name)
        hover = f"{plain(label)}: %{{y:.1f}} %"
        figure.add_scatter(x=list(labels), y=100 * shares[:, place], name=plain(label), hovertemplate=hover, **_course(name))
    style(figure, theme, "", words.time, words.share)
    figure.update_xaxes(type="category")
    figure.update_yaxes(rangemode="tozero")
    return figure


def _course(name: str) -> dict:
    """The look of a modality's line: colour, dash and sign differ, so that none is told by its colour alone."""
    dash, symbol = {"vision": ("solid", "circle"), "text": ("dash", "diamond"), "series": ("dot", "square")}[name]
    line = {"color": MODALITY_COLOURS[name], "width": 2.2, "dash": dash}
    return {"mode": "lines+markers", "line": line, "marker": {"size": 7, "symbol": symbol}}


def prompt_html(tokens: Sequence[str], weights: np.ndarray, theme: str = "light", words: Wording = ENGLISH) -> str:
    """The prompt with every token shaded by the attention that it got; safe to show as HTML.

    Args:
        tokens: S texts, as a reader should see them (leading spaces and line ends included).
        weights: (S,) shares of attention; what is not a number counts as 0.
        theme: "light" or "dark".
        words: what it says.

    Raises:
        ValueError: where there is not one weight for each token.
    """
    weights = np.maximum(np.nan_to_num(np.asarray(weights, "f8"), posinf=0.0), 0)
    if weights.shape != (len(tokens),):
        raise ValueError(f"{len(tokens)} tokens need {len(tokens)} weights, not {weights.shape}.")
    colours = theme_of(theme)
    if not len(tokens):
        return f'<p style="color:{colours.muted}">{escape(words.no_prompt)}</p>'
    shade = weights / (weights.max() or 1.0)
    rgb, strongest = ("213, 94, 0", 0.55) if theme == "light" else ("230, 159, 0", 0.5)
    spans = "".join(
        f'<span title="{100 * weight:.2f} %" style="background:rgba({rgb}, {strongest * depth:.3f});border-radius:3px">'
        f"{escape(token, quote=True)}</span>"
        for token, weight, depth in zip(tokens, weights, shade, strict=True)
    )
    top = ", ".join(
        f"{escape(tokens[i].strip() or words.space, quote=True)} {100 * weights[i]:.1f} %"
        for i in np.argsort(weights, kind="stable")[::-1][:3]
    )
    return (
        f'<div role="img" aria-label="{words.shaded.format(top=top)}" '
        f'style="white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.9;color:{colours.text};font:15px/1.9 sans-serif">'
        f"{spans}</div>"
    )


def _bars(
    figure: go.Figure,
    rows: list[tuple[str, np.ndarray]],
    hover: str,
    texts: list[str],
    words: Wording,
    names: Sequence[str] = MODALITIES,
) -> None:
    """Groups of bars coloured by modality: the first row full, the second hatched."""
    for place, ((name, values), text) in enumerate(zip(rows, texts, strict=True)):
        hatched = place > 0 or len(rows) == 1
        figure.add_bar(
            x=[words.modality(name) for name in names],
            y=values,
            name=plain(name),
            text=[text.format(v) if np.isfinite(v) else words.missing for v in values],
            textposition="outside",
            cliponaxis=False,
            marker={
                "color": [MODALITY_COLOURS[n] for n in names],
                "opacity": 0.55 if hatched else 1.0,
                "pattern": {"shape": "/" if hatched else ""},
            },
            hovertemplate=hover,
        )


def _mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Mean of what is known along an axis; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=axis) / np.maximum(count, 1), np.nan)


# Three fusion weights as one colour, and the ternary legend.

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
