"""The house stands: imports only run down, each outside library has one door, pages are thin."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FLOORS = {
    "stvlm.assets": 1,
    "stvlm.runtime": 1,
    "stvlm.core": 2,
    "stvlm.io": 3,
    "stvlm.calibration": 3,
    "stvlm.anchor": 3,
    "stvlm.charts": 3,
    "stvlm.quality": 4,
    "stvlm.spatial": 4,
    "stvlm.modalities": 4,
    "stvlm.datasets": 5,
    "stvlm.model": 5,
    "stvlm.training": 6,
    "stvlm.inference": 6,
    "stvlm.evaluation": 7,
    "stvlm.workspace": 7,
    "stvlm.serving": 7,
    "stvlm.jobs": 8,
    "stvlm.api": 9,
    "stvlm.ui": 9,
    "stvlm.cli": 10,
    "stvlm.__main__": 11,
    "app": 11,
    "pages": 11,
}
CHARTS_KNOW = ("stvlm.core", "stvlm.charts")
DOORS = {
    "streamlit": ("app.py", "pages/", "stvlm/ui/"),
    "streamlit_folium": ("stvlm/ui/",),
    "starlette": ("stvlm/ui/shell/server.py",),
    "folium": ("stvlm/charts/", "stvlm/api.py"),
    "plotly": ("stvlm/charts/", "stvlm/api.py"),
    "geopandas": ("stvlm/core/", "stvlm/io/", "stvlm/api.py"),
    "transformers": ("stvlm/model/backbone/",),
    "tokenizers": ("stvlm/model/backbone/",),
    "gguf": ("stvlm/model/backbone/",),
    "peft": ("stvlm/model/adapters.py",),
    "accelerate": ("stvlm/model/distributed.py",),
    "ray": ("stvlm/jobs/ray/client.py",),
}
NOT_IN_PAGES = ("numpy", "pandas", "torch", "scipy")
NEVER = ("pickle", "dill", "joblib", "shelve")
FILES = sorted(p for p in [ROOT / "app.py", *ROOT.glob("pages/*.py"), *ROOT.glob("stvlm/**/*.py")] if p.exists())


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room(module: str) -> str:
    """The part of the house that a module belongs to: "stvlm.data" for "stvlm.core.series"."""
    return next((name for name in FLOORS if module == name or module.startswith(name + ".")), "")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, full module name) of all imports of a file, those inside functions too."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])]) if node.level else node.module
            )
            yield node.lineno, base
            if base == "stvlm" or room(base) == "":  # `from stvlm import predict` names a module
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def code_lines(path: Path) -> int:
    """Lines with code on them: without docstrings, comments and blank lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documents = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return sum(bool(text.strip()) and not text.strip().startswith("#") and i not in documents for i, text in lines)


@pytest.mark.parametrize("path", FILES, ids=place)
def test_imports_only_run_down(path):
    own = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for line, module in imports(path):
        other = room(module)
        if own and other and other != own:
            assert FLOORS[other] < FLOORS[own], f"{place(path)}:{line} {own} (floor {FLOORS[own]}) imports {module}"
        if own == "stvlm.charts" and module.startswith("stvlm."):
            assert module.startswith(CHARTS_KNOW), f"{place(path)}:{line} charts know data types only, not {module}"


def test_every_file_belongs_to_a_room():
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES} - {"stvlm.__init__"}
    assert [module for module in sorted(modules) if not room(module)] == []


@pytest.mark.parametrize("path", FILES, ids=place)
def test_each_outside_library_has_one_door(path):
    for line, module in imports(path):
        library = module.split(".")[0]
        assert library not in NEVER, f"{place(path)}:{line} imports {library}: files may be hostile"
        if library in DOORS:
            assert place(path).startswith(DOORS[library]), f"{place(path)}:{line} imports {library}, whose door is {DOORS[library]}"


@pytest.mark.parametrize("path", [p for p in FILES if place(p) == "app.py" or place(p).startswith("pages/")], ids=place)
def test_a_page_is_thin_and_does_no_arithmetic(path):
    assert code_lines(path) <= 60
    for line, module in imports(path):
        assert module.split(".")[0] not in NOT_IN_PAGES, f"{place(path)}:{line} imports {module}: a room below should do it"


@pytest.mark.parametrize("path", FILES, ids=place)
def test_a_file_says_what_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert path.name not in ("utils.py", "helpers.py", "common.py", "misc.py")
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{place(path)} begins with a sentence that says what it is"


def test_the_checker_itself_sees_relative_and_inner_imports(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / "stvlm" / "core" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "from ..model import head\nfrom . import series\ndef f():\n    import streamlit.web\nfrom stvlm import training\n"
    )
    assert [name for _, name in imports(path)] == ["stvlm.model", "stvlm.core", "stvlm", "stvlm.training", "streamlit.web"]


def test_scripts_live_in_files_of_their_own():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert "addEventListener" not in text, f"{place(path)}: scripts of the browser belong to stvlm/charts/browser"
    for path in (ROOT / "stvlm/charts/browser").iterdir():  # maps read their scripts as templates once more
        assert not re.search(r"\{[{%#]", path.read_text(encoding="utf-8")), f"{place(path)} would be read as a template"


TESTS = sorted((ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("path", TESTS, ids=place)
def test_tests_share_what_lies_in_support_alone_and_have_names_of_one_line(path):
    shared = [module for _, module in imports(path) if re.search(r"(^|\.)test_\w+$|(^|\.)conftest$", module)]
    assert shared == []
    names = [node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]
    assert [name for name in names if name.startswith("test_") and len(name) > 75] == []


@pytest.mark.parametrize("path", FILES, ids=place)
def test_the_package_imports_nothing_from_beside_it(path):
    beside = ("benchmarks", "experiments", "tests", "tools")
    assert [module for _, module in imports(path) if module.split(".")[0] in beside] == []
