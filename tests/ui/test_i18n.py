"""What the pages say: every language has every sentence with the same gaps, and the pages ask for none that is not there."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from string import Formatter

import numpy as np
import pytest

from stvlm.charts.labels import Wording
from stvlm.quality.fixes import FIXES
from stvlm.runtime.messages import FOLDER, LANGUAGES, sentences
from stvlm.ui.data.findings import slug
from stvlm.ui.shell import i18n, layout
from tests.support.paths import ROOT


def gaps(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


FINDINGS = {"layer_elsewhere", "mixed_decimals"} | {
    slug(node.args[0].value)
    for path in (ROOT / "stvlm/quality").glob("*.py")
    for node in ast.walk(ast.parse(path.read_text("utf-8")))
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "finding"
}
SPEAKERS = ("t", "translate", "Message", "CodedError")  # calls whose first argument is a code of the catalogue


def calls() -> Iterator[tuple[str, ast.Call]]:
    """(file, call) of all that names a sentence."""
    for path in (ROOT / "app.py", *(ROOT / "stvlm").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                if getattr(node.func, "id", "") in SPEAKERS:
                    yield path.name, node
                elif getattr(node.func, "id", "") == "told" and isinstance(node.args[0], ast.Constant):
                    yield path.name, ast.parse(f"t(f'{node.args[0].value}.{{key}}', **all)").body[0].value


def asked_for() -> set[str]:
    """The codes that the code names, as patterns where a part is put in."""
    found = {pattern for _, call in calls() for pattern in patterns(call.args[0])}
    found |= {rf"finding\.{code}\.(title|what|why).*" for code in FINDINGS} | {rf"fix\.{slug(name)}\.\w+" for name in FIXES}
    return found | {r"page\..*", r"glossary\..*", r"learn\..*\.(title|think|answer|task|right|wrong)"}


def patterns(node: ast.expr) -> set[str]:
    if isinstance(node, ast.IfExp):
        return patterns(node.body) | patterns(node.orelse)
    if isinstance(node, ast.JoinedStr):
        return {"".join(re.escape(v.value) if isinstance(v, ast.Constant) else "[a-z_]+" for v in node.values)}
    return {re.escape(node.value)} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def test_every_gap_of_a_sentence_is_filled_where_it_is_said():
    english, wrong = sentences("en"), []
    for file, call in calls():
        given = {word.arg for word in call.keywords}
        code = call.args[0].value if isinstance(call.args[0], ast.Constant) else ""
        if code in english and None not in given and gaps(english[code]) != given - {"where"}:
            wrong.append((file, call.lineno, code, gaps(english[code]) ^ given))
    assert wrong == []


@pytest.mark.parametrize("name", [name for name in LANGUAGES if name != "en"])
def test_a_language_has_every_sentence_with_the_same_gaps(name):
    english, other = sentences("en"), sentences(name)
    assert list(other) == list(english)
    assert {key for key in english if gaps(english[key]) != gaps(other[key])} == set()
    assert {key for key in english if bool(english[key]) != bool(other[key])} == set()


def test_no_page_asks_for_a_sentence_that_is_not_there_and_none_is_left_over():
    keys, asked = set(sentences("en")), {pattern: re.compile(pattern) for pattern in asked_for()}
    assert len(asked) > 60
    assert {name for name, pattern in asked.items() if not any(map(pattern.fullmatch, keys))} == set()
    by_table = {"frame.network", "frame.model", "frame.understand"}  # headings of the sidebar
    assert {key for key in keys - by_table if not any(pattern.fullmatch(key) for pattern in asked.values())} == set()


def test_what_the_charts_say_in_english_is_what_they_say_by_themselves():
    english = sentences("en")
    own = {field.name: field.default for field in fields(Wording)}
    assert own.pop("locale") == "en"
    assert own.pop("calendar") == english["calendar.names"]
    assert own == {key.removeprefix("chart."): said for key, said in english.items() if key.startswith("chart.")}


def test_a_language_has_a_file_and_each_file_a_language():
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(LANGUAGES)


def test_outside_of_a_session_pages_are_in_english():
    assert layout.PAGES["whatif"].title == "What if"
    assert i18n.format_number(-1234.56, 1) == "−1,234.6"
    assert i18n.format_number(-0.04, 1, sign=True) == "0.0"
    assert i18n.format_number(float("nan")) == "missing"


def test_numbers_and_times_are_written_as_german_readers_write_them(monkeypatch):
    monkeypatch.setattr(i18n, "language", lambda: "de")
    assert i18n.format_number(1234.56, 1, sign=True) == "+1.234,6"
    times = np.array(["2024-03-31T21:00:00", "2024-05-01T09:15:00"], dtype="datetime64[s]")
    assert i18n.format_times(times) == ["So 31 März 2024 21:00", "Mi 01 Mai 2024 09:15"]
    assert i18n.t("frame.none_yet") == "noch keines"
