"""Figures of the benchmarks: a limit is kept or not, and the page says so."""

import json
import math

import numpy as np

from benchmarks import record
from benchmarks.record import Figure
from benchmarks.scale import exponent, make_up


def test_a_limit_is_met_or_said_not_to_be():
    assert Figure("a", 120, limit=">= 100").verdict == "met"
    assert Figure("a", 99, limit=">= 100").verdict == "**not met**"
    assert Figure("a", 1.2, limit="<= 1.15").verdict == "**not met**"
    assert Figure("a", 1.2).verdict == ""


def test_a_later_run_takes_the_place_of_the_earlier_and_leaves_the_others(tmp_path, capsys):
    store = tmp_path / "results.json"
    record.keep("benchmarks.one", "How.", [Figure("speed", 3.0, "windows/s", ">= 60", "too many sensors")], store=store)
    record.keep("tests.soak.two", "Else.", [Figure("time", 5.0, "ms")], [["N", "ms"], ["200", "1.5"]], store=store)
    record.keep("benchmarks.one", "How.", [Figure("speed", 61.0, "windows/s", ">= 60")], store=store)
    assert "speed: 61 windows/s (asked >= 60: met)" in capsys.readouterr().out
    page = record.page(json.loads(store.read_text()))
    assert "| speed | 61 windows/s | ≥ 60 windows/s | met |" in page
    assert "| time | 5 ms |  |  |" in page
    assert "| 200 | 1.5 |" in page
    assert page.index("python -m benchmarks.one") < page.index("python -m tests.soak.two")
    assert "torch" in page


def test_ratios_are_of_runs_that_took_turns():
    order = []
    found = record.in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2, clock=lambda: float(len(order)))
    assert order == ["a", "b"] * 3
    assert found == {"a": [1.0, 1.0], "b": [1.0, 1.0]}
    assert record.ratio([2.0, 9.0, 4.0], [1.0, 3.0, 2.0]) == 2.0


def test_an_exponent_is_the_slope_through_the_last_sizes():
    rows = [{"n": n, "stages": {"window": (n**1.3 if n > 400 else 5.0, 7 * n)}} for n in (200, 400, 800, 1600, 3200, 6400, 10_000)]
    assert math.isclose(exponent(rows, "window", 0), 1.3)
    assert math.isclose(exponent(rows, "window", 1), 1.0)


def test_a_made_up_file_holds_readings_at_its_end_and_takes_no_room_before(tmp_path):
    make_up(3, 50_000, tmp_path / "readings.npy")
    values = np.load(tmp_path / "readings.npy", mmap_mode="r")
    assert values.shape == (50_000, 3)
    assert (values[:40_000] == 0).all()
    assert 30 < values[-2000:].min() < values.max() < 90
    assert (tmp_path / "readings.npy").stat().st_blocks * 512 < 200_000
