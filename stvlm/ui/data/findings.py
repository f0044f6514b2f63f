"""What the checks found: a row for each finding, with the fix on offer, tried before it is applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import available_timezones

import pandas as pd
import streamlit as st

from stvlm.charts.figures import fix_preview
from stvlm.io.read import InputError
from stvlm.quality import report as quality
from stvlm.quality.preview import Effect
from stvlm.ui.shell import inputs, layout, render, view_state
from stvlm.ui.shell.i18n import format_number, has_sentence, t, text_of

# One fix, tried: what it needs to be told, what it would change in numbers and as a picture, and the button that applies it.

NEEDED, WISHED = ("reproject", "local-time"), ("resample",)  # fixes that must, or may, be told something


def preview_fix(name: str, try_it: Callable[[str], Effect], apply: Callable[[str], None]) -> None:
    """What a fix would change.

    Args:
        name: of the fix. try_it: name with its parameter -> its effect. apply: callback of the button, given the same.
    """
    st.markdown(f"**{fix_label(name)}**: {t(f'fix.{slug(name)}.note')}")
    parameter = _parameter(name)
    if name in NEEDED and not parameter:
        st.button(t("data.close"), key="close-fix", on_click=view_state.store, args=("tried", None))
        return
    told = f"{name}:{parameter}" if parameter else name
    try:
        with st.spinner(t("data.trying")):
            effect = try_it(told)
    except InputError as error:
        show_problems(error)
    else:
        with st.container(horizontal=True):  # beside each other where there is room, else below each other
            with st.container(width=300):
                _figures(effect)
            with st.container(width=420):
                _picture(effect)
        with st.container(horizontal=True):
            st.button(t("data.apply"), key=f"apply-{name}", type="primary", icon=":material/check:", on_click=apply, args=(told,))
            st.button(t("data.close"), key="close-fix", on_click=view_state.store, args=("tried", None))


def show_problems(error: InputError) -> None:
    """An input error in the place where it happened: one line per problem, each with its cure, no traceback."""
    lines = "\n".join(f"- {inputs.plain(line)}" for line in error.problems)
    st.error(t("data.unreadable") + f"\n\n{lines}", icon=":material/error:")


def fix_label(fix: str) -> str:
    """What a fix does, with its parameter: "Convert metres to degrees (25832)"."""
    name, _, parameter = fix.partition(":")
    return t(f"fix.{slug(name)}.label") + (f" ({inputs.plain(parameter)})" if parameter else "")


def slug(name: str) -> str:
    """The name of a fix as a key of the sentences."""
    return name.partition(":")[0].replace("-", "_")


def _parameter(name: str) -> str:
    """What the fix is told, "" for nothing."""
    if name == "local-time":
        label = t("fix.local_time.ask")
        return (
            st.selectbox(label, sorted(available_timezones()), None, key="parameter-local-time", placeholder="Europe/Dublin") or ""
        )
    if name == "reproject":
        return st.text_input(t("fix.reproject.ask"), key="parameter-reproject", max_chars=40, placeholder="25832").strip()
    if name == "resample":
        return st.text_input(t("fix.resample.ask"), key="parameter-resample", max_chars=10, placeholder="60").strip()
    return ""


def _figures(effect: Effect) -> None:
    """Before and after in numbers; only what changes, and the findings."""
    rows = [(t(f"data.figure_{name}"), _text(pair[0]), _text(pair[1])) for name, pair in effect.figures.items()]
    for severity in ("error", "warning"):
        counts = [sum(p.severity == severity for p in report.problems) for report in (effect.before, effect.after)]
        rows.append((t(f"data.figure_{severity}"), *map(str, counts)))
    before, after = t("data.before"), t("data.after")
    st.table(pd.DataFrame(rows, columns=["", before, after]), hide_index=True, border="horizontal", alt=t("data.figures_alt"))
    if effect.arisen:
        arisen = [p for p in effect.after.problems if p.code in effect.arisen]
        st.warning(t("data.arisen") + " " + " ".join(inputs.plain(text_of(p.what)) for p in arisen), icon=":material/warning:")
    if not effect.figures and effect.readings is None:
        st.caption(t("data.no_effect"))


def _picture(effect: Effect) -> None:
    """Before and after where it changes first."""
    names = (t("data.before"), t("data.after"))
    if effect.places is not None:
        figure = fix_preview.places_before_after(*effect.places, names, (t("data.lon"), t("data.lat")), layout.theme())
        render.plot(figure, "effect-places", t("data.effect_places_alt"), 300)
        st.caption(t("data.effect_places_alt"))
    if effect.readings is not None:
        figure = fix_preview.readings_before_after(*effect.readings, names, ("", effect.sensor), layout.theme())
        render.plot(figure, "effect-readings", t("data.effect_readings_alt", sensor=effect.sensor), 300)
        st.caption(inputs.plain(t("data.effect_readings_alt", sensor=effect.sensor)))


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return " … ".join(format_number(v, 2) for v in value)
    return format_number(value, 0) if isinstance(value, int) else str(value)


_COLOURS = {"error": "red", "warning": "orange", "note": "gray"}
_ICONS = {"error": "error", "warning": "warning", "note": "info"}


@dataclass(frozen=True)
class FixSandbox:
    """Where fixes are tried.

    Attributes:
        fixes: those applied so far. attempt: name of one fix more -> what it would change.
    """

    fixes: tuple[str, ...]
    attempt: Callable[[str], Effect]


def findings(report: quality.QualityReport, sandbox: FixSandbox | None = None) -> None:
    """A row for each finding: what, where, why, and the fix on offer; the report as files.

    Args:
        sandbox: where fixes are tried; None where the data stays what it is.
    """
    urgent = [p for p in report.problems if p.severity != "note"]
    notes = [p for p in report.problems if p.severity == "note"]
    st.subheader(t("data.report"), anchor=False)
    if urgent:
        n_errors = sum(p.severity == "error" for p in urgent)
        st.caption(t("data.counts", errors=n_errors, warnings=len(urgent) - n_errors))
    else:
        st.success(t("data.nothing_wrong"), icon=":material/check_circle:")
    offered: set[str] = set()
    for problem in urgent:
        with st.container(border=True):
            _row(problem, sandbox, problem.fix in offered)
        offered.add(problem.fix or "")
    if notes:
        with st.expander(t("data.notes", n=len(notes)), icon=":material/info:"):
            for problem in notes:
                st.markdown(f"{_sentence(problem)} :small[{_where(problem)}]")
    with st.container(horizontal=True):
        if sandbox is not None:
            _more_fixes(offered, sandbox)
        _downloads(report)
    if sandbox is not None:
        _tried(None, sandbox)
        undo_buttons(sandbox.fixes)


def _row(problem: quality.Problem, sandbox: FixSandbox | None, is_offered: bool) -> None:
    """One finding; a fix that an earlier row offers already is named, not offered again."""
    st.markdown(_sentence(problem))
    st.caption(_where(problem))
    if not problem.fix:
        return
    if sandbox is None or is_offered:
        st.caption(t("data.fix_offered", fix=fix_label(problem.fix)))
        return
    tried = ("tried", (problem.code, problem.fix))
    note = t(f"fix.{slug(problem.fix)}.note")
    key = f"fix-{problem.fix}"
    st.button(fix_label(problem.fix), key=key, icon=":material/build:", help=note, on_click=view_state.store, args=tried)
    _tried(problem.code, sandbox)


def _sentence(problem: quality.Problem) -> str:
    severity = t(f"data.severity_{problem.severity}")
    badge = f":{_COLOURS[problem.severity]}-badge[:material/{_ICONS[problem.severity]}: {severity}]"
    code = slug(problem.code)
    title = f"**{t(f'finding.{code}.title')}** · " if has_sentence(f"finding.{code}.title") else ""
    return f"{badge} {title}{inputs.plain(text_of(problem.what))}"


def _where(problem: quality.Problem) -> str:
    """Place and reason."""
    return " · ".join(inputs.plain(text_of(part)) for part in (problem.where, problem.why) if part)


def _tried(code: str | None, sandbox: FixSandbox) -> None:
    """The fix that is being tried in the row of this finding; None: one that no finding offers."""
    tried = view_state.load("tried")
    if tried and tried[0] == code:
        with st.container(border=True):
            preview_fix(tried[1], sandbox.attempt, lambda name: _apply(name, sandbox.fixes))


def _apply(name: str, fixes: tuple[str, ...]) -> None:
    """Callback: a fix that was applied before, perhaps with another parameter, is replaced."""
    others = (fix for fix in fixes if fix.partition(":")[0] != name.partition(":")[0])
    view_state.store("fixes", (*others, name))
    view_state.store("tried", None)


def _more_fixes(offered: set[str], sandbox: FixSandbox) -> None:
    """Fixes that no finding offers: somebody may know better."""
    done = {name.partition(":")[0] for name in sandbox.fixes}
    rest = [name for name in quality.FIXES if name not in offered | done]
    with st.popover(t("data.more_fixes"), icon=":material/build:"):
        st.caption(t("data.more_fixes_note"))
        for name in rest:
            more = ("tried", (None, name))
            note = t(f"fix.{slug(name)}.note")
            st.button(fix_label(name), key=f"more-{name}", help=note, type="tertiary", on_click=view_state.store, args=more)


def _downloads(report: quality.QualityReport) -> None:
    files = {
        "findings": ("findings.csv", report.findings_csv, "text/csv"),
        "sensors": ("sensors_report.csv", report.sensors_csv, "text/csv"),
        "json": ("quality_report.json", report.to_json, "application/json"),
    }
    with st.popover(t("data.download"), icon=":material/download:"):
        for what, (name, make, kind) in files.items():
            st.download_button(t(f"data.download_{what}"), make, name, kind, on_click="ignore", key=f"get-{what}", type="tertiary")


def undo_buttons(fixes: tuple[str, ...]) -> None:
    """The fixes applied, each with a button that takes it back."""
    if not fixes:
        return
    st.caption(t("data.applied"))
    with st.container(horizontal=True):
        for name in fixes:
            rest = ("fixes", tuple(f for f in fixes if f != name))
            label = t("data.undo", fix=fix_label(name))
            st.button(label, key=f"undo-{name}", icon=":material/undo:", on_click=view_state.store, args=rest)
