"""Colours, themes and the common style of all figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
import plotly.graph_objects as go

from stvlm.core.escape import html as escape

VIRIDIS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")
CIVIDIS = ("#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838")
BLUE_ORANGE = ("#08306b", "#2166ac", "#67a9cf", "#c6dbea", "#f4f1ec", "#fbd3a2", "#f0943a", "#bd5a06", "#6e3003")
HEAT = ("#fff3d6", "#fdd08a", "#fb9a45", "#ea5a24", "#c02016", "#7d0010")
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B3A800", "#888888")
MODALITY_COLOURS = {"vision": "#0072B2", "text": "#E69F00", "series": "#009E73"}
TERNARY = {
    "vision": "#0044C0",
    "text": "#FF8C00",
    "series": "#E8FBEF",
}  # corners: they differ in lightness too, so their mixtures do


@dataclass(frozen=True)
class Theme:
    """Colours of everything that is not data.

    Attributes:
        name: "light" or "dark".
        text, muted, grid, panel: writing, small writing, grid lines, boxes on the map.
        land, sea, coast, border: the base map.
        outline, missing, ring, accent: of points; a sensor without reading; the chosen sensor; points without value.
    """

    name: str
    text: str
    muted: str
    grid: str
    panel: str
    land: str
    sea: str
    coast: str
    border: str
    outline: str
    missing: str
    ring: str
    accent: str


THEMES = {
    "light": Theme(
        name="light",
        text="#1f2933",
        muted="#52606d",
        grid="#e1e6eb",
        panel="#ffffff",
        land="#f3f1ec",
        sea="#d5e3ec",
        coast="#8fa3b3",
        border="#bdb7ab",
        outline="#1f2933",
        missing="#7b8794",
        ring="#d6006c",
        accent="#0072B2",
    ),
    "dark": Theme(
        name="dark",
        text="#e8ecf0",
        muted="#a3afbb",
        grid="#333d47",
        panel="#1b222a",
        land="#2c333b",
        sea="#151b22",
        coast="#5d6f80",
        border="#4c545d",
        outline="#f0f3f6",
        missing="#a3afbb",
        ring="#ff6db6",
        accent="#56B4E9",
    ),
}


def theme_of(name: str) -> Theme:
    """The colours of "light" or "dark".

    Raises:
        ValueError: for any other name.
    """
    if name not in THEMES:
        raise ValueError(f"A theme is one of {', '.join(THEMES)}, not {name!r}.")
    return THEMES[name]


def colour_table(stops: tuple[str, ...], size: int = 256) -> np.ndarray:
    """(size, 3) uint8: the colours between the stops, which are "#rrggbb" at equal distances."""
    rgb = np.array([[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops], dtype="float64")
    places = np.linspace(0, len(stops) - 1, size)
    channels = [np.interp(places, np.arange(len(stops)), rgb[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype("uint8")


def hex_of(rgb: np.ndarray) -> list[str]:
    """(K, 3) uint8 as K texts "#rrggbb"."""
    codes = rgb.astype("int64") @ np.array([65536, 256, 1])
    return [f"#{code:06x}" for code in codes]


def with_alpha(colour: str, alpha: float) -> str:
    """ "#rrggbb" as "rgba(r, g, b, alpha)"."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r}, {g}, {b}, {alpha:g})"


# Theme and axes of figures; the message of an empty one.

LEGEND_ABOVE = {"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0}


def plain(text: str) -> str:
    """A text that plotly shows letter by letter: no tag, no template field."""
    return escape(str(text), quote=False).replace("%{", "%&#123;")


def style(figure: go.Figure, theme: str, title: str = "", x: str = "", y: str = "") -> go.Figure:
    """Give a figure its colours, title and axis titles, and return it.

    Args:
        figure: changed in place.
        theme: "light" or "dark".
        title, x, y: texts, escaped here.
    """
    colours = theme_of(theme)
    figure.update_layout(
        template="plotly_white" if theme == "light" else "plotly_dark",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": colours.text, "size": 13},
        title={"text": plain(title), "font": {"size": 15}, "x": 0, "xref": "paper", "y": 0.98, "yanchor": "top"},
        margin={"l": 64, "r": 16, "t": 84 if title else 40, "b": 52},
        legend=LEGEND_ABOVE,
        hoverlabel={"namelength": -1},
        height=400,
    )
    axis = {"gridcolor": colours.grid, "linecolor": colours.muted, "zerolinecolor": colours.muted, "automargin": True}
    figure.update_xaxes(**axis, title_text=plain(x), showline=True, zeroline=False)
    figure.update_yaxes(**axis, title_text=plain(y), showline=True)
    return figure


def say(figure: go.Figure, text: str, bare: bool = True) -> go.Figure:
    """Write in the middle of a figure why nothing is drawn there, and return it; `bare` takes the empty axes away."""
    figure.add_annotation(text=plain(text), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 14})
    if bare:
        figure.layout.shapes = ()
        figure.layout.annotations = figure.layout.annotations[-1:]
        figure.update_layout(showlegend=False)
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False)
    return figure


@lru_cache
def browser_file(name: str) -> str:
    """The text of a script or style sheet of `stvlm/charts/browser`, which maps and reports hold inside."""
    return resources.files("stvlm.charts").joinpath("browser", name).read_text("utf-8")
