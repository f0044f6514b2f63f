"""Files are read as they are meant, or refused in one clear line."""

import contextlib
import gzip
import io
import json
import pickle
import zipfile

import geopandas as gpd
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stvlm.core.forecast import Forecast
from stvlm.core.network import SensorNetwork
from stvlm.io import source
from stvlm.io.columns import read_header
from stvlm.io.read import InputError, InputFiles, read_forecast, read_tables, write_forecast
from stvlm.quality.report import load, to_series
from tests.support.paths import SHARED_DATA

SENSORS = "sensor_id,lat,lon,name\n01,48.1,11.5,North\n02,48.2,11.6,South\nNA,48.3,11.7,East\n"
WIDE = "timestamp,01,02,NA\n2020-01-01 00:00,1,2,3\n2020-01-01 01:00,4,,6.5\n2020-01-01 02:00,7,8,9\n"
LONG = "timestamp,sensor_id,value\n" + "".join(
    f"2020-01-01 0{t}:00,{i},{v}\n"
    for t, row in enumerate([(1, 2, 3), (4, "", 6.5), (7, 8, 9)])
    for i, v in zip(("01", "02", "NA"), row)
)
VALUES = np.array([[1, 2, 3], [4, np.nan, 6.5], [7, 8, 9]], dtype="float32")


def up(name, content):
    return name, content.encode() if isinstance(content, str) else content


def read(series=WIDE, sensors=SENSORS, name="r.csv", sensors_name="s.csv", **more):
    return read_tables(InputFiles(up(sensors_name, sensors), up(name, series), **more))


def parquet(frame):
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def refusal(**kwargs):
    with pytest.raises(InputError) as caught:
        to_series(read(**kwargs))
    assert len(caught.value.problems) == 1, caught.value.problems
    assert "\n" not in caught.value.problems[0]
    return caught.value.problems[0]


# What is read


def test_ids_stay_texts_even_01_and_na():
    raw = read()
    assert list(raw.sensors["sensor_id"]) == ["01", "02", "NA"] == list(raw.readings.columns)
    np.testing.assert_array_equal(raw.readings.to_numpy(), VALUES)
    assert raw.sensors["name"].tolist() == ["North", "South", "East"]


def test_a_long_table_gives_what_the_wide_one_gives():
    wide, long = to_series(read()), to_series(read(LONG))
    assert wide.fingerprint == long.fingerprint


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text("abcXYZ012.=-+ é", min_size=1, max_size=6).map(str.strip).filter(bool), min_size=1, max_size=4, unique=True),
    st.data(),
)
def test_wide_and_long_are_the_same_for_any_ids_and_readings(ids, data):
    n_steps = data.draw(st.integers(2, 5))
    cells = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32))
    values = np.array(
        data.draw(st.lists(st.lists(cells, min_size=len(ids), max_size=len(ids)), min_size=n_steps, max_size=n_steps)), "f4"
    )
    values[0] = 1
    index = pd.date_range("2020-01-01", periods=n_steps, freq="15min", name="timestamp")
    frame = pd.DataFrame(values, index=index, columns=ids)
    sensors = pd.DataFrame({"sensor_id": ids, "lat": 48.0, "lon": np.arange(len(ids)) / 10}).to_csv(index=False)
    long = frame.reset_index().melt("timestamp", var_name="sensor_id").sample(frac=1, random_state=1)
    wide_series = to_series(read(frame.to_csv(), sensors))
    assert wide_series.network.ids == tuple(ids)
    np.testing.assert_array_equal(wide_series.values, values)
    assert to_series(read(long.to_csv(index=False), sensors)).fingerprint == wide_series.fingerprint
    assert to_series(read(parquet(frame), sensors, "r.parquet")).fingerprint == wide_series.fingerprint


@pytest.mark.parametrize(
    ("delimiter", "decimal"), [(";", ","), ("\t", ","), (";", "."), ("|", ".")], ids=["semicolon", "tab", "semicolon-point", "bar"]
)
def test_other_delimiters_and_the_decimal_comma_are_recognised_and_said(delimiter, decimal):
    series = WIDE.replace(",", delimiter).replace("6.5", f"6{decimal}5")
    raw = read(series)
    np.testing.assert_array_equal(raw.readings.to_numpy(), VALUES)
    assert any("columns are parted by" in note for note in raw.notes)


