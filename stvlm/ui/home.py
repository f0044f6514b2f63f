"""What the home page shows: the way from sensors to a forecast in one picture, and a small map of each sample."""

from __future__ import annotations

import numpy as np
import streamlit as st

from stvlm.charts.scale import Scale, fit_scale
from stvlm.core.series import SensorSeries
from stvlm.ui.services import networks
from stvlm.ui.shell import inputs, layout, view_state
from stvlm.ui.shell.i18n import format_duration, format_number, t, told

_INK = {"light": ("#1f2937", "#6b7280", "#ffffff", "#d1d5db"), "dark": ("#f3f4f6", "#9ca3af", "#24231f", "#4b5563")}
_BLUE, _ORANGE, _GREEN = "#0072B2", "#E69F00", "#009E73"


def flow() -> None:
    """The picture of what the app does, with the same in words for those who cannot see it."""
    st.image(_flow_svg(layout.theme()), width="stretch", alt=t("home.flow"))


def samples() -> None:
    """One card for each sample, with a link to its forecast."""
    names = list(networks.SAMPLES)
    for start in range(0, len(names), 2):
        for column, name in zip(st.columns(2), names[start : start + 2], strict=False):
            with column.container(border=True, height="stretch"):
                _card(name)


def _card(name: str) -> None:
    sample = networks.SAMPLES[name]
    data = networks.SAMPLE + name
    series, title = networks.load(data), networks.title(data)
    size = {
        "n": format_number(series.network.n_sensors, 0),
        "step": format_duration(series.step_seconds),
        "period": inputs.period(series),
    }
    st.markdown(f"**{title}**" + (f"  :orange-badge[{t('data.synthetic')}]" if sample.synthetic else ""))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.image(_thumbnail(data, layout.theme(), series), width=112, alt=t("home.map_alt", title=title))
        with st.container(width=200):  # below the map where the window is narrow
            st.caption(t("home.size", **size))
    st.caption(told("sample", sample.description))
    with st.container(key=f"open-{name}"):
        layout.page_link("forecast", f":primary[**{t('home.open')}**]", data=data)


def go_on() -> None:
    """A way back to the forecast of the network in view and of those uploaded before."""
    recent = [i for i in dict.fromkeys([view_state.data_id(), *networks.listed()[:4]]) if i]
    if not recent:
        return
    st.subheader(t("home.go_on"), anchor=False)
    for data in recent:
        with st.container(key=f"on-{data.replace(':', '-')}"):
            layout.page_link("forecast", inputs.plain(networks.title(data)), data=data)


@st.cache_data(max_entries=16, show_spinner=False)
def _thumbnail(data: str, theme: str, _series: SensorSeries) -> str:
    """An SVG of 160 x 120: each sensor at its place, coloured by its mean reading."""
    west, south, east, north = _series.network.bounds()
    x = (_series.network.unwrapped_lon - west) / (east - west) * 120 + 20
    y = (north - _series.network.lat) / (north - south) * 120
    mean = np.nanmean(_series.values[-2000:], axis=0)
    colours = fit_scale(mean).hex(mean)
    ink, _, _, edge = _INK[theme]
    dots = "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.4" fill="{c}" stroke="{ink}" stroke-width=".5"/>'
        for a, b, c in zip(x, y, colours, strict=True)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 120" width="320" height="240">'
        f'<rect width="160" height="120" rx="6" fill="none" stroke="{edge}"/>{dots}</svg>'
    )


def _flow_svg(theme: str) -> str:
    ink, grey, paper, edge = _INK[theme]
    parts = [
        _box(10, 60, 180, 110, "sensors", _dots(paper), ink, grey, paper, edge),
        _box(240, 8, 190, 66, "image", _grid(), ink, grey, paper, edge, row=True),
        _box(240, 82, 190, 66, "prompt", _lines(grey), ink, grey, paper, edge, row=True),
        _box(240, 156, 190, 66, "series", _wave(), ink, grey, paper, edge, row=True),
        _box(480, 60, 190, 110, "fusion", _weights(), ink, grey, paper, edge),
        _box(730, 8, 240, 102, "forecast", _band(), ink, grey, paper, edge),
        _box(730, 122, 240, 102, "drew", _arcs(paper), ink, grey, paper, edge),
    ]
    arrows = [(190, 115, 240, 41), (190, 115, 240, 115), (190, 115, 240, 189)]
    arrows += [(430, 41, 480, 115), (430, 115, 480, 115), (430, 189, 480, 115), (670, 115, 730, 59), (670, 115, 730, 173)]
    strokes = "".join(
        f'<path d="M{a} {b}C{(a + c) / 2} {b} {(a + c) / 2} {d} {c - 4} {d}" fill="none" stroke="{grey}" stroke-width="1.6" '
        'marker-end="url(#tip)"/>'
        for a, b, c, d in arrows
    )
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{grey}"/></marker></defs>'
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 980 232" width="1960" height="464" '
        f'font-family="sans-serif">{tip}{strokes}{"".join(parts)}</svg>'
    )


