"""What one browser session looks at: network, sensor, time, model. The URL says the same, so a link reproduces the view.

The URL is written by hand, not by Streamlit's `bind="query-params"`: a bound parameter is dropped from a link to another
page, and a map click, a table row and a select box must all be able to set the same one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from stvlm.ui.shell.callbacks import accept

T = TypeVar("T")
NETWORK_PARAMS = (
    "sensor",
    "cutoff",
    "step",
    "model",
    "run",
    "channel",
    "modality",
    "head",
    "source",
    "measure",
    "reading",
    "show",
    "alarm",
    "group",
    "other",
    "dropped",
    "place",
    "change",
)  # what belongs to one network, as words in the URL
LATE_SECONDS = 10.0  # seconds after a change of network in which a message of the browser may still name the address it left
MOST_OPENED = 50  # networks that a session remembers to have opened
MAX_LENGTH = 200  # characters of a URL parameter that are read; ids are shorter


def begin() -> None:
    """Read the network from the URL, else from this session; a change of network forgets what belonged to the last one.

    A message that left the browser before it learnt of the new address (a map that has just come up sends one) does not bring
    the old network or view back.
    """
    left, since = st.session_state.get("stvlm.left", ({}, 0.0))
    if left and st.query_params.to_dict() == left and time.monotonic() - since < LATE_SECONDS:
        st.query_params.from_dict(link_params())
    asked = st.query_params.get("data", "")[:MAX_LENGTH]
    held = st.session_state.get("stvlm.data", "")
    if asked and asked != held:
        _forget()
        _take_up(asked)
    elif held and not asked:
        st.query_params["data"] = held


def session_id() -> str:
    """What tells this session from others, as long as it lives."""
    context = get_script_run_ctx()
    return context.session_id if context else ""


def data_id() -> str:
    """The network looked at: "sample:irish_wind" or the id of an uploaded one; "" for none."""
    return st.session_state.get("stvlm.data", "")


def open_network(data: str) -> None:
    """Go over to another network ("" for none)."""
    st.session_state["stvlm.left"] = (st.query_params.to_dict(), time.monotonic())
    _forget()
    _take_up(data)
    st.query_params.clear()
    if data:
        st.query_params["data"] = data


def opened() -> tuple[str, ...]:
    """The networks that this session has looked at, the latest first."""
    return load("opened", ())


def get_param(name: str, longest: int = MAX_LENGTH) -> str:
    """A word of the view: from the URL, of which `longest` characters are read, else as this session left it; "" for none."""
    if name in st.query_params:
        st.session_state[f"stvlm.{name}"] = st.query_params[name][:longest]
    return st.session_state.get(f"stvlm.{name}", "")


def parse_param(name: str, reader: Callable[[str], T | None], longest: int = MAX_LENGTH) -> T | None:
    """A word of the view as a value; None where it is none, by the answer of its reader or a ValueError.

    A reader lets nothing pass that the widgets for the value cannot show. Its characters are bounded before it sees them.
    """
    try:
        return reader(get_param(name, longest))
    except ValueError:
        return None


def sync_param(name: str, value: str) -> None:
    """Make the URL say a word of the view, where it says another one or nothing."""
    if st.query_params.get(name) != value:
        set_param(name, value)


def set_param(name: str, value: str) -> None:
    """Set a word of the view, here and in the URL ("" takes it away)."""
    st.session_state[f"stvlm.{name}"] = value
    if value:
        st.query_params[name] = value
    elif name in st.query_params:
        del st.query_params[name]


def param_in(name: str, options: Sequence[str], default: str) -> str:
    """A word of the view that must be one of some options; anything else in the URL falls back to the default."""
    value = get_param(name)
    value = value if value in options else default
    sync_param(name, value)
    return value


def bind(key: str, value: object) -> str:
    """Let a widget show a value that others may set too: call before the widget, give it the key returned."""
    key = f"tied-{key}"
    st.session_state[key] = value  # at every run: the value left by a widget of another page does not count for one of this page
    return key


def sync_to_url(name: str, key: str, offered: Container, to_word: Callable[[Any], str] = str) -> Callable[[], None]:
    """The callback of a tied widget: what was chosen, if it was offered, becomes a word of the view."""
    return accept({key: offered}, lambda value: set_param(name, to_word(value)))


def segmented_control(name: str, label: str, options: Sequence[str], to_text: Callable[[str], str] = str, **how: object) -> str:
    """Choose one of some words, side by side; the word of the view in the URL says which, the first where it says none of them.

    Args:
        name: of the word. label: above the choice. options: words. to_text: word -> what stands on its button.
        how: for `st.segmented_control`.
    """
    picked = param_in(name, options, options[0])
    key = bind(name, picked)
    st.segmented_control(
        label, options, key=key, format_func=to_text, required=True, on_change=sync_to_url(name, key, options), **how
    )
    return picked


def store(name: str, value: object) -> None:
    """Hold something for this session that the URL does not say (fixes chosen, a template being edited)."""
    st.session_state[f"stvlm.kept.{name}"] = value


def load(name: str, default: object = None) -> object:
    """What `keep` held under this name."""
    return st.session_state.get(f"stvlm.kept.{name}", default)


def link_params() -> dict[str, str]:
    """The parameters that a link to another page carries; the rest of the view follows in the session."""
    held = {"data": data_id(), "lang": get_param("lang")}
    return {name: value for name, value in held.items() if value}


def _take_up(data: str) -> None:
    st.session_state["stvlm.data"] = data
    store("opened", tuple(dict.fromkeys(filter(None, (data, *opened()))))[:MOST_OPENED])


def _forget() -> None:
    for name in NETWORK_PARAMS:
        st.session_state.pop(f"stvlm.{name}", None)
