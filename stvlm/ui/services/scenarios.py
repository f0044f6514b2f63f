"""Where pages ask a model for more than its forecast: with something changed, or with its tensors; answers are remembered by content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.ui.services import forecasters

if TYPE_CHECKING:
    from stvlm.inference.scenario import Scenario, ScenarioResult
    from stvlm.inference.trace import ForwardTrace
    from stvlm.model.stvlm import STVLM


@dataclass(frozen=True)
class Abilities:
    """What a model gets, some of MODALITIES; whether its forecast is the anchor's; whether it was trained with news and heeds them."""

    modalities: tuple[str, ...]
    is_anchor: bool
    heeds_news: bool


def scenario_forecast(choice: forecasters.Choice, window: Window, change: Scenario) -> ScenarioResult:
    """What would be forecast of a window with a change, remembered."""
    return _scenario_forecast(
        f"{forecasters.cache_key(choice, window)} {change.word}", forecasters.load_model(choice, window.series), window, change
    )


def abilities(choice: forecasters.Choice, series: SensorSeries) -> Abilities:
    """What a model gets, and what can move its forecast."""
    model = forecasters.load_model(choice, series)
    from stvlm.inference.scenario import event_columns

    shown = model.config.inputs.modalities
    return Abilities(shown, model.is_anchor, not model.is_anchor and "text" in shown and bool(event_columns(series)))


def prompt_length(choice: forecasters.Choice, series: SensorSeries, prompt: str) -> tuple[int, int]:
    """Tokens of a prompt, and how many the model reads at most."""
    count, config = forecasters.text_side(choice, series)
    return count(prompt) if prompt else 0, config.max_tokens


def forward_trace(choice: forecasters.Choice, window: Window) -> ForwardTrace:
    """The tensors of a forecast on their way through the model, remembered."""
    return _forward_trace(forecasters.cache_key(choice, window), forecasters.load_model(choice, window.series), window)


def token_texts(choice: forecasters.Choice, series: SensorSeries, prompt: str) -> tuple[str, ...]:
    """A prompt cut at the borders of its tokens."""
    return forecasters.load_model(choice, series).backbone.token_texts(prompt)


@st.cache_data(max_entries=128, show_spinner=False)
def _scenario_forecast(key: str, _model: STVLM, _window: Window, _change: Scenario) -> ScenarioResult:
    from stvlm.inference.scenario import forecast_scenario

    return forecasters.submit("scenario", key, lambda: forecast_scenario(_model, _window, _change))


@st.cache_data(max_entries=16, show_spinner=False)
def _forward_trace(key: str, _model: STVLM, _window: Window) -> ForwardTrace:
    from stvlm.inference.trace import trace_forward

    return forecasters.submit("trace", key, lambda: trace_forward(_model, _window))
