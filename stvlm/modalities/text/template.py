"""The template of a prompt: Jinja's grammar, one sentence with its kind on each line, worked out step by step within fixed bounds.

Jinja only parses. The tree is checked against a list of what may stand in it and is then interpreted here: no code is made of a
template, each step is counted, and every value on the way has a largest size. The bounds are counts, so that a template which is sound
on one machine is sound on all.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from jinja2 import Environment, StrictUndefined, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.filters import do_capitalize, do_default, do_float, do_int, do_round, do_title

from stvlm.io.source import show
from stvlm.modalities.text.format import number_text

LONGEST_TEMPLATE = 8000  # characters
LONGEST_PROMPT = 8000  # characters; of every text on the way to it, too
LONGEST_LIST = 10_000  # items
LARGEST_NUMBER = 2**63
MOST_DIGITS = 20  # to round to
MOST_STEPS = 20_000  # parts of a template worked out, as often as loops come to them
SIZE_OF_A_STEP = 20  # characters or items that count as one step more
DEEPEST_LOOP = 2
DEEPEST_NESTING = 100
LONGEST_MESSAGE = 450  # characters of what is wrong with it
KINDS = (
    "where",
    "when",
    "level",
    "trend",
    "spread",
    "highest",
    "lowest",
    "movers",
    "missing",
    "context",
    "event",
    "ahead",
    "task",
)
OTHER_KIND = "note"  # of a line that begins with no kind

DEFAULT_TEMPLATE = """\
where: {{ n_sensors }} sensor{{ "s" if n_sensors != 1 else "" }} around {{ place }}, {{ width }} wide, {{ height }} high: \
{{ quantity }}{{ " in " if unit else "" }}{{ unit }}.
when: It is {{ moment }}, in {{ season }}{{ ", a holiday" if holiday else "" }}.
{% for event in events %}
event: {{ event }}.
{% endfor %}
{% if context %}
context: Now {{ context|join(", ") }}.
{% endif %}
{% for step in ahead %}
ahead: {{ step }}.
{% endfor %}
{% if level %}
level: The mean is {{ level }}{{ ", " if level_age else "" }}{{ level_age }}.
{% else %}
level: No sensor has reported in the last {{ lookback }}.
{% endif %}
{% if trend %}
trend: It {{ trend }} over the last {{ lookback }}.
{% endif %}
{% if spread %}
spread: The sensors differ by {{ spread }} (one standard deviation).
{% endif %}
{% if highest %}
highest: Highest: {{ highest|join(", ") }}.
{% endif %}
{% if lowest %}
lowest: Lowest: {{ lowest|join(", ") }}.
{% endif %}
{% if movers %}
movers: Changed most: {{ movers|join(", ") }}.
{% endif %}
{% if missing %}
missing: {{ missing }} of the recent readings are missing.
{% endif %}
task: Forecast the next {{ horizon }} step{{ "s" if horizon != 1 else "" }} of {{ step }}.
"""

# What a template may hold: no calls, assignments, products, joins of text (~) or macros.
_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.If,
    nodes.For,
    nodes.Filter,
    nodes.Test,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.CondExpr,
    nodes.Add,
    nodes.Sub,
    nodes.Div,
    nodes.Neg,
    nodes.Keyword,
)
_NAMES = {
    nodes.Call: "A call such as range(...)",
    nodes.Assign: "{% set %}",
    nodes.AssignBlock: "{% set %}",
    nodes.Mul: "A product (*)",
    nodes.Pow: "A power (**)",
    nodes.Mod: "The sign %",
    nodes.Concat: "The sign ~",
    nodes.Macro: "{% macro %}",
    nodes.Include: "{% include %}",
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% import %}",
    nodes.Extends: "{% extends %}",
    nodes.FilterBlock: "{% filter %}",
}
_NO_LIST = "A loop runs over a list of facts."
_TOO_LONG = f"it makes more than {LONGEST_PROMPT} characters."
_HALF_LETTER = re.compile("[\ud800-\udfff]")


class TemplateError(ValueError):
    """A template that cannot be used, with its place.

    Attributes:
        line: 1 is the first; 0 where the place is not known. field: the name that is not known or not allowed; "" for none.
        near: known names that are spelt much like it.
    """

    def __init__(self, message: str, line: int = 0, field: str = "", near: tuple[str, ...] = ()) -> None:
        short = show(re.sub(r"\S{60,}", lambda word: show(word[0]), message), LONGEST_MESSAGE)
        super().__init__(f"Line {line} of the template: {short}" if line else f"The template: {short}")
        self.line, self.field, self.near = line, field, near


def render_template(template: str, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Fill a template in.

    Args:
        template: Jinja; each line that results is one sentence, "kind: text" with a kind of KINDS, else of OTHER_KIND.
        facts: names that the template may use, each with words, numbers, or lists of them.

    Returns:
        (kind, sentence) of each line that is not empty, in their order; white space is made single.

    Raises:
        TemplateError: wrong syntax, something that is not allowed, an unknown fact, or more than the bounds above.
    """
    rendering = _Rendering()
    try:
        rendering.write(check_template(template).body, facts)
    except UndefinedError as error:
        name = (re.match(r"'([^']+)' is undefined", error.message or "") or ("", ""))[1]
        near = tuple(get_close_matches(name, facts, 3, 0.5))
        known = f"{error.message}. Known facts: {', '.join(sorted(facts))}."
        raise TemplateError(known, rendering.line, name, near) from error
    except (TypeError, ValueError, ArithmeticError) as error:
        if isinstance(error, TemplateError):
            raise
        raise TemplateError(str(error), rendering.line) from error
    return [_sentence(line) for line in "".join(rendering.pieces).splitlines() if line.strip()]


