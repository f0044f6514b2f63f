"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel


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


def write_atomic(path: Path, content: Any, durable: bool = False) -> None:
    """Write JSON (a dict, a pydantic model or a dataclass) so that readers see the old file or the new one, never a part.

    Args:
        path: the file. content: what to write.
        durable: also survive a power cut.
    """
    if isinstance(content, BaseModel):
        content = content.model_dump(mode="json")
    elif is_dataclass(content) and not isinstance(content, type):
        content = asdict(content)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
