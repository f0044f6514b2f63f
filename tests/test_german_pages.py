"""Every page in German: no sentence that has a German twin stands there in English."""

import json
from collections.abc import Iterator
from functools import lru_cache
from string import Formatter

import pytest
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest
from test_pages import NEEDS_A_NETWORK, app, visit  # noqa: F401  the fixture starts the app

from stvlm.modalities.image import VIEWS
from stvlm.ui import datasets, frame, words

GIVEN = "sample:irish_wind"
BROUGHT = {  # on a page by what it shows: names and verdicts of the file of a result
    "compare": ("compare.draws_unsure", "compare.unsure", "learn.forecast.anchor", "train.draws_anchor", "whatif.before"),
}
FEW = 3  # words: less of a sentence is compared with whole texts only


@lru_cache
def english() -> dict[str, str]:
    """Of each sentence that the German pages say otherwise, the longest piece without a gap."""
    german = words.sentences("de")
    differ = {key: said for key, said in words.sentences("en").items() if said not in german.values()}
    return {key: max((piece for piece, *_ in Formatter().parse(said)), key=len).strip() for key, said in differ.items()}


def strings(value: object) -> Iterator[str]:
    """Every text in a message or a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Message):
        for _, part in value.ListFields():
            yield from strings(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif hasattr(value, "__iter__") and not isinstance(value, bytes):
        for part in value:
            yield from strings(part)


def texts(page: AppTest) -> Iterator[str]:
    """All that a page says: words, labels, options, headings of tables, figures."""
    for block in (page.main, page.sidebar):
        for element in block:
            if element.type == "plotly_chart":
                figure = json.loads(element.proto.spec)
                yield from strings([figure["layout"].get(part) for part in ("title", "xaxis", "yaxis", "annotations")])
                yield from strings([trace.get("name") for trace in figure["data"]])
            elif element.type == "arrow_data_frame":
                yield from map(str, element.value.columns)
            elif element.type != "component_instance":  # a map: its scripts are no sentences
                yield from strings(getattr(element, "proto", None))


def left_over(page: AppTest) -> dict[str, str]:
    """The English sentences on a page, by their keys."""
    said = {text.replace("\\", "").replace("\u2060", "") for text in texts(page)}
    whole = "\n".join(said)
    return {key: piece for key, piece in english().items() if (piece in whole if len(piece.split()) >= FEW else piece in said)}


@pytest.mark.parametrize("name", [name for name in frame.PAGES if name not in ("forecast", "fusion")])
def test_a_german_page_has_no_english_sentence_left(app, name):  # noqa: F811
    page = visit(app, name, data=GIVEN, lang="de")
    assert {key: piece for key, piece in left_over(page).items() if key not in BROUGHT.get(name, ())} == {}


def test_a_german_page_without_a_network_says_in_german_how_to_get_one(app):  # noqa: F811
    for name in NEEDS_A_NETWORK:
        page = visit(app, name, lang="de")
        assert left_over(page) == {}
        assert "Ein Beispiel nehmen" in texts(page)


def test_what_the_floors_below_say_of_samples_and_views_has_a_german_twin(monkeypatch):
    monkeypatch.setattr(words, "language", lambda: "de")
    for sample in datasets.SAMPLES.values():
        assert words.told("sample", sample.title) != sample.title
        assert words.told("sample", sample.description) != sample.description
    known = {words.sentences("de")[key] for key in words.sentences("de") if key.startswith("view.")}
    for view in VIEWS.values():
        assert {words.told("view", text) for text in (view.title, *(channel.label for channel in view.channels))} <= known
    assert words.told("view", "my roads: lines and outlines, areas at half") == "my roads: Linien und Umrisse, Flächen halb"
    assert words.told("view", "a text that nobody knows") == "a text that nobody knows"
