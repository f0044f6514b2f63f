"""Views without a place on earth: who moves with whom, who leads, and each sensor over time, along one curve."""

import numpy as np
import pytest
import torch
from scipy import sparse

from stvlm.core.network import SensorNetwork
from stvlm.datasets import synthetic_city
from stvlm.modalities.image.sensor_order import SensorCurve, curve_order, hilbert, overlaps
from stvlm.modalities.image.views import (
    VIEWS,
    ImageConfig,
    build_raster,
    correlation_view,
    legend,
    paint_views,
    space_time,
    view_values,
)

PAIRS = ImageConfig(size=16, views=("relations", "space-time"))


def in_a_row(n: int, **more) -> SensorNetwork:
    """Sensors on a meridian, the first in the south: the curve may turn, but keeps them in one row or its reverse."""
    return SensorNetwork(tuple(f"s{i:04d}" for i in range(n)), 50 + np.arange(n) / 100, np.full(n, 8.0), **more)


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def network() -> SensorNetwork:
    return synthetic_city.field(30, 3, "noise", seed=4).network


def everything(past: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(past, dtype=torch.bool)


def rows_of(curve: SensorCurve, *nodes: int) -> list[int]:
    return [curve.pixel_of(node) for node in nodes]


def test_the_curve_visits_every_cell_once_and_never_jumps():
    x, y = (a.ravel() for a in np.meshgrid(np.arange(16), np.arange(16)))
    along = hilbert(x, y, 4)
    np.testing.assert_array_equal(np.sort(along), np.arange(256))
    order = np.argsort(along)
    step = np.abs(np.diff(x[order])) + np.abs(np.diff(y[order]))
    assert (step == 1).all()


def test_neighbours_in_the_row_are_nearer_than_by_chance(network):
    place = network.position_km[curve_order(network)]
    along = np.hypot(*np.diff(place, axis=0).T).mean()
    chance = np.hypot(*np.diff(network.position_km, axis=0).T).mean()
    assert along < 0.6 * chance


@pytest.mark.parametrize(("n", "size"), [(5, 16), (16, 16), (50, 16), (207, 32)])
def test_pixels_share_out_all_sensors_evenly(n, size):
    share = overlaps(n, size)
    np.testing.assert_allclose(share.sum(axis=1), 1)
    if n >= size:
        np.testing.assert_allclose(share.sum(axis=0), size / n)
    else:
        assert set(np.unique(share)) == {0, 1}
        assert np.ptp(share.sum(axis=0)) <= 1


def test_correlation_is_that_of_each_pair_of_sensors():
    past = torch.randn(2, 20, 4, generator=torch.Generator().manual_seed(0))
    curve = SensorCurve.build(in_a_row(4), 4)
    expected = np.corrcoef(past[1].numpy().T)[np.ix_(curve.order, curve.order)]
    np.testing.assert_allclose(correlation_view(curve, past, everything(past))[1, 0], expected, atol=1e-4)


def test_correlation_heeds_only_what_was_observed():
    generator = torch.Generator().manual_seed(1)
    past = torch.randn(1, 30, 3, generator=generator)
    past[..., 2] = past[..., 0]
    observed = everything(past)
    observed[:, 5:25, 2] = False
    spoilt = past.clone()
    spoilt[:, 5:25, 2] = 1e6
    curve = SensorCurve.build(in_a_row(3), 3)
    first, last = rows_of(curve, 0, 2)
    found = correlation_view(curve, spoilt, observed)
    torch.testing.assert_close(found, correlation_view(curve, past, observed))
    assert float(found[0, 0, first, last]) > 0.7  # the spread of ten steps is not quite that of thirty


def test_sensors_that_stand_still_or_are_missing_have_correlation_0():
    past = torch.randn(1, 12, 4)
    past[..., 1] = 3.5
    observed = everything(past)
    observed[..., 2] = False
    curve = SensorCurve.build(in_a_row(4), 4)
    found = correlation_view(curve, past, observed)
    assert torch.isfinite(found).all()
    for node in (1, 2):
        row = curve.pixel_of(node)
        assert (found[0, 0, row] == 0).all()
        assert (found[0, 2, row] == 0).all()


def test_a_sensor_that_leads_another_by_a_step_shows_up_in_the_lag_channel():
    noise = torch.randn(1, 201, generator=torch.Generator().manual_seed(2))
    past = torch.stack([noise[:, 1:], noise[:, :-1]], dim=-1)  # sensor 1 reads what sensor 0 read a step before
    curve = SensorCurve.build(in_a_row(2), 8)
    leader, follower = rows_of(curve, 0, 1)
    together, _, lead = correlation_view(curve, past, everything(past))[0]
    assert float(lead[leader, follower]) > 0.8
    assert float(lead[follower, leader]) == pytest.approx(-float(lead[leader, follower]))
    assert abs(float(together[leader, follower])) < 0.25


def test_more_sensors_than_pixels_are_averaged_over_pairs():
    past = torch.randn(1, 40, 12, generator=torch.Generator().manual_seed(3))
    curve = SensorCurve.build(in_a_row(12), 3)
    whole = np.corrcoef(past[0].numpy().T)[np.ix_(curve.order, curve.order)]
    expected = whole.reshape(3, 4, 3, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(correlation_view(curve, past, everything(past))[0, 0], expected, atol=1e-4)


def test_closeness_is_of_the_directed_links_given_else_of_the_distance():
    curve = SensorCurve.build(in_a_row(4), 4)
    assert (curve.closeness.diagonal() == 1).all()
    assert (curve.closeness[curve.pixel_of(0), rows_of(curve, 0, 1, 2, 3)].diff() < 0).all()
    links = sparse.csr_matrix(([2.0, 1.0], ([0, 2], [1, 3])), shape=(4, 4))
    curve = SensorCurve.build(in_a_row(4, adjacency=links), 4)
    a, b, c, d = rows_of(curve, 0, 1, 2, 3)
    assert (curve.closeness[a, b], curve.closeness[b, a], curve.closeness[c, d]) == (1.0, 0.0, 0.5)


def test_closeness_made_in_blocks_is_that_of_all_pairs():
    network = SensorNetwork(tuple(map(str, range(600))), *np.random.default_rng(0).uniform(10, 12, (2, 600)))
    curve = SensorCurve.build(network, 8)
    place = network.position_km - network.position_km.mean(axis=0)
    square = ((place[:, None] - place[None]) ** 2).sum(axis=-1) / (place**2).sum(axis=1).mean()
    expected = curve.pool.numpy() @ np.exp(-square) @ curve.pool.numpy().T
    np.testing.assert_allclose(curve.closeness, expected / expected.max(), atol=1e-5)


def test_space_time_has_the_oldest_step_on_the_left_and_marks_gaps():
    past = torch.arange(8.0)[None, :, None] + torch.tensor([0.0, 100.0])
    observed = everything(past)
    observed[0, 3, 0] = False
    curve = SensorCurve.build(in_a_row(2), 8)
    departure, change, share = space_time(curve, past, observed)[0]
    first, second = rows_of(curve, 0, 1)
    np.testing.assert_allclose(departure[second], np.arange(8) + 100)
    np.testing.assert_allclose(change[second], [0, 1, 1, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(departure[first], [0, 1, 2, 0, 4, 5, 6, 7])
    np.testing.assert_allclose(change[first], [0, 1, 1, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(share[first], [1, 1, 1, 0, 1, 1, 1, 1])


def test_a_long_lookback_is_averaged_over_the_columns_by_what_was_observed():
    past = torch.tensor([1.0, 3.0, 50.0, 8.0])[None, :, None]
    observed = torch.tensor([True, True, False, True])[None, :, None]
    departure, _, share = space_time(SensorCurve.build(in_a_row(1), 2), past, observed)[0]
    np.testing.assert_allclose(departure[0], [2, 8])
    np.testing.assert_allclose(share[0], [1, 0.5])


@pytest.mark.parametrize("view", PAIRS.views)
def test_the_gradient_reaches_every_reading(view, network):
    past = torch.randn(2, 6, 30, requires_grad=True)
    config = ImageConfig(size=16, views=(view,))
    weight = torch.randn(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    (paint_views(build_raster(network, config), past, everything(past), config) * weight).sum().backward()
    assert torch.isfinite(past.grad).all()
    assert (past.grad != 0).all()


def test_another_order_of_the_sensors_gives_the_same_pairs_in_the_same_pixels(network):
    turn = np.random.default_rng(1).permutation(30)
    other = network.select(turn)
    assert [network.ids[i] for i in curve_order(network)] == [other.ids[i] for i in curve_order(other)]
    past = torch.randn(1, 6, 30)
    observed = torch.rand(past.shape) > 0.2
    straight = paint_views(build_raster(network, PAIRS), past, observed, PAIRS)
    turned = paint_views(build_raster(other, PAIRS), past[..., turn], observed[..., turn], PAIRS)
    torch.testing.assert_close(turned, straight, atol=1e-5, rtol=1e-5)


def test_the_images_can_be_read_back_and_the_legend_says_what_a_pixel_is(network):
    raster = build_raster(network, PAIRS)
    past = torch.randn(1, 6, 30)
    observed = everything(past)
    values = view_values(paint_views(raster, past, observed, PAIRS)[0].numpy(), PAIRS, raster)
    np.testing.assert_allclose(values[0], correlation_view(raster.curve, past, observed)[0], atol=1e-5)
    np.testing.assert_allclose(values[1], space_time(raster.curve, past, observed)[0], atol=1e-3)
    pairs, times = legend(PAIRS, raster)
    assert "distance" in pairs.channels[1].label
    assert (pairs.rows, pairs.columns) == ("sensors along the curve", "sensors along the curve")
    assert "oldest on the left" in times.columns
    assert [name for name, view in VIEWS.items() if not view.is_georeferenced] == ["relations", "space-time"]


def test_two_thousand_sensors_need_no_matrix_of_all_pairs(network):
    rng = np.random.default_rng(0)
    large = SensorNetwork(tuple(map(str, range(2000))), *rng.uniform(40, 44, (2, 2000)))
    curve = SensorCurve.build(large, 32)
    past = torch.randn(4, 12, 2000, requires_grad=True)
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (sizes.append(t.numel()), t)[1], lambda t: t):
        found = correlation_view(curve, past, everything(past))
    assert found.shape == (4, 3, 32, 32)
    assert 0 < max(sizes) <= 4 * 12 * 2000  # less than 2000 x 2000


@pytest.mark.parametrize("n", [1, 2])
def test_the_smallest_networks_and_lookbacks_are_painted(n):
    past = torch.randn(1, 1, n)
    images = paint_views(build_raster(in_a_row(n), PAIRS), past, everything(past), PAIRS)
    assert torch.isfinite(images).all()
    assert 0 < images.min() < images.max() < 1
