"""The benchmark: every network of a folder on the same terms, nothing done twice, nothing failing in silence."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stvlm.cli.main import main
from stvlm.core.windows import Split
from stvlm.datasets.folder import as_dataset, open_dataset, read_list
from stvlm.datasets.samples import FOLDER, SAMPLES, load_sample
from stvlm.evaluation import benchmark as module
from stvlm.evaluation.backtest import backtest
from stvlm.evaluation.benchmark import BenchmarkConfig, run_benchmark, summarise
from stvlm.io.source import InputError

SPEC = {"quantity": "speed", "unit": "km/h", "lookback": 12, "horizon": 3, "split": [0.6, 0.2, 0.2], "seasons_minutes": [1440]}
QUICK = ["--models", "persistence,seasonal-naive,ridge"]


def write_network(folder: Path, seed: int, without: int | None = None) -> None:
    """Three made-up sensors, ten days by the hour; one row may be left out."""
    folder.mkdir()
    rng, hours = np.random.default_rng(seed), np.arange(240)
    wave = 50 + 10 * np.sin(2 * np.pi * hours / 24)[:, None] + rng.normal(0, 1 + seed, (240, 3))
    times = pd.date_range("2024-03-04", periods=240, freq="h", name="timestamp")
    table = pd.DataFrame(wave.round(2), index=times, columns=["a", "b", "c"])
    (table if without is None else table.drop(times[without])).to_csv(folder / "series.csv")
    places = {"sensor_id": ["a", "b", "c"], "lat": [52.5, 52.51, 52.52], "lon": [13.4, 13.41, 13.42]}
    pd.DataFrame(places).to_csv(folder / "sensors.csv", index=False)


def write_list(folder: Path, **entries) -> None:
    (folder / "datasets.json").write_text(json.dumps(entries))


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A folder of two networks that can be scored."""
    folder = tmp_path / "networks"
    folder.mkdir()
    write_network(folder / "calm", 0)
    write_network(folder / "rough", 3)
    write_list(folder, calm=SPEC | {"step_minutes": 60}, rough=SPEC | {"horizon": 6})
    return folder


def ask(folder: Path, *more: str) -> tuple[int, dict]:
    """Exit code and result of the verb, with quick models."""
    out = folder.parent / "out.json"
    code = main(["benchmark", "--data", str(folder), "--json", str(out), *QUICK, *more])
    return code, json.loads(out.read_text()) if out.is_file() else {}


def test_each_network_is_backtested_by_its_own_terms(two):
    code, result = ask(two)
    assert code == 0
    for name in ("calm", "rough"):
        dataset = as_dataset(name, read_list(two)[name])
        series, fixes, notes = open_dataset(two, dataset)
        assert (fixes, notes) == ((), ())
        alone = backtest(
            series, 12, dataset.horizon, (0.6, 0.2, 0.2), ("persistence", "seasonal naive", "ridge"), seasons=(1440,), device="cpu"
        )
        found = result["datasets"][name]
        assert [row["mae"] for row in found["scores"]] == [row["mae"] for row in alone["scores"]]
        assert found["windows"] == alone["windows"]
        assert (found["unit"], found["title"], found["fixes"]) == ("km/h", name, [])
        assert found["settings"]["data_sha256"] == series.fingerprint
    assert result["settings"]["models"] == ["persistence", "seasonal naive", "ridge"]
    assert result["failed"] == {}


def test_the_table_holds_every_error_and_says_how_models_stand_over_all(two, capsys):
    _, result = ask(two)
    printed = capsys.readouterr().out
    ridge = next(row for row in result["summary"] if row["model"] == "ridge")
    assert all(f"{ridge['mae'][name]:.4g}" in printed for name in ("calm", "rough"))
    assert all(f"{result['best_naive'][name]['mae']:.4g}" in printed for name in ("calm", "rough"))
    assert f"{ridge['median_ratio']:.4g}" in printed


