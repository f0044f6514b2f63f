"""It is a package: what it imports is declared, what it needs ships with it, and an installed wheel runs like a checkout."""

import ast
import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tools.requirements import FILES, MADE, distribution, requirements

FOLDERS = {  # -> groups of requirements that its modules may import
    "stvlm/ui": ("core", "app"),
    "stvlm/jobs/ray": ("core", "ray"),
    "stvlm": ("core",),
    "app.py": ("core", "app"),
    "pages": ("core", "app"),
    "benchmarks": ("core", "app", "ray", "dev"),
    "experiments": ("core", "app", "ray", "dev"),
    "tests": ("core", "app", "ray", "dev"),
    "tools": ("core", "app", "ray", "dev"),
}
FOUND_BY_NAME = {"django-js-lib-leaflet"}  # its files are served; Django, which could import it, is not there
INSTALLED_BY_HAND = {"tools/make_confusables.py": {"icu"}}  # for a table that is made once in years; its docstring says how
IN_A_LIST = re.compile(r"^(?!#)\S", re.MULTILINE)


def sources(folder: str) -> list[Path]:
    """Python files of one entry of FOLDERS that no entry before it holds."""
    path = ROOT / folder
    before = [ROOT / one for one in list(FOLDERS)[: list(FOLDERS).index(folder)]]
    found = [path] if path.is_file() else sorted(path.rglob("*.py"))
    return [one for one in found if not any(one.is_relative_to(other) for other in before)]


def outside(path: Path) -> set[str]:
    """Top-level modules of other people that a file imports, inside functions too."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(node.module)
    ours = {"stvlm", *(p.stem for p in ROOT.rglob("tests/**/*.py")), *(p.parts[-2] for p in ROOT.glob("*/*.py")), "protocol"}
    return {module.split(".")[0] for module in modules} - ours - set(sys.stdlib_module_names)


def declared(*groups: str) -> set[str]:
    return {distribution(line) for line in requirements(groups).splitlines() if IN_A_LIST.match(line)}


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_imported_is_declared(folder):
    known = importlib.metadata.packages_distributions()
    allowed = declared(*FOLDERS[folder])
    for path in sources(folder):
        for module in outside(path) - INSTALLED_BY_HAND.get(path.relative_to(ROOT).as_posix(), set()):
            names = {distribution(name) for name in known.get(module, ())}
            assert names & allowed, f"{path.relative_to(ROOT)} imports {module} ({names}), which no list of pyproject.toml has"


def test_what_is_declared_is_imported():
    known = importlib.metadata.packages_distributions()
    folders = [folder for folder in FOLDERS if folder.startswith(("stvlm", "app", "pages"))]
    modules = set().union(*(outside(path) for folder in folders for path in sources(folder)))
    used = {distribution(name) for module in modules for name in known.get(module, ())}
    assert declared("core", "app", "ray") - used == FOUND_BY_NAME


@pytest.mark.parametrize("name", FILES)
def test_the_files_for_pip_are_made_from_the_lists_of_the_package(name):
    assert (ROOT / name).read_text(encoding="utf-8") == f"{MADE}\n{requirements(FILES[name])}", "run python tools/requirements.py"


def test_no_module_of_the_package_looks_for_files_by_where_it_lies():
    assert [p for p in (ROOT / "stvlm").rglob("*.py") if "__file__" in p.read_text(encoding="utf-8")] == []


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder of commands of a clean environment with the wheel, which finds its requirements where this environment has them."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    source = folder / "source"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".*cache*", "__pycache__", ".git", ".hypothesis", ".venv", ".stvlm")
    )
    subprocess.run([*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "-w", str(folder)], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    (wheel,) = folder.glob("stvlm-*.whl")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], check=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def run(installed: Path, folder: Path, *command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(installed / command[0]), *command[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_installed_wheel_forecasts_away_from_the_checkout(installed, tmp_path):
    where = run(installed, tmp_path, "python", "-c", "import stvlm; print(stvlm.__path__[0])").strip()
    assert where.startswith(str(installed.parent))
    assert "forecast" in run(installed, tmp_path, "stvlm", "--help")
    run(installed, tmp_path, "stvlm", "forecast", "--model", "irish_wind", "--sample", "irish_wind", "--out", "wind.csv")
    assert (tmp_path / "wind.csv").read_text().startswith("timestamp,sensor_id,value")


@pytest.mark.slow
def test_an_installed_wheel_serves_the_app_with_its_settings(installed, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (tmp_path / "log").open("wb") as log:
        command = [str(installed / "stvlm"), "serve", "--server.port", str(port)]
        server = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 90
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                        assert (
                            answer.headers["X-Frame-Options"] == "DENY"
                            or "frame-ancestors" in answer.headers["Content-Security-Policy"]
                        )
                    break
                except (urllib.error.URLError, ConnectionError):
                    assert server.poll() is None, (tmp_path / "log").read_text()
                    assert time.monotonic() < deadline
                    time.sleep(0.3)
        finally:
            server.terminate()
            server.wait(20)
