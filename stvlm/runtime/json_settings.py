"""Settings out of a JSON file that nobody vouches for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MOST_BYTES = 16 << 20


def read_settings(path: Path, what: str = "settings") -> dict[str, Any]:
    """A JSON object of sane size.

    Args:
        path: the file. what: it should hold.

    Raises:
        ValueError: too large, nested too deep, or no object.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path.name} has {size >> 20} MiB; {what} have at most {MOST_BYTES >> 20}.")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deep.") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path.name} holds no {what}.")
    return settings