def test_the_summary_counts_ratios_wins_and_ties_by_hand():
    scores = {
        "x": {"persistence": 2.0, "seasonal naive 1d": 4.0, "anchor": 1.0, "stvlm": 1.0},
        "y": {"persistence": 3.0, "seasonal naive 7d": 2.0, "anchor": 3.0, "stvlm": 2.5},
    }
    results = {name: {"scores": [{"model": m, "mae": v} for m, v in rows.items()]} for name, rows in scores.items()}
    results["x"]["scores"].append({"model": "stvlm seed 0", "seed": 0, "mae": 0.1})
    best, summary = summarise(results)
    assert best == {"x": {"model": "persistence", "mae": 2.0}, "y": {"model": "seasonal naive 7d", "mae": 2.0}}
    rows = {row["model"]: row for row in summary}
    assert rows["stvlm"]["ratio"] == {"x": 0.5, "y": 1.25}
    assert (rows["stvlm"]["median_ratio"], rows["stvlm"]["wins"], rows["stvlm"]["datasets"]) == (0.875, 1, 2)
    assert (rows["anchor"]["median_ratio"], rows["anchor"]["wins"]) == (1.0, 1)
    assert (rows["seasonal naive 7d"]["wins"], rows["seasonal naive 7d"]["datasets"]) == (1, 1)
    assert summary[0]["model"] == "stvlm"
    assert "stvlm seed 0" not in rows


def test_what_is_finished_is_not_done_again_until_a_file_or_a_setting_changes(two, capsys):
    _, first = ask(two)
    capsys.readouterr()
    assert ask(two) == (0, first)  # the measured seconds too: nothing ran
    assert capsys.readouterr().err.count("finished before with the same settings and data, kept.") == 2
    text = (two / "calm" / "series.csv").read_text()
    (two / "calm" / "series.csv").write_text(text.replace("2024-03-04 05:00:00,", "2024-03-04 05:00:00,1"))
    _, second = ask(two)
    assert second["datasets"]["rough"] == first["datasets"]["rough"]
    assert second["datasets"]["calm"]["settings"]["data_sha256"] != first["datasets"]["calm"]["settings"]["data_sha256"]
    _, third = ask(two, "--few-shot", "0.5")
    assert [third["datasets"][name]["few_shot"] for name in ("calm", "rough")] == ["0.5", "0.5"]


def test_a_network_finished_before_the_stop_is_kept(two, monkeypatch):
    honest, seen = module.backtest, []

    def stopped(*arguments, **more):
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return honest(*arguments, **more)

    monkeypatch.setattr(module, "backtest", stopped)
    code, result = ask(two)
    assert code == 130
    assert list(result["datasets"]) == ["calm"]
    code, whole = ask(two)
    assert (code, len(seen)) == (0, 3)  # calm was not scored again
    assert whole["datasets"]["calm"] == result["datasets"]["calm"]


