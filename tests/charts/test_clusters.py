"""Maps of many sensors: light to send, every sensor counted once, and each found again by looking closer."""

import json

import numpy as np
import pytest

from stvlm.charts.maps import sensor_map
from stvlm.charts.maps.clusters import MANY, SensorClusters
from stvlm.charts.maps.player import player_map
from stvlm.core.forecast import Forecast
from stvlm.core.network import SensorNetwork

SEEN = """() => {
  const map = Object.values(window).find(thing => thing instanceof L.Map);
  let marks = 0, sensors = 0;
  map.eachLayer(layer => { if (layer instanceof L.CircleMarker) { marks += 1; if (layer.feature) { sensors += 1; } } });
  return [marks, sensors];
}"""

CAUGHT = """() => {
  const map = Object.values(window).find(thing => thing instanceof L.Map), found = [];
  map.eachLayer(layer => { if (layer.nodesWithin) { found.push(...layer.nodesWithin(place => place.lat > 48.5)); } });
  return found;
}"""


def scattered(n: int) -> SensorNetwork:
    random = np.random.default_rng(0)
    return SensorNetwork(tuple(map(str, range(n))), 48 + random.random(n), 11 + random.random(n))


def dots_of(view: sensor_map.MapView) -> dict:
    return next(part for part in view.features._children.values() if isinstance(part, SensorClusters)).payload


def test_many_sensors_are_sent_in_few_bytes():
    n = 10_000
    view = sensor_map.sensor_map(scattered(n), np.arange(n) / 7, "km/h", "speed")
    payload = dots_of(view)
    assert len(json.dumps(payload)) < 60 * n
    assert payload["values"][:2] == [0.0, pytest.approx(1 / 7, abs=0.06)]


def test_a_missing_value_of_many_is_none_and_an_alarm_is_marked():
    n = MANY + 1
    values = np.full(n, 50.0)
    values[3] = np.nan
    payload = dots_of(sensor_map.sensor_map(scattered(n), values, "%", "chance", halos=np.array([5])))
    assert payload["values"][3] is None
    assert np.flatnonzero(payload["halos"]).tolist() == [5]


@pytest.mark.browser
def test_those_that_lie_on_each_other_share_a_mark_until_one_looks_closer(browser, tmp_path):
    network = scattered(3000)
    values = np.random.default_rng(1).normal(50, 5, (1, 2, 3000)).astype("f4")
    times = np.datetime64("2025-05-12T06:00:00", "s") + np.arange(2) * np.timedelta64(900, "s")
    forecast = Forecast(network, "traffic speed", "km/h", "stvlm", times, (0.5,), values)
    file, page = tmp_path / "map.html", browser.new_page(viewport={"width": 600, "height": 400})
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    for view in (sensor_map.forecast_map(forecast, 0), player_map(forecast)):
        file.write_text(sensor_map.map_html(view), "utf-8")
        page.goto(file.as_uri())
        page.wait_for_selector(".leaflet-control-scale-line")
        marks, single = page.evaluate(SEEN)
        assert single < marks < 2400
        caught = page.evaluate(CAUGHT)  # as a lasso asks: also those that share a mark
        assert sorted(caught, key=int) == [str(n) for n in np.flatnonzero(network.lat > 48.5)]
        page.evaluate("() => { window.m = Object.values(window).find(t => t instanceof L.Map); m.setView([48.5, 11.5], 15); }")
        page.wait_for_function(f"() => {{ const [marks, single] = ({SEEN})(); return marks === 3000 && single === 3000; }}")
    page.close()
    assert wrong == []
