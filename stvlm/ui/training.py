"""The Train page: choose, start, watch, cancel, resume; a run is a process of its own and outlives the page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import pandas as pd
import streamlit as st

from stvlm.charts import lines, ranks
from stvlm.data import windows
from stvlm.data.series import SensorSeries
from stvlm.jobs import board
from stvlm.jobs.cluster import ClusterError, read_settings
from stvlm.jobs.run import DataSource, RunError, RunSpec, RunStatus, WorkspaceError
from stvlm.ui import datasets, frame, models, session, show, widgets

RAY = "ray"  # chosen as a device: a backend of its own
TUNING = {  # name: one plain sentence
    "auto": "Trains all of a random backbone, and low-rank adapters of a pretrained one.",
    "adaptive": "Looks at the amount of data first, then moves capacity to the layers and modalities that use it.",
    "frozen": "Leaves the backbone as it is; only the new parts around it learn.",
    "norm": "Also tunes the backbone's norms: a few hundred numbers, for very little data.",
    "lora": "Adds small adapters of one size to every layer of the decoder.",
    "adalora": "Adds small adapters and moves their size to the layers that use them.",
    "full": "Trains every weight: for a random backbone with much data.",
}
VIEWS = {
    "field": "field: now, change, what is observed",
    "frames": "frames: start, middle and end of the lookback",
    "spread": "spread: mean, spread and range of the lookback",
    "relations": "relations: which sensors move together, and which lead",
    "space-time": "space-time: every sensor over the lookback",
    "geography": "geography: land and water, your base layer, your grid",
}
FEW = {
    "": "all of it", "0.2": "the last 20 %", "0.1": "the last 10 %", "0.05": "the last 5 %", "5days": "the last 5 days",
    "5windows": "the last 5 windows (5-shot)",
}  # fmt: skip
SPLITS = {(0.6, 0.2, 0.2): "60 / 20 / 20 %", (0.7, 0.1, 0.2): "70 / 10 / 20 %", (0.8, 0.1, 0.1): "80 / 10 / 10 %"}
_ICONS = {
    "done": ":material/check_circle:",
    "failed": ":material/error:",
    "lost": ":material/help:",
    "cancelled": ":material/cancel:",
}


def new_run(series: SensorSeries) -> None:
    """Choose the settings of a run and start it."""
    lookback, horizon, split = datasets.window_sizes(session.data_id(), series)
    with st.container(border=True):
        st.subheader("A new run", anchor=False)
        a, b, c = st.columns(3)
        step = widgets.span(series.step_minutes)
        config = {
            "lookback": a.number_input(f"Lookback, steps of {step}", 2, 512, lookback, help="What the model sees of the past."),
            "horizon": b.number_input(f"Horizon, steps of {step}", 1, 512, horizon, help="How far it forecasts."),
        }
        splits = list(dict.fromkeys([tuple(split), *SPLITS]))
        config["split"] = c.selectbox(
            "Training / validation / test",
            splits,
            format_func=lambda s: SPLITS.get(s) or " / ".join(f"{x:.0%}" for x in s),
            help="In the order of time; scores are of the test part, which training never sees.",
        )
        few = a.selectbox("Learn from", list(FEW), format_func=FEW.get, help="Few-shot: only the last block of the training part.")
        config["few_shot"] = few or None
        offered = _backbones()
        config["backbone"] = b.selectbox(
            "Backbone",
            list(offered),
            format_func=offered.get,
            help="Other backbones: fit --backbone FOLDER on the command line.",
        )
        config["tuning"] = c.selectbox("Fine-tuning", list(TUNING))
        c.caption(TUNING[config["tuning"]])
        places = _places()
        config["device"] = a.selectbox("Device", list(places), format_func=places.get)
        config["max_minutes"] = float(b.number_input("At most, minutes", 1, 1440, 10))
        config["seed"] = c.number_input("Seed", 0, 2**31 - 1, 0, help="The same seed gives the same model.")
        config["views"] = st.multiselect(
            "Images of each window",
            list(VIEWS),
            ["field"],
            format_func=VIEWS.get,
            help="Each is one image more: more to see, and more time for each step. The Spatial images page shows them all.",
        )
        where = models.device_label("auto") if config["device"] == "auto" else places[str(config["device"])]
        st.caption(widgets.plain(_coverage(series, config)))
        st.caption(widgets.plain(f"It will run on {where}, in a process of its own: this page may be closed."))
        if st.button("Start", type="primary", icon=":material/play_arrow:", disabled=not config["views"]):
            _submit(series, config)


def _places() -> dict[str, str]:
    """Where a run can work, in words: the devices of this machine, and RAY where a cluster is set."""
    places = {"auto": "automatic"} | models.devices()
    try:
        settings = read_settings()
    except ClusterError as error:
        st.warning(widgets.plain(str(error)), icon=":material/warning:")
        return places
    return places | ({RAY: f"the Ray cluster at {settings.address}"} if settings else {})


@st.cache_data(ttl=60, show_spinner=False)
def _backbones() -> dict[str, str]:
    """Those that are here: name → words."""
    from stvlm.model.backbone import available  # slow to import, so only where it is shown

    return {info.name: f"{info.name}: {info.title}" for info in available() if info.is_here}


def _coverage(series: SensorSeries, config: dict[str, object]) -> str:
    """What it would learn from and choose by, or why it cannot."""
    lookback, horizon = config["lookback"], config["horizon"]
    try:
        split = windows.Split.from_shares(series.n_steps, config["split"])
        if config["few_shot"]:
            split = windows.few_shot(split, config["few_shot"], series, lookback, horizon)
    except ValueError as error:
        return str(error)
    return windows.coverage(split, series, lookback, horizon)


def _submit(series: SensorSeries, config: dict[str, object]) -> None:
    data = session.data_id()
    sample = datasets.sample(data)
    source = DataSource(sample=sample.name) if sample else DataSource(dataset=data)
    title = f"{datasets.title(data)[:120]}, {config['backbone']}, {config['tuning']}"
    known = {run.run_id for run in board.list_runs()}
    place = {"backend": RAY, "config": config | {"device": "auto"}} if config["device"] == RAY else {"config": config}
    try:
        run = board.submit(RunSpec(title=title, data=source, **place), dedupe=True)
    except (RunError, WorkspaceError) as error:
        st.error(widgets.plain(str(error)), icon=":material/error:")
        return
    if run in known:
        st.toast("A run with the same data and settings is there already: it is shown.", icon=":material/content_copy:")
    session.put("run", run)
    st.rerun()


def run_in_view() -> None:
    """The run that the URL names: live until it ends."""
    run_id = session.get("run")
    if not run_id:
        return
    session.put("run", run_id)
    try:
        live = board.status(run_id).is_live
    except RunError as error:
        st.error(widgets.plain(str(error)))
        session.put("run", "")
        return
    st.fragment(_watch, run_every=1.0 if live else None)(run_id, live)


def _watch(run_id: str, was_live: bool) -> None:
    run = board.status(run_id)
    with st.container(border=True):
        st.subheader(widgets.plain(run.title), anchor=False)
        _progress(run)
        rows = board.losses(run_id)
        if rows:
            show.plot(lines.loss_lines(rows, _unit(run), frame.theme()), "loss", _loss_words(run))
        if shared := [row for row in rows if row.get("ranks")]:
            _ranks(shared)
        _buttons(run)
    if was_live and not run.is_live:
        st.rerun()


def _ranks(rows: list[dict]) -> None:
    """Where the ranks of the low-rank adapters went, as a picture and as a table."""
    st.markdown("**Where the capacity goes**")
    show.plot(
        ranks.rank_lines(rows, frame.theme()), "ranks", "Mean rank of the adapters by layer and modality, over the steps.", 320
    )
    with st.expander("As a table"):
        table = ranks.rank_table(rows)
        widgets.table(table, f"Mean ranks at {len(table)} steps.", key="rank-table")


def _progress(run: RunStatus) -> None:
    eta = f", about {_duration(run.eta_seconds)} left" if run.eta_seconds is not None and run.is_live else ""
    if run.state == "queued":
        text = "waits for its device" + ("" if run.ahead is None else f", {run.ahead} before it")
    elif run.state == "running":
        text = f"step {run.step} of {run.total}{eta}" if run.total else "getting ready: data, libraries, closed-form anchor"
    else:
        text = run.state
    if run.is_live:
        st.progress(min(run.step / run.total, 1.0) if run.total else 0.0, text=text)
    else:
        st.markdown(f"{_ICONS.get(run.state, '')} {text}")
    unit = _unit(run)
    cells = st.container(horizontal=True, gap="large")
    cells.metric("Device", run.device or "not yet known", width="content")
    cells.metric("Time spent", _duration(run.seconds), width="content")
    if run.memory_mb:
        on_device = f", {run.device_memory_mb / 1e3:.1f} GB of the GPU" if run.device_memory_mb else ""
        cells.metric("Memory", f"{run.memory_mb / 1e3:.1f} GB{on_device}", width="content")
    cells.metric(
        "Validation error (MAE)",
        widgets.plain(_error(run.best_val_mae, unit)),
        delta=_gain(run),
        delta_color="inverse",
        width="content",
    )
    cells.metric(
        "Anchor's validation error",
        widgets.plain(_error(run.anchor_val_mae, unit)),
        help="The simple forecaster that the model starts from and must beat.",
        width="content",
    )
    if run.message:
        st.caption(widgets.plain(run.message))


def _buttons(run: RunStatus) -> None:
    with st.container(horizontal=True):
        if run.is_live:
            if st.button("Cancel", icon=":material/stop:", disabled=run.state == "cancelling"):
                _try(board.cancel, run)
        elif run.state == "done":
            if st.button("Forecast with it", type="primary", icon=":material/timeline:"):
                _use(run)
        elif st.button("Resume", type="primary", icon=":material/resume:", help="Goes on from its last checkpoint."):
            _try(board.resume, run)
        if not run.is_live:
            with st.popover("Delete", icon=":material/delete:"):
                st.markdown("Removes the run with its log, its checkpoint and its model. This cannot be undone.")
                if st.button("Delete this run", key=f"delete-{run.run_id}"):
                    _try(board.delete, run)
    if run.state in ("failed", "lost"):
        with st.expander("The end of its log"):
            st.code(board.logs(run.run_id) or "The log is empty.", language=None)


def _try(change: Callable[[str], None], run: RunStatus) -> None:
    """Change a run, or say why that cannot be."""
    try:
        change(run.run_id)
    except (RunError, WorkspaceError) as error:
        st.error(widgets.plain(str(error)), icon=":material/error:")
        return
    if change is board.delete:
        session.put("run", "")
    st.rerun(scope="app")


def _use(run: RunStatus) -> None:
    source = run.spec.data
    data = f"{datasets.SAMPLE}{source.sample}" if source.sample else str(source.dataset)
    if data != session.data_id():
        session.look_at(data)
    session.put("model", f"run-{run.run_id}")
    frame.go("forecast")


@st.cache_resource(show_spinner=False)
def _adopt() -> None:
    """Once for each server: look after the runs that an earlier one has left."""
    with suppress(RunError, WorkspaceError):  # it can be read still, and the first change will say so
        board.adopt()


def run_list() -> None:
    """All runs of this workspace; a click on one opens it."""
    _adopt()
    runs = board.list_runs()
    st.subheader("Runs", anchor=False)
    if not runs:
        st.caption("None yet. The settings above work as they are: press Start.")
        return
    rows = [
        {
            "Run": run.title,
            "State": run.state if run.state != "queued" or run.ahead is None else f"queued, {run.ahead} before it",
            "Started": datetime.fromtimestamp(run.created).astimezone(),
            "Device": run.device,
            "Validation error (MAE)": _error(run.best_val_mae, _unit(run)),
            "Anchor's": _error(run.anchor_val_mae, _unit(run)),
            "Time spent": _duration(run.seconds),
        }
        for run in runs
    ]
    picked = widgets.table(
        pd.DataFrame(rows),
        f"{len(rows)} runs.",
        key=f"runs-{len(rows)}",
        on_select="rerun",
        selection_mode="single-row",
        column_config={"Started": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm")},
    )
    selected = picked.selection.rows
    if selected and runs[selected[0]].run_id != session.get("run"):
        session.put("run", runs[selected[0]].run_id)
        st.rerun()


def _unit(run: RunStatus) -> str:
    source = run.spec.data
    data = f"{datasets.SAMPLE}{source.sample}" if source.sample else str(source.dataset)
    try:
        return datasets.load(data).unit
    except datasets.UnknownNetworkError:
        return ""


def _error(value: float | None, unit: str) -> str:
    return "not yet" if value is None else f"{value:.4g} {unit}".strip()


def _gain(run: RunStatus) -> str | None:
    if run.best_val_mae is None or not run.anchor_val_mae:
        return None
    percent = (run.best_val_mae / run.anchor_val_mae - 1) * 100
    return f"{percent:+.1f} % against the anchor" if abs(percent) >= 0.05 else None


def _loss_words(run: RunStatus) -> str:
    return f"Training loss and validation error of {run.title} over {run.step} steps."


def _duration(seconds: float | None) -> str:
    seconds = int(seconds or 0)
    if seconds < 90:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