def test_quoted_decimal_commas_between_commas_are_read():
    np.testing.assert_array_equal(read(WIDE.replace("6.5", '"6,5"')).readings.to_numpy(), VALUES)


def test_a_few_decimals_of_the_other_sign_are_read_alike_and_named():
    tables = read(WIDE.replace("1,2,3", "1.5,2,3.25").replace("6.5", '"6,5"'))
    assert tables.readings.to_numpy()[:2].ravel().tolist() == pytest.approx([1.5, 2, 3.25, 4, np.nan, 6.5], nan_ok=True)
    assert "r.csv, row 3: the decimal sign ',' among others with '.', first '6,5'; read alike." in tables.notes


def test_a_comma_that_may_part_thousands_is_refused_among_decimal_points():
    with pytest.raises(InputError, match="'1,234' is not a number"):
        read(WIDE.replace("7,8,9", '7,8,"1,234"'))


def test_columns_may_be_said_and_what_is_said_goes_before_what_is_recognised():
    sensors = "code,lat,lon,x,y\n01,1,2,11.5,48.5\n02,1,2,11.6,48.6\nNA,1,2,11.7,48.7\n"
    rows = LONG.replace("value", "low,high").replace("\n", ",9\n", 1).replace("low,high,9", "low,high")
    rows = "\n".join(line + ("" if i == 0 else ",9") for i, line in enumerate(LONG.replace("value", "low,high").splitlines()))
    given = ("s.csv", sensors.encode()), ("r.csv", rows.encode())
    said = {"sensors": {"lat": "y", "lon": "x"}, "series": {"value": "high"}}
    tables = read_tables(InputFiles(*given, columns=said))
    assert tables.sensors["lat"].tolist() == [48.5, 48.6, 48.7]
    assert (tables.readings.to_numpy() == 9).all()
    assert read_header(given[1], "series").found == {"timestamp": "timestamp", "sensor_id": "sensor_id", "value": ""}
    assert read_header(given[1], "series", {"sensor_id": ""}).shape == "wide"
    assert read_header(given[0], "sensors").found == {"sensor_id": "code", "lat": "lat", "lon": "lon"}
    with pytest.raises(InputError, match="no column 'nothing' for lat"):
        read_tables(InputFiles(*given, columns={"sensors": {"lat": "nothing"}}))
    with pytest.raises(InputError, match="'x' cannot be two things"):
        read_tables(InputFiles(*given, columns={"sensors": {"lat": "x", "lon": "x"}}))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_names_survive_every_usual_encoding(encoding):
    raw = read(sensors=SENSORS.replace("North", "Köln").encode(encoding))
    assert raw.sensors["name"][0] == "Köln"
    assert any("Latin-1" in n for n in raw.notes) == (encoding == "latin-1")


def test_gzipped_csv_is_read_also_in_several_members():
    head, tail = WIDE[:40].encode(), WIDE[40:].encode()
    raw = read(gzip.compress(head) + gzip.compress(tail), name="r.csv.gz")
    np.testing.assert_array_equal(raw.readings.to_numpy(), VALUES)


def test_other_spellings_of_columns_are_recognised_and_said():
    raw = read(sensors="Station;Latitude;LNG;street\n01;48.1;11.5;A\n02;48.2;11.6;B\nNA;48.3;11.7;C\n")
    assert raw.sensors["lon"].tolist() == [11.5, 11.6, 11.7]
    assert "s.csv: column 'LNG' is read as lon." in raw.notes
    assert raw.sensors["street"].tolist() == ["A", "B", "C"]


def test_facts_are_numbers_only_where_all_are_and_none_has_a_leading_zero():
    raw = read(sensors="sensor_id,lat,lon,capacity,zip,name\n01,1,2,19.5,01234,773\n02,1,3,,99999,774\nNA,1,4,3,12345,775\n")
    assert raw.sensors["capacity"].dtype == "float64"
    assert raw.sensors["zip"].tolist() == ["01234", "99999", "12345"]
    assert raw.sensors["name"].tolist() == ["773", "774", "775"]


def test_geojson_points_are_read_without_gdal():
    features = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [lon, lat]}, "properties": {"sensor_id": i, "road": "B1"}}
        for i, lat, lon in (("01", 48.1, 11.5), ("02", 48.2, 11.6), ("NA", 48.3, 11.7))
    ]
    raw = read(sensors=json.dumps({"type": "FeatureCollection", "features": features}), sensors_name="s.geojson")
    assert raw.sensors[["sensor_id", "lat", "lon"]].values.tolist() == [["01", 48.1, 11.5], ["02", 48.2, 11.6], ["NA", 48.3, 11.7]]


