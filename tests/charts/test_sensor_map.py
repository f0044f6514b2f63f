"""Maps: one point for each sensor, legends with units, no address but our own, names that stay text."""

import base64
import io
import re
import time
from html import unescape

import folium
import numpy as np
import pandas as pd
import pytest
from branca.colormap import LinearColormap
from PIL import Image

from stvlm.charts.maps import sensor_map
from stvlm.charts.maps.basemap import land_around
from stvlm.charts.maps.leaflet import ASSET_BASE, leaflet_assets
from stvlm.charts.maps.legend import legend_html
from stvlm.charts.maps.player import player_map
from stvlm.charts.rasters import on_map
from stvlm.charts.scale import Scale, fit_scale, format_ticks, format_times, format_value, nice_ticks
from stvlm.charts.style import BLUE_ORANGE, CIVIDIS, VIRIDIS, colour_table
from stvlm.core.forecast import LEVELS, Forecast, FusionExplanation
from stvlm.core.network import SensorNetwork

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "\"'`${alert(3)}",
    "{{7*7}}{% raw %}",
    "{{ 'map_div' }}",
)

TOOLTIPS = """() => {
  const map = Object.values(window).find(thing => thing instanceof L.Map), texts = [];
  map.eachLayer(layer => {
    if (!layer.feature || layer.feature.properties.node === undefined) return;
    layer.openTooltip();
    texts[layer.feature.properties.node] = layer.getTooltip().getElement().textContent;
  });
  return texts;
}"""


def made_up(n: int = 5, names: tuple[str, ...] | None = None, lon: float = 8.0) -> SensorNetwork:
    rng = np.random.default_rng(0)
    facts = None if names is None else pd.DataFrame({"name": list(names)})
    return SensorNetwork(tuple(f"S{i}" for i in range(n)), 50 + rng.random(n), lon + rng.random(n), facts=facts)


def forecast_of(network: SensorNetwork, horizon: int = 4) -> Forecast:
    rng = np.random.default_rng(1)
    values = np.sort(rng.normal(50, 9, (len(LEVELS), horizon, network.n_sensors)).astype("float32"), axis=0)
    times = np.datetime64("2025-05-12T06:00:00", "s") + np.arange(horizon) * np.timedelta64(900, "s")
    return Forecast(network, "traffic speed", "km/h", "stvlm", times, LEVELS, values, "Europe/Berlin")


def explanation_of(network: SensorNetwork, g: int = 4) -> FusionExplanation:
    rng = np.random.default_rng(2)
    n = network.n_sensors
    return FusionExplanation(
        network=network,
        times=np.array(["2025-05-12T06:00:00"], "datetime64[s]"),
        unit="km/h",
        modality_weights=rng.dirichlet([3, 2, 4], n),
        image_bounds=network.bounds(),
        image_attention=rng.dirichlet(np.ones(g * g), n).reshape(n, g, g),
        tokens=("a", " b"),
        text_attention=rng.dirichlet([1, 1], n),
        sensor_attention=rng.dirichlet(np.ones(n), n),
        deletion={"vision": rng.normal(size=(1, n))},
    )


def every_map(network: SensorNetwork) -> dict[str, sensor_map.MapView]:
    forecast, explanation = forecast_of(network), explanation_of(network)
    n = network.n_sensors
    hostile = tuple(HOSTILE[i % len(HOSTILE)] for i in range(n))
    arcs = (np.zeros(n, int), np.arange(n), np.ones(n))
    return {
        "sensors": sensor_map.sensor_map(
            network, np.arange(float(n)), HOSTILE[0], HOSTILE[1], "dark", 1, arcs=arcs, tooltips=hostile
        ),
        "plain": sensor_map.sensor_map(network),
        "forecast": sensor_map.forecast_map(forecast, 2, selected=0),
        "shares": sensor_map.shares_map(explanation, "text"),
        "attention": sensor_map.attention_map(explanation, 1),
        "image": sensor_map.image_map(
            np.arange(64.0).reshape(8, 8), network.bounds(), network, "km/h", "speed", values=np.arange(float(n))
        ),
        "player": player_map(forecast, "dark"),
    }


def sensor_features(view: sensor_map.MapView) -> list[dict]:
    layers = [c for c in view.features._children.values() if isinstance(c, folium.GeoJson)]
    found = [f for layer in layers for f in layer.data["features"]]
    return [f for f in found if f["geometry"]["type"] == "Point"]


