"""The images: every pixel has a place, a sensor's own pixel has its value, missing sensors leave no hole."""

import time

import numpy as np
import pytest
import torch

from stvlm.core.network import SensorNetwork
from stvlm.datasets import synthetic_city
from stvlm.modalities.image.raster import PART, SHRINK, SpatialRaster, on_image
from stvlm.modalities.image.views import (
    VIEWS,
    ImageConfig,
    build_raster,
    field_in_unit,
    from_shade,
    legend,
    n_views,
    paint_views,
    to_shade,
    view_values,
)

ALL_VIEWS = ImageConfig(size=16, views=tuple(VIEWS))


def network_of(lat, lon) -> SensorNetwork:
    return SensorNetwork(tuple(f"s{i}" for i in range(len(lat))), np.array(lat, "f8"), np.array(lon, "f8"))


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def network() -> SensorNetwork:
    return synthetic_city.field(30, 3, "noise", seed=4).network


@pytest.fixture(scope="module")
def raster(network):
    return build_raster(network, ImageConfig(size=64))


def everywhere(network: SensorNetwork) -> torch.Tensor:
    return torch.ones(network.n_sensors, dtype=torch.bool)


def test_a_sensor_alone_in_its_pixel_gives_the_pixel_its_value(network, raster):
    values = torch.randn(network.n_sensors)
    painted = raster.paint(values, everywhere(network))
    row, column = raster.pixel_of(network.lat, network.lon)
    pixel = row * raster.size + column
    alone = np.array([(pixel == p).sum() == 1 for p in pixel])
    assert alone.sum() > 20
    np.testing.assert_allclose(painted[row, column][alone], values[alone], atol=1e-4)


def test_sensors_that_share_a_pixel_are_averaged():
    network = network_of([50, 50, 51], [8, 8, 9])
    raster = build_raster(network, ImageConfig(size=32))
    row, column = raster.pixel_of(50.0, 8.0)
    painted = raster.paint(torch.tensor([1.0, 3.0, -5.0]), everywhere(network))
    assert float(painted[int(row), int(column)]) == pytest.approx(2.0, abs=1e-4)
    only = raster.paint(torch.tensor([1.0, 3.0, -5.0]), torch.tensor([False, True, True]))
    assert float(only[int(row), int(column)]) == pytest.approx(3.0, abs=1e-4)


def test_north_is_up_and_east_is_right(network, raster):
    lat, lon = raster.pixel_centres()
    assert (np.diff(lat[:, 0]) < 0).all()
    assert (np.diff(lon[0]) > 0).all()
    row, column = raster.pixel_of(lat, lon)
    np.testing.assert_array_equal(row, np.arange(64)[:, None].repeat(64, 1))
    np.testing.assert_array_equal(column, np.arange(64)[None].repeat(64, 0))
    painted = raster.paint(torch.tensor(network.lat - network.lat.mean(), dtype=torch.float32), everywhere(network))
    assert painted[:16].mean() > painted[-16:].mean() + 0.3


def test_the_image_is_square_on_the_ground_and_holds_every_sensor(network, raster):
    west, south, east, north = raster.bounds
    assert (east - west) * np.cos(np.radians((south + north) / 2)) == pytest.approx(north - south, rel=0.01)
    row, column = raster.pixel_of(network.lat, network.lon)
    assert 0 < row.min() < row.max() < 63
    assert 0 < column.min() < column.max() < 63


def test_a_missing_sensor_changes_its_surroundings_only(network, raster):
    values, observed = torch.randn(network.n_sensors), everywhere(network)
    before = raster.paint(values, observed)
    observed[3] = False
    change = (raster.paint(values, observed) - before).abs().numpy()
    lat, lon = raster.pixel_centres()
    km = np.hypot(lat - network.lat[3], (lon - network.lon[3]) * np.cos(np.radians(48))) * 111.2
    assert change[km < 3].max() > 0.1
    assert change[km > 60].max() < 1e-6


def test_a_missing_sensor_is_filled_by_neighbours_and_marked_not_observed(network, raster):
    values, observed = torch.full((network.n_sensors,), 2.0), everywhere(network)
    row, column = (int(x[3]) for x in raster.pixel_of(network.lat, network.lon))
    assert raster.support(observed)[row, column] == pytest.approx(1.0)
    observed[3] = False
    assert float(raster.paint(values, observed)[row, column]) == pytest.approx(2.0, abs=0.02)
    assert raster.support(observed)[row, column] < 0.01


def test_what_is_not_observed_is_not_looked_at(network, raster):
    values, observed = torch.randn(network.n_sensors), everywhere(network)
    observed[5:15] = False
    other = values.clone()
    other[5:15] = float("nan")
    torch.testing.assert_close(raster.paint(values, observed), raster.paint(other, observed))


