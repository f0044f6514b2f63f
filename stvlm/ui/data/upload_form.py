"""Files of one's own on the Data page: dropped or lying in the workspace, the part of each, and which column means what."""

from __future__ import annotations

from collections.abc import Container
from functools import partial
from typing import Any
from zoneinfo import available_timezones

import streamlit as st

from stvlm.io.columns import Header
from stvlm.io.detect import ROLES, guess_role
from stvlm.io.read import InputError, RawTables
from stvlm.quality import report as quality
from stvlm.ui.data import findings, sensor_stats
from stvlm.ui.services import networks, uploads
from stvlm.ui.shell import inputs, view_state
from stvlm.ui.shell.callbacks import Several, Text, accept
from stvlm.ui.shell.i18n import t

# The last step of an upload: the words that files lack, and the button that makes it the network in view.


def save_form(upload: str, raw: RawTables, report: quality.QualityReport, clock: tuple, columns: uploads.Columns) -> None:
    """Ask for the words that the files lack, and make the upload the network in view.

    Args:
        upload: its id. raw: its tables, mended. report: on these. clock: (start, minutes) of readings that bring none.
        columns: as somebody said.
    """
    stop = bool(report.errors)
    with st.form("words"):
        fields = _words(upload, raw)
        st.form_submit_button(
            t("data.use"),
            type="primary",
            disabled=stop,
            icon=":material/check:",
            # a callback runs whole; the page itself may be cut short by the next message of the browser
            on_click=accept(
                dict(fields.values()),
                lambda *said: _put_in_view(upload, raw, clock, columns, dict(zip(fields, said, strict=True))),
            ),
        )
    if stop:
        st.caption(t("data.use_stopped"))
    refused = view_state.load("refused")
    if refused is not None:
        view_state.store("refused", None)
        findings.show_problems(refused)


def _put_in_view(upload: str, raw: RawTables, clock: tuple, columns: uploads.Columns, said: dict[str, Any]) -> None:
    """The upload, with what was said in the form, becomes the network in view; what is against it is kept to be shown."""
    fixes = view_state.load("fixes", ())
    try:
        if said["zone"] and said["clock_times"] and not raw.zoned:
            fixes = (*fixes, f"local-time:{said['zone']}")
            view_state.store("fixes", fixes)
        raw = uploads.tables(upload, fixes, *clock, columns, said.get("grid_unit", ""))
        ahead, zone = tuple(said.get("ahead", ())), said["zone"] or None
        series = quality.to_series(raw, quantity=said["quantity"], unit=said["unit"], known_ahead=ahead, timezone=zone)
        data = networks.add(series, said["name"], list(uploads.names(upload).values()), raw.fixes, upload, columns)
    except InputError as error:
        view_state.store("refused", error)
        return
    view_state.open_network(data)


def _words(upload: str, raw: RawTables) -> dict[str, tuple[str, Container]]:
    """The fields of the form: what the files do not say. Returns the key of each that stands there, and what it offers."""
    keys = {word: f"word-{word}-{upload}" for word in ("name", "quantity", "unit", "grid_unit", "ahead")}
    keys |= {word: f"word-{word}-{upload}-{raw.timezone}" for word in ("zone", "clock_times")}  # a fix may tell the zone
    a, b, c, d = st.columns(4)
    zones = ["", *sorted(available_timezones())]
    offered: dict[str, Container] = {"name": Text(80), "quantity": Text(60), "unit": Text(20), "zone": zones}
    offered["clock_times"] = (False, True)
    a.text_input(t("data.name"), uploads.names(upload)["series"].rsplit(".", 1)[0][:80], max_chars=80, key=keys["name"])
    b.text_input(t("data.quantity"), "reading", max_chars=60, help=t("data.quantity_help"), key=keys["quantity"])
    c.text_input(t("data.unit"), "", max_chars=20, help=t("data.unit_help"), key=keys["unit"])
    d.selectbox(
        t("data.zone"),
        zones,
        zones.index(raw.timezone) if raw.timezone in zones else 0,
        format_func=lambda z: z or t("data.zone_of_file"),
        key=keys["zone"],
    )
    st.checkbox(
        t("data.clock_times"),
        value=not raw.zoned,
        disabled=raw.zoned,
        help=t("data.clock_times_help"),
        key=keys["clock_times"],
    )
    if raw.base_layer is not None and raw.base_layer.grid is not None:
        st.text_input(t("data.grid_unit"), "", max_chars=20, help=t("data.grid_unit_help"), key=keys["grid_unit"])
        offered["grid_unit"] = Text(20)
    if raw.context is not None:
        columns = [str(c) for c in raw.context.columns if c != "timestamp"]
        st.multiselect(t("data.ahead"), columns, help=t("data.ahead_help"), key=keys["ahead"])
        offered["ahead"] = Several(columns)
    return {word: (keys[word], values) for word, values in offered.items()}


