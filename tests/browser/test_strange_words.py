"""Words of strangers in a real browser: in files, forms, runs, templates and addresses; they are shown, and nothing else comes of them."""

import csv
import json
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pandas as pd
import pytest

from stvlm.io.store import load_series
from stvlm.jobs.run import DataSource, RunSpec
from stvlm.runtime.atomic import write_atomic
from tests.support.browser import SLOW, map_frame, query

pytestmark = pytest.mark.browser
IDS = (
    "<img src=/stolen onerror=ran(1)>",
    "</script><script>ran(2)</script>",
    "[x](javascript:ran(3))",
    "![x](http://evil.example/a.png)",
    "$\\href{javascript:ran(4)}{x}$",
    "{{7919*7919}}",
)
NAMES = (
    "'\"><svg onload=alert(5)>",
    "javascript:ran(6)",
    "\u202egpj.\u2066exe",
    "<a href='javascript:ran(7)'>go</a>",
    ":material/home: :red[x] `x`",
    "{% for i in range(9) %}x{% endfor %}",
)
NEWS = "</textarea><img src=/stolen onerror=ran(8)> near {{7919*7919}} ![x](http://evil.example/b.png)"
TITLE = "<img src=/stolen onerror=ran(9)>![x](http://evil.example/c)[y](javascript:x)"
QUANTITY = "<b onclick=ran(11)>![](//evil.example/q) $\\href{x}{y}$"
UNIT = "![](//evil.example)"
RUN = "<script>ran(14)</script>![x](http://evil.example/d.png) {{7919*7919}}"
TEMPLATE = "<img src=/stolen onerror=ran(15)> {{ 7919*7919 }} {{ ''.__class__ }}"
PRODUCT = str(7919 * 7919)  # shown only if some template was carried out
ACTING = """() => [...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => {
    if (a.name.startsWith('on') || a.name == 'style' && /stolen|evil/.test(a.value)) return true;
    if (!['src', 'href', 'xlink:href', 'action', 'formaction', 'data'].includes(a.name)) return false;
    const url = new URL(a.value, document.baseURI);
    return url.protocol == 'javascript:' || url.pathname == '/stolen' || url.hostname.endsWith('evil.example');
    })).map(e => e.outerHTML.slice(0, 200))"""


def files() -> list[dict]:
    """Sensor table, readings and context as a browser uploads them, with hostile words in every place of words."""
    hours = pd.date_range("2024-03-04", periods=200, freq="h").astype("str")
    rng = np.random.default_rng(3)
    values = 40 + 8 * np.sin(np.arange(200) / 24 * 2 * np.pi)[:, None] + rng.normal(0, 1, (200, len(IDS)))
    tables = {
        "<img src=/stolen onerror=ran(20)> sensors.csv": {
            "sensor_id": IDS, "lat": 52.5 + np.arange(6) / 100, "lon": 13.4 + np.arange(6) % 3 / 50, "name": NAMES,
            "<script>ran(21)</script>": NEWS,
        },
        "[readings](javascript:ran(22)).csv": {"timestamp": hours, **dict(zip(IDS, values.round(2).T, strict=True))},
        "![x](http://evil.example/e.png) context.csv": {"timestamp": hours, "news": NEWS},
    }  # fmt: skip
    as_csv = {name: pd.DataFrame(columns).to_csv(index=False).encode() for name, columns in tables.items()}
    return [{"name": name, "mimeType": "text/csv", "buffer": content} for name, content in as_csv.items()]


def add_run(home: Path, data: str) -> str:
    """A finished run of a hostile name, whose untrained model can be explained."""
    from stvlm.training.fit import FitConfig, fit

    config = {"lookback": 8, "horizon": 3, "max_steps": 0, "device": "cpu"}
    *_, last = fit(load_series(home / "datasets" / data), FitConfig(**config))
    folder = home / "runs" / "0123456789ab"
    last.model.save(folder / "model", last.model.manifest)
    write_atomic(folder / "spec.json", RunSpec(title=RUN, data=DataSource(dataset=data), config=config))
    write_atomic(folder / "status.json", {"state": "done", "created": 1.0, "queued": 1.0, "message": TITLE})
    return folder.name


