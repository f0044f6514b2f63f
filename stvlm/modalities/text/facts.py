"""What a prompt can say of a window: facts in words, and which sensor each number is from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.modalities.text.format import (
    directions,
    duration_text,
    moment_text,
    number_text,
    place_text,
    plain,
    season_text,
    weekday_text,
    with_unit,
)

LONGEST_NAME, LONGEST_CELL = 60, 160  # characters
MOST_EVENTS = 2  # texts of the context that are told, the newest first
MOST_COLUMNS = 8  # numeric columns of the context that are told
UNITS = {"_mm": "mm", "_c": "°C", "_kmh": "km/h", "_ms": "m/s", "_pct": "%", "_hpa": "hPa"}  # endings of column names


@dataclass(frozen=True)
class Number:
    """A number of the prompt and where it comes from.

    Attributes:
        text: as it stands in the prompt. value: the same, unrounded. what: kind of the sentence.
        sensor: id of the sensor it is of; "" for the whole network or the context.
        first, last: steps of the lookback, 0 .. L - 1, that it is of: twice the same, or those that are compared.
    """

    text: str
    value: float
    what: str
    sensor: str = ""
    first: int = 0
    last: int = 0


@dataclass(frozen=True)
class Standout:
    """A sensor that stands out: as text "Bridge (north-east) 71.2 km/h"."""

    id: str
    name: str
    direction: str
    value: float
    text: str

    def __str__(self) -> str:
        return f"{self.name} ({self.direction}) {self.text}"


class _Known:
    """What is the same for every window of a series, made once."""

    def __init__(self, series: SensorSeries) -> None:
        network = series.network
        self.names = [plain(network.name(i), LONGEST_NAME) for i in range(network.n_sensors)]
        self.directions = directions(network.position_km, network.half_extent_km)
        position = network.position_km
        extent = np.maximum(position.max(axis=0) - position.min(axis=0), 0)
        self.place = {
            "quantity": plain(series.quantity),
            "unit": plain(series.unit, 30),
            "n_sensors": network.n_sensors,
            "place": place_text(*network.centre),
            "width": f"{number_text(extent[0])} km",
            "height": f"{number_text(extent[1])} km",
        }
        context = pd.DataFrame() if series.context is None else series.context.rename(columns=str)
        numeric = [c for c in context.columns if pd.api.types.is_numeric_dtype(context[c])]
        self.holiday = tuple(c for c in context.columns if "holiday" in c.lower())
        self.numbers = {c: context[c].to_numpy("float64", na_value=np.nan) for c in numeric}
        self.texts = {c: context[c].to_numpy("object") for c in context.columns if c not in numeric}
        filled = {c: context[c].notna() & (context[c].astype("str").str.strip() != "") for c in self.texts if c not in self.holiday}
        self.told = {c: np.flatnonzero(rows.to_numpy(bool)) for c, rows in filled.items()}  # rows that hold a text
        self.ahead = tuple(str(c) for c in series.known_ahead)


_KNOWN: WeakKeyDictionary[SensorSeries, _Known] = WeakKeyDictionary()


def _known(series: SensorSeries) -> _Known:
    if series not in _KNOWN:
        _KNOWN[series] = _Known(series)
    return _KNOWN[series]


def gather_facts(window: Window, n_standouts: int, n_ahead: int) -> tuple[dict, tuple[Number, ...]]:
    """Everything a template may say of a window, from readings before the cutoff and from context that is known by then.

    Args:
        window: past and horizon; its future is not looked at.
        n_standouts: sensors told at either end. n_ahead: sentences at most on context that is known ahead.

    Returns:
        facts: name -> text, number, list of texts or of Standout; every name is always there, "" or [] where there is nothing.
        numbers: those of the readings, with the sensor they are of.
    """
    series = window.series
    known = _known(series)
    now = series.local_times[window.cutoff - 1]
    numbers: list[Number] = []
    facts = known.place | {
        "moment": moment_text(now, series.step_seconds),
        "season": season_text(now, series.network.centre[0]),
        "lookback": duration_text(window.lookback * series.step_seconds),
        "horizon": window.horizon,
        "step": duration_text(series.step_seconds),
        "holiday": any(_is_holiday(known, c, window.cutoff - 1) for c in known.holiday),
        "context": _context_now(known, window.cutoff - 1),
        "events": _events(known, window),
        "ahead": _ahead(known, window, n_ahead),
    }
    return facts | _picture(known, window, n_standouts, numbers), tuple(numbers)


def has_event(series: SensorSeries, cutoffs: np.ndarray) -> np.ndarray:
    """(W,) bool: whether a text of the context appears at the last step before each cutoff (W,), so that no reading shows it yet."""
    known = _known(series)
    news = np.zeros(series.n_steps + 1, dtype=bool)
    for column, rows in known.told.items():
        cells = known.texts[column]
        news[[row + 1 for row in rows if row == 0 or pd.isna(cells[row - 1]) or cells[row] != cells[row - 1]]] = True
    return news[cutoffs]


def _picture(known: _Known, window: Window, n_standouts: int, numbers: list[Number]) -> dict:
    """Level, trend, spread and the sensors that stand out in the lookback; fills `numbers`."""
    past, step = window.past, window.series.step_seconds
    seen = np.isfinite(past)  # (L, N)
    unit, ids = known.place["unit"], window.series.network.ids
    facts: dict = dict.fromkeys(("level", "level_age", "trend", "spread", "missing"), "")
    facts |= {"highest": [], "lowest": [], "movers": []}

    def tell(value: float, what: str, sensor: str = "", steps: tuple[int, int] | None = None) -> str:
        text = with_unit(value, unit)
        numbers.append(Number(text, float(value), what, sensor, *(steps or (int(row), int(row)))))
        return text

    share = 1 - seen.mean()
    if share > 0:
        facts["missing"] = f"{number_text(100 * share)} %" if share < 1 else "All"
    steps = np.flatnonzero(seen.any(axis=1))
    if not len(steps):
        return facts
    row = steps[-1]
    nodes = np.flatnonzero(seen[row])
    values = past[row, nodes].astype("f8")
    facts["level"] = tell(values.mean(), "level")
    if age := len(past) - 1 - row:
        facts["level_age"] = f"read {duration_text(int(age) * step)} before the cutoff"
    if len(values) > 1:
        facts["spread"] = tell(values.std(), "spread")
    ends = min(n_standouts, len(nodes) // 2)
    order = np.argsort(values, kind="stable")

    def standout(node: int, value: float, what: str, sign: str = "", steps: tuple[int, int] | None = None) -> Standout:
        text = sign + tell(abs(value) if sign else value, what, ids[node], steps)
        return Standout(ids[node], known.names[node], known.directions[node], float(value), text)

    facts["highest"] = [standout(nodes[i], values[i], "highest") for i in order[::-1][:ends]]
    facts["lowest"] = [standout(nodes[i], values[i], "lowest") for i in order[:ends]]

    twice = np.flatnonzero(seen.sum(axis=0) > 1)
    if len(twice):
        first = seen[:, twice].argmax(axis=0)
        last = len(past) - 1 - seen[::-1, twice].argmax(axis=0)
        change = past[last, twice].astype("f8") - past[first, twice]
        facts["trend"] = _trend(change.mean(), lambda *told: tell(*told, steps=(int(first.min()), int(last.max()))))
        if len(twice) > 1:
            ends = {int(change.argmax()): "+", int(change.argmin()): "-"}
            facts["movers"] = [
                standout(twice[i], change[i], "movers", "-" if change[i] < 0 else "+", (int(first[i]), int(last[i])))
                for i in ends
                if change[i]
            ]
    return facts


def _trend(change: float, tell) -> str:
    if number_text(change) == "0":
        return "did not change"
    return f"{'rose' if change > 0 else 'fell'} by {tell(abs(change), 'trend')}"


def _cell(known: _Known, column: str, steps: slice | int) -> str:
    """One cell, or a block of cells, of the context in words: mean of numbers, first text; "" where nothing is known."""
    if column in known.numbers:
        block = np.atleast_1d(known.numbers[column][steps])
        block = block[np.isfinite(block)]
        if not len(block):
            return ""
        if column in known.holiday:
            return "yes" if block.max() > 0 else "no"
        unit = next((u for ending, u in UNITS.items() if column.endswith(ending)), "")
        return with_unit(block.mean(), unit)
    texts = [t for cell in np.atleast_1d(known.texts[column][steps]) if (t := _text(cell))]
    return f'"{texts[0]}"' if texts else ""


def _label(column: str) -> str:
    ending = next((e for e in UNITS if column.endswith(e) and len(column) > len(e)), "")
    return plain(column.removesuffix(ending).replace("_", " "), 40)


def _text(cell: object) -> str:
    return plain(cell, LONGEST_CELL) if isinstance(cell, str) else "" if pd.isna(cell) else plain(cell, LONGEST_CELL)


def _is_holiday(known: _Known, column: str, step: int) -> bool:
    return _cell(known, column, step) not in ("", "no", '"no"', '"0"', '"False"', '"false"')


def _context_now(known: _Known, step: int) -> list[str]:
    """Numeric context at the last step: "total precip 1.7 mm"; holidays are told with the time."""
    columns = [c for c in known.numbers if c not in known.holiday][:MOST_COLUMNS]
    return [f"{_label(c)} {_cell(known, c, step) or 'unknown'}" for c in columns]


def _events(known: _Known, window: Window) -> list[str]:
    """Texts of the context within the lookback, the newest first, each with its age: 'Incident 15 minutes ago: "crash"'."""
    found: list[tuple[int, str, str]] = []
    for column, rows in known.told.items():
        cells, seen = known.texts[column], set()
        for row in rows[np.searchsorted(rows, window.cutoff - window.lookback) : np.searchsorted(rows, window.cutoff)][::-1]:
            if cells[row] not in seen:
                seen.add(cells[row])
                found.append((window.cutoff - 1 - int(row), column, _text(cells[row])))
            if len(seen) == MOST_EVENTS:
                break
    sentences = []
    for age, column, text in sorted(found, key=lambda f: f[0])[:MOST_EVENTS]:
        when = f"{duration_text(age * window.series.step_seconds)} ago" if age else "now"
        label = _label(column)
        sentences.append(f'{label[:1].upper()}{label[1:]} {when}: "{text}"')
    return sentences


def _ahead(known: _Known, window: Window, n_ahead: int) -> list[str]:
    """Context that is known ahead: one sentence per step, per block of steps of a long horizon, per run of equal words."""
    series = window.series
    steps = min(window.cutoff + window.horizon, series.n_steps) - window.cutoff
    if not known.ahead or steps <= 0 or n_ahead < 1:
        return []
    runs: list[tuple[int, int, str]] = []  # first and last step, words
    for block in np.array_split(np.arange(steps), min(n_ahead, steps)):
        first, last = int(block[0]), int(block[-1])
        rows = slice(window.cutoff + first, window.cutoff + last + 1)
        words = ", ".join(f"{_label(c)} {cell}" for c in known.ahead if (cell := _cell(known, c, rows)))
        if runs and runs[-1][2] == words:
            runs[-1] = (runs[-1][0], last, words)
        else:
            runs.append((first, last, words))
    sentences = []
    for first, last, words in runs:
        when = duration_text((last + 1) * series.step_seconds)
        if first != last:
            when = f"{duration_text((first + 1) * series.step_seconds)} to {when}"
        elif series.step_seconds == 86400:
            when += f" ({weekday_text(series.local_times[window.cutoff + first])})"
        if words:
            sentences.append(f"In {when}: {words}")
    return sentences


# Which words of a prompt speak of which sensor, so that they have a place on the map.

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
