"""Colours that colour-blind readers can tell apart: scales, categories, light and dark theme."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
