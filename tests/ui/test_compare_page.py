"""The Compare page: results of one's own, a panel in words, hostile files, and the command that makes a result."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from stvlm.ui import compare
from tests.support.pages import param, start, visit, words
from tests.support.results import content


@pytest.fixture
def app(home, tmp_path, monkeypatch) -> AppTest:
    monkeypatch.setattr(compare, "SHIPPED", tmp_path / "none")
    return start()


def with_results(app: AppTest, *files: tuple[str, dict | str]) -> AppTest:
    app = visit(app, "compare")
    given = [(name, (json.dumps(c) if isinstance(c, dict) else c).encode(), "application/json") for name, c in files]
    app.file_uploader[0].set_value(given)
    app.run()
    assert not app.exception, app.exception
    return app


def test_without_a_result_the_page_says_how_to_make_one(app):
    app = visit(app, "compare", data="sample:irish_wind")
    assert "There is no finished backtest here yet" in words(app)
    assert "backtest --sample irish_wind --lookback 28 --horizon 7 --split 0.7,0.1,0.2" in app.code[0].value


def test_a_result_of_ones_own_is_compared_mapped_and_put_in_words(app):
    app = with_results(app, ("wind.json", content()))
    assert app.dataframe[0].value["Model"].tolist() == ["'=stvlm_x", "ridge"]
    assert "has the smaller error at 1 of 2 sensors; its mean error is −0\\.5 m/s" in words(app)
    assert len(app.get("component_instance")) == 1
    assert "no image moves it by 0\\.3 %\\." in words(app)
    assert len(app.get("plotly_chart")) == 2
    assert app.dataframe[2].value["Variant"].tolist() == ["full", "no image"]
    assert {b.proto.label for b in app.get("download_button")} == {"CSV", "LaTeX"}


def test_results_with_more_and_less_training_give_a_curve_named_by_the_link(app):
    less = content(few_shot=0.1, windows={"train": 10, "val": 40, "test": 40})
    app = with_results(app, ("wind.json", content()), ("less.json", less))
    assert len(app.get("plotly_chart")) == 3
    assert "With less to learn from" in words(app)
    assert param(app, "result") == "own: wind.json"
    app.selectbox(key="tied-result").set_value("own: less.json").run()
    assert param(app, "result") == "own: less.json"


def test_a_file_that_is_no_result_is_refused_in_place_and_its_text_stays_text(app):
    hostile = content(title="![x](http://evil.example/x.png)", unit="![](http://a.io/b)")
    app = with_results(app, ("x.json", "{}"), ("wind.json", hostile))
    assert "is no result of a backtest" in app.error[0].value
    rendered = [e.value for kind in ("markdown", "caption", "subheader", "info") for e in app.main.get(kind)]
    assert not [text for text in rendered if "![" in text]


def test_a_result_stays_when_one_comes_back_to_the_page(app):
    app = with_results(app, ("wind.json", content()))
    app = visit(app, "data", data="sample:irish_wind")
    app = visit(app, "compare")
    assert app.dataframe[0].value["Model"].tolist() == ["'=stvlm_x", "ridge"]
