"""The Learn page: six steps from the sensor to the forecast, each to look at, to think about and to break; and a glossary."""

from __future__ import annotations

import streamlit as st

from stvlm.data.windows import Window
from stvlm.ui import datasets, frame, imagining, learn_inputs, learn_model, models, session, widgets, words
from stvlm.ui.learn_parts import STEPS, Lesson, solved
from stvlm.ui.words import say

CITY = f"{datasets.SAMPLE}synthetic_city"
_STEPS = dict(
    zip(
        STEPS,
        (
            learn_inputs.sensor_step,
            learn_inputs.image_step,
            learn_inputs.prompt_step,
            learn_model.tokens_step,
            learn_model.fusion_step,
            learn_model.forecast_step,
        ),
        strict=True,
    )
)


def begin() -> None:
    """What the lesson needs; a way to the sample on which every exercise has an effect."""
    st.markdown(say("learn.begin"))
    if session.data_id() != CITY:
        frame.page_link("learn", say("learn.open_city"), data=CITY)


@st.fragment
def lesson(choice: models.Choice, window: Window) -> None:
    """The step in view, the way to its neighbours, and how much is solved.

    Args:
        choice: a trained forecaster. window: the moment that is taken apart.
    """
    from stvlm.whatif import Change

    place = int(session.chosen("lesson", [str(i + 1) for i in range(len(STEPS))], "1")) - 1
    _navigation(place)
    sensor = widgets.pick_sensor(window.series.network)
    can = imagining.abilities(choice, window.series)
    if can.is_anchor:
        st.warning(say("learn.is_anchor"), icon=":material/warning:")
    step = STEPS[place]
    st.subheader(f"{place + 1}. {say(f'learn.{step}.title')}", anchor=False)
    _STEPS[step](
        Lesson(choice, window, sensor, can, imagining.inside(choice, window), imagining.imagined(choice, window, Change()))
    )
    _neighbours(place)
    done = solved()
    st.progress(len(done & set(STEPS)) / len(STEPS), text=say("learn.progress", done=len(done & set(STEPS)), all=len(STEPS)))


def glossary() -> None:
    """Words of the lesson and what they mean."""
    with st.expander(say("learn.glossary")):
        keys = [key for key in words.sentences("en") if key.startswith("glossary.")]
        for key in keys:
            word, meaning = say(key).split(": ", 1)
            st.markdown(f"**{word}**: {meaning}")


def _navigation(place: int) -> None:
    """The six steps in a row; those that are solved bear a tick."""
    done = solved()
    labels = {
        str(i): f"{i} {say(f'learn.{step}.title')}" + (" \N{CHECK MARK}" if step in done else "") for i, step in enumerate(STEPS, 1)
    }
    key = session.tied("lesson", str(place + 1))
    st.segmented_control(
        say("learn.steps"),
        list(labels),
        key=key,
        format_func=labels.get,
        required=True,
        wrap=True,
        on_change=session.taken,
        args=("lesson", key, str),
    )


def _neighbours(place: int) -> None:
    with st.container(horizontal=True):
        for move, icon in ((-1, ":material/arrow_back:"), (1, ":material/arrow_forward:")):
            there = place + move
            if 0 <= there < len(STEPS):
                label = f"{there + 1} {say(f'learn.{STEPS[there]}.title')}"
                st.button(label, icon=icon, key=f"lesson{move}", on_click=session.put, args=("lesson", str(there + 1)))
