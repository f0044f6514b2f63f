"""One window → the features of each sensor's series token: past, seasons, calendar, location, anchor."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from stvlm.anchor.climatology import autocovariance
from stvlm.anchor.features import DIRECTION_STEPS, AnomalyFeatures, fill_forward, over
from stvlm.anchor.ridge import RidgeMember
from stvlm.core.seasonality import CLIP, DAY, WEEK, YEAR
from stvlm.core.series import SensorSeries

# Shared layout: features in slots that do not depend on lookback, horizon or network.

PAST = 48  # steps back that are seen one by one, whatever the lookback
SPANS = (48, 96, 192, 384, 768)  # longer past as means between these
AHEAD = 24  # slots of the horizon
CYCLES = (DAY, WEEK)
LAGS = (1, 3, 6, 12, 24)  # steps, of the autocorrelation
RECENT = 4  # steps of the neighbours' and the network's mean
MOST_STEPS = 20_000  # of the past that a character is read from


def network_descriptors(view: AnomalyFeatures, frame: RidgeMember, start: int, stop: int) -> tuple[float, ...]:
    """What a network's past is like, in numbers without unit.

    Args:
        view, frame: as in `slot_features`. start, stop: the steps start .. stop - 1 are read, the last MOST_STEPS of them.

    Returns:
        Autocorrelation of the departures at LAGS, their skewness, the correlation of a sensor with its neighbours' mean, and the logarithm
        of the step in hours; each within about -2 … 2.
    """
    start = max(start, stop - MOST_STEPS)
    away = _away(view, frame, np.arange(start, stop))
    covariance = autocovariance(np.asarray(away))
    total = max(float(covariance[0]), 1e-9)
    rho = [float(np.clip(covariance[lag] / total, -1, 1)) if lag < len(covariance) // 2 else 0.0 for lag in LAGS]
    filled = np.nan_to_num(away)
    spread = max(float(filled.std()), 1e-6)
    skew = float(np.clip((filled.astype("f8") ** 3).mean() / spread**3, -4, 4)) / 2
    together = 0.0
    if filled.shape[1] > 1:
        near = over(view.neighbourhood.near, filled[None])[0]
        together = float((near * filled).mean() / max(near.std() * spread, 1e-6))
    step = (view.seconds[1] - view.seconds[0]) / 3600
    return (*rho, skew, float(np.clip(together, -1, 1)), float(np.log(max(step, 1e-3))) / 3)


def slot_features(
    view: AnomalyFeatures,
    frame: RidgeMember,
    cutoffs: np.ndarray,
    anchor: np.ndarray,
    character: tuple[float, ...],
    place: np.ndarray,
) -> np.ndarray:
    """Features of the series tokens in the layout that all networks share.

    Args:
        view: windows of the series. frame: working scale, profile and scale. cutoffs: (W,).
        anchor: (W, H, N) float32 the anchor's forecast as scaled departures. character: of the network.
        place: (N, P) what is known of each sensor.

    Returns:
        (W, N, F) float32: past PAST and where it was observed, means of the longer past, the anchor in AHEAD slots, the same phase of
        yesterday and of last week in AHEAD slots each, the means of the neighbours and of the network, of the eight directions, the clock,
        the character, the horizon, the place.
    """
    w, horizon, n = anchor.shape
    past, observed = _recent(view, frame, cutoffs)
    rows = [past, observed.astype("f4"), *_means(view, frame, cutoffs), to_slots(anchor)]
    step = int(view.seconds[1] - view.seconds[0])
    told = []
    for cycle in CYCLES:
        before, known = _same_phase(view, frame, cutoffs, horizon, cycle // step if step < cycle else 0)
        rows.append(to_slots(before))
        told.append(known)
    recent = past[:, -RECENT:]
    if n > 1:
        rows += [over(view.neighbourhood.near, recent), np.broadcast_to(recent.mean(axis=2, keepdims=True), recent.shape)]
    else:
        rows.append(np.zeros((w, 2 * RECENT, n), "f4"))
    directions = 8 * DIRECTION_STEPS
    rows.append(over(view.neighbourhood.directions, past[:, -DIRECTION_STEPS:]) if n > 2 else np.zeros((w, directions, n), "f4"))
    shared = np.concatenate(
        [
            _clock(view.seconds[cutoffs], step),
            np.broadcast_to(np.array([*told, min(horizon, 4 * AHEAD) / AHEAD, *character], "f4"), (w, 3 + len(character))),
        ],
        axis=1,
    )
    fixed = np.broadcast_to(place.astype("f4"), (w, *place.shape))
    shared = np.broadcast_to(shared[:, None], (w, n, shared.shape[1]))
    return np.concatenate([np.concatenate(rows, axis=1).swapaxes(1, 2), shared, fixed], axis=2).astype("f4")


def to_slots(values: np.ndarray) -> np.ndarray:
    """(W, H, N) → (W, AHEAD, N): the first steps and zeros after them, or a longer horizon drawn together (linear between steps)."""
    w, horizon, n = values.shape
    if horizon <= AHEAD:
        return np.concatenate([values, np.zeros((w, AHEAD - horizon, n), "f4")], axis=1)
    return np.einsum("sh,whn->wsn", _between(AHEAD, horizon), values)


def from_slots(values: torch.Tensor, horizon: int) -> torch.Tensor:
    """(B, AHEAD, N) → (B, H, N): the other way."""
    if horizon <= AHEAD:
        return values[:, :horizon]
    return torch.einsum("hs,bsn->bhn", torch.from_numpy(_between(horizon, AHEAD)).to(values), values)


def _between(n_out: int, n_in: int) -> np.ndarray:
    """(n_out, n_in) float32: rows of weights that read n_in points at n_out evenly spread places."""
    place = np.linspace(0, n_in - 1, n_out)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(n_in)), 0).astype("f4")


def _away(view: AnomalyFeatures, frame: RidgeMember, steps: np.ndarray) -> np.ndarray:
    """(..., N) float32 scaled departures at steps (...), NaN where missing or before the first step."""
    at = np.maximum(steps, 0)
    away = np.clip((view.values[at] - frame.profile.at(view.seconds[at])) / frame.scale, -CLIP, CLIP)
    return np.where((steps >= 0)[..., None], away, np.nan).astype("f4")


def _recent(view: AnomalyFeatures, frame: RidgeMember, cutoffs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(W, PAST, N) scaled departures, gaps filled forward, then 0; and where they were observed."""
    away = _away(view, frame, cutoffs[:, None] + np.arange(-PAST, 0))
    observed = np.isfinite(away)
    return fill_forward(away, observed), observed


