"""The bands of a single forecast: they follow what was missed lately, never what comes, and never windows of the training."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from stvlm.core.forecast import LEVELS
from stvlm.core.windows import Window
from stvlm.inference.predict import predict, predict_many, recent_calibrator
from stvlm.training.fit import FitConfig, fit
from tests.support.series import wave_series

LOW, HIGH = LEVELS.index(0.1), LEVELS.index(0.9)


@pytest.fixture(scope="module")
def rough():
    """The wave, with eight times the noise in the last tenth of the time: after all that a model learns from."""
    series = wave_series()
    values = series.values.copy()
    late = np.arange(series.n_steps) >= 450
    values[late] += np.random.default_rng(1).normal(0, 12, values[late].shape).astype("f4")
    return replace(series, values=values)


@pytest.fixture(scope="module")
def model(rough):
    return list(fit(rough, FitConfig(lookback=12, horizon=6, seasons_minutes=(1440,), max_steps=0)))[-1].model


def width(quantiles: np.ndarray) -> float:
    return float((quantiles[HIGH] - quantiles[LOW]).mean())


def test_after_the_readings_have_become_rougher_the_bands_are_wider(model, rough):
    static = predict_many(model, rough, np.array([490]))[:, 0]
    follows = predict(model, Window(rough, 490, 12, 6)).values
    assert width(follows) > 1.5 * width(static)
    assert (follows[LEVELS.index(0.5)] == static[LEVELS.index(0.5)]).all()


def test_no_window_of_the_training_tells_how_wide_the_bands_must_be(model, rough):
    train_end = model.manifest["split"]["train_end"]
    static = predict_many(model, rough, np.array([train_end]))[:, 0]
    assert (predict(model, Window(rough, train_end, 12, 6)).values == static).all()
    assert (recent_calibrator(model, rough, train_end).factors == 1).all()


def test_a_shorter_horizon_has_the_same_bands(model, rough):
    whole, short = (predict(model, Window(rough, 480, 12, horizon)).values for horizon in (6, 2))
    assert (whole[:, :2] == short).all()


def test_a_model_not_taken_forecasts_the_same_without_running_its_network(model, rough):
    assert model.is_anchor
    cutoffs = np.array([200, 300, 480])
    with torch.no_grad():
        inputs = model.builder(rough).build(cutoffs)
        through_the_network = model.quantiles(model(inputs), inputs).numpy()
    np.testing.assert_allclose(predict_many(model, rough, cutoffs), through_the_network, rtol=1e-6)


def test_what_was_forecast_before_changes_nothing(model, rough):
    fresh = deepcopy(model)
    for cutoff in (470, 480, 481, 483, 490):
        asked = predict(model, Window(rough, cutoff, 12, 6)).values
    np.testing.assert_allclose(asked, predict(fresh, Window(rough, 490, 12, 6)).values, rtol=1e-6)


def test_a_model_that_has_changed_is_replayed_anew(model, rough):
    changed = deepcopy(model)
    before = recent_calibrator(changed, rough, 490).factors
    changed.spread.mul_(0.3)
    after = recent_calibrator(changed, rough, 490).factors
    assert after[HIGH].mean() > 1.5 * before[HIGH].mean()
    np.testing.assert_array_equal(after, recent_calibrator(deepcopy(changed), rough, 490).factors)


@pytest.mark.parametrize("start", [60, -60], ids=["the readings begin later", "the readings begin earlier"])
def test_windows_of_the_training_are_known_by_their_time_not_their_row(rough, start):
    learnt, given = (rough, rough.slice(60, 500)) if start > 0 else (rough.slice(60, 500), rough)
    model = list(fit(learnt, FitConfig(lookback=12, horizon=6, seasons_minutes=(1440,), max_steps=0)))[-1].model
    end = model.manifest["split"]["train_end"] - start
    assert (recent_calibrator(model, given, end).factors == 1).all()
    assert (recent_calibrator(model, given, end + 40).factors != 1).any()


def test_readings_of_another_step_or_unit_are_refused_in_words(model, rough):
    daily = replace(rough, times=rough.times[0] + np.arange(rough.n_steps) * np.timedelta64(1, "D"))
    with pytest.raises(ValueError, match="forecasts steps of 60 minutes; these readings come every 1440 minutes"):
        predict(model, Window(daily, 490, 12, 6))
    named = deepcopy(model)
    named.manifest = model.manifest | {"unit": "km/h"}
    with pytest.raises(ValueError, match="trained on readings in km/h; these are in mph"):
        predict(named, Window(replace(rough, unit="mph"), 490, 12, 6))
    for unit in ("km/h", ""):
        assert predict(named, Window(replace(rough, unit=unit), 490, 12, 6)).unit == unit
