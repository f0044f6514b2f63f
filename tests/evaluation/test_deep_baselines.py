"""Deep baselines learn what their papers say they can, from the training part alone."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import sparse

from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split
from stvlm.evaluation.baselines import DEEP
from stvlm.evaluation.baselines.boosting import Calendar
from stvlm.evaluation.baselines.deep import (
    Batches,
    DeepConfig,
    DLinear,
    GraphWaveNet,
    Recipe,
    diffuse,
    dilations,
    fit_deep,
    make_network,
    transitions,
)

CPU = torch.device("cpu")
FAST = Recipe(5e-3, 0.0, 32)


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks this small only wait for a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def hourly(values: np.ndarray, adjacency: np.ndarray | None = None) -> SensorSeries:
    n_steps, n = values.shape
    edges = None if adjacency is None else sparse.csr_matrix(adjacency)
    network = SensorNetwork(tuple(f"s{i}" for i in range(n)), np.linspace(50, 51, n), np.linspace(10, 11, n), edges)
    return SensorSeries(network, np.datetime64("2024-03-04T00:00:00") + np.arange(n_steps) * np.timedelta64(1, "h"), values)


def noisy(n_steps: int = 300, n_sensors: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(20, 3, (n_steps, n_sensors)).astype("f4")


def error(forecaster, series: SensorSeries, cutoffs: np.ndarray, horizon: int) -> float:
    truth = series.values[cutoffs[:, None] + np.arange(horizon)]
    return float(np.abs(forecaster(cutoffs) - truth).mean())


def test_dlinear_learns_a_season_on_a_slope():
    t = np.arange(400.0)[:, None]
    series = hourly(50 + 0.05 * t + 10 * np.sin(2 * np.pi * (t / 24 + np.array([0, 0.3, 0.6]))))
    split = Split(0, 250, 320, 320, 400)
    forecaster = fit_deep(DeepConfig("dlinear", max_steps=1200, recipe=FAST), series, split, 48, 12, ())
    assert error(forecaster, series, split.cutoffs("test", 48, 12), 12) < 0.3  # persistence errs by 8, a sensor's mean by 9
    assert forecaster.n_parameters == 2 * (48 + 1) * 12


def test_dlinear_starts_with_the_mean_of_the_past():
    batches = Batches(hourly(noisy()), Split(0, 200, 250, 250, 300), 12, 4, (), CPU)
    batch = batches.cut(np.array([60]))
    with torch.no_grad():
        forecast = DLinear(12, 4)(batch)
    assert torch.allclose(forecast, batch.past.mean(dim=1, keepdim=True).expand(-1, 4, -1), atol=1e-6)


def test_stid_tells_sensors_apart_that_have_the_same_past():
    t = np.arange(400)
    pulse = (t % 8 < 4) * 2.0
    values = np.stack([pulse, pulse], axis=1).astype("f4")
    values[t % 8 == 5] = [3.0, -3.0]  # one jumps, the other falls, two steps after the same four readings
    values[t % 8 == 7] = [-3.0, 3.0]  # so that their means and spreads are the same too
    series, split = hourly(values), Split(0, 248, 320, 320, 400)
    cutoffs = np.array([324, 332, 340])  # 324 % 8 == 4: the past is the pulse alone
    forecaster = fit_deep(DeepConfig("stid", max_steps=200), series, split, 4, 2, ())
    assert (values[320:324, 0] == values[320:324, 1]).all()
    step = forecaster(cutoffs)[:, 1]
    assert (step[:, 0] > 2.5).all()
    assert (step[:, 1] < -2.5).all()
    with torch.no_grad():
        forecaster.network.sensor.zero_()
    blind = forecaster(cutoffs)
    assert blind[..., 0] == pytest.approx(blind[..., 1], abs=0.1)


def test_graph_wavenet_sees_the_whole_lookback():
    assert dilations(12) == (1, 2, 1, 2, 1, 2, 1, 2)
    for lookback in (2, 12, 13, 14, 24, 28, 48, 168):
        network = GraphWaveNet(lookback, 2, 2, Calendar())
        assert network.receptive_field >= lookback
        assert len(network.dilations) >= 8
    batches = Batches(hourly(noisy()), Split(0, 200, 250, 250, 300), 28, 4, (), CPU)
    network = make_network("graph wavenet", batches).eval()
    batch = batches.cut(np.array([60]))
    batch.past.requires_grad_(True)
    network(batch).abs().sum().backward()
    assert (batch.past.grad.abs().sum(dim=(0, 2)) > 0).all()  # every step of the past moves the forecast


def test_graph_wavenet_forecasts_a_travelling_wave_from_the_sensor_before():
    rng = np.random.default_rng(2)
    source = rng.normal(0, 1, 703).astype("f4")
    values = np.stack([source[3:], source[:-3]], axis=1)  # the second sensor has what the first had three steps ago
    series, split = hourly(values, np.array([[0, 1], [0, 0]])), Split(0, 500, 600, 600, 700)
    forecaster = fit_deep(DeepConfig("graph wavenet", max_steps=150, recipe=FAST), series, split, 6, 2, ())
    cutoffs = split.cutoffs("test", 6, 2)
    errors = np.abs(forecaster(cutoffs) - values[cutoffs[:, None] + np.arange(2)]).mean(axis=(0, 1))
    assert errors[1] < 0.3 < 0.7 < errors[0]  # the noise of the first cannot be foretold


def test_readings_diffuse_along_the_edges_of_the_given_graph():
    along, against = (graph.to_dense() for graph in transitions(sparse.csr_matrix([[0.0, 3, 1], [0, 0, 0], [0, 0, 0]])))
    values = torch.tensor([4.0, 0, 0]).view(3, 1, 1, 1)
    assert diffuse(values, [along])[1].flatten().tolist() == [0, 3, 1]
    assert diffuse(values, [against])[1].flatten().tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", DEEP)
def test_the_same_seed_gives_the_same_numbers_and_another_others(name):
    series, split = hourly(noisy()), Split(0, 200, 250, 250, 300)
    cutoffs = split.cutoffs("test", 6, 2)
    one, same, other = (fit_deep(DeepConfig(name, s, max_steps=8), series, split, 6, 2, ()) for s in (3, 3, 4))
    assert (one(cutoffs) == same(cutoffs)).all()
    assert (one(cutoffs) != other(cutoffs)).any()


@pytest.mark.parametrize("name", DEEP)
def test_the_test_part_changes_no_parameter_and_later_readings_no_forecast(name):
    values, split = noisy(), Split(0, 200, 250, 250, 300)
    changed = values.copy()
    changed[260:] = 500
    before, after = (fit_deep(DeepConfig(name, max_steps=8), hourly(v), split, 6, 2, (1440,)) for v in (values, changed))
    for weight, other in zip(before.network.state_dict().values(), after.network.state_dict().values(), strict=True):
        assert torch.equal(weight, other)
    assert (before.batches.mean == after.batches.mean).all()
    assert (before(np.array([255, 260])) == after(np.array([255, 260]))).all()
    assert (before(np.array([261])) != after(np.array([261]))).any()


@pytest.mark.parametrize("name", DEEP)
def test_few_shot_training_sees_nothing_before_its_block(name):
    values, split = noisy(), Split(120, 200, 250, 250, 300)
    changed = values.copy()
    changed[:120] = 999
    before, after = (fit_deep(DeepConfig(name, max_steps=8), hourly(v), split, 6, 2, ()) for v in (values, changed))
    assert (before(np.array([260])) == after(np.array([260]))).all()


@pytest.mark.parametrize("name", DEEP)
def test_gaps_dead_and_constant_sensors_do_no_harm(name):
    values = noisy(n_sensors=4)
    values[np.random.default_rng(1).random(values.shape) < 0.3] = np.nan
    values[:, 1] = np.nan
    values[:, 2] = 7.0
    split = Split(0, 200, 250, 250, 300)
    forecaster = fit_deep(DeepConfig(name, max_steps=60), hourly(values), split, 6, 2, (1440,))
    forecast = forecaster(split.cutoffs("test", 6, 2))
    assert forecast.dtype == np.float32
    assert np.isfinite(forecast).all()
    assert np.isfinite(forecaster.val_mae)
    assert np.abs(forecast[..., [0, 3]] - 20).mean() < 2


def test_a_missing_reading_is_read_as_the_mean_and_no_target():
    values = noisy()
    values[50, 0] = np.nan
    values[61, 1] = np.nan
    batches = Batches(hourly(values), Split(0, 200, 250, 250, 300), 12, 4, (), CPU)
    batch = batches.cut(np.array([60]))
    assert batch.past[0, 2, 0] == 0
    assert torch.isnan(batch.target[0]).nonzero().tolist() == [[1, 1]]
    assert batches.unscaled(batch.past)[0, :, 2].numpy() == pytest.approx(values[48:60, 2], abs=1e-4)


def test_without_a_validation_part_the_end_of_training_is_held_out():
    series, split = hourly(noisy()), Split(0, 240, 240, 240, 300)
    forecaster = fit_deep(DeepConfig("dlinear", max_steps=8), series, split, 6, 2, ())
    assert 1 < forecaster.val_mae < 6


def test_the_time_ends_a_training():
    series, split = hourly(noisy()), Split(0, 200, 250, 250, 300)
    forecaster = fit_deep(DeepConfig("stid", max_minutes=1e-9), series, split, 6, 2, ())
    assert forecaster.out_of_time
    assert forecaster.steps == 0
    assert np.isfinite(forecaster(np.array([260]))).all()


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="'lstm' is no deep baseline; there are dlinear, stid, graph wavenet"):
        DeepConfig("lstm")


def test_a_cycle_is_known_only_where_training_holds_it_twice():
    series = hourly(noisy(24 * 40))
    assert Calendar.of(series, Split(0, 24 * 14, 500, 500, 960), (1440, 10080)) == Calendar(24, True, False)
    assert Calendar.of(series, Split(0, 24 * 13, 500, 500, 960), (1440, 10080)) == Calendar(24, False, False)
    assert Calendar.of(series, Split(0, 24 * 14, 500, 500, 960), ()) == Calendar()
    day, week, year = Calendar(24, True, True).phases(dataclasses.replace(series, timezone="Asia/Tokyo"))
    assert (day[0], week[0]) == (9, 0)  # a Monday, 9 in the morning there
    assert (day[15], week[15]) == (0, 1)
    assert year[0] == pytest.approx((31 + 29 + 3) / 366, abs=0.01)
