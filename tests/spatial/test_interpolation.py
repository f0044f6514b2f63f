"""Places without a sensor: forecasts are carried there the best way that sensors left out can tell, with bands that hold."""

import numpy as np
import pandas as pd
import pytest
import shapely
from scipy import sparse

from stvlm.anchor.features import Transform
from stvlm.anchor.fit import fit_anchor
from stvlm.core.base_layer import BaseLayer, Grid
from stvlm.core.forecast import LEVELS
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split
from stvlm.spatial.interpolation import (
    KERNELS,
    InterpolationMethod,
    InterpolationModel,
    Interpolator,
    WeightScheme,
    fit_interpolation,
    leave_out,
    mixing_weights,
    residual_variance,
    weighted_median,
)
from stvlm.spatial.locations import Locations, known_columns, locations_at, locations_of, spatial_folds
from tests.support.series import wave_series

MIDDLE = LEVELS.index(0.5)


def network_of(n: int = 30, seed: int = 0, **more) -> SensorNetwork:
    random = np.random.default_rng(seed)
    return SensorNetwork(tuple(f"s{i}" for i in range(n)), 48 + random.random(n), 2 + 1.5 * random.random(n), **more)


def series_of(network: SensorNetwork, level: np.ndarray, n_steps: int = 480, seed: int = 0) -> SensorSeries:
    """Hours: a common wave around a level for each sensor, and a little noise."""
    random = np.random.default_rng(seed)
    common = 3 * np.sin(2 * np.pi * np.arange(n_steps) / 37)[:, None]
    values = level + common + 0.3 * random.normal(size=(n_steps, network.n_sensors))
    times = np.datetime64("2026-01-05T00:00:00") + np.arange(n_steps) * np.timedelta64(3600, "s")
    return SensorSeries(network, times, values, "level", "m")


def placed(series: SensorSeries, columns: tuple[str, ...] = ()) -> tuple[InterpolationModel, Split]:
    split = Split.from_shares(series.n_steps, (0.6, 0.2, 0.2))
    anchor = fit_anchor(series, split, 6, 3)
    return fit_interpolation(anchor, series, split.cutoffs("val", 6, 3), split.train_end, columns), split


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.label)
def test_weights_sum_to_one_so_that_equal_forecasts_are_kept(kernel):
    network = network_of()
    sites = locations_at(network, np.array([48.2, 48.9, 47.9]), np.array([2.2, 3.0, 2.0]))
    assert mixing_weights(kernel, network, sites) @ np.full(30, 7.0) == pytest.approx([7.0] * 3)


def test_where_a_sensor_stands_its_own_forecast_counts_almost_alone():
    network = network_of()
    sites = locations_at(network, network.lat[4:5], network.lon[4:5])
    for kernel in (WeightScheme("distance", 6, 2.0), WeightScheme("kriging", reach=1.5, nugget=1e-6), WeightScheme("distance", 1)):
        assert mixing_weights(kernel, network, sites)[0, 4] > 0.9
    assert (
        residual_variance(network, sites)[0]
        < 0.5 * residual_variance(network, locations_at(network, np.array([49.5]), np.array([5.0])))[0]
    )


def test_kriging_gives_back_a_plane_better_than_inverse_distances():
    network = network_of(60)
    sites = locations_at(network, np.array([48.5, 48.3]), np.array([2.7, 2.4]))
    plane = 2 * network.position_km[:, 0] - network.position_km[:, 1]
    truth = 2 * sites.position_km(network)[:, 0] - sites.position_km(network)[:, 1]
    kriged = mixing_weights(WeightScheme("kriging", reach=5.0, nugget=0.01), network, sites) @ plane
    near = mixing_weights(WeightScheme("distance", 6, 2.0), network, sites) @ plane
    assert np.abs(kriged - truth).max() < 0.5 * np.abs(near - truth).max()


