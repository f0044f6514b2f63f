"""Pictures whose pixels are no places: the first row on top, names as texts, the sensor in view marked."""

import numpy as np
import pytest

from stvlm.charts.figures.matrix import MOST_LABELS, Axis, matrix_picture

ROWS, COLUMNS = Axis("sensors", ("a", "<b>%{z}</b>", "c"), marked=1), Axis("time", ("one", "two"))
VALUES = np.array([[0.0, 1.0], [2.0, np.nan], [4.0, 5.0]])


def test_every_cell_has_its_value_and_both_names():
    figure = matrix_picture(VALUES, ROWS, COLUMNS, "speed", "km/h")
    heat = figure.data[0]
    np.testing.assert_array_equal(heat.z, VALUES)
    assert list(heat.customdata[2][1]) == ["c", "two"]
    assert heat.customdata[1][0][0] == "&lt;b&gt;%&#123;z}&lt;/b&gt;"
    assert "km/h" in heat.hovertemplate
    assert figure.layout.title.text == "speed, km/h"
    assert figure.layout.yaxis.autorange == "reversed"
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("time", "sensors")


def test_the_marked_row_has_a_line_and_limits_hold():
    figure = matrix_picture(VALUES, ROWS, COLUMNS, "speed", limits=(0.0, 10.0))
    assert [shape.y0 for shape in figure.layout.shapes] == [1]
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0.0, 10.0)


def test_long_axes_name_only_some_of_their_places():
    many = Axis("sensors", tuple(f"a sensor with quite a long name {i}" for i in range(100)))
    figure = matrix_picture(np.zeros((100, 2)), many, COLUMNS, "speed")
    assert len(figure.layout.yaxis.ticktext) <= MOST_LABELS
    assert max(len(text) for text in figure.layout.yaxis.ticktext) <= 22


def test_names_must_be_one_for_each_row_and_column():
    with pytest.raises(ValueError, match="3 rows, 2 columns"):
        matrix_picture(np.zeros((2, 2)), ROWS, COLUMNS, "speed")
