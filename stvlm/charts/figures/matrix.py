"""A picture whose pixels are no places: pairs of sensors, or sensors over time, with names on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from stvlm.charts.scale import fit_scale, with_unit
from stvlm.charts.style import plain, style, theme_of

MOST_LABELS = 14  # names along an axis
LONGEST_LABEL = 22  # characters of a name there; the whole one shows on hovering
BAR_ABOVE = {"orientation": "h", "yanchor": "bottom", "y": 1.01, "thickness": 12}


@dataclass(frozen=True)
class Axis:
    """What the rows or the columns of a picture stand for.

    Attributes:
        title: in words. names: one for each row or column. marked: place of the one in view, or None.
        one: what a single row or column is called; "" for "row" or "column".
    """

    title: str
    names: tuple[str, ...]
    marked: int | None = None
    one: str = ""


def matrix_picture(
    array: np.ndarray,
    rows: Axis,
    columns: Axis,
    label: str,
    unit: str = "",
    theme: str = "light",
    kind: str = "sequential",
    limits: tuple[float, float] | None = None,
) -> go.Figure:
    """A matrix in colours, the first row at the top; hovering tells names and value.

    Args:
        array: (R, C) in `unit`; NaN stays empty. rows, columns: R and C names. label: of the values.
        theme: "light" or "dark". kind, limits: of the colours, as in `fit_scale`.

    Raises:
        ValueError: names that are not one for each row and column.
    """
    if array.shape != (len(rows.names), len(columns.names)):
        raise ValueError(f"{array.shape} values need as many names: {len(rows.names)} rows, {len(columns.names)} columns.")
    scale = fit_scale(array, limits, kind)
    colours = [[i / (len(scale.stops) - 1), stop] for i, stop in enumerate(scale.stops)]
    text = np.array([[plain(row)] for row in rows.names], dtype=object), np.array([[plain(c) for c in columns.names]], dtype=object)
    names = np.stack(np.broadcast_arrays(*text), axis=-1)  # (R, C, 2)
    row, column = plain(rows.one or "row"), plain(columns.one or "column")
    value = f"%{{z:,.{scale.decimals}f}}{' ' + plain(unit) if unit else ''}"
    figure = go.Figure(
        go.Heatmap(
            z=array,
            customdata=names,
            zmin=scale.low,
            zmax=scale.high,
            colorscale=colours,
            colorbar=BAR_ABOVE,
            hovertemplate=f"{row}: %{{customdata[0]}}<br>{column}: %{{customdata[1]}}<br>{value}<extra></extra>",
            hoverongaps=False,
        )
    )
    style(figure, theme, with_unit(label, unit), columns.title, rows.title)
    figure.update_layout(title_xref="container", margin_t=76)
    figure.update_xaxes(**_ticks(columns), showgrid=False, constrain="domain", title_standoff=8)
    figure.update_yaxes(**_ticks(rows), showgrid=False, autorange="reversed")
    line = {"color": theme_of(theme).ring, "width": 1.5, "dash": "dot"}
    if rows.marked is not None:
        figure.add_hline(rows.marked, line=line)
    if columns.marked is not None:
        figure.add_vline(columns.marked, line=line)
    return figure


def matrix_player(
    arrays: np.ndarray,
    times: list[str],
    rows: Axis,
    columns: Axis,
    label: str,
    unit: str = "",
    theme: str = "light",
    kind: str = "sequential",
    limits: tuple[float, float] | None = None,
) -> go.Figure:
    """Matrices of several moments, played inside the browser, in the same colours.

    Args:
        arrays: (K, R, C) in `unit`. times: K texts. The rest as in `matrix_picture`.

    Raises:
        ValueError: not one time for each matrix.
    """
    if len(times) != len(arrays):
        raise ValueError(f"{len(arrays)} matrices need as many times, not {len(times)}.")
    scale = fit_scale(arrays, limits, kind)
    figure = matrix_picture(arrays[-1], rows, columns, label, unit, theme, kind, (scale.low, scale.high))
    figure.frames = [go.Frame(name=str(k), data=[go.Heatmap(z=array)], traces=[0]) for k, array in enumerate(arrays)]
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [{"label": plain(text), "method": "animate", "args": [[str(k)], still]} for k, text in enumerate(times)]
    onward = {"frame": {"duration": 600, "redraw": True}, "transition": {"duration": 0}, "fromcurrent": True}
    buttons = [
        {"label": "\u25b6", "method": "animate", "args": [None, onward]},
        {"label": "\u275a\u275a", "method": "animate", "args": [[None], still]},
    ]
    place = {"yanchor": "bottom", "y": 1.24}  # above the colour bar: names below may be long
    menu = {"type": "buttons", "direction": "left", "buttons": buttons, "x": 0, "xanchor": "left", "showactive": False} | place
    menu["bgcolor"] = theme_of(theme).panel
    slider = {"active": len(times) - 1, "steps": steps, "x": 0.34, "len": 0.66} | place
    slider["font"] = {"color": "rgba(0, 0, 0, 0)"}  # the moments do not fit side by side: only the one in view is written
    slider["currentvalue"] = {"prefix": "", "font": {"color": theme_of(theme).text, "size": 13}}
    figure.update_layout(updatemenus=[menu], sliders=[slider], margin_t=190)
    return figure


def _ticks(axis: Axis) -> dict:
    every = max(1, -(-len(axis.names) // MOST_LABELS))
    places = list(range(0, len(axis.names), every))
    short = [n if len(n) <= LONGEST_LABEL else n[: LONGEST_LABEL - 1] + "…" for n in (axis.names[i] for i in places)]
    return {"tickvals": places, "ticktext": [plain(name) for name in short]}