def _means(view: AnomalyFeatures, frame: RidgeMember, cutoffs: np.ndarray) -> list[np.ndarray]:
    """Means (W, 1, N) of the longer past, each drawn to 0 where little was observed."""
    out = []
    for near, far in itertools.pairwise(SPANS):
        away = _away(view, frame, cutoffs[:, None] - np.unique(np.linspace(near + 1, far, 24).astype(int)))
        seen = np.isfinite(away)
        out.append((np.where(seen, away, 0).sum(axis=1, keepdims=True) / (seen.sum(axis=1, keepdims=True) + 2)).astype("f4"))
    return out


def _same_phase(
    view: AnomalyFeatures, frame: RidgeMember, cutoffs: np.ndarray, horizon: int, period: int
) -> tuple[np.ndarray, float]:
    """(W, H, N) the departures one whole cycle (or more, where the horizon is longer) before each step ahead; and 1, or 0 without one."""
    n = view.values.shape[1]
    if period < 2:
        return np.zeros((len(cutoffs), horizon, n), "f4"), 0.0
    ahead = np.arange(horizon)
    steps = cutoffs[:, None] + ahead - period * (ahead // period + 1)
    return np.nan_to_num(_away(view, frame, steps)), 1.0


def _clock(seconds: np.ndarray, step: int) -> np.ndarray:
    """(W, 4): where the cutoff stands in the day and in the week, on the local clock; 0 for a cycle within one step."""
    parts = [np.stack([np.sin(a), np.cos(a)], axis=1) * (step < c) for c in CYCLES for a in [2 * np.pi * (seconds % c) / c]]
    return np.concatenate(parts, axis=1).astype("f4")


CALENDAR = ((DAY, 3), (WEEK, 4), (YEAR, 4))  # a cycle may be an input once training covers so many: else it names single days
FREQUENCIES = (1, 2, 4, 8)


@dataclass(frozen=True)
class SeriesConfig:
    """What the tokens hold besides the readings.

    Attributes:
        cycles: calendar cycles in seconds. columns: numeric context columns seen up to the cutoff.
        column_mean, column_std: their mean and spread on the training part.
        character: of the network, where the tokens have the layout that all networks share (modalities/slots.py); else None.
    """

    cycles: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    column_mean: tuple[float, ...] = ()
    column_std: tuple[float, ...] = ()
    character: tuple[float, ...] | None = None

    @classmethod
    def fit(cls, series: SensorSeries, start: int, stop: int) -> SeriesConfig:
        """Choose cycles and scale context columns by the training part, steps start .. stop - 1."""
        seconds = (stop - start) * series.step_seconds
        cycles = tuple(c for c, times in CALENDAR if series.step_seconds < c and seconds >= times * c)
        if series.context is None:
            return cls(cycles)
        table = series.context.iloc[start:stop].apply(pd.to_numeric, errors="coerce")
        table = table.loc[:, table.notna().mean() > 0.5]
        table = table.loc[:, table.std() > 1e-9]
        return cls(cycles, tuple(table.columns), tuple(map(float, table.mean())), tuple(map(float, table.std())))


def series_features(
    view: AnomalyFeatures,
    frame: RidgeMember,
    cutoffs: np.ndarray,
    anchor: np.ndarray,
    past: np.ndarray,
    observed: np.ndarray,
    context: np.ndarray,
    config: SeriesConfig,
) -> np.ndarray:
    """Features of the series tokens.

    Args:
        view: windows of the series. frame: working scale, profile and scale. cutoffs: (W,).
        anchor: (W, H, N) float32, the anchor's forecast as scaled departures.
        past, observed: (W, L, N) scaled departures and where they were observed.
        context: (T, C) float32 scaled context columns, NaN-free. config: cycles and columns.

    Returns:
        (W, N, F) float32: past L, observed L, same phase of earlier seasons K H, known ahead H C, longer past 3, anchor H,
        calendar 2 a cycle, context 2 C, place 16, spread 1. With a character: as `slot_features`.
    """
    w, _, n = past.shape
    place = np.concatenate([fourier(location_features(view)), np.log(frame.scale / np.median(frame.scale))[:, None]], axis=1)
    if config.character is not None:
        return slot_features(view, frame, cutoffs, anchor, config.character, place)
    per_sensor = [past, observed.astype("f4"), view.lagged(cutoffs, frame.profile, frame.scale)]
    if view.context_steps > view.lookback:
        per_sensor.append(view.long_past(cutoffs, frame.profile, frame.scale))
    per_sensor.append(anchor)
    per_window = [
        view.ahead(cutoffs),
        _calendar(view.seconds[cutoffs], config.cycles),
        _recent_context(context, cutoffs, view.lookback),
    ]
    shared = np.concatenate(per_window, axis=1)[:, None].repeat(n, axis=1)  # (W, N, .)
    fixed = np.broadcast_to(place.astype("f4"), (w, n, place.shape[1]))
    return np.concatenate([np.concatenate(per_sensor, axis=1).swapaxes(1, 2), shared, fixed], axis=2).astype("f4")


def location_features(view: AnomalyFeatures) -> np.ndarray:
    """(N, 2) float64: east and north of the centre, in half extents of the network."""
    network = view.neighbourhood.network
    return network.position_km / network.half_extent_km


def fourier(place: np.ndarray) -> np.ndarray:
    """(..., 16): sine and cosine of pi/2 times 1, 2, 4, 8 times each coordinate (..., 2)."""
    angle = np.pi / 2 * place[..., None] * np.array(FREQUENCIES, dtype="f8")  # (..., 2, 4)
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=-1).reshape(*place.shape[:-1], 16)


