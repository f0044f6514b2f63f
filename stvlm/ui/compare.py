"""The Compare page: finished backtests beside each other, sensor by sensor, and what each part of the model is worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts.figures import comparison
from stvlm.charts.maps import sensor_map
from stvlm.charts.scale import with_unit
from stvlm.evaluation.result_files import (
    Result,
    SensorGap,
    ablation_table,
    are_same,
    few_shot_points,
    horizon_steps,
    read_result,
    read_results,
    score_tables,
    sensor_gap,
)
from stvlm.io.source import InputError
from stvlm.io.write import table_csv, table_latex
from stvlm.runtime.assets import asset
from stvlm.ui.data import findings
from stvlm.ui.services import networks
from stvlm.ui.shell import inputs, layout, render, view_state
from stvlm.ui.shell.i18n import format_number, format_short, t, told

SHIPPED = asset("results")
MOST_UPLOADS = 12
MOST_LINES = 10


def pick() -> tuple[tuple[Result, ...], Result]:
    """Choose results to compare, those that come with the program and one's own; with none at hand, say how to make one.

    Returns:
        Those chosen, and the one looked at closely.
    """
    is_empty = not _shipped(_stamp()) and not view_state.load("results")
    with st.expander(t("compare.add"), icon=":material/upload_file:", expanded=is_empty):
        _upload()
    found = {r.name: replace(r, title=told("sample", r.title)) for r in (*_shipped(_stamp()), *view_state.load("results", ()))}
    if not found:
        st.info(t("compare.none"))
        command()
        st.stop()
    names = list(found)
    labels = _labels(found)
    chosen = st.multiselect(t("compare.results"), names, names, format_func=labels.get, key="results", persist_state="session")
    if not chosen:
        st.info(t("compare.choose"))
        st.stop()
    one = view_state.param_in("result", chosen, next((name for name in chosen if found[name].ablations), chosen[0]))
    if len(chosen) > 1:
        key = view_state.bind("result", one)
        st.selectbox(
            t("compare.closely"),
            chosen,
            key=key,
            format_func=labels.get,
            on_change=view_state.sync_to_url("result", key, chosen),
        )
    return tuple(found[name] for name in chosen), found[one]


def errors(results: tuple[Result, ...], one: Result) -> None:
    """Models × data × horizons, and the error of the result in view by step."""
    st.subheader(t("compare.errors"), anchor=False)
    table = score_tables(results)
    if table["Unit"].nunique() == 1:
        table = table.drop(columns="Unit")
    if len(results) == 1:
        table = table.drop(columns="Data")
    table = _headed(table.dropna(axis=1, how="all"))
    inputs.table(table, t("compare.errors_alt", n=len(table)), decimals=3)
    unit = inputs.plain(one.unit) or t("compare.no_unit")
    windows = {part: format_number(one.windows.get(part, 0), 0) for part in ("test", "train")}
    st.caption(t("compare.errors_note", unit=unit, **windows))
    _downloads(table, "errors")
    lines = {row["model"]: row["mae_per_step"] for row in sorted(one.scores, key=lambda row: row["mae"])[:MOST_LINES]}
    figure = comparison.step_lines(lines, one.unit, layout.theme(), one.step_minutes, _drawn())
    shown = ", ".join(str(step) for step in horizon_steps(one.horizon))
    render.plot(figure, "by-step", t("compare.step_alt", title=one.title, n=len(lines), steps=shown))


def by_sensor(one: Result) -> None:
    """Where one model beats another."""
    st.subheader(t("compare.where"), anchor=False)
    placed = [row["model"] for row in one.scores if np.isfinite(row["mae_per_sensor"]).any()]
    if len(placed) < 2:
        st.info(t("compare.no_sensors"))
        return
    ranked = sorted(placed, key=lambda name: next(row["mae"] for row in one.scores if row["model"] == name))
    left, right = st.columns(2)
    first = left.selectbox(t("compare.this"), ranked, 0, key=f"first-{one.name}")
    other = next((i for i, name in enumerate(ranked) if i and _differ(one, ranked[0], name)), 1)
    second = right.selectbox(t("compare.against"), ranked, other, key=f"second-{one.name}")
    if first == second:
        st.info(t("compare.two"))
        return
    try:
        gap = sensor_gap(one, first, second)
    except ValueError as error:
        st.info(told("below", str(error)))
        return
    st.markdown(inputs.plain(_gap_words(gap, first, second, one.unit)))
    label = t("compare.gap_label", first=first, second=second)
    if one.network is None:
        st.caption(t("compare.no_places"))
    else:
        span = float(np.nanquantile(np.abs(gap.gaps), 0.96)) or 1.0
        view = sensor_map.sensor_map(
            one.network, gap.gaps, one.unit, label, layout.theme(), limits=(-span, span), kind="diverging", words=render.wording()
        )  # fmt: skip
        alt = t("compare.gap_alt", label=label, first=first, second=second)
        render.show_map(view, one.network, f"gap-{one.name}", alt)
    with st.expander(t("format.as_table")):
        ids = one.network.ids if one.network else [str(i + 1) for i in range(len(gap.gaps))]
        columns = {name: next(r["mae_per_sensor"] for r in one.scores if r["model"] == name) for name in (first, second)}
        columns = {with_unit(t("compare.mae_of", name=name), one.unit): values for name, values in columns.items()}
        difference = with_unit(t("compare.difference"), one.unit)
        table = pd.DataFrame({t("common.sensor"): ids, **columns, difference: gap.gaps})
        inputs.table(table, t("compare.gap_table_alt", n=len(table)), decimals=3)
        _downloads(table, "by-sensor")


def panel(one: Result) -> None:
    """The ablation panel: dots with intervals, the same as a table, and in words."""
    st.subheader(t("whatif.panel"), anchor=False)
    if not one.ablations:
        st.info(t("compare.no_panel"))
        return
    if one.is_mixed:
        st.warning(t("compare.mixed"))
    full, *variants = one.ablations
    st.markdown(inputs.plain(told("verdict", full["verdict"])))
    if variants:
        values = {key: np.array([row[key] for row in variants]) for key in ("percent", "percent_low", "percent_high", "is_sure")}
        names = [row["variant"] for row in variants]
        figure = comparison.ablation_dots(names, *values.values(), layout.theme(), _drawn())
        render.plot(figure, "ablations", t("compare.dots_alt", n=len(variants)), height=120 + 28 * len(variants))
    words, numbers = st.tabs([t("compare.in_words"), t("format.table")])
    with words:
        st.markdown("\n".join(f"- {inputs.plain(told('verdict', row['verdict']))}" for row in variants) or t("compare.no_variant"))
    with numbers:
        table = _headed(ablation_table(one))
        inputs.table(table, t("compare.panel_alt", n=len(table)), decimals=3)
        _downloads(table, "ablations")
    seeds = t("compare.one_seed") if full["seeds"] == 1 else t("compare.seeds", n=full["seeds"])
    counts = {"n": len(variants), "chance": format_number(0.05 * len(variants))}
    interval = inputs.plain(told("verdict", str(one.setting.get("interval", ""))[:400]))
    st.caption(t("compare.panel_note", seeds=seeds, interval=interval, **counts))


def panel_of_network() -> None:
    """The panel of the network in view, where a finished backtest of it is at hand; else how to make one."""
    sample = networks.sample(view_state.data_id())
    name = f"{sample.name}.json" if sample else ""
    found = next((one for one in _shipped(_stamp()) if one.name == name and one.ablations), None)
    if found is not None:
        panel(found)
        return
    st.subheader(t("whatif.panel"), anchor=False)
    st.info(t("whatif.no_panel"))
    command()


def few_shot(results: tuple[Result, ...]) -> None:
    """The error by how much was learnt from, where the chosen results tell."""
    points = few_shot_points(results)
    if points.empty:
        return
    st.subheader(t("compare.few"), anchor=False)
    for place, (title, mine) in enumerate(points.groupby("title", sort=False)):
        st.markdown(f"**{inputs.plain(str(title))}**")
        figure = comparison.few_shot_lines(mine, str(mine["unit"].iloc[0]), layout.theme(), _drawn())
        render.plot(figure, f"few-shot-{place}", t("compare.few_alt", title=title))
        table = mine.drop(columns=["title", "unit"]).pivot_table("mae", "model", "windows").rename_axis(columns=None).reset_index()
        table.columns = [t("compare.model"), *(t("compare.few_column", n=format_number(c, 0)) for c in table.columns[1:])]
        inputs.table(table, t("compare.few_table_alt", n=len(table)), decimals=3)
        _downloads(table, f"few-shot-{place}")


def command() -> None:
    """The command line that makes such a result for the network in view."""
    data = view_state.data_id()
    sample = networks.sample(data) if data else None
    st.markdown(t("compare.own"))
    if sample:
        source = f"--sample {sample.name}"
        sizes = f"--lookback {sample.lookback} --horizon {sample.horizon} --split {','.join(f'{s:g}' for s in sample.split)}"
    else:
        source, sizes = "--sensors SENSORS.csv --series READINGS.csv", "--lookback 12 --horizon 12 --split 0.6,0.2,0.2"
    st.code(
        f"python -m stvlm backtest {source} {sizes} --seeds 3 --max-steps 200 --ablations all --json result.json", language="bash"
    )


def _upload() -> None:
    """Take result files and hold them for this session."""
    files = st.file_uploader(t("compare.files"), type=["json"], accept_multiple_files=True, key="result-files")
    held = {r.name: r for r in view_state.load("results", ())}
    before = dict(held)
    for file in files or ():
        if f"own: {file.name}" in held:
            continue
        if len(held) >= MOST_UPLOADS:
            st.warning(t("compare.too_many", n=MOST_UPLOADS))
            break
        try:
            result = read_result(file.name, file.getvalue())
        except InputError as error:
            findings.show_problems(error)
            continue
        name = f"own: {file.name}"
        held[name] = Result(**(vars(result) | {"name": name}))
    if held != before:
        view_state.store("results", tuple(held.values()))


def _labels(found: dict[str, Result]) -> dict[str, str]:
    """What each result is called; the file's name tells twins apart."""
    titles = [r.label for r in found.values()]
    return {name: r.label if titles.count(r.label) == 1 else f"{r.label} ({name})" for name, r in found.items()}


