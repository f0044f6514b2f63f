"""What is known of each sensor on the Data page: coverage, gaps, still runs, zeros, outliers, neighbours; on the map and as a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts.maps import sensor_map
from stvlm.core.network import SensorNetwork
from stvlm.io.read import RawTables
from stvlm.quality.report import QualityReport
from stvlm.ui.shell import inputs, layout, render, view_state
from stvlm.ui.shell.i18n import format_number, t

MEASURES = ("coverage", "gap", "still", "zeros", "outliers", "neighbour")


def values_of(report: QualityReport, measure: str) -> tuple[np.ndarray, str]:
    """One measure of each sensor, in the order of the report.

    Args:
        measure: of MEASURES.

    Returns:
        values: (N,) float64, NaN where nothing is known. unit: "%", "h", "d", "km", or "" for counts.
    """
    rows = report.per_sensor
    if measure == "coverage":
        return rows["coverage_percent"].to_numpy("f8"), "%"
    if measure in ("gap", "still"):
        steps = rows["longest_gap" if measure == "gap" else "longest_run"].to_numpy("f8")
        is_daily = report.step_minutes >= 1440
        return steps * report.step_minutes / (1440 if is_daily else 60), "d" if is_daily else "h"
    if measure == "neighbour":
        return rows["neighbour_km"].to_numpy("f8"), "km"
    return rows[measure].to_numpy("f8"), ""


def pick() -> str:
    """Choose what the map shows."""
    return view_state.segmented_control("measure", t("data.measure"), MEASURES, lambda name: t(f"data.measure_{name}"), wrap=True)


def on_map(report: QualityReport, network: SensorNetwork, key: str, selected: int | None, height: int = 430) -> None:
    """The chosen measure of each sensor of a network on the map; the worst is named below.

    Args:
        report: of all its sensors and perhaps more. network: those with a place. key: of the map. selected: node with a ring.
    """
    measure = pick()
    values, unit = values_of(report, measure)
    values = pd.Series(values, index=report.per_sensor.index).reindex(list(network.ids)).to_numpy()
    low, high = (float(np.nanmin(values)), float(np.nanmax(values))) if np.isfinite(values).any() else (0.0, 1.0)
    limits = (min(low, 99.0), 100.0) if measure == "coverage" else (0.0, max(high, 1.0))
    label = t(f"data.measure_{measure}")
    view = sensor_map.sensor_map(network, values, unit, label, layout.theme(), selected, limits=limits, words=render.wording())
    alt = t("data.map_alt", n=network.n_sensors, measure=label)
    if high > low:
        worst = int(np.nanargmin(values) if measure == "coverage" else np.nanargmax(values))
        amount = f"{format_number(values[worst], 1)} {unit}".strip()
        alt += " " + t("data.map_worst", name=inputs.sensor_label(network, worst), amount=amount)
    render.show_map(view, network, key, alt, height=height)


def before_use(raw: RawTables, report: QualityReport) -> None:
    """Where the sensors of an upload lie, and what is known of each, before it becomes the network in view."""
    network = placed_network(raw)
    with st.expander(t("data.look", n=report.n_sensors), expanded=True, icon=":material/map:"):
        if network is None:
            st.caption(t("data.no_map"))
        else:
            on_map(report, network, "upload", None, 360)
        table(report, None if network is None else network)


def placed_network(raw: RawTables) -> SensorNetwork | None:
    """The sensors that have a place on earth, each id once; None where there is none."""
    table = raw.sensors.drop_duplicates("sensor_id")
    table = table[(table["lat"].abs() <= 90) & (table["lon"].abs() <= 180)].reset_index(drop=True)
    if not len(table):
        return None
    facts = table.drop(columns=["sensor_id", "lat", "lon"])
    return SensorNetwork(
        tuple(table["sensor_id"]), table["lat"].to_numpy(), table["lon"].to_numpy(), facts=facts if len(facts.columns) else None
    )


def table(report: QualityReport, network: SensorNetwork | None, more: pd.DataFrame | None = None) -> None:
    """The same as a table, one row for each sensor.

    Args:
        network: names and places, where known. more: further columns, index = sensor ids.
    """
    rows = pd.DataFrame({t("data.sensor"): report.per_sensor.index}, index=report.per_sensor.index)
    if network is not None:
        ids, nodes = list(network.ids), range(network.n_sensors)
        known = {
            t("data.sensor_name"): [network.name(n) for n in nodes],
            t("data.lat"): network.lat,
            t("data.lon"): network.lon,
        }
        rows = rows.join(pd.DataFrame(known, index=ids))
    for measure in MEASURES:
        values, unit = values_of(report, measure)
        rows[t(f"data.measure_{measure}") + (f", {unit}" if unit else "")] = values
    if more is not None:
        rows = rows.join(more)
    rows[t("data.findings")] = report.per_sensor["findings"]
    places = dict.fromkeys((t("data.lat"), t("data.lon")), st.column_config.NumberColumn(format="%.5f"))
    inputs.table(rows, t("data.sensors_alt", n=len(rows)), column_config=places)