@pytest.mark.parametrize("name", ["sensors", "plain", "forecast", "shares", "attention", "image", "player"])
def test_no_map_asks_another_host_for_anything(name):
    view = every_map(made_up())[name]
    view.features.add_to(view.base)
    assert sensor_map.external_links(view.base) == []
    page = view.base.get_root().render()
    assert not re.findall(r"https?://|[\"'(]//", page)
    assert f"{ASSET_BASE}/leaflet.js" in page


def test_external_links_names_tiles_linked_images_plugins_and_colour_bars():
    m = folium.Map(tiles="https://tiles.example.org/{z}/{x}/{y}.png", attr="x")
    LinearColormap(["red", "blue"]).add_to(m)
    folium.raster_layers.ImageOverlay("https://img.example.org/a.png", [[0, 0], [1, 1]]).add_to(m)
    found = " ".join(sensor_map.external_links(m))
    for host in ("tiles.example.org", "img.example.org", "cdn.jsdelivr.net", "d3js.org"):
        assert host in found


@pytest.mark.parametrize("name", ["sensors", "plain", "forecast", "shares", "attention", "image", "player"])
def test_hostile_names_stay_text(name):
    view = every_map(made_up(5, HOSTILE))[name]
    page = sensor_map.map_html(view)
    leaflet = (leaflet_assets() / "leaflet.js").read_text("utf-8")
    for attack in ("<img src=x", "<script>alert", "onerror=alert(1)>", "<folium", "{{", "{%", "{#"):
        assert attack not in page.replace(leaflet, "")
    assert "1343433" not in page  # branca reads what it rendered as a template once more
    for text in (legend_html(view.legend), legend_html(sensor_map.Legend(HOSTILE[0], HOSTILE[1], 0, 1, VIRIDIS))):
        assert "<img" not in text
        assert "<script" not in text


def test_hostile_names_come_back_unchanged_with_a_click():
    network = made_up(5, HOSTILE)
    assert [f["properties"]["name"] for f in sensor_features(sensor_map.sensor_map(network))] == list(HOSTILE)


def test_a_map_has_one_point_for_each_sensor_at_its_place():
    network = made_up(40)
    view = sensor_map.sensor_map(network, np.arange(40.0), "km/h", "speed", selected=7)
    features = sensor_features(view)
    assert [f["properties"]["node"] for f in features] == list(range(40))
    assert [f["properties"]["id"] for f in features] == list(network.ids)
    np.testing.assert_allclose([f["geometry"]["coordinates"] for f in features], np.stack([network.lon, network.lat], 1), atol=1e-5)
    assert features[3]["properties"]["value"] == "3.0 km/h"


def test_a_missing_value_is_grey_and_says_so():
    view = sensor_map.sensor_map(made_up(3), np.array([1.0, np.nan, 3.0]), "km/h", "speed")
    first, lost, _ = sensor_features(view)
    assert lost["properties"]["value"] == "missing"
    assert lost["properties"]["style"]["fillOpacity"] < 0.5
    assert "fillOpacity" not in first["properties"]["style"]
    assert "missing" in legend_html(view.legend)


def test_the_chosen_sensor_has_a_ring():
    network = made_up(4)
    rings = [
        c for c in sensor_map.sensor_map(network, selected=2).features._children.values() if isinstance(c, folium.CircleMarker)
    ]
    assert len(rings) == 1
    np.testing.assert_allclose(rings[0].location, (network.lat[2], network.lon[2]), atol=1e-5)
    assert rings[0].options["interactive"] is False


def test_values_that_are_not_one_for_each_sensor_are_refused():
    with pytest.raises(ValueError, match="each of the 5 sensors, not 4"):
        sensor_map.sensor_map(made_up(), np.zeros(4))
    with pytest.raises(ValueError, match="from 0 to 4"):
        sensor_map.sensor_map(made_up(), selected=5)


def test_the_base_stays_the_same_while_the_features_change():
    network = made_up()
    forecast = forecast_of(network)

    def base_of(view):
        script = view.base.get_root().render()
        return re.sub(r"[0-9a-f]{32}", "", script)

    one, two = sensor_map.forecast_map(forecast, 0, selected=1), sensor_map.forecast_map(forecast, 3, selected=2)
    assert base_of(one) == base_of(two)
    assert one.key == two.key
    assert one.key != sensor_map.forecast_map(forecast, 0, theme="dark").key


