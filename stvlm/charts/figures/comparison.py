"""Figures that compare models: ablations, error by lead time, few-shot, two forecasts of one window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from stvlm.charts.labels import ENGLISH as ENGLISH_WORDING
from stvlm.charts.labels import Wording
from stvlm.charts.maps.sensor_map import MapView, sensor_map
from stvlm.charts.scale import fit_scale, with_unit
from stvlm.charts.style import MODALITY_COLOURS, OKABE_ITO, VIRIDIS, colour_table, hex_of, plain, say, style, theme_of, with_alpha
from stvlm.core.forecast import Forecast
from stvlm.core.series import to_local

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


# Ranks of the adapters, by layer and by modality, over the steps of a training.


@dataclass(frozen=True)
class RankLabels:
    """What the figure says."""

    step: str = "training step"
    at: str = "step"
    rank: str = "mean rank of an adapter"
    mean: str = "mean rank"
    no_ranks: str = "No ranks have been shared out: this strategy has none to move."


def rank_lines(
    rows: Iterable[dict], theme: str = "light", labels: RankLabels = RankLabels(), named: Callable[[str], str] = str
) -> go.Figure:
    """Mean rank of the adapters of each decoder layer and of each modality, as stairs over the steps.

    Args:
        rows: {"step": int, "ranks": {part: rank}} whenever ranks were shared out; a part is "layer 1: ..." or a modality.
        theme: "light" or "dark". labels: what the figure says. named: a layer or modality -> what it is called.
    """
    table = rank_table(rows)
    figure = style(go.Figure(), theme, x=labels.step, y=labels.rank)
    figure.update_yaxes(rangemode="tozero")
    if not len(table):
        return say(figure, labels.no_ranks)
    groups = [name for name in table.columns if name != "step"]
    layers = [name for name in groups if name not in MODALITY_COLOURS]
    ends = (20, 200) if theme == "light" else (100, 250)  # shades that stand out from the page
    shades = hex_of(colour_table(VIRIDIS)[np.linspace(*ends, max(len(layers), 1)).astype(int)])
    colours = dict(zip(layers, shades, strict=False)) | MODALITY_COLOURS
    for name in groups:
        line = {"color": colours[name], "shape": "hv", "width": 2} | ({} if name in layers else {"dash": "dash", "width": 3})
        hover = f"{plain(named(name))}, {labels.at} %{{x}}: {labels.mean} %{{y:.2f}}<extra></extra>"
        figure.add_scatter(x=table["step"], y=table[name], name=plain(named(name)), mode="lines", line=line, hovertemplate=hover)
    return figure


def rank_table(rows: Iterable[dict]) -> pd.DataFrame:
    """The same as a table: a row for each sharing out; "step", then a column for each layer and for each modality.

    Args:
        rows: as for `rank_lines`.
    """
    table = []
    for row in rows:
        groups: dict[str, list[int]] = {}
        for part, rank in (row.get("ranks") or {}).items():
            groups.setdefault(part.split(":")[0], []).append(rank)
        if groups:
            table.append({"step": row["step"]} | {name: sum(ranks) / len(ranks) for name, ranks in groups.items()})
    return pd.DataFrame(table).drop_duplicates(ignore_index=True)


# Two forecasts of one window: over time, and their difference on the map.

BAND = 0.8  # share of readings that the bands shown should hold
LEAST_SHARE = 0.02  # of the forecast's own spread: a smaller difference is drawn pale


@dataclass(frozen=True)
class VersusLabels:
    """What the figure says, in the reader's language."""

    past: str
    seen: str
    came: str
    first: str
    second: str
    band: str
    begins: str
    time: str
    quantity: str


