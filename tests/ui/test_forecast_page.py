"""The Forecast page: what it says of bands, alarms, groups and errors, and what it lets one take away."""

import io
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from stvlm.core.alarms import AlarmRule, chance_beyond
from stvlm.core.forecast import LEVELS, Forecast
from stvlm.core.windows import Window
from stvlm.datasets.samples import load_sample
from stvlm.ui.forecast import alarms, downloads, location, tables
from stvlm.ui.services import forecasters, networks
from stvlm.ui.shell import inputs
from stvlm.ui.shell.i18n import language, use_language
from tests.support.pages import param, visit, words

IRISH = "sample:irish_wind"


@pytest.fixture
def window(small_series) -> Window:
    return Window(small_series, 300, 12, 4)


@pytest.fixture
def forecast(window) -> Forecast:
    """The truth itself with bands of 1, 2 and 3 km/h to each side, gaps filled by 50."""
    middle = np.nan_to_num(window.future, nan=50.0)
    values = np.stack([middle + shift for shift in (-3, -2, -1, 0, 1, 2, 3)]).astype("f4")
    network = window.series.network
    return Forecast(network, "traffic speed", "km/h", "stvlm", window.future_times, LEVELS, values, window.series.timezone)


@given(some.sets(some.integers(0, 300)))
def test_a_group_becomes_a_word_and_comes_back(nodes):
    word = inputs.pack(tuple(nodes))
    assert inputs.unpack(word, 301) == tuple(sorted(nodes))


@pytest.mark.parametrize("word", ["", "x", "3-1", "7", "1..2", "0-999999999", "0-9999999"])
def test_a_word_that_is_no_group_of_this_network_gives_none(word):
    assert inputs.unpack(word, 6) == ()
    assert inputs.pack([3, 4, 5, 9]) == "3-5.9"


def test_a_wide_lasso_over_ten_thousand_sensors_still_fits_the_address():
    nodes = np.flatnonzero(np.random.default_rng(0).random(10_000) < 0.4).tolist()
    word = inputs.pack(nodes)
    assert len(word) <= inputs.LONGEST
    assert inputs.unpack(word, 10_000) == tuple(nodes)
    assert inputs.unpack(word, 5_000) == ()
    assert inputs.unpack("~no bits!", 10_000) == ()


def test_the_page_says_what_the_bands_held():
    scores = {"test_coverage_50": 0.494, "test_coverage_80": 0.7856, "test_coverage_95": 0.9458, "test_cells": 12345}
    said = tables.band_sentences(scores)
    assert said == (
        "of 12,345 readings of the test part the 50 % band held 49 %, the 80 % band held 79 %, the 95 % band held 95 %",
    )
    assert tables.band_sentences({}) == ()


def test_this_forecast_is_held_against_what_came(forecast, window):
    truth = window.future.copy()
    truth[np.isnan(truth)] = 0
    truth[:, 0] += 2.5  # outside of the 80 % band, inside of the 95 % band: 4 of 24
    wide = replace(forecast, values=forecast.values)
    said = tables.held_here(wide, truth)[0]
    inside = 100 * (np.isfinite(window.future[:, 1:]).sum()) / 24
    assert "24 readings" in said
    assert f"the 80 % band held {inside:.0f} %" in said
    assert tables.held_here(forecast, np.full((4, 6), np.nan)) == ()


def test_errors_are_of_the_same_readings_for_all(forecast, window):
    other = replace(forecast, name="persistence", levels=(0.5,), values=forecast.values[3:4] + 2)
    other.values[:, 0, 0] = np.nan  # this method says nothing there: it counts for nobody
    table = tables.scores_table(forecast, (other,), window.future)
    known = np.isfinite(window.future)
    known[0, 0] = False
    assert table["Forecaster"].tolist() == ["stvlm", "persistence"]
    assert table["Mean error, km/h"].tolist() == pytest.approx([0, 2], abs=1e-5)
    assert table["Readings"].tolist() == [known.sum()] * 2
    assert tables.scores_table(forecast, (), np.full((4, 6), np.nan)).empty


@pytest.mark.parametrize("rule", [AlarmRule(60.0), AlarmRule(-3.25, False, 0.05), AlarmRule(1e-9, True, 0.0)])
def test_a_rule_becomes_a_word_and_comes_back(rule):
    assert alarms.read_rule(alarms.write_rule(rule)) == rule


@pytest.mark.parametrize(
    "word",
    [
        "",
        "above",
        "above x 50",
        "near 3 50",
        "above 3 100",
        "above 3 -1",
        "above 1e999 5",
        "above --3 5",
        "below 3 99.9",
        "above 1e39 5",
    ],
)
def test_a_word_that_is_no_rule_gives_none(word):
    assert alarms.read_rule(word) is None


