"""Maps of what became of a forecast, of its alarms, and the replay: numbers by hand."""

import json

import folium
import numpy as np
import pytest

from stvlm.charts.maps.player import player_map
from stvlm.charts.maps.sensor_map import alarm_map, external_links, forecast_map, map_html, residual_map, with_lasso
from stvlm.charts.scale import fit_scale
from stvlm.core.alarms import AlarmRule
from stvlm.core.forecast import LEVELS, Forecast
from stvlm.core.network import SensorNetwork


@pytest.fixture
def forecast() -> Forecast:
    """Two steps of three sensors; quantiles 10, 20 .. 70 of a, 10 more of b, 20 more of c, and 5 more at the second step."""
    network = SensorNetwork(("a", "b", "c"), np.array([50.0, 50.1, 50.2]), np.array([8.0, 8.1, 8.2]))
    base = np.arange(10.0, 80.0, 10.0)[:, None, None] + np.array([0.0, 5.0])[None, :, None] + np.array([0.0, 10.0, 20.0])
    times = np.datetime64("2025-01-01T00:00:00", "s") + np.arange(2) * np.timedelta64(1, "h")
    return Forecast(network, "speed", "km/h", "stvlm", times, LEVELS, base.astype("f4"))


def features(view) -> list[dict]:
    layers = [c for c in view.features._children.values() if isinstance(c, folium.GeoJson)]
    return [f["properties"] for layer in layers for f in layer.data["features"]]


def test_the_residual_is_forecast_minus_measured_in_one_scale_for_all_steps(forecast):
    truth = np.array([[30.0, 60.0, np.nan], [45.0, 45.0, 45.0]])
    first, second = (residual_map(forecast, truth, step) for step in (0, 1))
    assert [p["value"].replace("\u2212", "-") for p in features(first)] == ["10.0 km/h", "-10.0 km/h", "missing"]
    assert features(first)[0]["more"] == "forecast 40.0 km/h, measured 30.0 km/h"
    assert features(first)[2]["more"] == "forecast 60.0 km/h, measured missing"
    assert (first.legend.low, first.legend.high) == (second.legend.low, second.legend.high)
    assert first.legend.low == -first.legend.high
    assert first.key == second.key
    assert "forecast minus measured" in first.title
    with pytest.raises(ValueError, match="must be"):
        residual_map(forecast, truth[:1], 0)


def test_the_alarm_map_shows_the_chance_in_percent_and_a_halo_for_each_alarm(forecast):
    view = alarm_map(forecast, AlarmRule(50.0, chance=0.4), 0)
    sensors, halos = [p for p in features(view) if "id" in p], [p for p in features(view) if "halo" in p]
    assert [p["value"] for p in sensors] == ["25.0 %", "50.0 %", "75.0 %"]
    assert [p["halo"] for p in halos] == [1, 2]
    assert sensors[1]["more"] == "ALARM, median 50.0 km/h"
    assert (view.legend.low, view.legend.high) == (0, 100)
    assert "chance of speed above 50 km/h" in view.title
    assert not [p for p in features(alarm_map(forecast, AlarmRule(500.0), 0)) if "halo" in p]


def test_a_replay_holds_what_came_beside_the_forecast(forecast):
    truth = np.array([[30.0, 60.0, np.nan], [45.0, 45.0, 45.0]])

    def payload(measured):
        view = player_map(forecast, measured=measured)
        return view.key, next(c for c in view.base._children.values() if c._name == "Player").payload

    key, shown = payload(truth)
    assert shown["measured"] == [[30.0, 60.0, None], [45.0, 45.0, 45.0]]
    assert shown["high"] == fit_scale(forecast.median).high
    unknown, nothing = payload(np.full((2, 3), np.nan))
    assert nothing["measured"] == []
    assert key != unknown
    with pytest.raises(ValueError, match="must be"):
        player_map(forecast, measured=truth[:1])


def test_a_lasso_asks_no_host_and_makes_another_base(forecast):
    plain, view = forecast_map(forecast, 0), with_lasso(forecast_map(forecast, 0))
    assert view.key != plain.key
    assert external_links(view.base) == []
    assert "draw around sensors" in map_html(view)


DRAG = """async (corners) => {
  const box = document.querySelector('.leaflet-container'), caught = [];
  const map = Object.values(window).find((value) => value instanceof L.Map);
  map.on('draw:created', (event) => caught.push(event.layer.toGeoJSON()));
  document.querySelector('.stvlm-lasso button').click();
  const send = (type, place) => {
    const p = map.latLngToContainerPoint(place), r = box.getBoundingClientRect();
    const init = {bubbles: true, clientX: r.left + p.x, clientY: r.top + p.y, pointerId: 1};
    box.dispatchEvent(new PointerEvent(type, init));
  };
  send('pointerdown', corners[0]);
  corners.slice(1).forEach((corner) => send('pointermove', corner));
  send('pointerup', corners[corners.length - 1]);
  return JSON.stringify(caught.map((drawing) => drawing.properties.lasso));
}"""


@pytest.mark.browser
def test_a_loop_around_sensors_catches_exactly_those_inside(browser, forecast, tmp_path):
    file = tmp_path / "map.html"
    file.write_text(map_html(with_lasso(forecast_map(forecast, 0))), "utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector(".stvlm-lasso")
    page.wait_for_timeout(300)
    around = [[49.95, 7.95], [50.15, 7.95], [50.15, 8.15], [49.95, 8.15]]  # a and b, not c
    assert json.loads(page.evaluate(DRAG, around)) == [["a", "b"]]
    assert page.get_attribute(".stvlm-lasso button", "aria-pressed") == "false"
    page.close()
