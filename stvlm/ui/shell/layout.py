"""The frame around every page: title, sidebar, theme."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass
from importlib import import_module

import streamlit as st

from stvlm.runtime import logs
from stvlm.runtime.assets import asset
from stvlm.runtime.environment import hub_host, hub_is_online
from stvlm.ui.services import networks
from stvlm.ui.shell import i18n as words
from stvlm.ui.shell import view_state
from stvlm.ui.shell.i18n import t


@dataclass(frozen=True)
class Page:
    """A page of the app: its key in the files of `languages/`, its file and its sign in the sidebar."""

    name: str
    path: str
    icon: str

    @property
    def title(self) -> str:
        """Its name in the sidebar, in the language in view."""
        return t(f"page.{self.name}.title")

    @property
    def line(self) -> str:
        """What one does there."""
        return t(f"page.{self.name}.line")


PAGES = {
    page.name: page
    for page in (
        Page("home", "app.py", ":material/home:"),
        Page("data", "pages/data.py", ":material/database:"),
        Page("images", "pages/images.py", ":material/image:"),
        Page("prompts", "pages/prompts.py", ":material/notes:"),
        Page("train", "pages/train.py", ":material/model_training:"),
        Page("forecast", "pages/forecast.py", ":material/timeline:"),
        Page("fusion", "pages/fusion.py", ":material/hub:"),
        Page("whatif", "pages/whatif.py", ":material/science:"),
        Page("compare", "pages/compare.py", ":material/balance:"),
        Page("learn", "pages/learn.py", ":material/school:"),
    )
}
_GROUPS = {  # of the sidebar
    "frame.network": ("data", "images", "prompts"),
    "frame.model": ("train", "forecast", "compare"),
    "frame.understand": ("fusion", "whatif", "learn"),
}
_ICON = str(asset("icon.svg"))


def page(name: str) -> None:
    """Begin a page: its title in the tab and on the page, the session's network, the sidebar."""
    this = PAGES[name]
    logs.begin()
    logs.note(f"page {name}", session=view_state.session_id())
    title = "ST-VLM" if name == "home" else f"{this.title} · ST-VLM"
    st.set_page_config(page_title=title, page_icon=_ICON, layout="wide")
    view_state.begin()
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
    st.page_link(this.path, label=label or this.title, icon=this.icon, query_params=view_state.link_params() | words)


def go(name: str) -> None:
    """Open a page, keeping the network."""
    st.switch_page(PAGES[name].path, query_params=view_state.link_params())


def _sidebar() -> None:
    with st.sidebar:
        st.markdown("**ST-VLM**")
        page_link("home")
        for heading, names in _GROUPS.items():
            st.caption(t(heading))
            for name in names:
                page_link(name)
        st.divider()
        st.caption(t("frame.in_view"))
        st.text(networks.title(view_state.data_id()) if view_state.data_id() else t("frame.none_yet"))
        words.pick_language()
        st.caption(t("frame.hub", host=hub_host()) if hub_is_online() else t("frame.local"))


# The model's libraries, imported beside the first page: they take seconds.


@st.cache_resource(show_spinner=False)
def preload_libraries() -> threading.Thread:
    """Import the model's libraries beside the page, so that the first forecast need not wait for them.

    Returns:
        The thread; join it before any import of torch, so that no two threads import the same library at once.
    """
    thread = threading.Thread(target=_import_libraries, name="imports", daemon=True)
    thread.start()
    return thread


def _import_libraries() -> None:
    """Without looking for garbage: among some million objects that stay for good it takes a second, and each time again later on."""
    gc.disable()
    try:
        import_module("stvlm.training.fit")
    finally:
        gc.freeze()
        gc.enable()
