"""What if and Learn in a real browser: news written by hand slow their sensor; an exercise is solved; German stays."""

import re

import pytest

from tests.support.browser import map_frame, query

pytestmark = pytest.mark.browser
SLOW = 90_000  # milliseconds: the first forecast imports the model's libraries


def test_news_written_by_hand_slow_their_sensor_and_the_link_says_so(page, app_url):
    page.goto(f"{app_url}/whatif?data=sample:synthetic_city&sensor=C021&change=%7B%7D")
    map_frame(page)
    page.get_by_test_id("stMetricDelta").first.get_by_text("0.0 km/h", exact=True).wait_for()
    news = page.get_by_label("News at the last reading before the forecast")
    news.fill("crash near Ring west 5")
    news.press("Enter")
    page.get_by_test_id("stMetricDelta").first.get_by_text(re.compile("^−[1-9]")).wait_for(timeout=SLOW)
    assert query(page)["change"] == '{"event":"crash near Ring west 5"}'
    assert page.locator("iframe").count() == 3


def test_an_exercise_is_solved_in_german_and_the_next_page_stays_german(page, app_url):
    page.goto(f"{app_url}/learn?data=sample:synthetic_city&sensor=C021&lesson=3")
    page.get_by_text("Deutsch", exact=True).click(timeout=SLOW)
    page.get_by_role("heading", name="Lernen").wait_for()
    news = page.get_by_label("Nachricht beim letzten Messwert vor der Vorhersage")
    news.fill("crash near Ring west 5")
    news.press("Enter")
    page.get_by_text("1 von 6 Übungen an diesem Netz gelöst").wait_for(timeout=SLOW)
    page.get_by_role("link", name="Was wäre wenn").click()
    page.get_by_role("heading", name="Was die Änderung bewirkt").wait_for(timeout=SLOW)
    assert query(page)["lang"] == "de"
