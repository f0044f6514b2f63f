"""The network in view on the Data page: how much there is, where it has gaps, what it looks like over time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts.figures import lines
from stvlm.core.series import SensorSeries
from stvlm.ui.data import findings, sensor_stats, upload_form
from stvlm.ui.services import networks, uploads
from stvlm.ui.shell import i18n as words
from stvlm.ui.shell import inputs, layout, render, view_state
from stvlm.ui.shell.i18n import format_duration, format_number, t, told

SOURCES = ("at-hand", "own")
MOST_LINES = 8  # sensors drawn over time at once: as many as there are colours


def own_files() -> bool:
    """Choose between the networks at hand and one's own files; True for the files."""
    words = {"at-hand": t("data.source_at_hand"), "own": t("data.source_own")}
    return view_state.segmented_control("source", t("data.source"), SOURCES, words.get, label_visibility="collapsed") == "own"


def choose() -> None:
    """The samples and the networks uploaded before, one click each."""
    at_hand = [networks.SAMPLE + name for name in networks.SAMPLES] + networks.listed()[:8]
    with st.container(horizontal=True):
        for data in at_hand:
            st.button(
                inputs.plain(networks.title(data)),
                key=f"choose-{data}",
                type="primary" if data == view_state.data_id() else "secondary",
                on_click=view_state.open_network,
                args=(data,),
            )


def figures(series: SensorSeries) -> None:
    """The network in five numbers, and where it comes from."""
    data = view_state.data_id()
    st.subheader(inputs.plain(networks.title(data)), anchor=False)
    sample = networks.sample(data)
    if sample:
        st.markdown(told("sample", sample.description) + (f"  :orange-badge[{t('data.synthetic')}]" if sample.synthetic else ""))
    else:
        _origin(networks.card(data))
    with st.container(horizontal=True, gap="medium"):
        st.metric(t("data.sensors"), format_number(series.network.n_sensors, 0), width="content")
        st.metric(t("data.steps"), format_number(series.n_steps, 0), width="content")
        st.metric(t("data.step"), format_duration(series.step_seconds), width="content")
        st.metric(t("data.measure_coverage"), f"{format_number(networks.coverage(data).mean())} %", width="content")
        st.metric(t("data.unit"), inputs.plain(series.unit) or t("data.no_unit"), width="content")
    st.caption(f"{inputs.plain(series.quantity)}, {inputs.period(series)}, {series.timezone or t('data.clock_of_file')}")


def _origin(card: dict) -> None:
    """The files and fixes that an uploaded network came from, and the way back to them."""
    if card["fixes"]:
        st.caption(t("data.fixes_applied", fixes=", ".join(findings.fix_label(fix) for fix in card["fixes"])))
    upload = str(card.get("upload", ""))
    if uploads.is_held(upload):
        columns = tuple(tuple(entry) for entry in card.get("columns", ()))
        back = (upload, tuple(card["fixes"]), columns)
        st.button(t("data.back_to_files"), icon=":material/edit:", key="back-to-files", on_click=upload_form.reopen, args=back)


def quality_report() -> None:
    """What the checks say of the network in view."""
    findings.findings(networks.report(view_state.data_id()))


@st.fragment
def where_and_when(series: SensorSeries) -> None:
    """The map coloured by what is known of each sensor, beside the readings of chosen ones, and the same as a table."""
    network, data = series.network, view_state.data_id()
    left, right = st.columns(2)
    with left:
        sensor = inputs.pick_sensor(network, t("common.sensor_or_map"))
        sensor_stats.on_map(networks.report(data), network, "coverage", sensor)
    with right:
        others = st.multiselect(
            t("data.compare"),
            [i for i in network.ids if i != network.ids[sensor]],
            max_selections=MOST_LINES - 1,
            format_func=inputs.sensor_labels(network).get,
            key="compare",
            placeholder=t("data.compare_none"),
        )
        nodes = [sensor, *(network.ids.index(i) for i in others)]
        names = ", ".join(inputs.sensor_label(network, n) for n in nodes)
        alt = t("data.readings_alt", quantity=series.quantity, names=names)
        render.plot(lines.readings_lines(series, nodes, layout.theme(), render.wording()), "readings", alt)
    with st.expander(t("data.as_table"), icon=":material/table:"):
        sensor_stats.table(networks.report(data), network, _levels(data, words.language()))


@st.cache_data(max_entries=8, show_spinner=False)
def _levels(data: str, language: str) -> pd.DataFrame:
    """Mean, least and most of each sensor in the unit, index = ids; remembered for each language of the page."""
    series = networks.load(data)
    unit = f", {series.unit}" if series.unit else ""
    silent = networks.coverage(data) == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = np.nansum(series.values, axis=0, dtype="f8") / (networks.coverage(data) / 100 * series.n_steps)
    columns = {
        t("data.mean") + unit: np.where(silent, np.nan, sums),
        t("data.least") + unit: np.where(silent, np.nan, np.fmin.reduce(series.values, axis=0)),
        t("data.most") + unit: np.where(silent, np.nan, np.fmax.reduce(series.values, axis=0)),
    }
    return pd.DataFrame(columns, index=list(series.network.ids))
