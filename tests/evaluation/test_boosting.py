"""Gradient boosting learns cycles and places, from the training part alone."""

import numpy as np
import pytest

from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split
from stvlm.evaluation.baselines import boosting as baselines_boosting
from stvlm.evaluation.baselines.boosting import Features, fit_boosting
from stvlm.evaluation.baselines.simple import TrainingData, fit_baseline
from stvlm.evaluation.metrics import mae


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setattr(baselines_boosting, "ROWS", 1000)
    monkeypatch.setattr(baselines_boosting, "TREES", 40)


def hourly(values: np.ndarray) -> SensorSeries:
    n_steps, n = values.shape
    network = SensorNetwork(tuple(f"s{i}" for i in range(n)), np.linspace(50, 51, n), np.linspace(10, 11, n))
    return SensorSeries(network, np.datetime64("2024-03-04T00:00:00") + np.arange(n_steps) * np.timedelta64(1, "h"), values)


def noisy(n_steps: int = 300, n_sensors: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(20, 3, (n_steps, n_sensors)).astype("f4")


def boosted(series: SensorSeries, split: Split, lookback: int = 6, horizon: int = 4, seasons=(1440,)):
    return fit_boosting(TrainingData(series, split, lookback, horizon), seasons)


def test_boosting_beats_persistence_and_ridge_on_a_bent_cycle():
    t = np.arange(600)[:, None]
    cycle = np.abs(np.sin(np.pi * (t / 24 + np.array([0, 0.2, 0.4])))) ** 3
    series, split = hourly(30 + 20 * cycle + np.random.default_rng(1).normal(0, 0.5, cycle.shape)), Split(0, 360, 480, 480, 600)
    test = split.cutoffs("test", 6, 6)
    truth = series.values[test[:, None] + np.arange(6)]
    data = TrainingData(series, split, 6, 6)
    simple = {name: mae(fit_baseline(name, data, ())[0](test), truth) for name in ("persistence", "ridge")}
    boosting = mae(fit_boosting(data, (1440,))(test), truth)
    assert boosting < 0.2 * simple["persistence"]
    assert boosting < 0.5 * simple["ridge"]
    assert boosting < 0.9  # the noise alone is 0.4


def test_boosting_follows_a_level_that_training_never_saw():
    values = noisy() + np.where(np.arange(300) < 230, 0, 1000)[:, None]
    split = Split(0, 200, 230, 230, 300)
    forecast = boosted(hourly(values), split, seasons=())(np.array([280]))
    assert np.abs(forecast - 1020).max() < 12


def test_the_test_part_changes_no_tree_and_later_readings_no_forecast():
    values, split = noisy(), Split(0, 200, 250, 250, 300)
    changed = values.copy()
    changed[260:] = 500
    before, after = boosted(hourly(values), split), boosted(hourly(changed), split)
    assert before.n_parameters == after.n_parameters
    assert (before(np.array([255, 260])) == after(np.array([255, 260]))).all()
    assert (before(np.array([261])) != after(np.array([261]))).any()


def test_features_of_a_cutoff_know_nothing_after_it():
    values = noisy(24 * 3 * 366 // 24, 2)  # days, three years
    values[:, 1] = np.nan
    changed = values.copy()
    changed[900:] = 999  # the second sensor's first reading comes late
    network = hourly(values).network
    days = np.datetime64("2020-01-01") + np.arange(len(values))
    split = Split(0, 800, 850, 850, len(values))
    cells = np.full(60, 900), np.tile(np.arange(30), 2), np.repeat([0, 1], 30)
    one, other = (
        Features(TrainingData(SensorSeries(network, days, v), split, 20, 30), (10080, 525600))(*cells) for v in (values, changed)
    )
    assert np.array_equal(one, other, equal_nan=True)
    assert one.shape[0] == 60


def test_few_shot_training_sees_nothing_before_its_block():
    values, split = noisy(), Split(120, 200, 250, 250, 300)
    changed = values.copy()
    changed[:120] = 999
    before, after = (boosted(hourly(v), split)(np.array([260])) for v in (values, changed))
    assert (before == after).all()


def test_the_same_seed_gives_the_same_numbers_and_another_others():
    data = TrainingData(hourly(noisy()), Split(0, 200, 250, 250, 300), 6, 4)
    one, same, other = (fit_boosting(data, (1440,), seed)(np.array([260])) for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()


def test_gaps_dead_and_constant_sensors_do_no_harm():
    values = noisy(n_sensors=4)
    values[np.random.default_rng(1).random(values.shape) < 0.3] = np.nan
    values[:, 1] = np.nan
    values[:, 2] = 7.0
    split = Split(0, 200, 250, 250, 300)
    forecast = boosted(hourly(values), split)(split.cutoffs("test", 6, 4))
    assert forecast.dtype == np.float32
    assert np.isfinite(forecast).all()
    assert forecast[..., 2] == pytest.approx(7.0, abs=1)


def test_one_sensor_and_no_validation_part_are_enough():
    split = Split(0, 250, 250, 250, 300)
    forecast = boosted(hourly(noisy(n_sensors=1)), split)(split.cutoffs("test", 6, 4))
    assert np.abs(forecast - 20).mean() < 3


def test_nothing_observed_in_a_window_of_training_leaves_persistence():
    values = np.full((300, 1), np.nan, "f4")
    values[:3] = 5
    values[250:] = 9
    forecast = boosted(hourly(values), Split(0, 200, 250, 250, 300))(np.array([260]))
    assert forecast.ravel().tolist() == [9, 9, 9, 9]


def test_a_lookback_of_one_step_is_enough():
    split = Split(0, 200, 250, 250, 300)
    forecast = boosted(hourly(noisy()), split, lookback=1)(split.cutoffs("test", 1, 4))
    assert np.abs(forecast - 20).mean() < 3
