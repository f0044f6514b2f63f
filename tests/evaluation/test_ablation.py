"""The ablation panel: equal work, one change at a time, paired intervals, and words that say no more than the numbers."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stvlm.cli.main import main
from stvlm.cli.parser import ABLATIONS_HELP
from stvlm.core.forecast import LEVELS
from stvlm.core.windows import Split
from stvlm.evaluation import ablation
from stvlm.evaluation.ablation import (
    ABLATIONS,
    FULL,
    ablation_names,
    ablation_panel,
    changed,
    code_digest,
    is_sure,
    run_ablations,
    starting_point,
    verdict,
)
from stvlm.evaluation.metrics import mae, paired_interval
from stvlm.inference.predict import predict_many
from stvlm.modalities.batch import DISTURBANCES
from stvlm.model.adapters import STRATEGIES
from stvlm.runtime.subprocess import run_apart
from stvlm.training.fit import fit
from stvlm.training.trainer import FitConfig

NAMES = ("no image", "no prompt", "tuning full")


@pytest.fixture(scope="module")
def partial(tmp_path_factory):
    return tmp_path_factory.mktemp("panel") / "result.ablations.json"


@pytest.fixture(scope="module")
def panel(small_series, partial):
    options = {"max_steps": 2, "batch_size": 4}
    return run_ablations(small_series, 12, 6, NAMES, seeds=2, seasons=(1440,), device="cpu", fit_options=options, partial=partial)


def difference(percent: float, low: float, high: float, n_blocks: float = 20.0) -> dict:
    return {
        "mae": percent, "percent": percent, "percent_low": low, "percent_high": high, "n_blocks": n_blocks,
        "is_sure": is_sure(low, high, n_blocks),
    }  # fmt: skip


def test_every_variant_has_its_row_after_the_full_model(panel):
    assert [row["variant"] for row in panel["ablations"]] == [FULL, *NAMES]
    assert json.loads(json.dumps(panel, allow_nan=False)) == panel


def test_trainings_of_unlike_code_can_be_told(panel):
    assert panel["ablation_setting"]["code"] == [code_digest()]


def test_a_row_says_what_a_variant_scores_and_costs(panel):
    for row in panel["ablations"]:
        assert row["seeds"] == len(row["runs"]) == 2
        assert row["mae_network"] == pytest.approx(np.mean([run["mae_network"] for run in row["runs"]]))
        assert row["spread"]["mae"] == pytest.approx(np.std([run["mae"] for run in row["runs"]], ddof=1))
        assert 0 < row["mae_network"] < row["rmse_network"]
        assert row["steps"] == 2
        assert min(row[cost] for cost in ("seconds_per_step", "seconds_per_epoch", "ms_per_window", "peak_mb")) > 0
        for run in row["runs"]:
            assert run["taken"] or run["mae"] == pytest.approx(panel["ablation_setting"]["anchor"]["mae"])


def test_parameters_that_a_variant_cannot_use_do_not_count(panel):
    full, no_image, no_prompt, same = (row["parameters"] for row in panel["ablations"])
    assert no_image < full
    assert no_prompt < full
    assert same == full


def test_the_difference_is_that_of_the_scores(panel):
    full, anchor = panel["ablations"][0], panel["ablation_setting"]["anchor"]["mae"]
    assert full["difference"]["mae"] == pytest.approx(full["mae_network"] - anchor, abs=1e-6)
    for row in panel["ablations"][1:]:
        assert row["difference"]["mae"] == pytest.approx(row["mae_network"] - full["mae_network"], abs=1e-6)
        assert row["difference"]["low"] <= row["difference"]["mae"] <= row["difference"]["high"]


def test_settings_that_come_to_the_same_are_trained_once_and_said_to_be_so(panel, partial):
    row = panel["ablations"][-1]
    assert row["same_as"] == FULL
    assert row["verdict"] == "With all of the backbone tuned: with these settings that is the full model itself."
    assert len(json.loads(partial.read_text())) == 3 * 2 + 1  # and the anchor


def test_the_same_call_goes_on_where_it_was_stopped(panel, small_series, partial, monkeypatch):
    stored = json.loads(partial.read_text())
    gone = next(key for key, run in stored.items() if run.get("variant") == "no prompt")
    partial.write_text(json.dumps({key: run for key, run in stored.items() if key != gone}))
    seen = []
    again = run_ablations(
        small_series, 12, 6, NAMES, seeds=2, seasons=(1440,), device="cpu", partial=partial,
        fit_options={"max_steps": 2, "batch_size": 4}, progress=lambda message, share: seen.append((message, share)),
    )  # fmt: skip
    trained = {message.split(" (")[0] for message, _ in seen if message.startswith("Ablation")}
    assert trained == {"Ablation no prompt, seed 0"}
    assert all("(1 of 1)" in message for message, _ in seen if message.startswith("Ablation"))
    assert [row["mae_network"] for row in again["ablations"]] == pytest.approx(
        [row["mae_network"] for row in panel["ablations"]], rel=1e-6
    )
    assert [share for _, share in seen] == sorted(share for _, share in seen)


def test_other_data_or_settings_take_nothing_from_the_file(panel, small_series, partial):
    before = set(json.loads(partial.read_text()))
    options = {"max_steps": 1, "batch_size": 4}
    run_ablations(small_series, 12, 6, ("tuning full",), seasons=(1440,), device="cpu", fit_options=options, partial=partial)
    assert len(set(json.loads(partial.read_text())) - before) == 1


@pytest.mark.parametrize("name", [*ABLATIONS])
def test_a_variant_changes_what_its_name_says_and_all_train_alike(name):
    base = starting_point(FitConfig(max_steps=50))
    config = changed(base, name)
    alike = ("lookback", "horizon", "split", "max_steps", "batch_size", "learning_rate", "min_gain", "seed", "views")
    assert all(getattr(config, field) == getattr(base, field) for field in alike)
    assert (config == base) == (name == "tuning full")
    assert base.min_gain < 0


def test_every_disturbance_and_every_strategy_is_in_the_panel():
    assert set(DISTURBANCES) <= set(ABLATIONS)
    assert {f"tuning {strategy}" for strategy in STRATEGIES} <= set(ABLATIONS)
    assert all(name.replace(" ", "-") in ABLATIONS_HELP for name in ABLATIONS)


def test_a_pretrained_backbone_keeps_its_tuning_when_it_is_drawn_at_random():
    base = starting_point(FitConfig(backbone="smollm2"))
    assert base.tuning == "lora"
    drawn = changed(base, "random backbone")
    assert (drawn.backbone, drawn.tuning, drawn.learning_rate) == ("random:smollm2", "lora", base.learning_rate)
    assert changed(starting_point(FitConfig()), "random backbone").tuning == "frozen"


def test_names_may_be_joined_by_hyphens_or_underscores():
    assert ablation_names(["no-image", "noise_image", "no image"]) == ("no image", "noise image")
    assert ablation_names(["all"]) == tuple(ABLATIONS)
    with pytest.raises(ValueError, match=r"Unknown ablations: no brain. There are no-image, noise-image"):
        ablation_names(["no-brain"])


def test_a_modality_that_is_all_there_is_cannot_be_taken_away():
    with pytest.raises(ValueError, match="no series: series is all that the model has"):
        changed(FitConfig(modalities=("series",)), "no series")


def test_a_training_apart_gives_what_one_in_this_process_gives(panel, small_series):
    found = run_ablations(
        small_series,
        12,
        6,
        ("tuning full",),
        seasons=(1440,),
        device="cpu",
        fit_options={"max_steps": 2, "batch_size": 4},
        is_apart=False,
    )
    apart, here = panel["ablations"][0], found["ablations"][0]
    assert here["mae_network"] == pytest.approx(apart["runs"][0]["mae_network"], rel=1e-4)
    assert 0 < apart["start_mb"] < apart["peak_mb"]


def test_what_the_variants_share_changes_no_score(panel, small_series):
    config = starting_point(FitConfig(lookback=12, horizon=6, seasons_minutes=(1440,), device="cpu", max_steps=2, batch_size=4))
    *_, last = fit(small_series, config)
    cutoffs = Split.from_shares(small_series.n_steps, config.split).cutoffs("test", 12, 6)
    median = predict_many(last.model, small_series, cutoffs)[LEVELS.index(0.5)]
    expected = mae(median, small_series.values[cutoffs[:, None] + np.arange(6)])
    assert panel["ablations"][0]["runs"][0]["mae_network"] == pytest.approx(expected, rel=1e-5)


def crash(how: str, report) -> int:
    report("about to crash", 0.5)
    if how == "at once":
        os._exit(7)
    if how == "in words":
        raise ValueError("No such thing.")
    return os.getpid()


def test_a_process_of_its_own_answers_reports_and_fails_alone():
    seen = []
    assert run_apart(crash, "not", report=lambda *words: seen.append(words)) != os.getpid()
    assert seen == [("about to crash", 0.5)]
    with pytest.raises(ValueError, match="No such thing") as caught:
        run_apart(crash, "in words", report=lambda *words: None)
    assert "in crash" in caught.value.__notes__[0]
    with pytest.raises(ChildProcessError, match="ended with code 7"):
        run_apart(crash, "at once", report=lambda *words: None)


def test_an_interval_of_equal_differences_is_a_point():
    found = paired_interval(np.full((3, 40), 2.0), np.full(40, 4), 10)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert (found.n_seeds, found.block, found.n_blocks) == (3, 10, 4.0)


def test_an_interval_holds_what_it_promises_when_neighbouring_windows_are_alike():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(200):
        noise = np.convolve(rng.normal(size=420), np.ones(20) / 20, "valid")[:400]
        found = paired_interval((0.3 + noise)[None], np.ones(400), 40)
        hits += found.low <= 0.3 <= found.high
    assert 0.86 <= hits / 200 <= 0.99


def test_seeds_that_disagree_widen_the_interval():
    rng = np.random.default_rng(1)
    alike = np.repeat(rng.normal(0, 0.01, (1, 200)), 3, axis=0)
    apart = alike + np.array([[-1.0], [0.0], [1.0]])
    narrow, wide = (paired_interval(rows, np.ones(200), 10) for rows in (alike, apart))
    assert wide.high - wide.low > 10 * (narrow.high - narrow.low)
    assert narrow.value == pytest.approx(wide.value)


def test_windows_count_by_what_was_observed_in_them():
    gaps = np.array([1.0, 1.0, 0.0, 10.0])
    assert paired_interval(gaps[None], np.array([1, 1, 0, 10]), 1).value == pytest.approx(1.0)
    with pytest.raises(ValueError, match="nothing to compare"):
        paired_interval(gaps[None], np.zeros(4), 1)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0.3, -1.2, 1.8), "Without the image the error rises by 0.3 % (−1.2 … 1.8 %): not distinguishable from nothing."),
        ((1.3, 0.2, 2.4), "Without the image the error rises by 1.3 % (0.2 … 2.4 %): worse, beyond chance."),
        ((-1.3, -2.4, -0.2), "Without the image the error falls by 1.3 % (0.2 … 2.4 %): better, beyond chance."),
        ((-1.3, -2.4, 0.2), "Without the image the error falls by 1.3 % (−0.2 … 2.4 %): not distinguishable from nothing."),
        ((0.04, -1.5, 1.5), "Without the image the error stays the same (−1.5 … 1.5 %): not distinguishable from nothing."),
        ((0.04, 0.01, 0.08), "Without the image the error rises by 0.04 % (0.01 … 0.08 %): worse, beyond chance."),
        ((0.03, 0.004, 0.06), "Without the image the error rises by 0.030 % (0.004 … 0.060 %): worse, beyond chance."),
        ((0.5, 0.0, 1.1), "Without the image the error rises by 0.5 % (0.0 … 1.1 %): not distinguishable from nothing."),
        ((-0.5, -1.1, 0.0), "Without the image the error falls by 0.5 % (0.0 … 1.1 %): not distinguishable from nothing."),
        (
            (2.0, 1.0, 3.0, 4.9),
            "the error rises by 2.0 % (1.0 … 3.0 %): 4.9 separate stretches of test windows are too few to tell.",
        ),
        ((2.0, 1.0, 3.0, 5.0), "Without the image the error rises by 2.0 % (1.0 … 3.0 %): worse, beyond chance."),
    ],
)
def test_a_verdict_says_what_the_numbers_say(numbers, words):
    assert verdict("no image", difference(*numbers), taken=0, seeds=3).endswith(words)


def test_a_verdict_owns_up_to_one_seed_and_to_twins():
    text = verdict("tuning frozen", difference(1.0, -1.0, 3.0), taken=0, seeds=1, same_as="random backbone")
    assert 'it is the same as "random backbone".' in text
    assert text.endswith("One seed only: how much a training varies is not in the interval.")


def test_the_full_model_is_held_against_its_anchor():
    text = verdict(FULL, difference(-2.0, -3.0, -1.0), taken=2, seeds=3)
    assert text.startswith("With its network, the full model's error falls by 2.0 % against its closed-form anchor (1.0 … 3.0 %)")
    assert text.endswith("By the rule of acceptance it is taken in 2 of 3 trainings.")


def test_a_network_that_the_rule_refuses_ships_its_anchor():
    run = {"window_errors": [2.0, 2.0], "square": 4.0, "val_mae": 0.995, "anchor_val_mae": 1.0, "shrinkage": 0.5, "seconds": 1.0,
           "seconds_per_step": 0.1, "ms_per_window": 1.0, "parameters": 3, "trainable": 2, "steps": 5, "device": "cpu"}  # fmt: skip
    anchor = {"window_errors": [4.0, 4.0], "square": 16.0}
    config = starting_point(FitConfig())
    row = ablation_panel({(FULL, 0): run}, anchor, np.array([2, 2]), (), 1, 1, 100, config)["ablations"][0]
    assert (row["mae_network"], row["mae"], row["taken"]) == (1.0, 2.0, 0)
    taken = ablation_panel({(FULL, 0): run | {"val_mae": 0.98}}, anchor, np.array([2, 2]), (), 1, 1, 100, config)["ablations"][0]
    assert (taken["mae_network"], taken["mae"], taken["taken"]) == (1.0, 1.0, 1)
    assert row["seconds_per_epoch"] == pytest.approx(0.1 * 100 / config.batch_size)


@pytest.mark.parametrize(("forecast", "expected"), [(3.0, 2.0), (float("nan"), None), (float("inf"), None)])
def test_a_forecast_that_is_no_number_is_an_error_and_never_a_hit(forecast, expected):
    inputs = SimpleNamespace(target=torch.tensor([[[1.0, float("nan")]]]))
    inputs.to = lambda device: inputs
    builder = SimpleNamespace(blocks=lambda cutoffs: [cutoffs], build=lambda cutoffs: inputs)
    model = lambda inputs: None  # noqa: E731
    model.quantiles = lambda output, inputs, levels: torch.full((1, 1, 1, 2), forecast)
    if expected is None:
        with pytest.raises(FloatingPointError, match="not a finite number"):
            ablation._test_errors(model, builder, np.array([9]), "cpu")
    else:
        errors, square = ablation._test_errors(model, builder, np.array([9]), "cpu")
        assert (errors.tolist(), square) == ([expected], expected**2)


def test_the_usual_step_is_not_moved_by_validations():
    stamps = [(0, 0.0), (1, 1.0), (2, 2.0), (3, 9.0), (3, 12.0), (4, 13.0)]
    assert ablation._usual_step(stamps) == 1.0
    assert ablation._usual_step([(0, 0.0)]) == 0.0


def test_the_command_line_writes_rows_and_refuses_unknown_names(small_files, tmp_path, capsys):
    out = tmp_path / "result.json"
    sensors, readings = map(str, small_files)
    words = ["backtest", "--sensors", sensors, "--series", readings, "--lookback", "12", "--horizon", "6", "--split", "0.6,0.2,0.2"]
    words += ["--models", "persistence", "--seasons", "1440", "--device", "cpu", "--max-steps", "1", "--json", str(out)]
    assert main([*words, "--ablations", "no-brain"]) == 2
    assert "Unknown ablations: no brain." in capsys.readouterr().err
    assert main([*words, "--ablations", "no_backbone"]) == 0
    result = json.loads(out.read_text())
    assert [row["variant"] for row in result["ablations"]] == [FULL, "no backbone"]
    assert [row["model"] for row in result["scores"]] == ["persistence"]
    assert "Without the backbone's layers the error" in capsys.readouterr().out
    assert (tmp_path / "result.ablations.json").is_file()
