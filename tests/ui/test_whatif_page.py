"""The What if page: news in the text slow traffic there, the URL holds the change, nonsense in it does no harm."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from stvlm.inference.scenario import Scenario
from tests.support.pages import param, visit, words

CITY = "sample:synthetic_city"


def moved(app: AppTest) -> list[float]:
    """The changes that the three numbers tell: of the sensor in view, of the mean, of the one that changed most."""
    return [float(m.delta.replace("−", "-").replace(",", "").split()[0]) for m in app.metric]


def test_by_default_news_of_a_crash_slow_the_sensor_in_view_of_the_made_up_city(app):
    app = visit(app, "whatif", data=CITY)
    here, mean, most = moved(app)
    assert here < -5
    assert here == most
    assert abs(mean) < 2
    assert Scenario.of(param(app, "change")) == Scenario(event="crash near Ring north 1")
    assert "crash near Ring north 1" in app.code[1].value
    assert "crash near Ring north 1" not in app.code[0].value
    table = app.dataframe[0].value
    assert table["Change, km/h"].tolist() == pytest.approx(
        (table["with the change, km/h"] - table["as it is, km/h"]).tolist(), abs=1e-4
    )
    assert len(app.get("component_instance")) == 3


def test_a_link_reproduces_the_change_and_undoing_leaves_none(app):
    change = Scenario(without=("text",), dropped=("C002", "C009"), noise=40)
    app = visit(app, "whatif", data=CITY, change=change.word, sensor="C002")
    assert app.multiselect(key="tied-change-dropped").value == ["C002", "C009"]
    assert app.slider(key="tied-change-noise").value == 40
    assert "without the prompt" in words(app)
    assert "40 % noise" in words(app)
    next(b for b in app.button if b.label == "Undo all").click().run()
    assert param(app, "change") == "{}"
    assert moved(app) == [0, 0, 0]


def test_a_widget_puts_its_part_of_the_change_into_the_url(app):
    app = visit(app, "whatif", data=CITY, change="{}", sensor="C010")
    app.text_input(key="tied-change-event").set_value(" flood at Ring east 3 ").run()
    app.slider(key="tied-change-noise").set_value(20).run()
    app.selectbox(key="tied-change-moved").set_value("C010").run()
    app.number_input(key="tied-change-east_km").set_value(2.5).run()
    assert Scenario.of(param(app, "change")) == Scenario(event="flood at Ring east 3", noise=20, moved="C010", east_km=2.5)
    assert not app.exception


def test_news_that_name_nobody_are_said_to(app):
    app = visit(app, "whatif", data=CITY, change=Scenario(event="crash near Rimg nort").word)
    assert "These news name no sensor" in words(app)
    assert max(map(abs, moved(app))) < 5


def test_a_prompt_that_is_too_long_is_refused_in_place(app):
    app = visit(app, "whatif", data=CITY, change=Scenario(prompt="crash " * 300).word)
    assert "the model reads 160" in app.error[0].value


def test_a_prompt_of_ones_own_replaces_the_template_and_can_be_given_up(app):
    app = visit(app, "whatif", data=CITY, change="{}")
    app.text_area(key="tied-change-prompt").set_value("crash near Ring north 1").run()
    assert app.code[1].value == "crash near Ring north 1"
    next(b for b in app.button if b.label.startswith("Back to the prompt")).click().run()
    assert param(app, "change") == "{}"


@pytest.mark.parametrize(
    "word", ["nonsense", '{"dropped":["EVIL"]}', '{"noise":1e9}', '{"event":3}', '{"x":"<script>"}', r'{"event":"\ud800"}']
)
def test_nonsense_in_the_url_falls_back_to_the_default(app, word):
    app = visit(app, "whatif", data=CITY, change=word)
    assert Scenario.of(param(app, "change")).event == "crash near Ring north 1"


def test_where_no_network_was_accepted_a_silent_sensor_is_the_default(app):
    app = visit(app, "whatif", data="sample:irish_wind", sensor="DUB")
    assert json.loads(param(app, "change")) == {"dropped": ["DUB"]}
    assert "Image and prompt cannot move it" in app.warning[0].value
    assert moved(app)[0] != 0
    assert "An ablation panel trains the model anew" in words(app)


def test_the_panel_of_the_made_up_city_is_the_one_of_compare(app):
    app = visit(app, "whatif", data=CITY, change="{}")
    assert app.dataframe[2].value["Variant"].tolist()[:2] == ["full", "no image"]


def test_text_of_a_user_stays_text(app):
    event = "![x](http://evil.example/x.png) <img src=x>"
    app = visit(app, "whatif", data=CITY, change=Scenario(event=event).word)
    rendered = [e.value for kind in ("markdown", "caption", "warning", "info") for e in app.main.get(kind)]
    assert not [text for text in rendered if "![" in text]
    assert not app.get("html") or all("<img" not in e.proto.body for e in app.get("html"))


def test_the_page_speaks_german_and_the_url_keeps_it(app):
    app = visit(app, "whatif", data=CITY, lang="de")
    assert app.title[0].value == "Was wäre wenn"
    assert app.metric[0].value.count(",") == 1
    assert "Was die Änderung bewirkt" in words(app)
    del app.query_params["lang"]
    app = visit(app, "learn", data=CITY)
    assert app.title[0].value == "Lernen"
    assert param(app, "lang") == "de"


def test_a_language_that_is_not_there_is_english(app):
    app = visit(app, "whatif", data=CITY, lang="<b>")
    assert app.title[0].value == "What if"
    assert param(app, "lang") == "en"