def test_networks_are_added_to_those_there_and_other_settings_do_not_mix(two):
    _, first = ask(two, "--datasets", "rough")
    assert list(first["datasets"]) == ["rough"]
    _, both = ask(two, "--datasets", "calm")
    assert list(both["datasets"]) == ["calm", "rough"]
    assert both["summary"][0]["datasets"] == 2
    _, mixed = ask(two, "--datasets", "calm", "--few-shot", "0.5")
    assert mixed["datasets"]["rough"] == first["datasets"]["rough"]
    assert {row["datasets"] for row in mixed["summary"]} == {1}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (SPEC, "broken: there is no folder of this name"),
        ("far", "broken: datasets.json: needs lookback, horizon and split"),
        (SPEC | {"split": [0.9, 0.2, 0.2]}, "broken: datasets.json: split must be three shares"),
        (SPEC | {"lookback": "12"}, "broken: datasets.json: lookback must be a whole number"),
        (SPEC | {"context": "../secret.csv"}, "broken: datasets.json: '../secret.csv' must be a plain name"),
    ],
)
def test_a_broken_entry_is_named_the_others_run_and_the_exit_code_is_2(entry, words, two, capsys):
    write_list(two, broken=entry, calm=SPEC)
    code, result = ask(two)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("broken")]
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith(words)
    assert list(result["datasets"]) == ["calm"]
    assert result["failed"]["broken"]["is_input"] is True


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"lookback": 300}, "calm: series: 240 steps, but a window needs 300 + 3"),
        ({"step_minutes": 30}, "calm: datasets.json says a step of 30 minutes, but the readings have 60"),
        ({"fixes": "magic"}, "calm: --fix magic: there is no such fix"),
        ({"split": [0.98, 0.02, 0.0]}, "calm: The test part"),
        ({"known_ahead": ["rain"]}, "calm: context: no column rain"),
    ],
)
def test_terms_that_do_not_fit_the_readings_are_named(more, words, two, capsys):
    write_list(two, calm=SPEC | more, rough=SPEC)
    code, result = ask(two)
    assert code == 2
    assert words in capsys.readouterr().err
    assert list(result["datasets"]) == ["rough"]


def test_an_error_of_the_program_shows_its_place_the_others_run_and_it_exits_1(two, capsys, monkeypatch):
    honest = module.backtest

    def spoilt(series, lookback, horizon, *arguments, progress, **more):
        progress("Scoring ridge.", 0.0)
        if horizon == 3:
            raise FloatingPointError("ridge, cutoffs 200 to 210: not a finite number")
        return honest(series, lookback, horizon, *arguments, progress=progress, **more)

    monkeypatch.setattr(module, "backtest", spoilt)
    code, result = ask(two)
    errors = capsys.readouterr().err
    assert code == 1
    assert "Traceback" in errors
    assert "calm: FloatingPointError: ridge, cutoffs 200 to 210: not a finite number" in errors
    assert result["failed"]["calm"]["is_input"] is False
    assert list(result["datasets"]) == ["rough"]


def test_a_missing_row_is_closed_as_the_protocol_counts_and_the_result_says_so(two, capsys):
    write_network(two / "gappy", 1, without=100)
    write_list(two, gappy=SPEC, calm=SPEC)
    code, result = ask(two)
    found = result["datasets"]["gappy"]
    assert code == 0
    assert found["fixes"] == ["close-gaps"]
    assert "1 time step(s) are missing" in found["notes"][0]
    assert f"gappy: {found['notes'][0]}" in capsys.readouterr().err
    split = Split.from_shares(239, (0.6, 0.2, 0.2))
    assert found["windows"]["test"] == len(split.cutoffs("test", 12, 3))
    write_list(two, gappy=SPEC | {"fixes": ["resample"]}, calm=SPEC)
    _, named = ask(two)
    assert (named["datasets"]["gappy"]["fixes"], named["datasets"]["gappy"]["notes"]) == (["resample"], [])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--datasets", "calm,atlantis"], "--datasets atlantis: is not in"),
        (["--models", "oracle"], "Unknown models: oracle"),
        (["--device", "abacus"], "The device 'abacus' is not here"),
        (["--data", "{tmp}/nowhere"], "datasets.json"),
        (["--json", "{tmp}/no/out.json"], "does not exist"),
        (["--json", "{tmp}/other.json"], "is there already and is no result of `benchmark`"),
    ],
)
def test_what_cannot_begin_is_one_line_and_exit_code_2(more, words, two, capsys):
    other = two.parent / "other.json"
    other.write_text('{"precious": 1}')
    code, result = ask(two, *[part.replace("{tmp}", str(two.parent)) for part in more])
    lines = capsys.readouterr().err.splitlines()
    assert (code, result) == (2, {})
    assert len(lines) == 1
    assert words in lines[0]
    assert other.read_text() == '{"precious": 1}'