def test_a_place_with_links_listens_to_those_it_is_linked_to():
    links = sparse.csr_matrix(([2.0, 6.0], ([0, 9], [5, 0])), shape=(30, 30))
    network = network_of(adjacency=links)
    sites = locations_of(network, np.array([0, 1]), np.arange(2, 30), ("links",))
    weights = mixing_weights(WeightScheme("links", 6, 2.0), network.select(np.arange(2, 30)), sites)
    assert weights[0, 3] == pytest.approx(0.25)
    assert weights[0, 7] == pytest.approx(0.75)
    assert (weights[1] > 0).sum() == 6  # no link: the nearest


def test_the_weighted_median_is_the_least_value_at_half_of_the_weight():
    values = np.array([[5.0, 1.0, 3.0]])
    weights = np.array([[1.0, 1.0, 1.0], [5.0, 1.0, 1.0], [0.0, 1.0, 0.1]])
    assert weighted_median(values, weights).tolist() == [[3.0, 5.0, 1.0]]


def test_folds_hold_each_sensor_once_and_forecasts_ignore_what_is_left_out():
    series = wave_series(8)
    assert sorted(np.concatenate(spatial_folds(series.network, 3))) == list(range(8))
    split = Split.from_shares(series.n_steps, (0.6, 0.2, 0.2))
    anchor, cutoffs = fit_anchor(series, split, 12, 6, (1440,)), split.cutoffs("val", 12, 6)
    first = next(leave_out(anchor, series, cutoffs, split.train_end, ()))
    values = series.values.copy()
    out = [i for i in range(8) if series.network.ids[i] not in first.network.ids]
    values[:, out] = 1000.0
    changed = SensorSeries(series.network, series.times, values)
    again = next(leave_out(anchor, changed, cutoffs, split.train_end, ()))
    assert (again.forecast == first.forecast).all()
    assert (again.truth == 1000).all()


def test_levels_that_follow_a_fact_are_carried_by_that_fact():
    random = np.random.default_rng(1)
    height = random.uniform(0, 100, 40)
    network = network_of(40, facts=pd.DataFrame({"name": [f"n{i}" for i in range(40)], "height_m": height}))
    series = series_of(network, 50 - 0.4 * height)
    with_fact, split = placed(series, ("facts",))
    without, _ = placed(series)
    assert any("height_m" in column for column in with_fact.ways[0].drift)
    assert with_fact.val_mae < 0.3 * without.val_mae
    keep, out = np.arange(32), np.arange(32, 40)
    placer = Interpolator(
        with_fact, network.select(keep), locations_of(network, out, keep, ("facts",)), series.values[: split.train_end, keep]
    )
    assert np.abs(placer(series.values[-20:, keep]) - series.values[-20:, out]).mean() < 2.0


def test_levels_that_follow_the_ground_are_carried_by_the_map():
    base = BaseLayer(areas=shapely.MultiPolygon([shapely.box(2.0, 48.0, 2.7, 48.6)]), name="lake")
    network = network_of(60, base_layer=base)
    wet = (network.lon < 2.7) & (network.lat < 48.6)
    found, _ = placed(series_of(network, np.where(wet, 10.0, 30.0)), ("ground",))
    assert found.ways[0].drift == ("in lake",)
    sites = locations_at(network, np.array([48.55, 48.65]), np.array([2.65, 2.75]), ("ground",))
    values = np.where(wet, 10.0, 30.0)[None]
    assert Interpolator(found, network, sites, np.repeat(values, 5, axis=0))(values)[0] == pytest.approx([10, 30], abs=4)


def test_the_same_ground_below_all_sensors_left_is_no_error():
    base = BaseLayer(areas=shapely.MultiPolygon([shapely.box(2.0, 48.0, 2.7, 48.6)]), name="lake")
    network = network_of(60, base_layer=base)
    wet = (network.lon < 2.7) & (network.lat < 48.6)
    found, _ = placed(series_of(network, np.where(wet, 10.0, 30.0)), ("ground",))
    assert found.ways[0].drift == ("in lake",)
    dry = network.select(np.flatnonzero(~wet))
    sites = locations_at(dry, np.array([48.55, 48.65]), np.array([2.65, 2.75]), ("ground",))
    readings = np.full((5, dry.n_sensors), 30.0)
    assert Interpolator(found, dry, sites, readings)(readings)[0] == pytest.approx([30, 30], abs=0.1)


