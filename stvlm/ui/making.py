"""How a run was made: its title, to be changed; the command that makes it again; its manifest."""

from __future__ import annotations

import streamlit as st

from stvlm.jobs import board
from stvlm.jobs.run import RunError, RunStatus, WorkspaceError
from stvlm.ui import datasets, repeating, session
from stvlm.ui.words import say


def about(run: RunStatus) -> None:
    """The title of a run, the line that repeats it, and what its model says of itself once there is one."""
    with st.expander(say("train.making"), icon=":material/receipt_long:"):
        key = session.tied(f"title-{run.run_id}", run.title)
        st.text_input(say("train.title"), key=key, max_chars=200, on_change=_rename, args=(run.run_id, key))
        try:
            command = repeating.fit_command(run.spec, datasets.load(datasets.of_run(run.spec.data)))
        except datasets.UnknownNetworkError:
            st.caption(say("train.no_network"))
        else:
            st.caption(say("train.command"))
            st.code(command, language="bash", wrap_lines=True)
        manifest = run.model_folder / "manifest.json"
        if run.state == "done" and manifest.is_file():
            content = manifest.read_text("utf-8")
            st.caption(say("train.manifest"))
            st.json(content, expanded=False)
            name, icon = f"manifest_{run.run_id}.json", ":material/download:"
            st.download_button(say("train.get_manifest"), content, name, "application/json", icon=icon, on_click="ignore")


def _rename(run_id: str, key: str) -> None:
    """Callback: call the run by what was typed, or keep why that cannot be."""
    title = " ".join(str(st.session_state[key]).split())
    if not title:
        return
    try:
        board.rename(run_id, title)
    except (RunError, WorkspaceError) as error:
        session.keep("refused-change", str(error))
