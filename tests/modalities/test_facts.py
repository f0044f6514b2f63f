"""Words that speak of a sensor: found by name, with the clause around it, and by nothing else."""

import numpy as np
import pandas as pd
import pytest

from stvlm.core.network import SensorNetwork
from stvlm.modalities.text.facts import Names


def names(*words: str) -> Names:
    n = len(words)
    facts = pd.DataFrame({"name": list(words)})
    return Names(SensorNetwork(tuple(f"id-{i}x" for i in range(n)), 48 + np.arange(n) / 10, 11 + np.zeros(n), facts=facts))


def parts(found: Names, text: str) -> list[tuple[str, int]]:
    return [(text[m.start : m.stop], m.node) for m in found.find(text)]


def test_a_name_gives_its_place_to_its_clause():
    text = 'It is Monday. Incident now: "crash near Ring north 2". Lowest: Ring north 2 (north) 18 km/h, Mill road 9 km/h.'
    assert parts(names("Ring north 2", "Mill road"), text) == [
        (' Incident now: "crash near Ring north 2".', 0),
        (" Lowest: Ring north 2 (north) 18 km/h,", 0),
        (" Mill road 9 km/h.", 1),
    ]


def test_a_clause_that_names_nobody_goes_with_the_name_before_it():
    assert parts(names("Mill road"), "Rain, fire at Mill road, two lanes closed; clear elsewhere.") == [
        (" fire at Mill road,", 0),
        (" two lanes closed;", 0),
    ]


def test_of_two_names_in_one_clause_each_has_the_words_up_to_the_next():
    assert parts(names("Mill road", "Old bridge"), "jam from Mill road to Old bridge today") == [
        ("jam from Mill road to ", 0),
        ("Old bridge today", 1),
    ]


def test_the_longer_name_wins_and_parts_of_words_are_no_names():
    found = names("Ring north 2", "Ring north 21", "Mill")
    assert parts(found, "crash near Ring north 21") == [("crash near Ring north 21", 1)]
    assert parts(found, "the Millennium bridge, a mill") == []
    assert parts(found, "slow at Mill") == [("slow at Mill", 2)]
    assert parts(found, "id-1x is down") == [("id-1x is down", 1)]


def test_short_numbers_are_readings_unless_the_text_says_sensor():
    network = SensorNetwork(("12", "773869"), np.array([48.0, 48.1]), np.array([11.0, 11.1]))
    assert parts(Names(network), "The mean is 12 km/h.") == []
    assert parts(Names(network), "Sensor 12 is being repaired.") == [("Sensor 12 is being repaired.", 0)]
    assert parts(Names(network), "Lowest: 773869 (north) 12 km/h.") == [("Lowest: 773869 (north) 12 km/h.", 1)]


@pytest.mark.parametrize("name", ["a.b*c(", "[x]|y", "Łódź, main street"])
def test_names_are_text_and_not_patterns(name):
    assert parts(names(name, "other one"), f"fire near {name} now")[0][1] == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Hauptstraße 5", "crash near Hauptstraße 5 now"),
        ("kadıköy iskele", "crash near KADIKÖY ISKELE now"),
        ("İstiklal caddesi", "jam at istiklal Caddesi"),
    ],
)
def test_a_name_of_several_words_is_found_in_any_case_of_any_language(name, text):
    assert parts(names(name, "other one"), text) == [(text, 0)]
