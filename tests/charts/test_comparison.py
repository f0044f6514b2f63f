"""Two forecasts in one figure and their difference on the map; figures for teaching."""

from dataclasses import replace

import numpy as np
import pytest

from stvlm.charts.figures.comparison import VersusLabels as Labels
from stvlm.charts.figures.comparison import change_map, versus_lines
from stvlm.charts.figures.teaching import bars, past_lines
from stvlm.core.forecast import LEVELS, Forecast

LABELS = Labels("past", "seen", "came", "as it is", "changed", "80 % band", "begins", "time", "speed <b>")


@pytest.fixture
def forecast(small_series) -> Forecast:
    n = small_series.network.n_sensors
    values = 40 + np.arange(len(LEVELS))[:, None, None] + np.zeros((1, 4, n), "f4")
    return Forecast(small_series.network, "speed", "km/h", "stvlm", small_series.times[100:104], LEVELS, values.astype("f4"))


def draw(series, first: Forecast, second: Forecast, seen: np.ndarray) -> dict:
    past = series.values[88:100, 2]
    came = np.full(4, np.nan)
    figure = versus_lines(past, seen, series.times[88:100], came, first, second, 2, LABELS, 1)
    return {trace.name: trace for trace in figure.data if trace.name}


def test_both_medians_and_one_entry_for_the_bands_are_drawn(small_series, forecast):
    second = replace(forecast, values=forecast.values - 7)
    found = draw(small_series, forecast, second, small_series.values[88:100, 2])
    assert found["as it is"].y.tolist() == [43] * 4
    assert found["changed"].y.tolist() == [36] * 4
    assert set(found) == {"past", "as it is", "changed", "80 % band"}
    assert found["80 % band"].y.tolist() == [45] * 4


def test_a_past_that_was_seen_otherwise_is_drawn_beside_the_real_one(small_series, forecast):
    past = small_series.values[88:100, 2]
    assert draw(small_series, forecast, forecast, past + 1)["seen"].y == pytest.approx(past + 1, nan_ok=True)
    assert "seen" not in draw(small_series, forecast, forecast, np.full(12, np.nan))


def test_titles_are_text(small_series, forecast):
    past = small_series.values[88:100, 2]
    figure = versus_lines(past, past, small_series.times[88:100], past[:4], forecast, forecast, 2, LABELS)
    assert "&lt;b&gt;" in figure.layout.yaxis.title.text


def test_the_map_of_the_difference_is_symmetric_about_zero_and_pale_there(forecast):
    values = forecast.values.copy()
    values[:, 1, 3] -= 12
    found = change_map(forecast, replace(forecast, values=values), 1, "change", selected=3).legend
    assert (found.low, found.high, found.unit) == (-12, 12, "km/h")
    same = change_map(forecast, forecast, 1, "change").legend
    assert 0 < same.high < 1


def test_bars_and_past_hold_the_numbers_given(small_series):
    figure = bars(["a", "<b>"], [1, 3], ["1", "3 %"], "share", ["#000000", "#111111"])
    assert list(figure.data[0].x) == [1, 3]
    assert figure.data[0].y[1] == "&lt;b&gt;"
    assert figure.layout.xaxis.range[1] == pytest.approx(3.45)
    past = small_series.values[:12, 0]
    figure = past_lines(past, past / 10, small_series.times[:12], "reading", "departure", "time")
    assert [len(trace.y) for trace in figure.data] == [12, 12]
    assert figure.data[1].y == pytest.approx(past / 10, nan_ok=True)
