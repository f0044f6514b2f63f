"""The network in view on the Data page: how much there is, where it has gaps, what it looks like over time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import lines, maps
from stvlm.data.series import SensorSeries
from stvlm.ui import assess, datasets, frame, session, show, widgets

_SOURCES = {"at-hand": "Networks at hand", "own": "Your own files"}
_PLACES = dict.fromkeys(("Latitude, °", "Longitude, °"), st.column_config.NumberColumn(format="%.5f"))
MOST_LINES = 8  # sensors drawn over time at once: as many as there are colours


def own_files() -> bool:
    """Choose between the networks at hand and one's own files; True for the files."""
    source = session.chosen("source", tuple(_SOURCES), "at-hand")
    key = session.tied("source", source)
    st.segmented_control(
        "Where from",
        tuple(_SOURCES),
        key=key,
        format_func=_SOURCES.get,
        required=True,
        on_change=session.taken,
        args=("source", key, str),
        label_visibility="collapsed",
    )
    return source == "own"


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
        st.markdown(sample.description + ("  :orange-badge[synthetic]" if sample.synthetic else ""))
    elif fixes := datasets.card(data)["fixes"]:
        st.caption("Fixes applied: " + ", ".join(assess.fix_label(fix) for fix in fixes))
    with st.container(horizontal=True, gap="large"):
        st.metric("Sensors", f"{series.network.n_sensors:,}", width="content")
        st.metric("Steps", f"{series.n_steps:,}", width="content")
        st.metric("One step", widgets.span(series.step_minutes), width="content")
        st.metric("Readings there", f"{datasets.coverage(data).mean():.1f} %", width="content")
        st.metric("Unit", widgets.plain(series.unit) or "none given", width="content")
    st.caption(f"{widgets.plain(series.quantity)}, {widgets.period(series)}, {series.timezone or 'on the clock of the file'}")


@st.fragment
def where_and_when(series: SensorSeries) -> None:
    """The map coloured by coverage beside the readings of chosen sensors, and the same as a table."""
    coverage = datasets.coverage(session.data_id())
    left, right = st.columns(2)
    with left:
        sensor = widgets.pick_sensor(series.network, "Sensor (or click one on the map)")
    with left:
        limits = (min(float(coverage.min()), 99.0), 100.0)
        view = maps.sensor_map(series.network, coverage, "%", "Readings there", frame.theme(), sensor, limits=limits)
        show.show_map(
            view,
            series.network,
            "coverage",
            f"Map of {series.network.n_sensors} sensors, coloured by the share of readings that are there.",
        )
    with right:
        others = st.multiselect(
            "Compare with",
            [i for i in series.network.ids if i != series.network.ids[sensor]],
            max_selections=MOST_LINES - 1,
            format_func=widgets.sensor_labels(series.network).get,
            key="compare",
        )
        nodes = [sensor, *(series.network.ids.index(i) for i in others)]
        show.plot(
            lines.readings_lines(series, nodes, frame.theme()),
            "readings",
            f"{series.quantity} over time of {', '.join(widgets.sensor_label(series.network, n) for n in nodes)}.",
        )
    with st.expander("The sensors as a table"):
        widgets.table(
            _sensor_rows(session.data_id()),
            "One row for each sensor: place, share of readings, mean, least, most.",
            column_config=_PLACES,
        )


def quality_report() -> None:
    """What the checks say of the network in view."""
    assess.problem_table(datasets.report(session.data_id()))


@st.cache_data(max_entries=8, show_spinner="Looking at each sensor …")
def _sensor_rows(data: str) -> pd.DataFrame:
    """One row for each sensor; numbers in the unit, rounded by the table that shows them."""
    series, network = datasets.load(data), datasets.load(data).network
    unit = f", {series.unit}" if series.unit else ""
    silent = datasets.coverage(data) == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = np.nansum(series.values, axis=0, dtype="f8") / (datasets.coverage(data) / 100 * series.n_steps)
    rows = {
        "Sensor": list(network.ids),
        "Name": [network.name(n) for n in range(network.n_sensors)],
        "Latitude, °": network.lat,
        "Longitude, °": network.lon,
        "Readings there, %": datasets.coverage(data),
        f"Mean{unit}": np.where(silent, np.nan, sums),
        f"Least{unit}": np.where(silent, np.nan, np.fmin.reduce(series.values, axis=0)),
        f"Most{unit}": np.where(silent, np.nan, np.fmax.reduce(series.values, axis=0)),
    }
    return pd.DataFrame(rows)
