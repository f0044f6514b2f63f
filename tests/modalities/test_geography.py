"""Geography: water is water, a line crosses the pixels that it should, a grid keeps its unit, and hostile files are refused."""

import json
import time

import numpy as np
import pytest
import shapely
import torch

from stvlm.core.base_layer import BaseLayer, Grid, areas_of
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.datasets.samples import load_sample
from stvlm.io.geojson import _geometries, read_base_layer, with_base_layer
from stvlm.io.read import InputFiles, read_tables
from stvlm.io.source import InputError, open_source
from stvlm.io.store import load_series, save_series
from stvlm.modalities.image.geography import paint_ground
from stvlm.modalities.image.views import ImageConfig, build_raster, legend, paint_views, view_values
from stvlm.quality.report import inspect, load

GEOGRAPHY = ImageConfig(size=32, views=("geography",))
SQUARE = (0.0, 0.0, 8.0, 8.0)
ASC = b"ncols 3\nnrows 2\nxllcorner 7\nyllcorner 49.5\ncellsize 1\nNODATA_value -9999\n10 20 30\n40 -9999 60\n"


def geojson(*geometries: dict) -> tuple[str, bytes]:
    features = [{"type": "Feature", "properties": {}, "geometry": g} for g in geometries]
    return "roads.geojson", json.dumps({"type": "FeatureCollection", "features": features}).encode()


def line(*places) -> dict:
    return {"type": "LineString", "coordinates": [list(p) for p in places]}


def small_network(layer: BaseLayer | None = None) -> SensorNetwork:
    return SensorNetwork(("a", "b", "c"), [50.0, 51.0, 50.5], [8.0, 9.0, 8.2], base_layer=layer)


def painted(network: SensorNetwork) -> tuple[np.ndarray, list]:
    """(3, G, G) values of the three channels, and their legend."""
    raster = build_raster(network, GEOGRAPHY)
    past = torch.zeros(1, 4, network.n_sensors)
    images = paint_views(raster, past, past == 0, GEOGRAPHY)[0].numpy()
    assert 0 < images.min() <= images.max() < 1
    return view_values(images, GEOGRAPHY, raster)[0], list(legend(GEOGRAPHY, raster)[0].channels)


@pytest.fixture(scope="module")
def ireland() -> SensorSeries:
    return load_sample("irish_wind")


def test_water_is_water_and_land_is_land(ireland):
    raster = build_raster(ireland.network, GEOGRAPHY)
    (land, _, _), _ = painted(ireland.network)
    for lat, lon, expected in ((53.4, -7.5, 1.0), (52.5, -7.9, 1.0), (53.4, -5.3, 0.0), (51.6, -6.5, 0.0), (54.9, -10.2, 0.0)):
        row, column = raster.pixel_of(np.array([lat]), np.array([lon]))
        assert land[row, column] == pytest.approx(expected, abs=1e-5), (lat, lon)
    assert 0 < ((land > 0.05) & (land < 0.95)).mean() < 0.3  # the coast


def test_land_is_found_on_both_sides_of_the_antimeridian():
    fiji = SensorNetwork(("a", "b", "c"), [-17.8, -16.6, -18.2], [178.4, 179.9, -178.8])
    raster = build_raster(fiji, GEOGRAPHY)
    (land, _, _), _ = painted(fiji)
    row, column = raster.pixel_of(np.array([-17.8]), np.array([178.0]))  # Viti Levu
    assert land[row, column] == pytest.approx(1, abs=1e-5)
    assert land.mean() < 0.5


def test_all_areas_of_a_piece_count_and_nothing_else_of_it():
    square, far = shapely.box(0, 0, 1, 1), shapely.box(5, 5, 7, 7)
    point = shapely.Point(9, 9)
    assert areas_of(shapely.GeometryCollection([shapely.MultiPolygon([square, far]), point])).area == 5
    assert areas_of(shapely.GeometryCollection([square, point])).area == 1
    assert areas_of(point).is_empty


def test_a_line_crosses_the_pixels_that_it_should_and_no_others():
    layer = BaseLayer(lines=shapely.MultiLineString([[(0.5, 7.5), (6.5, 7.5)], [(3, 0), (3, 0.25)]]), name="roads")
    shapes = paint_ground(layer, SQUARE, 8).shapes
    np.testing.assert_allclose(shapes[0], [0.5, 1, 1, 1, 1, 1, 0.5, 0], atol=1e-5)
    assert shapes[7, 3] == pytest.approx(0.25)
    assert (shapes[1:7] == 0).all()