def test_the_place_of_a_feature_goes_before_properties_that_are_called_so():
    shape = {"type": "Point", "coordinates": [11.5, 48.1]}
    facts = {"sensor_id": "01", "Lat": 9e9, "LATITUDE": 7, "Longitude": "x"}
    points = json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": shape, "properties": facts}]})
    sensors = read(sensors=points, sensors_name="s.geojson").sensors
    assert (sensors["lat"][0], sensors["lon"][0]) == (48.1, 11.5)


def test_geoparquet_in_metres_is_converted_and_said():
    frame = pd.DataFrame({"sensor_id": ["01", "02", "NA"]})
    places = gpd.points_from_xy([11.5, 11.6, 11.7], [48.1, 48.2, 48.3], crs=4326)
    raw = read(sensors=parquet(gpd.GeoDataFrame(frame, geometry=places).to_crs(25832)), sensors_name="s.parquet")
    np.testing.assert_allclose(raw.sensors["lat"], [48.1, 48.2, 48.3], atol=1e-6)
    assert any("EPSG:25832 to WGS84" in n for n in raw.notes)


def test_numeric_ids_of_parquet_become_plain_texts():
    sensors = parquet(pd.DataFrame({"sensor_id": [773869.0, 5.0], "lat": [34.1, 34.2], "lon": [-118.1, -118.2]}))
    series = parquet(pd.DataFrame({"timestamp": pd.date_range("2020", periods=2), "773869": [1, 2], "5": [3, 4]}))
    assert to_series(read(series, sensors, "r.parquet", "s.parquet")).network.ids == ("773869", "5")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2020-01-13", "2020-01-14"),
        ("20200113", "20200114"),
        ("2020/1/13", "2020/1/14"),
        ("13/01/2020", "14/01/2020"),
        ("01/13/2020", "01/14/2020"),
        ("13.01.2020 00:00", "14.01.2020 00:00"),
        ("1/13/2020 12:00 AM", "1/14/2020 12:00 AM"),
        ("2020-01-13T00:00:00Z", "2020-01-14T00:00:00Z"),
        ("2020-01-13 01:00+01:00", "2020-01-14 02:00+02:00"),
        ("2020-01-13 01:00 +01", "2020-01-14T020000+0200"),
        ("1578873600", "1578960000"),
    ],
)
def test_times_are_read_in_every_clear_spelling(first, second):
    raw = read(f"time,01\n{first},1\n{second},2\n")
    assert raw.readings.index.to_numpy().astype("datetime64[s]").tolist() == [
        pd.Timestamp("2020-01-13"),
        pd.Timestamp("2020-01-14"),
    ]


def test_the_zone_of_the_file_is_remembered():
    assert read("time,01\n2020-01-13T01:00+01:00,1\n2020-01-13T02:00+01:00,2\n").timezone == "Etc/GMT-1"
    times = pd.date_range("2020-03-29", periods=5, freq="h", tz="Europe/Berlin")
    raw = read(parquet(pd.DataFrame({"timestamp": times, "01": range(5)})), name="r.parquet")
    series = to_series(raw)
    assert series.timezone == "Europe/Berlin"
    assert str(series.times[0]) == "2020-03-28T23:00:00"
    assert str(series.local_times[4]) == "2020-03-29T05:00:00"


@pytest.mark.parametrize(
    ("unit", "kind"), [("ns", None), ("ns", b"datetime64"), ("us", b"datetime64[us]"), ("s", b"datetime64[s]")]
)
def test_metr_la_style_h5_is_read_in_its_own_unit_of_time(unit, kind):
    index = pd.date_range("2012-03-01", periods=3, freq="5min")
    series = to_series(read(h5(index.as_unit(unit).asi8, kind), name="metr-la.h5"))
    assert str(series.times[1]) == "2012-03-01T00:05:00"
    np.testing.assert_array_equal(series.values, VALUES)


