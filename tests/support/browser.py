"""What the browser tests do on a page."""

from urllib.parse import parse_qs, urlsplit

SLOW = 90_000  # milliseconds: the first forecast imports the model's libraries
DUBLIN = (53.43333, -6.25)


def query(page) -> dict[str, str]:
    """The parameters of the address in view."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def map_frame(page):
    """The frame of the first map, once Leaflet has drawn its sensors."""
    page.frame_locator("iframe").first.locator(".leaflet-container canvas").last.wait_for(timeout=SLOW)
    frame = page.query_selector("iframe").content_frame()
    frame.wait_for_function("() => window.map && window.feature_group && window.feature_group.length > 0")
    return frame


def click_on_map(page, lat: float, lon: float) -> None:
    """Click the place on the first map of the page."""
    frame = map_frame(page)
    page.wait_for_timeout(500)  # the map fits itself to its frame
    x, y = frame.evaluate("([a, o]) => { const p = window.map.latLngToContainerPoint([a, o]); return [p.x, p.y]; }", [lat, lon])
    box = page.query_selector("iframe").bounding_box()
    page.mouse.click(box["x"] + x, box["y"] + y)
