"""The runs of the Train page: the one in view with its progress and buttons, and the list of all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import pandas as pd
import streamlit as st

from stvlm.charts import comparison, lines, ranks
from stvlm.jobs import board
from stvlm.jobs.run import RunError, RunStatus, WorkspaceError
from stvlm.ui import datasets, frame, making, session, show, widgets
from stvlm.ui.words import brief, number, say, told

_ICONS = {
    "done": ":material/check_circle:",
    "failed": ":material/error:",
    "lost": ":material/help:",
    "cancelled": ":material/cancel:",
}


def in_view() -> None:
    """The run that the URL names: live until it ends."""
    run_id = session.get("run")
    if not run_id:
        return
    session.put("run", run_id)
    try:
        live = board.status(run_id).is_live
    except RunError as error:
        st.error(widgets.plain(told("below", str(error))))
        session.put("run", "")
        return
    st.fragment(_watch, run_every=1.0 if live else None)(run_id, live)


def every() -> None:
    """All runs of this workspace; a click on one opens it."""
    _adopt()
    runs = board.list_runs()
    st.subheader(say("train.runs"), anchor=False)
    if not runs:
        st.caption(say("train.no_runs"))
        return
    if len(runs) > 1:
        runs = _filtered(runs)
    started = say("train.started")
    rows = [
        {
            say("train.run"): run.title,
            say("train.state"): _state(run),
            started: datetime.fromtimestamp(run.created).astimezone(),
            say("train.device"): run.device,
            say("train.error"): _error(run.best_val_mae, _unit(run)),
            say("train.anchors"): _error(run.anchor_val_mae, _unit(run)),
            say("train.spent"): _duration(run.seconds),
        }
        for run in runs
    ]
    ids = [run.run_id for run in runs]
    key = f"runs-{'-'.join(ids)}"

    def take() -> None:
        chosen = st.session_state[key].selection.rows
        if len(chosen) == 1:
            session.put("run", ids[chosen[0]])

    table = widgets.table(
        pd.DataFrame(rows),
        say("train.runs_alt", n=len(rows)),
        key=key,
        on_select=take,
        selection_mode="multi-row",
        column_config={started: st.column_config.DatetimeColumn(format=say("format.moment"))},
    )
    chosen = [runs[row] for row in table.selection.rows if row < len(runs)]
    if len(chosen) > 1:
        _beside(chosen)
    elif len(runs) > 1:
        st.caption(say("train.choose_several"))


def _filtered(runs: tuple[RunStatus, ...]) -> tuple[RunStatus, ...]:
    """Those whose title, state, device or network has every word that was typed."""
    asked = st.text_input(say("train.filter"), key="filter-runs", max_chars=100, placeholder=say("train.filter_example"))

    def told_of(run: RunStatus) -> str:
        return f"{run.title} {_state(run)} {run.device} {datasets.title(datasets.of_run(run.spec.data))}".casefold()

    return tuple(run for run in runs if all(word in told_of(run) for word in asked.casefold().split()))


def _beside(runs: list[RunStatus]) -> None:
    """Several runs: their validation error over the steps, and the settings in which they differ."""
    st.subheader(say("train.beside"), anchor=False)
    names = {run.run_id: f"{place}. {run.title}" for place, run in enumerate(runs, 1)}
    units = {_unit(run) for run in runs}
    if len({datasets.of_run(run.spec.data) for run in runs}) > 1:
        st.warning(say("train.other_data"), icon=":material/warning:")
    errors = {names[run.run_id]: [row for row in board.losses(run.run_id) if row.get("val_mae") is not None] for run in runs}
    labels = comparison.Labels(step=say("train.draws_step"), error=say("train.draws_mae"), no_model=say("train.draws_nothing"))
    figure = comparison.learning_lines(errors, units.pop() if len(units) == 1 else "", frame.theme(), labels)
    show.plot(figure, "runs-beside", say("train.beside_alt", n=len(runs)), 320)
    settings = {name for run in runs for name in run.spec.config}
    differ = sorted(name for name in settings if len({str(run.spec.config.get(name)) for run in runs}) > 1)
    rows = [
        {
            say("train.run"): names[run.run_id],
            say("train.error"): _error(run.best_val_mae, _unit(run)),
            say("train.anchors"): _error(run.anchor_val_mae, _unit(run)),
        }
        | {name: str(run.spec.config.get(name, "")) for name in differ}
        for run in runs
    ]
    widgets.table(pd.DataFrame(rows), say("train.beside_alt", n=len(runs)))


def refusal(name: str) -> None:
    """Say why the last action of this name could not be, once."""
    why = session.kept(name, "")
    if why:
        session.keep(name, "")
        st.error(widgets.plain(told("below", why)), icon=":material/error:")


def _watch(run_id: str, was_live: bool) -> None:
    if session.get("run") != run_id:  # it was deleted by its button
        st.rerun()
    run = board.status(run_id)
    with st.container(border=True):
        st.subheader(widgets.plain(run.title), anchor=False)
        _progress(run)
        rows = board.losses(run_id)
        if rows:
            labels = show.drawn(lines.LossLabels, "train")
            alt = say("train.loss_alt", title=run.title, step=run.step)
            show.plot(lines.loss_lines(rows, _unit(run), frame.theme(), labels), "loss", alt, height=460)
        if shared := [row for row in rows if row.get("ranks")]:
            _ranks(shared)
        refusal("refused-change")
        _buttons(run)
    making.about(run)
    if was_live != run.is_live:  # it ended, or goes on: the page looks again as often as that needs
        st.rerun()


def _ranks(rows: list[dict]) -> None:
    """Where the ranks of the low-rank adapters went, as a picture and as a table."""
    st.markdown(f"**{say('train.capacity')}**")
    labels = show.drawn(ranks.Labels, "train")
    figure = ranks.rank_lines(rows, frame.theme(), labels, lambda name: told("column", name))
    show.plot(figure, "ranks", say("train.ranks_alt"), 320)
    with st.expander(say("format.table")):
        table = ranks.rank_table(rows).rename(columns=lambda name: told("column", name))
        widgets.table(table, say("train.rank_table_alt", n=len(table)), key="rank-table")


def _progress(run: RunStatus) -> None:
    if run.state == "queued":
        text = say("train.waits") if run.ahead is None else say("train.waits_behind", n=run.ahead)
    elif run.state == "running" and run.total:
        at = {"step": run.step, "total": run.total}
        text = say("train.at_step", **at)
        if run.eta_seconds is not None:
            text = say("train.at_step_left", **at, time=_duration(run.eta_seconds))
    else:
        text = say("train.getting_ready") if run.state == "running" else _state(run)
    if run.is_live:
        st.progress(min(run.step / run.total, 1.0) if run.total else 0.0, text=text)
    else:
        st.markdown(f"{_ICONS.get(run.state, '')} {text}")
    unit = _unit(run)
    cells = st.container(horizontal=True, gap="medium")
    cells.metric(say("train.device"), run.device or say("train.no_device"), width="content")
    cells.metric(say("train.spent"), _duration(run.seconds), width="content")
    if run.memory_mb:
        used = f"{number(run.memory_mb / 1e3)} GB"
        if run.device_memory_mb:
            used = say("train.memory_and_gpu", used=used, device=f"{number(run.device_memory_mb / 1e3)} GB")
        cells.metric(say("train.memory"), used, width="content")
    cells.metric(
        say("train.error"),
        widgets.plain(_error(run.best_val_mae, unit)),
        delta=_gain(run),
        delta_color="inverse",
        width="content",
    )
    cells.metric(
        say("train.anchor_error"),
        widgets.plain(_error(run.anchor_val_mae, unit)),
        help=say("train.anchor_help"),
        width="content",
    )
    if run.message:
        st.caption(widgets.plain(told("below", run.message)))


def _buttons(run: RunStatus) -> None:
    """What can be done with a run; by callbacks, since a run of the page may be cut short by the next message of the browser."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if run.is_live:
            stopping = run.state == "cancelling"
            icon = ":material/stop:"
            st.button(say("train.cancel"), icon=icon, disabled=stopping, on_click=_change, args=(board.cancel, run.run_id))
        elif run.state == "done":
            data = datasets.of_run(run.spec.data)
            frame.page_link("forecast", f":primary[**{say('train.forecast_with')}**]", data=data, model=f"run-{run.run_id}")
        else:
            st.button(
                say("train.resume"),
                type="primary",
                icon=":material/resume:",
                help=say("train.resume_help"),
                on_click=_change,
                args=(board.resume, run.run_id),
            )
        if not run.is_live:
            with st.popover(say("train.delete"), icon=":material/delete:"):
                st.markdown(say("train.delete_note"))
                key = f"delete-{run.run_id}"
                st.button(say("train.delete_this"), key=key, on_click=_change, args=(board.delete, run.run_id))
    if run.state in ("failed", "lost"):
        with st.expander(say("train.log")):
            st.code(board.logs(run.run_id) or say("train.log_empty"), language=None)


