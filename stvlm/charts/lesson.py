"""Small figures for teaching: a sensor's past as measured and as the model gets it, and bars of anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stvlm.charts.figure import plain, style
from stvlm.charts.palette import theme_of


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
