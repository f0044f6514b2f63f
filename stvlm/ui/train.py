"""The runs of the Train page: the one in view with its progress and buttons, and the list of all."""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from stvlm.charts.figures import comparison, lines
from stvlm.core import windows
from stvlm.core.series import SensorSeries
from stvlm.jobs import api
from stvlm.jobs.ray.client import ClusterError, read_settings
from stvlm.jobs.run import DataSource, RunError, RunSpec, RunStatus
from stvlm.runtime.cache import parsed_file
from stvlm.runtime.settings import settings, without_credentials
from stvlm.ui.services import forecasters, networks
from stvlm.ui.shell import inputs, layout, render, view_state
from stvlm.ui.shell.callbacks import Rows, Several, Text, accept
from stvlm.ui.shell.i18n import format_duration, format_number, format_short, t, told
from stvlm.workspace.paths import WorkspaceError

if TYPE_CHECKING:
    from streamlit.elements.arrow import DataframeState

# How a run was made: its title, to be changed; the command that makes it again; its manifest.


def about(run: RunStatus) -> None:
    """The title of a run, the line that repeats it, and what its model says of itself once there is one."""
    with st.expander(t("train.making"), icon=":material/receipt_long:"):
        key = view_state.bind(f"title-{run.run_id}", run.title)
        st.text_input(t("train.title"), key=key, max_chars=200, on_change=accept({key: Text(200)}, partial(_rename, run.run_id)))
        try:
            command = networks.fit_command(run.spec, networks.load(networks.of_run(run.spec.data)))
        except networks.UnknownNetworkError:
            st.caption(t("train.no_network"))
        else:
            st.caption(t("train.command"))
            st.code(command, language="bash", wrap_lines=True)
        manifest = run.model_folder / "manifest.json"
        if run.state == "done" and manifest.is_file():
            content = parsed_file(manifest, str)
            st.caption(t("train.manifest"))
            st.json(content, expanded=False)
            name, icon = f"manifest_{run.run_id}.json", ":material/download:"
            st.download_button(t("train.get_manifest"), content, name, "application/json", icon=icon, on_click="ignore")


def _rename(run_id: str, typed: str) -> None:
    """Call the run by what was typed, or keep why that cannot be."""
    title = " ".join(typed.split())
    if not title:
        return
    try:
        api.rename(run_id, title)
    except (RunError, WorkspaceError) as error:
        view_state.store("refused-change", str(error))


_ICONS = {
    "done": ":material/check_circle:",
    "failed": ":material/error:",
    "lost": ":material/help:",
    "cancelled": ":material/cancel:",
}


def in_view() -> None:
    """The run that the URL names: live until it ends."""
    run_id = view_state.get_param("run")
    if not run_id:
        return
    view_state.set_param("run", run_id)
    try:
        live = api.status(run_id).is_live
    except RunError as error:
        st.error(inputs.plain(told("below", str(error))))
        view_state.set_param("run", "")
        return
    st.fragment(_watch, run_every=1.0 if live else None)(run_id, live)


def every() -> None:
    """All runs of this workspace; a click on one opens it."""
    _adopt()
    runs = tuple(run for run in api.list_runs() if _is_listed(run))
    st.subheader(t("train.runs"), anchor=False)
    if not runs:
        st.caption(t("train.no_runs"))
        return
    if len(runs) > 1:
        runs = _filtered(runs)
    started = t("train.started")
    rows = [
        {
            t("train.run"): run.title,
            t("train.state"): _state(run),
            started: datetime.fromtimestamp(run.created).astimezone(),
            t("train.device"): run.device,
            t("train.error"): _error(run.best_val_mae, _unit(run)),
            t("train.anchors"): _error(run.anchor_val_mae, _unit(run)),
            t("train.spent"): format_duration(round(run.seconds or 0), 2),
        }
        for run in runs
    ]
    ids = [run.run_id for run in runs]
    key = f"runs-{'-'.join(ids)}"

    def take(state: DataframeState) -> None:
        chosen = state.selection.rows
        if len(chosen) == 1:
            view_state.set_param("run", ids[chosen[0]])

    table = inputs.table(
        pd.DataFrame(rows),
        t("train.runs_alt", n=len(rows)),
        key=key,
        on_select=accept({key: Rows(len(ids))}, take),
        selection_mode="multi-row",
        column_config={started: st.column_config.DatetimeColumn(format=t("format.moment"))},
    )
    chosen = [runs[row] for row in table.selection.rows if row in range(len(runs))]
    if len(chosen) > 1:
        _beside(chosen)
    elif len(runs) > 1:
        st.caption(t("train.choose_several"))


