"""The Prompts page: the prompt of a window, its tokens, where each number comes from; its template; two windows compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from stvlm.charts import prompt_diff, prompt_links
from stvlm.data.series import SensorSeries
from stvlm.data.windows import Window
from stvlm.ui import frame, models, session, templating, widgets, words
from stvlm.ui.words import number, say

if TYPE_CHECKING:
    from stvlm.modalities.origins import Origin
    from stvlm.modalities.prompt import Prompt

VIEWS = ("window", "template", "compare")
SOURCES = frozenset(  # of numbers that are no readings
    [
        "name",
        "template",
        "n_sensors",
        "place",
        "width",
        "height",
        "moment",
        "season",
        "lookback",
        "horizon",
        "step",
        "context",
        "events",
        "ahead",
        "missing",
        "level_age",
    ]
)
READ_AS = frozenset(("level", "trend", "spread", "highest", "lowest", "movers"))  # kinds of sentences that tell readings


def prompt_and_template(choice: models.Choice, window: Window) -> None:
    """The model's own prompt, the template with a live preview, or two windows side by side."""
    count, config = models.text_side(choice, window.series)
    from stvlm.modalities.prompt import describe_window

    words = {name: say(f"prompts.view_{name}") for name in VIEWS}
    view = session.segmented("reading", say("prompts.views"), VIEWS, words.get, label_visibility="collapsed")
    cut = models.token_texts(choice, window.series)
    if view == "window":
        show_prompt(describe_window(window, config, count), window, cut)
    elif view == "template":
        prompt = templating.edit(window, config, count)
        if prompt is not None:
            show_prompt(prompt, window, cut)
    else:
        _compare(window, lambda w: describe_window(w, config, count))


def show_prompt(prompt: Prompt, window: Window, cut: Callable[[str], tuple[str, ...]]) -> None:
    """The text with its tokens, its numbers tied to the map, its length against the budget, what was dropped, the facts behind it.

    Args:
        cut: how the model cuts a text into tokens.
    """
    from stvlm.modalities.origins import trace_numbers

    origins = trace_numbers(prompt)
    used = min(prompt.tokens_used / max(prompt.budget, 1), 1.0)
    left, right = st.columns([3, 2], vertical_alignment="center")
    left.progress(used, text=say("prompts.used", used=prompt.tokens_used, budget=prompt.budget))
    borders = right.toggle(say("prompts.borders"), value=True, key="token-borders", persist_state="session")
    if not prompt.text:
        st.info(say("prompts.empty"))
    else:
        _linked(prompt.text, cut(prompt.text) if borders else (), origins, window)
    dropped = [s for s in prompt.sentences if not s.kept]
    if dropped:
        st.markdown(say("prompts.dropped"))
        st.markdown("\n".join(f"- ~~{widgets.plain(s.text)}~~ ({widgets.plain(s.kind)})" for s in dropped))
    else:
        st.caption(say("prompts.none_dropped"))
    with st.expander(say("prompts.numbers", n=len(origins)), icon=":material/table:"):
        _number_table(origins, window.series, window)
    with st.expander(say("prompts.plain"), icon=":material/content_copy:"):
        st.code(prompt.text, language=None, wrap_lines=True)
    with st.expander(say("prompts.facts"), icon=":material/data_object:"):
        st.caption(say("prompts.facts_note"))
        rows = [{say("prompts.fact"): name, say("prompts.value"): _in_words(value)} for name, value in prompt.facts.items()]
        widgets.table(pd.DataFrame(rows), say("prompts.facts_alt", n=len(rows)))


def _linked(text: str, tokens: tuple[str, ...], origins: tuple[Origin, ...], window: Window) -> None:
    network = window.series.network
    marks = [
        prompt_links.Mark(o.start, o.end, _meaning(o, window), network.ids.index(o.sensor) if o.sensor in network.ids else None)
        for o in origins
    ]
    told = {
        "hint": say("prompts.hint"),
        "map": say("prompts.map_alt", n=network.n_sensors),
        "text": say("prompts.text_alt"),
        "token": say("prompts.token"),
    }
    html = prompt_links.prompt_links_html(text, tokens, marks, network, told, frame.theme())
    st.iframe(html, alt=say("prompts.text_alt"))


def _meaning(origin: Origin, window: Window) -> str:
    """What a number is: quantity, sensor, time, exactly."""
    series = window.series
    if origin.source != "reading":
        name = _sensor(origin, series)
        known = origin.source in SOURCES
        return say(f"prompts.source_{origin.source}", name=name) if known else say("prompts.source_fact", name=origin.source)
    kind = origin.kind if origin.kind in READ_AS else "level" if not origin.sensor else "highest"
    exactly = f"{number(origin.value, 3)} {series.unit}".strip()
    what = say(f"prompts.read_{kind}", quantity=series.quantity, name=_sensor(origin, series))
    return say("prompts.meaning", what=what, when=_when(origin, window), exactly=exactly)


def _sensor(origin: Origin, series: SensorSeries) -> str:
    return (
        widgets.sensor_label(series.network, series.network.ids.index(origin.sensor)) if origin.sensor in series.network.ids else ""
    )


def _when(origin: Origin, window: Window) -> str:
    """The time of a reading, or the two between which it changed."""
    if origin.first is None:
        return ""
    times = window.past_times[[origin.first, origin.last]]
    first, last = words.moments(times, window.series.timezone)
    return last if origin.first == origin.last else say("prompts.from_to", first=first, last=last)


def _number_table(origins: tuple[Origin, ...], series: SensorSeries, window: Window) -> None:
    """The same as a table; a click on a row makes its sensor the one in view."""
    rows = [
        {
            say("prompts.number"): o.text,
            say("prompts.meaning_head"): _meaning(o, window),
            say("common.sensor"): _sensor(o, series),
            say("prompts.when"): _when(o, window),
            say("prompts.exactly"): o.value,
        }
        for o in origins
    ]

    def take() -> None:
        chosen = [origins[row].sensor for row in st.session_state["number-table"].selection.rows if origins[row].sensor]
        if chosen:
            session.put("sensor", chosen[-1])

    if rows:
        table = pd.DataFrame(rows).astype({say("prompts.exactly"): "float64"})
        widgets.table(
            table, say("prompts.numbers_alt", n=len(rows)), 4, key="number-table", on_select=take, selection_mode="single-row"
        )
        st.caption(say("prompts.numbers_note"))


def _compare(window: Window, tell: Callable[[Window], Prompt]) -> None:
    """Two windows of one network, sentence by sentence."""
    series = window.series
    start = max(window.lookback, window.cutoff - max(window.horizon, 1))
    cutoff = widgets.pick_time(series, "other", window.lookback, series.n_steps, start, say("prompts.other"))
    here, there = tell(window), tell(Window(series, cutoff, window.lookback, window.horizon))
    rows = prompt_diff.align(*([(s.kind, s.text) for s in prompt.sentences if s.kept] for prompt in (here, there)))
    differ = sum(a != b for _, a, b in rows)
    heads = (say("prompts.kind"), *(widgets.clock(series, w - 1) for w in (window.cutoff, cutoff)))
    st.caption(say("prompts.differ", differ=differ, all=len(rows), here=here.tokens_used, there=there.tokens_used))
    st.html(prompt_diff.prompt_diff_html(rows, heads, frame.theme()))


def _in_words(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_in_words(v) for v in value)
    return str(value)