def h5(stamps=None, kind=None, change=None):
    stamps = pd.date_range("2012-03-01", periods=3, freq="5min").as_unit("ns").asi8 if stamps is None else stamps
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as f:
        g = f.create_group("df")
        g["axis0"] = g["block0_items"] = np.array([b"01", b"02", b"NA"])
        g["axis1"], g["block0_values"] = stamps, VALUES.astype("f8")
        if kind is not None:
            g["axis1"].attrs["kind"] = kind
        if change:
            change(f, g)
    return buffer.getvalue()


def test_pems_npz_takes_channel_0_with_start_and_step():
    data = np.stack([np.nan_to_num(VALUES), np.ones_like(VALUES)], axis=-1)
    raw = read(npz(data=data), name="PEMS04.npz", start="2018-01-01", step_minutes=5)
    assert list(raw.readings.columns) == ["01", "02", "NA"]
    assert str(raw.readings.index[2]) == "2018-01-01 00:10:00"
    assert "PEMS04.npz: the first of 2 channels is read." in raw.notes


def closeness(text, name="a.csv"):
    raw = read(adjacency=up(name, text))
    return to_series(raw).network.adjacency.toarray(), raw.notes


def test_adjacency_is_read_as_edges_or_as_a_matrix():
    expected = np.zeros((3, 3))
    expected[0, 1], expected[1, 2] = 1.0, 0.5
    np.testing.assert_array_equal(closeness("from,to,weight\n01,02,1\n02,NA,.5\n")[0], expected)
    np.testing.assert_array_equal(closeness(",01,02,NA\n01,0,1,0\n02,0,0,.5\nNA,0,0,0\n")[0], expected)
    np.testing.assert_array_equal(closeness("0,1,0\n0,0,.5\n0,0,0\n")[0], expected)
    np.testing.assert_array_equal(closeness("from,to\n01,02\n")[0][0], [0, 1, 0])


def test_distances_become_closeness_by_a_gaussian():
    matrix, notes = closeness("from,to,distance\n01,02,1\n02,NA,3\n")
    np.testing.assert_allclose([matrix[0, 1], matrix[1, 2]], [np.exp(-1), np.exp(-9)])  # their standard deviation is 1
    assert any("distances 'distance' turned into closeness" in n for n in notes)


def test_edges_of_unknown_sensors_are_left_out_and_said():
    matrix, notes = closeness("from,to,weight\n01,02,1\n01,99,1\n01,02,.25\n")
    assert matrix[0, 1] == 0.25
    assert any("1 edges name sensors" in n for n in notes)
    assert any("more than once" in n for n in notes)


def test_daily_context_repeats_over_the_hours_and_ends_with_its_day():
    hours = pd.date_range("2020-01-01", periods=72, freq="h")
    series = pd.DataFrame({"timestamp": hours, "01": 1.0}).to_csv(index=False)
    raw = read(series, context=up("w.csv", "date,rain_mm,incident\n2020-01-01,1.5,\n2020-01-02,0,crash near North\n"))
    context = to_series(raw).context
    np.testing.assert_array_equal(context["rain_mm"], [1.5] * 24 + [0] * 24 + [np.nan] * 24)
    assert context["incident"].tolist() == [""] * 24 + ["crash near North"] * 24 + [""] * 24


def test_context_at_uneven_times_holds_for_one_step_only():
    hours = pd.date_range("2020-01-01", periods=48, freq="h")
    series = pd.DataFrame({"timestamp": hours, "01": 1.0}).to_csv(index=False)
    events = "time,incident\n2020-01-01 03:00,crash\n2020-01-01 05:00,roadwork\n2020-01-02 20:00,flood\n"
    context = to_series(read(series, context=up("e.csv", events))).context
    assert {i: t for i, t in enumerate(context["incident"]) if t} == {3: "crash", 5: "roadwork", 44: "flood"}


def test_context_without_a_zone_is_local_time_of_the_readings():
    times = pd.date_range("2020-07-01", periods=48, freq="h", tz="Europe/Berlin")
    raw = read(
        parquet(pd.DataFrame({"timestamp": times, "01": 1.0})),
        name="r.parquet",
        context=up("w.csv", "date,t\n2020-07-01,1\n2020-07-02,2\n"),
    )
    np.testing.assert_array_equal(to_series(raw).context["t"], [1] * 24 + [2] * 24)


# What is refused

