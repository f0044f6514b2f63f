"""Far outliers: spikes are found by the past alone, and floods, jams, rain and new levels are believed."""

from dataclasses import replace

import numpy as np
import pytest

from stvlm.core.outliers import comparable, far_outliers
from stvlm.datasets.samples import SAMPLES, load_sample
from tests.support.protocol_networks import load_protocol
from tests.support.series import sine_series, wild


def cells_of(values: np.ndarray) -> set[tuple[int, int]]:
    return set(map(tuple, far_outliers(values).tolist()))


@pytest.mark.parametrize("value", [1e7, -1e7, -9999.0, 1000.0])
@pytest.mark.parametrize("share", [0.001, 0.0037, 0.02])
def test_wild_cells_are_found_and_no_others(share, value):
    series = wild(sine_series(), share, value)
    assert cells_of(series.values) == set(zip(*map(np.ndarray.tolist, np.nonzero(series.values == np.float32(value))), strict=True))
    seen = series.screened
    assert len(seen.outliers) == 0
    assert seen.screened is seen
    assert np.isnan(seen.values).sum() == len(series.outliers)
    np.testing.assert_array_equal(series.values[np.isfinite(seen.values)], seen.values[np.isfinite(seen.values)])


def test_sensors_that_are_wild_for_days_or_now_and_then_are_found():
    values = sine_series().values.copy()
    values[300:350, 0] = 1e7
    values[np.random.default_rng(3).random(900) < 0.12, 1] = -1e6
    assert cells_of(values) == {
        *((step, 0) for step in range(300, 350)),
        *((int(s), 1) for s in np.flatnonzero(values[:, 1] < -100)),
    }


def test_clean_readings_are_the_very_same_series():
    series = sine_series()
    assert series.screened is series
    for name in SAMPLES:
        sample = load_sample(name)
        assert sample.screened is sample, name


def test_of_the_readings_of_thirteen_real_networks_fifteen_are_doubted(shared_data):
    protocol, found = load_protocol(shared_data), {}
    for name in protocol.SPEC:
        values = protocol.load(name).values.astype("f4")
        if len(cells := far_outliers(values)):
            found[name] = len(cells)
    assert found == {"melbourne_pedestrian": 15}  # a festival and nights of a stadium, each in its first hours


def test_readings_that_rise_to_a_flood_or_fall_into_a_jam_are_believed():
    values = sine_series().values.copy()
    values[500:520, 2] = 20 + 100 * np.r_[np.arange(10), np.arange(10, 0, -1)]  # 1000 at its height, by 100 a step
    assert cells_of(values) == set()


def test_a_new_level_is_believed_after_three_readings():
    values = sine_series().values.copy()
    values[700:, 3] += 2000
    assert cells_of(values) == {(700, 3), (701, 3), (702, 3)}


def test_heavy_rain_in_dry_months_is_believed_and_a_broken_gauge_is_not():
    random = np.random.default_rng(0)
    values = np.where(random.random((3000, 4)) < 0.05, random.gamma(0.7, 2.0, (3000, 4)), 0).astype("f4")
    values[2500, 0] = 120.0
    assert cells_of(values) == set()
    values[2600, 1] = 1e7
    assert cells_of(values) == {(2600, 1)}


def test_a_calm_sensor_may_jump_as_the_others_do():
    values = sine_series().values.copy()
    values[:, 0] = 20 + np.random.default_rng(0).normal(0, 0.01, 900)
    values[800, 0] = 60.0
    assert cells_of(values) == set()


def test_what_comes_later_changes_no_judgement():
    series = wild(sine_series(), 0.02)
    later = series.values.copy()
    later[600:] = np.random.default_rng(0).normal(-500, 300, later[600:].shape)
    before = {cell for cell in cells_of(series.values) if cell[0] < 600}
    assert before
    assert {cell for cell in cells_of(later) if cell[0] < 600} == before


def test_missing_readings_and_constant_sensors_are_no_outliers():
    values = np.full((200, 3), np.nan, "f4")
    assert cells_of(values) == set()
    values[:, 1] = 5.0
    values[150, 1] = 6.0
    assert cells_of(values) == set()
    assert cells_of(values[:3]) == set()


def test_the_judgement_is_the_same_in_blocks(monkeypatch):
    series = wild(sine_series(), 0.01)
    whole = far_outliers(series.values)
    monkeypatch.setattr("stvlm.core.outliers.BLOCK", 60)
    np.testing.assert_array_equal(far_outliers(series.values), whole)
    assert (np.diff(whole[:, 0]) >= 0).all()


def test_a_sensor_out_of_all_proportion_does_not_choose_for_the_others():
    series = sine_series()
    assert comparable(series.values) is series.values
    values = series.values.copy()
    values[:, 4] = np.random.default_rng(0).normal(0, 1e7, 900)
    left = comparable(values)
    assert np.isnan(left[:, 4]).all()
    np.testing.assert_array_equal(np.delete(left, 4, axis=1), np.delete(values, 4, axis=1))
    river = series.values.copy()
    river[:, 4] *= 1000
    assert comparable(river) is river
    assert replace(series, values=values).screened.values is values
