"""The network in view on the Data page: how much there is, where it has gaps, what it looks like over time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import lines
from stvlm.data.series import SensorSeries
from stvlm.ui import assess, datasets, dropping, frame, measures, session, show, uploads, widgets, words
from stvlm.ui.words import number, say, told

SOURCES = ("at-hand", "own")
MOST_LINES = 8  # sensors drawn over time at once: as many as there are colours


def own_files() -> bool:
    """Choose between the networks at hand and one's own files; True for the files."""
    words = {"at-hand": say("data.source_at_hand"), "own": say("data.source_own")}
    return session.segmented("source", say("data.source"), SOURCES, words.get, label_visibility="collapsed") == "own"


def choose() -> None:
    """The samples and the networks uploaded before, one click each."""
    at_hand = [datasets.SAMPLE + name for name in datasets.SAMPLES] + datasets.uploaded()[:8]
    with st.container(horizontal=True):
        for data in at_hand:
            st.button(
                widgets.plain(datasets.title(data)),
                key=f"choose-{data}",
                type="primary" if data == session.data_id() else "secondary",
                on_click=session.look_at,
                args=(data,),
            )


def figures(series: SensorSeries) -> None:
    """The network in five numbers, and where it comes from."""
    data = session.data_id()
    st.subheader(widgets.plain(datasets.title(data)), anchor=False)
    sample = datasets.sample(data)
    if sample:
        st.markdown(told("sample", sample.description) + (f"  :orange-badge[{say('data.synthetic')}]" if sample.synthetic else ""))
    else:
        _origin(datasets.card(data))
    with st.container(horizontal=True, gap="medium"):
        st.metric(say("data.sensors"), number(series.network.n_sensors, 0), width="content")
        st.metric(say("data.steps"), number(series.n_steps, 0), width="content")
        st.metric(say("data.step"), widgets.span(series.step_minutes), width="content")
        st.metric(say("data.measure_coverage"), f"{number(datasets.coverage(data).mean())} %", width="content")
        st.metric(say("data.unit"), widgets.plain(series.unit) or say("data.no_unit"), width="content")
    st.caption(f"{widgets.plain(series.quantity)}, {widgets.period(series)}, {series.timezone or say('data.clock_of_file')}")


def _origin(card: dict) -> None:
    """The files and fixes that an uploaded network came from, and the way back to them."""
    if card["fixes"]:
        st.caption(say("data.fixes_applied", fixes=", ".join(assess.fix_label(fix) for fix in card["fixes"])))
    upload = str(card.get("upload", ""))
    if uploads.is_held(upload):
        columns = tuple(tuple(entry) for entry in card.get("columns", ()))
        back = (upload, tuple(card["fixes"]), columns)
        st.button(say("data.back_to_files"), icon=":material/edit:", key="back-to-files", on_click=dropping.reopen, args=back)


def quality_report() -> None:
    """What the checks say of the network in view."""
    assess.findings(datasets.report(session.data_id()))


@st.fragment
def where_and_when(series: SensorSeries) -> None:
    """The map coloured by what is known of each sensor, beside the readings of chosen ones, and the same as a table."""
    network, data = series.network, session.data_id()
    left, right = st.columns(2)
    with left:
        sensor = widgets.pick_sensor(network, say("common.sensor_or_map"))
        measures.on_map(datasets.report(data), network, "coverage", sensor)
    with right:
        others = st.multiselect(
            say("data.compare"),
            [i for i in network.ids if i != network.ids[sensor]],
            max_selections=MOST_LINES - 1,
            format_func=widgets.sensor_labels(network).get,
            key="compare",
            placeholder=say("data.compare_none"),
        )
        nodes = [sensor, *(network.ids.index(i) for i in others)]
        names = ", ".join(widgets.sensor_label(network, n) for n in nodes)
        alt = say("data.readings_alt", quantity=series.quantity, names=names)
        show.plot(lines.readings_lines(series, nodes, frame.theme(), show.wording()), "readings", alt)
    with st.expander(say("data.as_table"), icon=":material/table:"):
        measures.table(datasets.report(data), network, _levels(data, words.language()))


@st.cache_data(max_entries=8, show_spinner=False)
def _levels(data: str, language: str) -> pd.DataFrame:
    """Mean, least and most of each sensor in the unit, index = ids; remembered for each language of the page."""
    series = datasets.load(data)
    unit = f", {series.unit}" if series.unit else ""
    silent = datasets.coverage(data) == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = np.nansum(series.values, axis=0, dtype="f8") / (datasets.coverage(data) / 100 * series.n_steps)
    columns = {
        say("data.mean") + unit: np.where(silent, np.nan, sums),
        say("data.least") + unit: np.where(silent, np.nan, np.fmin.reduce(series.values, axis=0)),
        say("data.most") + unit: np.where(silent, np.nan, np.fmax.reduce(series.values, axis=0)),
    }
    return pd.DataFrame(columns, index=list(series.network.ids))
