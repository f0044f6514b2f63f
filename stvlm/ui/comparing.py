"""The Compare page: finished backtests beside each other, sensor by sensor, and what each part of the model is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import comparison, maps
from stvlm.charts.scale import with_unit
from stvlm.data.files import InputError
from stvlm.data.printed import table_csv, table_latex
from stvlm.evaluation.results import (
    Result,
    SensorGap,
    ablation_table,
    few_shot_points,
    horizon_steps,
    read_result,
    read_results,
    score_tables,
    sensor_gap,
)
from stvlm.ui import assess, datasets, frame, session, show, widgets
from stvlm.ui.words import say

SHIPPED = Path(__file__).resolve().parents[2] / "docs" / "results"
MOST_UPLOADS = 12
MOST_LINES = 10


def pick() -> tuple[tuple[Result, ...], Result]:
    """Choose results to compare, those that come with the program and one's own; with none at hand, say how to make one.

    Returns:
        Those chosen, and the one looked at closely.
    """
    is_empty = not _shipped(_stamp()) and not session.kept("results")
    with st.expander("Add results of your own", icon=":material/upload_file:", expanded=is_empty):
        _upload()
    found = {r.name: r for r in (*_shipped(_stamp()), *session.kept("results", ()))}
    if not found:
        st.info("There is no finished backtest here yet. Make one with the command below, and add its file above.")
        command()
        st.stop()
    names = list(found)
    labels = _labels(found)
    chosen = st.multiselect("Results", names, names, format_func=labels.get, key="results", persist_state="session")
    if not chosen:
        st.info("Choose at least one result.")
        st.stop()
    one = session.chosen("result", chosen, next((name for name in chosen if found[name].ablations), chosen[0]))
    if len(chosen) > 1:
        key = session.tied("result", one)
        st.selectbox(
            "Looked at closely", chosen, key=key, format_func=labels.get, on_change=session.taken, args=("result", key, str)
        )
    return tuple(found[name] for name in chosen), found[one]


def errors(results: tuple[Result, ...], one: Result) -> None:
    """Models × data × horizons, and the error of the result in view by step."""
    st.subheader("How large the errors are", anchor=False)
    table = score_tables(results)
    if table["Unit"].nunique() == 1:
        table = table.drop(columns="Unit")
    if len(results) == 1:
        table = table.drop(columns="Data")
    table = table.dropna(axis=1, how="all")
    widgets.table(table, f"Errors of {len(table)} rows, the best of each data first.", decimals=3)
    st.caption(
        f"Mean absolute error (MAE) and root of the mean square (RMSE) over the test part, in "
        f"{widgets.plain(one.unit) or 'the unit of the readings'}; "
        f"{one.windows.get('test', 0)} test windows, {one.windows.get('train', 0)} to learn from."
    )
    _downloads(table, "errors")
    lines = {row["model"]: row["mae_per_step"] for row in sorted(one.scores, key=lambda row: row["mae"])[:MOST_LINES]}
    figure = comparison.step_lines(lines, one.unit, frame.theme(), one.step_minutes)
    shown = ", ".join(str(step) for step in horizon_steps(one.horizon))
    alt = f"Error by step for {one.title}: {len(lines)} models; the table above has steps {shown}."
    show.plot(figure, "by-step", alt)


def by_sensor(one: Result) -> None:
    """Where one model beats another."""
    st.subheader("Where one model is better", anchor=False)
    placed = [row["model"] for row in one.scores if np.isfinite(row["mae_per_sensor"]).any()]
    if len(placed) < 2:
        st.info("This result has no errors by sensor for two models.")
        return
    ranked = sorted(placed, key=lambda name: next(row["mae"] for row in one.scores if row["model"] == name))
    left, right = st.columns(2)
    first = left.selectbox("This model", ranked, 0, key=f"first-{one.name}")
    other = next((i for i, name in enumerate(ranked) if i and _differ(one, ranked[0], name)), 1)
    second = right.selectbox("Against", ranked, other, key=f"second-{one.name}")
    if first == second:
        st.info("Choose two models.")
        return
    try:
        gap = sensor_gap(one, first, second)
    except ValueError as error:
        st.info(str(error))
        return
    st.markdown(widgets.plain(_gap_words(gap, first, second, one.unit)))
    label = f"error of {first} minus that of {second}"
    if one.network is None:
        st.caption("This file does not say where its sensors stand, so there is no map.")
    else:
        span = float(np.nanquantile(np.abs(gap.gaps), 0.96)) or 1.0
        view = maps.sensor_map(
            one.network, gap.gaps, one.unit, label, frame.theme(), limits=(-span, span), kind="diverging"
        )  # fmt: skip
        alt = f"Map: {label}. Blue: {first} is better; orange: {second} is better. The table below has the numbers."
        show.show_map(view, one.network, f"gap-{one.name}", alt)
    with st.expander("The same as a table"):
        ids = one.network.ids if one.network else [str(i + 1) for i in range(len(gap.gaps))]
        columns = {name: next(r["mae_per_sensor"] for r in one.scores if r["model"] == name) for name in (first, second)}
        columns = {with_unit(f"MAE of {name}", one.unit): values for name, values in columns.items()}
        table = pd.DataFrame({"Sensor": ids, **columns, with_unit("Difference", one.unit): gap.gaps})
        widgets.table(table, f"Errors of two models at {len(table)} sensors.", decimals=3)
        _downloads(table, "by-sensor")


def panel(one: Result) -> None:
    """The ablation panel: dots with intervals, the same as a table, and in words."""
    st.subheader("What each part is worth", anchor=False)
    if not one.ablations:
        st.info("This result has no ablation panel. The command below makes one: `--ablations all`.")
        return
    if one.is_mixed:
        st.warning("This panel was stopped and gone on with other code: its trainings are not all of one version of the program.")
    full, *variants = one.ablations
    st.markdown(widgets.plain(full["verdict"]))
    if variants:
        values = {key: np.array([row[key] for row in variants]) for key in ("percent", "percent_low", "percent_high", "is_sure")}
        names = [row["variant"] for row in variants]
        figure = comparison.ablation_dots(names, *values.values(), frame.theme())
        alt = f"Difference of the error to the full model's for {len(variants)} variants; the table below has the numbers."
        show.plot(figure, "ablations", alt, height=120 + 28 * len(variants))
    words, numbers = st.tabs(["In words", "As a table"])
    with words:
        st.markdown("\n".join(f"- {widgets.plain(row['verdict'])}" for row in variants) or "No variant was asked for.")
    with numbers:
        table = ablation_table(one)
        widgets.table(table, f"The ablation panel, {len(table)} rows.", decimals=3)
        _downloads(table, "ablations")
    st.caption(
        f"Every variant was trained anew with {full['seeds']} seed{'s' * (full['seeds'] != 1)}, the same anchor, windows and number of "
        "steps, and its network forced in. Differences are to the full model, that of the full model is to its anchor. "
        "“As shipped” is with the rule that refuses a network which does not beat its anchor. "
        f"Intervals: {widgets.plain(str(one.setting.get('interval', ''))[:400])}. "
        f"Of {len(variants)} intervals at 95 %, about {0.05 * len(variants):.1f} leave 0 out by chance alone. "
        "Memory is the most that the training's own process held, Python and libraries included; times depend on what else ran."
    )


def panel_of_network() -> None:
    """The panel of the network in view, where a finished backtest of it is at hand; else how to make one."""
    sample = datasets.sample(session.data_id())
    name = f"{sample.name}.json" if sample else ""
    found = next((one for one in _shipped(_stamp()) if one.name == name and one.ablations), None)
    if found is not None:
        panel(found)
        return
    st.subheader(say("whatif.panel"), anchor=False)
    st.info(say("whatif.no_panel"))
    command()


def few_shot(results: tuple[Result, ...]) -> None:
    """The error by how much was learnt from, where the chosen results tell."""
    points = few_shot_points(results)
    if points.empty:
        return
    st.subheader("With less to learn from", anchor=False)
    for place, (title, mine) in enumerate(points.groupby("title", sort=False)):
        st.markdown(f"**{widgets.plain(str(title))}**")
        figure = comparison.few_shot_lines(mine, str(mine["unit"].iloc[0]), frame.theme())
        show.plot(figure, f"few-shot-{place}", f"Error by windows of training for {title}; the table has the numbers.")
        table = mine.drop(columns=["title", "unit"]).pivot_table("mae", "model", "windows").rename_axis(columns=None).reset_index()
        table.columns = ["Model", *(f"MAE, {c} windows" for c in table.columns[1:])]
        widgets.table(table, f"Error by windows of training, {len(table)} models.", decimals=3)
        _downloads(table, f"few-shot-{place}")


def command() -> None:
    """The command line that makes such a result for the network in view."""
    data = session.data_id()
    sample = datasets.sample(data) if data else None
    st.markdown("**Make a result of your own.** On this machine, in the folder of the program; stopped, the same command goes on:")
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
    files = st.file_uploader(
        "Files of `python -m stvlm backtest --json`", type=["json"], accept_multiple_files=True, key="result-files"
    )
    held = {r.name: r for r in session.kept("results", ())}
    before = dict(held)
    for file in files or ():
        if f"own: {file.name}" in held:
            continue
        if len(held) >= MOST_UPLOADS:
            st.warning(f"No more than {MOST_UPLOADS} results of your own at a time.")
            break
        try:
            result = read_result(file.name, file.getvalue())
        except InputError as error:
            assess.show_problems(error)
            continue
        name = f"own: {file.name}"
        held[name] = Result(**(vars(result) | {"name": name}))
    if held != before:
        session.keep("results", tuple(held.values()))


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
        return not sensor_gap(one, first, second).same
    except ValueError:
        return False


def _gap_words(gap: SensorGap, first: str, second: str, unit: str) -> str:
    """Who is better, by how much, at how many sensors, and whether that could be chance."""
    if gap.same:
        return f"{first} and {second} forecast the same: where a network is refused, the forecast is that of its anchor."
    sure = gap.low > 0 or gap.high < 0
    winner = f"{first} is better" if gap.mean < 0 else f"{second} is better"
    judged = f"{winner}, beyond the differences between sensors" if sure else "not distinguishable from nothing"
    return (
        f"{first} has the smaller error at {gap.better} of {gap.n} sensors; its mean error is {gap.mean:+.3g} {unit} against {second} "
        f"({gap.low:+.3g} … {gap.high:+.3g}): {judged}. The interval draws sensors again; neighbours are alike, so it is narrow rather "
        "than wide."
    ).replace("-", "−")


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
