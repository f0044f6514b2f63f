"""Several sensors over time: mean and range by hand."""

from dataclasses import replace

import numpy as np
import pytest

from stvlm.charts.figures.lines import group_lines, group_range
from stvlm.core.forecast import LEVELS, Forecast


def test_mean_lowest_and_highest_leave_out_what_is_missing():
    values = np.array([[1.0, 3.0, np.nan], [np.nan, np.nan, np.nan], [2.0, 2.0, 8.0]])
    mean, low, high = group_range(values)
    np.testing.assert_array_equal(mean, [2, np.nan, 4])
    np.testing.assert_array_equal(low, [1, np.nan, 2])
    np.testing.assert_array_equal(high, [3, np.nan, 8])


@pytest.fixture
def forecast(small_series) -> Forecast:
    values = np.repeat(np.nan_to_num(small_series.values[100:104], nan=50)[None], 7, axis=0)
    return Forecast(small_series.network, "speed", "km/h", "stvlm", small_series.times_after(100, 4), LEVELS, values)


def test_the_plot_shows_the_mean_of_past_truth_and_medians(small_series, forecast):
    figure = group_lines(small_series, forecast, (1, 4), step=2, past_steps=20)
    lines = {trace.name: np.asarray(trace.y, "f8") for trace in figure.data if trace.fill is None}
    np.testing.assert_allclose(lines["stvlm, medians, mean"], forecast.median[:, [1, 4]].mean(axis=1))
    np.testing.assert_allclose(lines["past readings, mean"], np.nanmean(small_series.values[80:100, [1, 4]], axis=1))
    assert len(lines["what came, mean"]) == 4
    assert len(figure.layout.shapes) == 2  # where the forecast begins, and the step


def test_past_the_end_of_the_readings_nothing_came(small_series, forecast):
    late = replace(forecast, times=small_series.times_after(small_series.n_steps, 4))
    names = [trace.name for trace in group_lines(small_series, late, (0,)).data]
    assert not [name for name in names if name.startswith("what came")]
    with pytest.raises(ValueError, match="at least one sensor"):
        group_lines(small_series, late, ())


def test_unit_and_name_are_shown_letter_by_letter(small_series, forecast):
    figure = group_lines(small_series, replace(forecast, unit="<b>%{x}</b>", name="<i>me</i>"), (1, 4))
    assert "<b>" not in figure.to_json()
    assert not [trace.name for trace in figure.data if "<i>" in trace.name]
    assert not [trace.hovertemplate for trace in figure.data if "%{x}" in (trace.hovertemplate or "")]