def _box(x: int, y: int, w: int, h: int, name: str, art: str, ink: str, grey: str, paper: str, edge: str, row: bool = False) -> str:
    """A card of the picture, by the name of its two lines of text: its art (drawn on 60 x 40) above or beside them."""
    at, text_x, text_y = (x + 10, x + 82, y + 30) if row else (x + w / 2 - 30, x + w / 2, y + h - 28)
    art_y = y + 13 if row else y + 10
    anchor = "start" if row else "middle"
    title, line = t(f"home.box_{name}"), t(f"home.box_{name}_line")
    return (
        f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="8" fill="{paper}" stroke="{edge}" stroke-width="1.3"/>'
        f'<g transform="translate({at} {art_y})">{art}</g>'
        f'<text x="{text_x}" y="{text_y}" font-size="13.5" font-weight="600" fill="{ink}" text-anchor="{anchor}">{title}</text>'
        f'<text x="{text_x}" y="{text_y + 17}" font-size="11.5" fill="{grey}" text-anchor="{anchor}">{line}</text>'
    )


def _dots(paper: str) -> str:
    places = ((6, 30, _BLUE), (18, 12, _GREEN), (30, 26, _BLUE), (42, 8, _ORANGE), (54, 22, _GREEN), (46, 34, _ORANGE))
    return "".join(f'<circle cx="{x}" cy="{y}" r="5" fill="{c}" stroke="{paper}"/>' for x, y, c in places)


def _grid() -> str:
    colours = Scale(0, 10).hex(np.add.outer(np.arange(5), np.arange(7)).ravel())
    return "".join(
        f'<rect x="{i % 7 * 8.6:.1f}" y="{i // 7 * 8}" width="8.6" height="8" fill="{c}"/>' for i, c in enumerate(colours)
    )


def _lines(grey: str) -> str:
    rows = ((4, 56), (14, 48), (24, 58), (34, 30))
    return "".join(
        f'<path d="M2 {y}H{w}" stroke="{grey if y != 14 else _ORANGE}" stroke-width="3.4" stroke-linecap="round"/>' for y, w in rows
    )


def _wave() -> str:
    x = np.linspace(0, 60, 40)
    y = 20 - 13 * np.sin(x / 6) - 3 * np.sin(x / 1.7)
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<path d="M{path}" fill="none" stroke="{_BLUE}" stroke-width="2"/>'


def _weights() -> str:
    bars = ((4, 26, _ORANGE), (18, 14, _GREEN), (32, 44, _BLUE))
    return "".join(f'<rect x="{4}" y="{y - 2}" width="{w}" height="9" rx="2" fill="{c}"/>' for y, w, c in bars)


def _band() -> str:
    return (
        f'<path d="M30 18C40 8 50 2 60 0V34C50 30 40 26 30 22z" fill="{_BLUE}" opacity=".28"/>'
        f'<path d="M0 28 10 20 20 26 30 20" fill="none" stroke="{_BLUE}" stroke-width="2.2"/>'
        f'<path d="M30 20 45 17 60 16" fill="none" stroke="{_BLUE}" stroke-width="2.2" stroke-dasharray="4 3"/>'
    )


def _arcs(paper: str) -> str:
    return (
        f'<path d="M8 32Q20 2 34 20" fill="none" stroke="{_ORANGE}" stroke-width="3"/>'
        f'<path d="M56 10Q46 2 34 20" fill="none" stroke="{_ORANGE}" stroke-width="1.6"/>'
        f'<circle cx="8" cy="32" r="5" fill="{_GREEN}" stroke="{paper}"/>'
        f'<circle cx="56" cy="10" r="5" fill="{_GREEN}" stroke="{paper}"/>'
        f'<circle cx="34" cy="20" r="6" fill="{_BLUE}" stroke="{paper}"/>'
    )