def test_the_model_itself_runs_with_a_limit_on_its_steps(two):
    config = BenchmarkConfig(("persistence", "anchor", "stvlm"), max_steps=1, device="cpu")
    result = run_benchmark(two, config, ("calm",))
    rows = {row["model"]: row for row in result["datasets"]["calm"]["scores"]}
    assert rows["stvlm"]["mae"] < rows["persistence"]["mae"]
    assert rows["stvlm"]["taken"] or rows["stvlm"]["mae"] == pytest.approx(rows["anchor"]["mae"], rel=1e-5)
    assert result["settings"]["max_steps"] == 1
    assert {row["model"] for row in result["summary"]} == {"persistence", "anchor", "stvlm"}


def test_the_samples_say_the_same_in_both_places():
    entries = read_list(FOLDER)
    assert list(entries) == [name for name, sample in SAMPLES.items() if not sample.synthetic]
    for name in entries:
        dataset, sample = as_dataset(name, entries[name]), SAMPLES[name]
        for word in ("quantity", "unit", "lookback", "horizon", "split", "known_ahead", "timezone", "seasons_minutes"):
            assert getattr(dataset, word) == getattr(sample, word), (name, word)
        series, fixes, _ = open_dataset(FOLDER, dataset)
        assert series.fingerprint == load_sample(name).fingerprint
        assert fixes == ()


def test_the_real_networks_open_with_the_terms_that_stand_beside_them(shared_data):
    entries = {name: entry for name, entry in read_list(shared_data).items() if "calendar" not in entry}  # steps of equal length
    assert len(entries) >= 13
    notes = {}
    for name in entries:
        series, _, notes[name] = open_dataset(shared_data, as_dataset(name, entries[name]))
        assert series.unit == entries[name]["unit"]
    assert [name for name in entries if notes[name]] == ["ozone_midwest_1987"]


def test_a_list_that_is_none_is_refused(tmp_path):
    (tmp_path / "datasets.json").write_text("[1, 2]")
    with pytest.raises(InputError, match=r"datasets.json: must name networks"):
        read_list(tmp_path)


def test_a_budget_is_shared_by_the_trainings_within_the_limit_of_each():
    shared = BenchmarkConfig(("ridge", "stid", "stvlm"), seeds=2, budget_minutes=8)
    assert shared.minutes_each == 2
    assert BenchmarkConfig(("ridge", "stid", "stvlm"), 2, budget_minutes=8, max_minutes=1).minutes_each == 1
    assert BenchmarkConfig(("ridge", "anchor"), budget_minutes=8).minutes_each is None
    assert BenchmarkConfig(("stvlm",), max_minutes=3).minutes_each == 3


def test_settings_nobody_gave_leave_no_trace_so_older_results_stay_finished():
    assert set(BenchmarkConfig().to_dict()) == {
        "models", "seeds", "max_minutes", "max_steps", "few_shot", "device", "version",
    }  # fmt: skip
    given = BenchmarkConfig(context_steps=0, views=("field",), backbone="plain")
    assert given.fit_options == {"context_steps": 0, "views": ("field",), "backbone": "plain"}
    assert given.to_dict()["views"] == ["field"]
    assert json.loads(json.dumps(given.to_dict())) == given.to_dict()


def test_the_longer_past_can_be_closed_for_all_networks(two):
    out = two.parent / "closed.json"
    command = ["benchmark", "--data", str(two), "--models", "anchor", "--context-steps", "0", "--json", str(out)]
    assert main(command) == 0
    result = json.loads(out.read_text())
    assert result["settings"]["context_steps"] == 0
    dataset = as_dataset("calm", read_list(two)["calm"])
    series, _, _ = open_dataset(two, dataset)
    terms = series, 12, dataset.horizon, (0.6, 0.2, 0.2), ("anchor",)
    alone = backtest(*terms, seasons=(1440,), device="cpu", fit_options={"context_steps": 0})
    assert result["datasets"]["calm"]["scores"][0]["mae"] == alone["scores"][0]["mae"]
