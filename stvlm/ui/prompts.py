"""The Prompts page: the prompt of a window, its tokens, where each number comes from; its template; two windows compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from stvlm.charts.figures import teaching
from stvlm.charts.style import theme_of, with_alpha
from stvlm.core.escape import html as escape
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.io.source import InputError
from stvlm.runtime.atomic import write_atomic
from stvlm.runtime.cache import parsed_file
from stvlm.ui.services import forecasters
from stvlm.ui.shell import i18n as words
from stvlm.ui.shell import inputs, layout, view_state
from stvlm.ui.shell.callbacks import Rows, Text, accept
from stvlm.ui.shell.i18n import format_number, t, text_of
from stvlm.workspace import quota
from stvlm.workspace.paths import workspace

if TYPE_CHECKING:
    from streamlit.elements.arrow import DataframeState

    from stvlm.modalities.text.prompt import Origin, Prompt, PromptConfig
    from stvlm.modalities.text.template import TemplateError


# Templates of prompts that people saved, in the server's workspace: each a small file named by the hash of its name.

MOST, LONGEST_NAME = 100, 60  # templates; characters of a name


class TooManyTemplatesError(RuntimeError):
    """The workspace holds as many templates as it may."""


def saved() -> dict[str, str]:
    """Name -> template, in the order of the names."""
    found = {}
    for path in _root().glob("*.json") if _root().is_dir() else []:
        try:
            note = parsed_file(path, json.loads)
            found[str(note["name"])] = str(note["template"])
        except (ValueError, KeyError, OSError):  # half a file, or one of another tool
            continue
    return dict(sorted(found.items(), key=lambda item: item[0].casefold()))


def save(name: str, template: str) -> None:
    """Keep a template; one of the same name is replaced.

    Raises:
        TooManyTemplatesError: there are MOST already.
        InputError: the workspace cannot be written.
    """
    name = " ".join(name.split())[:LONGEST_NAME]
    with quota.writing("templates"):
        known = saved()
        if name not in known and len(known) >= MOST:
            raise TooManyTemplatesError(name)
        _root().mkdir(parents=True, exist_ok=True)
        write_atomic(_file(name), {"name": name, "template": template})


def delete(name: str) -> None:
    """Forget a template.

    Raises:
        InputError: the workspace cannot be written.
    """
    with quota.writing("templates"):
        _file(name).unlink(missing_ok=True)


def _file(name: str) -> Path:
    return _root() / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def _root() -> Path:
    return workspace() / "templates"


# The template of the prompts: edited beside what becomes of it, its error shown in its place, saved under a name.

LONGEST = 8000  # characters
AROUND = 3  # lines shown before and after a wrong one


def edit(window: Window, config: PromptConfig, count: Callable[[str], int]) -> Prompt | None:
    """The user's template, and the prompt that it makes of the window; None where it cannot be used."""
    from stvlm.modalities.text.prompt import TemplateError, describe_window

    st.caption(t("prompts.sandbox"))
    key = view_state.bind("template", view_state.load("template", config.template))
    st.text_area(
        t("prompts.template"),
        key=key,
        height=280,
        max_chars=LONGEST,
        on_change=accept({key: Text(LONGEST)}, partial(view_state.store, "template")),
    )
    template = view_state.load("template", config.template)
    try:
        prompt = describe_window(window, replace(config, template=template), count)
    except TemplateError as error:
        _show_error(error, template)
        prompt = None
    _shelf(template, config.template, prompt is not None)
    return prompt


def _show_error(error: TemplateError, template: str) -> None:
    """What is wrong, the line with what stands around it, and names that may have been meant."""
    st.error(inputs.plain(str(error)), icon=":material/error:")
    if error.line:
        st.html(_lines_html(template, error.line, error.field, layout.theme()))
    if error.near:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(t("prompts.meant"))
            for name in error.near:
                mended = _replace_in_line(template, error.line, error.field, name)
                st.button(name, key=f"meant-{name}", on_click=view_state.store, args=("template", mended))


def _lines_html(template: str, line: int, field: str, theme: str) -> str:
    """The lines around a wrong one, numbered; the wrong one shaded, the wrong name underlined. Safe to show as HTML."""
    colours, lines = theme_of(theme), template.split("\n")
    first = max(0, line - 1 - AROUND)
    rows = []
    for place, text in enumerate(lines[first : line + AROUND], first + 1):
        shown = escape(text)
        if place == line and field:
            shown = shown.replace(escape(field), f"<u style='text-decoration:underline wavy {colours.ring}'>{escape(field)}</u>", 1)
        look = f"background:{with_alpha(colours.ring, 0.15)}" if place == line else ""
        mark = "▶" if place == line else " "
        rows.append(f"<div style='{look}'><span style='color:{colours.muted}'>{mark}{place:>3} </span>{shown}</div>")
    look = f"font:13px/1.6 monospace;white-space:pre-wrap;overflow-wrap:anywhere;color:{colours.text}"
    return f"<div role='group' aria-label='{escape(t('prompts.error_alt', line=line), quote=True)}' style='{look}'>{''.join(rows)}</div>"


