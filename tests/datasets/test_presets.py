"""The usual files of METR-LA, PEMS-BAY and PEMS0x as they come, made small; and the terms that go with them."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from stvlm.cli.main import main
from stvlm.core.windows import Split
from stvlm.datasets.folder import as_dataset, open_dataset
from stvlm.datasets.presets import PRESETS, PROTOCOLS, lay_out, read_preset
from stvlm.io.source import InputError

IDS = ("773869", "767541", "767542")


def write_h5(path: Path, values: np.ndarray, ids: tuple[str, ...], start: str, without: slice | None = None) -> None:
    """A pandas table in HDF5, fixed format, as METR-LA and PEMS-BAY come; some rows may be left out."""
    times = pd.date_range(start, periods=len(values), freq="5min").to_numpy().astype("datetime64[ns]").astype("i8")
    keep = np.ones(len(values), bool)
    keep[without or slice(0, 0)] = False
    with h5py.File(path, "w") as stored:
        group = stored.create_group("df")
        names = np.array(ids, dtype="S")
        for key, value in {
            "axis0": names, "block0_items": names, "axis1": times[keep], "block0_values": values[keep],
        }.items():  # fmt: skip
            group[key] = value
        group["axis1"].attrs["kind"] = b"datetime64"


def speeds(n_steps: int = 400, n: int = 3) -> np.ndarray:
    """(T, N) with a zero where nothing was measured."""
    values = 60 + 5 * np.sin(np.arange(n_steps)[:, None] / 20 + np.arange(n))
    values[7, 1] = 0
    return values


def write_flow(folder: Path, name: str, n: int = 5, n_steps: int = 300) -> Path:
    data = np.random.default_rng(0).integers(1, 400, (n_steps, n, 3)).astype("f8")
    data[3, 2, 0] = 0
    np.savez(folder / f"{name}.npz", data=data)
    return folder / f"{name}.npz"


def test_metr_la_is_read_with_its_places_and_zeros_are_missing(tmp_path):
    write_h5(tmp_path / "metr-la.h5", speeds(), IDS, "2012-03-01")
    places = "index,sensor_id,latitude,longitude\n0,773869,34.15,-118.31\n1,767541,34.11,-118.23\n2,767542,34.12,-118.24\n"
    (tmp_path / "graph_sensor_locations.csv").write_text(places)
    (tmp_path / "distances_la_2012.csv").write_text("from,to,cost\n773869,767541,9000\n767541,767542,900\n1,2,3\n")
    files = [tmp_path / name for name in ("metr-la.h5", "graph_sensor_locations.csv", "distances_la_2012.csv")]
    raw = read_preset("metr-la", *files)
    assert tuple(raw.sensors["sensor_id"]) == IDS
    assert raw.sensors["lat"].tolist() == [34.15, 34.11, 34.12]
    assert np.argwhere(raw.readings.isna().to_numpy()).tolist() == [[7, 1]]
    assert raw.fixes == ("zero-is-missing",)
    assert len(raw.adjacency) == 2
    assert any("the usual file has 207 x 34272" in note for note in raw.notes)


def test_pems_bay_has_tables_without_headers_and_an_hour_that_the_clock_skips(tmp_path):
    write_h5(tmp_path / "pems-bay.h5", speeds(), ("400001", "400017", "400030"), "2017-03-12", without=slice(24, 36))
    (tmp_path / "graph_sensor_locations_bay.csv").write_text(
        "400001,37.364085,-121.901149\n400017,37.253303,-121.945440\n400030,37.359087,-121.906538\n"
    )
    (tmp_path / "distances_bay_2017.csv").write_text("400001,400001,0.0\n400001,400017,2873.4\n")
    files = [tmp_path / name for name in ("pems-bay.h5", "graph_sensor_locations_bay.csv", "distances_bay_2017.csv")]
    raw = read_preset("pems-bay", *files)
    assert raw.sensors["lon"].tolist() == [-121.901149, -121.94544, -121.906538]
    assert len(raw.readings) == 400
    assert raw.readings.iloc[24:36].isna().all(axis=None)
    assert set(raw.adjacency["to"]) == {"400001", "400017"}


def test_a_speed_network_without_its_sensor_table_is_refused_by_its_name(tmp_path):
    write_h5(tmp_path / "metr-la.h5", speeds(), IDS, "2012-03-01")
    with pytest.raises(InputError, match=r"needs its sensor table, --sensors graph_sensor_locations\.csv"):
        read_preset("metr-la", tmp_path / "metr-la.h5")


def test_pems_without_coordinates_says_what_to_do(tmp_path):
    with pytest.raises(InputError) as error:
        read_preset("pems04", write_flow(tmp_path, "PEMS04"))
    line = error.value.problems[0]
    assert "hold no coordinates" in line
    assert "--sensors" in line
    assert "--adjacency PEMS04.csv" in line


def test_pems_is_laid_out_by_its_distances_and_says_so(tmp_path):
    series = write_flow(tmp_path, "PEMS04")
    (tmp_path / "PEMS04.csv").write_text("from,to,cost\n0,1,100\n1,2,100\n2,3,800\n")  # sensor 4 has no edge
    raw = read_preset("pems04", series, None, tmp_path / "PEMS04.csv")
    assert tuple(raw.sensors["sensor_id"]) == tuple("01234")
    places = raw.sensors[["lon", "lat"]].to_numpy()
    gap = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert gap[0, 1] < gap[0, 2] < gap[0, 3]
    assert gap[0, 1] == pytest.approx(gap[1, 2], rel=0.05)
    assert np.abs(places).max() < 0.5  # degrees around 0, 0
    assert any("A map shows nearness, no geography." in note for note in raw.notes)
    assert raw.readings.index[0] == pd.Timestamp("2018-01-01")
    assert raw.readings.index[1] - raw.readings.index[0] == pd.Timedelta("5min")
    assert int(raw.readings.isna().to_numpy().sum()) == 1


def test_pems03_names_sensors_by_ids_whose_order_stands_in_a_text_file(tmp_path):
    series = write_flow(tmp_path, "PEMS03", n=3)
    edges = tmp_path / "PEMS03.csv"
    edges.write_text("from,to,distance\n317842,313344,10\n313344,318711,20\n")
    with pytest.raises(InputError, match=r"names '31\d+', but the readings have 3 columns without names"):
        read_preset("pems03", series, None, edges)
    edges.with_suffix(".txt").write_text("318711\n317842\n313344\n")
    raw = read_preset("pems03", series, None, edges)
    assert tuple(raw.readings.columns) == ("318711", "317842", "313344")
    stored = np.load(series)["data"][:, 1, 0]
    assert (raw.readings["317842"].fillna(0) == stored).all()


def test_the_layout_is_the_same_each_time_and_too_many_are_refused(tmp_path):
    (tmp_path / "d.csv").write_text("from,to,cost\n0,1,5\n1,2,6\n2,0,7\n")
    assert lay_out(tmp_path / "d.csv", 3) == lay_out(tmp_path / "d.csv", 3)
    with pytest.raises(InputError, match="too many to be laid out"):
        lay_out(tmp_path / "d.csv", 3001)


def test_splits_are_those_of_the_usual_protocols():
    for name, parts in {"metr-la": (23990, 27417), "pems04": (10195, 13593), "pems08": (10713, 14284)}.items():
        preset = PRESETS[name]
        split = Split.from_shares(preset.steps, preset.protocol.split)
        assert (split.train_end, split.test_start) == parts
        assert (preset.protocol.lookback, preset.protocol.horizon, preset.step_minutes) == (12, 12, 5)
    split = Split.from_shares(2016, PROTOCOLS["t-gcn"].split)
    assert split.test_start == int(2016 * 0.8)  # the rows that the original tests on


def test_backtest_takes_its_terms_from_a_preset(tmp_path, capsys):
    series = write_flow(tmp_path, "PEMS08", n_steps=700)
    (tmp_path / "PEMS08.csv").write_text("from,to,cost\n0,1,100\n1,2,100\n2,3,100\n3,4,100\n")
    out = tmp_path / "scores.json"
    files = ["--series", str(series), "--adjacency", str(tmp_path / "PEMS08.csv"), "--seasons", "1440"]
    assert main(["backtest", "--preset", "pems08", *files, "--models", "persistence", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert (result["lookback"], result["horizon"], result["split"]) == (12, 12, [0.6, 0.2, 0.2])
    assert (result["quantity"], result["unit"], result["protocol"]) == ("traffic flow", "vehicles/5min", "pems08")
    printed = capsys.readouterr().out
    assert "scores of that step alone" in printed
    row = result["scores"][0]
    assert f"{row['at_step'][2]['mae']:.4f}" in printed
    assert [step["mae"] for step in row["at_step"]] == pytest.approx(row["mae_per_step"])
    assert row["up_to_step"][-1]["rmse"] == pytest.approx(row["rmse"])


def test_a_preset_in_a_folder_of_networks_brings_files_and_terms(tmp_path):
    folder = tmp_path / "flow"
    folder.mkdir()
    write_flow(folder, "PEMS04", n_steps=700)
    (folder / "PEMS04.csv").write_text("from,to,cost\n0,1,100\n1,2,100\n2,3,100\n3,4,100\n")
    dataset = as_dataset("flow", {"preset": "pems04", "horizon": 6})
    assert (dataset.lookback, dataset.horizon, dataset.split, dataset.unit) == (12, 6, (0.6, 0.2, 0.2), "vehicles/5min")
    series, fixes, notes = open_dataset(tmp_path, dataset)
    assert (series.quantity, series.network.n_sensors, fixes) == ("traffic flow", 5, ("zero-is-missing",))
    assert any("no geography" in note for note in notes)
    with pytest.raises(InputError, match="there is no preset 'pems05'"):
        as_dataset("flow", {"preset": "pems05"})


@pytest.mark.parametrize("more", [["--preset", "metr"], []])
def test_no_such_preset_and_no_terms_at_all_are_refused(tmp_path, capsys, more):
    (tmp_path / "s.csv").write_text("sensor_id,lat,lon\na,1,1\n")
    files = ["--sensors", str(tmp_path / "s.csv"), "--series", str(tmp_path / "s.csv")]
    command = ["backtest", *files, *more, "--json", str(tmp_path / "o.json")]
    if more:
        assert main(command) == 2
        assert "There is no preset 'metr'" in capsys.readouterr().err
        return
    with pytest.raises(SystemExit):
        main(command)
    assert "--lookback, --horizon, --split" in capsys.readouterr().err
