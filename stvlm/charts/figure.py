"""How every figure looks: theme, axes, what stands there when there is nothing to draw."""

from __future__ import annotations

import plotly.graph_objects as go

from stvlm.charts.palette import theme_of
from stvlm.data.escape import html as escape

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
