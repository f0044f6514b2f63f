"""The whole way in a real browser that can reach no other host: home, forecast, a click on the map, its fusion; and by link."""

import re

import pytest

from stvlm.ui.services.forecasters import CHECKPOINTS
from tests.support.browser import DUBLIN, SLOW, click_on_map, map_frame, query

pytestmark = pytest.mark.browser
needs_a_shipped_model = pytest.mark.skipif(not (CHECKPOINTS / "irish_wind").is_dir(), reason="no model is shipped with the sample")


def open_irish_wind(page, app_url: str) -> None:
    page.goto(app_url)
    page.locator(".st-key-open-irish_wind a").click(timeout=SLOW)
    map_frame(page)


def test_from_home_to_the_forecast_of_a_sensor_clicked_on_the_map(page, app_url):
    open_irish_wind(page, app_url)
    click_on_map(page, *DUBLIN)
    page.wait_for_url("**sensor=DUB**")
    page.get_by_text("Dublin (DUB), all steps").wait_for()
    assert query(page)["data"] == "sample:irish_wind"


@needs_a_shipped_model
def test_the_fusion_page_explains_the_sensor_that_was_clicked(page, app_url):
    open_irish_wind(page, app_url)
    click_on_map(page, *DUBLIN)
    page.wait_for_url("**sensor=DUB**")
    page.get_by_role("link", name="What this forecast drew on").click()
    page.get_by_text("What Dublin (DUB) drew on").wait_for(timeout=SLOW)
    page.get_by_text("The prompt, shaded by attention").wait_for()


def test_a_step_of_the_slider_changes_the_map_without_loading_it_anew(page, app_url):
    page.goto(f"{app_url}/forecast?data=sample:irish_wind&sensor=DUB")
    frame = map_frame(page)
    frame.evaluate("() => { window.sameDocument = true; }")
    page.get_by_role("slider").nth(1).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**step=2**")
    page.get_by_text(re.compile("^All sensors, Tue 26 Dec 1978")).wait_for()
    assert frame.evaluate("() => window.sameDocument")


def test_a_link_opens_the_same_view_for_someone_else(page, app_url):
    page.goto(f"{app_url}/forecast?data=sample:irish_wind&sensor=BEL&step=3&cutoff=1977-06-01T00:00:00")
    map_frame(page)
    page.get_by_text("Belmullet (BEL), all steps").wait_for()
    page.get_by_text(re.compile("^All sensors, Fri 03 Jun 1977")).wait_for()
    assert query(page)["cutoff"] == "1977-06-01T00:00:00"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_map_follows_the_theme_of_the_browser(page, app_url, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{app_url}/data?data=sample:irish_wind")
    sea = map_frame(page).evaluate("() => getComputedStyle(document.querySelector('.leaflet-container')).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", sea)[:3]) / 3
    assert (brightness > 128) == (scheme == "light")


def test_two_files_become_a_network_on_the_map(page, app_url, small_files):
    page.goto(app_url)
    page.get_by_role("link", name="Upload a network").click(timeout=SLOW)
    page.locator("input[type=file]").set_input_files([str(path) for path in small_files])
    page.get_by_role("button", name="Use this network").click(timeout=SLOW)
    page.wait_for_url(re.compile(r"data=[0-9a-f]{16}"))
    map_frame(page)
    page.get_by_text("North gate").first.wait_for()
