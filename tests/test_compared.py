"""docs/compared.md claims nothing without a proof: each row has its part, each part names tests and pictures that are there."""

import ast
import re

from tests.support.paths import ROOT

PAGE = (ROOT / "docs/compared.md").read_text("utf-8")
PARTS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))
ROWS = dict(re.findall(r"^\| \[[^\]]+\]\(#(\w+(?:-\w+)*)\).*\| (.) \|$", PAGE, re.MULTILINE))


def all_functions() -> set[str]:
    trees = (ast.parse(path.read_text("utf-8")) for path in (ROOT / "tests").rglob("test_*.py"))
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_test_named_there_exists():
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 60
    assert named - all_functions() == set()


def test_every_picture_shown_there_exists():
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", PAGE)
    assert pictures
    assert [picture for picture in pictures if not (ROOT / "docs" / picture).is_file()] == []


def test_each_row_has_its_part_with_the_same_mark_and_a_proof():
    parts = {title.lower().replace(" ", "-"): text.strip() for title, text in PARTS.items()}
    assert len(ROWS) == 20
    assert set(parts) == set(ROWS)
    assert {name: text[0] for name, text in parts.items()} == ROWS
    assert [name for name, text in parts.items() if text[0] != "–" and "`test_" not in text] == []
