"""JSON, settings in a file and folders that nobody vouches for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MOST_BYTES = 16 << 20


def parse_json(text: str, name: str = "the text") -> Any:
    """What a JSON text holds; every text in it can be written and shown.

    Args:
        text: JSON. name: of it, for messages.

    Raises:
        ValueError: no JSON, nested too deep, or half a letter in it (a lone surrogate), which no file can hold.
    """
    try:
        found = json.loads(text)
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half a letter (a lone surrogate).") from None
    except RecursionError:
        raise ValueError(f"{name} is nested too deep.") from None
    return found


def read_settings(path: Path, what: str = "settings") -> dict[str, Any]:
    """A JSON object of sane size.

    Args:
        path: the file. what: it should hold.

    Raises:
        OSError: there is no such file. ValueError: no plain file, too large, as `parse_json`, or no object.
    """
    _check_plain(path)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path.name} has {size >> 20} MiB; {what} have at most {MOST_BYTES >> 20}.")
    settings = parse_json(path.read_text(encoding="utf-8"), path.name)
    if not isinstance(settings, dict):
        raise ValueError(f"{path.name} holds no {what}.")
    return settings


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but files and folders: who opens a pipe or a device may wait for ever.

    Raises:
        OSError: there is no such folder. ValueError: naming what else it holds.
    """
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            _check_plain(path)


def _check_plain(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is no plain file. Give a folder that holds files only.")
