"""Results read again: hostile ones are refused in words; tables and exports say what the file says and run nothing."""

import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from stvlm.charts.figures import comparison
from stvlm.evaluation.result_files import (
    ablation_table,
    are_same,
    few_shot_points,
    horizon_steps,
    read_result,
    read_results,
    score_tables,
    sensor_gap,
)
from stvlm.io.source import InputError
from stvlm.io.write import table_csv, table_latex, table_markdown
from tests.support.results import ablation_row, content, score_row
from tools.ablation_table import PAGE, ROOT, page


def read(**changes):
    return read_result("wind.json", json.dumps(content(**changes)).encode())


@pytest.mark.parametrize(
    "bad",
    [
        b"\x80\x81",
        b"{",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b"null",
        json.dumps(content(scores=[])).encode(),
        json.dumps(content(horizon=9)).encode(),
        json.dumps(content(scores=[{"model": "x"}])).encode(),
        json.dumps(content(scores=[score_row("x", float("nan"), [])])).encode(),
        json.dumps(content(network={"ids": ["a", "a", "c"], "lat": [0, 0, 0], "lon": [0, 0, 0]})).encode(),
        json.dumps(content(network={"ids": ["a", "b", "c"], "lat": [0, 0, 1e999], "lon": [0, 0, 0]})).encode(),
        json.dumps(content(ablations=[{"variant": "no image"}])).encode(),
        json.dumps(content(ablations="all")).encode(),
        json.dumps(content(windows=3)).encode(),
        json.dumps(content(windows={"train": 10**400})).encode(),
        json.dumps(content(windows={str(i): i for i in range(11)})).encode(),
        json.dumps(content(lookback=-1)).encode(),
        json.dumps(content(horizon=10_001, scores=[score_row("x", 1.0, []) | {"mae_per_step": [1.0] * 10_001}])).encode(),
        json.dumps(content(scores=[score_row(str(i), 1.0, []) for i in range(201)])).encode(),
        json.dumps(content(scores=[score_row(str(i), 1.0, [1.0] * 20_001) for i in range(2)])).encode(),
        json.dumps(content(scores=[score_row("x", 1e300, [])])).encode(),
        json.dumps(content(ablations=[ablation_row(str(i), 1.0) for i in range(201)])).encode(),
        json.dumps(content(ablation_setting={"interval": "x" * 20_001})).encode(),
        b'{"a": [' + b"[]," * 500_000 + b"[]]}",
        json.dumps(content(scores=[score_row("x", 1.0, [1.0]), score_row("y", 1.0, [1.0, 2.0])])).encode(),
    ],
)
def test_what_is_no_result_is_refused_in_words(bad):
    with pytest.raises(InputError, match=r"wind\.json: is no (JSON|result of a backtest).*backtest --json"):
        read_result("wind.json", bad)


def test_a_result_of_an_older_version_is_read_without_map_and_panel():
    old = {key: value for key, value in content().items() if key not in ("title", "network", "ablations", "ablation_setting")}
    result = read_result("wind.json", json.dumps(old).encode())
    assert (result.title, result.network, result.ablations) == ("wind", None, ())


def test_a_folder_is_read_without_what_is_only_finished_in_part(tmp_path):
    (tmp_path / "b.json").write_text(json.dumps(content()))
    (tmp_path / "b.ablations.json").write_text("{}")
    assert [r.name for r in read_results(tmp_path)] == ["b.json"]


def test_the_table_has_a_row_a_model_the_best_first_and_a_column_a_step():
    table = score_tables((read(), read(title="Sun")))
    assert table["Model"].tolist() == ["=stvlm_x", "ridge"] * 2
    assert table["Data"].tolist() == ["Wind"] * 2 + ["Sun"] * 2
    assert table["MAE step 2"].tolist() == [3.0, 4.5] * 2
    assert table["80 % band held, %"].tolist() == [79.0] * 4