def test_a_slanting_line_has_its_whole_length():
    layer = BaseLayer(lines=shapely.MultiLineString([[(0, 0), (8, 6)]]), name="roads")
    from stvlm.modalities.image.geography import _lengths

    found = _lengths(shapely.get_parts(layer.lines), SQUARE, 8)
    assert found.sum() == pytest.approx(10.0, rel=1e-4)
    assert (found > 0).sum() == 12  # it enters a new pixel at 7 columns and 5 rows, of which none coincide but the corner


def test_areas_are_half_filled_within_bright_outlines_and_holes_stay_empty():
    outer, hole = [(1, 1), (7, 1), (7, 7), (1, 7)], [(3, 3), (5, 3), (5, 5), (3, 5)]
    layer = BaseLayer(areas=shapely.MultiPolygon([shapely.Polygon(outer, [hole])]), name="park")
    shapes = paint_ground(layer, (0.01, 0.01, 8.01, 8.01), 8).shapes
    assert shapes[2, 2] == pytest.approx(0.5)
    assert shapes[4, 3] > 0.9 or shapes[3, 3] > 0.9  # the outline of the hole
    assert shapes[0, 0] == 0
    assert shapes[7, 4] > 0.9  # the southern outline


def test_a_grid_keeps_its_unit_and_says_nothing_where_it_has_no_value():
    network = small_network(read_base_layer(None, ("elevation.asc", ASC), "m"))
    (_, near, values), channels = painted(network)
    assert (channels[2].label, channels[2].unit, channels[2].low, channels[2].high) == ("elevation", "m", 10.0, 60.0)
    raster = build_raster(network, GEOGRAPHY)

    def at(lat: float, lon: float) -> float:
        row, column = raster.pixel_of(np.array([lat]), np.array([lon]))
        return float(values[row, column][0])

    assert at(51.0, 7.9) == pytest.approx(10, abs=1e-3)
    assert at(51.0, 9.2) == pytest.approx(30, abs=1e-3)
    assert at(50.0, 7.9) == pytest.approx(40, abs=1e-3)
    assert at(50.0, 8.5) == pytest.approx(35, abs=1e-3)  # no value: the middle grey
    assert "no base layer given" in channels[1].label
    assert near.max() == pytest.approx(1)


def test_what_was_not_given_is_said_and_never_black():
    (land, near, grid), channels = painted(small_network())
    assert [c.label for c in channels][1:] == ["nearness of a sensor (no base layer given)", "flat (no grid given)"]
    assert channels[2].kind == "nothing"
    assert np.isnan(grid).all()  # no value is read from the grey
    assert land.min() == pytest.approx(1)
    assert near.std() > 0.1


def test_the_order_of_the_sensors_changes_nothing():
    network = small_network(read_base_layer(geojson(line((7.9, 50), (9, 51))), ("elevation.asc", ASC)))
    for straight, turned in zip(painted(network)[0], painted(network.select([2, 0, 1]))[0], strict=True):
        np.testing.assert_allclose(straight, turned, atol=1e-6)


def test_the_layer_travels_with_the_network_and_its_fingerprint(ireland, tmp_path):
    layer = read_base_layer(
        geojson(line((-9, 53), (-7, 52))), ("height.asc", ASC.replace(b"corner 7", b"corner -8").replace(b"49.5", b"51.5")), "m"
    )
    series = with_base_layer(ireland, layer)
    assert series.fingerprint != ireland.fingerprint
    assert series.select(np.array([3, 1])).network.base_layer is layer
    save_series(series, tmp_path / "kept")
    again = load_series(tmp_path / "kept", verify=True)
    assert again.network.base_layer.fingerprint == layer.fingerprint
    assert again.network.base_layer.grid.unit == "m"
    assert layer.summary == "1 lines, a grid of 2 x 3 cells"