BAD = {
    "empty file": (dict(series=""), "r.csv: the file is empty"),
    "only blanks": (dict(series=" \n \n"), "r.csv: the file is empty"),
    "header only": (dict(series="timestamp,01\n"), "r.csv: there are no rows below the header"),
    "missing column": (dict(sensors="sensor_id,lat\n01,48\n"), "s.csv, header: no column lon; it has 'sensor_id', 'lat'"),
    "missing two columns": (dict(sensors="a,b\n01,48\n"), "no column sensor_id and no column lat"),
    "sensors without id": (dict(sensors="sensor_id,lat,lon\n,48,11\n"), "s.csv, row 2: the sensor id is missing"),
    "place is a word": (dict(sensors="sensor_id,lat,lon\n01,48,east\n"), "s.csv, row 2, column 'lon': 'east' is not a number"),
    "cell is a word": (dict(series=WIDE.replace("6.5", "high")), "r.csv, row 3, column 'NA': 'high' is not a number"),
    "cell is infinite": (dict(series=WIDE.replace("6.5", "inf")), "r.csv, row 3, column 'NA': 'inf' is not a number"),
    "cell in long table": (dict(series=LONG.replace("6.5", "6.5.1")), "r.csv, row 7, column 'value': '6.5.1' is not a number"),
    "two bad cells": (
        dict(series=WIDE.replace("4,", "x,").replace("7,", "y,")),
        "row 3, column '01': 'x' is not a number (and 1 more",
    ),
    "time is a word": (
        dict(series=WIDE.replace("2020-01-01 01:00", "soon")),
        "r.csv, column 'timestamp', row 3: 'soon' is not a time",
    ),
    "time is absent": (dict(series=WIDE.replace("2020-01-01 01:00", "")), "row 3: the time is missing"),
    "no 30 February": (dict(series=WIDE.replace("2020-01-01 01:00", "2020-02-30")), "row 3: '2020-02-30' is not a time"),
    "step counts": (dict(series="t,01\n0,1\n1,2\n"), "row 2: '0' is not a time"),
    "year 1066": (dict(series=WIDE.replace("2020-", "1066-")), "the year 1066 cannot be right"),
    "ambiguous dates": (dict(series="date,01\n03/04/2020,1\n04/04/2020,2\n"), "'03/04/2020' could be day/month or month/day"),
    "both orders": (
        dict(series="date,01\n13/04/2020,1\n04/14/2020,2\n"),
        "'13/04/2020' (row 2) has the day first, '04/14/2020' (row 3) the month",
    ),
    "mixed spellings": (
        dict(series="date,01\n2020-04-13,1\n14.04.2020,2\n"),
        "times are written in two ways, '2020-04-13' (row 2) and '14.04.2020'",
    ),
    "zone here and there": (dict(series=WIDE.replace("01:00,", "01:00Z,")), "has no time zone, other times have one"),
    "column twice": (dict(series=WIDE.replace("02,", "01,", 1)), "r.csv, header: the column '01' stands there more than once"),
    "ragged row": (dict(series=WIDE + "2020-01-01 03:00,1,2,3,4\n"), "r.csv, row 5: 5 cells, but the header has 4"),
    "header too short": (dict(series="timestamp,01\n2020-01-01,1,2\n"), "r.csv, row 2: 3 cells, but the header has 2"),
    "times across": (dict(series="id,2020-01-01,2020-01-02\n01,1,2\n"), "the times stand in the header. Turn the table"),
    "no sensor columns": (dict(series="timestamp\n2020-01-01\n"), "r.csv, header: only the column 'timestamp'"),
    "which value": (dict(series="time,station,a,b\n2020-01-01,01,1,2\n"), "which column holds the reading? It has 'a', 'b'"),
    "long without id": (dict(series=LONG.replace(",02,", ",,")), "r.csv, row 3: the sensor id is missing"),
    "Parquet named csv": (dict(series=parquet(pd.DataFrame({"a": [1]}))), "r.csv: the name says text, but the content is Parquet"),
    "csv named Parquet": (dict(name="r.parquet"), "r.parquet: the name says Parquet, but the content is text"),
    "Excel": (dict(name="r.xlsx"), "files ending in '.xlsx' are not read. Save the sheet as CSV"),
    "pickle": (dict(name="r.pkl", series=pickle.dumps(1)), "A pickle can run code"),
    "pickle named csv": (dict(series=pickle.dumps(1)), "the content is a Python pickle"),
    "binary": (dict(series=b"a,b\n\0\0"), "the content is binary data"),
    "damaged gzip": (dict(name="r.csv.gz", series=gzip.compress(WIDE.encode())[:-9]), "r.csv.gz: the gzip data ends too early"),
    "no gzip": (dict(name="r.csv.gz"), "the name says gzip, but the content is text"),
    "gzipped Parquet": (dict(name="r.csv.gz", series=gzip.compress(b"PAR1...")), "unpacked, it holds Parquet, not CSV text"),
    "damaged Parquet": (dict(name="r.parquet", series=b"PAR1....PAR1"), "r.parquet: damaged Parquet"),
    "GDAL's VRT as GeoJSON": (dict(sensors="<OGRVRTDataSource/>", sensors_name="s.geojson"), "the content is XML or HTML"),
    "broken JSON": (dict(sensors='{"type": ', sensors_name="s.geojson"), "s.geojson: not valid JSON"),
    "deep JSON": (dict(sensors="[" * 5000, sensors_name="s.geojson"), "s.geojson: nested more than 32 levels deep"),
    "JSON NaN": (dict(sensors='{"a": NaN}', sensors_name="s.geojson"), "NaN is not a JSON number"),
    "no features": (dict(sensors='{"type": "Feature"}', sensors_name="s.geojson"), "no GeoJSON FeatureCollection"),
    "lines": (
        dict(sensors='{"features": [{"geometry": {"type": "LineString", "coordinates": []}}]}', sensors_name="s.geojson"),
        "s.geojson, feature 1: is not a point",
    ),
    "readings as GeoJSON": (dict(name="r.geojson", series='{"a": 1}'), "GeoJSON can hold the sensors, not the readings"),
    "npz without start": (dict(name="r.npz", series=npz(data=VALUES)), "r.npz: holds no times. Give the start"),
    "npz of others": (
        dict(name="r.npz", series=npz(data=VALUES[:, :2]), start="2020", step_minutes=5),
        "r.npz: 2 sensors, but the sensor table has 3",
    ),
    "npz of objects": (dict(name="r.npz", series=npz(data=np.array([{}]))), "holds pickled objects, which can run code"),
    "npz without data": (dict(name="r.npz", series=npz(a=VALUES, b=VALUES)), "holds no array named 'data'"),
    "damaged npz": (dict(name="r.npz", series=npz(data=VALUES)[:60]), "r.npz: damaged .npz"),
    "damaged h5": (dict(name="r.h5", series=h5()[:600]), "r.h5: damaged HDF5"),
    "h5 without table": (dict(name="r.h5", series=h5(change=lambda f, g: f.pop("df"))), "r.h5: holds no table with axis0"),
    "h5 without times": (dict(name="r.h5", series=h5(kind=b"integer")), "r.h5, axis1: holds no times but 'integer'"),
    "h5 of year 1970": (dict(name="r.h5", series=h5(np.array([10**18] * 3), b"datetime64[s]")), "the year"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_gives_exactly_its_one_clear_line(case):
    kwargs, expected = BAD[case]
    line = refusal(**kwargs)
    assert expected in line
    assert line.endswith((".", ")"))
    assert len(line) < 320


def relink(link):
    def change(_, group):
        del group["block0_values"]
        group["block0_values"] = link

    return change


def test_an_h5_that_points_to_another_file_is_refused(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(VALUES.astype("f8").tobytes())

    def external(_, group):
        del group["block0_values"]
        group.create_dataset("block0_values", (3, 3), "f8", external=[(str(secret), 0, 72)])

    def virtual(_, group):
        del group["block0_values"]
        layout = h5py.VirtualLayout((3, 3), "f8")
        layout[:] = h5py.VirtualSource(str(secret), "x", (3, 3))
        group.create_virtual_dataset("block0_values", layout)

    def pickled(_, group):
        del group["block0_values"]
        data = group.create_dataset("block0_values", (1,), h5py.vlen_dtype("uint8"))
        data[0] = np.frombuffer(pickle.dumps(1), "uint8")

    for change, expected in (
        (external, "its numbers lie in another file"),
        (virtual, "its numbers lie in another file"),
        (relink(h5py.SoftLink("/elsewhere")), "is a link"),
        (relink(h5py.ExternalLink(str(secret), "/x")), "is a link"),
        (pickled, "is pickled, which can run code"),
    ):
        assert expected in refusal(name="r.h5", series=h5(change=change))


def test_parquet_with_garbled_notes_inside_is_refused():
    table = pa.table({"timestamp": ["2020-01-01", "2020-01-02"], "01": [1.0, 2.0]}).replace_schema_metadata({b"pandas": b"\xff{"})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    assert "r.parquet: damaged Parquet" in refusal(name="r.parquet", series=buffer.getvalue())


def test_sizes_are_checked_before_anything_is_unpacked(monkeypatch):
    small = source.Limits(file_bytes=100_000, unpacked_bytes=1 << 20, cells=10_000, columns=100)
    monkeypatch.setattr(source, "FOR_UPLOADS", small)
    assert "unpacks to more than 1 MiB" in refusal(name="r.csv.gz", series=gzip.compress(b"a,b\n" * 5_000_000))
    assert "at most 0 MiB are read" in refusal(series="x" * 200_000)
    assert "columns; at most 100" in refusal(series=",".join(["t", *map(str, range(200))]) + "\n1,2\n")
    assert "is over 10,000 cells" in refusal(series="t,a\n" + "2020-01-01,1\n" * 6000)
    huge = io.BytesIO()
    with h5py.File(huge, "w") as f:
        g = f.create_group("df")
        g["axis0"] = g["block0_items"] = np.array([b"01"])
        g["axis1"] = np.arange(3)
        g.create_dataset("block0_values", (10**9, 10**3), "f8", chunks=(1000, 1000))  # never written: a few kB on disk
    assert "numbers are too many" in refusal(name="r.h5", series=huge.getvalue())
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", b"\0" * (2 << 20))
    assert "unpacks to more than 1 MiB" in refusal(name="r.npz", series=bomb.getvalue())


def test_an_npy_header_that_promises_too_much_is_refused():
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**4)})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("data.npy", member.getvalue())
    assert "holds fewer numbers" in refusal(name="r.npz", series=archive.getvalue())


