"""Every page in German: no sentence that has a German twin stands there in English."""

import json
from collections.abc import Iterator
from functools import lru_cache
from string import Formatter

import pytest
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest

from stvlm.evaluation.ablation import ABLATIONS, verdict
from stvlm.modalities.image.views import VIEWS
from stvlm.runtime.messages import sentences
from stvlm.ui.services import networks
from stvlm.ui.shell import i18n, layout
from tests.support.pages import NEEDS_A_NETWORK, visit

GIVEN = "sample:irish_wind"
NO_WORDS = ("id", "icon", "page", "query_string", "url")  # fields of messages
BROUGHT = {"compare": ("learn.forecast.anchor", "train.draws_anchor", "whatif.before")}  # names in the file of a result
FEW = 3  # words: less of a sentence is compared with whole texts only


@lru_cache
def english() -> dict[str, str]:
    """Of each sentence that the German pages say otherwise, the longest piece without a gap."""
    german = sentences("de")
    differ = {key: said for key, said in sentences("en").items() if said not in german.values()}
    return {key: max((piece for piece, *_ in Formatter().parse(said)), key=len).strip() for key, said in differ.items()}


def strings(value: object) -> Iterator[str]:
    """Every text in a message or a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Message):
        for field, part in value.ListFields():
            if field.name not in NO_WORDS:
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


@pytest.mark.parametrize("name", list(layout.PAGES))
def test_a_german_page_has_no_english_sentence_left(app, name):
    page = visit(app, name, data=GIVEN, lang="de", lesson="2")
    assert {key: piece for key, piece in left_over(page).items() if key not in BROUGHT.get(name, ())} == {}


def test_a_german_page_without_a_network_says_in_german_how_to_get_one(app):
    for name in NEEDS_A_NETWORK:
        page = visit(app, name, lang="de")
        assert left_over(page) == {}
        assert "Ein Beispiel nehmen" in texts(page)


def test_what_the_floors_below_say_of_samples_and_views_has_a_german_twin(monkeypatch):
    monkeypatch.setattr(i18n, "language", lambda: "de")
    for sample in networks.SAMPLES.values():
        assert i18n.told("sample", sample.title) != sample.title
        assert i18n.told("sample", sample.description) != sample.description
    known = {sentences("de")[key] for key in i18n.sentences("de") if key.startswith("view.")}
    for view in VIEWS.values():
        assert {i18n.told("view", text) for text in (view.title, *(channel.label for channel in view.channels))} <= known
    assert i18n.told("view", "my roads: lines and outlines, areas at half") == "my roads: Linien und Umrisse, Flächen halb"
    assert i18n.told("view", "a text that nobody knows") == "a text that nobody knows"


def test_a_verdict_is_told_in_german_with_its_numbers(monkeypatch):
    monkeypatch.setattr(i18n, "language", lambda: "de")
    difference = {"percent": 1.25, "percent_low": 0.5, "percent_high": 2.0, "mae": 0.1, "is_sure": True, "n_blocks": 20.0}
    said = i18n.told("verdict", verdict("no image", difference, 0, 1, "noise image"))
    assert said == (
        "Ohne das Bild steigt der Fehler um 1,2 % (0,5 … 2,0 %): schlechter, jenseits des Zufalls. "
        "Mit diesen Einstellungen ist es dasselbe wie „noise image“. "
        "Nur ein Startwert: Wie sehr ein Training schwankt, steckt nicht im Intervall."
    )
    for name in ABLATIONS:
        for percent in (-1.0, 0.0, 1.0):
            row = difference | {"percent": percent, "is_sure": False}
            told = i18n.told("verdict", verdict(name, row, 1, 3))
            assert "error" not in told, told
            assert told.count("Fehler") == 1