def test_a_colour_means_the_same_at_every_step_of_a_forecast():
    forecast = forecast_of(made_up(30))
    legends = [sensor_map.forecast_map(forecast, step).legend for step in range(4)]
    assert len({(legend.low, legend.high) for legend in legends}) == 1


def test_legends_carry_the_unit_and_three_to_five_ticks():
    for view in every_map(made_up(9)).values():
        if view.legend is not None and view.legend.unit:
            text = unescape(legend_html(view.legend))
            assert view.legend.unit in text
            assert 3 <= text.count("translateX") <= 5
    assert "traffic speed, median forecast for Mon 12 May 2025 08:30, km/h" in legend_html(
        sensor_map.forecast_map(forecast_of(made_up()), 2).legend
    )


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 41.7), (998, 1003), (1e-5, 3e-5), (12000, 98000), (0, 0.07), (-1, 1)])
def test_ticks_are_round_rise_and_lie_inside(low, high):
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 5
    assert low - 1e-9 <= ticks[0] < ticks[-1] <= high + 1e-9
    read = [float(text.replace(",", "")) for text in format_ticks(ticks)]
    np.testing.assert_allclose(read, ticks, rtol=1e-9, atol=1e-12)


def test_a_wild_value_does_not_spoil_the_colours():
    values = np.append(np.linspace(40, 60, 199), 1e6)
    scale = fit_scale(values)
    assert 40 <= scale.low < 41
    assert 59 < scale.high < 61
    assert scale.above


def test_differences_are_symmetric_around_zero_with_a_pale_middle():
    scale = fit_scale(np.array([-1.0, 5.0]), kind="diverging")
    assert scale.low == -scale.high
    middle = int(scale.hex(np.zeros(1))[0][1:3], 16)
    assert middle > 230


def test_equal_values_get_a_scale_with_them_in_the_middle():
    for value in (0.0, 5.0, -273.15):
        scale = fit_scale(np.full(9, value))
        assert scale.position(np.array([value]))[0] == pytest.approx(0.5)
        assert scale.high - scale.low > 0.05


def test_no_value_at_all_still_makes_a_map():
    view = sensor_map.sensor_map(made_up(3), np.full(3, np.nan), "km/h", "speed")
    assert [f["properties"]["value"] for f in sensor_features(view)] == ["missing"] * 3


def test_level_scales_rise_in_lightness_for_grey_print_and_colour_blindness():
    for stops in (VIRIDIS, CIVIDIS):
        lightness = colour_table(stops) @ np.array([0.2126, 0.7152, 0.0722])
        assert (np.diff(lightness) > -1.0).all()
        assert lightness[-1] - lightness[0] > 150
    table = colour_table(BLUE_ORANGE).astype(int)
    assert table[0, 2] > table[0, 0] + 60  # blue at one end
    assert table[-1, 0] > table[-1, 2] + 60  # orange at the other


def picture_of(view: sensor_map.MapView) -> tuple[np.ndarray, list]:
    overlay = next(c for c in view.features._children.values() if isinstance(c, folium.raster_layers.ImageOverlay))
    data = base64.b64decode(overlay.url.split(",", 1)[1])
    return np.asarray(Image.open(io.BytesIO(data))), overlay.bounds


def test_an_image_lies_exactly_on_its_bounds_with_row_0_in_the_north():
    network = made_up()
    bounds = network.bounds()
    field = np.zeros((8, 8))
    field[0, -1] = 10.0
    pixels, corners = picture_of(sensor_map.image_map(field, bounds, network, "km/h", "speed", limits=(0, 10), opacity=1.0))
    np.testing.assert_allclose(corners, [[bounds[1], bounds[0]], [bounds[3], bounds[2]]], atol=1e-6)
    assert tuple(pixels[3, -3, :3]) == tuple(colour_table(VIRIDIS)[255])
    assert tuple(pixels[-3, 3, :3]) == tuple(colour_table(VIRIDIS)[0])


