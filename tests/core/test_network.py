"""A sensor network knows its places, distances and neighbours, also at the antimeridian and the poles."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from stvlm.core.network import EARTH_RADIUS_KM, SensorNetwork

DEGREE_KM = np.pi / 180 * EARTH_RADIUS_KM


def network(lat, lon, **more):
    return SensorNetwork(tuple(str(i) for i in range(len(lat))), np.asarray(lat), np.asarray(lon), **more)


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        (dict(ids=(), lat=[], lon=[]), "at least one sensor"),
        (dict(ids=("a", "a"), lat=[1, 2], lon=[1, 2]), "must be unique"),
        (dict(ids=(1, "1"), lat=[1, 2], lon=[1, 2]), "must be unique"),
        (dict(ids=("a",), lat=[1, 2], lon=[1, 2]), "one value for each of the 1 sensors"),
        (dict(ids=("a",), lat=[np.nan], lon=[1]), "finite latitude"),
        (dict(ids=("a",), lat=[-118.2], lon=[34]), r"\[-90, 90\]"),
        (dict(ids=("a",), lat=[1], lon=[2], adjacency=sparse.eye(2)), "adjacency must be 1 x 1"),
        (dict(ids=("a",), lat=[1], lon=[2], facts=pd.DataFrame({"x": [1, 2]})), "facts must have 1 rows"),
    ],
)
def test_a_network_that_cannot_be_is_refused(kwargs, expected):
    with pytest.raises(ValueError, match=expected):
        SensorNetwork(**kwargs)


def test_ids_are_texts():
    assert network([1, 2], [1, 2]).ids == ("0", "1")
    assert SensorNetwork((7, "01"), [1, 2], [1, 2]).ids == ("7", "01")


def test_distances_are_great_circles():
    index, km = network([0, 0, 60, 60], [0, 1, 0, 1]).neighbours(1)
    assert index[:, 0].tolist() == [1, 0, 3, 2]
    np.testing.assert_allclose(km[:, 0], [DEGREE_KM, DEGREE_KM, DEGREE_KM / 2, DEGREE_KM / 2], rtol=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-89, 89), st.floats(-180, 180)), min_size=2, max_size=12), st.integers(1, 15))
def test_neighbours_are_the_nearest_others_whatever_the_places(places, k):
    lat, lon = np.array(places).T
    net = network(lat, lon)
    index, km = net.neighbours(k)
    assert index.shape == km.shape == (len(lat), min(k, len(lat) - 1))
    assert (index != np.arange(len(lat))[:, None]).all()
    a, b = np.radians(lat)[:, None], np.radians(lat)[None]
    h = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(np.radians(lon[:, None] - lon[None]) / 2) ** 2
    haversine = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(h, 0, 1)))
    np.fill_diagonal(haversine, np.inf)
    np.testing.assert_allclose(km, np.sort(haversine, axis=1)[:, : km.shape[1]], atol=1e-3)


def test_co_located_sensors_are_neighbours_and_never_their_own():
    index, km = network([48.0] * 5, [11.0] * 5).neighbours(2)
    assert (index != np.arange(5)[:, None]).all()
    assert (km == 0).all()


def test_a_single_sensor_has_no_neighbour_and_still_a_scale():
    one = network([48.0], [11.0])
    assert one.neighbours(3)[0].shape == (1, 0)
    assert one.spacing_km == 1.0
    assert one.half_extent_km == 0.05
    west, south, east, north = one.bounds()
    assert west < 11 < east
    assert (north - south) * DEGREE_KM == pytest.approx(1.16)


def test_a_network_across_the_antimeridian_stays_together():
    fiji = network([-17.0, -17.0], [179.5, -179.5])
    assert abs(fiji.centre[1]) == pytest.approx(180)
    west, _, east, _ = fiji.bounds()
    assert east - west < 2
    assert abs(fiji.position_km[:, 0]).max() == pytest.approx(0.5 * DEGREE_KM * np.cos(np.radians(17)), rel=1e-3)


def test_bounds_hold_all_sensors_and_are_square_in_km():
    net = network([48.0, 48.3], [11.0, 11.1])
    west, south, east, north = net.bounds(margin=0.1)
    assert west < 11.0
    assert east > 11.1
    assert (north - south) * DEGREE_KM == pytest.approx(0.3 * 1.2 * DEGREE_KM)
    assert (east - west) * np.cos(np.radians(48.15)) == pytest.approx(north - south)


def test_the_nearest_sensors_to_a_place_are_found():
    index, km = network([48, 49, 50], [11, 11, 11]).nearest_to([49.9], [11], k=2)
    assert index.tolist() == [[2, 1]]
    np.testing.assert_allclose(km, [[0.1 * DEGREE_KM, 0.9 * DEGREE_KM]], rtol=1e-6)


def test_a_selection_takes_closeness_and_facts_along():
    facts = pd.DataFrame({"name": ["a", "", "c"]})
    net = network([1, 2, 3], [1, 2, 3], adjacency=sparse.csr_matrix(np.arange(9).reshape(3, 3)), facts=facts)
    part = net.select([2, 0])
    assert part.ids == ("2", "0")
    np.testing.assert_array_equal(part.adjacency.toarray(), [[8, 6], [2, 0]])
    assert [part.name(0), part.name(1), net.name(1)] == ["c", "a", "1"]


def test_the_fingerprint_changes_with_everything_that_matters():
    net = network([1, 2], [1, 2])
    others = [
        network([1, 2], [1, 2.0000001]),
        SensorNetwork(("0", "x"), [1, 2], [1, 2]),
        replace(net, adjacency=sparse.eye(2)),
        replace(net, facts=pd.DataFrame({"name": ["a", "b"]})),
    ]
    assert len({net.fingerprint, *(o.fingerprint for o in others)}) == 5
    assert network([1, 2], [1, 2]).fingerprint == net.fingerprint


def test_a_network_becomes_a_table_of_points_and_comes_back_from_any_crs():
    facts = pd.DataFrame({"road": ["B1", "B2"], "geometry": ["straight", "bend"]})
    network = SensorNetwork(("01", "2"), np.array([48.1, 48.2]), np.array([11.5, 11.6]), facts=facts)
    table = network.to_geodataframe()
    assert list(table.columns) == ["sensor_id", "road", "fact geometry", "geometry"]
    assert (table.crs.to_epsg(), table.geometry[0].coords[0]) == (4326, (11.5, 48.1))
    back = SensorNetwork.from_geodataframe(table.to_crs(25832))
    assert back.ids == ("01", "2")
    assert list(back.facts["fact geometry"]) == ["straight", "bend"]
    np.testing.assert_allclose([back.lat, back.lon], [network.lat, network.lon], atol=1e-9)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda table: table.drop(columns="sensor_id"), "no column 'sensor_id'"),
        (lambda table: table.set_crs(None, allow_override=True), "no coordinate system"),
        (lambda table: table.set_geometry(table.to_crs(3857).buffer(1).to_crs(4326)), "must have a point"),
        (lambda table: pd.concat([table, table]), "must be unique"),
    ],
)
def test_a_table_that_is_no_network_is_refused(change, expected):
    table = SensorNetwork(("a",), np.zeros(1), np.zeros(1)).to_geodataframe()
    with pytest.raises(ValueError, match=expected):
        SensorNetwork.from_geodataframe(change(table))
