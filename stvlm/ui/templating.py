"""The template of the prompts: edited beside what becomes of it, its error shown in its place, saved under a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from stvlm.charts.palette import theme_of, with_alpha
from stvlm.data.escape import html as escape
from stvlm.data.windows import Window
from stvlm.ui import frame, session, templates, widgets
from stvlm.ui.words import say

if TYPE_CHECKING:
    from stvlm.modalities.prompt import Prompt, PromptConfig
    from stvlm.modalities.template import TemplateError

LONGEST = 8000  # characters
AROUND = 3  # lines shown before and after a wrong one


def edit(window: Window, config: PromptConfig, count: Callable[[str], int]) -> Prompt | None:
    """The user's template, and the prompt that it makes of the window; None where it cannot be used."""
    from stvlm.modalities.prompt import TemplateError, describe_window

    st.caption(say("prompts.sandbox"))
    key = session.tied("template", session.kept("template", config.template))
    st.text_area(
        say("prompts.template"),
        key=key,
        height=280,
        max_chars=LONGEST,
        on_change=lambda: session.keep("template", st.session_state[key]),
    )
    template = session.kept("template", config.template)
    try:
        prompt = describe_window(window, replace(config, template=template), count)
    except TemplateError as error:
        _show_error(error, template)
        prompt = None
    _shelf(template, config.template, prompt is not None)
    return prompt


def _show_error(error: TemplateError, template: str) -> None:
    """What is wrong, the line with what stands around it, and names that may have been meant."""
    st.error(widgets.plain(str(error)), icon=":material/error:")
    if error.line:
        st.html(_lines_html(template, error.line, error.field, frame.theme()))
    if error.near:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(say("prompts.meant"))
            for name in error.near:
                mended = _replace_in_line(template, error.line, error.field, name)
                st.button(name, key=f"meant-{name}", on_click=session.keep, args=("template", mended))


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
    return f"<div role='group' aria-label='{escape(say('prompts.error_alt', line=line), quote=True)}' style='{look}'>{''.join(rows)}</div>"


def _replace_in_line(template: str, line: int, old: str, new: str) -> str:
    lines = template.split("\n")
    if line and old:
        lines[line - 1] = lines[line - 1].replace(old, new, 1)
    return "\n".join(lines)


def _shelf(template: str, own: str, is_sound: bool) -> None:
    """Templates saved under a name: taken, saved, deleted; and the way back to the model's own."""
    shelf = templates.saved()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if template != own:
            st.button(say("prompts.own"), icon=":material/undo:", on_click=session.keep, args=("template", own))
        with st.popover(say("prompts.save"), icon=":material/save:", disabled=not is_sound):
            name = st.text_input(say("prompts.name"), key="template-name", max_chars=templates.LONGEST_NAME)
            if st.button(say("prompts.save_as"), key="save-template", disabled=not name.strip()):
                try:
                    templates.save(name, template)
                except templates.TooManyTemplatesError:
                    st.error(say("prompts.too_many", n=templates.MOST))
                else:
                    st.rerun()
        with st.popover(say("prompts.saved", n=len(shelf)), icon=":material/folder_open:", disabled=not shelf):
            for name, text in shelf.items():
                left, right = st.columns([4, 1], vertical_alignment="center")
                left.button(
                    widgets.plain(name),
                    key=f"take-{name}",
                    type="tertiary",
                    on_click=session.keep,
                    args=("template", text[:LONGEST]),
                )
                label = say("prompts.delete", name=widgets.plain(name))
                right.button(
                    "", icon=":material/delete:", key=f"delete-{name}", help=label, on_click=templates.delete, args=(name,)
                )