def render() -> None:
    """Take files, keep them, say what is wrong with them, and make them the network in view."""
    st.markdown(t("data.drop"))
    _examples()
    at_hand = uploads.at_hand()
    files = st.file_uploader(t("data.files"), type=uploads.TYPES, accept_multiple_files=True, key="files")
    folder = None
    if at_hand and not files:
        folder = st.selectbox(
            t("data.folder"), at_hand, None, key="folder", placeholder=t("data.folder_none"), help=t("data.folder_help")
        )
    try:
        if files:
            _hold(uploads.hold, _by_name(files))
        elif folder:
            _hold(uploads.hold_folder, {path: (path, uploads.head(path)) for path in uploads.files_of(folder)})
    except InputError as error:
        findings.show_problems(error)
        return
    upload = view_state.load("upload", "")
    if uploads.is_held(upload):
        _assess(upload)


def _by_name(files: list) -> dict[str, tuple[str, bytes]]:
    """Name -> (identity, content) of dropped files; a second one of a name is told apart."""
    found: dict[str, tuple[str, bytes]] = {}
    for file in files:
        again = sum(name == file.name or name.endswith(f") {file.name}") for name in found)
        found[f"({again + 1}) {file.name}" if again else file.name] = (file.file_id, file.getvalue())
    return found


def reopen(upload: str, fixes: tuple[str, ...], columns: uploads.Columns) -> None:
    """Go back to the files of a network in view, with the fixes and columns that made it."""
    for name, value in (("upload", upload), ("fixes", fixes), ("columns", columns), ("tried", None)):
        view_state.store(name, value)
    view_state.set_param("source", "own")


def _examples() -> None:
    """Files to begin with: each kind that is read, small and right."""
    with st.popover(t("data.examples"), icon=":material/download:"):
        st.caption(t("data.examples_note"))
        for what, (name, content, kind) in uploads.EXAMPLES.items():
            st.download_button(
                t(f"data.example_{what}"), content, name, kind, on_click="ignore", key=f"example-{what}", type="tertiary"
            )


def _hold(keep: object, files: dict[str, tuple[str, bytes]]) -> None:
    """Ask for the part of each file; once there are sensors and readings, keep them and begin anew.

    Args:
        keep: what makes an upload of role -> file. files: name -> (key of its widget, content or its beginning).
    """
    options = ("", *ROLES)
    given: dict[str, list[str]] = {}
    for name, (identity, content) in files.items():
        left, right = st.columns([3, 2], vertical_alignment="center")
        left.markdown(f":material/draft: {inputs.plain(name.rsplit('/', 1)[-1])}")
        role = right.selectbox(
            t("data.part", name=inputs.plain(name)),
            options,
            options.index(_guess(name, content)),
            format_func=lambda r: t(f"data.role_{r}") if r else t("data.role_none"),
            key=f"role-{identity}",
            label_visibility="collapsed",
        )
        given.setdefault(role, []).append(name)
    twice = [role for role, names in given.items() if role and len(names) > 1]
    missing = [role for role in ("sensors", "series") if role not in given]
    if twice:
        names = ", ".join(inputs.plain(name) for name in given[twice[0]])
        st.warning(t("data.twice", role=t(f"data.role_{twice[0]}"), names=names), icon=":material/warning:")
    if missing:
        st.warning(
            t("data.missing", roles=t("data.and").join(t(f"data.role_{role}") for role in missing)), icon=":material/warning:"
        )
    if twice or missing:
        view_state.store("upload", "")
        return
    parts = {role: names[0] for role, names in given.items() if role}
    held = keep(parts if keep is uploads.hold_folder else {role: (name, files[name][1]) for role, name in parts.items()})
    if held != view_state.load("upload"):
        for name, value in (("upload", held), ("fixes", ()), ("columns", ()), ("tried", None)):
            view_state.store(name, value)


