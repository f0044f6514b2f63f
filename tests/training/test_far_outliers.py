"""A few wild readings: forecasts stay as they were, bands hold, and the anchor takes over where the newest readings are wild."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stvlm.calibration.conformal import ConformalBands, conformal_offsets
from stvlm.core.forecast import LEVELS
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.evaluation.backtest import backtest
from stvlm.inference.predict import model_inputs, predict, predict_many, predict_together
from stvlm.inference.scenario import typical_spread
from stvlm.model.stvlm import STVLM
from stvlm.training.fit import FitConfig, fit
from stvlm.training.zero_shot import zero_shot
from tests.support.series import sine_series, wild

L, H, STOP = 24, 12, 720
CLEAN = sine_series()
RANDOM = np.random.default_rng(5)


def with_sensor(values: np.ndarray | float) -> SensorSeries:
    """The clean network, whose first sensor reads something else all the time."""
    changed = CLEAN.values.copy()
    changed[:, 0] = values
    return replace(CLEAN, values=changed)


SPOILT = {
    "twenty cells": wild(CLEAN, 20),
    "twenty negative ones": wild(CLEAN, 20, -1e7),
    "0.1 %": wild(CLEAN, 0.001),
    "2 %": wild(CLEAN, 0.02),
    "2 % of a logger's -9999": wild(CLEAN, 0.02, -9999.0),
    "2 % of the training part": wild(CLEAN, 0.02, steps=slice(540)),
    "2 % of the validation part": wild(CLEAN, 0.02, steps=slice(540, STOP)),
    "2 % of what forecasts are made from": wild(CLEAN, 0.02, steps=slice(STOP - L, None)),
    "5 % of the first steps": wild(CLEAN, 0.05, steps=slice(64)),
}
ONE_SENSOR = {
    "noise of 1e7": with_sensor(RANDOM.normal(0, 1e7, 900)),
    "another unit": with_sensor(1e6 * CLEAN.values[:, 0]),
    "a constant 1e7": with_sensor(1e7),
}


def model_of(name: str, series: SensorSeries) -> STVLM:
    if name == "zero-shot":
        return zero_shot(series, STOP, L, H)
    settings = {"max_steps": 0} if name == "anchor" else {"max_steps": 4, "min_gain": -1.0}
    return list(fit(series, FitConfig(L, H, device="cpu", seasons_minutes=(1440,), **settings)))[-1].model


def scored(model: STVLM, series: SensorSeries, sensors: slice = slice(None)) -> tuple[float, float, float]:
    """Error against the clean readings, share of them in the 80 % bands, and the narrowest of these."""
    cutoffs = range(STOP, CLEAN.n_steps - H + 1, 15)
    forecasts = predict_together(model, [Window(series, cutoff, L, H) for cutoff in cutoffs])
    truth = np.stack([CLEAN.values[cutoff : cutoff + H] for cutoff in cutoffs])[..., sensors]
    median = np.stack([f.median for f in forecasts])[..., sensors]
    low, high = (np.stack([f.band(0.8)[side] for f in forecasts])[..., sensors] for side in (0, 1))
    return float(np.abs(median - truth).mean()), float(((low <= truth) & (truth <= high)).mean()), float((high - low).min())


@pytest.fixture(scope="module")
def models():
    return {name: model_of(name, CLEAN) for name in ("zero-shot", "anchor", "fitted")}


@pytest.mark.parametrize(
    ("name", "kind"), [*(("zero-shot", kind) for kind in SPOILT), ("anchor", "2 % of the training part"), ("anchor", "2 %")]
)
def test_a_few_wild_cells_cost_at_most_a_tenth_of_the_error_and_bands_hold(models, name, kind):
    error, held, narrowest = scored(model_of(name, SPOILT[kind]), SPOILT[kind])
    assert error < 1.1 * scored(models[name], CLEAN)[0]
    assert 0.75 <= held <= 0.85
    assert narrowest > 0


@pytest.mark.parametrize("kind", ["2 %", "2 % of what forecasts are made from", "twenty negative ones"])
def test_a_network_that_was_trained_on_clean_readings_bears_them_too(models, kind):
    error, held, narrowest = scored(models["fitted"], SPOILT[kind])
    assert not models["fitted"].is_anchor
    assert error < 1.1 * scored(models["fitted"], CLEAN)[0]
    assert 0.75 <= held <= 0.85
    assert narrowest > 0


def test_a_network_is_trained_through_them(models):
    error, held, _ = scored(model_of("fitted", SPOILT["2 %"]), SPOILT["2 %"])
    assert error < 1.1 * scored(models["fitted"], CLEAN)[0]
    assert 0.75 <= held <= 0.85


@pytest.mark.parametrize(("name", "kind"), [*(("zero-shot", kind) for kind in ONE_SENSOR), ("anchor", "noise of 1e7")])
def test_one_wild_sensor_does_not_harm_the_others(models, name, kind):
    others = slice(1, None)
    error, held, narrowest = scored(model_of(name, ONE_SENSOR[kind]), ONE_SENSOR[kind], others)
    assert error < 1.1 * scored(models[name], CLEAN, others)[0]
    assert 0.75 <= held <= 0.85
    assert narrowest > 0


def test_where_the_newest_readings_are_wild_the_anchor_forecasts_alone(models):
    model, cutoff = models["fitted"], 800
    values = CLEAN.values.copy()
    values[cutoff - 3, 2] = 1e7
    spoilt = replace(CLEAN, values=values)
    gap = replace(CLEAN, values=np.where(values == 1e7, np.nan, values).astype("f4"))
    inputs = model.builder(spoilt).build(np.array([cutoff]))
    with torch.no_grad():
        output = model(inputs)
    assert inputs.doubtful.tolist() == [[node == 2 for node in range(6)]]
    assert (output.shift[..., 2] == 0).all()
    assert (output.shift[..., [0, 1, 3, 4, 5]] != 0).any()
    mine, missing = (predict_many(model, series, np.array([cutoff])) for series in (spoilt, gap))
    others = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(mine[..., others], missing[..., others])
    median = LEVELS.index(0.5)
    np.testing.assert_allclose(mine[median, 0, :, 2], model.anchor.forecast(gap, np.array([cutoff]))[0, :, 2], rtol=1e-5)
    assert model.builder(CLEAN).build(np.array([cutoff])).doubtful is None


def test_neither_words_nor_images_nor_noise_tell_of_them(models):
    values = CLEAN.values.copy()
    values[796, 2] = 1e7
    spoilt, gap = replace(CLEAN, values=values), replace(CLEAN, values=np.where(values == 1e7, np.nan, values).astype("f4"))
    seen, missing = (model_inputs(models["fitted"], Window(series, 800, L, H)) for series in (spoilt, gap))
    assert seen.prompt.text == missing.prompt.text
    np.testing.assert_array_equal(seen.images, missing.images)
    np.testing.assert_array_equal(typical_spread(Window(spoilt, 800, L, H)), typical_spread(Window(gap, 800, L, H)))


def test_the_bands_of_a_backtest_are_learnt_without_them():
    dirty = wild(CLEAN, 0.01, steps=slice(540, STOP))
    rows = [
        {row["model"]: row for row in backtest(series, L, H, models=("persistence", "anchor"), seasons=(1440,))["scores"]}
        for series in (CLEAN, dirty)
    ]
    for name in ("persistence", "anchor"):
        assert 0.75 <= rows[1][name]["coverage_80"] <= 0.85
    assert rows[1]["anchor"]["width_80"] < 1.2 * rows[0]["anchor"]["width_80"]


def test_bands_have_a_width_where_all_errors_were_nil():
    offsets = conformal_offsets(np.zeros((50, 3)), LEVELS)
    assert (np.diff(offsets, axis=0) > 0).all()
    assert (offsets[LEVELS.index(0.5)] == 0).all()
    some = np.zeros((1000, 1))
    some[:30] = 0.01  # less than what a band has at least: the outer ones are not narrower than the inner ones
    assert (np.diff(conformal_offsets(some, LEVELS), axis=0) >= 0).all()
    error = np.random.default_rng(0).normal(0, 1, (500, 2))
    error[:, 1] = np.nan
    known = conformal_offsets(error, LEVELS)
    np.testing.assert_array_equal(known[:, 1], known[:, 0])  # a step of which no error is known takes those of all
    bands = ConformalBands.fit(np.zeros((20, 4, 3)), np.zeros((20, 4, 3)))
    assert (bands.apply(np.zeros((1, 4, 3)))[-1] > 0).all()


def test_the_bands_of_rain_after_a_dry_spell_have_a_width():
    random = np.random.default_rng(2)
    values = np.where(random.random((900, 6)) < 0.3, random.gamma(0.7, 2.0, (900, 6)), 0).astype("f4")
    values[600:800] = 0
    rain = replace(CLEAN, values=values)
    model = zero_shot(rain, 790, L, H)
    low, high = predict(model, Window(rain, 790, L, H)).band(0.8)
    assert (high > low).all()
    assert (low >= 0).all()


def test_a_band_that_lies_under_the_floor_keeps_a_width(models):
    series = replace(CLEAN, values=np.maximum(CLEAN.values - 18, 0).astype("f4"))
    model = model_of("fitted", series)
    assert model.anchor.floor == 0
    inputs = model.builder(series).build(np.arange(STOP, STOP + 24))
    with torch.no_grad():
        output = model(inputs)
        output = replace(output, shift=output.shift - 20)
        quantiles = model.quantiles(output, inputs).numpy()
    assert (quantiles[LEVELS.index(0.5)] == 0).any()
    assert (quantiles[LEVELS.index(0.9)] > quantiles[LEVELS.index(0.1)]).all()
    assert (np.diff(quantiles, axis=0) >= 0).all()
