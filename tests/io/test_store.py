"""A series kept in a folder comes back exactly, or not at all."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.io.source import InputError
from stvlm.io.store import load_series, save_series


@pytest.fixture
def series():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 3)).astype("float32")
    values[3, 1] = np.nan
    return SensorSeries(
        network=SensorNetwork(
            ("01", "NA", "é"),
            rng.uniform(40, 50, 3),
            rng.uniform(0, 10, 3),
            sparse.csr_matrix([[0, 0.1, 0], [0, 0, 1 / 3], [0, 0, 0]]),
            pd.DataFrame({"name": ["a", "", "=c"], "capacity": [1.0, np.nan, 3.0]}),
        ),
        times=np.datetime64("2020-01-01", "s") + np.arange(50) * np.timedelta64(15, "m"),
        values=values,
        quantity="speed",
        unit="km/h",
        context=pd.DataFrame({"rain": rng.normal(size=50), "note": ["", "x"] * 25}),
        known_ahead=("rain",),
        timezone="Europe/Berlin",
    )


def test_a_series_comes_back_exactly_and_stays_on_disk(series, tmp_path):
    save_series(series, tmp_path / "a")
    again = load_series(tmp_path / "a", verify=True)
    assert again.fingerprint == series.fingerprint
    assert isinstance(again.values, np.memmap)
    assert again.network.ids == ("01", "NA", "é")
    np.testing.assert_array_equal(again.network.adjacency.toarray(), series.network.adjacency.toarray())
    pd.testing.assert_frame_equal(again.network.facts, series.network.facts)
    pd.testing.assert_frame_equal(again.context, series.context)


def test_a_bare_series_comes_back_without_what_it_never_had(series, tmp_path):
    bare = SensorSeries(SensorNetwork(("x",), [1], [2]), series.times, series.values[:, :1])
    save_series(bare, tmp_path / "a")
    again = load_series(tmp_path / "a")
    assert again.context is None
    assert again.network.adjacency is None
    assert again.network.facts is None
    assert again.fingerprint == bare.fingerprint


def test_an_opened_series_can_be_saved_over_itself(series, tmp_path):
    save_series(series, tmp_path / "a")
    save_series(load_series(tmp_path / "a"), tmp_path / "a")
    assert load_series(tmp_path / "a", verify=True).fingerprint == series.fingerprint
    assert os.listdir(tmp_path) == ["a"]


def test_a_save_that_fails_leaves_what_was_there(series, tmp_path, monkeypatch):
    save_series(series, tmp_path / "a")

    def full(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(OSError, match="disk full"):
        save_series(series.slice(0, 10), tmp_path / "a")
    monkeypatch.undo()
    assert load_series(tmp_path / "a", verify=True).fingerprint == series.fingerprint
    assert os.listdir(tmp_path) == ["a"]


def test_what_cannot_be_put_in_place_leaves_what_was_there(series, tmp_path, monkeypatch):
    save_series(series, tmp_path / "a")
    rename = Path.rename

    def stuck(path, target):
        if path.suffix == ".tmp":
            raise OSError("not now")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", stuck)
    with pytest.raises(OSError, match="not now"):
        save_series(series.slice(0, 10), tmp_path / "a")
    assert load_series(tmp_path / "a", verify=True).fingerprint == series.fingerprint
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_with_other_things_is_never_overwritten(series, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else than a series"):
        save_series(series, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["readings.npy", "times.npy", "places.npz", "adjacency.npz", "facts.parquet", "context.parquet"])
@pytest.mark.parametrize("damage", ["gone", "cut", "garbage"])
def test_a_damaged_file_is_named(series, tmp_path, name, damage):
    save_series(series, tmp_path / "a")
    file = tmp_path / "a" / name
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-3] if damage == "cut" else b"\x80\x04garbage")
    with pytest.raises(InputError, match=f"{name} is missing or damaged. Load the data files again."):
        load_series(tmp_path / "a")


def test_an_empty_file_whose_size_was_written_down_is_damaged_too(series, tmp_path):
    save_series(series, tmp_path / "a")
    description = tmp_path / "a" / "meta.json"
    (tmp_path / "a" / "times.npy").write_bytes(b"")
    meta = json.loads(description.read_text())
    meta["files"]["times.npy"] = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    description.write_text(json.dumps(meta))
    with pytest.raises(InputError, match="damaged"):
        load_series(tmp_path / "a")
    description.write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"meta\.json is damaged"):
        load_series(tmp_path / "a")


def test_changed_readings_are_found_when_asked(series, tmp_path):
    save_series(series, tmp_path / "a")
    file = tmp_path / "a" / "readings.npy"
    file.write_bytes(file.read_bytes()[:-4] + np.float32(99).tobytes())
    with pytest.raises(InputError, match="not those that were saved"):
        load_series(tmp_path / "a", verify=True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m.update(version=2), "written as version 2"),
        (lambda m: m.pop("files"), "meta.json is damaged"),
        (lambda m: m.update(files={}), "meta.json is damaged"),
        (lambda m: m.update(ids=["01"]), "damaged"),
        (lambda m: m["files"].update({"../../x": {"bytes": 1}}), "is missing or damaged"),
        (lambda m: m.pop("unit"), "damaged"),
    ],
)
def test_a_changed_description_is_refused(series, tmp_path, change, expected):
    save_series(series, tmp_path / "a")
    meta = json.loads((tmp_path / "a" / "meta.json").read_text())
    change(meta)
    (tmp_path / "a" / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match=expected):
        load_series(tmp_path / "a")


def test_an_empty_folder_holds_no_series(tmp_path):
    with pytest.raises(InputError, match=r"holds no series \(meta.json is missing\)"):
        load_series(tmp_path)
    (tmp_path / "meta.json").write_text("{")
    with pytest.raises(InputError, match=r"meta.json is damaged"):
        load_series(tmp_path)
