"""Models beside each other: what each part is worth, the error by step, and how little data suffices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from stvlm.charts.figure import plain, say, style
from stvlm.charts.palette import OKABE_ITO, theme_of
from stvlm.charts.scale import with_unit

SURE_WORSE, SURE_BETTER = "#D55E00", "#0072B2"  # also told by the sign's shape
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon")
DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Labels:
    """What these figures say."""

    unsure: str = "not distinguishable from nothing"
    worse: str = "worse, beyond chance"
    better: str = "better, beyond chance"
    full: str = "error against the full model, %"
    error: str = "mean absolute error"
    windows: str = "windows of training"
    step: str = "step of the horizon"
    days: str = "days ahead"
    hours: str = "hours ahead"
    minutes: str = "minutes ahead"
    no_variant: str = "There is no variant to show."
    no_model: str = "There is no model to show."
    no_curve: str = "No results of the same data with more and less training are chosen."


ENGLISH = Labels()


def ablation_dots(
    names: Sequence[str],
    percent: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    sure: np.ndarray,
    theme: str = "light",
    labels: Labels = ENGLISH,
) -> go.Figure:
    """A dot and its interval for each variant: how its error differs from the full model's, in %.

    Args:
        names: K variants, drawn from top to bottom. percent, low, high: (K,). sure: (K,) bool, whether chance is ruled out.
        theme: "light" or "dark". labels: what the figure says.
    """
    colours = theme_of(theme)
    percent, low, high = (np.asarray(v, "f8") for v in (percent, low, high))
    sure = np.asarray(sure, bool)
    figure = go.Figure()
    kinds = (
        (labels.unsure, ~sure, colours.muted, "circle-open"),
        (labels.worse, sure & (percent > 0), SURE_WORSE, "triangle-right"),
        (labels.better, sure & (percent <= 0), SURE_BETTER, "triangle-left"),
    )
    for label, mine, colour, symbol in kinds:
        if not mine.any():
            continue
        figure.add_scatter(
            x=percent[mine],
            y=[plain(name) for name, own in zip(names, mine, strict=True) if own],
            mode="markers",
            name=label,
            marker={"color": colour, "size": 11, "symbol": symbol, "line": {"width": 2, "color": colour}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": (high - percent)[mine],
                "arrayminus": (percent - low)[mine],
                "color": colour,
                "thickness": 2,
                "width": 4,
            },
            customdata=np.stack([low, high], axis=1)[mine],
            hovertemplate="%{y}: %{x:.2f} % (%{customdata[0]:.2f} … %{customdata[1]:.2f} %)<extra></extra>",
        )
    style(figure, theme, "", labels.full)
    figure.update_layout(showlegend=True)
    figure.update_yaxes(categoryorder="array", categoryarray=[plain(name) for name in reversed(names)], title_text="")
    figure.add_vline(x=0, line={"color": colours.text, "width": 1})
    return figure if len(percent) else say(figure, labels.no_variant)


def step_lines(
    errors: dict[str, Sequence[float]],
    unit: str,
    theme: str = "light",
    step_minutes: float | None = None,
    labels: Labels = ENGLISH,
) -> go.Figure:
    """The error of each model by step of the horizon.

    Args:
        errors: model -> H mean absolute errors, NaN where nothing was observed. unit: of the errors. theme: "light" or "dark".
        step_minutes: length of a step; None: the axis counts steps. labels: what the figure says.
    """
    figure = go.Figure()
    label, size = _time_axis(step_minutes, labels)
    for place, (name, values) in enumerate(errors.items()):
        steps = size * np.arange(1, len(values) + 1)
        hover = f"{plain(name)}, %{{x:.3~g}}: %{{y:.3~g}} {plain(unit)}<extra></extra>"
        _line(figure, place, name, steps, values, hover)
    style(figure, theme, "", label, with_unit(labels.error, unit))
    figure.update_yaxes(rangemode="normal")
    return figure if errors else say(figure, labels.no_model)


def few_shot_lines(points: pd.DataFrame, unit: str, theme: str = "light", labels: Labels = ENGLISH) -> go.Figure:
    """The error of each model by the number of windows that it learnt from.

    Args:
        points: columns model, windows, mae. unit: of the errors. theme: "light" or "dark". labels: what the figure says.
    """
    figure = go.Figure()
    for place, (name, mine) in enumerate(points.groupby("model", sort=False)):
        hover = f"{plain(name)}, {labels.windows}: %{{x}}, %{{y:.3~g}} {plain(unit)}<extra></extra>"
        _line(figure, place, str(name), mine["windows"], mine["mae"], hover)
    style(figure, theme, "", labels.windows, with_unit(labels.error, unit))
    counts = sorted(set(points["windows"]))
    figure.update_xaxes(type="log", tickvals=counts, ticktext=[f"{count:,}" for count in counts])
    return figure if len(points) else say(figure, labels.no_curve)


def learning_lines(errors: dict[str, Sequence[dict]], unit: str, theme: str = "light", labels: Labels = ENGLISH) -> go.Figure:
    """The validation error of each of several trainings, step by step.

    Args:
        errors: training -> rows with step and val_mae. unit: of the errors. theme: "light" or "dark". labels: what the figure says.
    """
    figure = go.Figure()
    for place, (name, rows) in enumerate(errors.items()):
        hover = f"{plain(name)}, {labels.step} %{{x}}: %{{y:.4~g}} {plain(unit)}<extra></extra>"
        _line(figure, place, name, [row["step"] for row in rows], [row["val_mae"] for row in rows], hover)
    style(figure, theme, "", labels.step, with_unit(labels.error, unit))
    return figure if any(errors.values()) else say(figure, labels.no_model)


def _line(figure: go.Figure, place: int, name: str, x: Sequence[float], y: Sequence[float], hover: str) -> None:
    """One model: told apart by colour, sign and dash."""
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers",
        name=plain(name),
        line={"color": OKABE_ITO[place % len(OKABE_ITO)], "width": 2, "dash": DASHES[place // len(OKABE_ITO) % len(DASHES)]},
        marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 8},
        hovertemplate=hover,
    )


def _time_axis(step_minutes: float | None, labels: Labels) -> tuple[str, float]:
    """Title of the axis, and what one step is in its unit."""
    if not step_minutes:
        return labels.step, 1.0
    for minutes, word in ((1440, labels.days), (60, labels.hours), (1, labels.minutes)):
        if step_minutes >= minutes:
            return word, step_minutes / minutes
    return labels.minutes, step_minutes
