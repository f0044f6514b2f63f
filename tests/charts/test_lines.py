"""Lines: units, local times, gaps that stay gaps, and never an empty figure without a word."""

from dataclasses import replace

import numpy as np
import pytest

from stvlm.charts.figures import lines
from stvlm.core.forecast import LEVELS, Forecast
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries

T, N, H, CUTOFF = 200, 3, 6, 150


@pytest.fixture
def series() -> SensorSeries:
    network = SensorNetwork(("a", "b", "c"), np.array([50.0, 50.1, 50.2]), np.array([8.0, 8.1, 8.2]))
    times = np.datetime64("2025-05-10T00:00:00", "s") + np.arange(T) * np.timedelta64(900, "s")
    values = 50 + 10 * np.sin(np.arange(T)[:, None] / 9 + np.arange(N))
    values[130:134, 0] = np.nan
    return SensorSeries(network, times, values, "traffic speed", "km/h", timezone="Europe/Berlin")


@pytest.fixture
def forecast(series) -> Forecast:
    middle = series.values[CUTOFF : CUTOFF + H] + 1
    values = np.stack([middle + shift for shift in (-6, -4, -2, 0, 2, 4, 6)]).astype("float32")
    return Forecast(
        series.network, "traffic speed", "km/h", "stvlm", series.times_after(CUTOFF, H), LEVELS, values, "Europe/Berlin"
    )


def trace(figure, name):
    return next(t for t in figure.data if t.name == name)


def words(figure):
    return " ".join(a.text for a in figure.layout.annotations)


def test_a_forecast_shows_past_truth_median_and_three_bands_with_units(series, forecast):
    figure = lines.forecast_lines(series, forecast, 1)
    names = [t.name for t in figure.data]
    assert names == ["95 % band", "80 % band", "50 % band", "past readings", "what came", "stvlm, median"]
    assert figure.layout.yaxis.title.text == "traffic speed, km/h"
    assert figure.layout.xaxis.title.text == "local time (Europe/Berlin)"
    np.testing.assert_allclose(trace(figure, "stvlm, median").y, forecast.median[:, 1])
    np.testing.assert_allclose(trace(figure, "what came").y, series.values[CUTOFF : CUTOFF + H, 1])
    assert all("km/h" in t.hovertemplate for t in figure.data if t.hovertemplate)


def test_bands_reach_from_their_lower_to_their_upper_bound(series, forecast):
    band = trace(lines.forecast_lines(series, forecast, 1), "80 % band")
    low, high = (bound[:, 1] for bound in forecast.band(0.8))
    np.testing.assert_allclose(band.y, [*high, *low[::-1]])


def test_times_are_on_the_networks_own_clock(series, forecast):
    figure = lines.forecast_lines(series, forecast, 0)
    expected = forecast.times[0] + np.timedelta64(2, "h")  # summer time in Berlin
    assert np.datetime64(trace(figure, "stvlm, median").x[0], "s") == expected


def test_truth_can_be_hidden_and_the_past_ends_before_the_cutoff(series, forecast):
    figure = lines.forecast_lines(series, forecast, 0, truth=False, past_steps=20)
    assert "what came" not in [t.name for t in figure.data]
    past = trace(figure, "past readings")
    assert len(past.x) == 20
    np.testing.assert_allclose(past.y, series.values[CUTOFF - 20 : CUTOFF, 0])


def test_a_gap_in_the_past_stays_a_gap(series, forecast):
    past = trace(lines.forecast_lines(series, forecast, 0), "past readings")
    assert past.connectgaps is False
    assert np.isnan(past.y).sum() == 4


def test_a_gap_in_the_forecast_parts_the_bands(series, forecast):
    forecast.values[:, 2:4, 0] = np.nan
    band = trace(lines.forecast_lines(series, forecast, 0), "95 % band")
    assert list(band.x).count(None) == 1
    assert len(band.y) == 4 + 1 + 4


def test_vertical_lines_stand_at_the_cutoff_and_at_the_chosen_step(series, forecast):
    figure = lines.forecast_lines(series, forecast, 0, step=3)
    begin, chosen = figure.layout.shapes
    local = forecast.times + np.timedelta64(2, "h")
    assert np.datetime64(begin.x0, "s") == local[0] - np.timedelta64(450, "s")
    assert np.datetime64(chosen.x0, "s") == local[3]
    assert "forecast begins" in words(figure)


