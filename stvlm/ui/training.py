"""The Train page's form: choose the settings of a run and start it; a run is a process of its own and outlives the page."""

from __future__ import annotations

import streamlit as st

from stvlm.data import windows
from stvlm.data.series import SensorSeries
from stvlm.jobs import board
from stvlm.jobs.cluster import ClusterError, read_settings
from stvlm.jobs.run import DataSource, RunError, RunSpec, WorkspaceError
from stvlm.ui import datasets, models, runs, session, widgets
from stvlm.ui.words import number, say, told

MOST_LIVE = 4  # runs of one session that wait or work at once
RAY = "ray"  # chosen as a device: a backend of its own
TUNING = ("auto", "adaptive", "frozen", "norm", "lora", "adalora", "full")
VIEWS = ("field", "frames", "spread", "relations", "space-time", "geography")
FEW = ("", "0.2", "0.1", "0.05", "5days", "5windows")
SPLITS = ((0.6, 0.2, 0.2), (0.7, 0.1, 0.2), (0.8, 0.1, 0.1))


def new_run(series: SensorSeries) -> None:
    """Choose the settings of a run and start it."""
    data = session.data_id()
    lookback, horizon, split = datasets.window_sizes(data, series)
    keys = {name: f"new-{name}-{data}" for name in ("lookback", "horizon", "split", "few_shot", "backbone", "tuning")}
    keys |= {name: f"new-{name}-{data}" for name in ("device", "max_minutes", "seed", "views")}
    with st.container(border=True):
        st.subheader(say("train.new_run"), anchor=False)
        a, b, c = st.columns(3)
        step = widgets.span(series.step_minutes)
        a.number_input(say("train.lookback", step=step), 2, 512, lookback, key=keys["lookback"], help=say("train.lookback_help"))
        b.number_input(say("train.horizon", step=step), 1, 512, horizon, key=keys["horizon"], help=say("train.horizon_help"))
        c.selectbox(
            say("train.split"),
            list(dict.fromkeys([tuple(split), *SPLITS])),
            key=keys["split"],
            format_func=lambda shares: " / ".join(number(100 * share, 0) for share in shares) + " %",
            help=say("train.split_help"),
        )
        a, b, c = st.columns(3)  # a row each, so that they stay level whatever the labels take
        a.selectbox(say("train.few"), FEW, key=keys["few_shot"], format_func=_few_words, help=say("train.few_help"))
        offered = {name: f"{name}: {told('below', title)}" for name, title in _backbones().items()}
        help_ = say("train.backbone_help")
        b.selectbox(say("train.backbone"), list(offered), key=keys["backbone"], format_func=offered.get, help=help_)
        tuning = c.selectbox(say("train.tuning"), TUNING, key=keys["tuning"])
        st.caption(say(f"train.tuning_{tuning}"))
        places = _places()
        a, b, c = st.columns(3)
        device = a.selectbox(say("train.device"), list(places), key=keys["device"], format_func=places.get)
        b.number_input(say("train.minutes"), 1, 1440, 10, key=keys["max_minutes"])
        c.number_input(say("train.seed"), 0, 2**31 - 1, 0, key=keys["seed"], help=say("train.seed_help"))
        st.multiselect(
            say("train.views"),
            VIEWS,
            ["field"],
            key=keys["views"],
            format_func=lambda name: say(f"train.view_{name.replace('-', '_')}"),
            help=say("train.views_help"),
        )
        config = _config(keys)
        st.caption(widgets.plain(told("below", _coverage(series, config))))
        where = models.device_label("auto") if device == "auto" else places[str(device)]
        st.caption(widgets.plain(say("train.runs_on", where=where)))
        runs.refusal("refused-start")
        st.button(
            say("train.start"),
            type="primary",
            icon=":material/play_arrow:",
            disabled=not config["views"],
            on_click=_submit,  # a callback runs whole; the page itself may be cut short by the next message of the browser
            args=(keys,),
        )


def _config(keys: dict[str, str]) -> dict[str, object]:
    """What the form says now: a setting of `FitConfig` for each widget, by the widget's key."""
    config = {name: st.session_state[key] for name, key in keys.items()}
    return config | {"few_shot": config["few_shot"] or None, "max_minutes": float(config["max_minutes"])}


def _few_words(few: str) -> str:
    """How little is learnt from, in words."""
    if not few:
        return say("train.few_all")
    for kind in ("days", "windows"):
        if few.endswith(kind):
            return say(f"train.few_{kind}", n=few.removesuffix(kind))
    return say("train.few_share", percent=number(100 * float(few), 0))


def _places() -> dict[str, str]:
    """Where a run can work, in words: the devices of this machine, and RAY where a cluster is set."""
    places = {"auto": say("train.device_auto")} | models.devices()
    try:
        settings = read_settings()
    except ClusterError as error:
        st.warning(widgets.plain(str(error)), icon=":material/warning:")
        return places
    return places | ({RAY: say("train.device_ray", address=settings.address)} if settings else {})


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


def _submit(keys: dict[str, str]) -> None:
    """Callback: start a run with what the form says, and look at it; why that cannot be is kept to be shown."""
    config, data = _config(keys), session.data_id()
    sample = datasets.sample(data)
    source = DataSource(sample=sample.name) if sample else DataSource(dataset=data)
    title = f"{datasets.title(data)[:120]}, {config['backbone']}, {config['tuning']}"
    listed, mine = board.list_runs(), session.kept("runs", ())
    live = sum(run.is_live for run in listed if run.run_id in mine)
    if live >= MOST_LIVE:
        session.keep("refused-start", say("train.enough", n=live))
        return
    place = {"backend": RAY, "config": config | {"device": "auto"}} if config["device"] == RAY else {"config": config}
    try:
        run = board.submit(RunSpec(title=title, data=source, **place), dedupe=True)
    except (RunError, WorkspaceError) as error:
        session.keep("refused-start", str(error))
        return
    if run in {other.run_id for other in listed}:
        st.toast(say("train.known"), icon=":material/content_copy:")
    session.keep("runs", (*mine, run))
    session.put("run", run)
