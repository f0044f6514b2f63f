"""Files that come with the package: samples, shipped models, shipped results, outlines of countries."""

from importlib import resources
from pathlib import Path


def asset(*parts: str) -> Path:
    """The path of a file or folder below `stvlm/assets`; it exists only where it was shipped."""
    return Path(str(resources.files("stvlm"))).joinpath("assets", *parts)
