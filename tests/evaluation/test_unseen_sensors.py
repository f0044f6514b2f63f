"""Sensors that were never seen: nothing of them is read, they alone are scored, and interpolated ridge forecasts are beaten."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stvlm.cli.main import main
from stvlm.datasets import synthetic_city
from stvlm.evaluation.backtest import backtest, fall_silent, make_setup
from stvlm.evaluation.unseen_sensors import KNOWN, backtest_hidden, fitted_kriging, hidden_sensors, hold_out, ridge_between
from stvlm.spatial.locations import known_columns

SPLIT = (0.6, 0.2, 0.2)


@pytest.fixture(scope="module")
def series():
    return synthetic_city.field(20, 480, "wave", seed=3)


def course_of(series):
    return make_setup(series, 12, 4, SPLIT, None, ())


def test_a_seed_holds_out_its_share_and_another_seed_holds_out_others():
    first, again, other = hidden_sensors(40, 0.2, 0), hidden_sensors(40, 0.2, 0), hidden_sensors(40, 0.2, 1)
    assert len(first) == 8
    assert len(hidden_sensors(90, 0.35)) == 32  # of 31.5, which as floats is less
    assert (first == again).all()
    assert set(first) != set(other)
    with pytest.raises(ValueError, match="between 0 and 1"):
        hidden_sensors(40, 1.2)
    with pytest.raises(ValueError, match="3 would be left"):
        hidden_sensors(8, 0.6)


def test_readings_of_hidden_sensors_change_scores_only_through_the_truth(series):
    hidden = hidden_sensors(20, 0.2)
    values = series.values.copy()
    values[: int(480 * 0.8), hidden] = 500.0  # before the test part: nothing that is scored
    results = [backtest_hidden(s, 12, 4, SPLIT, seasons=()) for s in (series, replace(series, values=values))]
    assert [row["mae"] for row in results[0]["scores"]] == [row["mae"] for row in results[1]["scores"]]


def with_facts(series, **facts):
    return replace(series, network=replace(series.network, facts=pd.DataFrame(facts)))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([None, -3.0, 0.0, 1.0, 2.5, 7.0, 40.0]), min_size=20, max_size=20),
    st.sets(st.integers(0, 19), min_size=1, max_size=15),
)
def test_what_is_known_of_hidden_sensors_is_what_was_learnt_on_the_others(series, facts, hidden):
    series = with_facts(series, elevation=facts)
    hold = hold_out(series, np.array(sorted(hidden)), course_of)
    learnt = known_columns(hold.network, KNOWN)
    assert hold.sites.columns == tuple(learnt)
    for place, values in enumerate(learnt.values()):
        np.testing.assert_array_equal(hold.sites.here[:, place], values)
        assert np.isfinite(hold.sites.there[:, place]).all()


def test_a_hidden_sensor_below_the_sea_leaves_the_others_their_logarithm(series):
    hidden = hidden_sensors(20, 0.2)
    elevation = np.random.default_rng(2).permutation(np.geomspace(1.0, 3000.0, 20))
    elevation[hidden[0]] = -4.0
    values = series.values + 20 * np.log(np.maximum(elevation, 1.0) + 30)
    result = backtest_hidden(with_facts(replace(series, values=values), elev9=elevation), 12, 4, SPLIT, seasons=())
    anchor = next(row for row in result["scores"] if row["model"] == "anchor")
    assert "log elev9" in anchor["placement"][0]["way"]


def test_only_hidden_sensors_are_scored_and_rows_are_plain_json(series):
    result = json.loads(json.dumps(backtest_hidden(series, 12, 4, SPLIT, seasons=()), allow_nan=False))
    names = [row["model"] for row in result["scores"]]
    assert names == ["inverse distance of ridge", "kriging of ridge", "anchor", "anchor, by place alone"]
    hidden = hidden_sensors(20, 0.2)
    assert result["held_out"] == [[series.network.ids[i] for i in hidden]]
    for row in result["scores"]:
        assert [i for i, error in enumerate(row["mae_per_sensor"]) if error is not None] == hidden.tolist()
        assert row["cells"] == 4 * len(hidden) * result["windows"]["test"]
    anchor = result["scores"][2]
    assert 0.6 < anchor["coverage_80"] <= 1.0
    assert anchor["placement"][0]["share"] > 0


def test_a_wave_is_carried_to_unseen_places_better_than_interpolated_ridge(series):
    rows = {row["model"]: row["mae"] for row in backtest_hidden(series, 12, 4, SPLIT, seasons=())["scores"]}
    assert rows["anchor"] < 0.9 * min(rows["inverse distance of ridge"], rows["kriging of ridge"])


def test_several_seeds_give_a_mean_over_the_seeds_that_hid_each_sensor(series):
    result = backtest_hidden(series, 12, 4, SPLIT, seeds=2, seasons=())
    rows = {row["model"]: row for row in result["scores"]}
    mean = rows["anchor"]
    assert mean["mae"] == pytest.approx((rows["anchor seed 0"]["mae"] + rows["anchor seed 1"]["mae"]) / 2)
    node = next(i for i in range(20) if rows["anchor seed 0"]["mae_per_sensor"][i] is not None)
    seen = [
        row["mae_per_sensor"][node] for name, row in rows.items() if name.startswith("anchor seed") and row["mae_per_sensor"][node]
    ]
    assert mean["mae_per_sensor"][node] == pytest.approx(np.mean(seen))


def test_stvlm_is_carried_to_hidden_sensors_as_the_anchor_is(series):
    untrained = {"max_steps": 0, "modalities": ("series",), "device": "cpu"}
    result = backtest_hidden(series, 12, 4, SPLIT, models=("anchor", "stvlm"), seasons=(), fit_options=untrained)
    rows = {row["model"]: row for row in result["scores"]}
    assert list(rows)[2:] == ["anchor", "anchor, by place alone", "stvlm"]
    assert not rows["stvlm"]["taken"]
    assert rows["stvlm"]["placement"] == rows["anchor"]["placement"]
    assert rows["stvlm"]["mae"] == pytest.approx(rows["anchor"]["mae"], rel=1e-5)
    assert rows["stvlm"]["coverage_80"] == pytest.approx(rows["anchor"]["coverage_80"], abs=1e-3)


def test_hidden_sensors_are_in_no_neighbourhood_of_what_is_fitted(series):
    hold = hold_out(series, np.array([2, 5]), course_of)
    assert set(hold.network.ids).isdisjoint({series.network.ids[2], series.network.ids[5]})
    assert hold.readings.shape == (288, 18)
    assert (hold.sites.lat == series.network.lat[[2, 5]]).all()


def test_inverse_distance_of_ridge_is_the_weighted_mean_of_ridge_forecasts(series):
    hold = hold_out(series, np.array([4]), course_of)
    idw, kriging = ridge_between(hold)
    cutoffs = hold.course.cutoffs("test")[:3]
    from stvlm.evaluation.baselines.simple import TrainingData, fit_baseline

    ridge = fit_baseline("ridge", TrainingData(hold.course.series, hold.course.split, 12, 4), ())[0](cutoffs)
    index, distance = hold.network.nearest_to(hold.sites.lat, hold.sites.lon, 6)
    weight = np.maximum(distance[0], 0.05 * hold.network.spacing_km) ** -2
    assert idw.forecast(cutoffs)[..., 0] == pytest.approx(ridge[..., index[0]] @ (weight / weight.sum()), rel=1e-4)
    assert kriging.forecast(cutoffs).shape == (3, 4, 1)


def test_the_variogram_is_found_again_in_fields_that_were_made_with_it():
    network = synthetic_city.field(80, 2).network
    place = network.position_km / network.half_extent_km
    distance = np.linalg.norm(place[:, None] - place, axis=-1)
    draws = np.random.default_rng(0).multivariate_normal(np.zeros(80), 4 * np.exp(-distance / 0.6) + 0.8 * np.eye(80), 800)
    kernel = fitted_kriging(network, draws[:, None])
    assert 0.35 < kernel.reach < 1.1
    assert 0.1 < kernel.nugget < 0.35  # 0.8 of 4


def test_unknown_models_and_hidden_sensors_without_a_reading_are_refused(series):
    with pytest.raises(ValueError, match="stid"):
        backtest_hidden(series, 12, 4, SPLIT, models=("stid",))
    values = series.values.copy()
    values[:, hidden_sensors(20, 0.05)] = np.nan
    with pytest.raises(ValueError, match="not observed in the test part"):
        backtest_hidden(replace(series, values=values), 12, 4, SPLIT, share=0.05, seasons=())


def test_silent_sensors_send_nothing_from_one_lookback_before_the_test_part(series):
    silent = fall_silent(series, 0.3, 370)
    gone = np.isnan(silent.values[370:]).all(axis=0)
    assert gone.sum() == 6
    assert np.array_equal(silent.values[:370], series.values[:370])
    assert np.array_equal(silent.values[370:, ~gone], series.values[370:, ~gone])


def test_each_row_says_what_silence_costs_and_all_sensors_are_scored(series):
    both = [backtest(series, 12, 4, SPLIT, ("persistence", "ridge", "anchor"), seasons=(), drop_sensors=p) for p in (None, 0.3)]
    for whole, less in zip(both[0]["scores"], both[1]["scores"], strict=True):
        assert less["mae_all_there"] == pytest.approx(whole["mae"])
        assert less["cells"] == whole["cells"]
        assert less["mae"] > whole["mae"]
        assert less["coverage_80"] is not None
    assert both[1]["drop_sensors"] == 0.3


def test_what_cannot_forecast_from_other_readings_is_named(series):
    with pytest.raises(ValueError, match="dlinear cannot be scored with sensors that fall silent"):
        backtest(series, 12, 4, SPLIT, ("dlinear",), seasons=(), drop_sensors=0.3, fit_options={"max_steps": 1})


def test_the_command_line_holds_out_and_drops(series, tmp_path, capsys):
    sensors, readings, out = tmp_path / "sensors.csv", tmp_path / "readings.csv", tmp_path / "out.json"
    network = series.network
    pd.DataFrame({"sensor_id": network.ids, "lat": network.lat, "lon": network.lon}).to_csv(sensors, index=False)
    pd.DataFrame(series.values, index=pd.DatetimeIndex(series.times, name="timestamp"), columns=network.ids).to_csv(readings)
    words = ["backtest", "--sensors", str(sensors), "--series", str(readings), "--lookback", "12", "--horizon", "4"]
    words += ["--split", "0.6,0.2,0.2", "--json", str(out), "--models", "persistence,anchor"]
    assert main([*words, "--hold-sensors", "0.2"]) == 0
    assert len(json.loads(out.read_text())["held_out"][0]) == 4
    assert main([*words, "--drop-sensors", "0.3"]) == 0
    assert {"mae_all_there", "mae"} <= set(json.loads(out.read_text())["scores"][0])
    assert main([*words, "--drop-sensors", "0.3", "--hold-sensors", "0.2"]) == 2
    assert "give one of them at a time" in capsys.readouterr().err


def test_readings_before_a_few_shot_block_change_nothing_that_is_carried(series):
    values = series.values.copy()
    values[:150] = 900 + 50 * np.arange(20)  # the block begins later
    few = {"seasons": (), "few_shot": "0.4"}
    results = [backtest_hidden(s, 12, 4, SPLIT, **few) for s in (series, replace(series, values=values))]
    assert [row["mae"] for row in results[0]["scores"]] == [row["mae"] for row in results[1]["scores"]]
