"""The browser of the tests tells on a page that asks another host for anything."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

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


@pytest.fixture
def other_website(tmp_path):
    """The address of a website on another port, whose pages lie in `tmp_path`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_website_cannot_frame_the_app(page, app_url, other_website, tmp_path):
    (tmp_path / "own.html").write_text("its own")
    (tmp_path / "trap.html").write_text(f"<iframe src='own.html'></iframe><iframe src='{app_url}'></iframe>")
    refusals = []
    page.on("console", lambda message: refusals.append(message.text) if "frame-ancestors" in message.text else None)
    page.goto(f"{other_website}/trap.html")
    assert page.frames[1].locator("body").inner_text() == "its own"
    page.wait_for_timeout(2_000)
    assert len(refusals) == 1
    assert page.frames[2].get_by_text("ST-VLM").count() == 0
