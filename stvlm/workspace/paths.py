"""Where the workspace is: the folder of all runs, uploads, networks and templates."""

from __future__ import annotations

from pathlib import Path

from stvlm.runtime.settings import settings


class WorkspaceError(RuntimeError):
    """The workspace cannot be written; the text says where, why and what to do."""


def workspace() -> Path:
    """The folder of all runs and data sets: STVLM_HOME, else .stvlm under the current folder."""
    return settings().home.absolute()
