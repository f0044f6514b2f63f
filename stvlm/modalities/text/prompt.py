"""One window → one prompt in plain words, within a budget of tokens that is kept by dropping whole sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

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

    Only readings before the cutoff are used, context before it, and in the horizon the columns in `known_ahead`.

    Args:
        window: what to tell of. config: template and budget.
        count_tokens: how many tokens the backbone makes of a text.

    Raises:
        TemplateError: a template that cannot be used.
    """
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