ODD_TABLES = {
    "a.csv": ("from,to,weight\n01,02,far\n", "a.csv, row 2, column 'weight': 'far' is not a number"),
    "b.csv": ("from,to,weight\n01,02,-1\n", "from '01' to '02': -1.0 is no closeness"),
    "c.csv": ("from,to\nx,y\n", "names no sensor of the sensor table"),
    "d.csv": ("p,q\n1,2\n", "neither edges (columns from, to[, weight|distance]) nor a matrix of the 3 sensors"),
    "e.csv": ("from,to,distance\n01,02,\n", "e.csv, row 2: the distance nan cannot be"),
    "g.csv": ("from,to,to\n01,02,NA\n", "the column 'to' stands there more than once"),
    "f.csv": ("01,02,NA\n1,2,3\n", "1 rows but 3 columns"),
}


@pytest.mark.parametrize("name", ODD_TABLES)
def test_a_bad_adjacency_is_refused(name):
    text, expected = ODD_TABLES[name]
    assert expected.replace("a.csv", name) in refusal(adjacency=up(name, text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rain,snow\n1,2\n", "c.csv, header: no column timestamp, time or date"),
        ("date\n2020-01-01\n", "nothing beside the times"),
        ("date,rain\n2020-01-01,1\n2020-01-01,2\n", "stands there more than once"),
        ("date,rain\n2020-01-01 00:00Z,1\n", "its times have a zone, those of the readings have none"),
    ],
)
def test_a_bad_context_is_refused(text, expected):
    assert expected in refusal(context=up("c.csv", text))