@lru_cache(maxsize=16)
def check_template(template: str) -> nodes.Template:
    """The tree of a template.

    Raises:
        TemplateError: wrong syntax, or something that is not allowed whatever the facts are.
    """
    if len(template) > LONGEST_TEMPLATE:
        raise TemplateError(f"it has more than {LONGEST_TEMPLATE} characters.")
    try:
        tree = _ENVIRONMENT.parse(template)
    except TemplateSyntaxError as error:
        raise TemplateError(f"{error.message}", error.lineno) from error
    except RecursionError as error:
        raise TemplateError("it is nested too deep.") from error
    except ValueError as error:  # Python reads no decimal number of more than 4,300 digits
        raise TemplateError("a number is too large.") from error
    _check(tree)
    return tree


def _check(node: nodes.Node, loops: int = 0, depth: int = 0) -> None:
    """Refuse whatever is not in the lists of this file."""
    if depth > DEEPEST_NESTING:
        raise TemplateError("it is nested too deep.", node.lineno)
    if not isinstance(node, _ALLOWED):
        raise TemplateError(f"{_NAMES.get(type(node), type(node).__name__)} is not allowed.", node.lineno)
    for kind, known, word in ((nodes.Filter, _FILTERS, "filter"), (nodes.Test, _TESTS, "test")):
        if isinstance(node, kind):
            if node.name not in known:
                message = f"The {word} '{node.name}' is not allowed; allowed are {', '.join(known)}."
                raise TemplateError(message, node.lineno, node.name, tuple(get_close_matches(node.name, known, 3, 0.5)))
            if node.dyn_args or node.dyn_kwargs:
                raise TemplateError("* and ** are not allowed before what a filter is given.", node.lineno)
    if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        raise TemplateError(f"access to attribute '{node.attr}' is unsafe.", node.lineno)
    if isinstance(node, nodes.Const | nodes.TemplateData):
        _bounded(node.as_const(), node.lineno)
    if isinstance(node, nodes.For):
        loops += 1
        if loops > DEEPEST_LOOP or node.recursive:
            raise TemplateError(f"Loops may lie in each other {DEEPEST_LOOP} deep.", node.lineno)
        if isinstance(node.iter, nodes.Const):
            raise TemplateError(_NO_LIST, node.lineno)
    for child in node.iter_child_nodes():
        _check(child, loops, depth + 1)