def _replace_in_line(template: str, line: int, old: str, new: str) -> str:
    lines = template.split("\n")
    if line and old:
        lines[line - 1] = lines[line - 1].replace(old, new, 1)
    return "\n".join(lines)


def _shelf(template: str, own: str, is_sound: bool) -> None:
    """Templates saved under a name: taken, saved, deleted; and the way back to the model's own."""
    shelf, why = saved(), view_state.load("refused-template", "")
    if why:
        view_state.store("refused-template", "")
        st.error(inputs.plain(why), icon=":material/error:")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if template != own:
            st.button(t("prompts.own"), icon=":material/undo:", on_click=view_state.store, args=("template", own))
        with st.popover(t("prompts.save"), icon=":material/save:", disabled=not is_sound):
            name = st.text_input(t("prompts.name"), key="template-name", max_chars=LONGEST_NAME)
            if st.button(t("prompts.save_as"), key="save-template", disabled=not name.strip()) and is_sound:
                try:
                    save(name, template)
                except TooManyTemplatesError:
                    st.error(t("prompts.too_many", n=MOST))
                except InputError as error:
                    st.error(inputs.plain(text_of(error)), icon=":material/error:")
                else:
                    st.rerun()
        with st.popover(t("prompts.saved", n=len(shelf)), icon=":material/folder_open:", disabled=not shelf):
            for name, text in shelf.items():
                left, right = st.columns([4, 1], vertical_alignment="center")
                left.button(
                    inputs.plain(name),
                    key=f"take-{name}",
                    type="tertiary",
                    on_click=view_state.store,
                    args=("template", text[:LONGEST]),
                )
                label = t("prompts.delete", name=inputs.plain(name))
                right.button("", icon=":material/delete:", key=f"delete-{name}", help=label, on_click=_delete, args=(name,))


def _delete(name: str) -> None:
    """Callback: forget a template, or keep why that cannot be."""
    try:
        delete(name)
    except InputError as error:
        view_state.store("refused-template", text_of(error))


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


def prompt_and_template(choice: forecasters.Choice, window: Window) -> None:
    """The model's own prompt, the template with a live preview, or two windows side by side."""
    count, config = forecasters.text_side(choice, window.series)
    from stvlm.modalities.text.prompt import describe_window

    words = {name: t(f"prompts.view_{name}") for name in VIEWS}
    view = view_state.segmented_control("reading", t("prompts.views"), VIEWS, words.get, label_visibility="collapsed")
    cut = forecasters.token_texts(choice, window.series)
    if view == "window":
        show_prompt(describe_window(window, config, count), window, cut)
    elif view == "template":
        prompt = edit(window, config, count)
        if prompt is not None:
            show_prompt(prompt, window, cut)
    else:
        _compare(window, lambda w: describe_window(w, config, count))


def show_prompt(prompt: Prompt, window: Window, cut: Callable[[str], tuple[str, ...]]) -> None:
    """The text with its tokens, its numbers tied to the map, its length against the budget, what was dropped, the facts behind it.

    Args:
        cut: how the model cuts a text into tokens.
    """
    from stvlm.modalities.text.prompt import trace_numbers

    origins = trace_numbers(prompt)
    used = min(prompt.tokens_used / max(prompt.budget, 1), 1.0)
    left, right = st.columns([3, 2], vertical_alignment="center")
    left.progress(used, text=t("prompts.used", used=prompt.tokens_used, budget=prompt.budget))
    borders = right.toggle(t("prompts.borders"), value=True, key="token-borders", persist_state="session")
    if not prompt.text:
        st.info(t("prompts.empty"))
    else:
        _linked(prompt.text, cut(prompt.text) if borders else (), origins, window)
    dropped = [s for s in prompt.sentences if not s.kept]
    if dropped:
        st.markdown(t("prompts.dropped"))
        st.markdown("\n".join(f"- ~~{inputs.plain(s.text)}~~ ({inputs.plain(s.kind)})" for s in dropped))
    else:
        st.caption(t("prompts.none_dropped"))
    with st.expander(t("prompts.numbers", n=len(origins)), icon=":material/table:"):
        _number_table(origins, window.series, window)
    with st.expander(t("prompts.plain"), icon=":material/content_copy:"):
        st.code(prompt.text, language=None, wrap_lines=True)
    with st.expander(t("prompts.facts"), icon=":material/data_object:"):
        st.caption(t("prompts.facts_note"))
        rows = [{t("prompts.fact"): name, t("prompts.value"): _in_words(value)} for name, value in prompt.facts.items()]
        inputs.table(pd.DataFrame(rows), t("prompts.facts_alt", n=len(rows)))


