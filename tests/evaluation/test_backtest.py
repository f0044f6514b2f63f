"""All methods on the same windows; errors say what is wrong in numbers."""

import json

import numpy as np
import pytest

from stvlm.core.series import SensorSeries
from stvlm.evaluation import methods
from stvlm.evaluation.backtest import backtest, score_table
from stvlm.evaluation.baselines import boosting
from stvlm.evaluation.baselines.simple import BASELINES
from tests.support.protocol_networks import as_series, load_protocol

SIMPLE = ["persistence", "seasonal naive 1d", "historical average 1d", "ridge"]


@pytest.fixture(scope="module")
def result(small_series) -> dict:
    return backtest(small_series, 12, 6, models=(*BASELINES, "anchor", "stvlm"), seeds=2, fit_options={"max_steps": 2})


def test_every_method_has_its_row_and_the_seeds_have_their_mean(result):
    names = [row["model"] for row in result["scores"]]
    assert names == [*SIMPLE, "anchor", "stvlm seed 0", "stvlm seed 1", "stvlm"]
    mean, runs = result["scores"][-1], result["scores"][-3:-1]
    assert mean["seeds"] == 2
    assert mean["mae"] == pytest.approx(np.mean([run["mae"] for run in runs]))
    assert mean["spread"]["mae"] == pytest.approx(np.std([run["mae"] for run in runs], ddof=1))


def test_windows_are_those_of_the_protocol(result):
    assert result["windows"] == {"train": 201 - 12 - 6 + 1, "val": 67 - 6 + 1, "test": 68 - 6 + 1}  # of 336 steps


def test_a_row_says_all_that_other_scripts_rely_on_and_is_plain_json(result):
    for row in json.loads(json.dumps(result, allow_nan=False))["scores"]:
        assert len(row["mae_per_step"]) == 6
        assert len(row["mae_per_sensor"]) == 6
        assert 0.5 < row["coverage_80"] < 0.98
        assert row["crps"] < row["mae"] < row["rmse"]
        assert row["seconds_per_window"] > 0
        assert row["seconds_fit"] > 0
        assert row["trainable"] <= row["parameters"]
        assert row["device"] == "cpu" or row["model"].startswith("stvlm")


def test_a_model_that_learnt_nothing_scores_as_its_anchor(result):
    rows = {row["model"]: row for row in result["scores"]}
    for seed in range(2):
        if not rows[f"stvlm seed {seed}"]["taken"]:
            assert rows[f"stvlm seed {seed}"]["mae"] == pytest.approx(rows["anchor"]["mae"], rel=1e-4)


def test_deep_baselines_and_boosting_run_on_the_same_windows(small_series, monkeypatch):
    monkeypatch.setattr(boosting, "TREES", 10)
    found = backtest(
        small_series, 12, 6, models=("boosting", "dlinear", "stid", "graph wavenet"), seeds=2, fit_options={"max_steps": 3}
    )
    rows = {row["model"]: row for row in json.loads(json.dumps(found, allow_nan=False))["scores"]}
    seeded = [name for model in ("dlinear", "stid", "graph wavenet") for name in (f"{model} seed 0", f"{model} seed 1", model)]
    assert list(rows) == ["boosting", *seeded]
    assert rows["stid"]["mae"] == pytest.approx(np.mean([rows["stid seed 0"]["mae"], rows["stid seed 1"]["mae"]]))
    assert rows["stid"]["seeds"] == 2
    assert rows["stid"]["out_of_time"] == 0
    assert rows["stid seed 0"]["steps"] == 3
    assert rows["boosting"]["mae"] < 5
    for row in rows.values():
        assert row["cells"] == rows["boosting"]["cells"]
        assert 0.5 < row["coverage_80"] < 0.98
        assert row["trainable"] == row["parameters"] > 0


def test_without_names_only_the_quick_ones_run():
    assert set(methods.MODELS) - set(methods.QUICK) == {"boosting", "dlinear", "stid", "graph wavenet", "anchor lookback"}


def test_the_table_lists_the_best_first(result):
    table = score_table(result)
    assert table["mae"].is_monotonic_increasing
    assert set(table["model"]) == {row["model"] for row in result["scores"]}


def test_scores_of_the_simple_methods_are_those_of_the_protocol(shared_data):
    protocol = load_protocol(shared_data)
    data = protocol.load("irish_wind")
    mine = backtest(as_series(data), 28, 7, (0.7, 0.1, 0.2), BASELINES)
    assert mine["seasons_minutes"] == [525600]
    test = data.cutoffs("test")
    theirs = protocol.naive(data, test) | {"ridge": protocol.ridge(data, test)}
    assert [row["model"] for row in mine["scores"]] == list(theirs)
    for row in mine["scores"]:
        expected = protocol.score(theirs[row["model"]], data.future(test))
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-5)


def test_small_blocks_change_no_score(small_series, monkeypatch):
    whole = backtest(small_series, 12, 6, models=BASELINES)
    monkeypatch.setattr(methods, "BLOCK_CELLS", 100)
    for row, other in zip(backtest(small_series, 12, 6, models=BASELINES)["scores"], whole["scores"], strict=True):
        assert row["mae"] == pytest.approx(other["mae"])
        assert row["crps"] == pytest.approx(other["crps"])


def test_without_validation_rows_have_no_bands(small_series):
    rows = backtest(small_series, 12, 6, (0.8, 0.0, 0.2), ("persistence", "ridge"))["scores"]
    assert [row["coverage_80"] for row in rows] == [None, None]


def test_few_shot_shortens_training_and_keeps_the_test_part(small_series):
    found = backtest(small_series, 12, 6, models=("ridge", "anchor"), few_shot="2days")
    assert found["windows"] == {"train": 48 - 12 - 6 + 1, "val": 48 - 12 - 6 + 1, "test": 68 - 6 + 1}
    assert [row["model"] for row in found["scores"]] == ["ridge", "anchor"]


def test_one_sensor_is_enough(small_series):
    rows = backtest(small_series.select([2]), 12, 6, models=(*BASELINES, "anchor"))["scores"]
    assert [row["model"] for row in rows] == [*SIMPLE, "anchor"]


def test_progress_rises_to_the_end(small_series):
    seen = []
    backtest(small_series, 12, 6, models=BASELINES, progress=lambda message, share: seen.append((share, message)))
    assert [share for share, _ in seen] == sorted(share for share, _ in seen)
    assert seen[-1] == (1.0, "Done.")


def test_a_series_too_short_is_refused_with_numbers(small_series):
    with pytest.raises(ValueError, match=r"test part \(68 of 336 steps\) holds no window of 12 steps before and 80 steps ahead"):
        backtest(small_series, 12, 80, models=BASELINES)
    with pytest.raises(ValueError, match=r"training part \(201 of 336 steps\) holds no window of 200"):
        backtest(small_series, 200, 6, models=BASELINES)


def test_unknown_models_and_parts_without_readings_are_refused(small_series):
    with pytest.raises(ValueError, match="Unknown models: oracle"):
        backtest(small_series, 12, 6, models=("oracle",))
    values = small_series.values.copy()
    values[268:] = np.nan
    silent = SensorSeries(small_series.network, small_series.times, values)
    with pytest.raises(ValueError, match=r"test part \(68 of 336 steps\) holds no reading"):
        backtest(silent, 12, 6, (0.6, 0.2, 0.2), BASELINES)
