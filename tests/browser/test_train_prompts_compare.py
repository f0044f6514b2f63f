"""The main action of the pages Train, Prompts and Compare in a real browser."""

import pytest

from tests.support.browser import SLOW, query

pytestmark = pytest.mark.browser


def test_a_run_is_started_watched_and_cancelled(page, app_url):
    page.goto(f"{app_url}/train?data=sample:irish_wind")
    page.get_by_role("button", name="Start", exact=True).click(timeout=SLOW)
    page.wait_for_url("**run=*", timeout=SLOW)
    page.get_by_role("button", name="Cancel", exact=True).click(timeout=SLOW)
    page.get_by_role("button", name="Resume", exact=True).wait_for(timeout=SLOW)
    assert len(query(page)["run"]) == 12


def test_an_edited_template_is_filled_at_once(page, app_url):
    page.goto(f"{app_url}/prompts?data=sample:irish_wind&model=anchor&reading=template")
    editor = page.get_by_role("textbox").first
    editor.wait_for(timeout=SLOW)
    editor.fill("task: Nothing but the mean, {{ level }}.")
    editor.press("Control+Enter")
    filled = page.get_by_text("Nothing but the mean, 10.8 knots.").first
    filled.wait_for(timeout=SLOW, state="attached")


def test_two_models_are_compared_sensor_by_sensor(page, app_url):
    page.goto(f"{app_url}/compare")
    page.get_by_role("heading", name="How large the errors are").wait_for(timeout=SLOW)
    page.get_by_role("heading", name="Where one model is better").wait_for(timeout=SLOW)
    page.frame_locator("iframe").first.locator(".leaflet-container").wait_for(timeout=SLOW)
    assert query(page)["result"].endswith(".json")