def test_single_seeds_give_way_to_their_mean():
    seeds = [score_row(f"stvlm seed {i}", 2.0 + i, []) | {"seed": i} for i in range(2)]
    mean = score_row("stvlm", 2.5, []) | {"seeds": 2}
    assert [row["model"] for row in read(scores=[*seeds, mean]).scores] == ["stvlm"]
    assert [row["model"] for row in read(scores=seeds).scores] == ["stvlm seed 0", "stvlm seed 1"]


def test_models_that_forecast_the_same_are_said_to():
    twins = [score_row(name, 3.0, [3.0, 3.0, 2.0]) for name in ("anchor", "stvlm")]
    assert sensor_gap(read(scores=twins), "anchor", "stvlm").same
    assert are_same(read(scores=twins), "anchor", "stvlm")
    assert not sensor_gap(read(), "=stvlm_x", "ridge").same
    assert not are_same(read(), "=stvlm_x", "ridge")


def test_results_of_unlike_horizons_share_first_middle_and_last_step():
    longer = [score_row("ridge", 1.0, []) | {"mae_per_step": [1.0, 2.0, 3.0]}]
    table = score_tables((read(), read(horizon=3, scores=longer)))
    assert table["MAE middle step"].tolist() == [2.0, 3.0, 2.0]
    assert table["MAE last step"].tolist() == [3.0, 4.5, 3.0]


@pytest.mark.parametrize(("horizon", "steps"), [(1, (1,)), (3, (1, 2, 3)), (12, (1, 3, 5, 6, 8, 10, 12))])
def test_shown_steps_are_spread_evenly(horizon, steps):
    assert horizon_steps(horizon) == steps


def test_two_models_are_compared_at_each_sensor_that_was_observed():
    gap = sensor_gap(read(), "=stvlm_x", "ridge")
    np.testing.assert_array_equal(gap.gaps, [-2.0, 1.0, np.nan])
    assert (gap.mean, gap.better, gap.n) == (-0.5, 1, 2)
    assert gap.low <= gap.mean <= gap.high
    with pytest.raises(ValueError, match="no errors of the same sensors"):
        sensor_gap(read(scores=[score_row("a", 1.0, []), score_row("b", 1.0, [1.0])]), "a", "b")


def test_the_interval_of_a_large_network_takes_bounded_memory():
    n = 20_000
    a, b = np.random.default_rng(7).gamma(2.0, 1.0, (2, n)).round(3)
    result = read(scores=[score_row("a", 2.0, list(a)), score_row("b", 2.0, list(b))], network=None)
    tracemalloc.start()
    gap = sensor_gap(result, "a", "b")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6  # in one piece: 640 MB
    drawn = [(a - b)[rows].mean() for rows in np.random.default_rng(0).integers(0, n, (2000, n))]
    np.testing.assert_allclose((gap.low, gap.high), np.quantile(drawn, [0.025, 0.975]), rtol=1e-9)


def test_few_shot_curves_need_one_network_learnt_with_more_and_less():
    assert few_shot_points((read(), read(title="Sun", windows={"train": 5}))).empty
    points = few_shot_points((read(), read(few_shot=0.1, windows={"train": 10})))
    assert points.query("model == 'ridge'")["windows"].tolist() == [10, 100]


def test_the_panel_as_a_table_says_what_the_rows_say():
    table = ablation_table(read())
    assert table["Variant"].tolist() == ["full", "no image"]
    assert table["Difference, %"].tolist() == [-3.0, 0.3]
    assert table["Taken"].tolist() == ["1 of 3"] * 2
    assert table["Peak memory, MB"].tolist() == [400.0] * 2