def test_alarms_are_listed_with_their_times(forecast):
    rule = AlarmRule(60.0, True, 0.5)
    table = alarms.alarm_table(forecast, rule)
    chance = chance_beyond(forecast, 60.0)
    assert len(table) == (chance > 0.5).any(axis=0).sum()
    assert table["Highest chance, %"].tolist() == sorted((100 * chance.max(axis=0))[(chance > 0.5).any(axis=0)], reverse=True)
    assert set(table.columns) == {"Sensor", "First alarm", "Highest chance, %", "Then", "Steps"}


def test_a_sample_and_its_files_as_an_upload_have_models_of_their_own(home):
    series = load_sample("irish_wind")
    upload = networks.add(series, "Mine", [], ())
    found = [{c.name: c.fingerprint for c in forecasters.choices(data, networks.load(data))} for data in (IRISH, upload)]
    for name in (forecasters.ZERO_SHOT, forecasters.ANCHOR):  # the sample's seasons are known, the upload's have to be found
        assert found[0][name] != found[1][name]


def shown(forecast, window, **more) -> downloads.Shown:
    choice = forecasters.Choice("anchor", "the anchor", None, 12, 4)
    usual = {
        "choice": choice,
        "manifest": {},
        "rivals": (),
        "drawn": (),
        "sensor": 1,
        "step": 2,
        "data": IRISH,
        "rule": AlarmRule(60),
    }
    return downloads.Shown(window=window, forecast=forecast, **(usual | more))


def test_the_files_hold_the_forecast(forecast, window):
    this = shown(forecast, window)
    table = pd.read_parquet(io.BytesIO(downloads.table_file(forecast, ".parquet")))
    np.testing.assert_allclose(table["value"].to_numpy().reshape(4, 6), forecast.median)
    places = json.loads(downloads.table_file(forecast, ".geojson"))["features"]
    assert len(places) == 24
    assert places[7]["geometry"]["coordinates"] == [window.series.network.lon[1], window.series.network.lat[1]]
    assert Image.open(io.BytesIO(downloads.png(downloads.map_picture(this)))).size == (1520, 1120)
    assert Image.open(io.BytesIO(downloads.png(downloads.plot_picture(this)))).size == (1520, 720)


def test_a_report_holds_what_the_page_shows(forecast, window):
    rival = replace(forecast, name="persistence", levels=(0.5,), values=forecast.values[3:4] + 2)
    made = downloads.report(
        shown(forecast, window, rivals=(rival,), manifest={"scores": {"test_coverage_80": 0.79, "test_cells": 500}})
    )
    assert "of 500 readings of the test part the 80 % band held 79 %" in made.held
    headings = [heading for heading, _ in made.tables]
    assert headings[2] == "Alarms: above 60 km/h with a chance over 50 %"
    assert made.tables[-1][1]["Forecaster"].tolist() == ["stvlm", "persistence"]
    assert len(made.tables[1][1]) == 6
    assert dict(made.settings)["first step forecast"] == str(window.future_times[0])


def test_a_button_gives_the_view_as_it_is_when_it_is_clicked(forecast, window):
    held = {"shown": shown(forecast, window, sensor=1)}
    make = partial(downloads._made, lambda view: f"{view.sensor} {language()}", held)
    assert make() == "1 en"
    held["shown"] = shown(forecast, window, sensor=4)
    with use_language("de"):
        assert make() == "4 en"
        assert language() == "de"


def test_the_commands_name_the_model_the_data_and_the_moment(forecast, window, home, small_series):
    from stvlm.ui.services import networks

    lines = downloads.commands(shown(forecast, window))
    assert (
        "python -m stvlm fit --sample irish_wind --lookback 12 --horizon 4 --split 0.7,0.1,0.2 --max-steps 0 --out ANCHOR" in lines
    )
    assert lines[-1].endswith(f"--cutoff {window.future_times[0]} --out forecast.csv")
    named = replace(small_series, unit="km/h; rm -rf ~", quantity="speed")
    data = networks.add(named, "Town", ["a.csv\nrm -rf ~"], ("swap-lat-lon",))
    lines = downloads.commands(shown(forecast, Window(named, 300, 12, 4), data=data))
    assert all("\n" not in line for line in lines)
    assert "--unit 'km/h; rm -rf ~' " in lines[-1]
    assert "--fix swap-lat-lon" in lines[-1]


@pytest.mark.parametrize("kind", ["forecast", "play", "off", "alarm"])
def test_every_map_opens(app, finished_run, small_series, kind):
    opened = visit(app, "forecast", data=finished_run[0], show=kind, cutoff=str(small_series.times[300]))
    assert not opened.error
    arguments = json.loads(opened.get("component_instance")[0].proto.json_args)
    assert ("stvlmPlayer" in arguments["script"] or "stvlm-player" in arguments["script"]) == (kind == "play")
    assert not [link for link in arguments["js_links"] + arguments["css_links"] if "//" in link]
    assert len(opened.get("download_button")) == 7