def _is_listed(run: RunStatus) -> bool:
    """Whether a run stands on this visitor's pages: where the operator says so, only those of this session and of its networks."""
    return (
        settings().list_shared or run.run_id in view_state.load("runs", ()) or networks.of_run(run.spec.data) in view_state.opened()
    )


def _filtered(runs: tuple[RunStatus, ...]) -> tuple[RunStatus, ...]:
    """Those whose title, state, device or network has every word that was typed."""
    asked = st.text_input(t("train.filter"), key="filter-runs", max_chars=100, placeholder=t("train.filter_example"))

    def told_of(run: RunStatus) -> str:
        return f"{run.title} {_state(run)} {run.device} {networks.title(networks.of_run(run.spec.data))}".casefold()

    return tuple(run for run in runs if all(word in told_of(run) for word in asked.casefold().split()))


def _beside(runs: list[RunStatus]) -> None:
    """Several runs: their validation error over the steps, and the settings in which they differ."""
    st.subheader(t("train.beside"), anchor=False)
    names = {run.run_id: f"{place}. {run.title}" for place, run in enumerate(runs, 1)}
    units = {_unit(run) for run in runs}
    if len({networks.of_run(run.spec.data) for run in runs}) > 1:
        st.warning(t("train.other_data"), icon=":material/warning:")
    errors = {names[run.run_id]: [row for row in api.losses(run.run_id) if row.get("val_mae") is not None] for run in runs}
    labels = comparison.Labels(step=t("train.draws_step"), error=t("train.draws_mae"), no_model=t("train.draws_nothing"))
    figure = comparison.learning_lines(errors, units.pop() if len(units) == 1 else "", layout.theme(), labels)
    render.plot(figure, "runs-beside", t("train.beside_alt", n=len(runs)), 320)
    settings = {name for run in runs for name in run.spec.config}
    differ = sorted(name for name in settings if len({str(run.spec.config.get(name)) for run in runs}) > 1)
    rows = [
        {
            t("train.run"): names[run.run_id],
            t("train.error"): _error(run.best_val_mae, _unit(run)),
            t("train.anchors"): _error(run.anchor_val_mae, _unit(run)),
        }
        | {name: str(run.spec.config.get(name, "")) for name in differ}
        for run in runs
    ]
    inputs.table(pd.DataFrame(rows), t("train.beside_alt", n=len(runs)))


def refusal(name: str) -> None:
    """Say why the last action of this name could not be, once."""
    why = view_state.load(name, "")
    if why:
        view_state.store(name, "")
        st.error(inputs.plain(told("below", why)), icon=":material/error:")


def _watch(run_id: str, was_live: bool) -> None:
    if view_state.get_param("run") != run_id:  # it was deleted by its button
        st.rerun()
    run = api.status(run_id)
    with st.container(border=True):
        st.subheader(inputs.plain(run.title), anchor=False)
        _progress(run)
        rows = api.losses(run_id)
        if rows:
            labels = render.figure_labels(lines.LossLabels, "train")
            alt = t("train.loss_alt", title=run.title, step=run.step)
            render.plot(lines.loss_lines(rows, _unit(run), layout.theme(), labels), "loss", alt, height=460)
        if shared := [row for row in rows if row.get("ranks")]:
            _ranks(shared)
        refusal("refused-change")
        _buttons(run)
    about(run)
    if was_live != run.is_live:  # it ended, or goes on: the page looks again as often as that needs
        st.rerun()


