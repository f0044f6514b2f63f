"""Forecasters tried on windows whose truth is known: what each was worth, which of them are kept, and how that is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stvlm.anchor.past import Past
from stvlm.anchor.recall import PLAIN, Recall
from stvlm.anchor.ridge import Member
from stvlm.data.scaler import DAY, WEEK, YEAR

REPLAYED = 10  # windows that share no reading, at least
SEASONS = ((DAY, 1440), (WEEK, 10080), (YEAR, 525600))  # in seconds, in minutes


@dataclass(frozen=True, eq=False)
class Tried:
    """A forecaster and what it was worth.

    Attributes:
        mae: in the unit of the series. label: what it is. member: itself. forecast: (W, H, N) in the unit.
    """

    mae: float
    label: str
    member: Member | Recall
    forecast: np.ndarray


def in_seconds(seasons_minutes: Iterable[int]) -> tuple[int, ...]:
    """Those of SEASONS whose minutes are given."""
    return tuple(season for season, minutes in SEASONS if minutes in seasons_minutes)


def try_recalls(recalls: Iterable[Recall], past: Past, cutoffs: np.ndarray, truth: np.ndarray) -> list[Tried]:
    """What the past tells by itself, the best way to read it first.

    Args:
        recalls: the ways. past: the readings. cutoffs: (W,). truth: (W, H, N), NaN = missing; with nothing in it all errors are 0.
    """
    found = []
    for recall in recalls:
        forecast = recall.forecast_from(past, cutoffs)
        error = np.abs(forecast - truth)
        mae = float(np.nanmean(error, dtype="f8")) if np.isfinite(error).any() else 0.0
        found.append(Tried(mae, recall.rule.words, recall, forecast))
    return sorted(found, key=lambda one: one.mae)


def kept(told: Sequence[Tried], at_most: int) -> list[Tried]:
    """The best different ways to read the past, and plain repeating: it is the one to fall back on where all changes.

    Args:
        told: the best first. at_most: ways, beside plain repeating.
    """
    different = [one for i, one in enumerate(told) if i == 0 or one.mae > told[i - 1].mae * (1 + 1e-6)]
    return [one for i, one in enumerate(different) if i < at_most or one.label == PLAIN.words]


def place_of_plain(found: Sequence[Tried]) -> int | None:
    """Where plain repeating stands."""
    return next((i for i, one in enumerate(found) if one.label == PLAIN.words), None)


def taken(found: Iterable[Tried], shares: Iterable[float]) -> list[dict]:
    """Those that count, and how much, as a manifest tells it."""
    pairs = zip(found, shares, strict=True)
    return [{"kind": one.label, "share": share, "val_mae": one.mae} for one, share in pairs if share]