def test_tables_take_a_base_layer_and_refuse_one_of_another_place(small_files):
    sensors, series = small_files
    here = geojson(line((13.3, 52.5), (13.5, 52.5)))
    loaded = load(InputFiles(sensors, series, base_layer=here))
    assert loaded.network.base_layer.name == "roads"
    assert any("1 lines" in p.line for p in inspect(read_tables(InputFiles(sensors, series, base_layer=here))).problems)
    swapped = geojson(line((52.5, 13.3), (52.5, 13.5)))
    errors = inspect(read_tables(InputFiles(sensors, series, base_layer=swapped))).errors
    assert [p.line for p in errors] == [
        "roads.geojson: its lines and areas lie outside the network: 13.3 to 13.5° north, 52.5 to 52.5° east. "
        "Give that of this place; longitude comes first."
    ]
    with pytest.raises(InputError, match="lie outside the network"):
        load(InputFiles(sensors, series, base_layer=swapped))


def polygon(*places) -> dict:
    return {"type": "Polygon", "coordinates": [[list(p) for p in places]]}


HOSTILE_SHAPES = {
    "NaN": (b'{"type":"LineString","coordinates":[[NaN,50],[8,51]]}', "not valid JSON (NaN is not a JSON number)"),
    "endless": (b'{"type":"LineString","coordinates":[[1e999,50],[8,51]]}', "[inf, 50] is not [longitude, latitude]"),
    "huge number": (b'{"type":"LineString","coordinates":[[' + b"9" * 400 + b",50],[8,51]]}", "is not [longitude, latitude]"),
    "metres": (json.dumps(line((385000, 5820000), (385100, 5820000))).encode(), "is not [longitude, latitude] in degrees"),
    "a text": (b'{"type":"LineString","coordinates":[["8","50"],[8,51]]}', "['8', '50'] is not [longitude, latitude]"),
    "truth": (b'{"type":"LineString","coordinates":[[true,50],[8,51]]}', "[True, 50] is not [longitude, latitude]"),
    "no list": (b'{"type":"MultiPolygon","coordinates":7}', "feature 1: the coordinates of its MultiPolygon are 7"),
    "no coordinates": (b'{"type":"LineString"}', "feature 1: needs at least 2 places"),
    "a point": (b'{"type":"Point","coordinates":[8,50]}', "feature 1: Point is neither a line nor an area"),
    "a number": (b"[1, 2]", "feature 1: list is neither a line nor an area"),
    "deep": (b'{"type":"LineString","coordinates":' + b"[" * 4000 + b"]" * 4000 + b"}", "nested more than 32 levels deep"),
    "deep collections": (
        b'{"type":"GeometryCollection","geometries":[' * 20 + b"]}" * 20,
        "nested more than 32 levels deep",
    ),
    "open ring": (json.dumps(polygon((8, 50), (9, 50), (9, 51))).encode(), "needs at least 4 places"),
    "another system": (
        b'{"type":"FeatureCollection","crs":{"type":"name","properties":{"name":"EPSG:25832"}},"features":[]}',
        "Export it in WGS84",
    ),
    "features no list": (b'{"type":"FeatureCollection","features":{}}', "features are no list"),
    "nothing": (b'{"type":"FeatureCollection","features":[]}', "holds no lines and no areas"),
    "a zip": (b"PK\x03\x04zip", "the name says JSON, but the content is zip"),
    "a VRT": (b"<OGRVRTDataSource></OGRVRTDataSource>", "the content is XML"),
}


@pytest.mark.parametrize(("content", "words"), HOSTILE_SHAPES.values(), ids=HOSTILE_SHAPES)
def test_a_hostile_geojson_gives_its_message(content, words):
    with pytest.raises(InputError) as error:
        read_base_layer(("roads.geojson", content), None)
    assert len(error.value.problems) == 1
    assert error.value.problems[0].startswith("roads.geojson")
    assert words in error.value.problems[0]
    assert len(error.value.problems[0]) < 300


def test_too_many_vertices_and_too_large_a_file_are_refused(monkeypatch):
    monkeypatch.setattr("stvlm.io.geojson.MOST_VERTICES", 1000)
    many = b'{"type":"LineString","coordinates":[' + b"[8,50]," * 1000 + b"[8,50]]}"
    with pytest.raises(InputError, match="feature 1: more than 1,000 vertices in all"):
        read_base_layer(("roads.geojson", many), None)
    with pytest.raises(InputError, match="33 MiB; at most 32 MiB"):
        read_base_layer(("roads.geojson", b"{" + b" " * (33 << 20)), None)


