"""Three shares as one colour: everyone can tell the mixtures apart, and the legend says which is which."""

import re

import numpy as np
import pytest

from stvlm.charts.figures.fusion import Triangle, blend, triangle_svg
from stvlm.charts.maps import sensor_map
from stvlm.core.forecast import FusionExplanation
from stvlm.core.network import SensorNetwork

# G. Machado et al. 2009, "A physiologically-based model for simulation of color vision deficiency": whole loss, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) / [[0.9505], [1.0], [1.089]]


def quarters() -> np.ndarray:
    """(15, 3) all mixtures in steps of a quarter."""
    return np.array([(a, b, 4 - a - b) for a in range(5) for b in range(5 - a)]) / 4


def seen_lab(colours: list[str], kind: str) -> np.ndarray:
    """(K, 3) CIELAB of colours as people of this kind see them."""
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(np.maximum(np.clip(linear @ np.transpose(BLINDNESS[kind]), 0, 1) @ XYZ.T, 0.0089)).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@pytest.mark.parametrize("kind", BLINDNESS)
def test_mixtures_a_quarter_apart_are_told_apart_by_everyone(kind):
    lab = seen_lab(blend(quarters()), kind)
    apart = np.linalg.norm(lab[:, None] - lab, axis=-1)[np.triu_indices(len(lab), 1)]
    assert apart.min() > 5  # 2.3 is just noticeable


def test_corners_have_their_colours_and_more_of_one_comes_nearer_to_it():
    assert blend(np.eye(3)) == ["#0044c0", "#ff8c00", "#e8fbef"]
    way = np.linspace(0, 1, 6)
    lab = seen_lab(blend(np.stack([way, 1 - way, 0 * way], axis=-1)), "none")
    distance = np.linalg.norm(lab - lab[-1], axis=-1)
    assert (np.diff(distance) < 0).all()


def test_the_triangle_fits_the_shares_and_never_pretends():
    shares = np.array([[0.31, 0.30, 0.39], [0.35, 0.33, 0.32]])
    triangle = Triangle.around(shares)
    assert (np.array(triangle.lows) <= shares.min(axis=0)).all()
    assert sum(triangle.lows) + triangle.span == pytest.approx(1)
    alike = Triangle.around(np.array([[0.2, 0.2, 0.6], [0.201, 0.199, 0.6]]))
    assert alike.span >= 0.1 - 1e-9
    lab = seen_lab(alike.colours(np.array([[0.2, 0.2, 0.6], [0.2005, 0.1995, 0.6]])), "none")
    assert np.linalg.norm(lab[0] - lab[1]) < 1
    mixture = triangle.mixture(shares)
    np.testing.assert_allclose(np.array(triangle.lows) + triangle.span * mixture, shares, atol=1e-9)


@pytest.mark.parametrize("shares", [[[1, 0, 0]], [[0, 0, 1]], [[np.nan] * 3], [[0.5, 0, 0.5], [0.5, 0, 0.5]]])
def test_shares_at_an_edge_or_missing_have_a_colour(shares):
    shares = np.array(shares, "f8")
    triangle = Triangle.around(shares)
    assert min(triangle.lows) >= 0
    assert triangle.span > 0
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in triangle.colours(shares))


def test_the_legend_names_its_corners_with_what_they_stand_for():
    svg = triangle_svg(Triangle((0.2, 0.1, 0.3), 0.4), np.array([[0.3, 0.3, 0.4]]), 0)
    for words in ("vision 60 %", "text 50 %", "series 70 %"):
        assert words in svg
    assert svg.count("<path") == 100
    assert [text for text in ("20", "40", "10", "30", "50") if f">{text}<" not in svg] == []


def test_the_map_of_mixtures_has_a_colour_for_each_sensor():
    network = SensorNetwork(("A", "B"), [50, 51], [8, 9])
    weights = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]], "f4")
    nothing = np.zeros((2, 0), "f4")
    told = FusionExplanation(
        network, np.zeros(1, "datetime64[s]"), "", weights, (0, 0, 1, 1), np.zeros((2, 0, 0)), (), nothing, np.eye(2), {}
    )
    view, triangle = sensor_map.mix_map(told)
    features = next(iter(view.features._children.values())).data["features"]
    assert [f["properties"]["style"]["fillColor"] for f in features] == triangle.colours(weights)
    assert features[0]["properties"]["more"] == "vision 80.0 % · text 10.0 % · series 10.0 %"
