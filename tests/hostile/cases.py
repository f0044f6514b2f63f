"""All hostile files and requests, each made by a script: its name, its door, and the words that the user must see."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

ROOMS = ("texts", "jsons", "arrays", "parquets", "layers", "names", "results")


@dataclass(frozen=True)
class Case:
    """One hostile file or request.

    Attributes:
        name: a sentence. door: takes what `make` gives; returns ("refused", problems) or ("read", findings).
        outcome, words: what must come of it. make: the arguments of the door, made outside the limits.
    """

    name: str
    door: Callable
    outcome: str
    words: str
    make: Callable[[], dict]


CASES: dict[str, Case] = {}


def add(outcome: str, name: str, words: str, make: Callable[[], dict], door: Callable) -> None:
    """Write a case down; every name once."""
    assert name not in CASES, name
    CASES[name] = Case(name, door, outcome, words, make)


def fill() -> dict[str, Case]:
    """The cases of all rooms."""
    for room in ROOMS:
        importlib.import_module(f"tests.hostile.{room}")
    return CASES
