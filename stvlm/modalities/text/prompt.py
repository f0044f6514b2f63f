"""One window → one prompt in plain words, within a budget of tokens that is kept by dropping whole sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from stvlm.core.windows import Window
from stvlm.modalities.text.facts import Number, Standout, gather_facts
from stvlm.modalities.text.template import DEFAULT_TEMPLATE, KINDS, OTHER_KIND, TemplateError, check_template, render_template

__all__ = [
    "DEFAULT_TEMPLATE",
    "DROP_ORDER",
    "Number",
    "Prompt",
    "PromptConfig",
    "Sentence",
    "Standout",
    "TemplateError",
    "describe_window",
    "render_template",
]

# Which kind of sentence goes first: what the readings tell anyway goes before what only words can tell; the task goes last.
DROP_ORDER = (
    "spread",
    "movers",
    "where",
    "missing",
    OTHER_KIND,
    "lowest",
    "highest",
    "trend",
    "level",
    "context",
    "ahead",
    "when",
    "event",
    "task",
)


@dataclass(frozen=True)
class PromptConfig:
    """How a window is put into words.

    Attributes:
        template: Jinja, one sentence a line as "kind: text"; see `render_template`.
        max_tokens: the budget.
        n_standouts: sensors told at either end of the network.
        n_ahead: sentences at most on context that is known ahead.
        drop_order: kinds, the first to go first; within a kind the last sentence goes first.
    """

    template: str = DEFAULT_TEMPLATE
    max_tokens: int = 160
    n_standouts: int = 3
    n_ahead: int = 7
    drop_order: tuple[str, ...] = DROP_ORDER

    def __post_init__(self) -> None:
        if self.max_tokens < 0 or self.n_standouts < 0 or self.n_ahead < 0:
            raise ValueError("max_tokens, n_standouts and n_ahead must not be negative.")
        if unknown := set(self.drop_order) - {*KINDS, OTHER_KIND}:
            raise ValueError(f"drop_order names unknown kinds of sentences: {', '.join(sorted(unknown))}.")
        check_template(self.template)


@dataclass(frozen=True)
class Sentence:
    """One sentence, what it tells of, and whether the budget had room for it."""

    text: str
    kind: str
    kept: bool = True


@dataclass(frozen=True)
class Prompt:
    """A prompt and how it came about.

    Attributes:
        text: the kept sentences. tokens_used: of `text`. budget: tokens allowed.
        sentences: all, in their order, dropped ones too.
        facts: what the template could use. numbers: those of the readings, with the sensor they are of.
    """

    text: str
    tokens_used: int
    budget: int
    sentences: tuple[Sentence, ...]
    facts: dict = field(default_factory=dict)
    numbers: tuple[Number, ...] = ()


def describe_window(window: Window, config: PromptConfig, count_tokens: Callable[[str], int]) -> Prompt:
    """Put a window into words, with raw values and units.

    Only readings before the cutoff are used, without far outliers, context before it, and in the horizon the columns in `known_ahead`.

    Args:
        window: what to tell of. config: template and budget.
        count_tokens: how many tokens the backbone makes of a text.

    Raises:
        TemplateError: a template that cannot be used.
    """
    window = replace(window, series=window.series.screened)
    facts, numbers = gather_facts(window, config.n_standouts, config.n_ahead)
    told = render_template(config.template, facts)
    kept, used = _within(told, config, count_tokens)
    sentences = tuple(Sentence(text, kind, i in kept) for i, (kind, text) in enumerate(told))
    return Prompt(_join(told, kept), used, config.max_tokens, sentences, facts, numbers)


def _join(told: list[tuple[str, str]], kept: set[int]) -> str:
    return " ".join(text for i, (_, text) in enumerate(told) if i in kept)


def _within(told: list[tuple[str, str]], config: PromptConfig, count_tokens: Callable[[str], int]) -> tuple[set[int], int]:
    """Which sentences fit, and the tokens that they take."""
    rank = {kind: place for place, kind in enumerate(config.drop_order)}  # a kind not named goes last
    order = sorted(range(len(told)), key=lambda i: (rank.get(told[i][0], len(rank)), -i))
    kept = set(range(len(told)))
    used = count_tokens(_join(told, kept))
    for i in order:
        if used <= config.max_tokens:
            break
        kept.remove(i)
        used = count_tokens(_join(told, kept)) if kept else 0
    return kept, used


# Provenance: where each number of a prompt comes from.

FIGURE = re.compile(r"\d+(?:[.,:]\d+)*")
_OF_THE_KIND = {  # the facts asked first, where several would do
    "where": ("n_sensors", "place", "width", "height"),
    "when": ("moment",),
    "event": ("events",),
    "context": ("context",),
    "ahead": ("ahead",),
    "trend": ("lookback",),
    "missing": ("missing",),
    "task": ("horizon", "step"),
}
_TEMPLATE = "template"


@dataclass(frozen=True)
class Origin:
    """A number of a prompt.

    Attributes:
        start, end: its place in the text of the prompt. text: as it stands there.
        source: "reading"; "name" of a sensor; the name of the fact that it stands in; or "template".
        kind: of the sentence. sensor: id; "" for the whole network or none.
        value: unrounded, in the unit; None where it is no reading. first, last: steps of the lookback; None where there is no such.
    """

    start: int
    end: int
    text: str
    source: str
    kind: str
    sensor: str = ""
    value: float | None = None
    first: int | None = None
    last: int | None = None


def trace_numbers(prompt: Prompt) -> tuple[Origin, ...]:
    """The origin of every number that stands in a prompt, in the order of the text."""
    found, start, unused = [], 0, list(prompt.numbers)
    for sentence in prompt.sentences:
        own = list(_trace(sentence, prompt.facts, unused))
        if sentence.kept:
            found += [_moved(origin, start) for origin in own]
            start += len(sentence.text) + 1
    return tuple(found)


def _moved(origin: Origin, by: int) -> Origin:
    return Origin(origin.start + by, origin.end + by, *(getattr(origin, name) for name in list(origin.__dataclass_fields__)[2:]))


def _trace(sentence: Sentence, facts: dict, unused: list[Number]) -> Iterator[Origin]:
    text, kind, end, told = sentence.text, sentence.kind, 0, set()
    for figure in FIGURE.finditer(text):
        if figure.start() < end:
            continue
        reading = _reading_at(text, figure.start(), kind, facts, unused)
        if reading is not None:
            unused.remove(reading)
            start = figure.start() - (figure.start() > 0 and text[figure.start() - 1] in "+-")
            end = figure.start() + len(reading.text) if reading.value >= 0 else start + len(reading.text)
            value = -abs(reading.value) if text[start] == "-" else reading.value
            yield Origin(start, end, text[start:end], "reading", kind, reading.sensor, value, reading.first, reading.last)
            continue
        end = figure.end()
        source, sensor = _fact_at(text, figure.start(), figure.end(), kind, facts, told)
        yield Origin(figure.start(), end, figure[0], source, kind, sensor)


def _reading_at(text: str, start: int, kind: str, facts: dict, unused: list[Number]) -> Number | None:
    """The reading that stands at a place: the one whose sensor is named before it, else the first of the sentence's kind."""
    here = [n for n in unused if text.startswith(n.text, start - (n.text.startswith("-")))]
    names = {
        s.id: f"{s.name} ({s.direction})"
        for value in facts.values()
        if isinstance(value, list)
        for s in value
        if isinstance(s, Standout)
    }
    before = text[:start].rstrip(" +-")
    named = [n for n in here if n.sensor and before.endswith(names.get(n.sensor, "\0"))]
    nameless = [n for n in here if not n.sensor or not any(before.endswith(name) for name in names.values())]
    for group in ([n for n in named if n.what == kind], named, [n for n in nameless if n.what == kind], nameless):
        if group:
            return group[0]
    return None


def _fact_at(text: str, start: int, end: int, kind: str, facts: dict, told: set[tuple[str, int]]) -> tuple[str, str]:
    """The fact whose words cover a place, and the sensor whose name it stands in; two equal facts are told one after the other.

    Args:
        told: (fact, place of its words) of those told of this sentence; grows.
    """
    first = _OF_THE_KIND.get(kind, ())
    for name in (*first, *(n for n in facts if n not in first)):
        for part in facts[name] if isinstance(facts[name], list) else [facts[name]]:
            words = part.name if isinstance(part, Standout) else str(part)
            if not words or isinstance(part, bool):
                continue
            for match in re.finditer(rf"(?<!\w){re.escape(words)}(?!\w)", text):
                is_another = any(fact == name and place != match.start() for fact, place in told) and isinstance(facts[name], str)
                if match.start() <= start and end <= match.end() and not is_another:
                    told.add((name, match.start()))
                    return ("name", part.id) if isinstance(part, Standout) else (name, "")
    return _TEMPLATE, ""
