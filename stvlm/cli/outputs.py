"""How the verbs of the command line write their results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a result whole or not at all; arrays become lists, what is not finite becomes null."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(plain(content), ensure_ascii=False, allow_nan=False), encoding="utf-8")
    part.replace(path)


def plain(value: Any) -> Any:
    """What JSON can hold."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
