"""The Prompts page: the prompt of a window, its budget, its facts, and the template that can be edited."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from stvlm.data.windows import Window
from stvlm.ui import models, session, widgets

if TYPE_CHECKING:
    from stvlm.modalities.prompt import Prompt

LONGEST_TEMPLATE = 8000  # characters


def prompt_and_template(choice: models.Choice, window: Window) -> None:
    """The model's own prompt, then the template with a live preview."""
    count, config = models.text_side(choice, window.series)
    own, edit = st.tabs(["The prompt of this window", "Edit the template"])
    from stvlm.modalities.prompt import describe_window

    with own:
        show_prompt(describe_window(window, config, count))
    with edit:
        _editor(window, config, count)


def show_prompt(prompt: Prompt) -> None:
    """The text, its length against the budget, what was dropped, and the facts it was made of."""
    left, right = st.columns([3, 2])
    with left:
        st.code(prompt.text, language=None, wrap_lines=True)
        used = min(prompt.tokens_used / max(prompt.budget, 1), 1.0)
        st.progress(used, text=f"{prompt.tokens_used} of {prompt.budget} tokens")
        dropped = [s for s in prompt.sentences if not s.kept]
        if dropped:
            st.markdown("**Dropped to keep the budget**, the least telling first:")
            for sentence in dropped:
                st.markdown(f"- ~~{widgets.plain(sentence.text)}~~ ({widgets.plain(sentence.kind)})")
        else:
            st.caption("No sentence was dropped.")
    with right:
        st.markdown("**Facts behind it**")
        rows = pd.DataFrame([{"Fact": name, "Value": _in_words(value)} for name, value in prompt.facts.items()])
        widgets.table(rows, f"{len(rows)} facts.")


def _editor(window: Window, config: object, count: object) -> None:
    """The user's template beside what becomes of it; an error is shown where it is."""
    from dataclasses import replace

    from stvlm.modalities.prompt import TemplateError, describe_window

    st.caption("The template is Jinja, run in a sandbox: it can use the facts of the window and nothing else.")
    key = session.tied("template", session.kept("template", config.template))
    st.text_area(
        "Template",
        key=key,
        height=260,
        max_chars=LONGEST_TEMPLATE,
        on_change=lambda: session.keep("template", st.session_state[key]),
    )
    template = session.kept("template", config.template)
    if template != config.template:
        st.button("Back to the model's own", icon=":material/undo:", on_click=session.keep, args=("template", config.template))
    try:
        prompt = describe_window(window, replace(config, template=template), count)
    except TemplateError as error:
        st.error(widgets.plain(str(error)), icon=":material/error:")
        return
    show_prompt(prompt)


def _in_words(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_in_words(v) for v in value)
    return str(value)
