"""What can be changed on the What if page: words, sensors, noise, modalities; the URL holds all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from stvlm.data.forecast import MODALITIES
from stvlm.data.network import SensorNetwork
from stvlm.data.windows import Window
from stvlm.ui import imagining, session, widgets, words
from stvlm.ui.words import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from stvlm.whatif import Change

LONGEST_WORD = 4000  # characters of a change in the URL


def in_view(window: Window, can: imagining.Abilities) -> Change:
    """The change that the URL asks for; without one that makes sense here, one that shows something.

    Where news move the forecast, that is news of an incident at the sensor in view; else that sensor falls silent.
    """
    from stvlm.whatif import Change

    network = window.series.network
    word = session.get("change", LONGEST_WORD)
    try:
        change = Change.of(word)
    except ValueError:
        change = None
    if change is None or not {*change.dropped, *filter(None, [change.moved])} <= set(network.ids):
        sensor = session.chosen("sensor", network.ids, network.ids[0])
        change = Change(event=incident(window, sensor)) if can.heeds_news else Change(dropped=(sensor,))
    if session.get("change", LONGEST_WORD) != change.word or "change" not in st.query_params:
        session.put("change", change.word)
    return change


def incident(window: Window, sensor: str) -> str:
    """News of an incident at a sensor, in the language of the prompts."""
    from stvlm.whatif import LONGEST_EVENT

    kind = "crash" if "speed" in window.series.quantity or "traffic" in window.series.quantity else "incident"
    network = window.series.network
    return f"{kind} near {network.name(network.ids.index(sensor))}"[:LONGEST_EVENT]


def show(window: Window, can: imagining.Abilities, change: Change, prompt: str, sensor: int) -> None:
    """The widgets, and what is changed now in one line.

    Args:
        window: before the change. can: what the model does. change: in view. prompt: as the model reads it now.
        sensor: node in view, for the buttons.
    """
    with st.container(border=True):
        tabs = st.tabs([say(f"whatif.tab_{name}") for name in ("words", "sensors", "noise", "modalities")])
        with tabs[0]:
            _words(window, can, change, prompt, window.series.network.ids[sensor])
        with tabs[1]:
            _sensors(window.series.network, change, window.series.network.ids[sensor])
        with tabs[2]:
            _noise(can, change)
        with tabs[3]:
            _modalities(can, change)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"**{say('whatif.changed')}** {'; '.join(in_words(change, window.series.network)) or say('whatif.nothing')}"
            )
            st.button(
                say("whatif.undo"),
                icon=":material/undo:",
                disabled=change.word == "{}",
                on_click=session.put,
                args=("change", "{}"),
            )


def in_words(change: Change, network: SensorNetwork) -> list[str]:
    """What a change changes, each part as safe markdown."""
    labels = widgets.sensor_labels(network)
    parts = []
    if change.prompt:
        parts.append(say("whatif.said_prompt"))
    elif change.event.strip():
        parts.append(say("whatif.said_event", event=widgets.plain(change.event.strip())))
    if change.dropped:
        parts.append(say("whatif.said_dropped", names=widgets.plain(", ".join(labels[i] for i in change.dropped))))
    if change.moved and (change.east_km or change.north_km):
        km = [words.number(value, 1, sign=True) for value in (change.east_km, change.north_km)]
        parts.append(say("whatif.said_moved", name=widgets.plain(labels[change.moved]), east=km[0], north=km[1]))
    if change.noise:
        parts.append(say("whatif.said_noise", percent=change.noise))
    if change.spoilt:
        parts.append(say(f"spoilt.{change.spoilt.replace(' ', '_')}"))
    parts += [say("whatif.said_without", modality=say(f"modality.{m}")) for m in change.without]
    return parts


def _words(window: Window, can: imagining.Abilities, change: Change, prompt: str, sensor: str) -> None:
    from stvlm.whatif import LONGEST_EVENT, LONGEST_PROMPT, named_in

    if "text" not in can.modalities:
        st.caption(say("whatif.reads_nothing"))
        return
    network = window.series.network
    off = "text" in change.without
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _widget(
            st.text_input, "event", change, change.event, say("whatif.event"), lambda text: text.strip(),
            max_chars=LONGEST_EVENT, disabled=off or bool(change.prompt), placeholder=incident(window, sensor), width="stretch",
        )  # fmt: skip
        st.button(
            say("whatif.event_here", name=widgets.plain(network.name(network.ids.index(sensor)))),
            icon=":material/car_crash:",
            disabled=off,
            on_click=_put,
            args=(replace(change, event=incident(window, sensor), prompt=""),),
        )
    if change.event and not change.prompt and not named_in(network, change.event):
        st.caption(say("whatif.names_nobody"))
    with st.expander(say("whatif.own_prompt"), expanded=bool(change.prompt)):
        shown = change.prompt or prompt
        _widget(
            st.text_area, "prompt", change, shown, say("whatif.prompt"), lambda text: "" if text == prompt else text.strip(),
            max_chars=LONGEST_PROMPT, disabled=off, height=150,
        )  # fmt: skip
        if change.prompt:
            st.button(say("whatif.own_prompt_back"), icon=":material/undo:", on_click=_put, args=(replace(change, prompt=""),))
    st.caption(say("whatif.english"))


def _sensors(network: SensorNetwork, change: Change, sensor: str) -> None:
    from stvlm.whatif import FARTHEST_KM, MOST_DROPPED

    labels = {"": say("whatif.moved_none")} | widgets.sensor_labels(network)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _widget(
            st.multiselect, "dropped", change, list(change.dropped), say("whatif.dropped"), tuple,
            options=network.ids, format_func=labels.get, max_selections=MOST_DROPPED,
            placeholder=say("whatif.dropped_none"), width="stretch",
        )  # fmt: skip
        st.button(
            say("whatif.drop_this", name=widgets.plain(labels[sensor])),
            icon=":material/sensors_off:",
            disabled=sensor in change.dropped or len(change.dropped) >= MOST_DROPPED,
            on_click=_put,
            args=(replace(change, dropped=(*change.dropped, sensor)),),
        )
    columns = st.columns([2, 1, 1])
    with columns[0]:
        _widget(
            st.selectbox, "moved", change, change.moved, say("whatif.moved"), str,
            options=("", *network.ids), format_func=labels.get,
        )  # fmt: skip
    for column, field in zip(columns[1:], ("east_km", "north_km"), strict=True):
        with column:
            _widget(
                st.number_input, field, change, float(getattr(change, field)), say(f"whatif.{field}"), float,
                min_value=-FARTHEST_KM, max_value=FARTHEST_KM, step=0.5, format="%.1f", disabled=not change.moved,
            )  # fmt: skip
    st.caption(say("whatif.sensors_note"))


def _noise(can: imagining.Abilities, change: Change) -> None:
    from stvlm.modalities.disturb import DISTURBANCES
    from stvlm.whatif import MOST_NOISE

    left, right = st.columns(2)
    with left:
        _widget(
            st.slider, "noise", change, change.noise, say("whatif.noise"), int,
            min_value=0, max_value=MOST_NOISE, step=10, format="%d %%",
        )  # fmt: skip
    needs = {name: "text" if "prompt" in name else "vision" for name in DISTURBANCES}
    options = {"": say("spoilt.none")}
    options |= {name: say(f"spoilt.{name.replace(' ', '_')}") for name, modality in needs.items() if modality in can.modalities}
    with right:
        _widget(
            st.selectbox, "spoilt", change, change.spoilt if change.spoilt in options else "", say("whatif.spoilt"), str,
            options=list(options), format_func=options.get,
        )  # fmt: skip
    st.caption(say("whatif.noise_note"))


def _modalities(can: imagining.Abilities, change: Change) -> None:
    options = {m: say(f"modality.{m}") for m in MODALITIES if m in can.modalities}
    _widget(
        st.pills, "without", change, [m for m in change.without if m in options], say("whatif.without"),
        lambda chosen: tuple(m for m in MODALITIES if m in chosen),
        options=list(options), selection_mode="multi", format_func=options.get,
    )  # fmt: skip
    st.caption(say("whatif.modalities_note"))


def _widget(kind: Callable, field: str, change: Change, value: object, label: str, to_value: Callable, **options: object) -> None:
    """A widget that shows one field of the change and puts what is chosen into the URL.

    Args:
        kind: of Streamlit. field: of Change. change: in view. value: to show. label: of the widget.
        to_value: from what the widget holds to what the field holds. options: for the widget.
    """
    key = session.tied(f"change-{field}", value)
    kind(label, key=key, on_change=lambda: _put(replace(change, **{field: to_value(st.session_state[key])})), **options)


def _put(change: Change) -> None:
    session.put("change", change.word)
