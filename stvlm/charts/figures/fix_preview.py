"""What a fix changes, before and after: places on the land, readings over time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stvlm.charts.maps.basemap import land_around
from stvlm.charts.style import plain, say, style, theme_of

Places = tuple[np.ndarray, np.ndarray]  # (N,) latitudes, (N,) longitudes in degrees


def places_before_after(
    before: Places, after: Places, names: tuple[str, str], axes: tuple[str, str], theme: str = "light"
) -> go.Figure:
    """Where the sensors lie before and after a fix, each on the land around them.

    Args:
        before, after: places; what is no place on earth is left out.
        names: what stands above the two halves. axes: titles of longitude and latitude.
        theme: "light" or "dark".
    """
    colours = theme_of(theme)
    figure = make_subplots(1, 2, subplot_titles=[plain(name) for name in names], horizontal_spacing=0.12)
    for column, (lat, lon) in enumerate((before, after), 1):
        known = (np.abs(lat) <= 90) & (np.abs(lon) <= 180)
        lat, lon = lat[known], lon[known]
        if not len(lat):
            centre = "x" if column == 1 else "x2"
            figure.add_annotation(text="–", x=0.5, y=0.5, xref=f"{centre} domain", yref=f"y{centre[1:]} domain", showarrow=False)
            continue
        west, east, south, north = _view(lat, lon)
        _add_land(figure, column, (west, south, east, north), colours.land, colours.coast)
        look = {"color": colours.accent, "size": 7, "line": {"color": colours.outline, "width": 1}}
        hover = "%{y:.3f}°, %{x:.3f}°<extra></extra>"
        figure.add_scatter(x=lon, y=lat, mode="markers", marker=look, hovertemplate=hover, showlegend=False, row=1, col=column)
        figure.update_xaxes(range=[west, east], row=1, col=column)
        figure.update_yaxes(range=[south, north], row=1, col=column)
    style(figure, theme)
    figure.update_layout(margin={"l": 56, "r": 8, "t": 40, "b": 48})
    figure.update_xaxes(title_text=plain(axes[0]), ticksuffix="°", nticks=3, constrain="domain")
    figure.update_yaxes(ticksuffix="°", nticks=6)
    figure.update_yaxes(title_text=plain(axes[1]), col=1)  # once for both: beside the second it would lie on the first
    return figure


def readings_before_after(
    before: pd.Series, after: pd.Series, names: tuple[str, str], axes: tuple[str, str], theme: str = "light"
) -> go.Figure:
    """Readings of one sensor around the first change of a fix.

    Args:
        before, after: readings in their unit; index times, in the order in which they stand.
        names: of the two lines. axes: titles of time and readings.
        theme: "light" or "dark".
    """
    colours = theme_of(theme)
    figure = go.Figure()
    looks = (
        {
            "line": {"color": colours.muted, "width": 1.2, "dash": "dot"},
            "marker": {"size": 9, "symbol": "circle-open", "color": colours.ring},
        },
        {"line": {"color": colours.accent, "width": 2}, "marker": {"size": 4, "color": colours.accent}},
    )
    for column, name, look in zip((before, after), names, looks, strict=True):
        hover = "%{y:,.5~g}, %{x|%Y-%m-%d %H:%M}"
        figure.add_scatter(
            x=column.index,
            y=column.to_numpy("f8"),
            name=plain(name),
            mode="lines+markers",
            connectgaps=False,
            hovertemplate=hover,
            **look,
        )
    style(figure, theme, "", axes[0], axes[1])
    figure.update_layout(showlegend=True)
    if not any(np.isfinite(column.to_numpy("f8")).any() for column in (before, after)):
        say(figure, names[1] + ": –")
    return figure


def _view(lat: np.ndarray, lon: np.ndarray) -> tuple[float, float, float, float]:
    """West, east, south, north around places, with room for the land beside them."""
    side = 0.7 * max(np.ptp(lat), np.ptp(lon), 0.05)
    middle_lat, middle_lon = (lat.min() + lat.max()) / 2, (lon.min() + lon.max()) / 2
    return middle_lon - side, middle_lon + side, max(middle_lat - side, -90), min(middle_lat + side, 90)


def _add_land(figure: go.Figure, column: int, bounds: tuple[float, float, float, float], fill: str, coast: str) -> None:
    """The outlines of the land within bounds, filled."""
    shapes = land_around(bounds)[1]
    land = shapes.get("land")
    for area in [] if land is None else land["coordinates"] if land["type"] == "MultiPolygon" else [land["coordinates"]]:
        ring = np.asarray(area[0])
        outline = {"color": coast, "width": 1}
        figure.add_scatter(
            x=ring[:, 0],
            y=ring[:, 1],
            mode="lines",
            fill="toself",
            fillcolor=fill,
            line=outline,
            hoverinfo="skip",
            showlegend=False,
            row=1,
            col=column,
        )
