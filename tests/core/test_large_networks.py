"""Large networks and long series: what is read of them is bounded, and what is kept grows in line with the sensors."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from stvlm.anchor import climatology, ensemble, features, fit, zero_shot
from stvlm.anchor.features import MOST, NeighbourOperators, candidates, fill_forward
from stvlm.anchor.fit import fit_anchor
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split
from stvlm.datasets import synthetic_city
from stvlm.modalities.image import sensor_order
from stvlm.modalities.image.sensor_order import SensorCurve

DAY = 1440


@pytest.fixture(scope="module")
def series():
    return synthetic_city.city(8, 6, 60, seed=2)


def with_other_past(series: SensorSeries, stop: int) -> SensorSeries:
    """The same from step `stop` on, something else before."""
    values = series.values.copy()
    values[:stop] = 999 - values[:stop]
    return replace(series, values=values)


def scattered(n: int) -> SensorNetwork:
    random = np.random.default_rng(0)
    return SensorNetwork(tuple(map(str, range(n))), 48 + random.random(n), 11 + random.random(n))


def test_of_too_many_readings_only_the_last_are_read(series, monkeypatch):
    for module in (ensemble, fit, fit, climatology, zero_shot):
        monkeypatch.setattr(module, "MOST_READ", 72 * 8, raising=False)
    split, cutoffs = Split.from_shares(series.n_steps, (0.7, 0.2, 0.1)), np.array([140])
    other = with_other_past(series, split.train_end - 72)
    for make in (
        lambda s: zero_shot.zero_shot_anchor(s, 0, split.train_end, 4, 4),
        lambda s: fit_anchor(s, split, 4, 4, context_steps=0),
    ):
        np.testing.assert_array_equal(make(series).forecast(series, cutoffs), make(other).forecast(other, cutoffs))


def test_fewer_readings_than_that_are_all_read(series):
    split, cutoffs = Split.from_shares(series.n_steps, (0.7, 0.2, 0.1)), np.array([140])
    other = with_other_past(series, 24)
    one, two = (fit_anchor(s, split, 4, 4, context_steps=0).forecast(s, cutoffs) for s in (series, other))
    assert np.abs(one - two).max() > 1e-3


def test_operators_of_many_sensors_grow_in_line_with_them():
    few, many = (NeighbourOperators(scattered(n)).directions for n in (features.MANY + 100, 2 * features.MANY + 200))
    assert many.nnz / few.nnz == pytest.approx(2, rel=0.05)
    assert few.nnz <= 8 * features.NEAREST_OF_MANY * (features.MANY + 100)


def test_up_to_that_number_directions_are_as_they_were(monkeypatch):
    network = scattered(300)
    usual = NeighbourOperators(network).directions
    monkeypatch.setattr(features, "NEAREST_OF_MANY", 4)
    assert (NeighbourOperators(network).directions != usual).nnz == 0
    assert (usual.data > 0).all()


def test_gaps_are_filled_where_they_are_and_nothing_else_is_touched():
    values = np.random.default_rng(1).normal(size=(3, 6, 5)).astype("f4")
    observed = np.random.default_rng(2).random(values.shape) < 0.7
    filled = fill_forward(np.where(observed, values, np.nan), observed)
    for w, n in np.ndindex(3, 5):
        last = 0.0
        for step in range(6):
            last = values[w, step, n] if observed[w, step, n] else last
            assert filled[w, step, n] == np.float32(last)


@pytest.mark.parametrize("kept", [1.0, 0.9])
@pytest.mark.parametrize(("width", "many"), [(3, 10), (3, 30), (600, 10)])
def test_cycles_are_gathered_as_a_filter_does(monkeypatch, kept, width, many):
    monkeypatch.setattr(climatology, "MANY_CYCLES", many)
    cycles = np.random.default_rng(3).normal(size=(20, 2, width))
    wanted = signal.lfilter([1.0], [1.0, -kept], cycles, axis=0)
    climatology._gather(cycles, kept)
    np.testing.assert_array_equal(cycles, wanted)


def test_closeness_of_many_is_measured_on_some_of_them_along_the_curve(monkeypatch):
    network = scattered(900)
    whole = SensorCurve.build(network, 16).closeness
    monkeypatch.setattr(sensor_order, "MANY", 300)
    assert (SensorCurve.build(network, 16).closeness - whole).abs().max() < 0.05


def test_scales_are_not_tried_on_more_readings_than_can_be_held_twice():
    skewed = np.lib.stride_tricks.as_strided(np.array([np.float32(1.0)]), (MOST + 1, 1), (0, 0))
    assert len(candidates(skewed)) == 1
