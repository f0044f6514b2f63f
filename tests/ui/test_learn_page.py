"""The Learn page: each step shows its tensors, and tells a right answer from a wrong one by the model itself."""

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from stvlm.datasets.samples import load_sample
from stvlm.inference.trace import quiz_options
from stvlm.ui.learn import STEPS
from tests.support.pages import param, visit, words

CITY = "sample:synthetic_city"


def at_step(app: AppTest, step: str, **query: str) -> AppTest:
    return visit(app, "learn", data=CITY, lesson=str(STEPS.index(step) + 1), **query)


def answers(step: str) -> tuple:
    """What can be chosen in the exercise of a step, for the first sensor of the city."""
    guesses = {"image": ("little", "some", "much"), "fusion": ("vision", "text", "series")}
    return guesses[step] if step in guesses else quiz_options(load_sample("synthetic_city").network, 0)


def solve_by_trying(app: AppTest, step: str) -> int:
    """Take the answers one after another until the page says that one is right; how many were wrong."""
    for place, answer in enumerate(answers(step)):
        app.radio[0].set_value(answer).run()
        assert not app.exception
        if app.success:
            return place
        assert app.info
    pytest.fail("no answer is right")


@pytest.mark.parametrize("step", ["sensor", "image", "fusion"])
def test_of_the_answers_to_choose_from_one_is_right_and_is_counted(app, step):
    app = at_step(app, step)
    assert "0 of 6 exercises solved" in app.get("progress")[0].proto.text
    solve_by_trying(app, step)
    assert "1 of 6 exercises solved" in app.get("progress")[0].proto.text
    assert "Right" in app.success[0].value


def test_the_effects_shown_with_the_right_silence_have_it_at_the_top(app):
    app = at_step(app, "sensor")
    wrong = solve_by_trying(app, "sensor")
    effects = app.dataframe[1].value.iloc[:, 1].to_numpy()
    assert effects.argmax() == wrong
    assert np.isfinite(effects).all()


def test_news_at_the_sensor_solve_the_prompt_and_news_elsewhere_do_not(app):
    app = at_step(app, "prompt", sensor="C021")
    app.text_input[0].set_value("crash near Ring south 2").run()
    assert not app.success
    app.text_input[0].set_value("crash near Ring west 5").run()
    assert "Right" in app.success[0].value
    assert "Mean change over the horizon, with its sign: −" in words(app)


def test_a_misspelt_name_hides_the_sensor_another_sentence_does_not(app):
    app = at_step(app, "tokens", sensor="C021")
    app.text_input[0].set_value("a crash near Ring west 5").run()
    assert "The name is still found" in app.info[0].value
    app.text_input[0].set_value("sunny").run()
    assert "neither would people" in app.info[0].value
    app.text_input[0].set_value("crash near Rng wst 5").run()
    assert "Right" in app.success[0].value


def test_enough_noise_breaks_the_forecast(app):
    app = at_step(app, "forecast")
    app.slider[-1].set_value(10).run()
    assert "Not broken yet" in app.info[0].value
    app.slider[-1].set_value(300).run()
    assert "Broken" in app.success[0].value
    assert "Mean error of this forecast over all sensors" in words(app)


def test_the_next_step_is_a_click_away_and_stands_in_the_url(app):
    app = at_step(app, "sensor")
    next(b for b in app.button if b.label == "2 Image").click().run()
    assert param(app, "lesson") == "2"
    assert "Tensor: 1 × 3 × 32 × 32" in words(app)


def test_shapes_are_those_of_the_city(app):
    app = at_step(app, "tokens")
    assert "image patches: 16 × 64" in words(app)
    assert "sensors: 60 × 64" in words(app)


def test_without_a_network_the_made_up_city_is_a_click_away(app):
    app = visit(app, "learn")
    labels = {link.proto.label for link in app.main.get("page_link")}
    assert "Take the made-up city, where every exercise has an effect" in labels


@pytest.mark.parametrize("lesson", ["1", "2", "3", "4", "5", "6"])
def test_every_step_opens_in_german_on_a_network_that_was_not_accepted(app, lesson):
    app = visit(app, "learn", data="sample:irish_wind", lesson=lesson, lang="de")
    assert not app.error
    assert "Nachdenken:" in words(app)
    assert "nicht angenommen" in app.warning[0].value
    assert "Wörterbuch" in app.main.get("expander")[-1].label