def _stamp() -> tuple[tuple[str, float], ...]:
    """Files that come with the program and when they were written: what is read is read again when they change."""
    return tuple((p.name, p.stat().st_mtime) for p in sorted(SHIPPED.glob("*.json")))


@st.cache_resource(max_entries=2, show_spinner=False)
def _shipped(stamp: tuple[tuple[str, float], ...]) -> tuple[Result, ...]:
    return read_results(SHIPPED)


def _differ(one: Result, first: str, second: str) -> bool:
    """Whether two rows can be compared and do not forecast the same."""
    try:
        return not are_same(one, first, second)
    except ValueError:
        return False


def _gap_words(gap: SensorGap, first: str, second: str, unit: str) -> str:
    """Who is better, by how much, at how many sensors, and whether that could be chance."""
    names = {"first": first, "second": second}
    if gap.same:
        return t("compare.same", **names)
    sure = gap.low > 0 or gap.high < 0
    judged = t("compare.better", name=first if gap.mean < 0 else second) if sure else t("compare.unsure")
    size = {"mean": f"{format_short(gap.mean, sign=True)} {unit}".rstrip(), "low": format_short(gap.low, sign=True)}
    return t("compare.gap", **names, better=gap.better, n=gap.n, **size, high=format_short(gap.high, sign=True), judged=judged)


def _headed(table: pd.DataFrame) -> pd.DataFrame:
    """A table with its columns named in the language in view."""
    return table.rename(columns=lambda name: told("column", name))


def _drawn() -> comparison.Labels:
    """What the figures say."""
    return render.figure_labels(comparison.Labels, "compare")


def _downloads(table: pd.DataFrame, name: str) -> None:
    """A table as files."""
    with st.container(horizontal=True):
        for label, content, suffix, kind in (
            ("CSV", table_csv(table), "csv", "text/csv"),
            ("LaTeX", table_latex(table), "tex", "text/plain"),
        ):
            st.download_button(
                label, content, f"{name}.{suffix}", kind, key=f"{name}-{suffix}", icon=":material/download:", on_click="ignore"
            )
