"""The last step of an upload: the words that files lack, and the button that makes it the network in view."""

from __future__ import annotations

from zoneinfo import available_timezones

import streamlit as st

from stvlm.data import quality
from stvlm.data.formats import InputError, RawTables
from stvlm.ui import assess, datasets, frame, session, uploads
from stvlm.ui.words import say


def use(upload: str, raw: RawTables, report: quality.QualityReport, clock: tuple, columns: uploads.Columns) -> None:
    """Ask for the words that the files lack, and make the upload the network in view.

    Args:
        upload: its id. raw: its tables, mended. report: on these. clock: (start, minutes) of readings that bring none.
        columns: as somebody said.
    """
    names, stop = uploads.names(upload), bool(report.errors)
    with st.form("words"):
        said = _words(raw, names["series"].rsplit(".", 1)[0][:80])
        asked = st.form_submit_button(say("data.use"), type="primary", disabled=stop, icon=":material/check:")
    if stop:
        st.caption(say("data.use_stopped"))
    if not asked:
        return
    fixes = session.kept("fixes", ())
    try:
        if said["zone"] and said["clock_times"] and not raw.zoned:
            fixes = (*fixes, f"local-time:{said['zone']}")
            session.keep("fixes", fixes)
        raw = uploads.tables(upload, fixes, *clock, columns, said["grid_unit"])
        series = quality.to_series(
            raw, quantity=said["quantity"], unit=said["unit"], known_ahead=tuple(said["ahead"]), timezone=said["zone"] or None
        )
    except InputError as error:
        assess.show_problems(error)
        return
    session.look_at(datasets.add(series, said["name"], list(names.values()), raw.fixes, upload, columns))
    frame.go("data")


def _words(raw: RawTables, name: str) -> dict[str, object]:
    """The fields of the form: what the files do not say."""
    a, b, c, d = st.columns(4)
    zones = ["", *sorted(available_timezones())]
    said: dict[str, object] = {
        "name": a.text_input(say("data.name"), name, max_chars=80),
        "quantity": b.text_input(say("data.quantity"), "reading", max_chars=60, help=say("data.quantity_help")),
        "unit": c.text_input(say("data.unit"), "", max_chars=20, help=say("data.unit_help")),
        "zone": d.selectbox(
            say("data.zone"),
            zones,
            zones.index(raw.timezone) if raw.timezone in zones else 0,
            format_func=lambda z: z or say("data.zone_of_file"),
        ),
        "clock_times": st.checkbox(
            say("data.clock_times"), value=not raw.zoned, disabled=raw.zoned, help=say("data.clock_times_help")
        ),
        "grid_unit": "",
        "ahead": [],
    }
    if raw.base_layer is not None and raw.base_layer.grid is not None:
        said["grid_unit"] = st.text_input(say("data.grid_unit"), "", max_chars=20, help=say("data.grid_unit_help"))
    if raw.context is not None:
        columns = [str(c) for c in raw.context.columns if c != "timestamp"]
        said["ahead"] = st.multiselect(say("data.ahead"), columns, help=say("data.ahead_help"))
    return said
