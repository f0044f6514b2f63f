"""The public Python API: the README's example runs as it stands, results become tables, figures and maps that need no network."""

import os
import re
import subprocess
import sys

import folium
import geopandas
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import stvlm
from stvlm.core.windows import steps_in
from stvlm.runtime import environment
from tests.support.paths import ROOT


def example() -> str:
    """The code of the README's section "From Python"."""
    section = (ROOT / "README.md").read_text("utf-8").split("## From Python\n")[1].split("\n## ")[0]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


@pytest.fixture(scope="module")
def wind():
    return stvlm.read("sample_data/irish_wind")


@pytest.fixture(scope="module")
def model():
    return stvlm.Model.load("irish_wind")


def test_the_example_in_the_readme_runs(tmp_path, monkeypatch, capsys):
    code = example()
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    steps = np.arange(400)
    waves = 50 + 10 * np.sin(2 * np.pi * steps / 24)[:, None] + np.array([0.0, 3.0, -2.0])
    times = pd.date_range("2024-01-01", periods=len(steps), freq="h", name="timestamp")
    pd.DataFrame(waves.round(2), index=times, columns=["S1", "S2", "S3"]).to_csv(tmp_path / "readings.csv")
    (tmp_path / "sensors.csv").write_text("sensor_id,lat,lon\nS1,53.35,-6.26\nS2,53.34,-6.25\nS3,53.36,-6.24\n")
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace("max_minutes=2", "max_steps=1"), "README.md", "exec"), {})  # one step of training is enough here
    assert "L.map(" in (tmp_path / "forecast.html").read_text("utf-8")
    assert "persistence" in capsys.readouterr().out


def test_importing_is_cheap():
    code = "import sys, stvlm; stvlm.__version__; sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_importing_changes_no_setting_of_the_host_program():
    code = (
        "import os; before = dict(os.environ); import stvlm; stvlm.SensorNetwork; assert os.environ == before; stvlm.read; "
        "print(*{*os.environ} - {*before})"
    )
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=bare, capture_output=True, text=True)
    assert {*done.stdout.split()} & {*environment.DEFAULTS, "HF_HUB_OFFLINE"} == set()  # torch and its kin may set their own


def test_every_public_name_is_there_and_no_other():
    assert all(callable(getattr(stvlm, name)) for name in stvlm.__all__)
    assert {*stvlm.__all__} <= {*dir(stvlm)}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        stvlm.nothing


def test_a_folder_brings_its_own_words(wind):
    assert (wind.quantity, wind.unit, wind.network.n_sensors) == ("wind speed", "knots", 12)
    assert wind.to_frame().shape == wind.values.shape
    again = stvlm.read("sample_data/irish_wind", quantity="wind", unit="kn")
    assert (again.quantity, again.unit) == ("wind", "kn")


def test_files_may_come_as_bytes_and_problems_are_named():
    sensors = ("s.csv", b"sensor_id,lat,lon\nA,53.3,-6.2\nB,53.4,-6.3\n")
    readings = ("r.csv", b"timestamp,A,B\n2024-01-01 00:00,1,2\n2024-01-01 01:00,3,4\n2024-01-01 02:00,5,6\n")
    assert stvlm.read(readings, sensors).values.tolist() == [[1, 2], [3, 4], [5, 6]]
    with pytest.raises(stvlm.InputError, match="No file holds sensors"):
        stvlm.read(readings)


def test_a_forecast_without_training_sees_nothing_after_its_cutoff(wind):
    forecast = stvlm.forecast(wind, horizon="7d", cutoff="1975-06-01")
    assert (len(forecast.times), str(forecast.times[0])[:10]) == (7, "1975-06-01")
    cut = wind.slice(0, wind.step_at("1975-06-01"))
    np.testing.assert_array_equal(forecast.values, stvlm.forecast(cut, horizon=7).values)


def test_a_forecast_becomes_a_table_points_a_figure_and_a_map(wind, model):
    forecast = model.forecast(wind, "3d", cutoff="1976-01-01")
    table, points = forecast.to_frame(), forecast.to_geodataframe()
    assert list(table.columns) == ["timestamp", "sensor_id", "value", "lower_80", "upper_80"]
    assert (len(table), table["timestamp"].nunique()) == (36, 3)
    assert isinstance(points, geopandas.GeoDataFrame)
    assert points.crs.to_epsg() == 4326
    assert points.geometry.x[13] == wind.network.lon[1]
    figure = forecast.plot(wind.network.ids[2])
    assert isinstance(figure, go.Figure)
    assert "median" in " ".join(str(trace.name) for trace in figure.data)
    drawn = forecast.map(1)
    assert isinstance(drawn, folium.Map)
    page = drawn.get_root().render()
    assert "wind speed, median forecast for" in page
    assert not re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)=["'](?!data:)""", page)
    with pytest.raises(ValueError, match="no sensor 'X'"):
        forecast.plot("X")


def test_an_explanation_becomes_a_table_points_a_figure_and_maps(wind, model):
    found = stvlm.explain(model, wind, cutoff="1976-01-01")
    table = found.to_frame()
    np.testing.assert_allclose(table[["vision", "text", "series"]].sum(axis=1), 1, atol=1e-5)
    assert "without_series" in table.columns
    assert found.to_geodataframe().geometry.y.tolist() == wind.network.lat.tolist()
    assert isinstance(found.plot(wind.network.ids[0]), go.Figure)
    assert "share of series in the fusion" in found.map().get_root().render()
    assert isinstance(found.map(wind.network.ids[0]), folium.Map)


def test_a_backtest_becomes_a_table_points_a_figure_and_a_map(wind):
    result = stvlm.backtest(wind.slice(0, 400), models=["persistence", "historical-average"], lookback=14, horizon="3d")
    best = result.to_frame()["model"].iloc[0]
    points = result.to_geodataframe()
    np.testing.assert_allclose(points[best].mean(), result.to_frame()["mae"].iloc[0], rtol=0.05)
    assert len(result.plot().data) == len(result.result["scores"])
    assert f"mean absolute error of {best}" in result.map().get_root().render()
    with pytest.raises(ValueError, match="was not scored"):
        result.map("stvlm")


def test_a_model_is_saved_and_opened_with_the_same_forecasts(wind, model, tmp_path):
    model.save(tmp_path / "mine")
    again = stvlm.Model.load(tmp_path / "mine")
    np.testing.assert_array_equal(again.forecast(wind).values, model.forecast(wind).values)
    assert again.manifest == model.manifest
    with pytest.raises(ValueError, match="cutoff 1961-01-03: the model needs 28 steps"):
        model.forecast(wind, cutoff="1961-01-03")
    with pytest.raises(ValueError, match="cutoff soon: is no time"):
        model.forecast(wind, cutoff="soon")


@pytest.mark.parametrize(("length", "steps"), [(5, 5), ("5", 5), ("48h", 24), ("7d", 84), ("90 min", 1), ("1w", 84), ("7h", 4)])
def test_a_horizon_is_steps_or_a_length_that_they_cover(length, steps):
    assert steps_in(length, 7200) == steps


@pytest.mark.parametrize("length", [0, "0d", "1.5", "soon", "-1d", ""])
def test_a_horizon_that_is_none_is_refused(length):
    with pytest.raises(ValueError, match="such as 48h or 7d"):
        steps_in(length, 7200)
