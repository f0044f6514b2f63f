"""Still pictures and the animation: places, colours and words are where they belong, and hostile names stay text."""

import io
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from stvlm.charts.export.canvas import Area, Dot, Line, Scene, Word, scene_image, scene_svg
from stvlm.charts.export.static import FOOT, HEAD, Projection, forecast_gif, lines_scene, map_scene
from stvlm.charts.scale import fit_scale
from stvlm.charts.style import THEMES
from stvlm.core.forecast import LEVELS, Forecast
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries

HOSTILE = "</svg><script>alert(1)</script>&\" onload='x' {{ 7*7 }}"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def series() -> SensorSeries:
    network = SensorNetwork(("a", "b", HOSTILE), np.array([50.0, 50.9, 50.2]), np.array([8.0, 8.0, 9.0]))
    times = np.datetime64("2025-05-10T00:00:00", "s") + np.arange(100) * np.timedelta64(3600, "s")
    values = 50 + 10 * np.sin(np.arange(100)[:, None] / 9 + np.arange(3))
    return SensorSeries(network, times, values.astype("f4"), "traffic speed", "km/h")


@pytest.fixture
def forecast(series) -> Forecast:
    middle = series.values[80:85] + 1
    values = np.stack([middle + shift for shift in (-6, -4, -2, 0, 2, 4, 6)]).astype("f4")
    return Forecast(series.network, "traffic speed", "km/h", "stvlm", series.times_after(80, 5), LEVELS, values)


def dots(scene: Scene) -> list[Dot]:
    return [shape for shape in scene.shapes if isinstance(shape, Dot) and shape.mark]


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def test_a_projection_has_north_up_keeps_distances_and_shows_the_whole_view():
    projection = Projection((8.0, 50.0, 9.0, 51.0), (0.0, 0.0, 600.0, 400.0))
    south, north = projection.pixels(np.array([8.5, 8.5]), np.array([50.45, 50.55]))
    assert north[1] < south[1]
    assert south[1] - north[1] == pytest.approx(11.12 * projection.pixels_per_km, rel=0.002)  # a tenth of a degree is 11.12 km
    west, low, east, high = projection.seen
    assert west < 8.0 < 9.0 < east
    assert low < 50.0 < 51.0 < high
    corner = projection.pixels(np.array([west, east]), np.array([high, low]))
    np.testing.assert_allclose(corner, [[0, 0], [600, 400]], atol=1e-6)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_sensor_has_the_colour_of_its_value_where_it_stands(series, theme):
    values = np.array([40.0, 55.0, np.nan])
    scale = fit_scale(values, (40, 60))
    scene = map_scene(series.network, values, scale, "speed", "km/h", "today", theme, selected=0)
    image = scene_image(scene)
    assert image.size == (760, 560)
    a, b, missing = dots(scene)
    for dot, value in ((a, 40.0), (b, 55.0)):
        pixel = np.array(image.getpixel((round(dot.x), round(dot.y))), int)
        assert np.abs(pixel - rgb(scale.hex(np.array([value]))[0])).max() <= 3
    assert missing.fill == ""
    assert missing.title.endswith("missing")
    assert "hollow: missing" in [shape.text for shape in scene.shapes if isinstance(shape, Word)]
    assert image.getpixel((5, 5)) == rgb(THEMES[theme].panel)
    assert all(HEAD <= dot.y <= 560 - FOOT for dot in (a, b, missing))


def test_the_scale_bar_is_as_long_as_it_says(series):
    scene = map_scene(series.network, np.zeros(3), fit_scale(np.zeros(3)), "x")
    text = next(shape.text for shape in scene.shapes if isinstance(shape, Word) and shape.text.endswith(" km"))
    bar = next(shape for shape in scene.shapes if isinstance(shape, Line) and len(shape.points) == 4)
    a, b = dots(scene)[:2]  # 0.9 degrees of latitude apart: 100.08 km
    pixels_per_km = np.hypot(a.x - b.x, a.y - b.y) / 100.08
    assert np.ptp(bar.points[:, 0]) / pixels_per_km == pytest.approx(float(text.split()[0]), rel=0.01)


