"""What a forecast drew on: shares of the modalities, words of the prompt, and what deleting them changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from stvlm.charts.figure import plain, say, style
from stvlm.charts.images import image_png
from stvlm.charts.palette import MODALITY_COLOURS, theme_of
from stvlm.charts.scale import with_unit
from stvlm.charts.wording import ENGLISH, Wording
from stvlm.data.escape import html as escape
from stvlm.data.forecast import MODALITIES, FusionExplanation
from stvlm.data.series import to_local

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
