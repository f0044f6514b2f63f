"""The simple methods by hand, with gaps and dead sensors, and equal to the comparison protocol."""

import numpy as np
import pytest

from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split
from stvlm.evaluation.baselines.simple import BASELINES, Forecaster, TrainingData, fit_baseline
from stvlm.evaluation.metrics import score
from tests.support.protocol_networks import as_series, load_protocol, split_of

NETWORKS = (
    "metr_la_week", "irish_wind", "germany_pm10_daily", "bixi_montreal_daily", "ozone_midwest_1987", "pems_la_flow_15min",
    "beijing_air", "ireland_hourly_weather_2017", "noaa_us_1990_93", "danube_discharge", "pjm_load", "italy_covid_regions",
    "nyc_flight_delay",
)  # fmt: skip


def hourly(values: np.ndarray) -> SensorSeries:
    n_steps, n = values.shape
    network = SensorNetwork(tuple(f"s{i}" for i in range(n)), np.linspace(50, 51, n), np.linspace(10, 11, n))
    return SensorSeries(network, np.datetime64("2024-03-05T06:00:00") + np.arange(n_steps) * np.timedelta64(1, "h"), values)


def fitted(series: SensorSeries, split: Split, lookback=3, horizon=2, seasons=(1440,)) -> dict[str, Forecaster]:
    data = TrainingData(series, split, lookback, horizon)
    return {f.name: f for family in BASELINES for f in fit_baseline(family, data, seasons)}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_simple_method_scores_as_in_the_protocol(shared_data, name):
    protocol = load_protocol(shared_data)
    data = protocol.load(name)
    test = data.cutoffs("test")
    assert (split_of(data).cutoffs("test", data.lookback, data.horizon) == test).all()
    theirs = protocol.naive(data, test) | {"ridge": protocol.ridge(data, test)}
    ours = fitted(as_series(data), split_of(data), data.lookback, data.horizon, tuple(data.seasons_minutes))
    ours = {label: f(test) for label, f in ours.items() if f.first_cutoff <= test[0]}
    assert set(ours) == set(theirs)
    truth = data.future(test)
    for label, forecast in theirs.items():
        mine, other = score(ours[label], truth), protocol.score(forecast, truth)
        assert {k: mine[k] for k in other} == pytest.approx(other, rel=1e-5), label


def test_persistence_repeats_the_last_reading_across_a_gap():
    values = np.arange(200, dtype="f4").reshape(100, 2)
    values[60:63, 0] = np.nan
    forecast = fitted(hourly(values), Split(0, 60, 80, 80, 100))["persistence"](np.array([63, 70]))
    assert forecast.tolist() == [[[118, 125], [118, 125]], [[138, 139], [138, 139]]]


def test_seasonal_naive_takes_the_last_known_reading_of_the_same_phase():
    values = np.arange(100, dtype="f4")[:, None]
    forecast = fitted(hourly(values), Split(0, 60, 80, 80, 100), horizon=26)["seasonal naive 1d"](np.array([72]))[0, :, 0]
    assert forecast[:24].tolist() == list(range(48, 72))
    assert forecast[24:].tolist() == [48, 49]


def test_the_historical_average_is_the_training_mean_of_the_hour():
    values = np.tile(np.arange(24, dtype="f4"), 5)[:, None] + np.repeat([0, 10, 20, 900, 900], 24)[:, None].astype("f4")
    average = fitted(hourly(values), Split(0, 72, 96, 96, 120))["historical average 1d"]
    assert average(np.array([96]))[0, :, 0].tolist() == [10, 11]
    assert average.n_parameters == 24


def test_a_season_that_training_does_not_cover_has_no_row():
    names = set(fitted(hourly(np.random.default_rng(0).random((100, 2))), Split(0, 60, 80, 80, 100), seasons=(1440, 10080)))
    assert names == {"persistence", "seasonal naive 1d", "seasonal naive 7d", "historical average 1d", "ridge"}


def test_a_forecaster_refuses_a_cutoff_before_its_first():
    weekly = fitted(hourly(np.zeros((400, 1))), Split(0, 200, 300, 300, 400), seasons=(10080,))["seasonal naive 7d"]
    assert weekly.first_cutoff == 168
    with pytest.raises(ValueError, match="seasonal naive 7d needs 168 steps"):
        weekly(np.array([167]))


def test_ridge_learns_a_line_that_one_sensor_follows():
    values = (0.9 ** np.arange(100.0) * 1000 + 50)[:, None]
    ridge = fitted(hourly(values), Split(0, 60, 80, 80, 100), seasons=())["ridge"]
    rise = values[:60] - values[:60].mean()
    assert np.abs(ridge(np.array([40]))[0, :, 0] - values[40:42, 0]).max() < 0.15 * rise.std()


def test_gaps_dead_sensors_and_constants_give_finite_forecasts():
    rng = np.random.default_rng(4)
    values = rng.normal(20, 3, (300, 5)).astype("f4")
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, 1] = np.nan
    values[:180, 2] = np.nan
    values[:, 3] = 7.0
    for forecaster in fitted(hourly(values), Split(0, 180, 240, 240, 300)).values():
        forecast = forecaster(np.arange(240, 299))
        assert forecast.shape == (59, 2, 5)
        assert forecast.dtype == np.float32
        assert np.isfinite(forecast).all(), forecaster.name
        assert forecast[..., 3] == pytest.approx(7.0, abs=1e-3)


def test_nothing_after_training_and_before_the_window_matters_to_what_is_fitted():
    values = np.random.default_rng(6).normal(20, 3, (300, 3)).astype("f4")
    changed = values.copy()
    changed[200:] += 50
    split = Split(0, 180, 240, 240, 300)
    before, after = fitted(hourly(values), split), fitted(hourly(changed), split)
    for name in before:
        assert (before[name](np.array([190])) == after[name](np.array([190]))).all()


def test_few_shot_training_sees_nothing_before_its_block():
    values = np.random.default_rng(8).normal(20, 3, (300, 3)).astype("f4")
    changed = values.copy()
    changed[:120] = 999
    split = Split(120, 180, 240, 240, 300)
    before, after = fitted(hourly(values), split), fitted(hourly(changed), split)
    assert "ridge" in before
    for name in before:
        assert (before[name](np.array([240])) == after[name](np.array([240]))).all()


def test_a_training_part_without_readings_is_refused():
    values = np.full((100, 2), np.nan, "f4")
    values[70:] = 1
    with pytest.raises(ValueError, match=r"The training part \(60 steps\) holds no reading"):
        TrainingData(hourly(values), Split(0, 60, 80, 80, 100), 3, 2)
