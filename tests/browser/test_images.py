"""The Spatial images page in a real browser: hovering reads a pixel, and a sensor dropped by a click leaves the picture."""

import re

import pytest

from tests.support.browser import DUBLIN, SLOW, click_on_map, map_frame, query

pytestmark = pytest.mark.browser


def test_a_pixel_is_read_by_hovering_and_a_sensor_is_dropped_by_a_click(page, app_url):
    page.goto(f"{app_url}/images?data=sample:irish_wind&model=anchor&channel=field+1")
    frame = map_frame(page)
    page.wait_for_timeout(1000)  # the map fits itself to its frame
    x, y = frame.evaluate("([a, o]) => { const p = window.map.latLngToContainerPoint([a, o]); return [p.x, p.y]; }", list(DUBLIN))
    box = page.query_selector("iframe").bounding_box()
    page.mouse.move(box["x"] + x - 30, box["y"] + y)
    told = frame.wait_for_selector(".stvlm-reader >> text=knots").text_content()
    place = re.fullmatch(r"(-?[\d.]+)°, (-?[\d.]+)°: (-?[\d.]+) knots", told)
    assert place
    assert abs(float(place[1]) - DUBLIN[0]) < 0.05
    assert float(place[2]) < DUBLIN[1]
    page.get_by_text("drops it", exact=True).click()
    page.wait_for_timeout(1500)
    click_on_map(page, *DUBLIN)
    page.get_by_text("Dropped: Dublin (DUB).").wait_for(timeout=SLOW)
    assert query(page)["dropped"] == "6"
    assert len(map_frame(page).query_selector_all(".stvlm-reader")) == 1  # the old reader went with the old picture
    click_on_map(page, *DUBLIN)
    page.get_by_text("Dropped: Dublin (DUB).").wait_for(state="detached")
