"""The command line: exit codes, one line per problem, the files that scripts of other people rely on."""

import contextlib
import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stvlm.cli.main import main
from stvlm.cli.parser import parse
from stvlm.inference.predict import explain
from stvlm.io.read import InputFiles, read_tables
from stvlm.quality.report import inspect
from stvlm.runtime.assets import asset
from stvlm.ui import fusion
from tests.support.paths import CHECKPOINTS, ROOT


def data(files: tuple[Path, Path]) -> list[str]:
    return ["--sensors", str(files[0]), "--series", str(files[1])]


@pytest.fixture(scope="module")
def model_folder(small_files, tmp_path_factory) -> Path:
    """A model that the command line trained for two steps."""
    out = tmp_path_factory.mktemp("cli") / "model"
    options = ["--lookback", "12", "--horizon", "3", "--max-steps", "2", "--seed", "3", "--device", "cpu", "--unit", "km/h"]
    assert main(["fit", *data(small_files), "--out", str(out), *options, "--quantity", "traffic speed"]) == 0
    return out


def test_help_answers_at_once_and_loads_no_torch():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "stvlm", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5  # seconds of the processor
    assert all(verb in done.stdout for verb in ("validate", "fit", "forecast", "explain", "backtest", "serve"))
    assert not re.search(r"\| +(torch|pandas|transformers|streamlit)$", done.stderr, flags=re.MULTILINE)


def test_validate_says_what_it_found_and_writes_it_down(small_files, tmp_path, capsys):
    assert main(["validate", *data(small_files), "--json", str(tmp_path / "report.json")]) == 0
    assert "6 sensors, 336 times, a step of 60 minutes: 0 errors." in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ok"] is True
    assert (report["n_sensors"], report["n_times"], report["step_minutes"]) == (6, 336, 60)