def _change(change: Callable[[str], None], run_id: str) -> None:
    """Callback: change a run, or keep why that cannot be."""
    try:
        change(run_id)
    except (RunError, WorkspaceError) as error:
        session.keep("refused-change", str(error))
        return
    if change is board.delete:
        session.put("run", "")


@st.cache_resource(show_spinner=False)
def _adopt() -> None:
    """Once for each server: look after the runs that an earlier one has left."""
    with suppress(RunError, WorkspaceError):  # it can be read still, and the first change will say so
        board.adopt()


def _state(run: RunStatus) -> str:
    queued = run.state == "queued" and run.ahead is not None
    return say("train.queued_behind", n=run.ahead) if queued else say(f"train.state_{run.state}")


def _unit(run: RunStatus) -> str:
    try:
        return datasets.load(datasets.of_run(run.spec.data)).unit
    except datasets.UnknownNetworkError:
        return ""


def _error(value: float | None, unit: str) -> str:
    return say("train.not_yet") if value is None else f"{brief(value, 4)} {unit}".strip()


def _gain(run: RunStatus) -> str | None:
    """How far the error is from the anchor's; a minus that the metric knows by its first sign."""
    if run.best_val_mae is None or not run.anchor_val_mae:
        return None
    percent = (run.best_val_mae / run.anchor_val_mae - 1) * 100
    said = say("train.gain", percent=number(percent, 1, sign=True).replace("\N{MINUS SIGN}", "-"))
    return said if abs(percent) >= 0.05 else None


def _duration(seconds: float | None) -> str:
    seconds = int(seconds or 0)
    if seconds < 90:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 5400 else f"{number(seconds / 3600)} h"
