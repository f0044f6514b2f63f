"""Blocks of the training part, each with the usual readings of the rest: what a training window may see."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stvlm.anchor.blend import Anchor
from stvlm.anchor.features import Departures
from stvlm.anchor.past import MOST_READ
from stvlm.data.scaler import YEAR, SeasonalProfile
from stvlm.data.series import SensorSeries
from stvlm.data.windows import Split

MAX_FOLDS = 8


def profile_folds(view: Departures, split: Split, season: int, step_seconds: int) -> Iterator[tuple[int, int, SeasonalProfile]]:
    """(start, stop, profile fitted on the training part without start .. stop): blocks of whole cycles.

    Of a training part of more than MOST_READ readings the last ones tell what is usual.
    """
    start, stop = split.train_start, split.train_end
    most = max(MOST_READ // view.values.shape[1], 1)
    cycles = (stop - start) * step_seconds // season if season else 0
    n_folds = int(min(cycles, MAX_FOLDS))
    if n_folds < 2 or season == YEAR:  # a mean or a smooth curve over many readings: leaving out changes nothing
        last = slice(max(start, stop - most), stop)
        yield start, stop, SeasonalProfile.fit(view.values[last], view.seconds[last], season, step_seconds)
        return
    edges = np.linspace(start, stop, n_folds + 1).astype(int)
    for first, last in itertools.pairwise(edges):
        keep = np.r_[start:first, last:stop][-most:]
        yield first, last, SeasonalProfile.fit(view.values[keep], view.seconds[keep], season, step_seconds)


def training_folds(anchor: Anchor, series: SensorSeries, split: Split) -> list[tuple[int, int, Anchor]]:
    """The forecaster as a training window must see it: (start, stop, forecaster for windows with start <= cutoff < stop).

    Each member's profile leaves out the block of time in which the window lies, as when its weights were fitted.
    """
    fitted = anchor.ridges
    pieces = [
        list(profile_folds(view, split, m.profile.season_seconds, m.profile.step_seconds))
        for m, view in zip(fitted, replace(anchor, members=fitted).views(series).of, strict=True)
    ]
    edges = sorted({edge for folds in pieces for start, stop, _ in folds for edge in (start, stop)})
    out = []
    for start, stop in itertools.pairwise(edges):
        profiles = [next(p for first, last, p in folds if first <= start < last) for folds in pieces]
        folded = {id(m): replace(m, profile=p) for m, p in zip(fitted, profiles, strict=True)}
        out.append((start, stop, replace(anchor, members=tuple(folded.get(id(m), m) for m in anchor.members))))
    return out