def test_no_cell_of_an_export_is_taken_for_a_formula_or_a_command():
    table = pd.DataFrame({"=Model": ["=cmd|' /C calc'!A0", "100 % & $x_1$ \\input{a}", "a|b <b>"], "MAE": [1.0, np.nan, -2.5]})
    assert table_csv(table).splitlines()[:2] == ["'=Model,MAE", "'=cmd|' /C calc'!A0,1.0"]
    assert r"100 \% \& \$x\_1\$ \textbackslash{}input\{a\} &  \\" in table_latex(table)
    assert r"\begin{tabular}{lr}" in table_latex(table)
    rows = table_latex(pd.DataFrame({"Sensor": ["[5cm]", "*a\nb"]})).splitlines()[4:6]  # after a row, [ and * are commands
    assert rows == [r"{[}5cm] \\", r"{*}a b \\"]
    assert table_markdown(table).splitlines()[-1] == r"| a\|b &lt;b&gt; | -2.500 |"


def test_dots_lie_where_the_numbers_say_and_chance_has_a_sign_of_its_own():
    names, percent = ["no image", "no prompt", "<b>plain</b>"], np.array([0.3, 2.0, -3.0])
    figure = comparison.ablation_dots(names, percent, percent - 1, percent + 1, np.array([False, True, True]))
    assert [trace.name for trace in figure.data] == [
        "not distinguishable from nothing", "worse, beyond chance", "better, beyond chance",
    ]  # fmt: skip
    assert [trace.x[0] for trace in figure.data] == [0.3, 2.0, -3.0]
    assert figure.data[1].error_x.array[0] == pytest.approx(1.0)
    assert figure.layout.yaxis.categoryarray == ("&lt;b&gt;plain&lt;/b&gt;", "no prompt", "no image")
    assert len({trace.marker.symbol for trace in figure.data}) == 3
    assert "no variant" in comparison.ablation_dots([], *[np.zeros(0)] * 4).layout.annotations[0].text


def test_errors_by_step_are_drawn_over_the_time_ahead():
    figure = comparison.step_lines({"ridge": [1.0, 2.0]}, "m/s", step_minutes=60.0)
    assert list(figure.data[0].x) == [1.0, 2.0]
    assert figure.layout.xaxis.title.text == "hours ahead"
    assert list(comparison.step_lines({"a": [1.0]}, "", step_minutes=15.0).data[0].x) == [15.0]
    assert comparison.step_lines({"a": [1.0]}, "").layout.xaxis.title.text == "step of the horizon"
    many = comparison.step_lines({str(i): [1.0] for i in range(10)}, "")
    assert len({(trace.line.color, trace.line.dash) for trace in many.data}) == 10


def test_the_few_shot_curve_has_a_line_a_model():
    points = few_shot_points((read(), read(few_shot=0.1, windows={"train": 10})))
    figure = comparison.few_shot_lines(points, "m/s", "dark")
    assert [list(trace.x) for trace in figure.data] == [[10, 100]] * 2
    assert figure.layout.xaxis.type == "log"


def test_the_page_of_the_panels_says_every_verdict_and_number():
    text = page((read(), read(title="Sun", ablations=[])))
    assert "## Wind" in text
    assert "## Sun" not in text
    assert "- no image moves it by 0.3 %." in text
    assert "| no image | 2.000 | 0.010 | 0.300 | -0.700 | 1.300 |" in text


def test_a_panel_of_unlike_code_is_called_one():
    mixed = read(ablation_setting=content()["ablation_setting"] | {"code": ["a", "b"]})
    assert mixed.is_mixed
    assert "gone on with other code" in page((mixed,))
    assert not read(ablation_setting=content()["ablation_setting"] | {"code": 7}).is_mixed


def test_the_page_in_docs_is_that_of_the_results_in_docs():
    results = tuple(r for r in read_results(ROOT / "stvlm/assets/results") if r.ablations)
    assert PAGE.exists() == bool(results)
    assert not results or PAGE.read_text(encoding="utf-8") == page(results)


def test_numbers_beyond_all_bounds_are_read_as_absent():
    odd = score_row("odd", 1.0, [float("inf"), 1.0, 2.0]) | {"coverage_80": float("-inf")}
    row = read(scores=[odd]).scores[0]
    assert np.isnan(row["coverage_80"])
    assert np.isfinite(row["mae_per_sensor"]).tolist() == [False, True, True]
