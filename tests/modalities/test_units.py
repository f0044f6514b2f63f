"""The images read in the unit of the readings, without sensors dropped by hand, and as files that a GIS puts in place."""

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from stvlm.charts.export.static import georeferenced_zip, world_file
from stvlm.charts.figures.matrix import Axis, matrix_player
from stvlm.charts.maps.layers import pixel_tooltip
from stvlm.charts.maps.player import images_player
from stvlm.charts.scale import fit_scale
from stvlm.core.windows import Window
from stvlm.inference.predict import model_inputs
from stvlm.modalities.image.views import VIEWS, ImageConfig, build_raster, needs_image, past_without, read_channel
from stvlm.training.fit import FitConfig, fit


@pytest.fixture(scope="module")
def window(small_series) -> Window:
    return Window(small_series, 300, 12, 4)


@pytest.fixture(scope="module")
def raster(small_series):
    return build_raster(small_series.network, ImageConfig(size=16))


def pixels(raster, array) -> np.ndarray:
    network = raster.network
    return array[raster.pixel_of(network.lat, network.lon)]


def read(window, raster, name, channel, silent=(), image=None):
    return read_channel(past_without(window, silent), window.series, raster, VIEWS[name], channel, image)


def test_the_pixel_of_a_sensor_has_its_reading_in_the_unit(window, raster):
    now = read(window, raster, "field", 0)
    assert now.unit == "km/h"
    known = np.isfinite(window.past[-1])
    np.testing.assert_allclose(now.values[known], window.past[-1][known])
    np.testing.assert_allclose(pixels(raster, now.array)[known], now.values[known], rtol=1e-3)
    spread = read(window, raster, "spread", 1)
    np.testing.assert_allclose(spread.values, np.nanstd(window.past, axis=0), rtol=1e-5)
    assert read(window, raster, "field", 1).about_zero


def test_a_sensor_left_out_takes_its_reading_along_and_changes_no_other(window, raster):
    whole, less = (read(window, raster, "field", 0, silent) for silent in ((), (2,)))
    assert np.isnan(less.values[2])
    keep = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(pixels(raster, less.array)[keep], pixels(raster, whole.array)[keep], rtol=1e-3)
    assert abs(pixels(raster, less.array)[2] - pixels(raster, whole.array)[2]) > 0.5
    assert np.isfinite(window.past[:, 2]).any()  # the readings themselves stay
    assert past_without(window) is not None
    everyone = read(window, raster, "field", 0, tuple(range(6)))
    assert np.isnan(everyone.array).all()


def test_what_is_observed_is_told_in_percent(window, raster):
    share = read(window, raster, "field", 2, (1,))
    assert share.unit == "%"
    assert share.values.tolist() == [100, 0, 100, 100, 100, 100]
    assert pixels(raster, share.array)[0] == pytest.approx(100, abs=0.1)


def test_a_channel_without_readings_is_read_off_the_image(window, raster):
    assert [needs_image(VIEWS["relations"], c) for c in range(3)] == [True] * 3
    assert not any(needs_image(VIEWS[name], c) for name in ("field", "frames", "spread", "space-time") for c in range(3))
    with pytest.raises(ValueError, match="read off the image"):
        read(window, raster, "relations", 0)
    image = np.full((3, 16, 16), 0.5 + 0.49 * 0.25, "f4")
    found = read(window, raster, "relations", 0, image=image)
    np.testing.assert_allclose(found.array, 0.25, rtol=1e-5)


def test_the_images_without_a_sensor_are_those_of_readings_without_it(small_series):
    config = FitConfig(lookback=12, horizon=4, max_steps=0, device="cpu", image_size=64, views=("field", "relations", "space-time"))
    *_, last = fit(small_series, config)
    window = Window(small_series, 300, 12, 4)
    values = small_series.values.copy()
    values[288:300, [1, 4]] = np.nan
    expected = model_inputs(last.model, Window(replace(small_series, values=values), 300, 12, 4)).images
    found = model_inputs(last.model, window, silent=(1, 4)).images
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - model_inputs(last.model, window).images).max() > 0.01


def test_a_world_file_puts_the_centre_of_each_pixel_where_it_is():
    numbers = [float(line) for line in world_file((8.0, 50.0, 9.0, 51.0), (10, 20)).split()]
    width, _, _, height, lon, lat = numbers
    assert (lon, lat) == pytest.approx((8.025, 50.95))
    assert (lon + 19 * width, lat + 9 * height) == pytest.approx((8.975, 50.05))


def test_the_archive_holds_picture_world_file_projection_and_meaning():
    array = np.array([[0.0, 1.0], [np.nan, 2.0]])
    content = georeferenced_zip(array, (8.0, 50.0, 9.0, 51.0), fit_scale(array, (0, 2)), "field_1", "speed, km/h")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert sorted(archive.namelist()) == ["field_1.pgw", "field_1.png", "field_1.prj", "field_1.txt"]
        picture = Image.open(io.BytesIO(archive.read("field_1.png")))
        assert picture.size == (2, 2)
        assert [picture.getpixel(place)[3] for place in ((0, 0), (1, 0), (0, 1), (1, 1))] == [255, 255, 0, 255]
        assert picture.getpixel((0, 0))[:3] == (0x44, 0x01, 0x54)
        assert b"speed, km/h" in archive.read("field_1.txt")
        assert b"WGS 84" in archive.read("field_1.prj")


def test_a_player_of_images_holds_each_moment_in_the_same_colours(window, raster):
    readings = [read(replace(window, cutoff=cutoff), raster, "field", 0) for cutoff in (298, 299, 300)]
    arrays, values = np.stack([r.array for r in readings]), np.stack([r.values for r in readings])
    view = images_player(arrays, raster.bounds, raster.network, ["a", "b", "c"], values, "km/h", "speed")
    payload = next(c for c in view.base._children.values() if c._name == "Player").payload
    assert len(set(payload["images"])) == 3
    assert all(url.startswith("data:image/png;base64,") for url in payload["images"])
    shown = np.array([[np.nan if x is None else x for x in row] for row in payload["values"]])
    np.testing.assert_allclose(shown, values, atol=0.06)
    assert payload["start"] == 2
    with pytest.raises(ValueError, match="as many times"):
        images_player(arrays, raster.bounds, raster.network, ["a"], values)


def test_hovering_reads_the_numbers_of_the_image():
    reader = pixel_tooltip(np.array([[1.26, np.nan], [3.0, 4.0]]), (8.0, 50.0, 9.0, 51.0), "km/h", 1)
    assert reader.payload["values"] == [[1.26, None], [3.0, 4.0]]
    assert reader.payload["digits"] == 2


def test_a_matrix_plays_every_moment_in_the_same_colours():
    arrays = np.arange(12.0).reshape(3, 2, 2)
    axis = Axis("sensors", ("a", "b"))
    figure = matrix_player(arrays, ["x", "y", "z"], axis, axis, "speed", limits=(0, 12))
    assert [frame.name for frame in figure.frames] == ["0", "1", "2"]
    np.testing.assert_array_equal(figure.frames[1].data[0].z, arrays[1])
    np.testing.assert_array_equal(figure.data[0].z, arrays[-1])
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 12)
    assert [step.label for step in figure.layout.sliders[0].steps] == ["x", "y", "z"]
    with pytest.raises(ValueError, match="as many times"):
        matrix_player(arrays, ["x"], axis, axis, "speed")