def test_each_bad_file_has_its_own_line():
    with pytest.raises(InputError) as caught:
        read(series="", sensors="a\n1\n", context=up("c.csv", ""))
    assert [p.split(":")[0].split(",")[0] for p in caught.value.problems] == ["s.csv", "r.csv", "c.csv"]
    assert str(caught.value) == "\n".join(caught.value.problems)


def test_a_hostile_file_name_is_cut_to_harmless_text():
    with pytest.raises(InputError) as caught:
        read(name="../../etc/\x1b[31mpasswd" + "x" * 500 + ".exe")
    assert "\x1b" not in str(caught.value)
    assert ".." not in str(caught.value)
    assert len(str(caught.value)) < 320


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: there is no such file"):
        load(InputFiles(tmp_path / "none.csv", tmp_path / "none.csv"))


def test_a_row_that_was_cut_off_is_said():
    assert any("row 5: fewer cells than the header" in n for n in read(WIDE + "2020-01-01 03:00,1").notes)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from(["r.csv", "r.csv.gz", "r.parquet", "r.h5", "r.npz"]), st.sampled_from(list(range(3)))
)
def test_noise_never_raises_anything_but_an_input_error(noise, name, kind):
    start = {
        "r.csv": b"timestamp,01\n",
        "r.csv.gz": b"\x1f\x8b\x08",
        "r.parquet": b"PAR1",
        "r.h5": b"\x89HDF\r\n\x1a\n",
        "r.npz": b"PK\x03\x04",
    }
    content = [noise, start[name] + noise, start[name] + noise + b"PAR1"][kind]
    with contextlib.suppress(InputError):
        read(content, name=name)


