"""The Forecast page in a real browser: a lasso on the map chooses a group, and the report that one takes away stands alone."""

import re

import pytest

from tests.support.browser import SLOW, map_frame, query

pytestmark = pytest.mark.browser
AROUND = [(53.9, -7.0), (53.9, -5.8), (52.9, -5.8), (52.9, -7.0)]  # Dublin alone lies further in; Birr and Mullingar outside
WEST = [(54.6, -10.6), (54.6, -8.5), (51.5, -8.5), (51.5, -10.6)]  # Valentia, Belmullet, Claremorris, Shannon and their like


def drag(page, corners: list[tuple[float, float]]) -> None:
    """A lasso through places on the first map, drawn by the mouse."""
    frame = map_frame(page)
    page.wait_for_timeout(500)  # the map fits itself to its frame
    frame.locator(".stvlm-lasso button").click()
    box = page.query_selector("iframe").bounding_box()
    pixel = "([a, o]) => { const p = window.map.latLngToContainerPoint([a, o]); return [p.x, p.y]; }"
    inside = lambda x, size: min(max(x, 4), size - 4)  # noqa: E731
    places = [frame.evaluate(pixel, list(corner)) for corner in corners]
    places = [(box["x"] + inside(x, box["width"]), box["y"] + inside(y, box["height"])) for x, y in places]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


def test_a_file_comes_though_the_page_is_drawn_again_while_it_is_made(page, app_url, tmp_path):
    page.goto(f"{app_url}/forecast?data=sample:irish_wind&model=anchor&sensor=DUB")
    map_frame(page)
    report = page.get_by_role("button", name="Report")
    report.wait_for(timeout=SLOW)
    slider = page.get_by_role("slider").nth(1)
    for key, step in (("ArrowRight", 2), ("ArrowRight", 3)):
        with page.expect_download(timeout=SLOW) as told:
            report.click()
            slider.focus()
            page.keyboard.press(key)
            page.wait_for_url(f"**step={step}**")
        told.value.save_as(tmp_path / f"{step}.html")
        assert "Dublin" in (tmp_path / f"{step}.html").read_text("utf-8")


def test_a_lasso_chooses_a_group_and_the_report_opens_alone(page, app_url, tmp_path):
    page.goto(f"{app_url}/forecast?data=sample:irish_wind&model=anchor")
    drag(page, WEST)
    page.get_by_text(re.compile(r"Mean of the \d+ chosen sensors")).wait_for(timeout=SLOW)
    assert re.fullmatch(r"[\d.-]+", query(page)["group"])
    drag(page, AROUND)
    page.wait_for_url("**sensor=DUB**")  # a loop around one sensor chooses that sensor
    page.get_by_text(re.compile(r"Mean of the \d+ chosen sensors")).wait_for(state="detached")
    with page.expect_download(timeout=SLOW) as told:
        page.get_by_role("button", name="Report").click()
    file = tmp_path / "report.html"
    told.value.save_as(file)
    text = file.read_text("utf-8")
    assert "Dublin" in text
    assert "python -m stvlm forecast" in text
    assert not re.findall(r"""(?:src|href)=["']""", text)
