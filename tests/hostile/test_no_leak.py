"""Nothing of the future comes through on any path, and scores do not depend on how they are computed."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split, Window
from stvlm.evaluation import metrics
from stvlm.inference.predict import model_inputs, predict
from stvlm.training.fit import FitConfig, fit
from stvlm.training.zero_shot import zero_shot

LOOKBACK, HORIZON, SPLIT = 6, 3, (0.6, 0.2, 0.2)
FUTURES = {
    "gone": lambda rest: np.full_like(rest, np.nan),
    "huge": lambda rest: rest * 1e6,
    "turned round": lambda rest: rest[::-1],
    "below zero": lambda rest: -rest - 100,
    "one number": lambda rest: np.full_like(rest, 3),
}


@pytest.fixture(scope="module")
def series(small_series) -> SensorSeries:
    """Nine days of six sensors, with a fact known ahead and one that is not."""
    part = small_series.slice(0, 216)
    facts = pd.DataFrame({"rain": np.arange(216.0) % 7, "news": [f"word {i}" for i in range(216)]})
    return dataclasses.replace(part, context=facts, known_ahead=("rain",))


def changed_from(series: SensorSeries, step: int, how: str) -> SensorSeries:
    """The series with other readings, and other facts that are not known ahead, from a step on."""
    values, facts = series.values.copy(), series.context.copy()
    values[step:] = FUTURES[how](values[step:])
    facts.loc[step:, "news"] = "the future"
    return dataclasses.replace(series, values=values, context=facts)


def trained(series: SensorSeries):
    """A model after a few steps of training, taken whatever it is worth."""
    terms = {"device": "cpu", "max_steps": 1, "min_gain": -9.0, "batch_size": 4, "seasons_minutes": (1440,)}
    config = FitConfig(LOOKBACK, HORIZON, SPLIT, views=("field",), **terms)
    *_, last = fit(series, config)
    return last.model


@pytest.fixture(scope="module")
def model(series):
    return trained(series)


def seen(model, series, cutoff):
    """All that a forecast is made of and brings, as arrays and words."""
    window = Window(series, cutoff, LOOKBACK, HORIZON)
    inputs = model_inputs(model, window)
    parts = [getattr(inputs, field.name) for field in dataclasses.fields(inputs)]
    arrays = [np.asarray(part) for part in parts if isinstance(part, np.ndarray) or hasattr(part, "numpy")]
    return predict(model, window).values, arrays, str(inputs.prompt)


@settings(max_examples=6, deadline=None)
@given(st.integers(180, 212), st.sampled_from(sorted(FUTURES)))
def test_forecast_bands_images_and_prompt_know_nothing_after_the_cutoff(model, series, cutoff, how):
    here, there = seen(model, series, cutoff), seen(model, changed_from(series, cutoff, how), cutoff)
    np.testing.assert_allclose(here[0], there[0], rtol=1e-6, err_msg="windows kept from before leave smaller batches: the last bit")
    for a, b in zip(here[1], there[1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert here[2] == there[2]
    assert "the future" not in there[2]


def test_training_knows_nothing_of_the_test_part(model, series):
    start = Split.from_shares(series.n_steps, SPLIT).test_start
    again = trained(changed_from(series, start, "below zero"))
    for (name, here), there in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        np.testing.assert_array_equal(here.numpy(), there.numpy(), err_msg=name)
    assert again.anchor.choice == model.anchor.choice
    assert again.anchor.shares == model.anchor.shares
    honest = {key: value for key, value in model.manifest["scores"].items() if "test" not in key}
    assert {key: again.manifest["scores"][key] for key in honest} == honest


@pytest.mark.parametrize("how", ["gone", "huge"])
def test_zero_shot_knows_nothing_after_the_cutoff(series, how):
    made = []
    for one in (series, changed_from(series, 190, how)):
        found = zero_shot(one, 190, LOOKBACK, HORIZON, (1440,))
        made.append((predict(found, Window(one, 190, LOOKBACK, HORIZON)).values, found.anchor.choice, found.spread.numpy()))
    np.testing.assert_array_equal(made[0][0], made[1][0])
    np.testing.assert_array_equal(made[0][2], made[1][2])
    assert made[0][1] == made[1][1]


def test_other_orders_of_the_sensors_give_the_same_forecast_in_that_order(series):
    order = np.array([4, 0, 5, 2, 1, 3])
    here = predict(zero_shot(series, 216, LOOKBACK, HORIZON, (1440,)), Window(series, 216, LOOKBACK, HORIZON)).values
    moved = series.select(order)
    there = predict(zero_shot(moved, 216, LOOKBACK, HORIZON, (1440,)), Window(moved, 216, LOOKBACK, HORIZON)).values
    np.testing.assert_allclose(there, here[..., order], rtol=2e-3)


cells = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))


def drawn(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles (7, W, H, N) and a truth (W, H, N) with gaps."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(20, 5, shape).astype("f4")
    forecast = np.sort(truth + generator.normal(0, 4, (7, *shape)), axis=0).astype("f4")
    truth[generator.random(shape) < 0.3] = np.nan
    truth.flat[0] = 20.0
    return forecast, truth


@settings(max_examples=25, deadline=None)
@given(cells, st.integers(0, 10**6))
def test_scores_are_those_of_scikit_learn(shape, seed):
    forecast, truth = drawn(shape, seed)
    told, known, lower = forecast[3], np.isfinite(truth), forecast[1]
    result = metrics.score(forecast, truth)
    assert result["mae"] == pytest.approx(theirs.mean_absolute_error(truth[known], told[known]), rel=1e-5)
    assert result["rmse"] == pytest.approx(theirs.root_mean_squared_error(truth[known], told[known]), rel=1e-5)
    loss = theirs.mean_pinball_loss(truth[known], lower[known], alpha=0.1)
    assert metrics.pinball(lower, truth, 0.1) == pytest.approx(loss, rel=1e-4, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(cells, st.integers(0, 10**6), st.integers(1, 3))
def test_scores_do_not_depend_on_order_or_on_blocks(shape, seed, block):
    forecast, truth = drawn(shape, seed)
    whole = metrics.score(forecast, truth)
    order = np.random.default_rng(seed).permutation(shape[2])
    sums = metrics.Scores()
    for start in range(0, shape[0], block):
        sums.add(forecast[:, start : start + block][..., order], truth[start : start + block][..., order])
    for key in ("mae", "rmse", "accuracy", "crps", "coverage_80"):
        if whole.get(key) is not None:
            assert sums.result()[key] == pytest.approx(whole[key], rel=1e-6), key
