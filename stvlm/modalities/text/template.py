"""The template of a prompt: Jinja in a sandbox, one sentence with its kind on each line."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, UndefinedError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

from stvlm.io.source import show
from stvlm.modalities.text.format import number_text

LONGEST_TEMPLATE = 8000  # characters
LONGEST_PROMPT = 8000  # characters
LONGEST_MESSAGE = 450  # characters of what is wrong with it
DEEPEST_LOOP = 2
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

# What a template may hold. Without assignment, calls, products, joins of text (~) and macros, its work and its output stay small.
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
_FILTERS = ("abs", "capitalize", "default", "first", "float", "int", "join", "last", "length")
_FILTERS += ("lower", "round", "title", "trim", "upper")
_TESTS = ("defined", "undefined", "none", "number", "string", "even", "odd")
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


def render_template(template: str, facts: dict) -> list[tuple[str, str]]:
    """Fill a template in.

    Args:
        template: Jinja; each line that results is one sentence, "kind: text" with a kind of KINDS, else of OTHER_KIND.
        facts: names that the template may use, each with words, numbers, or lists of them.

    Returns:
        (kind, sentence) of each line that is not empty, in their order; white space is made single.

    Raises:
        TemplateError: wrong syntax, something that is not allowed, an unknown fact, or a result that is too long.
    """
    compiled = _compile(template)
    pieces, length = [], 0
    try:
        for piece in compiled.generate(facts):
            pieces.append(piece)
            length += len(piece)
            if length > LONGEST_PROMPT:
                raise TemplateError(f"it makes more than {LONGEST_PROMPT} characters.")
    except UndefinedError as error:
        name = (re.match(r"'([^']+)' is undefined", error.message or "") or ("", ""))[1]
        near = tuple(get_close_matches(name, facts, 3, 0.5))
        known = f"{error.message}. Known facts: {', '.join(sorted(facts))}."
        raise TemplateError(known, _line_of(error), name, near) from error
    except SecurityError as error:
        raise TemplateError(f"not allowed: {error}", _line_of(error)) from error
    except NameError as error:  # Jinja writes 1e999 down as `inf`, which is no name
        raise TemplateError("a number is too large.", _line_of(error)) from error
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        if isinstance(error, TemplateError):
            raise
        raise TemplateError(str(error), _line_of(error)) from error
    return [_sentence(line) for line in "".join(pieces).splitlines() if line.strip()]


@lru_cache(maxsize=64)
def _compile(template: str) -> Template:
    if len(template) > LONGEST_TEMPLATE:
        raise TemplateError(f"it has more than {LONGEST_TEMPLATE} characters.")
    try:
        _check(_ENVIRONMENT.parse(template))
        return _ENVIRONMENT.from_string(template)
    except TemplateSyntaxError as error:
        raise TemplateError(f"{error.message}", error.lineno) from error
    except RecursionError as error:
        raise TemplateError("it is nested too deep.") from error


def _check(node: nodes.Node, depth: int = 0) -> None:
    """Refuse whatever is not in the lists above."""
    if not isinstance(node, _ALLOWED):
        raise TemplateError(f"{_NAMES.get(type(node), type(node).__name__)} is not allowed.", node.lineno)
    for kind, known, word in ((nodes.Filter, _FILTERS, "filter"), (nodes.Test, _TESTS, "test")):
        if isinstance(node, kind) and node.name not in known:
            message = f"The {word} '{node.name}' is not allowed; allowed are {', '.join(known)}."
            raise TemplateError(message, node.lineno, node.name, tuple(get_close_matches(node.name, known, 3, 0.5)))
    if isinstance(node, nodes.For):
        depth += 1
        if depth > DEEPEST_LOOP or node.recursive:
            raise TemplateError(f"Loops may lie in each other {DEEPEST_LOOP} deep.", node.lineno)
        if isinstance(node.iter, nodes.Const):
            raise TemplateError("A loop runs over a list of facts.", node.lineno)
    for child in node.iter_child_nodes():
        _check(child, depth)


def _finalize(value: object) -> object:
    """How a value is written: numbers with few digits, what is not known in a word."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "unknown"
    return number_text(value) if isinstance(value, float) else value


def _sentence(line: str) -> tuple[str, str]:
    text = " ".join(line.split())
    match = re.match(r"([a-z]+): ?(?=\S)", text)
    return (match[1], text[match.end() :]) if match and match[1] in KINDS else (OTHER_KIND, text)


def _line_of(error: Exception) -> int:
    """The line of the template in which an error arose."""
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False, finalize=_finalize, cache_size=0
    )
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    return environment


_ENVIRONMENT = _environment()
