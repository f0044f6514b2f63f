"""Which words of a prompt speak of which sensor, so that they have a place on the map."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stvlm.data.network import SensorNetwork
from stvlm.modalities.facts import LONGEST_NAME
from stvlm.modalities.words import plain

_SENTENCE = re.compile(r"[.;!?](?=[\s\"]|$)|\n")
_CLAUSE = re.compile(r",(?=\s)")
_LETTERS_I = str.maketrans("İı", "ii")  # of Turkish; a pattern takes them for i where upper and lower case are one


@dataclass(frozen=True)
class Mention:
    """Characters start .. stop - 1 of a text speak of the sensor at place `node` of the N axis."""

    start: int
    stop: int
    node: int


class Names:
    """Finds the sensors of a network in texts.

    A sensor is found by its name or its id where they stand as whole words; one word alone must agree in upper and lower case, so
    that a station called North is not every "north". A short one without letters ("12") is found only after "sensor", "station",
    "gauge" or "detector": else every reading of 12 would be a sensor.

    Args:
        network: its ids and the `name` of its facts.
    """

    def __init__(self, network: SensorNetwork) -> None:
        self._nodes: dict[str, int] = {}
        spelled: set[str] = set()
        for node in reversed(range(network.n_sensors)):  # of two with one name the first is meant
            for word in (network.ids[node], network.name(node)):
                if clean := plain(word, LONGEST_NAME):
                    spelled.add(clean)
                    self._nodes[_key(clean)] = node
        short = {w for w in spelled if len(w) < 2 or (len(w) < 5 and not any(c.isalpha() for c in w))}
        several = {w for w in spelled if " " in w} - short
        parts = []
        for before, words in (("", f"(?i:{_any_of(several)})" if several else ""),
                              ("", _any_of(spelled - short - several)),
                              (r"(?i:sensor|station|gauge|detector)\s+", _any_of(short))):  # fmt: skip
            if words:
                parts.append(rf"(?<!\w){before}(?P<w{len(parts)}>{words})(?!\w)")
        self._pattern = re.compile("|".join(parts)) if parts else None

    def find(self, text: str) -> tuple[Mention, ...]:
        """The parts of a text that speak of one sensor, in order, none over another.

        A name gives its place to its clause: to the words around it up to the next comma or the end of the sentence, and to the
        clauses after it in the same sentence that name nobody. Of two names in one clause each has the words up to the next.
        """
        if self._pattern is None or not (names := list(self._pattern.finditer(text))):
            return ()
        found: list[Mention] = []
        for start, stop in _pieces(_SENTENCE, text, 0, len(text), names):
            node = None
            for first, last in _pieces(_CLAUSE, text, start, stop, names):
                here = [m for m in names if first <= m.start() < last]
                if not here and node is not None:
                    found.append(Mention(first, last, node))
                for i, name in enumerate(here):
                    node = self._nodes[_key(name[name.lastgroup])]
                    begin, until = (first if i == 0 else name.start()), (here[i + 1].start() if i + 1 < len(here) else last)
                    found.append(Mention(begin, until, node))
        return tuple(found)


def _key(word: str) -> str:
    """The same for all spellings of a name that the pattern takes for it."""
    return word.translate(_LETTERS_I).casefold() if " " in word else word


def _any_of(words: set[str]) -> str:
    return "|".join(re.escape(w) for w in sorted(words, key=lambda w: (-len(w), w)))


def _pieces(border: re.Pattern[str], text: str, start: int, stop: int, names: list[re.Match[str]]) -> list[tuple[int, int]]:
    """The pieces of text[start:stop] between borders that are not part of a name; a border belongs to the piece before it."""
    ends = [m.end() for m in border.finditer(text, start, stop) if not any(n.start() <= m.start() < n.end() for n in names)]
    return [(a, b) for a, b in zip([start, *ends], [*ends, stop], strict=True) if a < b]
