"""The Prompts page without a browser: tokens and numbers, a template with its error in place, saved templates, two windows."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from stvlm.ui import prompts
from tests.support.pages import param, start, visit, words

SECONDS = 240  # the first visit imports the libraries of the model


@pytest.fixture
def app(home) -> AppTest:
    return visit(start(), "prompts", data="sample:irish_wind", model="anchor")


def edit(app: AppTest, template: str) -> AppTest:
    app.segmented_control(key="tied-reading").set_value("template").run()
    app.text_area(key="tied-template").set_value(template).run()
    assert not app.exception, app.exception
    return app


def pages_html(app: AppTest) -> str:
    return app.get("iframe")[0].proto.srcdoc


def test_the_prompt_is_shown_with_its_budget_its_tokens_and_its_numbers(app):
    assert "knots" in app.code[0].value
    used = int(re.fullmatch(r"(\d+) of 160 tokens", app.get("progress")[0].proto.text)[1])
    html = pages_html(app)
    assert html.count(" f' title='token") == used
    table = app.dataframe[0].value
    assert html.count("data-mark=") == len(table)
    row = table[table["Sensor"] == "Malin Head (MAL)"].iloc[0]
    assert row["What it is"].startswith("wind speed at Malin Head (MAL), Sun 24 Dec 1978; exactly 31.7")
    assert row["Exactly"] == pytest.approx(31.7, abs=0.05)


def test_a_broken_template_is_refused_in_place_with_the_name_that_was_meant(app):
    app = edit(app, "when: It is {{ moment }}.\ntask: {{ n_sensor }} sensors.")
    assert len(app.error) == 1
    assert "Line 2 of the template" in app.error[0].value
    lines = app.get("html")[0].proto.body
    assert "▶  2" in lines
    assert ">n_sensor</u>" in lines
    assert not app.get("iframe")
    app.button(key="meant-n_sensors").click().run()
    assert not app.error
    assert app.code[0].value == "It is Sunday. 12 sensors."


def test_a_template_is_saved_taken_and_deleted(app, home):
    app = edit(app, "task: {{ n_sensors }} sensors.")
    app.text_input(key="template-name").set_value("../../my *short* one").run()
    app.button(key="save-template").click().run()
    assert prompts.saved() == {"../../my *short* one": "task: {{ n_sensors }} sensors."}
    assert len(list((home / "templates").iterdir())) == 1
    app = edit(app, "task: something else.")
    app.button(key="take-../../my *short* one").click().run()
    assert app.code[0].value == "12 sensors."
    app.button(key="delete-../../my *short* one").click().run()
    assert prompts.saved() == {}


def test_two_windows_are_compared_and_the_link_says_which(app):
    app.segmented_control(key="tied-reading").set_value("compare").run()
    assert re.search(r"\d of 6 sentences differ", words(app))
    assert "<mark" in app.get("html")[0].proto.body
    assert param(app, "other") == "1978-12-18T00:00:00"
    assert param(app, "reading") == "compare"


def test_the_page_speaks_german(app):
    app = visit(app, "prompts", lang="de")
    assert app.get("progress")[0].proto.text.endswith("von 160 Token")
    assert "wind speed bei Malin Head (MAL), So 24 Dez 1978; genau 31,7" in app.dataframe[0].value["Was sie ist"].str.cat(sep="\n")
