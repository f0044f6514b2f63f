"""The last step of an upload: the words that files lack, and the button that makes it the network in view."""

from __future__ import annotations

from zoneinfo import available_timezones

import streamlit as st

from stvlm.data import quality
from stvlm.data.formats import InputError, RawTables
from stvlm.ui import assess, datasets, session, uploads
from stvlm.ui.words import say


def use(upload: str, raw: RawTables, report: quality.QualityReport, clock: tuple, columns: uploads.Columns) -> None:
    """Ask for the words that the files lack, and make the upload the network in view.

    Args:
        upload: its id. raw: its tables, mended. report: on these. clock: (start, minutes) of readings that bring none.
        columns: as somebody said.
    """
    stop = bool(report.errors)
    with st.form("words"):
        keys = _words(upload, raw)
        st.form_submit_button(
            say("data.use"),
            type="primary",
            disabled=stop,
            icon=":material/check:",
            on_click=_put_in_view,  # a callback runs whole; the page itself may be cut short by the next message of the browser
            args=(upload, raw, clock, columns, keys),
        )
    if stop:
        st.caption(say("data.use_stopped"))
    refused = session.kept("refused")
    if refused is not None:
        session.keep("refused", None)
        assess.show_problems(refused)


def _put_in_view(upload: str, raw: RawTables, clock: tuple, columns: uploads.Columns, keys: dict[str, str]) -> None:
    """Callback: the upload, with the words of the form, becomes the network in view; what is against it is kept to be shown."""
    said = {word: st.session_state.get(key, "") for word, key in keys.items()}
    fixes = session.kept("fixes", ())
    try:
        if said["zone"] and said["clock_times"] and not raw.zoned:
            fixes = (*fixes, f"local-time:{said['zone']}")
            session.keep("fixes", fixes)
        raw = uploads.tables(upload, fixes, *clock, columns, said["grid_unit"])
        ahead, zone = tuple(said["ahead"]), said["zone"] or None
        series = quality.to_series(raw, quantity=said["quantity"], unit=said["unit"], known_ahead=ahead, timezone=zone)
        data = datasets.add(series, said["name"], list(uploads.names(upload).values()), raw.fixes, upload, columns)
    except InputError as error:
        session.keep("refused", error)
        return
    session.look_at(data)


def _words(upload: str, raw: RawTables) -> dict[str, str]:
    """The fields of the form: what the files do not say. Returns the key of each, for those that stand there."""
    keys = {word: f"word-{word}-{upload}" for word in ("name", "quantity", "unit", "grid_unit", "ahead")}
    keys |= {word: f"word-{word}-{upload}-{raw.timezone}" for word in ("zone", "clock_times")}  # a fix may tell the zone
    a, b, c, d = st.columns(4)
    zones = ["", *sorted(available_timezones())]
    a.text_input(say("data.name"), uploads.names(upload)["series"].rsplit(".", 1)[0][:80], max_chars=80, key=keys["name"])
    b.text_input(say("data.quantity"), "reading", max_chars=60, help=say("data.quantity_help"), key=keys["quantity"])
    c.text_input(say("data.unit"), "", max_chars=20, help=say("data.unit_help"), key=keys["unit"])
    d.selectbox(
        say("data.zone"),
        zones,
        zones.index(raw.timezone) if raw.timezone in zones else 0,
        format_func=lambda z: z or say("data.zone_of_file"),
        key=keys["zone"],
    )
    st.checkbox(
        say("data.clock_times"),
        value=not raw.zoned,
        disabled=raw.zoned,
        help=say("data.clock_times_help"),
        key=keys["clock_times"],
    )
    if raw.base_layer is not None and raw.base_layer.grid is not None:
        st.text_input(say("data.grid_unit"), "", max_chars=20, help=say("data.grid_unit_help"), key=keys["grid_unit"])
    if raw.context is not None:
        columns = [str(c) for c in raw.context.columns if c != "timestamp"]
        st.multiselect(say("data.ahead"), columns, help=say("data.ahead_help"), key=keys["ahead"])
    return keys
