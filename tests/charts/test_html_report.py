"""The report: one file that asks nobody, in which every text of the data stays text."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from stvlm.charts.export.html_report import SCRIPT, Report, report_html
from stvlm.core.forecast import LEVELS, Forecast, FusionExplanation
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries

HOSTILE = "</script></title><img src=http://evil.example/x onerror=alert(1)>\"'&{{ 7*7 }}"


class Reader(HTMLParser):
    """Tags with their attributes, and the text of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def series() -> SensorSeries:
    facts = pd.DataFrame({"name": ["Quay", HOSTILE, "Port"]})
    network = SensorNetwork(("a", "b", HOSTILE), np.array([50.0, 50.9, 50.2]), np.array([8.0, 8.0, 9.0]), facts=facts)
    times = np.datetime64("2025-05-10T00:00:00", "s") + np.arange(100) * np.timedelta64(3600, "s")
    values = 50 + 10 * np.sin(np.arange(100)[:, None] / 9 + np.arange(3))
    return SensorSeries(network, times, values.astype("f4"), HOSTILE, "km/h")


@pytest.fixture
def report(series) -> Report:
    middle = series.values[80:85] + 1
    values = np.stack([middle + shift for shift in (-6, -4, -2, 0, 2, 4, 6)]).astype("f4")
    values[:, 3, 1] = np.nan
    forecast = Forecast(series.network, HOSTILE, "km/h", "stvlm", series.times_after(80, 5), LEVELS, values)
    n = series.network.n_sensors
    explanation = FusionExplanation(
        network=series.network,
        times=forecast.times,
        unit="km/h",
        modality_weights=np.array([[0.2, 0.3, 0.5]] * n),
        image_bounds=(8, 50, 9, 51),
        image_attention=np.full((n, 2, 2), 0.25),
        tokens=("It ", HOSTILE),
        text_attention=np.full((n, 2), 0.5),
        sensor_attention=np.eye(n),
        deletion={"vision": np.full((5, n), 1.25)},
        prompt="It " + HOSTILE,
    )
    return Report(
        title=HOSTILE,
        maker=f"run {HOSTILE}",
        forecast=forecast,
        sensor=1,
        step=2,
        series=series,
        held=("the 80 % band held 79 % of 12,345 readings on the test part",),
        tables=[("All sensors", pd.DataFrame({"Sensor": [HOSTILE, "b"], "Forecast, km/h": [50.1234, np.nan], "Steps": [3, 4]}))],
        explanation=explanation,
        prompt="It " + HOSTILE,
        settings=(("lookback", "12 steps"), (HOSTILE, HOSTILE)),
        commands=("python -m stvlm forecast --model m --out f.csv",),
    )


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_no_link_leaves_the_file_and_its_policy_forbids_it(report):
    page = report_html(report)
    tags = read(page).tags
    assert not [attrs for _, attrs in tags if {"src", "href", "srcset", "action", "data", "xlink:href"} & set(attrs)]
    assert not {tag for tag, _ in tags} & {"a", "img", "link", "iframe", "object", "embed", "image", "use", "base", "form"}
    assert not re.findall(r"url\(|@import", page)
    policy = next(attrs["content"] for tag, attrs in tags if tag == "meta" and "http-equiv" in attrs)
    assert policy.startswith("default-src 'none';")
    assert "script-src 'sha256-" in policy
    assert [a for _, attrs in tags for a in attrs if a.startswith("on")] == []


def test_hostile_names_stay_text_everywhere(report):
    page = report_html(report)
    assert "<img" not in page
    assert page.count("</script>") == 2
    reader = read(page)
    assert [tag for tag, _ in reader.tags].count("script") == 2
    assert reader.text.count(HOSTILE) >= 8  # title, heading, maker, plot, table, prompt, settings twice


def test_the_page_tells_scores_bands_fusion_prompt_and_how_to_repeat_it(report):
    text = " ".join(read(report_html(report)).text.split())
    for part in (
        "held 79 % of 12,345 readings",
        "20.0 %",
        "1.25 km/h",
        "lookback",
        "python -m stvlm forecast --model m --out f.csv",
    ):
        assert part in text
    assert "50.12" in text
    assert "5 steps of 3 sensors, Tue 13 May 2025 08:00 to Tue 13 May 2025 12:00" in text
    assert "shaded by attention" in text


def test_the_map_steps_through_the_very_medians_and_marks_what_is_missing(report):
    page = report_html(report)
    payload = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.S).group(1))
    assert len(payload["colour"]) == 5
    assert payload["colour"][3][1] == -1
    assert payload["text"][3][1] == "missing"
    shown = [[float(text.split()[0]) if text != "missing" else np.nan for text in row] for row in payload["text"]]
    np.testing.assert_allclose(shown, report.forecast.median, atol=0.06)
    assert payload["names"][1] == HOSTILE
    assert SCRIPT in page


def test_a_forecast_alone_makes_a_report_without_empty_headings(report):
    page = report_html(Report("Town", "persistence", report.forecast, 0, 0))
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == ["Map", "Over time: Quay"]


def test_a_long_table_is_cut_and_says_so(report):
    table = pd.DataFrame({"Sensor": [f"s{i}" for i in range(1500)], "Steps": range(1500)})
    page = report_html(Report("Town", "m", report.forecast, 0, 0, tables=[("All", table)]))
    assert "The first 1000 of 1500 rows." in page
    assert "s999<" in page
    assert "s1000<" not in page


@pytest.mark.browser
def test_a_browser_opens_the_report_from_a_file_and_steps_through_it(browser, report, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(report_html(report), encoding="utf-8")
    page, problems, asked = browser.new_page(), [], []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    dot = page.locator('[data-mark="sensor-0"]')
    before = dot.get_attribute("fill")
    page.locator("#step").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("Tue 13 May 2025 11:00").first.wait_for()
    assert dot.get_attribute("fill") != before
    assert page.locator('[data-mark="sensor-1"]').get_attribute("fill") == "none"
    assert page.title().startswith(HOSTILE[:20])
    assert problems == []
    assert asked == [file.as_uri()]
    page.close()