class Watch:
    """What a page did that it should not have done."""

    def __init__(self, page) -> None:
        self.page, self.ran, self.stolen = page, [], []
        page.expose_function("ran", lambda what: self.ran.append(what))
        page.on("dialog", lambda dialog: (self.ran.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: self.stolen.append(request.url) if urlsplit(request.url).path == "/stolen" else None)

    def look(self, *words: str) -> None:
        """Assert that nothing acted in any frame, and that words stand there as text."""
        self.page.wait_for_timeout(300)
        self.page.wait_for_function("() => !document.querySelector('[data-testid=stStatusWidget]')", timeout=SLOW)
        assert not self.page.locator("[data-testid=stException]").count()
        shown = ""
        for frame in self.page.frames:
            assert frame.evaluate(ACTING) == []
            shown += frame.evaluate("() => document.body.textContent")
        shown = shown.replace("\u2060", "")
        assert PRODUCT not in shown
        for word in words:
            assert word in shown
        assert (self.ran, self.stolen) == ([], [])


@pytest.mark.slow
def test_hostile_words_are_shown_on_every_page_and_do_nothing(page, app_url, app_home, tmp_path):
    watch = Watch(page)
    page.goto(f"{app_url}/data?source=own")
    page.locator("input[type=file]").set_input_files(files())
    page.get_by_role("textbox", name="What is measured").wait_for(timeout=SLOW)
    watch.look("<img src=/stolen onerror=ran(20)> sensors.csv")
    page.get_by_role("textbox", name="Name").fill(TITLE)
    page.get_by_role("textbox", name="What is measured").fill(QUANTITY)
    page.get_by_role("textbox", name="Unit", exact=True).fill(UNIT)
    page.get_by_role("button", name="Use this network").click()
    page.wait_for_url("**data=*", timeout=SLOW)
    data = query(page)["data"]
    map_frame(page)
    watch.look(TITLE)
    run = add_run(app_home, data)

    known = f"data={data}&sensor={quote(IDS[3])}"
    change = quote(json.dumps({"event": NEWS[:150]}))
    page.goto(f"{app_url}/forecast?{known}")
    map_frame(page)
    with page.expect_download(timeout=SLOW) as told:
        page.get_by_role("button", name="Report").click()
    told.value.save_as(tmp_path / "report.html")
    for name, ready, words in (
        ("images", "", ()),
        ("prompts?reading=template", "", ()),
        ("fusion", "The prompt, shaded by attention", ()),
        (f"whatif?change={change}", "What the change does", (NEWS[:30],)),
        (f"train?run={run}", "Forecast with it", (RUN,)),
        ("learn?lang=de", "Lernen", ()),
        ("compare?lang=en", "How large the errors are", ()),
    ):
        page.goto(f"{app_url}/{name}{'&' if '?' in name else '?'}{known}")
        if ready:
            page.get_by_text(ready).first.wait_for(timeout=SLOW)
        if name.startswith("prompts"):
            page.get_by_role("textbox", name="Template").fill(TEMPLATE)
            page.keyboard.press("Control+Enter")
            page.get_by_text("Line 1 of the template").wait_for(timeout=SLOW)
        watch.look(TITLE, *words)
    page.set_content((tmp_path / "report.html").read_text("utf-8"))
    watch.look(TITLE, IDS[3], QUANTITY)
    log = (app_home.parent / "app.log").read_text("utf-8")
    assert not re.search(r"ran\(|evil\.example|onerror", log)
    events = [json.loads(line)["event"] for line in log.splitlines() if line.startswith("{")]
    assert {"page data", "upload kept", "network added", "page forecast"} <= set(events)


def test_hostile_words_in_the_address_are_nothing(page, app_url):
    watch, word = Watch(page), quote("<img src=/stolen onerror=ran(30)>javascript:ran(31)//![x](http://evil.example/f.png)")
    names = (
        "sensor",
        "model",
        "run",
        "change",
        "lang",
        "cutoff",
        "step",
        "group",
        "place",
        "channel",
        "show",
        "lesson",
        "<b onload=ran(32)>",
    )
    every = "&".join(f"{quote(name)}={word}" for name in names)
    page.goto(f"{app_url}/data?data={word}")
    page.get_by_text("This server has no network of that name").wait_for(timeout=SLOW)
    watch.look()
    for name in ("forecast", "whatif", "train"):
        page.goto(f"{app_url}/{name}?data=sample:irish_wind&{every}#{word}")
        map_frame(page) if name != "train" else page.get_by_role("button", name="Start").wait_for(timeout=SLOW)
        watch.look()


def test_what_the_toolbar_of_a_table_saves_holds_no_formula(page, app_url, tmp_path):
    ids = ("=1+1", "a;=cmd|' /C calc'!A0", "x;+1+1", "-plain")
    hours = pd.date_range("2024-03-04", periods=120, freq="h").astype("str")
    waves = 40 + np.sin(np.arange(120) / 4)[:, None] + np.random.default_rng(3).normal(0, 1, (120, len(ids)))
    tables = {
        "sensors.csv": {"sensor_id": ids, "lat": 52.5 + np.arange(4) / 100, "lon": [13.4, 13.5, 13.42, 13.46]},
        "readings.csv": {"timestamp": hours, **dict(zip(ids, waves.round(2).T, strict=True))},
    }
    as_csv = {name: pd.DataFrame(columns).to_csv(index=False).encode() for name, columns in tables.items()}
    page.add_init_script("delete window.showSaveFilePicker")  # its dialog is not part of the page
    page.goto(f"{app_url}/data?source=own")
    page.locator("input[type=file]").set_input_files(
        [{"name": name, "mimeType": "text/csv", "buffer": content} for name, content in as_csv.items()]
    )
    table = page.get_by_test_id("stDataFrame").last
    table.wait_for(timeout=SLOW)
    table.hover()
    with page.expect_download(timeout=SLOW) as told:
        page.get_by_role("button", name="Download as CSV").last.click()
    told.value.save_as(tmp_path / "table.csv")
    content = (tmp_path / "table.csv").read_text("utf-8-sig")
    for end in ",;\t":
        cells = [cell.strip('"') for row in csv.reader(content.splitlines(), delimiter=end) for cell in row]
        assert [cell for cell in cells if cell.startswith(("=", "+", "@", "-p"))] == []
    assert "'=1+1" in content
    assert "a;'=cmd" in content