def _ranks(rows: list[dict]) -> None:
    """Where the ranks of the low-rank adapters went, as a picture and as a table."""
    st.markdown(f"**{t('train.capacity')}**")
    labels = render.figure_labels(comparison.RankLabels, "train")
    figure = comparison.rank_lines(rows, layout.theme(), labels, lambda name: told("column", name))
    render.plot(figure, "ranks", t("train.ranks_alt"), 320)
    with st.expander(t("format.table")):
        table = comparison.rank_table(rows).rename(columns=lambda name: told("column", name))
        inputs.table(table, t("train.rank_table_alt", n=len(table)), key="rank-table")


def _progress(run: RunStatus) -> None:
    if run.state == "queued":
        text = t("train.waits") if run.ahead is None else t("train.waits_behind", n=run.ahead)
    elif run.state == "running" and run.total:
        at = {"step": run.step, "total": run.total}
        text = t("train.at_step", **at)
        if run.eta_seconds is not None:
            text = t("train.at_step_left", **at, time=format_duration(round(run.eta_seconds), 2))
    else:
        text = t("train.getting_ready") if run.state == "running" else _state(run)
    if run.is_live:
        st.progress(min(run.step / run.total, 1.0) if run.total else 0.0, text=text)
    else:
        st.markdown(f"{_ICONS.get(run.state, '')} {text}")
    unit = _unit(run)
    cells = st.container(horizontal=True, gap="medium")
    cells.metric(t("train.device"), run.device or t("train.no_device"), width="content")
    cells.metric(t("train.spent"), format_duration(round(run.seconds or 0), 2), width="content")
    if run.memory_mb:
        used = f"{format_number(run.memory_mb / 1e3)} GB"
        if run.device_memory_mb:
            used = t("train.memory_and_gpu", used=used, device=f"{format_number(run.device_memory_mb / 1e3)} GB")
        cells.metric(t("train.memory"), used, width="content")
    cells.metric(
        t("train.error"),
        inputs.plain(_error(run.best_val_mae, unit)),
        delta=_gain(run),
        delta_color="inverse",
        width="content",
    )
    cells.metric(
        t("train.anchor_error"),
        inputs.plain(_error(run.anchor_val_mae, unit)),
        help=t("train.anchor_help"),
        width="content",
    )
    if run.message:
        st.caption(inputs.plain(told("below", run.message)))


def _buttons(run: RunStatus) -> None:
    """What can be done with a run; by callbacks, since a run of the page may be cut short by the next message of the browser."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if run.is_live:
            stopping = run.state == "cancelling"
            icon = ":material/stop:"
            st.button(t("train.cancel"), icon=icon, disabled=stopping, on_click=_change, args=(api.cancel, run.run_id))
        elif run.state == "done":
            data = networks.of_run(run.spec.data)
            layout.page_link("forecast", f":primary[**{t('train.forecast_with')}**]", data=data, model=f"run-{run.run_id}")
        else:
            st.button(
                t("train.resume"),
                type="primary",
                icon=":material/resume:",
                help=t("train.resume_help"),
                on_click=_change,
                args=(api.resume, run.run_id),
            )
        if not run.is_live:
            with st.popover(t("train.delete"), icon=":material/delete:"):
                st.markdown(t("train.delete_note"))
                key = f"delete-{run.run_id}"
                st.button(t("train.delete_this"), key=key, on_click=_change, args=(api.delete, run.run_id))
    if run.state in ("failed", "lost"):
        with st.expander(t("train.log")):
            st.code(api.logs(run.run_id) or t("train.log_empty"), language=None)


def _change(change: Callable[[str], None], run_id: str) -> None:
    """Callback: change a run, or keep why that cannot be."""
    try:
        change(run_id)
    except (RunError, WorkspaceError) as error:
        view_state.store("refused-change", str(error))
        return
    if change is api.delete:
        view_state.set_param("run", "")


@st.cache_resource(show_spinner=False)
def _adopt() -> None:
    """Once for each server: look after the runs that an earlier one has left."""
    with suppress(RunError, WorkspaceError):  # it can be read still, and the first change will say so
        api.adopt()


def _state(run: RunStatus) -> str:
    queued = run.state == "queued" and run.ahead is not None
    return t("train.queued_behind", n=run.ahead) if queued else t(f"train.state_{run.state}")


def _unit(run: RunStatus) -> str:
    try:
        return networks.load(networks.of_run(run.spec.data)).unit
    except networks.UnknownNetworkError:
        return ""


def _error(value: float | None, unit: str) -> str:
    return t("train.not_yet") if value is None else f"{format_short(value, 4)} {unit}".strip()


def _gain(run: RunStatus) -> str | None:
    """How far the error is from the anchor's; a minus that the metric knows by its first sign."""
    if run.best_val_mae is None or not run.anchor_val_mae:
        return None
    percent = (run.best_val_mae / run.anchor_val_mae - 1) * 100
    said = t("train.gain", percent=format_number(percent, 1, sign=True).replace("\N{MINUS SIGN}", "-"))
    return said if abs(percent) >= 0.05 else None