def test_lines_can_be_clicked(series, forecast):
    for figure in (lines.forecast_lines(series, forecast, 0), lines.readings_lines(series, [0, 1])):
        assert {t.mode for t in figure.data if t.fill is None} == {"lines+markers"}


def test_baselines_are_thin_dashed_and_found_by_id(series, forecast):
    turned = forecast.network.select(np.array([2, 1, 0]))
    other = replace(forecast, network=turned, name="persistence", levels=(0.5,), values=forecast.values[3:4, :, ::-1] + 5)
    line = trace(lines.forecast_lines(series, forecast, 0, baselines=(other,)), "persistence")
    np.testing.assert_allclose(line.y, forecast.median[:, 0] + 5)
    assert line.line.dash == "dash"


def test_a_forecast_without_series_and_of_one_step_shows_its_bands(forecast):
    single = replace(forecast, times=forecast.times[:1], values=forecast.values[:, :1])
    figure = lines.forecast_lines(None, single, 0)
    band = trace(figure, "95 % band")
    assert band.x[0] < band.x[1]
    assert "what came" not in [t.name for t in figure.data]


def test_truth_past_the_end_of_the_series_is_left_out(series, forecast):
    late = replace(forecast, times=series.times_after(T - 2, H))
    came = trace(lines.forecast_lines(series, late, 1), "what came")
    assert np.isfinite(came.y).tolist() == [True, True, False, False, False, False]


def test_a_figure_with_nothing_in_it_says_why(series, forecast):
    nothing = replace(series, values=np.full((T, N), np.nan, "float32"))
    no_forecast = replace(forecast, values=np.full_like(forecast.values, np.nan))
    assert "all values are missing" in words(lines.forecast_lines(nothing, no_forecast, 0))
    assert "No forecast for this sensor" in words(lines.forecast_lines(series, no_forecast, 0))
    assert "all its values are missing" not in words(lines.forecast_lines(series, forecast, 0))
    assert "missing" in words(lines.readings_lines(nothing, [0]))
    assert "Choose a sensor" in words(lines.readings_lines(series, []))
    assert "No step of learning yet" in words(lines.loss_lines([]))


def test_hostile_names_stay_text(series, forecast):
    attack = '<a href="javascript:alert(1)">x</a>%{y}'
    named = replace(series.network, ids=(attack, "b", "c"))
    figure = lines.forecast_lines(
        replace(series, network=named, unit=attack), replace(forecast, network=named, unit=attack, name=attack), 0
    )
    text = figure.to_json()
    assert "<a href" not in text
    assert "\\u003ca href" not in text
    assert "%{y}%{y}" not in text


def test_long_series_are_thinned_but_keep_extremes_and_gaps():
    rng = np.random.default_rng(0)
    values = rng.normal(size=100_000)
    values[31_234], values[77_777] = 99, -99
    values[50_000:51_000] = np.nan
    keep = lines.thin(values, 4000)
    assert len(keep) <= 4010
    assert {31_234, 77_777} <= set(keep.tolist())
    assert (np.diff(keep) > 0).all()
    assert np.isnan(values[keep]).sum() > 10
    assert lines.thin(values[:4000], 4000).tolist() == list(range(4000))


def test_readings_name_sensors_that_are_missing(series):
    series.values[:, 2] = np.nan
    figure = lines.readings_lines(series, [0, 2])
    assert [t.name for t in figure.data] == ["a", "c (missing)"]
    assert figure.layout.yaxis.title.text == "traffic speed, km/h"


def test_learning_shows_the_anchors_error_across_all_steps():
    rows = [{"step": i, "loss": 1 / (i + 1), "val_mae": 3 - i / 10 if i % 2 else None, "anchor_val_mae": 2.5} for i in range(10)]
    figure = lines.loss_lines(rows, "km/h")
    assert list(trace(figure, "anchor").x) == [0, 9]
    assert set(trace(figure, "anchor").y) == {2.5}
    assert list(trace(figure, "validation error").x) == [1, 3, 5, 7, 9]
    assert figure.layout.yaxis2.title.text == "validation MAE, km/h"


def test_both_themes_colour_the_writing(series, forecast):
    light, dark = (lines.forecast_lines(series, forecast, 0, theme=theme) for theme in ("light", "dark"))
    assert light.layout.font.color != dark.layout.font.color
    with pytest.raises(ValueError, match="light, dark"):
        lines.forecast_lines(series, forecast, 0, theme="neon")
