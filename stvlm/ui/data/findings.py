"""What the checks found: a row for each finding, with the fix on offer, tried before it is applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from stvlm.data import quality
from stvlm.data.effects import Effect
from stvlm.ui import session, trying, widgets
from stvlm.ui.trying import fix_label, show_problems, slug
from stvlm.ui.words import is_said, say

__all__ = ["Bench", "findings", "fix_label", "show_problems", "undo_buttons"]

_COLOURS = {"error": "red", "warning": "orange", "note": "gray"}
_ICONS = {"error": "error", "warning": "warning", "note": "info"}


@dataclass(frozen=True)
class Bench:
    """Where fixes are tried.

    Attributes:
        fixes: those applied so far. attempt: name of one fix more -> what it would change.
    """

    fixes: tuple[str, ...]
    attempt: Callable[[str], Effect]


def findings(report: quality.QualityReport, bench: Bench | None = None) -> None:
    """A row for each finding: what, where, why, and the fix on offer; the report as files.

    Args:
        bench: where fixes are tried; None where the data stays what it is.
    """
    urgent = [p for p in report.problems if p.severity != "note"]
    notes = [p for p in report.problems if p.severity == "note"]
    st.subheader(say("data.report"), anchor=False)
    if urgent:
        n_errors = sum(p.severity == "error" for p in urgent)
        st.caption(say("data.counts", errors=n_errors, warnings=len(urgent) - n_errors))
    else:
        st.success(say("data.nothing_wrong"), icon=":material/check_circle:")
    offered: set[str] = set()
    for problem in urgent:
        with st.container(border=True):
            _row(problem, bench, problem.fix in offered)
        offered.add(problem.fix or "")
    if notes:
        with st.expander(say("data.notes", n=len(notes)), icon=":material/info:"):
            for problem in notes:
                st.markdown(f"{_sentence(problem)} :small[{_where(problem)}]")
    with st.container(horizontal=True):
        if bench is not None:
            _more_fixes(offered, bench)
        _downloads(report)
    if bench is not None:
        _tried(None, bench)
        undo_buttons(bench.fixes)


def _row(problem: quality.Problem, bench: Bench | None, is_offered: bool) -> None:
    """One finding; a fix that an earlier row offers already is named, not offered again."""
    st.markdown(_sentence(problem))
    st.caption(_where(problem))
    if not problem.fix:
        return
    if bench is None or is_offered:
        st.caption(say("data.fix_offered", fix=fix_label(problem.fix)))
        return
    tried = ("tried", (problem.code, problem.fix))
    note = say(f"fix.{slug(problem.fix)}.note")
    key = f"fix-{problem.fix}"
    st.button(fix_label(problem.fix), key=key, icon=":material/build:", help=note, on_click=session.keep, args=tried)
    _tried(problem.code, bench)


def _sentence(problem: quality.Problem) -> str:
    severity = say(f"data.severity_{problem.severity}")
    badge = f":{_COLOURS[problem.severity]}-badge[:material/{_ICONS[problem.severity]}: {severity}]"
    code = slug(problem.code)
    title = f"**{say(f'finding.{code}.title')}** · " if is_said(f"finding.{code}.title") else ""
    return f"{badge} {title}{widgets.plain(problem.what)}"


def _where(problem: quality.Problem) -> str:
    """Place and reason; the reason in the language in view where it is said there."""
    code = slug(problem.code)
    why = say(f"finding.{code}.why") if is_said(f"finding.{code}.why") else problem.why
    return " · ".join(widgets.plain(part) for part in (problem.where, why) if part)


def _tried(code: str | None, bench: Bench) -> None:
    """The fix that is being tried in the row of this finding; None: one that no finding offers."""
    tried = session.kept("tried")
    if tried and tried[0] == code:
        with st.container(border=True):
            trying.attempt(tried[1], bench.attempt, lambda name: _apply(name, bench.fixes))


def _apply(name: str, fixes: tuple[str, ...]) -> None:
    session.keep("fixes", (*fixes, name))
    session.keep("tried", None)


def _more_fixes(offered: set[str], bench: Bench) -> None:
    """Fixes that no finding offers: somebody may know better."""
    done = {name.partition(":")[0] for name in bench.fixes}
    rest = [name for name in quality.FIXES if name not in offered | done]
    with st.popover(say("data.more_fixes"), icon=":material/build:"):
        st.caption(say("data.more_fixes_note"))
        for name in rest:
            more = ("tried", (None, name))
            note = say(f"fix.{slug(name)}.note")
            st.button(fix_label(name), key=f"more-{name}", help=note, type="tertiary", on_click=session.keep, args=more)


def _downloads(report: quality.QualityReport) -> None:
    files = {
        "findings": ("findings.csv", report.findings_csv, "text/csv"),
        "sensors": ("sensors_report.csv", report.sensors_csv, "text/csv"),
        "json": ("quality_report.json", report.to_json, "application/json"),
    }
    with st.popover(say("data.download"), icon=":material/download:"):
        for what, (name, make, kind) in files.items():
            st.download_button(
                say(f"data.download_{what}"), make, name, kind, on_click="ignore", key=f"get-{what}", type="tertiary"
            )


def undo_buttons(fixes: tuple[str, ...]) -> None:
    """The fixes applied, each with a button that takes it back."""
    if not fixes:
        return
    st.caption(say("data.applied"))
    with st.container(horizontal=True):
        for name in fixes:
            rest = ("fixes", tuple(f for f in fixes if f != name))
            label = say("data.undo", fix=fix_label(name))
            st.button(label, key=f"undo-{name}", icon=":material/undo:", on_click=session.keep, args=rest)
