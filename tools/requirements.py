"""Write requirements.txt and requirements-ray.txt from the lists in pyproject.toml: `python tools/requirements.py`.

`python tools/requirements.py GROUP …` prints some of the lists instead (core, app, ray, dev), as the Dockerfile needs them.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MADE = "# Made by `python tools/requirements.py` from pyproject.toml; change the lists there."
TITLES = {
    "core": "The package",
    "app": "The app",
    "ray": "Only where runs go to a Ray cluster: the app's machine and the cluster take the same version",
    "dev": "Tests, style, types, builds",
}
FILES = {"requirements.txt": ("core", "app", "dev"), "requirements-ray.txt": ("ray",)}


def groups(project: dict) -> dict[str, list[str]]:
    """Requirements by the group that asks for them, from the table `project` of pyproject.toml."""
    return {"core": project["dependencies"]} | project["optional-dependencies"]


def requirements(wanted: tuple[str, ...] | list[str]) -> str:
    """The lists of some groups, as pip reads them."""
    found = groups(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])
    return "\n".join(line for group in wanted for line in (f"# {TITLES[group]}", *found[group])) + "\n"


def distribution(requirement: str) -> str:
    """The normalised name of what is required: "django-js-lib-leaflet"."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


if __name__ == "__main__":
    if sys.argv[1:]:
        print(requirements(sys.argv[1:]), end="")
    else:
        for name, wanted in FILES.items():
            (ROOT / name).write_text(f"{MADE}\n{requirements(wanted)}", encoding="utf-8")