def test_too_many_areas_are_refused(monkeypatch):
    monkeypatch.setattr("stvlm.io.geojson.MOST_AREAS", 2)
    ring = "[[[8,50],[9,50],[9,51],[8,50]]]"
    many = f'{{"type":"MultiPolygon","coordinates":[{ring},{ring},{ring}]}}'.encode()
    with pytest.raises(InputError, match="feature 1: more than 2 areas in all"):
        read_base_layer(("districts.geojson", many), None)


def test_a_collection_of_very_many_parts_is_gone_through_once():
    empty = {"type": "GeometryCollection", "geometries": []}
    many = {"type": "GeometryCollection", "geometries": [empty] * 500_000 + [line((8, 50), (9, 51))]}
    started = time.process_time()
    assert [where for where, _ in _geometries(many, open_source(("roads.geojson", b"{}")))] == ["roads.geojson, feature 1"]
    assert time.process_time() - started < 5  # a list that loses its head half a million times takes several times as long


def test_a_line_folded_over_the_image_many_times_takes_bounded_memory():
    zigzag = np.tile([[0.0, 0.0], [8.0, 8.0]], (100_000, 1))
    shapes = paint_ground(BaseLayer(lines=shapely.MultiLineString([zigzag]), name="zigzag"), SQUARE, 128).shapes
    assert (np.diagonal(np.fliplr(shapes)) == 1).all()
    assert (shapes > 0).sum() < 3 * 128


HOSTILE_GRIDS = {
    "no header": (b"1 2 3\n4 5 6\n", "no number ncols"),
    "huge": (ASC.replace(b"ncols 3", b"ncols 999999999"), "cells; a grid has at most 2,000,000"),
    "negative": (ASC.replace(b"ncols 3", b"ncols -3"), "-3 cells"),
    "too few values": (ASC.replace(b" 60", b""), "5 values, but its header says 2 x 3"),
    "a word": (ASC.replace(b"60", b"abc"), "row 2 of the values, column 3: 'abc' is not a number"),
    "a number of a programmer": (ASC.replace(b"60", b"6_0"), "row 2 of the values, column 3: '6_0' is not a number"),
    "a missing value that is a word": (ASC.replace(b"value -9999", b"value none"), "NODATA_value is 'none', not a number"),
    "a long word": (ASC.replace(b"60", b"9" * 100), "more than 40 characters"),
    "metres": (ASC.replace(b"corner 7", b"corner 385000"), "are no degrees"),
    "size 0": (ASC.replace(b"cellsize 1", b"cellsize 0"), "are no degrees"),
    "not a size": (ASC.replace(b"cellsize 1", b"cellsize nan"), "no number cellsize"),
    "empty": (b"ncols 1\nnrows 1\nxllcorner 7\nyllcorner 50\ncellsize 1\n-9999\n", "no cell has a value"),
    "binary": (b"\x00\x01\x02" * 9, "content is binary data"),
}


@pytest.mark.parametrize(("content", "words"), HOSTILE_GRIDS.values(), ids=HOSTILE_GRIDS)
def test_a_hostile_grid_gives_its_message(content, words):
    with pytest.raises(InputError) as error:
        read_base_layer(None, ("height.asc", content))
    assert len(error.value.problems) == 1
    assert words in error.value.problems[0]


def test_both_files_are_named_and_wrong_endings_refused():
    with pytest.raises(InputError) as error:
        read_base_layer(("roads.csv", b"a,b\n1,2\n"), ("height.asc", b"x"))
    assert [p.split(":")[0].split(",")[0] for p in error.value.problems] == ["roads.csv", "height.asc"]


def test_cells_are_found_by_place_whole_turns_away_too():
    grid = Grid(np.arange(6, dtype="f4").reshape(2, 3), (-8.0, 50.0, -5.0, 52.0))
    np.testing.assert_array_equal(grid.at(np.array([51.5, 50.5, 51.5]), np.array([-7.5, -5.5, 352.5])), [0, 5, 0])
    assert np.isnan(grid.at(np.array([49.0, 51.0]), np.array([-7.0, 0.0]))).all()