def test_an_image_of_a_continent_is_bent_to_the_web_map():
    rgba = np.zeros((60, 2, 4), "uint8")
    rgba[:30] = 255  # north of 45 degrees
    url, _ = on_map(rgba, (0.0, 15.0, 60.0, 75.0))
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))))
    y = np.log(np.tan(np.pi / 4 + np.radians([15.0, 45.0, 75.0]) / 2))
    assert (pixels[:, 0, 0] > 0).mean() == pytest.approx((y[2] - y[1]) / (y[2] - y[0]), abs=0.01)


def test_missing_pixels_are_transparent_smooth_or_crisp():
    field = np.ones((8, 8))
    field[:4] = np.nan
    for smooth in (False, True):
        pixels, _ = picture_of(sensor_map.image_map(field, made_up().bounds(), made_up(), smooth=smooth))
        assert (pixels[:200, :, 3] == 0).all()
        assert (pixels[-200:, :, 3] > 200).all()


def test_heat_is_transparent_where_attention_is_low_and_peaks_where_it_is_high():
    explanation = explanation_of(made_up())
    explanation.image_attention[1] = 0.001
    explanation.image_attention[1, 0, 3] = 0.985  # north-east
    view = sensor_map.attention_map(explanation, 1)
    pixels, _ = picture_of(view)
    side = len(pixels)
    assert pixels[side // 8, -side // 8, 3] > 190
    assert pixels[-side // 8, side // 8, 3] < 20
    assert (view.legend.label, view.legend.unit) == ("share of image attention", "%")


def test_even_attention_looks_pale():
    explanation = explanation_of(made_up())
    explanation.image_attention[:] = 1 / 16
    pixels, _ = picture_of(sensor_map.attention_map(explanation, 0))
    assert pixels[..., 3].max() < 110


def test_attention_without_images_colours_the_sensors():
    explanation = explanation_of(made_up())
    explanation.image_attention[:] = 0
    view = sensor_map.attention_map(explanation, 0)
    assert view.legend.label == "share of sensor attention"
    assert len(sensor_features(view)) == 5


def test_shares_are_shown_in_percent_and_an_unknown_modality_is_refused():
    explanation = explanation_of(made_up())
    first = sensor_features(sensor_map.shares_map(explanation, "series"))[0]["properties"]["value"]
    assert first == format_value(100 * explanation.modality_weights[0, 2], 1, "%")
    with pytest.raises(ValueError, match="vision, text, series"):
        sensor_map.shares_map(explanation, "smell")


def test_arcs_are_wider_for_heavier_weights_and_never_loops():
    arcs = (np.array([0, 0, 1]), np.array([1, 2, 1]), np.array([1.0, 0.25, 9.0]))
    layers = sensor_map.sensor_map(made_up(3), arcs=arcs).features._children.values()
    lines = [
        f for c in layers if isinstance(c, folium.GeoJson) for f in c.data["features"] if f["geometry"]["type"] == "LineString"
    ]
    widths = {(f["properties"]["from"], f["properties"]["to"]): f["properties"]["style"]["weight"] for f in lines}
    assert set(widths) == {(0, 1), (0, 2)}
    assert widths[0, 1] > widths[0, 2]


def test_a_network_across_the_antimeridian_stays_together_beside_its_land():
    network = SensorNetwork(("a", "b", "c"), np.array([-17.8, -16.6, -18.2]), np.array([178.4, 179.9, -178.8]))
    view = sensor_map.sensor_map(network)
    lon = [f["geometry"]["coordinates"][0] for f in sensor_features(view)]
    assert max(lon) - min(lon) < 5
    west, _, east, _ = sensor_map.view_bounds(network)
    assert east - west < 5
    _, shapes = land_around(sensor_map.view_bounds(network))
    places = np.array([p for area in shapes["land"]["coordinates"] for ring in area for p in ring])
    assert places[:, 0].max() > 180  # Fiji's eastern islands are not thrown to the other side of the map
    longest = max(np.abs(np.diff(np.array(line)[:, 0])).max() for line in shapes["border"]["coordinates"])
    assert longest < 3


@pytest.mark.parametrize(
    ("lat", "lon"), [([45.5], [-73.6]), ([90.0], [0.0]), ([-80.0, 0.0, 80.0], [-170.0, 0.0, 170.0]), ([10.0, 10.0], [20.0, 20.0])]
)
def test_extreme_networks_show(lat, lon):
    network = SensorNetwork(tuple(map(str, range(len(lat)))), np.array(lat), np.array(lon))
    west, south, east, north = sensor_map.view_bounds(network)
    assert west < east
    assert -85.06 < south < north < 85.06
    view = sensor_map.sensor_map(network, np.arange(float(len(lat))), "K", "temperature")
    assert len(sensor_map.map_html(view)) > 10_000


def test_a_view_of_one_sensor_is_two_km_wide():
    west, south, east, north = sensor_map.view_bounds(SensorNetwork(("a",), np.array([60.0]), np.array([10.0])))
    assert (north - south) * 111.2 == pytest.approx(2.0, rel=0.02)
    assert (east - west) * 111.2 * np.cos(np.radians(60)) == pytest.approx(2.0, rel=0.02)


def test_land_is_where_land_is():
    shapely = pytest.importorskip("shapely")
    _, shapes = land_around((-10.5, 51.4, -5.3, 55.5))
    land = shapely.geometry.shape(shapes["land"])
    assert land.contains(shapely.Point(-7.9, 53.1))  # Birr
    assert not land.contains(shapely.Point(-11.5, 53.0))  # the Atlantic
    _, america = land_around((-110.0, 35.0, -100.0, 42.0))
    assert "state" in america


def test_two_thousand_sensors_make_a_map_in_under_a_second():
    network = made_up(2000)
    sensor_map.sensor_map(network, np.arange(2000.0), "km/h", "speed")  # land is read from disk once
    seconds = []
    for _ in range(3):
        began = time.thread_time()
        view = sensor_map.sensor_map(network, np.arange(2000.0), "km/h", "speed", selected=4)
        view.features.add_to(view.base)
        page = view.base.get_root().render()
        seconds.append(time.thread_time() - began)
    assert min(seconds) < 1.0
    assert len(page) < 1_500_000


def test_the_player_holds_every_step_and_its_key_changes_with_the_forecast():
    network = made_up(6)
    forecast = forecast_of(network, 5)
    player = next(c for c in player_map(forecast).base._children.values() if c._name == "Player")
    assert np.array(player.payload["values"]).shape == (5, 6)
    np.testing.assert_allclose(player.payload["values"], forecast.median, atol=0.06)
    other = forecast_of(network, 6)
    assert player_map(forecast).key != player_map(other).key
    page = sensor_map.map_html(player_map(forecast))
    for label in ("time step", "play over time", "aria-valuetext"):
        assert label in page


def test_a_map_page_opens_from_a_file_without_a_server():
    page = sensor_map.map_html(sensor_map.sensor_map(made_up(), np.arange(5.0), "km/h", "speed"))
    assert ASSET_BASE not in page
    assert "L.circleMarker" in page or "CircleMarker" in page
    assert "<title>speed</title>" in page


def test_leaflet_comes_from_the_installed_package():
    assert (leaflet_assets() / "leaflet.css").is_file()


def test_times_are_local_and_days_have_no_clock():
    times = np.array(["2025-05-12T22:00:00", "2025-05-13T22:00:00"], "datetime64[s]")
    assert format_times(times, "Europe/Berlin") == ["Tue 13 May 2025", "Wed 14 May 2025"]
    assert format_times(times[:1] + np.timedelta64(900, "s"), "Europe/Berlin") == ["Tue 13 May 2025 00:15"]


def test_numbers_are_written_with_the_digits_that_the_scale_tells_apart():
    assert Scale(0, 100).decimals == 1
    assert Scale(0, 1).decimals == 3
    assert Scale(0, 50000).decimals == 0
    assert format_value(-0.0001, 1, "K") == "0.0 K"
    assert format_value(float("nan"), 1, "K") == "missing"


@pytest.mark.browser
def test_a_browser_shows_hostile_names_letter_by_letter_and_asks_nobody(browser, tmp_path):
    network = made_up(5, HOSTILE)
    file = tmp_path / "map.html"
    said, asked, wrong = [], [], []
    page = browser.new_page()
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    for view in (sensor_map.attention_map(explanation_of(network), 0), player_map(forecast_of(network))):
        file.write_text(sensor_map.map_html(view), "utf-8")
        page.goto(file.as_uri())
        page.wait_for_selector(".leaflet-control-scale-line")
        said.append(page.evaluate(TOOLTIPS))
    page.close()
    for texts in said:
        assert [text.split(" \u00b7 ")[0].split("\n")[0] for text in texts] == list(HOSTILE)
    assert wrong == []
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