def scaled_context(series: SensorSeries, config: SeriesConfig) -> np.ndarray:
    """(T, C) float32: the context columns of `config`, scaled; gaps carry the last value forward, then the mean.

    Raises:
        ValueError: the series lacks a column that the model was trained with.
    """
    if not config.columns:
        return np.zeros((series.n_steps, 0), "f4")
    have = () if series.context is None else series.context.columns
    missing = [c for c in config.columns if c not in have]
    if missing:
        raise ValueError(
            f"The model was trained with context columns that are not there: {', '.join(missing)}. Give the same context file."
        )
    table = series.context[list(config.columns)].apply(pd.to_numeric, errors="coerce").ffill()
    scaled = (table.to_numpy("f8") - np.array(config.column_mean)) / np.array(config.column_std)
    return np.nan_to_num(np.clip(scaled, -8, 8)).astype("f4")


def _recent_context(context: np.ndarray, cutoffs: np.ndarray, lookback: int) -> np.ndarray:
    """(W, 2 C): last value before the cutoff, and its departure from the mean over the lookback."""
    last = context[cutoffs - 1]
    mean = context[cutoffs[:, None] + np.arange(-lookback, 0)].mean(axis=1)
    return np.concatenate([last, last - mean], axis=1)


def _calendar(seconds: np.ndarray, cycles: tuple[int, ...]) -> np.ndarray:
    """(W, 2 cycles): where the cutoff stands in each cycle, on the local clock."""
    angles = [2 * np.pi * (seconds % c) / c for c in cycles]
    parts = [f(a)[:, None] for a in angles for f in (np.sin, np.cos)]
    return np.concatenate(parts, axis=1).astype("f4") if parts else np.zeros((len(seconds), 0), "f4")
