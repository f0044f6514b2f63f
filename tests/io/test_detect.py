"""What a file holds is told by its columns, in whatever order and under whatever name the files come."""

import itertools
import json

import pytest

from stvlm.io.detect import detect_roles, files_of
from stvlm.io.source import InputError
from stvlm.runtime.assets import asset

SENSORS = ("a.csv", b"station;breite;lon;road\nS1;48.1;11.5;B1\nS2;48.2;11.6;B2\n")
WIDE = ("b.csv", b"time,S1,S2\n2024-01-01 00:00,1,2\n2024-01-01 01:00,3,4\n")
LONG = ("c.csv", b"when,date,sensor,speed\nx,2024-01-01 00:00,S1,1\nx,2024-01-01 00:00,S2,2\n")
LINKS = ("d.csv", b"source,target,distance\nS1,S2,1.3\n")
MATRIX = ("e.csv", b",S1,S2\nS1,0,1\nS2,1,0\n")
BARE = ("f.csv", b"0,1\n1,0\n")
WEATHER = ("g.csv", b"date,rain\n2024-01-01,0.4\n2024-01-02,0\n")
HOLIDAYS = ("h.csv", b"date,name\n2024-01-01,New Year\n")
POINT = {"type": "Feature", "properties": {"id": "S1"}, "geometry": {"type": "Point", "coordinates": [11.5, 48.1]}}
ROAD = {"type": "Feature", "properties": {}, "geometry": {"type": "LineString", "coordinates": [[11.4, 48], [11.6, 48.2]]}}
POINTS = (
    "i.geojson",
    json.dumps({"type": "FeatureCollection", "features": [POINT, POINT | {"properties": {"id": "S2"}}]}).encode(),
)
ROADS = ("j.geojson", json.dumps({"type": "FeatureCollection", "features": [ROAD]}).encode())
GRID = ("k.asc", b"ncols 1\nnrows 1\nxllcorner 11\nyllcorner 48\ncellsize 1\n5\n")


@pytest.mark.parametrize(
    "files", itertools.permutations([SENSORS, WIDE, LINKS, WEATHER]), ids=lambda files: "".join(f[0][0] for f in files)
)
def test_files_are_told_apart_in_any_order(files):
    assert detect_roles(files) == {"sensors": SENSORS, "series": WIDE, "adjacency": LINKS, "context": WEATHER}


@pytest.mark.parametrize(
    ("file", "role"),
    [(LONG, "series"), (MATRIX, "adjacency"), (BARE, "adjacency"), (HOLIDAYS, "context"), (ROADS, "base_layer"), (GRID, "grid")],
    ids=lambda one: one if isinstance(one, str) else one[0],
)
def test_each_kind_of_file_is_known_by_what_is_in_it(file, role):
    readings = [] if role == "series" else [WIDE]
    assert detect_roles([file, *readings, POINTS])[role] == file


def test_a_folder_of_a_sample_is_one_network():
    found = detect_roles(files_of(asset("samples", "bixi_montreal_daily")))
    assert {role: path.name for role, path in found.items()} == {
        "sensors": "sensors.csv",
        "series": "series.csv.gz",
        "context": "weather.csv",
    }


def test_of_several_readings_the_target_is_asked_for():
    pm25, no2 = ("series_pm25.csv", WIDE[1]), ("series_NO2.csv", WIDE[1])
    with pytest.raises(InputError, match=r"Which readings\? target=pm25 \| no2"):
        detect_roles([SENSORS, pm25, no2])
    assert detect_roles([SENSORS, pm25, no2], "no2")["series"] == no2
    with pytest.raises(InputError, match="Which readings"):
        detect_roles([SENSORS, pm25, no2], "o3")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([SENSORS], "No file holds readings; given: a.csv"),
        ([WIDE], r"No file holds sensors \(sensor_id, lat, lon\); given: b.csv"),
        ([SENSORS, POINTS, WIDE], "a.csv, i.geojson: all hold sensors"),
        ([], "given: no file"),
        ([SENSORS, ("b.csv", b"time,S1,S1\n1,2,3\n")], "more than once"),
    ],
)
def test_what_is_missing_or_there_twice_is_said(files, expected):
    with pytest.raises(InputError, match=expected):
        detect_roles(files)
