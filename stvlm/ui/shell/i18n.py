"""The language of the session, and sentences, numbers and times in it; the sentences stand in `stvlm/languages/`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

import numpy as np

from stvlm.charts import scale
from stvlm.runtime.messages import LANGUAGES, duration, localize, localize_calendar, sentences, to_text, translate
from stvlm.ui.shell import view_state

_LANGUAGE = ContextVar("language", default="")


def t(code: str, /, **parameters: object) -> str:
    """A sentence in the language of the session.

    Args:
        code: its key in the catalogue, "whatif.title".
        parameters: what stands in its braces; text of a user goes through `inputs.plain` first where the sentence is markdown.

    Raises:
        KeyError: no such sentence.
    """
    return translate(code, language(), **parameters)


def text_of(value: object) -> str:
    """A message or an error of a lower floor in the language of the session; anything else as `str` gives it."""
    return to_text(value, language())


def has_sentence(code: str) -> bool:
    """Whether the catalogue has a sentence of this key."""
    return code in sentences("en")


@contextmanager
def use_language(name: str) -> Iterator[None]:
    """Whatever is said within is said in this language."""
    before = _LANGUAGE.set(name)
    try:
        yield
    finally:
        _LANGUAGE.reset(before)


def language() -> str:
    """The language in view, "en" or "de": from the URL, else as this session left it."""
    if _LANGUAGE.get():
        return _LANGUAGE.get()
    asked = view_state.get_param("lang")
    return asked if asked in LANGUAGES else "en"


def pick_language() -> None:
    """Choose the language."""
    view_state.segmented_control("lang", t("frame.language"), tuple(LANGUAGES), LANGUAGES.get)


def format_number(value: float, digits: int = 1, sign: bool = False) -> str:
    """A number as readers of the language write it: "1,234.5" or "1.234,5"; "+" only where asked for.

    Args:
        value: NaN becomes the word for missing. digits: after the point.
    """
    if not np.isfinite(value):
        return t("common.missing")
    text = f"{value:{'+' if sign else ''},.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("+-")
    text = text.replace("-", "\N{MINUS SIGN}")
    return localize(text, language())


def format_short(value: float, digits: int = 3, sign: bool = False) -> str:
    """A number by its first digits, without zeros at its end: "0.0123", "12.3", "1,234"; NaN becomes the word for missing."""
    size = int(np.floor(np.log10(abs(value)))) if value and np.isfinite(value) else 0
    text = format_number(value, max(digits - 1 - size, 0), sign)
    point = "," if language() == "de" else "."
    return text.rstrip("0").rstrip(point) if point in text else text


def format_times(times: np.ndarray, timezone: str = "") -> list[str]:
    """(H,) times as texts: "Mon 12 May 2025 08:15", "Mo 12 Mai 2025 08:15".

    Args:
        times: (H,) datetime64[s]. timezone: IANA name; "" shows them as they are.
    """
    return [translate_calendar(text) for text in scale.format_times(times, timezone)]


def format_duration(seconds: float, digits: int | None = None) -> str:
    """A length of time, "15 minutes"; see `messages.duration`."""
    return text_of(duration(seconds, digits))


def translate_calendar(text: str) -> str:
    """A time with the English names of its day and month, "Mon 12 May 2025", in the language in view."""
    return localize_calendar(text, language())


def told(table: str, text: str) -> str:
    """What a floor below says, in English, in the language in view; as it is where no sentence of the table says the same.

    Args:
        table: of the files of `languages/`. text: English; so are the gaps of its sentence, if they hold a number or a sentence.
    """
    if language() == "en":
        return text
    if re.fullmatch(r"[-+−]?\d[\d,]*(\.\d+)?( ?%)?", text):
        return text.translate(str.maketrans(",.", ".,"))
    found = ((key, pattern.fullmatch(text)) for key, pattern in _patterns(table).items())
    gaps = next(((key, match.groupdict()) for key, match in found if match), None)
    return t(gaps[0], **{name: told(table, part) for name, part in gaps[1].items()}) if gaps else text


@lru_cache
def _patterns(table: str) -> dict[str, re.Pattern]:
    """The English sentences of a table, with a group for each gap."""
    told = {key: sentence for key, sentence in sentences("en").items() if key.startswith(f"{table}.")}
    return {key: re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(said))) for key, said in told.items()}