# The Train page's form: choose the settings of a run and start it; a run is a process of its own and outlives the page.

MOST_LIVE = 4  # runs of one session that wait or work at once
RAY = "ray"  # chosen as a device: a backend of its own
TUNING = ("auto", "adaptive", "frozen", "norm", "lora", "adalora", "full")
VIEWS = ("field", "frames", "spread", "relations", "space-time", "geography")
FEW = ("", "0.2", "0.1", "0.05", "5days", "5windows")
SPLITS = ((0.6, 0.2, 0.2), (0.7, 0.1, 0.2), (0.8, 0.1, 0.1))


def new_run(series: SensorSeries) -> None:
    """Choose the settings of a run and start it."""
    data = view_state.data_id()
    lookback, horizon, split = networks.window_sizes(data, series)
    keys = {name: f"new-{name}-{data}" for name in ("lookback", "horizon", "split", "few_shot", "backbone", "tuning")}
    keys |= {name: f"new-{name}-{data}" for name in ("device", "max_minutes", "seed", "views")}
    splits = list(dict.fromkeys([tuple(split), *SPLITS]))
    backbones = {name: f"{name}: {told('below', title)}" for name, title in _backbones().items()}
    places = _places()
    offered: dict[str, Container] = {"lookback": range(2, 513), "horizon": range(1, 513), "split": splits, "few_shot": FEW}
    offered |= {"backbone": backbones, "tuning": TUNING, "device": places, "max_minutes": range(1, 1441), "seed": range(2**31)}
    offered |= {"views": Several(VIEWS, least=1)}
    chosen: dict[str, Any] = {}
    with st.container(border=True):
        st.subheader(t("train.new_run"), anchor=False)
        a, b, c = st.columns(3)
        step = format_duration(series.step_seconds)
        label, help_ = t("train.lookback", step=step), t("train.lookback_help")
        chosen["lookback"] = a.number_input(label, 2, 512, lookback, key=keys["lookback"], help=help_)
        label, help_ = t("train.horizon", step=step), t("train.horizon_help")
        chosen["horizon"] = b.number_input(label, 1, 512, horizon, key=keys["horizon"], help=help_)
        chosen["split"] = c.selectbox(
            t("train.split"),
            splits,
            key=keys["split"],
            format_func=lambda shares: " / ".join(format_number(100 * share, 0) for share in shares) + " %",
            help=t("train.split_help"),
        )
        a, b, c = st.columns(3)  # a row each, so that they stay level whatever the labels take
        label, help_ = t("train.few"), t("train.few_help")
        chosen["few_shot"] = a.selectbox(label, FEW, key=keys["few_shot"], format_func=_few_words, help=help_)
        label, help_ = t("train.backbone"), t("train.backbone_help")
        chosen["backbone"] = b.selectbox(label, list(backbones), key=keys["backbone"], format_func=backbones.get, help=help_)
        chosen["tuning"] = c.selectbox(t("train.tuning"), TUNING, key=keys["tuning"])
        st.caption(t(f"train.tuning_{chosen['tuning']}"))
        a, b, c = st.columns(3)
        chosen["device"] = a.selectbox(t("train.device"), list(places), key=keys["device"], format_func=places.get)
        chosen["max_minutes"] = b.number_input(t("train.minutes"), 1, 1440, 10, key=keys["max_minutes"])
        chosen["seed"] = c.number_input(t("train.seed"), 0, 2**31 - 1, 0, key=keys["seed"], help=t("train.seed_help"))
        chosen["views"] = st.multiselect(
            t("train.views"),
            VIEWS,
            ["field"],
            key=keys["views"],
            format_func=lambda name: t(f"train.view_{name.replace('-', '_')}"),
            help=t("train.views_help"),
        )
        st.caption(inputs.plain(told("below", _coverage(series, chosen))))
        where = forecasters.device_label("auto") if chosen["device"] == "auto" else places[chosen["device"]]
        st.caption(inputs.plain(t("train.runs_on", device=where)))
        refusal("refused-start")
        st.button(
            t("train.start"),
            type="primary",
            icon=":material/play_arrow:",
            disabled=not chosen["views"],
            # a callback runs whole; the page itself may be cut short by the next message of the browser
            on_click=accept(
                {keys[name]: values for name, values in offered.items()},
                lambda *said: _submit(dict(zip(offered, said, strict=True))),
            ),
        )