def test_a_rule_of_the_url_lists_its_alarms_and_another_level_changes_the_url(app, finished_run, small_series):
    opened = visit(app, "forecast", data=finished_run[0], cutoff=str(small_series.times[300]), alarm="above 45 50")
    listed = [frame.value for frame in opened.dataframe if "Highest chance, %" in frame.value.columns]
    assert len(listed) == 1
    assert (listed[0]["Highest chance, %"] > 50).all()
    opened.number_input(key="tied-alarm-level").set_value(500.0).run()
    assert param(opened, "alarm") == "above 500 50"
    assert "No sensor is forecast above 500 km/h" in words(opened).replace("\\", "")


def test_a_group_of_the_url_is_drawn_and_tabled_and_let_go(app, finished_run):
    opened = visit(app, "forecast", data=finished_run[0], group="1-3")
    assert "Mean of the 3 chosen sensors" in words(opened)
    tables = [frame.value for frame in opened.dataframe if "Name" in frame.value.columns or "Sensor" in frame.value.columns]
    assert ["02", "03", "04"] in [table["Sensor"].tolist() for table in tables]
    opened.button(key="clear-group").click().run()
    assert param(opened, "group") == ""
    assert "Mean of the 3 chosen sensors" not in words(opened)


@pytest.mark.parametrize(("word", "place"), [("53.2,-7.5", (53.2, -7.5)), ("-3,179.12345", (-3.0, 179.12345))])
def test_a_place_of_the_url_is_read(word, place):
    assert location.read_place(word) == place


@pytest.mark.parametrize("word", ["", "53.2", "91,0", "1e9,2", "53.2,-7.5,1", "nan,nan", "53.2, -7.5"])
def test_a_word_that_is_no_place_gives_none(word):
    assert location.read_place(word) is None


def test_the_page_says_how_much_wider_the_band_of_a_place_is(forecast):
    near = forecast.network.select(np.array([2]))
    here = replace(forecast, network=near, values=forecast.values[:, :, 2:3] + np.linspace(-3, 3, 7)[:, None, None].astype("f4"))
    said = location.place_words(here, forecast)
    assert "The 80 % band here is 8 km/h wide in the mean, that of this sensor 4 km/h" in said
    assert "0 km away" in said
    table = location.place_table(here)
    assert list(table.columns) == ["Time", "Forecast, km/h", "50 % band, km/h", "80 % band, km/h", "95 % band, km/h"]
    np.testing.assert_allclose(table["Forecast, km/h"], here.median[:, 0])


def test_a_place_of_the_url_is_forecast_and_one_out_of_reach_is_refused(app, finished_run, small_series):
    lat, lon = small_series.network.lat.mean(), small_series.network.lon.mean()
    opened = visit(app, "forecast", data=finished_run[0], place=f"{lat:.5f},{lon:.5f}")
    said = words(opened).replace("\\", "")
    assert "A place without a sensor" in said
    assert "The 80 % band here is" in said
    opened.button(key="clear-place").click().run()
    assert "A place without a sensor" not in words(opened)
    far = visit(opened, "forecast", data=finished_run[0], place="-60,100")
    assert "Choose a place nearer to the sensors" in far.warning[0].value


def test_where_nothing_came_yet_the_page_says_so(app, finished_run, small_series):
    end = str(small_series.times[-1] + (small_series.times[1] - small_series.times[0]))
    opened = visit(app, "forecast", data=finished_run[0], cutoff=end, show="off")
    assert "Nothing has been measured yet for these times" in words(opened)


def test_the_page_says_how_far_a_network_of_other_networks_is_believed():
    gate = {"shrinkage": 0.5, "mae": 1.9, "anchor_mae": 2.0}
    assert "lowered the error by 5.0 %, and 50 % of what it adds count" in tables.belief_sentence({"believed": gate})
    assert "the closed form forecasts alone" in tables.belief_sentence({"believed": gate | {"shrinkage": 0.0, "mae": 2.0}})
    assert tables.belief_sentence({"believed": gate | {"mae": None}}) == tables.belief_sentence({}) == ""


def test_zero_shot_says_on_the_page_how_far_its_network_is_believed(app):
    app = visit(app, "forecast", data=IRISH, model="zero-shot")
    assert "was trained on many sensor networks, this one among them" in words(app)


def test_a_rule_in_the_url_that_the_widgets_cannot_show_is_the_default(app):
    app = visit(app, "forecast", data="sample:irish_wind", alarm="below -1e308 99.9", show="alarm")
    assert app.slider(key="tied-alarm-chance").value == 50
