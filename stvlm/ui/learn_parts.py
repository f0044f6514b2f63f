"""What the six steps of the Learn page share: what they look at, a question with its answer, and a verdict on an exercise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from stvlm.charts.scale import fit_scale
from stvlm.data.windows import Window
from stvlm.ui import imagining, models, session, widgets, words
from stvlm.ui.words import say

if TYPE_CHECKING:
    from stvlm.data.forecast import Forecast
    from stvlm.lesson import Inside
    from stvlm.whatif import Change, Outcome

STEPS = ("sensor", "image", "prompt", "tokens", "fusion", "forecast")


@dataclass(frozen=True, eq=False)
class Lesson:
    """One forecast that is taken apart.

    Attributes:
        choice: the forecaster. window: what it forecasts from. sensor: node in view. can: what the model does.
        inside: its tensors. before: its forecast as it is.
    """

    choice: models.Choice
    window: Window
    sensor: int
    can: imagining.Abilities
    inside: Inside
    before: Outcome

    @property
    def name(self) -> str:
        """Name and id of the sensor in view, safe in markdown."""
        return widgets.plain(widgets.sensor_label(self.window.series.network, self.sensor))

    @property
    def unit(self) -> str:
        """The unit, safe in markdown."""
        return widgets.plain(self.window.series.unit)

    @property
    def forecast(self) -> Forecast:
        """The forecast as it is."""
        return self.before.forecast

    def imagine(self, change: Change) -> Outcome:
        """The forecast with a change."""
        return imagining.imagined(self.choice, self.window, change)

    def moved(self, change: Change, everywhere: bool = False) -> float:
        """Mean absolute change of the forecast by a change, in the unit: of the sensor in view, or of all."""
        from stvlm.lesson import mean_change

        return mean_change(self.forecast, self.imagine(change).forecast, None if everywhere else self.sensor)

    @property
    def spread(self) -> float:
        """What the sensor in view usually varies by, in the unit."""
        from stvlm.whatif import usual_spread

        return float(usual_spread(self.window)[self.sensor])

    def amount(self, value: float) -> str:
        """A number in the unit, as text."""
        digits = fit_scale(self.forecast.median).decimals + 1
        return f"{words.number(value, digits)} {self.unit}".rstrip()

    def key(self, name: str) -> str:
        """A widget's key that changes with what the lesson looks at, so that no answer outlives its question."""
        return f"learn-{name}-{hash((self.window.series.fingerprint, self.window.cutoff, self.sensor, self.choice.name))}"


def shape(*sizes: int) -> str:
    """The shape of a tensor: "12 × 60"."""
    return " × ".join(str(size) for size in sizes)


def think(step: str) -> None:
    """The question of a step, and an answer behind a click."""
    st.markdown(f"**{say('learn.think')}** {say(f'learn.{step}.think')}")
    with st.expander(say("learn.an_answer")):
        st.markdown(say(f"learn.{step}.answer"))


def task(step: str, **fields: object) -> None:
    """What is to be broken in a step."""
    st.subheader(say("learn.break"), anchor=False)
    st.markdown(say(f"learn.{step}.task", **fields))


def verdict(step: str, is_right: bool, **fields: object) -> None:
    """Say whether an answer or an action is right, with the numbers of the real model; a step solved stays solved."""
    if is_right:
        st.success(say(f"learn.{step}.right", **fields), icon=":material/check_circle:")
        session.keep("lesson.solved", session.kept("lesson.solved", frozenset()) | {(session.data_id(), step)})
    else:
        st.info(say(f"learn.{step}.wrong", **fields), icon=":material/lightbulb:")


def solved() -> frozenset[str]:
    """The steps of this network that were solved in this session."""
    return frozenset(step for data, step in session.kept("lesson.solved", frozenset()) if data == session.data_id())
