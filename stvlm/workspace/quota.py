"""Room in the workspace for uploads and networks: how much is kept, what may go by itself, and what to say when it is full."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stvlm.io.source import InputError
from stvlm.runtime.logs import note
from stvlm.runtime.settings import settings
from stvlm.workspace.paths import WorkspaceError, changing, size_of, workspace

UNUSED_SECONDS = 3600.0  # after which an upload of which no network was made may go; whoever still looks at it touches it
PATIENCE_SECONDS = 120.0  # a large network is written in less


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Write "uploads", "networks" or "templates" into the workspace, one session at a time.

    Raises:
        InputError: the workspace cannot be written, or others write for too long; the text says what to do.
    """
    try:
        with changing(what, PATIENCE_SECONDS):
            yield
    except WorkspaceError as error:
        note("workspace cannot be written")
        raise InputError(str(error)) from error


def for_upload(coming_bytes: int) -> None:
    """Make room for one upload more: uploads of which no network was made, and that nobody looked at lately, go, the oldest first.

    Files that a network came from stay, and so does every network. Only to be asked while `writing`.

    Raises:
        InputError: there is no room; the text says how much is kept and what to do.
    """
    _sweep()
    uploads, limits = _folders("uploads"), settings()
    sizes = {folder: size_of(folder) for folder in uploads}
    free = limits.max_upload_gb * 1e9 - sum(sizes.values()) - size_of(workspace() / "datasets") - coming_bytes
    for folder in _idle(uploads):
        if len(sizes) < limits.max_uploads and free >= 0:
            break
        free += sizes.pop(folder)
        _remove(folder)
    if len(sizes) >= limits.max_uploads:
        _refuse(f"{len(sizes)} uploads are kept, and at most {limits.max_uploads} may be", "STVLM_MAX_UPLOADS")
    if free < 0:
        _refuse(f"this upload is {-free / 1e9:.3g} GB more than may still be kept", "STVLM_MAX_UPLOAD_GB")


def for_network() -> None:
    """Make sure of room for one network more.

    Raises:
        InputError: there is none; the text says what to do.
    """
    kept, limits = len(_folders("datasets")), settings()
    if kept >= limits.max_networks:
        _refuse(f"{kept} networks are kept, and at most {limits.max_networks} may be", "STVLM_MAX_NETWORKS")
    if size_of(workspace() / "datasets") + size_of(workspace() / "uploads") >= limits.max_upload_gb * 1e9:
        _refuse("uploads and networks take all that may be kept", "STVLM_MAX_UPLOAD_GB")


def _refuse(why: str, name: str) -> None:
    note("no room in the workspace")
    raise InputError(
        f"There is no room for it on this server: {why}. Go on with a network that is here already, or ask who runs the server "
        f"to delete some or to raise {name}."
    )


def _folders(name: str) -> list[Path]:
    root = workspace() / name
    return [place for place in root.iterdir() if place.is_dir() and not place.name.startswith(".")] if root.is_dir() else []


def _idle(uploads: list[Path]) -> list[Path]:
    """Uploads that may go, the longest untouched first."""
    needed, now = _needed(), time.time()
    ages = {folder: now - folder.stat().st_mtime for folder in uploads if folder.name not in needed}
    return sorted((folder for folder, age in ages.items() if age > UNUSED_SECONDS), key=lambda folder: -ages[folder])


def _needed() -> set[str]:
    """Ids of the uploads that a network came from; with it one goes back to the files."""
    found = set()
    for card in (workspace() / "datasets").glob("*.json"):
        try:
            found.add(str(json.loads(card.read_text("utf-8")).get("upload", "")))
        except (ValueError, AttributeError, RecursionError, OSError):  # harmed by hand: it names no upload
            continue
    return found


def _remove(folder: Path) -> None:
    gone = folder.with_name(f".gone-{folder.name}")
    folder.rename(gone)  # in one step: no half of an upload is ever read
    shutil.rmtree(gone, ignore_errors=True)
    note("upload removed", upload=folder.name)


def _sweep() -> None:
    """Take away what servers that were killed were just writing or removing."""
    for name in ("uploads", "datasets"):
        for place in (workspace() / name).glob(".*"):
            with suppress(FileNotFoundError):  # another session was just writing it, and is done
                if place.is_dir() and time.time() - place.stat().st_mtime > UNUSED_SECONDS:
                    shutil.rmtree(place, ignore_errors=True)