# What is written


def forecast(ids=("=cmd()", "-5", "@x", "plain"), timezone=""):
    n = len(ids)
    levels = (0.1, 0.5, 0.9)
    values = np.sort(np.random.default_rng(0).normal(size=(3, 2, n)).astype("float32") - 3, axis=0)
    network = SensorNetwork(ids, np.arange(n) + 48.0, np.arange(n) + 11.0)
    times = np.array(["2020-01-01T00:00", "2020-01-01T01:00"], dtype="datetime64[s]")
    return Forecast(network, "flow", "cars", "persistence", times, levels, values, timezone)


def test_the_forecast_table_has_the_agreed_columns_in_order_of_time():
    made = forecast()
    table = made.to_frame()
    assert list(table.columns) == ["timestamp", "sensor_id", "value", "lower_80", "upper_80"]
    assert table["sensor_id"].tolist() == [*made.network.ids] * 2
    np.testing.assert_array_equal(table["value"].to_numpy().reshape(2, 4), made.median)
    np.testing.assert_array_equal(table["lower_80"].to_numpy().reshape(2, 4), made.values[0])


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".geojson"])
@pytest.mark.parametrize("timezone", ["", "Europe/Berlin"])
def test_a_forecast_written_and_read_is_the_same(tmp_path, ending, timezone):
    made = forecast(timezone=timezone)
    write_forecast(made, tmp_path / f"f{ending}")
    pd.testing.assert_frame_equal(read_forecast(tmp_path / f"f{ending}"), made.to_frame(), check_dtype=False)
    assert [p.name for p in tmp_path.iterdir()] == [f"f{ending}"]


def test_cells_that_a_spreadsheet_would_run_are_defused_and_numbers_are_not(tmp_path):
    write_forecast(forecast(), tmp_path / "f.csv")
    lines = (tmp_path / "f.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in lines[1:5]] == ["'=cmd()", "'-5", "'@x", "plain"]
    assert lines[1].split(",")[2].startswith("-")


def test_geojson_of_a_forecast_holds_one_point_per_sensor_and_step(tmp_path):
    write_forecast(forecast(), tmp_path / "f.geojson")
    data = json.loads((tmp_path / "f.geojson").read_text())
    assert len(data["features"]) == 8
    assert data["features"][1]["geometry"]["coordinates"] == [12.0, 49.0]
    assert data["features"][1]["properties"]["unit"] == "cars"


def test_a_forecast_is_written_only_in_known_formats(tmp_path):
    with pytest.raises(InputError, match=r"\.csv, \.parquet or \.geojson"):
        write_forecast(forecast(), tmp_path / "f.xlsx")


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the comparison data is not here")
def test_the_real_networks_give_the_very_readings_of_the_protocol():
    listed = json.loads((SHARED_DATA / "datasets.json").read_text())
    spec = {name: row for name, row in listed.items() if "calendar" not in row}  # steps of equal length
    assert len(spec) >= 13
    for name, row in spec.items():
        folder = SHARED_DATA / name
        edges, weather = folder / "adjacency.csv", folder / "weather.csv"
        fixes = ("close-gaps",) if name == "ozone_midwest_1987" else ()  # it lacks one day
        given = edges if edges.exists() else None, weather if weather.exists() else None
        series = load(InputFiles(folder / "sensors.csv", folder / "series.csv.gz", *given), fixes=fixes)
        expected = pd.read_csv(folder / "series.csv.gz", index_col=0)
        np.testing.assert_array_equal(series.values, expected.to_numpy("float32"))
        assert series.network.ids == tuple(expected.columns)
        assert series.step_minutes == row["step_minutes"]
        assert (series.network.adjacency is not None) == edges.exists()