def test_a_grid_tells_its_value_at_a_place_and_its_mean_beyond_its_edge():
    grid = Grid(np.array([[1.0, 2.0], [3.0, 4.0]], "f4"), (2.0, 48.0, 3.0, 49.0), "height", "m")
    network = network_of(base_layer=BaseLayer(grid=grid))
    sites = locations_at(network, np.array([48.9, 48.1, 60.0]), np.array([2.1, 2.9, 2.5]), ("ground",))
    assert sites.columns == ("height",)
    assert sites.there[:, 0].tolist() == [1.0, 4.0, 2.5]


def test_names_ids_and_columns_with_many_gaps_are_no_facts():
    facts = pd.DataFrame({"name": range(30), "code": [f"s{i}" for i in range(30)], "thin": [1.0, 2.0, 3.0, 4.0] + [None] * 26})
    assert known_columns(network_of(facts=facts), ("facts",)) == {}


def test_bands_of_sensors_left_out_hold_what_they_promise_on_other_places():
    network = network_of(90, seed=3)
    random = np.random.default_rng(5)
    series = series_of(network, random.normal(20, 4, 90), seed=2)
    keep, out = np.arange(50), np.arange(50, 90)
    found, split = placed(series.select(keep))
    placer = Interpolator(found, network.select(keep), locations_of(network, out, keep), series.values[: split.train_end, keep])
    anchor = fit_anchor(series.select(keep), split, 6, 3)
    cutoffs = split.cutoffs("test", 6, 3)
    bands = placer.bands(placer(anchor.forecast(series.select(keep), cutoffs)))
    truth = series.values[cutoffs[:, None] + np.arange(3)][..., out]
    held = ((bands[1] <= truth) & (truth <= bands[-2])).mean()
    assert 0.65 < held < 0.95
    assert (np.diff(bands, axis=0) >= 0).all()


def test_far_from_all_sensors_bands_are_wider():
    network = network_of(40)
    series = series_of(network, np.random.default_rng(0).normal(20, 2, 40))
    found, split = placed(series)
    sites = locations_at(network, np.array([48.5, 51.0]), np.array([2.7, 8.0]))
    placer = Interpolator(found, network, sites, series.values[: split.train_end])
    bands = placer.bands(placer(series.values[-3:]))
    width = bands[-2] - bands[1]
    assert (width[:, 1] > 1.05 * width[:, 0]).all()


def test_a_placement_comes_back_from_plain_values():
    way = InterpolationMethod(WeightScheme("kriging", reach=1.5), Transform("log", 2.0), ("east", "north"))
    placement = InterpolationModel((way,), (1.0,), 0.0, ((-1.0, -2.0),), 0.7, 3.0, (("a", 1.0),))
    assert InterpolationModel.from_dict(placement.to_dict()) == placement


def test_two_sensors_are_too_few_and_an_unknown_column_is_named():
    series = wave_series(2)
    split = Split.from_shares(series.n_steps, (0.6, 0.2, 0.2))
    with pytest.raises(ValueError, match="at least 3 sensors"):
        fit_interpolation(fit_anchor(series, split, 12, 6), series, split.cutoffs("val", 12, 6), split.train_end)
    network = network_of()
    way = InterpolationMethod(WeightScheme("mean"), drift=("height",))
    with pytest.raises(ValueError, match="height"):
        Interpolator(
            InterpolationModel((way,), (1.0,)), network, Locations(np.array([48.0]), np.array([2.0])), np.zeros((3, 30), "f4")
        )
