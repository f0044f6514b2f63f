"""What a change does: to the window, to the forecast of a model that heeds news, and as a word of an address."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stvlm.core.windows import Window
from stvlm.inference.predict import explain, predict
from stvlm.inference.scenario import Scenario, apply, event_columns, forecast_scenario, move_sensor, typical_spread


def test_no_change_forecasts_exactly_what_predict_does(city_model, city_window):
    outcome = forecast_scenario(city_model, city_window, Scenario())
    assert np.array_equal(outcome.forecast.values, predict(city_model, city_window).values)
    assert outcome.images.shape == (1, 3, 32, 32)


def test_a_crash_in_the_text_slows_its_sensor_by_over_ten_and_hardly_others(city_model, city_window):
    node = 20
    before = forecast_scenario(city_model, city_window, Scenario()).forecast.median
    after = forecast_scenario(city_model, city_window, Scenario(event=f"crash near {city_window.series.network.name(node)}"))
    change = (after.forecast.median - before)[0]
    assert node in after.named
    assert "crash near" in after.prompt
    assert change[node] < -10
    assert change.argmin() == node
    assert np.median(np.abs(np.delete(change, node))) < 1


def test_the_same_crash_at_a_misspelt_place_slows_nobody(city_model, city_window):
    before = forecast_scenario(city_model, city_window, Scenario()).forecast.median
    after = forecast_scenario(city_model, city_window, Scenario(event="crash near Rimg eest 3"))
    assert np.abs(after.forecast.median - before).max() < 3
    assert "Rimg eest 3" in after.prompt


def test_taking_a_modality_away_agrees_with_the_explanation(city_model, city_window):
    before = forecast_scenario(city_model, city_window, Scenario()).forecast.median
    measured = explain(city_model, city_window).deletion
    for modality in ("vision", "text", "series"):
        after = forecast_scenario(city_model, city_window, Scenario(without=(modality,)))
        assert after.forecast.median - before == pytest.approx(measured[modality], abs=1e-4)
    assert forecast_scenario(city_model, city_window, Scenario(without=("vision", "text"))).images is None


def test_a_dropped_sensor_is_silent_in_the_lookback_and_only_there(city_window):
    changed = apply(city_window, Scenario(dropped=("C002", "C005"))).series
    assert np.isnan(changed.values[city_window.cutoff - 12 : city_window.cutoff, [1, 4]]).all()
    assert np.array_equal(
        np.delete(changed.values, [1, 4], axis=1), np.delete(city_window.series.values, [1, 4], axis=1), equal_nan=True
    )
    assert np.array_equal(
        changed.values[: city_window.cutoff - 12], city_window.series.values[: city_window.cutoff - 12], equal_nan=True
    )
    assert np.isfinite(city_window.past[:, 1]).any()


def test_noise_has_the_size_that_was_asked_for_and_comes_again_the_same(city_window):
    changed = apply(city_window, Scenario(noise=50))
    push = (changed.past - city_window.past) / typical_spread(city_window)
    assert np.nanstd(push) == pytest.approx(0.5, abs=0.06)
    assert np.array_equal(changed.past, apply(city_window, Scenario(noise=50)).past, equal_nan=True)
    assert np.nanmin(apply(city_window, Scenario(noise=300)).past) >= 0  # no speed was ever below 0


def test_a_moved_sensor_stands_so_many_kilometres_off(city_window):
    network = city_window.series.network
    moved = move_sensor(network, "C007", 3.0, -4.0)
    east, north = (moved.position_km - network.position_km)[6] - (moved.position_km - network.position_km)[0]
    assert (east, north) == pytest.approx((3.0, -4.0), abs=0.02)
    assert np.array_equal(np.delete(moved.lat, 6), np.delete(network.lat, 6))


def test_moving_a_sensor_changes_the_image_and_its_forecast(city_model, city_window):
    before = forecast_scenario(city_model, city_window, Scenario())
    after = forecast_scenario(city_model, city_window, Scenario(moved="C007", east_km=4.0))
    assert np.abs(after.images - before.images).max() > 0.05
    assert np.abs(after.forecast.median - before.forecast.median)[:, 6].max() > 0.01


def test_news_go_before_what_the_context_tells_already(city_window):
    told = np.flatnonzero(city_window.series.context["incident"] != "")[3]
    here = replace(city_window, cutoff=int(told) + 1)
    cells = apply(here, Scenario(event=" flood ")).series.context["incident"]
    assert cells[told] == f"flood; {city_window.series.context['incident'][told]}"
    assert (cells.drop(told) == city_window.series.context["incident"].drop(told)).all()


def test_news_find_a_column_where_the_context_has_none_for_it(small_series):
    window = Window(small_series, 100, 12, 4)
    assert apply(window, Scenario(event="flood")).series.context["incident"][99] == "flood"
    table = pd.DataFrame({"incident": np.zeros(small_series.n_steps), "public_holiday": ["no"] * small_series.n_steps})
    with_numbers = replace(window, series=replace(small_series, context=table))
    assert event_columns(with_numbers.series) == ()
    changed = apply(with_numbers, Scenario(event="flood")).series.context
    assert changed["incident text"][99] == "flood"
    assert (changed["incident"] == 0).all()


def test_a_prompt_of_ones_own_is_read_as_it_stands_unless_it_is_too_long(city_model, city_window):
    outcome = forecast_scenario(city_model, city_window, Scenario(prompt="Nothing happens near North road 1."))
    assert outcome.prompt == "Nothing happens near North road 1."
    assert [city_window.series.network.name(n) for n in outcome.named] == ["North road 1"]
    with pytest.raises(ValueError, match=r"has \d+ tokens; the model reads 160"):
        forecast_scenario(city_model, city_window, Scenario(prompt="crash " * 300))


def test_spoilt_pixels_change_the_image_and_a_foreign_prompt_the_text(city_model, city_window):
    before = forecast_scenario(city_model, city_window, Scenario())
    assert np.abs(forecast_scenario(city_model, city_window, Scenario(spoilt="noise image")).images - before.images).mean() > 0.1
    foreign = forecast_scenario(city_model, city_window, Scenario(spoilt="foreign prompt"))
    assert foreign.prompt != before.prompt
    assert np.array_equal(foreign.images, before.images)


def test_an_unknown_sensor_is_named(city_window):
    with pytest.raises(ValueError, match="no sensor 'X1'"):
        apply(city_window, Scenario(dropped=("X1",)))


@pytest.mark.parametrize(
    "change",
    [
        Scenario(),
        Scenario(event='crash near "Süd", <b>', noise=20),
        Scenario(without=("text", "vision"), dropped=("a,b", "c"), moved="01", east_km=-2.5, north_km=3.0, spoilt="noise image"),
    ],
)
def test_a_change_is_the_same_after_a_way_through_an_address(change):
    assert Scenario.of(change.word) == change
    assert Scenario().word == "{}"


@pytest.mark.parametrize(
    "word",
    ["", "[]", "3", '{"evil":1}', '{"noise":"9"}', '{"noise":true}', '{"dropped":"abc"}', '{"dropped":[1]}', '{"without":["x"]}',
     '{"noise":999}', '{"east_km":1e9}', '{"east_km":NaN}', '{"spoilt":"x"}', '{"east_km":1' + "0" * 400 + "}",
     '{"event":' + '"' + "x" * 500 + '"}', "[" * 9000],
)  # fmt: skip
def test_a_word_that_is_no_change_is_refused(word):
    with pytest.raises(ValueError):
        Scenario.of(word)


def test_a_sensor_moved_by_nothing_is_no_change():
    assert Scenario(moved="a").is_nothing
    assert not Scenario(moved="a", east_km=1).is_nothing
    assert not Scenario(moved="a", noise=1).is_nothing