def _linked(text: str, tokens: tuple[str, ...], origins: tuple[Origin, ...], window: Window) -> None:
    network = window.series.network
    marks = [
        teaching.Mark(o.start, o.end, _meaning(o, window), network.ids.index(o.sensor) if o.sensor in network.ids else None)
        for o in origins
    ]
    told = {
        "hint": t("prompts.hint"),
        "map": t("prompts.map_alt", n=network.n_sensors),
        "text": t("prompts.text_alt"),
        "token": t("prompts.token"),
    }
    html = teaching.prompt_links_html(text, tokens, marks, network, told, layout.theme())
    st.iframe(html, alt=t("prompts.text_alt"))


def _meaning(origin: Origin, window: Window) -> str:
    """What a number is: quantity, sensor, time, exactly."""
    series = window.series
    if origin.source != "reading":
        name = _sensor(origin, series)
        known = origin.source in SOURCES
        return t(f"prompts.source_{origin.source}", name=name) if known else t("prompts.source_fact", name=origin.source)
    kind = origin.kind if origin.kind in READ_AS else "level" if not origin.sensor else "highest"
    exactly = f"{format_number(origin.value, 3)} {series.unit}".strip()
    what = t(f"prompts.read_{kind}", quantity=series.quantity, name=_sensor(origin, series))
    return t("prompts.meaning", what=what, when=_when(origin, window), exactly=exactly)


def _sensor(origin: Origin, series: SensorSeries) -> str:
    return (
        inputs.sensor_label(series.network, series.network.ids.index(origin.sensor)) if origin.sensor in series.network.ids else ""
    )


def _when(origin: Origin, window: Window) -> str:
    """The time of a reading, or the two between which it changed."""
    if origin.first is None:
        return ""
    times = window.past_times[[origin.first, origin.last]]
    first, last = words.format_times(times, window.series.timezone)
    return last if origin.first == origin.last else t("prompts.from_to", first=first, last=last)


def _number_table(origins: tuple[Origin, ...], series: SensorSeries, window: Window) -> None:
    """The same as a table; a click on a row makes its sensor the one in view."""
    rows = [
        {
            t("prompts.number"): o.text,
            t("prompts.meaning_head"): _meaning(o, window),
            t("common.sensor"): _sensor(o, series),
            t("prompts.when"): _when(o, window),
            t("prompts.exactly"): o.value,
        }
        for o in origins
    ]

    def take(state: DataframeState) -> None:
        chosen = [origins[row].sensor for row in state.selection.rows if origins[row].sensor]
        if chosen:
            view_state.set_param("sensor", chosen[-1])

    if rows:
        table, key = pd.DataFrame(rows).astype({t("prompts.exactly"): "float64"}), "number-table"
        look = {"key": key, "on_select": accept({key: Rows(len(rows))}, take), "selection_mode": "single-row"}
        inputs.table(table, t("prompts.numbers_alt", n=len(rows)), 4, **look)
        st.caption(t("prompts.numbers_note"))


def _compare(window: Window, tell: Callable[[Window], Prompt]) -> None:
    """Two windows of one network, sentence by sentence."""
    series = window.series
    start = max(window.lookback, window.cutoff - max(window.horizon, 1))
    cutoff = inputs.pick_time(series, "other", window.lookback, series.n_steps, start, t("prompts.other"))
    here, there = tell(window), tell(Window(series, cutoff, window.lookback, window.horizon))
    rows = teaching.align(*([(s.kind, s.text) for s in prompt.sentences if s.kept] for prompt in (here, there)))
    differ = sum(a != b for _, a, b in rows)
    heads = (t("prompts.kind"), *(inputs.clock(series, w - 1) for w in (window.cutoff, cutoff)))
    st.caption(t("prompts.differ", differ=differ, all=len(rows), here=here.tokens_used, there=there.tokens_used))
    st.html(teaching.prompt_diff_html(rows, heads, layout.theme()))


def _in_words(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_in_words(v) for v in value)
    return str(value)
