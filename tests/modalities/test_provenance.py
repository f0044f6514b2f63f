"""Each number of a prompt is traced to its sensor and time or to its fact; shown as HTML, all text stays text."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stvlm.charts.figures.teaching import Mark, align, prompt_diff_html, prompt_links_html
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.modalities.text.prompt import FIGURE, Prompt, PromptConfig, describe_window, trace_numbers

WORDS = {"hint": "hint", "map": "map", "text": "text", "token": "token"}


@pytest.fixture(scope="module")
def window(small_series: SensorSeries) -> Window:
    """The small network; its second sensor has a number in its name, and another sensor's exact reading."""
    names = pd.DataFrame({"name": ["Gate 7", "Gate 12", "Market", "Station", "Harbour", "Hill <b>road</b>"]})
    values = np.nan_to_num(small_series.values, nan=50.0)
    values[299, :2] = 90.25
    context = pd.DataFrame({"rain_mm": np.arange(len(values)) % 7, "news": ["fire at gate 9"] + [""] * (len(values) - 1)})
    series = replace(small_series, network=replace(small_series.network, facts=names), values=values, context=context)
    return Window(series, 300, 12, 4)


def tell(window: Window, **config: object) -> Prompt:
    return describe_window(window, PromptConfig(**{"max_tokens": 10_000} | config), lambda text: len(text.split()))


def test_every_number_of_the_usual_prompt_has_an_origin(window):
    prompt = tell(window)
    origins = trace_numbers(prompt)
    assert all(prompt.text[o.start : o.end] == o.text for o in origins)
    covered = {i for o in origins for i in range(o.start, o.end)}
    assert {m[0] for m in FIGURE.finditer(prompt.text) if m.start() not in covered} == set()
    assert {o.source for o in origins if o.sensor == ""} >= {
        "n_sensors",
        "place",
        "width",
        "height",
        "moment",
        "context",
        "horizon",
        "step",
    }
    assert "template" not in {o.source for o in origins}


def test_a_reading_is_traced_to_its_sensor_its_time_and_its_exact_value(window):
    origins = [o for o in trace_numbers(tell(window)) if o.source == "reading" and o.kind in ("highest", "lowest", "movers")]
    ids, past = window.series.network.ids, window.past
    assert len(origins) == 8
    for o in origins:
        node = ids.index(o.sensor)
        change = past[o.last, node] - past[o.first, node] if o.kind == "movers" else past[o.last, node]
        assert o.value == pytest.approx(change, abs=1e-5)
    equal = {o.sensor: o.value for o in origins if o.kind == "highest"}
    assert (equal["01"], equal["02"]) == (90.25, 90.25)  # told apart by the names before them
    names = [(o.text, o.sensor) for o in trace_numbers(tell(window)) if o.source == "name" and o.kind == "highest"]
    assert sorted(names) == [("12", "02"), ("7", "01")]


def test_numbers_of_sentences_that_were_dropped_do_not_shift_the_others(window):
    prompt = tell(window, max_tokens=40)
    assert not all(s.kept for s in prompt.sentences)
    assert all(prompt.text[o.start : o.end] == o.text for o in trace_numbers(prompt))


def test_in_an_own_template_readings_are_found_and_its_own_numbers_told_apart(window):
    prompt = tell(window, template="Rule 3: {{ lowest|first }} is low, mean {{ level }}, {{ n_sensors }} sensors.")
    found = [(o.text, o.source, o.sensor != "") for o in trace_numbers(prompt)]
    assert [f[1:] for f in found if f[0] in ("3", "6")] == [("template", False), ("n_sensors", False)]
    assert sum(f[1] == "reading" for f in found) == 2


def test_tokens_and_numbers_are_spans_and_text_of_a_user_stays_text(window):
    prompt = tell(window)
    tokens = tuple(prompt.text[i : i + 5] for i in range(0, len(prompt.text), 5))
    marks = [Mark(o.start, o.end, "</script><img src=x>", 0) for o in trace_numbers(prompt)]
    html = prompt_links_html(prompt.text, tokens, marks, window.series.network, WORDS)
    assert html.count("data-mark=") == len(marks)
    assert html.count(" f' title=") == len(tokens)
    assert html.count("<circle cx=") == 6
    assert "<img" not in html
    assert "<b>road" not in html
    assert html.count("</script>") == 1
    assert "//" not in html.replace("http://www.w3.org", "")
    with pytest.raises(ValueError, match="joined"):
        prompt_links_html(prompt.text, tokens[1:], marks, window.series.network, WORDS)


def test_two_prompts_stand_side_by_side_and_differences_are_marked():
    rows = align(
        [("when", "It is Monday."), ("level", "The mean is 5 <b>km</b>.")],
        [("level", "The mean is 6 <b>km</b>."), ("event", "Fire.")],
    )
    assert [row[0] for row in rows] == ["when", "level", "event"]
    assert rows[2] == ("event", "", "Fire.")
    html = prompt_diff_html(rows, ("Tells of", "here", "there"))
    assert ">5</mark> &lt;b&gt;km" in html
    assert ">6</mark> &lt;b&gt;km" in html
    assert "<b>" not in html
