"""Letters that look like others or like nothing: names are normalised, and what was done to them is told."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd

from stvlm.io.source import InputError, show
from stvlm.runtime.assets import asset

LONGEST_NAME = 200  # characters of an id or a column name
LONGEST_TEXT = 500  # characters of a fact
_SPACES = re.compile(r"[\s\u2028\u2029]+")


def tidy(text: str) -> str:
    """A name as one line of composed letters (NFC) without characters that are not seen.

    These are controls, direction marks, zero-width characters and all others that Unicode has drawn as nothing.
    """
    if text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFC", _SPACES.sub(" ", text)).translate(_invisible())
    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Cn")).strip()


def tidy_column_of_names(names: pd.Series) -> pd.Series:
    """`tidy` of each name of a column of text."""
    return names.map({name: tidy(name) for name in names.unique()}).astype("str")


def writable(value: object) -> object:
    """A cell that any program can write: bytes become text, half letters (lone surrogates) become question marks."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "replace").decode()
    return value


def told(where: str, written: Sequence[object], names: Sequence[str]) -> tuple[str, ...]:
    """A note on names that lost something invisible.

    Args:
        where: the file and the place in it. written: as they stood there. names: what became of them.
    """
    pairs = [(str(a), b) for a, b in zip(written, names, strict=True) if str(a) != b]
    hidden = [(a, b) for a, b in pairs if len(unicodedata.normalize("NFC", a.strip())) != len(b)]
    if not hidden:
        return ()
    a, b = hidden[0]
    return (f"{where}: {len(hidden)} name(s) held invisible signs, left out; '{show(a)}' is read as '{show(b)}'.",)


def check_lengths(names: Iterable[str], what: str) -> None:
    """Refuse names without end.

    Args:
        what: "r.csv, header: a column name".

    Raises:
        InputError: one with more than LONGEST_NAME characters.
    """
    for name in names:
        if len(name) > LONGEST_NAME:
            raise InputError(f"{what} has {len(name):,} characters, '{show(name, 24)}'; at most {LONGEST_NAME} are read.")


def cut_texts(facts: pd.Series) -> tuple[pd.Series, int]:
    """Texts of at most LONGEST_TEXT characters on one line each, and how many were cut."""
    long = facts.str.len() > LONGEST_TEXT
    if long.any():
        facts = facts.where(~long, facts.str.slice(0, LONGEST_TEXT - 1) + "…")
    odd = ~facts.map(lambda text: text.isascii() and text.isprintable())
    if odd.any():
        facts = facts.where(~odd, facts.map(tidy))
    return facts, int(long.sum())


def look_alike(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of names that differ, but hardly to the eye, as they stand or in capitals.

    Names that differ in ASCII alone, such as S1 and Sl, or in upper and lower case, are those of people and no pair.
    """
    if all(map(str.isascii, names)):
        return ()
    seen: dict[str, str] = {}
    pairs = []
    for name in names:
        for shape in (skeleton(name), skeleton(name.upper())):
            other = seen.setdefault(shape, name)
            if _beyond_ascii(other) != _beyond_ascii(name):
                pairs.append((other, name))
                break
    return tuple(pairs)


def skeleton(text: str) -> str:
    """What a text looks like: the same for two that can be confused by UTS 39, compared by their compatible forms (NFKC)."""
    text = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text)).translate(_invisible())
    return unicodedata.normalize("NFD", text.translate(_prototypes()))


def _beyond_ascii(text: str) -> list[str]:
    return sorted(letter for letter in text.casefold() if not letter.isascii())


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    return json.loads(asset("unicode", "confusables.json").read_text("utf-8"))


@lru_cache(maxsize=1)
def _invisible() -> dict[int, None]:
    return {point: None for first, last in _tables()["invisible"] for point in range(first, last + 1)}


@lru_cache(maxsize=1)
def _prototypes() -> dict[int, str]:
    return {ord(letter): shape for shape, letters in _tables()["prototypes"].items() for letter in letters}