def test_hostile_names_stay_text_in_svg(series, forecast):
    for scene in (
        map_scene(series.network, np.zeros(3), fit_scale(np.zeros(3)), HOSTILE, HOSTILE),
        lines_scene(series, forecast, 2),
    ):
        svg = scene_svg(scene)
        tree = ElementTree.fromstring(svg)  # well-formed, so nothing broke out
        assert not tree.findall(f".//{SVG}script")
        names = " ".join(tree.itertext())
        assert HOSTILE in names
        assert not re.findall(r"(?:href|src)=", svg)
        scene_image(scene)


def test_svg_and_pixels_show_the_same_picture():
    ring = np.array([(10, 10), (90, 10), (90, 90), (10, 90)])
    hole = np.array([(40, 40), (60, 40), (60, 60), (40, 60)])
    shapes = [
        Area([ring, hole], "#ff0000", 0.5),
        Line(np.array([(0, 95), (100, 95)]), "#0000ff", 4, (10, 10)),
        Dot(50, 50, 5, "#00ff00", "#000000"),
    ]
    scene = Scene(100, 100, "#ffffff", "test", shapes)
    image = scene_image(scene, 2)
    assert image.size == (200, 200)
    assert np.abs(np.array(image.getpixel((40, 40))) - (255, 127, 127)).max() <= 1  # half red on white
    assert image.getpixel((90, 90)) == (255, 255, 255)  # the hole
    assert image.getpixel((100, 100)) == (0, 255, 0)
    assert image.getpixel((10, 190)) == (0, 0, 255)
    assert image.getpixel((30, 190)) == (255, 255, 255)  # between two dashes
    svg = ElementTree.fromstring(scene_svg(scene))
    assert [child.tag.removeprefix(SVG) for child in svg] == ["rect", "path", "polyline", "circle"]
    assert svg[1].get("fill-rule") == "evenodd"


def test_the_time_plot_shows_bands_median_and_truth_at_their_height(series, forecast):
    scene = lines_scene(series, forecast, 1, step=2)
    areas = [shape for shape in scene.shapes if isinstance(shape, Area) and len(shape.rings[0]) == 10]
    assert len(areas) == 3
    heights = [np.ptp(shape.rings[0][[0, 9], 1]) for shape in areas]
    np.testing.assert_allclose(np.array(heights) / heights[0], [1, 8 / 12, 4 / 12], rtol=1e-3)  # 95, 80, 50 %
    circles = [shape for shape in scene.shapes if isinstance(shape, Dot)]
    assert len(circles) == 10  # five of what came, five of the median
    came, median = circles[:5], circles[5:]
    per_unit = heights[0] / 12
    np.testing.assert_allclose([a.y - b.y for a, b in zip(came, median, strict=True)], per_unit, rtol=1e-3)  # 1 km/h above


def test_a_gap_parts_the_lines_and_a_missing_sensor_still_makes_a_picture(series, forecast):
    forecast.values[:, 2, 0] = np.nan
    scene = lines_scene(series, forecast, 0)
    assert sum(isinstance(shape, Area) and len(shape.rings[0]) == 4 and shape.opacity < 0.2 for shape in scene.shapes) == 2
    nothing = replace(forecast, values=np.full_like(forecast.values, np.nan))
    assert scene_image(lines_scene(None, nothing, 0)).size == (760, 360)


def test_an_animation_has_one_frame_for_each_step_in_its_colours(forecast):
    content = forecast_gif(forecast, per_second=4)
    image = Image.open(io.BytesIO(content))
    assert image.n_frames == 5
    assert image.info["loop"] == 0
    scale = fit_scale(forecast.median)
    for step in range(5):
        image.seek(step)
        scene = map_scene(forecast.network, forecast.median[step], scale, "", size=(640, 480))
        pixels = image.convert("RGB")
        for dot, colour in zip(dots(scene), scale.hex(forecast.median[step]), strict=True):
            assert np.abs(np.array(pixels.getpixel((round(dot.x), round(dot.y))), int) - rgb(colour)).max() <= 12
    assert image.info["duration"] == 500  # the last frame stays twice as long


def test_a_long_forecast_is_thinned_to_a_file_of_bearable_size(series):
    values = np.repeat(series.values[:, None], 3, axis=1).transpose(1, 0, 2).repeat(2, axis=1)
    long = Forecast(series.network, "speed", "", "m", series.times_after(0, 200), (0.1, 0.5, 0.9), values)
    assert Image.open(io.BytesIO(forecast_gif(long, size=(160, 120)))).n_frames == 67
