"""The closed-form forecaster: chosen honestly, blind to the future, as good with other sensor orders."""

from dataclasses import replace

import numpy as np
import pytest

from stvlm.anchor import serialize
from stvlm.anchor.features import NeighbourOperators, Transform, candidates, fill_forward
from stvlm.anchor.fit import fit_anchor, training_folds
from stvlm.anchor.ridge import forecast_together
from stvlm.core.network import SensorNetwork
from stvlm.core.seasonality import DAY, WEEK, YEAR, SeasonalProfile, anomaly_scale
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split, few_shot
from tests.support.series import HOURS, wave_series


@pytest.fixture(scope="module")
def series():
    return wave_series()


@pytest.fixture(scope="module")
def split(series):
    return Split.from_shares(series.n_steps, (0.6, 0.2, 0.2))


@pytest.fixture(scope="module")
def anchor(series, split):
    return fit_anchor(series, split, 12, 6, (1440,))


def test_it_beats_persistence_and_the_usual_day_on_readings_it_never_saw(series, split, anchor):
    cutoffs = split.cutoffs("test", 12, 6)
    steps = cutoffs[:, None] + np.arange(6)
    truth = series.values[steps]
    filled = fill_forward(series.values[None], np.isfinite(series.values)[None])[0]
    persistence = np.repeat(filled[cutoffs - 1][:, None], 6, axis=1)
    usual = SeasonalProfile.fit(series.values[: split.train_end], series.times[: split.train_end].astype("int64"), DAY, 3600)
    error = np.nanmean(np.abs(anchor.forecast(series, cutoffs) - truth))
    assert error < 0.8 * np.nanmean(np.abs(persistence - truth))
    assert error < 0.8 * np.nanmean(np.abs(usual.at(series.times.astype("int64")[steps]) - truth))


def test_values_after_the_cutoff_change_nothing(series, anchor):
    cutoff = np.array([400])
    other = series.values.copy()
    other[400:] = 999
    changed = SensorSeries(series.network, series.times, other, "level", "m")
    np.testing.assert_array_equal(anchor.forecast(series, cutoff), anchor.forecast(changed, cutoff))


def test_the_test_part_changes_nothing_in_what_is_fitted(series, split, anchor):
    other = series.values.copy()
    other[split.test_start :] = -50
    again = fit_anchor(SensorSeries(series.network, series.times, other, "level", "m"), split, 12, 6, (1440,))
    assert again.shares == anchor.shares
    np.testing.assert_array_equal(again.frame.weights, anchor.frame.weights)


def test_other_orders_of_the_sensors_give_the_same_forecasts_in_that_order(series, split, anchor):
    order = np.array([3, 1, 5, 0, 2, 4])
    moved = fit_anchor(series.select(order), split, 12, 6, (1440,))
    cutoffs = split.cutoffs("test", 12, 6)[::7]
    np.testing.assert_allclose(
        moved.forecast(series.select(order), cutoffs), anchor.forecast(series, cutoffs)[..., order], atol=2e-2
    )
    np.testing.assert_allclose(
        anchor.select(order).forecast(series.select(order), cutoffs), anchor.forecast(series, cutoffs)[..., order], atol=1e-3
    )


def test_a_training_window_never_sees_itself_in_the_profile(series, split, anchor):
    folds = training_folds(anchor, series, split)
    assert folds[0][0] == split.train_start
    assert folds[-1][1] == split.train_end
    start, stop, first = folds[0]
    other = series.values.copy()
    other[start:stop] += 7
    changed = SensorSeries(series.network, series.times, other, "level", "m")
    again = training_folds(anchor, changed, split)[0][2]
    daily = [i for i, m in enumerate(anchor.members) if m in anchor.ridges and m.profile.season_seconds == DAY]
    assert daily
    for i in daily:
        np.testing.assert_array_equal(first.members[i].profile.table, again.members[i].profile.table)


def test_one_sensor_and_a_dead_sensor_are_forecast(split):
    one = wave_series(1)
    assert np.isfinite(fit_anchor(one, split, 12, 6).forecast(one, np.array([420]))).all()
    values = wave_series(4).values.copy()
    values[:, 2] = np.nan
    dead = SensorSeries(wave_series(4).network, one.times, values, "level", "m")
    assert np.isfinite(fit_anchor(dead, split, 12, 6).forecast(dead, np.array([420]))).all()


def test_a_constant_network_is_forecast_as_that_constant(split):
    flat = SensorSeries(wave_series(3).network, wave_series(3).times, np.full((HOURS, 3), 7.0), "level", "m")
    np.testing.assert_allclose(fit_anchor(flat, split, 12, 6, (1440,)).forecast(flat, np.array([420])), 7.0, atol=1e-3)


def test_readings_that_were_never_negative_are_never_forecast_negative(split):
    base = wave_series(4)
    values = np.maximum(base.values - 30, 0)
    rain = SensorSeries(base.network, base.times, values, "rain", "mm")
    assert fit_anchor(rain, split, 12, 6, (1440,)).forecast(rain, split.cutoffs("test", 12, 6)).min() >= 0


def test_too_short_a_training_part_is_refused_with_its_numbers(series):
    with pytest.raises(ValueError, match=r"training part \(15 steps\) holds no window of 12 \+ 6"):
        fit_anchor(series, Split(0, 15, 20, 20, 504), 12, 6)


