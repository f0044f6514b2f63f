"""The catalogue of sentences that people read: each stands once per language in `stvlm/languages/`, under a code, with named gaps.

Lower floors raise and return codes with parameters (`Message`, `CodedError`); whoever shows them chooses the language. The command
line and logs take English, which is what `str()` gives. A new sentence is a line in every file of the folder; a new language is a
file with the same codes and a line in `LANGUAGES`.
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

LANGUAGES = {"en": "English", "de": "Deutsch"}
FOLDER = Path(str(resources.files("stvlm"))) / "languages"
_COMMA = str.maketrans(",.", ".,")
_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


class Message:
    """A sentence of the catalogue with what fills its gaps; `str()` gives it in English.

    Attributes:
        code: its key in the catalogue, "finding.stuck.what".
        where: the file and the place in it that the sentence is about; "" for none. Stands before the sentence.
        parameters: gap -> text, number or another message.
    """

    __slots__ = ("code", "parameters", "where")

    def __init__(self, code: str, /, where: object = "", **parameters: object) -> None:
        self.code = code
        self.where = _plain(where)
        self.parameters = {name: _plain(value) for name, value in parameters.items()}

    def __str__(self) -> str:
        return self.translate("en")

    def __repr__(self) -> str:
        return f"Message({self.code!r}, {str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.code, str(self)))

    def translate(self, language: str) -> str:
        """The sentence in a language, after its place where it has one."""
        text = translate(self.code, language, **self.parameters)
        where = to_text(self.where, language)
        return f"{where}: {text}" if where else text

    def without_place(self) -> Message:
        """The sentence alone."""
        return Message(self.code, **self.parameters)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `from_dict` is the inverse."""
        values = {"where": self.where} | self.parameters
        return {"code": self.code} | {name: v.to_dict() if isinstance(v, Message) else v for name, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Message:
        """The inverse of `to_dict`.

        Raises:
            KeyError: no such sentence, or a gap that nothing fills.
        """
        parts = {name: cls.from_dict(v) if isinstance(v, dict) else v for name, v in values.items() if name != "code"}
        made = cls(values["code"], **parts)
        str(made)
        return made


class CodedError(Exception):
    """An error that people read: one or several messages; `str()` gives them in English, a line each.

    Attributes:
        messages: one clear sentence each: the file and the place in it, what is wrong, and the cure.
    """

    def __init__(self, *messages: str | Message, **parameters: object) -> None:
        """A single code with its parameters, `CodedError("input.empty", where=name)`, or finished messages."""
        first = messages[0] if messages else ""
        made = (Message(first, **parameters),) if isinstance(first, str) and len(messages) == 1 else messages
        self.messages = tuple(m for m in made if isinstance(m, Message))
        super().__init__(*self.messages)

    def __str__(self) -> str:
        return "\n".join(map(str, self.messages))


def translate(code: str, language: str = "en", /, **parameters: object) -> str:
    """A sentence of the catalogue with its gaps filled.

    Args:
        code: key in the catalogue.
        language: one of LANGUAGES; numbers are written as its readers write them.
        parameters: gap -> text, number or message.

    Raises:
        KeyError: no such sentence, or a gap that nothing fills.
    """
    return sentences(language)[code].format(**{name: _Localized(value, language) for name, value in parameters.items()})


def to_text(value: object, language: str = "en") -> str:
    """A message or an error in a language; anything else as `str` gives it."""
    if isinstance(value, Message):
        return value.translate(language)
    if isinstance(value, CodedError):
        return "\n".join(message.translate(language) for message in value.messages)
    return str(value)


def localize(text: str, language: str) -> str:
    """A number as Python writes it, "1,234.5", as readers of the language write it, "1.234,5"."""
    return text.translate(_COMMA) if language == "de" else text


def localize_calendar(text: str, language: str) -> str:
    """A time with the English names of its day and month, "Mon 12 May 2025", with those of the language."""
    if language == "en":
        return text
    names = dict(zip(sentences("en")["calendar.names"].split(), sentences(language)["calendar.names"].split(), strict=True))
    return " ".join(names.get(word, word) for word in text.split())


def duration(seconds: float, digits: int | None = None) -> Message:
    """A length of time in words: "15 minutes", "1 day".

    Args:
        seconds: at least 0.
        digits: significant digits in the largest unit that fits once, "1.52 days"; None: exactly, in the largest unit that divides it.
    """
    fits = [u for u in _UNITS if seconds >= u[1] and (digits is not None or seconds % u[1] == 0)]
    unit, size = (fits or _UNITS[-1:])[0]
    count = float(seconds / size if digits is None else f"{seconds / size:.{digits}g}")
    return Message(f"span.{unit}") if count == 1 else Message(f"span.{unit}s", count=int(count) if count == int(count) else count)


@lru_cache
def sentences(language: str) -> dict[str, str]:
    """Every sentence of a language, by its code."""
    found: dict[str, str] = {}

    def gather(table: dict, path: str) -> None:
        for key, value in table.items():
            if isinstance(value, dict):
                gather(value, f"{path}{key}.")
            else:
                found[path + key] = value

    gather(tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8")), "")
    return found


class _Localized:
    """A parameter on its way into a gap: messages are translated, numbers take the signs of the language."""

    def __init__(self, value: object, language: str) -> None:
        self.value, self.language = value, language

    def __format__(self, spec: str) -> str:
        if isinstance(self.value, int | float):
            return localize(format(self.value, spec), self.language)
        return format(to_text(self.value, self.language), spec)


def _plain(value: object) -> object:
    """What JSON and other processes can carry: texts, numbers, messages."""
    value = value.item() if hasattr(value, "item") else value  # a number of numpy
    return value if isinstance(value, str | int | float | Message) else str(value)
