"""A forecast taken apart: the tensors are the model's own, and exercises are judged by numbers."""

import numpy as np
import pytest
import torch

from stvlm.inference.predict import predict
from stvlm.inference.scenario import Scenario, forecast_scenario
from stvlm.inference.trace import is_misspelt, mean_change, mean_error, quiz_options, trace_forward


def test_the_tokens_are_those_that_the_fusion_gets_and_nothing_stays_behind(city_model, city_window):
    inside = trace_forward(city_model, city_window)
    inputs = city_model.builder(city_window.series).build(np.array([2400]))
    with torch.no_grad():
        assert inside.series_tokens == pytest.approx(city_model.token(inputs.series)[0].numpy(), abs=1e-6)
    assert inside.image_tokens.shape == (inside.grid_side**2, inside.series_tokens.shape[1])
    assert len(inside.text_tokens) == city_model.backbone.count_tokens(inputs.prompts[0])
    assert not city_model.fusion._forward_pre_hooks
    assert np.abs(inside.fused - inside.series_tokens).max() > 0.01


def test_the_scaled_past_and_the_anchor_are_what_the_forecast_is_made_of(city_model, city_window):
    inside = trace_forward(city_model, city_window)
    assert np.array_equal(inside.observed, np.isfinite(city_window.past))
    assert np.array_equal(inside.past, city_window.past, equal_nan=True)
    assert inside.anchor == pytest.approx(city_model.anchor.forecast(city_window.series, np.array([2400]))[0])
    usual = np.corrcoef(inside.scaled[inside.observed], (city_window.past - np.nanmean(city_window.past, axis=0))[inside.observed])[
        0, 1
    ]
    assert usual > 0.3


def test_the_pixel_of_a_sensor_has_its_own_reading(city_model, city_window):
    inside = trace_forward(city_model, city_window)
    image = city_model.builder(city_window.series).build(np.array([2400])).images[0, 0, 0].numpy()
    row, column = inside.pixel
    own = image[row, column]
    assert np.corrcoef(own, inside.scaled[-1])[0, 1] > 0.97


def test_changes_and_errors_are_means_over_what_is_known(city_model, city_window):
    before = predict(city_model, city_window)
    after = forecast_scenario(city_model, city_window, Scenario(without=("series",))).forecast
    change = np.abs(after.median - before.median)
    assert mean_change(before, after) == pytest.approx(change.mean())
    assert mean_change(before, after, 3) == pytest.approx(change[:, 3].mean())
    assert mean_change(before, before) == 0
    truth = np.full_like(before.median, np.nan)
    assert np.isnan(mean_error(before, truth))
    truth[0, 0] = before.median[0, 0] + 2
    assert mean_error(before, truth) == pytest.approx(2, abs=1e-4)


def test_suspects_go_from_the_sensor_itself_to_the_farthest(city_window):
    network = city_window.series.network
    found = quiz_options(network, 0)
    distance = np.hypot(*(network.position_km - network.position_km[0]).T)
    assert found[0] == 0
    assert len(found) == 4
    assert distance[list(found)].tolist() == sorted(distance[list(found)])
    assert found[-1] == distance.argmax()
    assert quiz_options(network.select(np.array([0, 1])), 1) == (1, 0)


def test_a_misspelling_is_another_text_that_people_still_understand():
    assert is_misspelt("crash near Rng noth 1", "crash near Ring north 1")
    assert not is_misspelt("Crash near Ring north 1", "crash near Ring north 1")
    assert not is_misspelt("sunny", "crash near Ring north 1")