class _Rendering:
    """One run through a template.

    Attributes:
        pieces: of the text. line: of the template, where the run is now.
    """

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.line = self._steps = self._length = 0

    def write(self, body: Sequence[nodes.Node], names: Mapping[str, Any]) -> None:
        """Add what statements say.

        Args:
            names: facts, and those that loops have given.
        """
        for node in body:
            self._spend(1, node.lineno)
            if isinstance(node, nodes.If):
                self.write(self._branch(node, names), names)
            elif isinstance(node, nodes.For):
                self._loop(node, names)
            else:
                for part in node.nodes:
                    self._put(
                        part.data if isinstance(part, nodes.TemplateData) else self._text(_finalize(self._value(part, names)))
                    )

    def _branch(self, node: nodes.If, names: Mapping[str, Any]) -> Sequence[nodes.Node]:
        for branch in (node, *node.elif_):
            if self._value(branch.test, names):
                return branch.body
        return node.else_

    def _loop(self, node: nodes.For, names: Mapping[str, Any]) -> None:
        items, name = self._list(self._value(node.iter, names), _NO_LIST), node.target.name
        if node.test is not None:
            items = [item for item in items if self._value(node.test, {**names, name: item})]
        for i, item in enumerate(items):
            left = len(items) - i
            told = {"index": i + 1, "index0": i, "revindex": left, "revindex0": left - 1, "first": i == 0, "last": left == 1}
            self.write(node.body, {**names, "loop": told | {"length": len(items)}, name: item})
        if not items:
            self.write(node.else_, names)

    def _value(self, node: nodes.Expr, names: Mapping[str, Any]) -> Any:
        """What an expression is."""
        self._spend(1, node.lineno)
        value = _bounded(self._work_out(node, names), self.line)
        if isinstance(value, str | list | tuple):
            self._spend(len(value) // SIZE_OF_A_STEP)
        return value

    def _work_out(self, node: nodes.Expr, names: Mapping[str, Any]) -> Any:
        def value(part: nodes.Expr) -> Any:
            return self._value(part, names)

        match node:
            case nodes.Const():
                return node.value
            case nodes.Name():
                return names[node.name] if node.name in names else _ENVIRONMENT.undefined(name=node.name)
            case nodes.Getattr():
                return _part(value(node.node), node.attr)
            case nodes.Getitem():
                return _part(value(node.node), value(node.arg))
            case nodes.Slice():
                return slice(*(None if part is None else value(part) for part in (node.start, node.stop, node.step)))
            case nodes.And():
                return value(node.left) and value(node.right)
            case nodes.Or():
                return value(node.left) or value(node.right)
            case nodes.Not():
                return not value(node.node)
            case nodes.Neg():
                return -value(node.node)
            case nodes.Add():
                return value(node.left) + value(node.right)
            case nodes.Sub():
                return value(node.left) - value(node.right)
            case nodes.Div():
                return value(node.left) / value(node.right)
            case nodes.CondExpr():
                chosen = node.expr1 if value(node.test) else node.expr2
                return _ENVIRONMENT.undefined("the condition is false, and there is no else") if chosen is None else value(chosen)
            case nodes.Compare():
                left = value(node.expr)
                for part in node.ops:
                    right = value(part.expr)
                    if not _COMPARISONS[part.op](left, right):
                        return False
                    left = right
                return True
            case nodes.Test():
                return _TESTS[node.name](value(node.node), *map(value, node.args))
            case nodes.Filter():
                given, named = (
                    [value(part) for part in (node.node, *node.args)],
                    {part.key: value(part.value) for part in node.kwargs},
                )
                if node.name in _OF_TEXTS:
                    given[0] = self._text(given[0])
                return self._join(*given, **named) if node.name == "join" else _FILTERS[node.name](*given, **named)
        raise TypeError(f"{type(node).__name__} is no expression.")

    def _join(self, items: Any, between: Any = "", attribute: str | None = None) -> str:
        """The items of a list as one text, whose length is known before it is made."""
        parts = [
            self._text(item if attribute is None else _part(item, attribute))
            for item in self._list(items, "Only a list can be joined.")
        ]
        between = self._text(between)
        if sum(map(len, parts)) + len(between) * (len(parts) - 1) > LONGEST_PROMPT:
            raise TemplateError(_TOO_LONG, self.line)
        return between.join(parts)

    def _list(self, value: Any, otherwise: str) -> Sequence[Any]:
        """A value whose items will be gone through."""
        if isinstance(value, Undefined):
            str(value)  # raises its error
        if not isinstance(value, list | tuple):
            raise TemplateError(otherwise, self.line)
        self._spend(len(value))
        return value

    def _text(self, value: Any) -> str:
        """A value as it is written."""
        if isinstance(value, list | tuple):
            self._spend(len(value))
        return _bounded(str(value), self.line)

    def _put(self, text: str) -> None:
        self._length += len(text)
        if self._length > LONGEST_PROMPT:
            raise TemplateError(_TOO_LONG)
        self.pieces.append(text)

    def _spend(self, steps: int, line: int = 0) -> None:
        self.line = line or self.line
        self._steps += steps
        if self._steps > MOST_STEPS:
            raise TemplateError(f"it takes more than {MOST_STEPS:,} steps.", self.line)


def _bounded(value: Any, line: int) -> Any:
    """The value, where it is not too large and no half letter (lone surrogate) stands in it."""
    if isinstance(value, str):
        if len(value) > LONGEST_PROMPT:
            raise TemplateError(_TOO_LONG, line)
        if not value.isascii() and _HALF_LETTER.search(value):
            raise TemplateError("a text holds half a letter (a lone surrogate).", line)
    elif isinstance(value, list | tuple):
        if len(value) > LONGEST_LIST:
            raise TemplateError(f"a list has more than {LONGEST_LIST:,} items.", line)
    elif (isinstance(value, int) and abs(value) >= LARGEST_NUMBER) or (isinstance(value, float) and math.isinf(value)):
        raise TemplateError("a number is too large.", line)
    return value


def _part(value: Any, key: Any) -> Any:
    """An item of a list or a text, or a named part of a fact; nothing else of a value can be reached."""
    if isinstance(value, Undefined):
        str(value)  # raises its error
    if isinstance(key, str):
        if isinstance(value, Mapping) and key in value:
            return value[key]
        if is_dataclass(value) and key in (field.name for field in fields(value)):
            return getattr(value, key)
    elif isinstance(value, list | tuple | str) and (isinstance(key, slice) or key in range(-len(value), len(value))):
        return value[key]
    return _ENVIRONMENT.undefined(obj=value, name=key)


def _finalize(value: object) -> object:
    """How a value is written: numbers with few digits, what is not known in a word."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "unknown"
    return number_text(value) if isinstance(value, float) else value


def _sentence(line: str) -> tuple[str, str]:
    text = " ".join(line.split())
    match = re.match(r"([a-z]+): ?(?=\S)", text)
    return (match[1], text[match.end() :]) if match and match[1] in KINDS else (OTHER_KIND, text)


def _first(items: Sequence[Any]) -> Any:
    return items[0] if len(items) else _ENVIRONMENT.undefined("the first item of an empty list is undefined")


def _last(items: Sequence[Any]) -> Any:
    return items[-1] if len(items) else _ENVIRONMENT.undefined("the last item of an empty list is undefined")


def _round(value: float, precision: int = 0, method: str = "common") -> float:
    if abs(precision) > MOST_DIGITS:  # ten to its power is worked out
        raise ValueError(f"a number is rounded to at most {MOST_DIGITS} digits.")
    return do_round(value, precision, method)


def _halved(value: float) -> float:
    """What is left over after a number is parted in two."""
    if not isinstance(value, int | float):  # "%9999d" % 2 would be a text
        raise TypeError("only a number is even or odd.")
    return value % 2


_FILTERS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "capitalize": do_capitalize,
    "default": do_default,
    "first": _first,
    "float": do_float,
    "int": do_int,
    "join": _Rendering._join,
    "last": _last,
    "length": len,
    "lower": str.lower,
    "round": _round,
    "title": do_title,
    "trim": str.strip,
    "upper": str.upper,
}
_OF_TEXTS = ("capitalize", "lower", "title", "trim", "upper")  # what they are given is made a text first
_TESTS: dict[str, Callable[..., bool]] = {
    "defined": lambda value: not isinstance(value, Undefined),
    "undefined": lambda value: isinstance(value, Undefined),
    "none": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float),
    "string": lambda value: isinstance(value, str),
    "even": lambda value: _halved(value) == 0,
    "odd": lambda value: _halved(value) == 1,
}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gteq": operator.ge,
    "lt": operator.lt,
    "lteq": operator.le,
    "in": lambda item, items: item in items,
    "notin": lambda item, items: item not in items,
}
_ENVIRONMENT = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701  it parses, and renders nothing