def versus_lines(
    past: np.ndarray,
    seen: np.ndarray,
    past_times: np.ndarray,
    came: np.ndarray,
    first: Forecast,
    second: Forecast,
    sensor: int,
    labels: VersusLabels,
    step: int | None = None,
    theme: str = "light",
) -> go.Figure:
    """One sensor: its past, what came, and two forecasts, each with its 80 % band.

    Args:
        past: (L,) readings in the unit before the forecasts, NaN = missing; seen: (L,) the same as the second forecast saw them.
        past_times: (L,) datetime64[s].
        came: (H,) readings of the forecasts' times, NaN = not known. first, second: of the same times.
        sensor: node. labels: texts. step: chosen step of the horizon, marked. theme: "light" or "dark".
    """
    colours = theme_of(theme)
    figure = go.Figure()
    clock, before = (to_local(times, first.timezone) for times in (first.times, past_times))
    hover = f"%{{y:,.{fit_scale(first.median[:, sensor], least_span=1e-3).decimals}f}} {plain(first.unit)}".rstrip()
    looks = (
        (first, labels.first, colours.accent, "solid", "circle"),
        (second, labels.second, OKABE_ITO[5] if theme == "light" else OKABE_ITO[1], "dash", "diamond"),
    )
    for forecast, name, colour, _, _ in looks:
        entry = labels.band if name == labels.first else ""
        _band(figure, forecast, sensor, clock, colour, 0.14 if theme == "light" else 0.2, entry)
    dots = {"mode": "lines+markers", "connectgaps": False, "hovertemplate": hover}
    figure.add_scatter(x=before, y=past, name=labels.past, line_color=colours.text, marker_size=4, **dots)
    if np.isfinite(seen).any() and not np.array_equal(seen, past, equal_nan=True):
        line = {"color": looks[1][2], "width": 1.5, "dash": "dot"}
        figure.add_scatter(x=before, y=seen, name=labels.seen, line=line, marker_size=5, marker_symbol="diamond", **dots)
    if np.isfinite(came).any():
        line, marker = {"color": colours.text, "width": 1.5, "dash": "dot"}, {"size": 6, "symbol": "circle-open"}
        figure.add_scatter(x=clock, y=came, name=labels.came, line=line, marker=marker, **dots)
    for forecast, name, colour, dash, symbol in looks:
        line, marker = {"color": colour, "width": 2.5, "dash": dash}, {"size": 7, "symbol": symbol}
        figure.add_scatter(x=clock, y=forecast.median[:, sensor], name=name, line=line, marker=marker, **dots)
    style(figure, theme, "", labels.time, with_unit(labels.quantity, first.unit))
    figure.update_layout(hovermode="x unified", legend_traceorder="normal")
    start, end = pd.Timestamp(before[0]), pd.Timestamp(clock[-1])
    figure.update_xaxes(range=[start - 0.02 * (end - start), end + 0.02 * (end - start)])
    begin = pd.Timestamp(clock[0]) - (pd.Timestamp(clock[0]) - pd.Timestamp(before[-1])) / 2
    _line_at(figure, begin, colours.muted, "solid")
    figure.add_annotation(
        x=begin, y=1, yref="paper", text=plain(labels.begins), xanchor="right", yanchor="top", xshift=-4, showarrow=False,
        font={"size": 11, "color": colours.muted},
    )  # fmt: skip
    if step is not None:
        _line_at(figure, pd.Timestamp(clock[step]), colours.ring, "dot")
    return figure


def change_map(
    first: Forecast,
    second: Forecast,
    step: int,
    label: str,
    theme: str = "light",
    selected: int | None = None,
    words: Wording = ENGLISH_WORDING,
) -> MapView:
    """How far the second forecast is above (orange) or below (blue) the first, at one step.

    Args:
        first, second: of the same sensors and times; the sensors stand where those of the second do. step: 0 .. H - 1.
        label: what the colours mean. theme, selected, words: as in `sensor_map`.
    """
    change = second.median - first.median  # (H, N)
    known = np.abs(change[np.isfinite(change)])
    spread = float(np.nanstd(first.median)) if np.isfinite(first.median).any() else 1.0
    span = max(float(known.max()) if known.size else 0.0, LEAST_SHARE * spread, 1e-6)
    return sensor_map(
        second.network, change[step], first.unit, label, theme, selected, limits=(-span, span), kind="diverging", words=words
    )  # fmt: skip


def _band(figure: go.Figure, forecast: Forecast, sensor: int, clock: np.ndarray, colour: str, alpha: float, entry: str) -> None:
    """The 80 % band as a filled area; `entry` in the legend, "" for none."""
    if BAND not in forecast.shares:
        return
    low, high = (bound[:, sensor] for bound in forecast.band(BAND))
    plainly = {"x": clock, "mode": "lines", "line_width": 0, "hoverinfo": "skip"}
    figure.add_scatter(y=low, showlegend=False, **plainly)
    figure.add_scatter(y=high, fill="tonexty", fillcolor=with_alpha(colour, alpha), name=entry, showlegend=bool(entry), **plainly)


def _line_at(figure: go.Figure, when: pd.Timestamp, colour: str, dash: str) -> None:
    figure.add_shape(type="line", x0=when, x1=when, y0=0, y1=1, yref="paper", line={"color": colour, "width": 1.5, "dash": dash})
