"""The way of an upload to a network: which file is what, what is wrong, which fix, in which unit."""

from __future__ import annotations

from zoneinfo import available_timezones

import pandas as pd
import streamlit as st

from stvlm.data import quality
from stvlm.data.formats import InputError, RawTables
from stvlm.ui import datasets, frame, session, uploads, widgets

_ASK = ("reproject", "local-time")  # fixes that need to be told something
_SIGNS = {"error": "must be solved", "warning": "look at it", "note": "good to know"}


def upload() -> None:
    """Take files, keep them, and name the part of each."""
    st.markdown(
        "Drop a **sensor table** (`sensor_id, lat, lon`, and any facts) and a **readings table** (one column per sensor, "
        "or one row per reading). Links between sensors, context, a GeoJSON base layer (roads, districts) and an ESRI ASCII grid "
        "(elevation) may come with them."
    )
    with st.container(horizontal=True):
        for label, content, name in (
            ("Example sensor table", uploads.SENSORS_EXAMPLE, "sensors.csv"),
            ("Example readings", uploads.SERIES_EXAMPLE, "readings.csv"),
        ):
            st.download_button(label, content, name, "text/csv", on_click="ignore", icon=":material/download:")
    files = st.file_uploader("Your files", type=uploads.TYPES, accept_multiple_files=True, key="files")
    if files:
        given: dict[str, tuple[str, bytes]] = {}
        for column, file in zip(st.columns(len(files)), files, strict=True):
            content = file.getvalue()
            guess = list(uploads.ROLES).index(uploads.guess_role(file.name, content))
            label = f"{widgets.plain(file.name)} is the"
            role = column.selectbox(label, list(uploads.ROLES), guess, format_func=uploads.ROLES.get, key=f"role-{file.file_id}")
            given[role] = (file.name, content)
        missing = [uploads.ROLES[role] for role in ("sensors", "series") if role not in given]
        if missing:
            st.warning(f"Still needed: the {' and the '.join(missing)}. Add the file, or say above which file it is.")
            return
        held = uploads.hold(given)
        if held != session.kept("upload"):
            session.keep("upload", held)
            session.keep("fixes", ())
    if uploads.is_held(session.kept("upload", "")):
        _assess(session.kept("upload"))


def _assess(upload_id: str) -> None:
    """Report, fixes, words and the button that makes it the network in view."""
    fixes, clock = session.kept("fixes", ()), _clock(upload_id)
    try:
        raw = uploads.tables(upload_id, fixes, *clock)
        report = uploads.report(upload_id, fixes, *clock)
    except InputError as error:
        show_problems(error)
        _fix_buttons(None, fixes)
        return
    problem_table(report)
    _fix_buttons(report, fixes)
    _use(upload_id, raw, report, clock)


def _clock(upload_id: str) -> tuple[str, float] | tuple[()]:
    """Ask for the clock of readings that bring none (.npz): time of the first reading, minutes between two."""
    if not uploads.names(upload_id)["series"].lower().endswith(".npz"):
        return ()
    left, right = st.columns(2)
    start = left.text_input("Time of the first reading", "2018-01-01 00:00", key="npz-start", max_chars=30)
    return start, right.number_input("Minutes between two readings", 0.1, 525600.0, 5.0, key="npz-step")


