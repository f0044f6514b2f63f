"""Whatever a browser claims of its widgets: only what they offer goes further."""

import re

import pytest

from stvlm.ui.shell import callbacks
from stvlm.ui.shell.callbacks import Between, Rows, Several, Text, accept
from tests.support.paths import ROOT


def test_callbacks_read_the_state_of_widgets_in_one_place():
    reads = re.compile(r"\bst\.session_state\b|\bimport session_state\b")
    files = [ROOT / "app.py", *ROOT.glob("pages/*.py"), *ROOT.glob("stvlm/**/*.py")]
    assert {path.name for path in files if reads.search(path.read_text("utf-8"))} == {"callbacks.py", "view_state.py"}


@pytest.mark.parametrize(
    ("offered", "given", "others"),
    [
        (Between(1.0, 2.0), [1.0, 2], [0.9, 2.1, float("nan")]),
        (Several(("a", "b"), least=1), [["a"], ["b", "a"]], [[], ["c"], ["a", "b", "a"]]),
        (Several(("a", "b", "c"), most=2), [[], ["a", "c"]], [["a", "b", "c"]]),
        (Text(3), ["", "abc"], ["abcd", 7, None]),
        (Rows(2), [{"selection": {"rows": [1, 0]}}], [{"selection": {"rows": [row]}} for row in (2, -1, "0", 0.0, True, None)]),
    ],
)
def test_what_is_offered_is_told_from_what_is_not(offered, given, others):
    assert all(value in offered for value in given)
    assert not any(value in offered for value in others)


@pytest.mark.parametrize("lie", ["evil/beacon", "/etc", "/nothere", None, 7, ["tiny"], {"tiny": 1}])
def test_a_callback_is_given_nothing_that_was_not_offered(monkeypatch, lie):
    taken = []
    start = accept({"backbone": ("tiny", "plain"), "steps": Between(1, 100)}, lambda *said: taken.append(said))
    monkeypatch.setattr(callbacks.st, "session_state", {"backbone": lie, "steps": 10})
    start()
    assert taken == []
    monkeypatch.setattr(callbacks.st, "session_state", {"backbone": "tiny", "steps": 10})
    start()
    assert taken == [("tiny", 10)]
