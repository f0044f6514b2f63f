"""The frame around every page: title, sidebar, theme."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from stvlm.ui import datasets, session


@dataclass(frozen=True)
class Page:
    """A page of the app: its file, its name in the sidebar and one line on what one does there."""

    path: str
    title: str
    icon: str
    line: str


PAGES = {
    "home": Page("app.py", "Home", ":material/home:", ""),
    "data": Page(
        "pages/data.py", "Data", ":material/database:", "Choose or upload a sensor network, and see what is wrong with it."
    ),
    "images": Page("pages/images.py", "Spatial images", ":material/image:", "What the model sees: the network painted as images."),
    "prompts": Page("pages/prompts.py", "Prompts", ":material/notes:", "What the model reads: each window in plain words."),
    "train": Page("pages/train.py", "Train", ":material/model_training:", "Fit a model to this network, and watch it."),
    "forecast": Page(
        "pages/forecast.py", "Forecast", ":material/timeline:", "What comes next, on the map and over time, with bands."
    ),
    "fusion": Page("pages/fusion.py", "Fusion", ":material/hub:", "What a forecast drew on: image, text, series, other sensors."),
    "compare": Page(
        "pages/compare.py", "Compare", ":material/balance:", "Which model is better, where, and what each part of it is worth."
    ),
}
_ICON = str(Path(__file__).with_name("icon.svg"))


def page(name: str) -> None:
    """Begin a page: its title in the tab and on the page, the session's network, the sidebar."""
    this = PAGES[name]
    title = "ST-VLM" if name == "home" else f"{this.title} · ST-VLM"
    st.set_page_config(page_title=title, page_icon=_ICON, layout="wide")
    session.begin()
    _sidebar()
    if name != "home":
        st.title(this.title, anchor=False)
        st.caption(this.line)


def theme() -> str:
    """ "light" or "dark", as the browser shows it now."""
    return "dark" if st.context.theme.type == "dark" else "light"


def page_link(name: str, label: str = "", **words: str) -> None:
    """A link to a page that keeps the network; `words` of the view go into its address."""
    this = PAGES[name]
    st.page_link(this.path, label=label or this.title, icon=this.icon, query_params=session.link() | words)


def go(name: str) -> None:
    """Open a page, keeping the network."""
    st.switch_page(PAGES[name].path, query_params=session.link())


def _sidebar() -> None:
    with st.sidebar:
        st.markdown("**ST-VLM**")
        page_link("home")
        st.caption("The network")
        for name in ("data", "images", "prompts"):
            page_link(name)
        st.caption("The model")
        for name in ("train", "forecast", "fusion", "compare"):
            page_link(name)
        st.divider()
        st.caption("Network in view")
        st.text(datasets.title(session.data_id()) if session.data_id() else "none yet")
        st.caption("Nothing leaves this machine: maps, models and data are all local.")