def _use(upload_id: str, raw: RawTables, report: quality.QualityReport, clock: tuple) -> None:
    """Ask for the words that the files lack, and make the upload the network in view."""
    names = uploads.names(upload_id)
    with st.form("words"):
        a, b, c, d = st.columns(4)
        has_grid = raw.base_layer is not None and raw.base_layer.grid is not None
        name = a.text_input("Name of the network", names["series"].rsplit(".", 1)[0][:80], max_chars=80)
        quantity = b.text_input("What is measured", "reading", max_chars=60, help="for instance: traffic speed")
        unit = c.text_input("Unit", "", max_chars=20, help="for instance: km/h")
        zones = ["", *sorted(available_timezones())]
        zone = d.selectbox(
            "Time zone for display",
            zones,
            zones.index(raw.timezone or "") if (raw.timezone or "") in zones else 0,
            format_func=lambda z: z or "as in the file",
        )
        clock_times = st.checkbox(
            "Times in the file are clock times of that zone, with summer time",
            value=not raw.zoned,
            disabled=raw.zoned,
            help="Else they are taken as UTC.",
        )
        grid_unit = st.text_input("Unit of the grid", "", max_chars=20, help="for instance: m") if has_grid else ""
        ahead = []
        if raw.context is not None:
            ahead = st.multiselect(
                "Context known ahead (holidays, weather forecasts)",
                [str(c) for c in raw.context.columns if c != "timestamp"],
                help="Only these may be used for the hours being forecast.",
            )
        stop = bool(report.errors)
        asked = st.form_submit_button("Use this network", type="primary", disabled=stop, icon=":material/check:")
    if stop:
        st.caption("The problems marked as errors stand in the way: apply a fix above, or mend the file and drop it again.")
    if not asked:
        return
    try:
        if zone and clock_times and not raw.zoned:
            session.keep("fixes", (*session.kept("fixes", ()), f"local-time:{zone}"))
            raw = uploads.tables(upload_id, session.kept("fixes"), *clock)
        if grid_unit:
            raw = uploads.tables(upload_id, raw.fixes, *(clock or (None, None)), grid_unit)
        series = quality.to_series(raw, quantity=quantity, unit=unit, known_ahead=tuple(ahead), timezone=zone or None)
    except InputError as error:
        show_problems(error)
        return
    session.look_at(datasets.add(series, name, list(names.values()), raw.fixes))
    frame.go("data")


def show_problems(error: InputError) -> None:
    """An input error in the place where it happened: one line per problem, each with its cure, no traceback."""
    lines = "\n".join(f"- {widgets.plain(line)}" for line in error.problems)
    st.error(f"This cannot be read yet:\n\n{lines}", icon=":material/error:")


def problem_table(report: quality.QualityReport) -> None:
    """What was found, where, why it matters and what can be done."""
    if not report.problems:
        st.success("Nothing is wrong with these readings.", icon=":material/check_circle:")
        return
    rows = [
        {
            "Finding": f"**{problem.severity}**: {_SIGNS[problem.severity]}",
            "What": widgets.plain(problem.what),
            "Where": widgets.plain(problem.where),
            "Why it matters": widgets.plain(problem.why),
            "Fix offered": quality.FIXES[problem.fix.partition(":")[0]].label if problem.fix else "",
        }
        for problem in report.problems
    ]
    table = pd.DataFrame(rows)
    empty = [column for column in ("Why it matters", "Fix offered") if not table[column].any()]
    st.table(table.drop(columns=empty), hide_index=True, border="horizontal", alt=f"{len(rows)} findings about the readings.")


def _fix_buttons(report: quality.QualityReport | None, fixes: tuple[str, ...]) -> None:
    """A button for each fix on offer, and one to undo each that was applied."""
    done = {name.partition(":")[0] for name in fixes}
    with st.container(horizontal=True):
        for name in report.fixes if report else ():
            fix = quality.FIXES[name]
            if name in done:
                continue
            if name in _ASK:
                with st.popover(fix.label, icon=":material/build:"):
                    st.markdown(fix.describe)
                    value = st.text_input(fix.parameter, key=f"parameter-{name}", max_chars=40)
                    st.button(
                        "Apply",
                        key=f"fix-{name}",
                        disabled=not value,
                        on_click=session.keep,
                        args=("fixes", (*fixes, f"{name}:{value}")),
                    )
            else:
                added = ("fixes", (*fixes, name))
                st.button(
                    fix.label, key=f"fix-{name}", help=fix.describe, icon=":material/build:", on_click=session.keep, args=added
                )
        for name in fixes:
            rest = tuple(f for f in fixes if f != name)
            st.button(
                f"Undo: {fix_label(name)}", key=f"undo-{name}", icon=":material/undo:", on_click=session.keep, args=("fixes", rest)
            )
    if fixes:
        st.caption("Applied, and recorded with the network: " + ", ".join(fix_label(name) for name in fixes))


def fix_label(fix: str) -> str:
    """What a fix does, with its parameter: "Convert metres to degrees (25832)"."""
    name, _, parameter = fix.partition(":")
    return quality.FIXES[name].label + (f" ({widgets.plain(parameter)})" if parameter else "")
