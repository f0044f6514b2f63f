"""The model's libraries, imported beside the first page: they take seconds."""

from __future__ import annotations

import gc
import threading
from importlib import import_module

import streamlit as st


@st.cache_resource(show_spinner=False)
def warm_up() -> threading.Thread:
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
        import_module("stvlm.fit")
    finally:
        gc.freeze()
        gc.enable()