def test_nothing_observed_paints_the_usual_reading_not_a_number_gone_wrong(network, raster):
    painted = raster.paint(torch.randn(network.n_sensors), ~everywhere(network))
    assert (painted == 0).all()
    assert (raster.support(~everywhere(network)) == 0).all()


def test_the_short_way_for_complete_readings_gives_the_same(network, raster):
    values = torch.randn(2, network.n_sensors)
    observed = torch.ones(2, network.n_sensors, dtype=torch.bool)
    observed[1, 0] = False
    torch.testing.assert_close(raster.paint(values[0], observed[0]), raster.paint(values, observed)[0], atol=1e-5, rtol=1e-5)


def test_a_shared_mask_paints_as_one_a_frame_and_parts_paint_as_the_whole(network):
    raster = SpatialRaster.build(network, 64)
    assert PART < 64**2
    n = network.n_sensors
    values, seen = torch.randn(2, 3, n), torch.rand(2, 1, n) < 0.7
    painted = raster.paint(values, seen)
    assert torch.equal(painted, raster.paint(values, seen.expand(2, 3, n)))
    weights = raster.weights.to_dense().double()
    whole = (torch.where(seen, values, 0).double() @ weights.T) / (seen.double() @ weights.T + SHRINK)
    np.testing.assert_allclose(painted.flatten(2), whole, rtol=1e-4, atol=1e-5)


def test_images_are_painted_alike_alone_and_in_a_batch(network, raster):
    past, observed = torch.randn(4, 5, network.n_sensors), torch.rand(4, 5, network.n_sensors) > 0.3
    small = build_raster(network, ALL_VIEWS)
    whole = paint_views(small, past, observed, ALL_VIEWS)
    assert whole.shape == (4, n_views(ALL_VIEWS), 3, 16, 16)
    for b in range(4):
        torch.testing.assert_close(paint_views(small, past[b : b + 1], observed[b : b + 1], ALL_VIEWS)[0], whole[b])


def test_two_windows_give_two_images_and_pixels_stay_between_0_and_1(network):
    small = build_raster(network, ALL_VIEWS)
    past = 6 * torch.randn(2, 5, network.n_sensors)
    images = paint_views(small, past, torch.ones_like(past, dtype=torch.bool), ALL_VIEWS)
    assert 0 < images.min() < images.max() < 1
    assert (images[0] - images[1]).abs().mean() > 0.01


def test_an_uneventful_window_is_not_black(network):
    small = build_raster(network, ALL_VIEWS)
    past = torch.zeros(1, 5, network.n_sensors)
    for observed in (torch.ones_like(past, dtype=torch.bool), torch.zeros_like(past, dtype=torch.bool)):
        images = paint_views(small, past, observed, ALL_VIEWS)
        assert torch.isfinite(images).all()
        assert (images[0].amax(dim=(-1, -2)) > 0).all()


def test_the_gradient_reaches_the_readings_that_were_observed_and_no_others(network):
    small = build_raster(network, ALL_VIEWS)
    past = torch.randn(2, 5, network.n_sensors, requires_grad=True)
    observed = torch.ones(2, 5, network.n_sensors, dtype=torch.bool)
    observed[:, :, :4] = False
    paint_views(small, past, observed, ALL_VIEWS).square().sum().backward()
    assert torch.isfinite(past.grad).all()
    assert (past.grad[:, :, :4] == 0).all()
    assert (past.grad[:, -1, 4:] != 0).all()


def test_a_permutation_of_the_sensors_changes_nothing(network):
    order = np.random.default_rng(0).permutation(network.n_sensors)
    past = torch.randn(1, 5, network.n_sensors)
    observed = torch.rand(1, 5, network.n_sensors) > 0.2
    straight = paint_views(build_raster(network, ALL_VIEWS), past, observed, ALL_VIEWS)
    turned = build_raster(network.select(order), ALL_VIEWS)
    torch.testing.assert_close(
        paint_views(turned, past[..., order], observed[..., order], ALL_VIEWS), straight, atol=2e-5, rtol=1e-4
    )


def test_change_starts_at_the_first_reading_that_is_there():
    network = network_of([50.0], [8.0])
    config = ImageConfig(size=8)
    past = torch.tensor([0.0, 2.0, 2.0, 3.0])[None, :, None]
    observed = torch.tensor([False, True, False, True])[None, :, None]
    values = view_values(paint_views(build_raster(network, config), past, observed, config)[0].numpy(), config)
    np.testing.assert_allclose(values[0, 0], 3.0, atol=0.01)
    np.testing.assert_allclose(values[0, 1], 1.0, atol=0.01)


