"""Two forecasts of one window beside each other: over time, and their difference on the map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from stvlm.charts.figure import plain, style
from stvlm.charts.maps import MapView, sensor_map
from stvlm.charts.palette import OKABE_ITO, theme_of, with_alpha
from stvlm.charts.scale import fit_scale, with_unit
from stvlm.charts.wording import ENGLISH, Wording
from stvlm.data.forecast import Forecast
from stvlm.data.series import to_local

BAND = 0.8  # share of readings that the bands shown should hold
LEAST_SHARE = 0.02  # of the forecast's own spread: a smaller difference is drawn pale


@dataclass(frozen=True)
class Labels:
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
    labels: Labels,
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
    words: Wording = ENGLISH,
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
