"""Callbacks of widgets: what a browser sends goes no further unless the widget offers it.

Streamlit runs a callback before it draws the widget again, and only then compares the value with the options. Whoever speaks its protocol
can send any text as the choice of a box and any row of a table; so callbacks read the state of widgets through `accept` and nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from stvlm.runtime import logs


@dataclass(frozen=True)
class Between:
    """Numbers or moments from `low` to `high`, both among them."""

    low: Any
    high: Any

    def __contains__(self, value: Any) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Several:
    """Lists of at least `least` and at most `most` of the options."""

    options: Collection
    least: int = 0
    most: int | None = None

    def __contains__(self, values: Any) -> bool:
        most = len(self.options) if self.most is None else self.most
        return self.least <= len(values) <= most and all(value in self.options for value in values)


@dataclass(frozen=True)
class Text:
    """Texts of at most `longest` characters."""

    longest: int

    def __contains__(self, text: Any) -> bool:
        return isinstance(text, str) and len(text) <= self.longest


@dataclass(frozen=True)
class Rows:
    """Selections of a table with `n` rows."""

    n: int

    def __contains__(self, state: Any) -> bool:
        return all(type(row) is int and row in range(self.n) for row in state["selection"]["rows"])


def accept(offered: Mapping[str, Container], then: Callable[..., None]) -> Callable[[], None]:
    """A callback that passes on what widgets hold, if all of it was offered.

    Args:
        offered: key of each widget -> the values that it offers. then: is given the values, in the order of `offered`.
    """

    def callback() -> None:
        values = [st.session_state.get(key) for key in offered]
        if all(map(_is_among, values, offered.values())):
            then(*values)
        else:
            logs.note("a value that was not offered was left out", logging.WARNING)

    return callback


def _is_among(value: object, offered: Container) -> bool:
    try:
        return value in offered
    except (TypeError, KeyError, AttributeError):  # of another kind altogether
        return False
