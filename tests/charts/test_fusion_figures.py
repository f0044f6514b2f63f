"""Shares, deletions, shaded prompts and pictures."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from stvlm.charts.figures import fusion
from stvlm.core.forecast import FusionExplanation
from stvlm.core.network import SensorNetwork


@pytest.fixture
def explanation() -> FusionExplanation:
    network = SensorNetwork(("a", "<b>bold</b>"), np.array([50.0, 50.1]), np.array([8.0, 8.1]))
    return FusionExplanation(
        network=network,
        times=np.arange(3).astype("datetime64[s]"),
        unit="km/h",
        modality_weights=np.array([[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]]),
        image_bounds=network.bounds(),
        image_attention=np.full((2, 2, 2), 0.25),
        tokens=("a",),
        text_attention=np.ones((2, 1)),
        sensor_attention=np.full((2, 2), 0.5),
        deletion={
            "vision": np.array([[1.0, 0], [-1, 0], [1, 3]]),
            "text": np.zeros((3, 2)),
            "series": np.array([[4.0, np.nan], [4, 1], [4, 1]]),
        },
    )


def test_shares_are_in_percent_for_the_sensor_and_for_all(explanation):
    sensor, mean = fusion.shares_bars(explanation, 0).data
    np.testing.assert_allclose(sensor.y, [50, 20, 30])
    np.testing.assert_allclose(mean.y, [30, 20, 50])
    assert list(sensor.x) == ["vision", "text", "series"]
    assert list(sensor.text) == ["50.0 %", "20.0 %", "30.0 %"]


def test_deletions_are_mean_absolute_changes_in_the_unit(explanation):
    figure = fusion.deletion_bars(explanation, 1)
    sensor, mean = figure.data
    np.testing.assert_allclose(sensor.y, [1.0, 0.0, 1.0])
    np.testing.assert_allclose(mean.y, [1.0, 0.0, 2.5])
    assert figure.layout.yaxis.title.text == "mean absolute change, km/h"
    assert sensor.name == "&lt;b&gt;bold&lt;/b&gt;"


def test_deletions_that_were_not_measured_say_so(explanation):
    figure = fusion.deletion_bars(replace(explanation, deletion={}), 0)
    assert "not measured" in figure.layout.annotations[0].text


def test_the_mean_alone_is_one_group(explanation):
    assert len(fusion.shares_bars(explanation).data) == 1


def test_tokens_are_shaded_by_weight_and_tell_their_share():
    html = fusion.prompt_html(("The", " wind", "\n"), np.array([0.1, 0.6, 0.3]))
    shades = [float(x) for x in re.findall(r"rgba\([^)]*, ([0-9.]+)\)", html)]
    assert shades[1] == max(shades)
    np.testing.assert_allclose(np.array(shades) / shades[1], [1 / 6, 1, 0.5], atol=0.01)
    assert 'title="60.00 %"' in html
    assert "> wind<" in html  # the leading space stays


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_hostile_tokens_stay_text(theme):
    tokens = ("<img src=x onerror=alert(1)>", "</span><script>", "\" onmouseover='x'", "{{7*7}}")
    html = fusion.prompt_html(tokens, np.full(4, 0.25), theme)
    assert set(re.findall(r"<\s*/?\s*(\w+)", html)) == {"div", "span"}
    assert "{{7*7}}" in html
    attributes = set()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: attributes.update(name for name, _ in attrs)
    parser.feed(html)
    assert attributes == {"role", "aria-label", "style", "title"}


def test_the_writing_stays_readable_on_the_darkest_shade():
    for theme, page in (("light", (255, 255, 255)), ("dark", (14, 17, 23))):
        html = fusion.prompt_html(("x",), np.ones(1), theme)
        r, g, b, alpha = (float(x) for x in re.search(r"rgba\((\d+), (\d+), (\d+), ([0-9.]+)\)", html).groups())
        shade = [alpha * c + (1 - alpha) * p for c, p in zip((r, g, b), page, strict=True)]
        ink = re.search(r"color:#(\w{6})", html)[1]
        text = [int(ink[i : i + 2], 16) for i in (0, 2, 4)]
        high, low = sorted((luminance(shade), luminance(text)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def luminance(rgb):
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_a_prompt_needs_one_weight_for_each_token():
    with pytest.raises(ValueError, match="2 tokens need 2 weights"):
        fusion.prompt_html(("a", "b"), np.ones(3))
    assert "no prompt" in fusion.prompt_html((), np.zeros(0))
    assert "nan" not in fusion.prompt_html(("a", "b"), np.array([np.nan, 0.0]))


def test_a_picture_is_enlarged_by_whole_pixels_and_keeps_its_colours():
    image = np.zeros((3, 32, 32))
    image[0, 0, 0], image[2, -1, -1] = 1.0, 0.5
    pixels = np.asarray(Image.open(io.BytesIO(fusion.image_png(image))))
    assert pixels.shape == (256, 256, 3)
    assert (pixels[:8, :8] == [255, 0, 0]).all()
    assert (pixels[-8:, -8:] == [0, 0, 128]).all()
    assert pixels[8, 8].sum() == 0


@pytest.mark.parametrize("shape", [(4, 30, 30), (30, 30, 4), (30, 30, 3), (30, 30), (3, 300, 300)])
def test_pictures_of_every_layout_are_written(shape):
    image = Image.open(io.BytesIO(fusion.image_png(np.full(shape, 0.5))))
    assert min(image.size) >= 256


def test_what_is_no_picture_is_refused():
    with pytest.raises(ValueError, match=r"not \(5, 8, 8\)"):
        fusion.image_png(np.zeros((5, 8, 8)))
