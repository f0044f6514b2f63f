"""The page of the benchmark says what its results say, and those in docs are in step with each other."""

import json

from stvlm.evaluation.benchmark import summarise
from tools.benchmark_table import LEVELS, PAGE, RESULTS, errors, page, read_all

NOTE = {"note": "made up", "networks": {"city": {"simple": 3.5, "peer": 2.5, "by": ["STID"]}, "river": {"simple": 9.0}}}


def row(model: str, mae: float, **more) -> dict:
    bands = {"coverage_80": 0.794, "width_80": 5.0, "coverage_95": 0.951, "width_95": 8.0, "crps": 0.7}
    return {"model": model, "mae": mae, "parameters": 12_345, "seconds_fit": 1.25} | bands | more


def result(**settings) -> dict:
    """Two networks, two seeds of stvlm on the first."""
    scores = {
        "city": [
            row("persistence", 4.0), row("anchor", 3.0), row("stvlm seed 0", 1.0, seed=0), row("stvlm seed 1", 3.0, seed=1),
            row("stvlm", 2.0, seeds=2, spread={"mae": 1.414}),
        ],
        "river": [row("persistence", 10.0, coverage_80=None, width_80=None), row("anchor", 20_000.0), row("stvlm", 11.0)],
    }  # fmt: skip
    datasets = {name: {"unit": "m", "lookback": 12, "horizon": 3, "scores": rows} for name, rows in scores.items()}
    best, summary = summarise(datasets)
    usual = {"seeds": 2, "max_minutes": 3.0, "few_shot": None, "device": "cpu"}
    return {"settings": usual | settings, "datasets": datasets, "best_naive": best, "summary": summary}


def test_the_lowest_error_of_each_network_is_bold_and_single_seeds_are_left_out():
    table = errors(result())
    assert "| city | m | 12 → 3 | 4 |" in table
    assert table.count("**") == 4
    assert "| **2** |" in table
    assert "| river | m | 12 → 3 | **10** |" in table
    assert "20,000" in table
    assert "seed 0" not in page({"benchmark.json": result()}, NOTE)


def test_a_row_tells_bands_ratio_spread_and_seeds():
    text = page({"benchmark.json": result()}, NOTE)
    assert "| city | stvlm | 2 ± 1.4 | 0.5 | 79.4 % | 5 | 95.1 % | 8 | 0.7 | 12,345 | 1.2 | 2 |" in text
    assert "| river | persistence | 10 | 1 |  |  | 95.1 % |" in text
    assert "| city | 3 | 2 | 3.5 | 2.5 | STID |" in text
    assert "| river | 20,000 | 11 | 9 |  |  |" in text
    assert "none of these numbers is ours" in text


def test_a_network_with_a_context_does_not_stand_beside_those_that_had_none():
    told = result()
    told["datasets"]["city"]["settings"] = {"dataset": {"context": "weather.csv"}}
    assert "| 2.5 | STID |" not in page({"benchmark.json": told}, NOTE)


def test_each_file_is_a_section_named_by_its_kind_with_levels_at_the_first():
    text = page(
        {"benchmark.few-shot.json": result(few_shot="0.1"), "benchmark.json": result(), "benchmark-odd-one.json": result()}, NOTE
    )
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == ["## The whole training part", "## odd one", "## Few-shot: the last tenth of the training part"]
    assert text.count("none of these numbers is ours") == 1
    assert "few-shot 0.1, 2 seed(s), at most 3 minutes each" in text


def test_the_page_is_made_of_the_shipped_results():
    results = read_all(sorted(RESULTS.glob("benchmark*.json")))
    assert PAGE.read_text("utf-8") == page(results, json.loads(LEVELS.read_text("utf-8")))