def test_written_and_read_again_it_forecasts_bit_equally(series, anchor, tmp_path):
    serialize.save(anchor, tmp_path)
    cutoffs = np.array([300, 410])
    np.testing.assert_array_equal(serialize.load(tmp_path).forecast(series, cutoffs), anchor.forecast(series, cutoffs))


def test_members_of_the_same_features_forecast_together_as_each_alone(series, anchor):
    first = anchor.frame
    other = replace(first, offset="mean" if first.offset != "mean" else "last", weights=first.weights * 0.5)
    usual = replace(first, profile=replace(first.profile, table=first.profile.table + 1))
    assert first.features_key == other.features_key != usual.features_key
    assert first.view_key == usual.view_key != replace(first, transform=Transform("root")).view_key
    view, cutoffs = anchor.views(series).of[0], np.array([300, 410, 411])
    for member, made in zip((first, other), forecast_together([first, other], view, cutoffs), strict=True):
        np.testing.assert_array_equal(made, member.forecast_from(view, cutoffs))


def test_a_network_read_again_finds_its_operators_and_another_does_not(series):
    first, n = NeighbourOperators.of(series.network), series.network.n_sensors
    again = SensorNetwork(series.network.ids, series.network.lat.copy(), series.network.lon.copy())
    assert NeighbourOperators.of(again) is first
    assert NeighbourOperators.of(series.select(np.arange(n)[::-1]).network) is not first
    assert first.directions.shape == (8 * n, n)
    assert first.nbytes >= first.directions.nnz * 8


def test_a_profile_has_the_mean_of_each_phase_and_falls_back_for_unseen_ones():
    values = np.arange(48, dtype="f4")[:, None] % 24
    values[[5, 29]] = np.nan
    profile = SeasonalProfile.fit(values, np.arange(48) * 3600, DAY, 3600)
    assert profile.at(np.array([3 * 3600]))[0, 0] == 3
    assert profile.at(np.array([5 * 3600]))[0, 0] == pytest.approx(np.nanmean(values))
    assert SeasonalProfile.fit(values, np.arange(48) * 3600, WEEK, 3600).at(np.array([100 * 3600]))[0, 0] == 4


def test_a_yearly_profile_finds_a_yearly_wave():
    days = np.arange(3 * 365)
    values = (10 + 4 * np.cos(2 * np.pi * days * 86400 / YEAR - 1)).astype("f4")[:, None]
    profile = SeasonalProfile.fit(values, days * 86400, YEAR, 86400)
    np.testing.assert_allclose(profile.at(days * 86400)[:, 0], values[:, 0], atol=0.05)


def test_a_still_sensor_has_the_spread_of_the_network_a_small_spread_is_kept():
    departures = np.stack([np.tile([-2.0, 2.0], 50), np.tile([-1e-6, 1e-6], 50), np.tile([-1e-3, 1e-3], 50)], axis=1)
    scale = anomaly_scale(departures, np.add(departures, [50, 7, 1]))
    assert scale[0] == pytest.approx(2)
    assert scale[1] == pytest.approx(np.sqrt((4 + 1e-6) / 3), rel=1e-6)
    assert scale[2] == pytest.approx(1e-3)
    assert anomaly_scale(departures[:10], departures[:10] + 1)[2] == pytest.approx(scale[1])  # so few readings tell too little


@pytest.mark.parametrize("transform", [Transform(), Transform("root", 0.0), Transform("log", 0.5)])
def test_a_transform_and_its_inverse_give_the_readings_back(transform):
    values = np.array([0.0, 0.2, 3.0, 900.0], "f4")
    np.testing.assert_allclose(transform.inverse(transform.forward(values)), values, rtol=1e-4, atol=1e-4)


def test_only_positive_and_skewed_readings_are_tried_on_other_scales():
    random = np.random.default_rng(0)
    assert [t.kind for t in candidates(random.normal(size=(100, 3)).astype("f4"))] == ["identity"]
    assert [t.kind for t in candidates(np.exp(random.normal(size=(100, 3))).astype("f4"))] == ["identity", "root", "log"]


def test_gaps_carry_the_last_reading_forward_and_start_at_zero():
    values = np.array([np.nan, 1, np.nan, 3], "f4")[None, :, None]
    assert fill_forward(values, np.isfinite(values))[0, :, 0].tolist() == [0, 1, 1, 3]


def test_the_eastern_mean_of_a_sensor_looks_east():
    network = SensorNetwork(("w", "m", "e"), np.zeros(3), np.array([-0.1, 0.0, 0.1]))
    east = NeighbourOperators(network).directions.toarray()[:3]
    assert east[1].argmax() == 2
    assert east[2].sum() == 0


def test_readings_before_a_few_shot_block_change_nothing(series, split):
    few = few_shot(split, "0.3", series, 12, 6)
    other = series.values.copy()
    other[: few.train_start] += 100
    changed = SensorSeries(series.network, series.times, other, "level", "m")
    cutoffs = np.array([few.val_end, few.test_start])
    first, second = (fit_anchor(s, few, 12, 6, (1440,)).forecast(s, cutoffs) for s in (series, changed))
    np.testing.assert_array_equal(first, second)
