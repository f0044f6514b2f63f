"""Where pages ask a model for more than its forecast: with something changed, or with its tensors; answers are remembered by content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from stvlm.data.series import SensorSeries
from stvlm.data.windows import Window
from stvlm.ui import models

if TYPE_CHECKING:
    from stvlm.lesson import Inside
    from stvlm.model.stvlm import STVLM
    from stvlm.whatif import Change, Outcome


@dataclass(frozen=True)
class Abilities:
    """What a model gets, some of MODALITIES; whether its forecast is the anchor's; whether it was trained with news and heeds them."""

    modalities: tuple[str, ...]
    is_anchor: bool
    heeds_news: bool


def imagined(choice: models.Choice, window: Window, change: Change) -> Outcome:
    """What would be forecast of a window with a change, remembered."""
    return _imagined(f"{models.key(choice, window)} {change.word}", models.ready(choice, window.series), window, change)


def abilities(choice: models.Choice, series: SensorSeries) -> Abilities:
    """What a model gets, and what can move its forecast."""
    model = models.ready(choice, series)
    from stvlm.whatif import news_columns

    shown = model.config.inputs.modalities
    return Abilities(shown, model.is_anchor, not model.is_anchor and "text" in shown and bool(news_columns(series)))


def prompt_length(choice: models.Choice, series: SensorSeries, prompt: str) -> tuple[int, int]:
    """Tokens of a prompt, and how many the model reads at most."""
    count, config = models.text_side(choice, series)
    return count(prompt) if prompt else 0, config.max_tokens


def inside(choice: models.Choice, window: Window) -> Inside:
    """The tensors of a forecast on their way through the model, remembered."""
    return _inside(models.key(choice, window), models.ready(choice, window.series), window)


def token_texts(choice: models.Choice, series: SensorSeries, prompt: str) -> tuple[str, ...]:
    """A prompt cut at the borders of its tokens."""
    return models.ready(choice, series).backbone.token_texts(prompt)


@st.cache_data(max_entries=128, show_spinner=False)
def _imagined(key: str, _model: STVLM, _window: Window, _change: Change) -> Outcome:
    from stvlm.whatif import imagine

    return models.ask("imagined", key, lambda: imagine(_model, _window, _change))


@st.cache_data(max_entries=16, show_spinner=False)
def _inside(key: str, _model: STVLM, _window: Window) -> Inside:
    from stvlm.lesson import look_inside

    return models.ask("inside", key, lambda: look_inside(_model, _window))