def _guess(name: str, content: bytes) -> str:
    is_note = name.lower().rsplit("/", 1)[-1].startswith(("readme", "licence", "license"))
    return "" if is_note else guess_role(name.rsplit("/", 1)[-1], content)


def _assess(upload: str) -> None:
    """Columns, report, fixes, words and the button that makes it the network in view."""
    clock = _clock(upload) or (None, None)
    columns = view_state.load("columns", ())
    try:
        uploads.tables(upload, (), *clock, columns)
        broken = None
    except InputError as error:
        broken = error
    _columns(upload, columns, broken is not None)
    if broken is not None:
        findings.show_problems(broken)
        return
    fixes = view_state.load("fixes", ())
    try:
        mended, report = uploads.tables(upload, fixes, *clock, columns), uploads.report(upload, fixes, *clock, columns)
    except InputError as error:
        findings.show_problems(error)
        findings.undo_buttons(fixes)
        return
    findings.findings(report, findings.FixSandbox(fixes, lambda name: uploads.effect(upload, fixes, name, *clock, columns)))
    sensor_stats.before_use(mended, report)
    save_form(upload, mended, report, clock, columns)


def _clock(upload: str) -> tuple[str, float] | tuple[()]:
    """Ask for the clock of readings that bring none (.npz): time of the first reading, minutes between two."""
    if not uploads.names(upload)["series"].lower().endswith(".npz"):
        return ()
    left, right = st.columns(2)
    start = left.text_input(t("data.npz_start"), "2018-01-01 00:00", key="npz-start", max_chars=30)
    return start, right.number_input(t("data.npz_step"), 0.1, 525600.0, 5.0, key="npz-step")


def _columns(upload: str, columns: uploads.Columns, is_broken: bool) -> None:
    """Which column means what, to be corrected where it was taken for something else."""
    headers: dict[str, Header] = {}
    for role in ("sensors", "series", "context"):
        try:
            header = uploads.header(upload, role, columns)
        except InputError:
            header = uploads.header(upload, role, ()) if is_broken and columns else None
        if header is not None:
            headers[role] = header
    with st.expander(t("data.columns"), expanded=is_broken, icon=":material/view_column:"):
        st.caption(t("data.columns_note"))
        for role, header in headers.items():
            _columns_of(upload, role, header)
        if columns:
            st.button(t("data.columns_back"), icon=":material/undo:", on_click=view_state.store, args=("columns", ()))


def _columns_of(upload: str, role: str, header: Header) -> None:
    name, named = uploads.names(upload)[role], [column for column in header.columns if column]
    shape = t(f"data.shape_{header.shape}") if header.shape else ""
    st.markdown(f"**{inputs.plain(name)}** ({t(f'data.role_{role}')}{', ' * bool(shape)}{shape})")
    for place, (word, column) in zip(st.columns(3), header.found.items(), strict=False):
        options = ["", *named]
        key = view_state.bind(f"column-{role}-{word}", column)
        place.selectbox(
            t(f"data.word_{word}"),
            options,
            key=key,
            format_func=lambda c: c or t("data.no_column"),
            on_change=accept({key: options}, partial(_said, role, word)),
        )


def _said(role: str, word: str, column: str) -> None:
    """A column was said to be something."""
    rest = tuple(entry for entry in view_state.load("columns", ()) if entry[:2] != (role, word))
    view_state.store("columns", (*rest, (role, word, column)))
    view_state.store("fixes", ())
