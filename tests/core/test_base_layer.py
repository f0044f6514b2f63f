"""Base layers go to tables of shapes and come back."""

import geopandas
import numpy as np
import pytest
import shapely

from stvlm.core.base_layer import BaseLayer

ROADS = BaseLayer(
    shapely.MultiLineString([[(11.5, 48.1), (11.6, 48.2)], [(11.4, 48.0), (11.5, 48.1)]]),
    shapely.MultiPolygon([shapely.box(11, 48, 12, 49)]),
    "roads",
)


def test_a_base_layer_becomes_a_table_of_shapes_and_comes_back_from_any_crs():
    table = ROADS.to_geodataframe()
    assert list(table.geometry.geom_type) == ["LineString", "LineString", "Polygon"]
    assert (set(table["name"]), table.crs.to_epsg()) == ({"roads"}, 4326)
    back = BaseLayer.from_geodataframe(table.to_crs(25832), "roads")
    assert back.summary == "2 lines, 1 areas"
    assert shapely.equals_exact(back.lines, ROADS.lines, 1e-9)
    assert back.areas.symmetric_difference(ROADS.areas).area < 1e-9


def test_a_line_across_the_antimeridian_goes_on_beyond_it():
    table = geopandas.GeoDataFrame(geometry=[shapely.LineString([(179.5, 0), (-179.5, 1)])], crs=4326)
    found = BaseLayer.from_geodataframe(table, "ferry").lines
    np.testing.assert_allclose(shapely.get_coordinates(found)[:, 0], [179.5, 180.5])


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)]), "no coordinate system"),
        (geopandas.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs=4326), "lines and areas"),
    ],
)
def test_a_table_that_is_no_base_layer_is_refused(table, expected):
    with pytest.raises(ValueError, match=expected):
        BaseLayer.from_geodataframe(table, "roads")
