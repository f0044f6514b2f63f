"""Files that ship with the package: samples, models, results, outlines of countries, and the scripts of the app."""

from importlib import resources
from pathlib import Path

PACKAGE = Path(str(resources.files("stvlm")))
EARLIER = {"checkpoints": "checkpoints", "sample_data": "samples"}  # folders of earlier versions -> of the assets


def asset(*parts: str) -> Path:
    """The path of a file or folder below `stvlm/assets`; it exists only where it was shipped."""
    return PACKAGE.joinpath("assets", *parts)


def app_script() -> Path:
    """The script that Streamlit runs: inside the package where a wheel was installed, beside it in a checkout."""
    installed = asset("app", "app.py")
    return installed if installed.is_file() else PACKAGE.with_name("app.py")


def shipped(path: Path, kind: str = "") -> Path:
    """What a path names: a file or folder of the user, else one that ships.

    Args:
        path: as given; `sample_data/…` and `checkpoints/…`, where earlier versions kept them, name assets too.
        kind: "checkpoints" lets a bare name mean the model that ships under it.

    Returns:
        The asset where it exists and `path` does not, else `path` itself.
    """
    if path.exists() or path.is_absolute():
        return path
    folder, *parts = path.parts or ("",)
    found = asset(EARLIER[folder], *parts) if folder in EARLIER else asset(kind, *path.parts) if kind else path
    return found if found.exists() else path