def _few_words(few: str) -> str:
    """How little is learnt from, in words."""
    if not few:
        return t("train.few_all")
    for kind in ("days", "windows"):
        if few.endswith(kind):
            return t(f"train.few_{kind}", n=few.removesuffix(kind))
    return t("train.few_share", percent=format_number(100 * float(few), 0))


def _places() -> dict[str, str]:
    """Where a run can work, in words: the devices of this machine, and RAY where a cluster is set."""
    places = {"auto": t("train.device_auto")} | forecasters.devices()
    try:
        settings = read_settings()
    except ClusterError as error:
        st.warning(inputs.plain(str(error)), icon=":material/warning:")
        return places
    return places | ({RAY: t("train.device_ray", address=without_credentials(settings.address))} if settings else {})


@st.cache_data(ttl=60, show_spinner=False)
def _backbones() -> dict[str, str]:
    """Those that are here: name → title."""
    from stvlm.model.backbone import available  # slow to import, so only where it is shown

    return {info.name: info.title for info in available() if info.is_here}


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


def _submit(chosen: dict[str, Any]) -> None:
    """Start a run with what the form says, and look at it; why that cannot be is kept to be shown.

    Args:
        chosen: settings of `FitConfig`.
    """
    config = chosen | {"few_shot": chosen["few_shot"] or None, "max_minutes": float(chosen["max_minutes"])}
    data = view_state.data_id()
    sample = networks.sample(data)
    source = DataSource(sample=sample.name) if sample else DataSource(dataset=data)
    title = f"{networks.title(data)[:120]}, {config['backbone']}, {config['tuning']}"
    listed, mine = api.list_runs(), view_state.load("runs", ())
    live = sum(run.is_live for run in listed if run.run_id in mine)
    if live >= MOST_LIVE:
        view_state.store("refused-start", t("train.enough", n=live))
        return
    place = {"backend": RAY, "config": config | {"device": "auto"}} if config["device"] == RAY else {"config": config}
    try:
        run = api.submit(RunSpec(title=title, data=source, **place), dedupe=True)
    except (RunError, WorkspaceError) as error:
        view_state.store("refused-start", str(error))
        return
    if run in {other.run_id for other in listed}:
        st.toast(t("train.known"), icon=":material/content_copy:")
    view_state.store("runs", (*mine, run))
    view_state.set_param("run", run)
