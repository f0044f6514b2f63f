"""Several sensors together over time: their mean, and from the lowest to the highest of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from stvlm.charts.figure import plain, style
from stvlm.charts.lines import mark_times, outline
from stvlm.charts.palette import theme_of, with_alpha
from stvlm.charts.scale import with_unit
from stvlm.charts.wording import ENGLISH, Wording
from stvlm.data.forecast import Forecast
from stvlm.data.series import SensorSeries, to_local


def group_lines(
    series: SensorSeries,
    forecast: Forecast,
    nodes: Sequence[int],
    step: int | None = None,
    past_steps: int = 48,
    theme: str = "light",
    words: Wording = ENGLISH,
) -> go.Figure:
    """Mean of the readings and of the median forecasts of a group, each over the range from its lowest to its highest sensor.

    The bands of single sensors say nothing of the mean of several, for their errors go together; so none is drawn.

    Args:
        series: readings of the forecast's network. forecast: H steps of N sensors. nodes: K of them, K > 0.
        step: chosen step, marked. past_steps: readings before the forecast. theme: "light" or "dark". words: what it says.

    Raises:
        ValueError: no node.
    """
    if not len(nodes):
        raise ValueError("A group needs at least one sensor.")
    colours, chosen = theme_of(theme), np.asarray(nodes)
    cutoff = int(np.searchsorted(series.times, forecast.times[0]))
    start = max(cutoff - past_steps, 0)
    clock = to_local(forecast.times, forecast.timezone)
    known = series.values[cutoff : cutoff + len(clock), chosen]
    figure = go.Figure()
    parts = (
        (words.past, series.local_times[start:cutoff], series.values[start:cutoff, chosen], colours.text, None),
        (words.came, clock[: len(known)], known, colours.text, "dot"),
        (words.medians.format(name=plain(forecast.name)), clock, forecast.median[:, chosen], colours.accent, None),
    )
    for name, times, values, colour, dash in parts:
        if not np.isfinite(values).any():
            continue
        mean, low, high = group_range(values)
        x, y = outline(times, low, high)
        look = {"fill": "toself", "mode": "lines", "line_width": 0, "fillcolor": with_alpha(colour, 0.12), "hoverinfo": "skip"}
        figure.add_scatter(x=x, y=y, name=words.range_line.format(name=name), showlegend=False, **look)
        line = {"color": colour, "width": 2, "dash": dash}
        hover = f"{words.mean} %{{y:,.4~g}} {plain(forecast.unit)}".rstrip()
        figure.add_scatter(
            x=times,
            y=mean,
            name=words.mean_line.format(name=name),
            line=line,
            mode="lines+markers",
            marker_size=4,
            hovertemplate=hover,
        )
    mark_times(figure, series, forecast, clock, step, colours.muted, colours.ring, words)
    zone = words.zone(forecast.timezone)
    style(figure, theme, "", zone, with_unit(forecast.quantity, forecast.unit))
    figure.update_layout(hovermode="x unified", clickmode="event+select")
    return figure


def group_range(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, lowest and highest (T,) of the sensors that are known at each step.

    Args:
        values: (T, K) NaN = missing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step at which all are missing stays missing
        values = np.asarray(values, "f8")
        return np.nanmean(values, axis=1), np.nanmin(values, axis=1), np.nanmax(values, axis=1)
