"""Files of one's own on the Data page: dropped or lying in the workspace, the part of each, and which column means what."""

from __future__ import annotations

import streamlit as st

from stvlm.data.columns import Header
from stvlm.data.formats import InputError
from stvlm.ui import assess, folders, measures, session, uploads, using, widgets
from stvlm.ui.words import say


def take() -> None:
    """Take files, keep them, say what is wrong with them, and make them the network in view."""
    st.markdown(say("data.drop"))
    _examples()
    at_hand = folders.at_hand()
    files = st.file_uploader(say("data.files"), type=uploads.TYPES, accept_multiple_files=True, key="files")
    folder = None
    if at_hand and not files:
        folder = st.selectbox(
            say("data.folder"), at_hand, None, key="folder", placeholder=say("data.folder_none"), help=say("data.folder_help")
        )
    try:
        if files:
            _hold(uploads.hold, _by_name(files))
        elif folder:
            _hold(uploads.hold_folder, {path: (path, folders.head(path)) for path in folders.files_of(folder)})
    except InputError as error:
        assess.show_problems(error)
        return
    upload = session.kept("upload", "")
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
        session.keep(name, value)
    session.put("source", "own")


def _examples() -> None:
    """Files to begin with: each kind that is read, small and right."""
    with st.popover(say("data.examples"), icon=":material/download:"):
        st.caption(say("data.examples_note"))
        for what, (name, content, kind) in uploads.EXAMPLES.items():
            st.download_button(
                say(f"data.example_{what}"), content, name, kind, on_click="ignore", key=f"example-{what}", type="tertiary"
            )


def _hold(keep: object, files: dict[str, tuple[str, bytes]]) -> None:
    """Ask for the part of each file; once there are sensors and readings, keep them and begin anew.

    Args:
        keep: what makes an upload of role -> file. files: name -> (key of its widget, content or its beginning).
    """
    options = ("", *uploads.ROLES)
    given: dict[str, list[str]] = {}
    for name, (identity, content) in files.items():
        left, right = st.columns([3, 2], vertical_alignment="center")
        left.markdown(f":material/draft: {widgets.plain(name.rsplit('/', 1)[-1])}")
        role = right.selectbox(
            say("data.part", name=widgets.plain(name)),
            options,
            options.index(_guess(name, content)),
            format_func=lambda r: say(f"data.role_{r}") if r else say("data.role_none"),
            key=f"role-{identity}",
            label_visibility="collapsed",
        )
        given.setdefault(role, []).append(name)
    twice = [role for role, names in given.items() if role and len(names) > 1]
    missing = [role for role in ("sensors", "series") if role not in given]
    if twice:
        names = ", ".join(widgets.plain(name) for name in given[twice[0]])
        st.warning(say("data.twice", role=say(f"data.role_{twice[0]}"), names=names), icon=":material/warning:")
    if missing:
        st.warning(
            say("data.missing", roles=say("data.and").join(say(f"data.role_{role}") for role in missing)), icon=":material/warning:"
        )
    if twice or missing:
        session.keep("upload", "")
        return
    parts = {role: names[0] for role, names in given.items() if role}
    held = keep(parts if keep is uploads.hold_folder else {role: (name, files[name][1]) for role, name in parts.items()})
    if held != session.kept("upload"):
        for name, value in (("upload", held), ("fixes", ()), ("columns", ()), ("tried", None)):
            session.keep(name, value)


def _guess(name: str, content: bytes) -> str:
    is_note = name.lower().rsplit("/", 1)[-1].startswith(("readme", "licence", "license"))
    return "" if is_note else uploads.guess_role(name.rsplit("/", 1)[-1], content)


def _assess(upload: str) -> None:
    """Columns, report, fixes, words and the button that makes it the network in view."""
    clock = _clock(upload) or (None, None)
    columns = session.kept("columns", ())
    try:
        uploads.tables(upload, (), *clock, columns)
        broken = None
    except InputError as error:
        broken = error
    _columns(upload, columns, broken is not None)
    if broken is not None:
        assess.show_problems(broken)
        return
    fixes = session.kept("fixes", ())
    try:
        mended, report = uploads.tables(upload, fixes, *clock, columns), uploads.report(upload, fixes, *clock, columns)
    except InputError as error:
        assess.show_problems(error)
        assess.undo_buttons(fixes)
        return
    assess.findings(report, assess.Bench(fixes, lambda name: uploads.effect(upload, fixes, name, *clock, columns)))
    measures.before_use(mended, report)
    using.use(upload, mended, report, clock, columns)


def _clock(upload: str) -> tuple[str, float] | tuple[()]:
    """Ask for the clock of readings that bring none (.npz): time of the first reading, minutes between two."""
    if not uploads.names(upload)["series"].lower().endswith(".npz"):
        return ()
    left, right = st.columns(2)
    start = left.text_input(say("data.npz_start"), "2018-01-01 00:00", key="npz-start", max_chars=30)
    return start, right.number_input(say("data.npz_step"), 0.1, 525600.0, 5.0, key="npz-step")


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
    with st.expander(say("data.columns"), expanded=is_broken, icon=":material/view_column:"):
        st.caption(say("data.columns_note"))
        for role, header in headers.items():
            _columns_of(upload, role, header)
        if columns:
            st.button(say("data.columns_back"), icon=":material/undo:", on_click=session.keep, args=("columns", ()))


def _columns_of(upload: str, role: str, header: Header) -> None:
    name, named = uploads.names(upload)[role], [column for column in header.columns if column]
    shape = say(f"data.shape_{header.shape}") if header.shape else ""
    st.markdown(f"**{widgets.plain(name)}** ({say(f'data.role_{role}')}{', ' * bool(shape)}{shape})")
    for place, (word, column) in zip(st.columns(3), header.found.items(), strict=False):
        options = ["", *named]
        key = session.tied(f"column-{role}-{word}", column)
        place.selectbox(
            say(f"data.word_{word}"),
            options,
            key=key,
            format_func=lambda c: c or say("data.no_column"),
            on_change=_said,
            args=(role, word, key),
        )


def _said(role: str, word: str, key: str) -> None:
    """Callback: a column was said to be something."""
    rest = tuple(entry for entry in session.kept("columns", ()) if entry[:2] != (role, word))
    session.keep("columns", (*rest, (role, word, st.session_state[key])))
    session.keep("fixes", ())
