"""Templates of prompts that people saved, in the server's workspace: each a small file named by the hash of its name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from stvlm.jobs.run import workspace, write_atomic

MOST, LONGEST_NAME = 100, 60  # templates; characters of a name


class TooManyTemplatesError(RuntimeError):
    """The workspace holds as many templates as it may."""


def saved() -> dict[str, str]:
    """Name -> template, in the order of the names."""
    found = {}
    for path in _root().glob("*.json") if _root().is_dir() else []:
        try:
            note = json.loads(path.read_text("utf-8"))
            found[str(note["name"])] = str(note["template"])
        except (ValueError, KeyError, OSError):  # half a file, or one of another tool
            continue
    return dict(sorted(found.items(), key=lambda item: item[0].casefold()))


def save(name: str, template: str) -> None:
    """Keep a template; one of the same name is replaced.

    Raises:
        TooManyTemplatesError: there are MOST already.
    """
    name = " ".join(name.split())[:LONGEST_NAME]
    known = saved()
    if name not in known and len(known) >= MOST:
        raise TooManyTemplatesError(name)
    _root().mkdir(parents=True, exist_ok=True)
    write_atomic(_file(name), {"name": name, "template": template})


def delete(name: str) -> None:
    """Forget a template."""
    _file(name).unlink(missing_ok=True)


def _file(name: str) -> Path:
    return _root() / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def _root() -> Path:
    return workspace() / "templates"
