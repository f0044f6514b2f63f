"""One window → what the series token of each sensor is made of: its past, its seasons, the calendar, its place, the anchor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stvlm.anchor.features import Departures
from stvlm.anchor.ridge import Member
from stvlm.data.scaler import DAY, WEEK, YEAR
from stvlm.data.series import SensorSeries
from stvlm.modalities.slots import slot_features

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
    view: Departures,
    frame: Member,
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
    place = np.concatenate([fourier(places(view)), np.log(frame.scale / np.median(frame.scale))[:, None]], axis=1)
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


def places(view: Departures) -> np.ndarray:
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
