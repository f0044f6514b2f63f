"""The Spatial images page: every channel of every view opens, with its legend, in its unit, on the map where it has a place."""

import json

import numpy as np
import pytest

from stvlm.modalities.image.views import VIEWS
from stvlm.ui.services import networks
from tests.support.pages import param, upload, visit, words

SENSORS = "sensor_id,lat,lon,name\nS1,53.35,-6.26,Quay\nS2,53.34,-6.25,Park\nS3,53.36,-6.24,Port\n"
READINGS = "timestamp,S1,S2,S3\n" + "".join(
    f"2025-01-{d:02} {h:02}:00,{50 + 9 * np.sin(h / 4):.1f},{48 + d % 3},{52 + h % 5}\n" for d in range(1, 29) for h in range(24)
)
ROADS = {"type": "LineString", "coordinates": [[-6.26, 53.35], [-6.24, 53.36]]}
HEIGHT = "ncols 2\nnrows 2\nxllcorner -6.3\nyllcorner 53.3\ncellsize 0.05\n1 2\n3 4\n"


@pytest.mark.parametrize("view", VIEWS)
def test_every_channel_of_a_view_opens(app, view):
    for channel, what in enumerate(VIEWS[view].channels):
        opened = visit(app, "images", data="sample:irish_wind", model="anchor", channel=f"{view} {channel + 1}")
        assert not opened.error
        kinds = len(opened.get("component_instance")), len(opened.get("plotly_chart"))
        if view == "geography" and channel == 2:
            assert "tells the model nothing" in words(opened)
        else:
            assert kinds == ((1, 0) if VIEWS[view].is_georeferenced else (0, 1)), what
    if not VIEWS[view].is_georeferenced:
        assert "These pixels have no place on the map" in words(opened)


def test_sensors_dropped_in_the_url_are_named_and_taken_back(app):
    opened = visit(app, "images", data="sample:irish_wind", model="anchor", channel="field 1", dropped="6")
    said = words(opened).replace("\\", "")
    assert "Dropped: Dublin (DUB). Without them a pixel changes by" in said
    table = opened.dataframe[0].value
    assert table.loc[table["Sensor"] == "Dublin (DUB)", "Reading, knots"].isna().all()
    assert table["Pixel, knots"].notna().all()
    opened.button(key="clear-dropped").click().run()
    assert param(opened, "dropped") == ""
    assert "Dropped:" not in words(opened)


@pytest.mark.parametrize("channel", ["field 1", "relations 1"])
def test_two_moments_are_compared(app, channel):
    first = visit(app, "images", data="sample:irish_wind", model="anchor", channel=channel)
    n_pictures = [len(first.get(kind)) for kind in ("component_instance", "plotly_chart")]
    opened = visit(app, "images", data="sample:irish_wind", model="anchor", channel=channel, other="1978-06-01T00:00:00")
    more = [len(opened.get(kind)) for kind in ("component_instance", "plotly_chart")]
    assert sum(more) == sum(n_pictures) + (2 if channel == "field 1" else 1)
    if channel == "field 1":
        assert "minus Wed 31 May 1978" in words(opened).replace("\\", "")
        table = opened.dataframe[0].value
        np.testing.assert_allclose(table["Pixel, knots"] - table["Pixel then, knots"], table["Difference, knots"], atol=1e-4)


@pytest.mark.parametrize("channel", ["field 1", "space-time 1"])
def test_the_moments_before_are_played(app, channel):
    opened = visit(app, "images", data="sample:irish_wind", model="anchor", channel=channel)
    opened.toggle(key="play").set_value(True).run()
    assert not opened.exception
    if channel == "field 1":
        assert "Map that plays wind speed, now" in words(opened).replace("\\", "")
    else:
        figure = json.loads(opened.get("plotly_chart")[0].proto.spec)
        assert len(figure["frames"]) == 12


def test_another_image_is_chosen_by_its_name(app):
    opened = visit(app, "images", data="sample:irish_wind", model="anchor", channel="field 2")
    opened.session_state["tied-view"] = "relations"
    control = opened.get("button_group")[0]
    assert [option.content for option in control.proto.options] == [view.title for view in VIEWS.values()]


def test_the_page_says_which_images_the_forecaster_reads(app, small_series):
    data = networks.add(small_series, "Fresh", ["a.csv"], ())
    opened = visit(app, "images", data=data, channel="field 1")
    assert param(opened, "model") == "zero-shot"
    assert "The exact tensor that the model gets" in words(opened)
    assert "1 × 3 × 32 × 32" in words(opened)
    for channel, model in (("relations 1", "zero-shot"), ("field 1", "anchor")):
        opened = visit(opened, "images", data=data, channel=channel, model=model)
        assert "this forecaster does not read it" in words(opened)
        assert "6 × 3 × 32 × 32" in words(opened)


def test_space_time_is_shown_in_the_unit_of_the_readings(app):
    opened = visit(app, "images", data="sample:irish_wind", model="anchor", channel="space-time 1")
    figure = json.loads(opened.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["title"]["text"] == "wind speed, reading, knots"
    assert figure["layout"]["yaxis"]["ticktext"][0] == "Valentia (VAL)"


def test_a_base_layer_and_a_grid_are_uploaded_and_painted(app):
    files = ("roads.geojson", json.dumps(ROADS)), ("height.asc", HEIGHT)
    opened = upload(app, ("sensors.csv", SENSORS), ("readings.csv", READINGS), *files)
    assert not opened.error
    next(i for i in opened.text_input if i.label == "Unit of the grid").set_value("m")
    next(b for b in opened.button if b.label == "Use this network").click().run()
    data = opened.query_params["data"]
    data = data if isinstance(data, str) else data[0]
    ground = visit(opened, "images", data=data, model="anchor", channel="geography 3")
    assert "Image of 32 × 32 pixels, height: 1 to 4 m" in words(ground).replace("\\", "")
    roads = visit(opened, "images", data=data, model="anchor", channel="geography 2")
    assert "roads: lines and outlines, areas at half" in words(roads).replace("\\", "")
