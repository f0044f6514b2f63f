"""Folders that are written whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new folder and only then put it in the place of `folder`: whole or not at all.

    Raises:
        OSError: it cannot be written; what was there before is there still. Else whatever `write` raises.
    """
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    old = part.with_suffix(".old")
    try:
        part.mkdir(parents=True)
        write(part)
        if folder.exists():
            folder.rename(old)
        try:
            part.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
