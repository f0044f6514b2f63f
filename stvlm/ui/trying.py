"""One fix, tried: what it needs to be told, what it would change in numbers and as a picture, and the button that applies it."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import available_timezones

import pandas as pd
import streamlit as st

from stvlm.charts import effects
from stvlm.data.effects import Effect
from stvlm.data.formats import InputError
from stvlm.ui import frame, session, show, widgets
from stvlm.ui.words import number, say

NEEDED, WISHED = ("reproject", "local-time"), ("resample",)  # fixes that must, or may, be told something


def attempt(name: str, try_it: Callable[[str], Effect], apply: Callable[[str], None]) -> None:
    """What a fix would change.

    Args:
        name: of the fix. try_it: name with its parameter -> its effect. apply: callback of the button, given the same.
    """
    st.markdown(f"**{fix_label(name)}**: {say(f'fix.{slug(name)}.note')}")
    parameter = _parameter(name)
    if name in NEEDED and not parameter:
        st.button(say("data.close"), key="close-fix", on_click=session.keep, args=("tried", None))
        return
    told = f"{name}:{parameter}" if parameter else name
    try:
        with st.spinner(say("data.trying")):
            effect = try_it(told)
    except InputError as error:
        show_problems(error)
    else:
        with st.container(horizontal=True):  # beside each other where there is room, else below each other
            with st.container(width=300):
                _figures(effect)
            with st.container(width=420):
                _picture(effect)
        with st.container(horizontal=True):
            st.button(say("data.apply"), key=f"apply-{name}", type="primary", icon=":material/check:", on_click=apply, args=(told,))
            st.button(say("data.close"), key="close-fix", on_click=session.keep, args=("tried", None))


def show_problems(error: InputError) -> None:
    """An input error in the place where it happened: one line per problem, each with its cure, no traceback."""
    lines = "\n".join(f"- {widgets.plain(line)}" for line in error.problems)
    st.error(say("data.unreadable") + f"\n\n{lines}", icon=":material/error:")


def fix_label(fix: str) -> str:
    """What a fix does, with its parameter: "Convert metres to degrees (25832)"."""
    name, _, parameter = fix.partition(":")
    return say(f"fix.{slug(name)}.label") + (f" ({widgets.plain(parameter)})" if parameter else "")


def slug(name: str) -> str:
    """The name of a fix as a key of the sentences."""
    return name.partition(":")[0].replace("-", "_")


def _parameter(name: str) -> str:
    """What the fix is told, "" for nothing."""
    if name == "local-time":
        label = say("fix.local_time.ask")
        return (
            st.selectbox(label, sorted(available_timezones()), None, key="parameter-local-time", placeholder="Europe/Dublin") or ""
        )
    if name == "reproject":
        return st.text_input(say("fix.reproject.ask"), key="parameter-reproject", max_chars=40, placeholder="25832").strip()
    if name == "resample":
        return st.text_input(say("fix.resample.ask"), key="parameter-resample", max_chars=10, placeholder="60").strip()
    return ""


def _figures(effect: Effect) -> None:
    """Before and after in numbers; only what changes, and the findings."""
    rows = [(say(f"data.figure_{name}"), _text(pair[0]), _text(pair[1])) for name, pair in effect.figures.items()]
    for severity in ("error", "warning"):
        counts = [sum(p.severity == severity for p in report.problems) for report in (effect.before, effect.after)]
        rows.append((say(f"data.figure_{severity}"), *map(str, counts)))
    before, after = say("data.before"), say("data.after")
    st.table(pd.DataFrame(rows, columns=["", before, after]), hide_index=True, border="horizontal", alt=say("data.figures_alt"))
    if effect.arisen:
        arisen = [p for p in effect.after.problems if p.code in effect.arisen]
        st.warning(say("data.arisen") + " " + " ".join(widgets.plain(p.what) for p in arisen), icon=":material/warning:")
    if not effect.figures and effect.readings is None:
        st.caption(say("data.no_effect"))


def _picture(effect: Effect) -> None:
    """Before and after where it changes first."""
    names = (say("data.before"), say("data.after"))
    if effect.places is not None:
        figure = effects.places_before_after(*effect.places, names, (say("data.lon"), say("data.lat")), frame.theme())
        show.plot(figure, "effect-places", say("data.effect_places_alt"), 300)
        st.caption(say("data.effect_places_alt"))
    if effect.readings is not None:
        figure = effects.readings_before_after(*effect.readings, names, ("", effect.sensor), frame.theme())
        show.plot(figure, "effect-readings", say("data.effect_readings_alt", sensor=effect.sensor), 300)
        st.caption(widgets.plain(say("data.effect_readings_alt", sensor=effect.sensor)))


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return " … ".join(number(v, 2) for v in value)
    return number(value, 0) if isinstance(value, int) else str(value)