def test_spread_tells_mean_deviation_and_range_of_what_was_observed():
    network = network_of([50.0], [8.0])
    config = ImageConfig(size=8, views=("spread",))
    past = torch.tensor([1.0, 9.0, 2.0, 3.0])[None, :, None]
    observed = torch.tensor([True, False, True, True])[None, :, None]
    values = view_values(paint_views(build_raster(network, config), past, observed, config)[0].numpy(), config)
    for channel, expected in enumerate((2.0, np.sqrt(2 / 3), 2.0)):
        np.testing.assert_allclose(values[0, channel], expected, atol=0.01)


def test_shades_can_be_read_back_and_bend_only_far_out():
    scaled = torch.linspace(-4, 4, 33)
    np.testing.assert_allclose(from_shade(to_shade(scaled).numpy()), scaled.numpy(), atol=1e-4)
    assert float(to_shade(torch.tensor(0.0))) == 0.5
    assert 0 < float(to_shade(torch.tensor(-1e6))) < float(to_shade(torch.tensor(1e6))) < 1


def test_the_legend_names_three_channels_and_support_is_read_back_as_a_share(network):
    small = build_raster(network, ALL_VIEWS)
    past = torch.randn(1, 5, network.n_sensors)
    observed = torch.ones_like(past, dtype=torch.bool)
    values = view_values(paint_views(small, past, observed, ALL_VIEWS)[0].numpy(), ALL_VIEWS)
    assert [len(view.channels) for view in legend(ALL_VIEWS)] == [3] * n_views(ALL_VIEWS)
    assert VIEWS["field"].channels[2].kind == "share"
    np.testing.assert_allclose(values[0, 2], small.support(observed[0, -1]), atol=1e-4)


def test_the_field_for_people_is_in_the_unit_and_never_beyond_the_readings(network, raster):
    values = np.random.default_rng(1).uniform(40, 70, network.n_sensors).astype("f4")
    values[2] = np.nan
    painted = field_in_unit(raster, values)
    assert np.nanmin(painted) >= np.nanmin(values) - 0.01
    assert np.nanmax(painted) <= np.nanmax(values) + 0.01
    row, column = raster.pixel_of(network.lat[0], network.lon[0])
    assert painted[row, column] == pytest.approx(values[0], abs=1e-3)
    assert np.isnan(field_in_unit(raster, np.full(network.n_sensors, np.nan))).all()


@pytest.mark.parametrize(
    ("lat", "lon"),
    [([10.0], [20.0]), ([10.0, 10.0], [20.0, 20.0]), ([-17, -18, -16.5], [179.5, -179.5, 180]), ([89.9, 89.95], [0, 120])],
    ids=["one sensor", "two in one place", "antimeridian", "near the pole"],
)
def test_odd_networks_are_painted(lat, lon):
    network = network_of(lat, lon)
    raster = build_raster(network, ImageConfig(size=32))
    values = torch.arange(1.0, len(lat) + 1)
    painted = raster.paint(values, everywhere(network))
    assert torch.isfinite(painted).all()
    assert painted.min() >= 0.99
    assert painted.max() <= len(lat) + 0.01
    if len(set(zip(lat, lon, strict=True))) == len(lat):
        row, column = raster.pixel_of(network.lat, network.lon)
        np.testing.assert_allclose(painted[row, column], values, atol=1e-3)


def test_ten_thousand_sensors_are_painted_at_128_pixels_within_seconds():
    rng = np.random.default_rng(0)
    network = network_of(rng.uniform(50, 54, 10_000), rng.uniform(6, 14, 10_000))
    config = ImageConfig(size=128)
    start = time.process_time()
    past = torch.randn(8, 3, 10_000)
    images = paint_views(build_raster(network, config), past, torch.ones_like(past, dtype=torch.bool), config)
    assert time.process_time() - start < 10
    assert torch.isfinite(images).all()


def test_an_unknown_view_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="field, frames, spread"):
        ImageConfig(views=("volcano",))


@pytest.mark.parametrize("east", [11.5, 179.9])
def test_a_sensor_lies_on_the_image_where_its_own_pixel_is(east):
    """Its place among the patches, -1 … 1, and the pixel that the raster gives it are the same spot, also across the antimeridian."""
    rng = np.random.default_rng(0)
    lon = (east + rng.uniform(0, 0.4, 20) + 180) % 360 - 180
    network = SensorNetwork(tuple(f"s{i}" for i in range(20)), 48 + rng.uniform(0, 0.3, 20), lon)
    raster = SpatialRaster.build(network, 64)
    place = on_image(raster.bounds, network.lat, network.lon)
    row, column = raster.pixel_of(network.lat, network.lon)
    np.testing.assert_array_equal(np.floor((place[:, 0] + 1) / 2 * 64), column)
    np.testing.assert_array_equal(np.floor((1 - place[:, 1]) / 2 * 64), row)
    assert np.abs(place).max() < 0.95  # the image is wider than the network