def test_validate_names_each_problem_in_one_line_and_its_fix_mends_it(small_files, tmp_path, capsys):
    table = pd.read_csv(small_files[0], dtype={"sensor_id": str}).rename(columns={"lat": "lon", "lon": "lat"})
    table["lat"] += 100  # now no latitude
    table.to_csv(tmp_path / "sensors.csv", index=False)
    readings = pd.read_csv(small_files[1], dtype=str)
    pd.concat([readings, readings.head(3)]).to_csv(tmp_path / "readings.csv", index=False)
    files = (tmp_path / "sensors.csv", tmp_path / "readings.csv")
    assert main(["validate", *data(files), "--json", str(tmp_path / "report.json")]) == 2
    lines = capsys.readouterr().err.splitlines()
    errors = [p for p in json.loads((tmp_path / "report.json").read_text())["problems"] if p["severity"] == "error"]
    assert len(lines) == len(errors) >= 2
    assert any("Fix: --fix " in line for line in lines)
    assert "Traceback" not in "".join(lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "--sensors", "s.csv", "--out", "o"], "required: --series"),
        (["fit", "--sensors", "s", "--series", "t", "--out", "o", "--split", "0.5,0.6,0.2"], "three shares that sum to 1"),
        (["fit", "--sensors", "s", "--series", "t", "--out", "o", "--lookback", "0"], "whole number of at least 1"),
        (["fit", "--sensors", "s", "--series", "t", "--out", "o", "--context-steps", "-5"], "whole number of at least 1"),
        (["fit", "--sensors", "s", "--series", "t", "--out", "o", "--split", "nan,0.2,0.2"], "three shares that sum to 1"),
        (["fly"], "invalid choice: 'fly'"),
        ([], "required: VERB"),
        (["validate", "--sensors", "s", "--series", "t", "--jason", "x"], "unrecognized arguments: --jason"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words in lines[0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--out", "{tmp}/no/folder/model"], "does not exist"),
        (["--out", "{tmp}"], "is no model folder"),
        (["--out", "{tmp}/m", "--lookback", "300", "--horizon", "100"], "336 steps, but a window needs 300 + 100"),
        (["--out", "{tmp}/m", "--modalities", "vision,smell"], "modalities must be some of vision, text, series"),
        (["--out", "{tmp}/m", "--few-shot", "much"], "few-shot must be a share"),
        (["--out", "{tmp}/m", "--few-shot", "0.5days"], "hold no window"),
        (["--out", "{tmp}/m", "--device", "abacus"], "The device 'abacus' is not here"),
        (["--out", "{tmp}/m", "--backbone", "{tmp}/nothing"], "nothing"),
        (["--out", "{tmp}/m", "--fix", "magic"], "magic"),
        (["--out", "{tmp}/m", "--known-ahead", "rain"], "rain"),
        (["--out", "{tmp}/m", "--timezone", "Mars/Olympus"], "Mars/Olympus"),
        (["--out", "{tmp}/m", "--adjacency", "{tmp}/edges.csv"], "edges.csv"),
        (["--out", "{tmp}/m", "--views", "field,volcano"], "views must be some of field, frames, spread, relations"),
        (["--out", "{tmp}/m", "--base-layer", "{tmp}/roads.geojson"], "roads.geojson: there is no such file"),
        (["--out", "{tmp}/m", "--grid", "{tmp}/something.txt"], "something.txt: a base layer is a .geojson"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_exit_code_2(more, words, small_files, tmp_path, capsys):
    (tmp_path / "something.txt").write_text("in the way")
    assert main(["fit", *data(small_files), *[part.replace("{tmp}", str(tmp_path)) for part in more]]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("anchor")]
    assert len(lines) == 1
    assert words in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["something.txt"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "--sample", "irish_wind", "--model", "{evil}", "--out", "x.json"],
        ["forecast", "--sample", "{evil}", "--model", "zero-shot", "--out", "x.csv"],
        ["validate", "--sensors", "{evil}.csv", "--series", "{evil}.csv"],
        ["fit", "--horizon", "{evil}", "--out", "x"],
        ["{evil}"],
        ["validate", "--{evil}"],
    ],
)
def test_nothing_that_is_quoted_steers_the_terminal(arguments, capsys):
    evil = "\x1b[2J\x1b]0;owned\x07\u202e\x9b"
    with contextlib.suppress(SystemExit):
        assert main([argument.format(evil=evil) for argument in arguments]) == 2
    told = "".join(capsys.readouterr())
    assert "owned" in told
    assert not set(evil) & set(told) - set("[2J]0;owned")


def test_every_line_of_the_command_line_goes_through_one_harmless_function():
    for path in (ROOT / "stvlm" / "cli").glob("*.py"):
        prints = re.findall(r"(?<![\w.])print\(|sys\.std(?:out|err)\.write", path.read_text("utf-8"))
        assert len(prints) == (2 if path.name == "outputs.py" else 0), path.name


@pytest.mark.parametrize("verb", ["validate", "fit", "forecast", "explain", "backtest"])
def test_missing_files_are_named_by_every_verb(verb, tmp_path, model_folder, capsys):
    more = {
        "validate": [],
        "fit": ["--out", str(tmp_path / "m")],
        "forecast": ["--model", str(model_folder), "--out", str(tmp_path / "f.csv")],
        "explain": ["--model", str(model_folder), "--out", str(tmp_path / "e.json")],
        "backtest": ["--lookback", "12", "--horizon", "3", "--split", "0.6,0.2,0.2", "--json", str(tmp_path / "b.json")],
    }
    assert main([verb, "--sensors", str(tmp_path / "a.csv"), "--series", str(tmp_path / "b.csv"), *more[verb]]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("a.csv: ")
    assert lines[1].startswith("b.csv: ")


def test_fit_leaves_a_model_with_its_making_written_down(model_folder, small_files):
    made = json.loads((model_folder / "manifest.json").read_text())
    assert made["fit"]["seed"] == 3
    assert made["fixes"] == []
    assert made["files"] == [str(path) for path in small_files]
    assert re.fullmatch("[0-9a-f]{64}", made["data_sha256"])
    assert {"stvlm", "torch", "transformers"} <= set(made["versions"])
    assert made["scores"]["anchor_val_mae"] > 0
    assert isinstance(made["command_line"], list)
    assert [path.name for path in model_folder.parent.iterdir()] == ["model"]  # no checkpoint stays behind


def test_fit_shows_how_it_goes_and_says_where_the_model_is(small_files, tmp_path, capsys):
    options = ["--lookback", "12", "--horizon", "3", "--max-steps", "1", "--device", "cpu"]
    (tmp_path / "model").mkdir()
    assert main(["fit", *data(small_files), "--out", str(tmp_path / "model"), *options]) == 0
    said = capsys.readouterr()
    assert re.search(r"train  step 0/1  validation MAE [\d.]+ \(anchor [\d.]+\)", said.err)
    assert re.search(r"Validation MAE [\d.]+, that of its anchor [\d.]+; \d+ s on cpu\.", said.out)
    assert said.out.splitlines()[-1] == f"The model is in {tmp_path / 'model'}"
    assert main(["fit", *data(small_files), "--out", str(tmp_path / "model"), *options]) == 0  # a model may be trained anew


def test_a_forecast_begins_after_the_last_reading_unless_a_cutoff_is_named(model_folder, small_files, tmp_path):
    ask = ["forecast", "--model", str(model_folder), *data(small_files)]
    assert main([*ask, "--out", str(tmp_path / "a.csv")]) == 0
    table = pd.read_csv(tmp_path / "a.csv", dtype={"sensor_id": str}, parse_dates=["timestamp"])
    assert list(table.columns) == ["timestamp", "sensor_id", "value", "lower_80", "upper_80"]
    assert list(table["sensor_id"].unique()) == ["01", "02", "03", "04", "05", "06"]
    assert list(table["timestamp"].unique()) == list(pd.date_range("2024-03-18T00:00", periods=3, freq="h"))
    assert (table["lower_80"] <= table["value"]).all()
    assert (table["value"] <= table["upper_80"]).all()
    assert main([*ask, "--cutoff", "2024-03-10T09:30+01:00", "--horizon", "2", "--out", str(tmp_path / "b.parquet")]) == 0
    earlier = pd.read_parquet(tmp_path / "b.parquet")
    assert list(pd.DatetimeIndex(earlier["timestamp"].unique())) == list(pd.date_range("2024-03-10T09:00", periods=2, freq="h"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--out", "{tmp}/a.xls"], "as .csv, .parquet or .geojson"),
        (["--out", "{tmp}/a.csv", "--cutoff", "noon-ish"], "noon-ish: is no time"),
        (["--out", "{tmp}/a.csv", "--cutoff", "2020-01-01"], "between 2024-03-04T12:00:00 and 2024-03-18T00:00:00"),
        (["--out", "{tmp}/a.csv", "--horizon", "9"], "forecasts up to 3"),
        (["--out", "{tmp}/a.csv", "--model", "zero-shot", "--horizon", "400"], "too few to forecast 400 steps"),
        (["--out", "{tmp}/a.csv", "--model", "zero-shot", "--cutoff", "9999-01-01"], "at the latest"),
        (["--out", "{tmp}/a.csv", "--model", "{tmp}"], "is no model folder"),
        (["--out", "{tmp}/no/a.csv"], "does not exist"),
    ],
)
def test_what_cannot_be_forecast_is_one_line_and_exit_code_2(more, words, model_folder, small_files, tmp_path, capsys):
    more = [part.replace("{tmp}", str(tmp_path)) for part in more]
    assert main(["forecast", "--model", str(model_folder), *data(small_files), *more]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_zero_shot_forecasts_files_that_no_model_was_trained_for(small_files, tmp_path):
    out = tmp_path / "a.csv"
    assert main(["forecast", "--model", "zero-shot", *data(small_files), "--horizon", "3", "--out", str(out)]) == 0
    table = pd.read_csv(out, dtype={"sensor_id": str})
    assert len(table) == 3 * table["sensor_id"].nunique()
    assert (table["lower_80"] <= table["value"]).all()
    assert (table["value"] <= table["upper_80"]).all()
    assert (table["upper_80"] > table["lower_80"]).any()


def test_a_model_of_another_network_is_refused(model_folder, small_files, tmp_path, capsys):
    table = pd.read_csv(small_files[0], dtype={"sensor_id": str}).head(4)
    table.to_csv(tmp_path / "sensors.csv", index=False)
    pd.read_csv(small_files[1])[["timestamp", "01", "02", "03", "04"]].to_csv(tmp_path / "readings.csv", index=False)
    files = (tmp_path / "sensors.csv", tmp_path / "readings.csv")
    assert main(["forecast", "--model", str(model_folder), *data(files), "--out", str(tmp_path / "a.csv")]) == 2
    assert "sensors" in capsys.readouterr().err


def test_an_explanation_has_the_keys_and_shapes_that_scripts_rely_on(model_folder, small_files, tmp_path):
    out = tmp_path / "why.json"
    assert (
        main(["explain", "--model", str(model_folder), *data(small_files), "--cutoff", "2024-03-10T08:00", "--out", str(out)]) == 0
    )
    found = json.loads(out.read_text())
    contract = ["modalities", "modality_weights", "image_bounds", "image_attention", "tokens", "text_attention", "deletion"]
    assert list(found)[:7] == contract
    assert found["modalities"] == ["vision", "text", "series"]
    assert [round(sum(row), 4) for row in found["modality_weights"]] == [1.0] * 6
    west, south, east, north = found["image_bounds"]
    assert west < 13.4 < east
    assert south < 52.5 < north
    side = len(found["image_attention"][0])
    assert all(len(row) == side for image in found["image_attention"] for row in image)
    assert len(found["image_attention"]) == len(found["text_attention"]) == 6
    assert all(len(row) == len(found["tokens"]) for row in found["text_attention"])
    assert set(found["deletion"]) == set(found["modalities"])
    assert all(len(change) == 3 and len(change[0]) == 6 for change in found["deletion"].values())
    assert (found["sensors"][0], found["cutoff"], found["unit"]) == ("01", "2024-03-10T08:00:00", "")


def test_the_page_offers_the_very_files_that_the_command_line_writes(city_model, city_window, small_files, tmp_path):
    out = tmp_path / "why.json"
    model, cutoff = str(CHECKPOINTS / "synthetic_city"), str(city_window.series.times[city_window.cutoff])
    assert main(["explain", "--model", model, "--sample", "synthetic_city", "--cutoff", cutoff, "--out", str(out)]) == 0
    explanation = explain(city_model, city_window)
    written, offered = json.loads(out.read_text()), json.loads(fusion.as_json(explanation))
    assert offered == written
    assert {"sensor_attention", "view_attention", "cutoff", "times", "prompt", "sensors"} <= set(written)
    np.testing.assert_allclose(written["sensor_attention"], explanation.sensor_attention, atol=1e-7)
    np.testing.assert_allclose(written["deletion"]["text"], explanation.deletion["text"], atol=1e-7)
    report = tmp_path / "report.json"
    assert main(["validate", *data(small_files), "--json", str(report)]) == 0
    assert json.loads(inspect(read_tables(InputFiles(*small_files))).to_json()) == json.loads(report.read_text())


def test_a_backtest_writes_the_scores_that_scripts_rely_on_and_prints_them(small_files, tmp_path, capsys):
    out = tmp_path / "scores.json"
    ask = ["backtest", *data(small_files), "--lookback", "12", "--horizon", "3", "--split", "0.6,0.2,0.2", "--json", str(out)]
    assert main([*ask, "--models", "persistence,seasonal-naive,anchor", "--seasons", "1440"]) == 0
    found = json.loads(out.read_text())
    assert found["windows"] == {"train": 201 - 12 - 3 + 1, "val": 67 - 3 + 1, "test": 68 - 3 + 1}
    keys = "model mae rmse accuracy coverage_80 mae_per_step parameters trainable seconds_fit seconds_per_window device"
    assert all(set(keys.split()) <= set(row) for row in found["scores"])
    rows = {row["model"]: row for row in found["scores"]}
    assert len(rows["anchor"]["mae_per_step"]) == 3
    assert rows["anchor"]["mae"] < rows["persistence"]["mae"]
    said = capsys.readouterr()
    assert "Scoring persistence." in said.err
    assert re.search(rf"anchor\s+{rows['anchor']['mae']:.4g}", said.out)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--models", "persistence,oracle"], "Unknown models: oracle"),
        (["--models", "persistence,oracle", "--ablations", "no-image", "--max-steps", "1"], "Unknown models: oracle"),
        (["--models", "persistence", "--few-shot", "0"], "few-shot must be"),
        (["--models", "persistence", "--split", "0.9,0.1,0"], "test part"),
        (["--models", "persistence,stvlm", "--views", "volcano"], "views must be some of"),
        (["--models", "persistence,stvlm", "--backbone", "/no/such/folder"], "is not here"),
        (["--models", "persistence,dlinear", "--device", "abacus"], "The device 'abacus' is not here"),
        (["--models", "stvlm", "--hold-sensors", "0.2", "--views", "volcano"], "views must be some of"),
        (["--models", "persistence,boosting", "--drop-sensors", "0.2"], "cannot be scored with sensors that fall silent"),
    ],
)
def test_what_cannot_be_scored_is_one_line_and_exit_code_2(more, words, small_files, tmp_path, capsys):
    ask = ["backtest", *data(small_files), "--lookback", "12", "--horizon", "3", "--split", "0.6,0.2,0.2"]
    assert main([*ask, "--json", str(tmp_path / "b.json"), *more]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_serve_becomes_streamlit_and_hands_options_on(monkeypatch):
    called = []
    monkeypatch.setattr("os.execve", lambda path, command, variables: called.append((list(command), variables["PYTHONSAFEPATH"])))
    assert main(["serve", "--server.port", "8600"]) == 0
    assert called == [([sys.executable, "-P", "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", "8600"], "1")]


@pytest.mark.slow
def test_the_same_command_goes_on_where_it_was_killed(small_files, tmp_path):
    out = tmp_path / "model"
    command = [sys.executable, "-m", "stvlm", "fit", *data(small_files), "--out", str(out), "--lookback", "12", "--horizon", "3"]
    command += ["--max-steps", "600", "--device", "cpu"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + 240
        while not list(tmp_path.glob("model.checkpoint/*/step-*")) and first.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        first.kill()
    assert not out.exists()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as second:
        lines = [second.stderr.readline() for _ in range(2)]
        second.kill()
    assert lines[0].startswith("anchor")
    assert int(re.search(r"train  step (\d+)/600", lines[1])[1]) >= 25


@pytest.mark.parametrize(
    "arguments", [["validate", "--sensors", "\udcff.csv", "--series", "x.csv"], ["\udcff"], ["serve", "--\udcff"]]
)
def test_an_argument_that_is_not_utf_8_is_refused_in_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert re.fullmatch(r"python -m stvlm: an argument is not UTF-8: (--)?\?(\.csv)?\n", capsys.readouterr().err)


def test_the_help_needs_none_of_the_libraries_that_take_seconds():
    code = "import sys, stvlm.cli.main; sys.exit(bool({'torch', 'pandas', 'scipy', 'transformers', 'streamlit'} & {*sys.modules}))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["forecast", "--model", "irish_wind", "--sample", "irish_wind", "--out", "x.csv"], {"model": "checkpoints/irish_wind"}),
        (["explain", "--model", "checkpoints/irish_wind", "--sample", "irish_wind", "--out", "x"], {"model": "checkpoints/irish_wind"}),
        (["benchmark", "--data", "sample_data", "--json", "x"], {"data": "samples"}),
        (["fit", "--sensors", "sample_data/irish_wind/sensors.csv", "--series", "s", "--out", "x", "--shared", "stvlm-tiny"],
         {"sensors": "samples/irish_wind/sensors.csv", "shared": "checkpoints/stvlm-tiny"}),
    ],
    ids=lambda one: one[0] if isinstance(one, list) else "",
)  # fmt: skip
def test_earlier_names_of_what_ships_still_mean_it_from_any_folder(arguments, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = parse(arguments)
    assert {name: str(getattr(options, name)) for name in named} == {name: str(asset(path)) for name, path in named.items()}


def test_a_folder_of_the_user_goes_before_what_ships(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "irish_wind").mkdir()
    assert parse(["forecast", "--model", "irish_wind", "--sample", "x", "--out", "x.csv"]).model == Path("irish_wind")
    assert parse(["forecast", "--model", "zero-shot", "--sample", "x", "--out", "x.csv"]).model == Path("zero-shot")
