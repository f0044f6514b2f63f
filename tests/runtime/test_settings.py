"""Environment variables are read and checked in one place, and documented as they are."""

import re

import pytest

from stvlm.cli.main import main
from stvlm.runtime.settings import RaySettings, Settings, SettingsError, settings, variables, without_credentials
from tests.support.paths import ROOT


def table() -> str:
    """The settings as Markdown: name, default, meaning."""
    rows = ["| setting | default | means |", "| --- | --- | --- |"]
    for name, path in variables().items():
        field = (RaySettings if path[0] == "ray" else Settings).model_fields[path[-1]]
        rows.append(f"| `{name}` | {'' if field.default in (None, '', {}) else f'`{field.default}`'} | {field.description} |")
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("STVLM_MAX_UPLOADS", "abc", "Input should be a valid integer"),
        ("STVLM_MAX_LIVE_RUNS", "1e3", "Input should be a valid integer"),
        ("STVLM_MAX_RUNS", "-1", "Input should be greater than or equal to 0"),
        ("STVLM_MAX_UPLOAD_GB", "nan", "Input should be a finite number"),
        ("STVLM_MAX_GB", "inf", "Input should be a finite number"),
        ("STVLM_RAY_CPUS", "nan", "Input should be a finite number"),
        ("STVLM_RAY_ADDRESS", "ftp://user:secret@host", "String should match pattern"),
        ("STVLM_RAY_RUNTIME_ENV", "[1]", "Input should be a valid dictionary"),
        ("STVLM_HOME", "/tmp/\udcff", "Input should be UTF-8 without control characters"),
        ("STVLM_RAY_PYTHON", "python\x1b[31m", "Input should be UTF-8 without control characters"),
        ("STVLM_MAX_UPLOAD", "5", "is no setting; STVLM_MAX_UPLOADS is."),
    ],
)
def test_a_value_that_makes_no_sense_is_named_and_not_quoted(monkeypatch, name, value, why):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        settings()
    line = str(caught.value)
    assert line.startswith(name)
    assert why in line
    assert "\n" not in line
    assert "secret" not in line


def test_all_that_is_wrong_is_told_at_once_and_names_of_others_are_left_alone(monkeypatch):
    monkeypatch.setenv("STVLM_MAX_RUNS", "many")
    monkeypatch.setenv("STVLM_MAX_GB", "much")
    monkeypatch.setenv("STVLM_PORT_8501_TCP", "tcp://10.0.0.1:8501")  # Kubernetes, for a service called stvlm
    with pytest.raises(SettingsError) as caught:
        settings()
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["STVLM_MAX_RUNS", "STVLM_MAX_GB"]


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("STVLM_MAX_RUNS", "7")
    monkeypatch.setenv("STVLM_MAX_GB", "")
    assert (settings().max_runs, settings().max_gb) == (7, 50.0)


def test_the_command_line_says_it_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("STVLM_MAX_UPLOADS", "abc")
    assert main(["backbones"]) == 2
    assert capsys.readouterr().err.startswith("STVLM_MAX_UPLOADS: Input should be a valid integer")


def test_the_documentation_lists_every_setting_as_it_is():
    assert table() in (ROOT / "docs" / "settings.md").read_text("utf-8")


def test_nothing_else_reads_these_variables():
    reads = re.compile(r"""(?:environ(?:\.\w+\(|\[)|getenv\()\s*f?["']STVLM_\w*["{](?!\]\s*=[^=])""")
    files = [ROOT / "app.py", *ROOT.glob("pages/*.py"), *ROOT.glob("stvlm/**/*.py")]
    assert [str(path) for path in files if reads.search(path.read_text("utf-8"))] == []
    assert reads.search('os.environ.get("STVLM_HOME")')
    assert not reads.search('os.environ["STVLM_HOME"] = home')


def test_a_password_in_an_address_is_never_shown():
    assert without_credentials("The cluster at http://ann:s3cret@host:8265 refuses.") == "The cluster at http://host:8265 refuses."
    assert without_credentials("http://host:8265/a@b") == "http://host:8265/a@b"
