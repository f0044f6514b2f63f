"""The browser of the tests tells on a page that asks another host for anything."""

import pytest

pytestmark = pytest.mark.browser


def test_a_request_to_another_host_is_noted_and_gets_no_answer(page, foreign_requests):
    page.set_content("<img src='https://example.org/a.png' onerror='this.alt = 1'>")
    page.wait_for_function("document.querySelector('img').alt === '1'")
    assert foreign_requests == ["https://example.org/a.png"]
    foreign_requests.clear()


def test_the_app_opens_without_asking_another_host(page, app_url):
    page.goto(app_url)
    page.get_by_role("heading").first.wait_for()
    assert page.title() != ""
