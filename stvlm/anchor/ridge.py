"""A ridge forecaster on departures from the usual reading, in closed form."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import numpy as np
import pandas as pd

from stvlm.anchor.features import AnomalyFeatures, NeighbourOperators, Transform
from stvlm.core.seasonality import CLIP, SeasonalProfile, local_seconds
from stvlm.core.series import SensorSeries

BLOCK = 12_000_000  # feature values held at once
OFFSETS = ("none", "last", "mean")


@dataclass(frozen=True, eq=False)
class RidgeMember:
    """One fitted ridge forecaster. No weight is tied to a sensor but its profile, its scale and, where it pays, `own`.

    Attributes:
        lookback, horizon: L, H in steps. context_steps: how far the longer past goes; 0 keeps to the lookback.
        transform: working scale. profile: usual reading by phase, on that scale. scale: (N,) float32 spread of departures.
        lags: steps back to the same phase. columns: context columns known ahead. column_scale: (2, C) mean and spread.
        offset: "none", "last" or "mean": what is taken from every departure first and added back.
        weights: (F, H) float32, shared by all sensors. own: (N, F, H) float32 added for each sensor, or None.
    """

    lookback: int
    horizon: int
    context_steps: int
    transform: Transform
    profile: SeasonalProfile
    scale: np.ndarray
    lags: tuple[int, ...]
    columns: tuple[str, ...]
    column_scale: np.ndarray
    offset: str
    weights: np.ndarray
    own: np.ndarray | None = None

    def view(self, series: SensorSeries, neighbourhood: NeighbourOperators) -> AnomalyFeatures:
        """The windows of a series as this forecaster sees them; the profile and the scale do not count, so folds share them."""
        return anomaly_features(
            series, neighbourhood, self.transform, self.lookback, self.horizon, self.context_steps, self.lags, self.columns,
            self.column_scale,
        )  # fmt: skip

    @cached_property
    def view_key(self) -> Hashable:
        """Equal for forecasters that see the windows of a series alike."""
        return (
            self.transform, self.lookback, self.horizon, self.context_steps, self.lags, self.columns, self.column_scale.tobytes(),
        )  # fmt: skip

    @cached_property
    def features_key(self) -> Hashable:
        """Equal for forecasters that read the same features of a window."""
        usual = sha256(self.profile.table.tobytes() + self.scale.tobytes()).digest()
        return self.view_key, self.profile.season_seconds, self.profile.step_seconds, usual

    def scaled_from(self, features: np.ndarray, view: AnomalyFeatures) -> np.ndarray:
        """(W, H, N) float32 scaled departures from ready-made features (W, N, F)."""
        shift = offset_of(features, view, self.offset)  # (W, N)
        features = features - shift[..., None] * shifts(view)
        out = features @ self.weights
        if self.own is not None:
            out += np.einsum("wnf,nfh->wnh", features, self.own, optimize=True)
        return (np.clip(out + shift[..., None], -CLIP, CLIP)).swapaxes(1, 2)

    def unscale(self, scaled: np.ndarray, view: AnomalyFeatures, cutoffs: np.ndarray) -> np.ndarray:
        """Scaled departures (..., W, H, N) → readings in the unit of the series."""
        steps = cutoffs[:, None] + np.arange(self.horizon)
        return self.transform.inverse(self.profile.at(view.seconds[steps]) + self.scale * scaled).astype("f4")

    def forecast_from(self, view: AnomalyFeatures, cutoffs: np.ndarray) -> np.ndarray:
        """(W, H, N) float32 in the unit of the series, for cutoffs (W,) with at least L steps before them."""
        return forecast_together([self], view, cutoffs)[0]

    @property
    def n_parameters(self) -> int:
        """Numbers that were estimated: profile, scale and weights."""
        return self.profile.table.size + self.scale.size + self.weights.size + (0 if self.own is None else self.own.size)

    def select(self, nodes: np.ndarray) -> RidgeMember:
        """The same forecaster for some of its sensors, in the order given."""
        profile = replace(self.profile, table=self.profile.table[:, nodes])
        return replace(self, profile=profile, scale=self.scale[nodes], own=None if self.own is None else self.own[nodes])


def forecast_together(members: Sequence[RidgeMember], view: AnomalyFeatures, cutoffs: np.ndarray) -> list[np.ndarray]:
    """The forecasts (W, H, N) of members of one `features_key`, whose features are made once."""
    out = [np.zeros((len(cutoffs), member.horizon, view.values.shape[1]), "f4") for member in members]
    done = 0
    for block in in_blocks(cutoffs, view):
        features = view.features(block, members[0].profile, members[0].scale)
        for member, forecast in zip(members, out, strict=True):
            forecast[done : done + len(block)] = member.unscale(member.scaled_from(features, view), view, block)
        done += len(block)
    return out


def anomaly_features(
    series: SensorSeries,
    neighbourhood: NeighbourOperators,
    transform: Transform,
    lookback: int,
    horizon: int,
    context_steps: int,
    lags: tuple[int, ...],
    columns: tuple[str, ...],
    column_scale: np.ndarray,
) -> AnomalyFeatures:
    """The windows of a series on a working scale.

    Raises:
        ValueError: a context column that the forecaster needs is missing.
    """
    covariates = None
    if columns:
        covariates = (numeric_context(series, columns, horizon) - column_scale[0]) / column_scale[1]
    return AnomalyFeatures(
        values=transform.forward(series.values),
        seconds=local_seconds(series, horizon),
        covariates=None if covariates is None else covariates.astype("f4"),
        lags=lags,
        lookback=lookback,
        horizon=horizon,
        context_steps=context_steps,
        neighbourhood=neighbourhood,
    )


def numeric_context(series: SensorSeries, columns: tuple[str, ...], extra: int = 0) -> np.ndarray:
    """(T + extra, C) float64 context columns as numbers; gaps carry the last value forward, then 0; so do the `extra` steps past the end.

    Raises:
        ValueError: a column is missing.
    """
    table = pd.DataFrame(index=range(series.n_steps)) if series.context is None else series.context
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise ValueError(
            f"The model was trained with context columns that are not there: {', '.join(missing)}. Give the same context file."
        )
    numbers = table[list(columns)].apply(pd.to_numeric, errors="coerce").reset_index(drop=True)
    return numbers.reindex(range(series.n_steps + extra)).ffill().fillna(0).to_numpy("f8")


def shifts(view: AnomalyFeatures) -> np.ndarray:
    """(F,) float32: 1 for features that move with the level of the departures, 0 for the constant and the covariates."""
    groups = view.groups()
    flags = np.ones(max(g.stop for g in groups.values()), "f4")
    for name in ("constant", "ahead"):
        flags[groups[name]] = 0
    return flags


def offset_of(features: np.ndarray, view: AnomalyFeatures, offset: str) -> np.ndarray:
    """(W, N) float32: the level that is taken from every departure first."""
    own = features[..., view.groups()["own"]]
    if offset == "last":
        return own[..., -1]
    return own.mean(axis=-1) if offset == "mean" else np.zeros(own.shape[:2], "f4")


def in_blocks(cutoffs: np.ndarray, view: AnomalyFeatures) -> Iterator[np.ndarray]:
    """Cutoffs in blocks that keep the features of a block within memory."""
    n_features = max(g.stop for g in view.groups().values())
    size = max(1, BLOCK // (n_features * view.values.shape[1]))
    for start in range(0, len(cutoffs), size):
        yield cutoffs[start : start + size]


# Ridge regression by normal equations: one system for all lead times, or one for each.

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the number of rows


def normal_equations(features: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None):
    """[(G (F, F), C (F, h), rows, steps)]: one system for all steps where the rows are whole, else one for each step.

    Args:
        features: (W, N, F). target: (W, N, H), NaN = missing. weight: (W, N, H) or None.
    """
    rows, wanted = features.reshape(-1, features.shape[-1]), target.reshape(-1, target.shape[-1])
    seen = np.isfinite(wanted)
    whole = seen.all(axis=1)
    if weight is None and whole.mean() > 0.5:
        f, y = rows[whole], wanted[whole]
        return [(f.T @ f, f.T @ y, len(f), slice(None))]
    systems = []
    for step in range(wanted.shape[1]):
        f, y = rows[seen[:, step]], wanted[seen[:, step], step]
        w = np.ones(len(y), "f4") if weight is None else weight.reshape(wanted.shape)[seen[:, step], step]
        systems.append(((f * w[:, None]).T @ f, ((f * w[:, None]).T @ y)[:, None], max(float(w.sum()), 1.0), slice(step, step + 1)))
    return systems


def solve(systems, pick: np.ndarray, n_features: int) -> Iterator[tuple[float, np.ndarray]]:
    """(penalty, weights (F, H)) for each penalty, by one eigendecomposition a system."""
    horizon = sum(c.shape[1] for _, c, _, _ in systems)
    solved = []
    for gram, cross, n_rows, steps in systems:
        value, vector = np.linalg.eigh(gram[np.ix_(pick, pick)].astype("f8"))
        solved.append((np.maximum(value, 0), vector, vector.T @ cross[pick].astype("f8"), n_rows, steps))
    for penalty in PENALTIES:
        weights = np.zeros((n_features, horizon), "f4")
        for value, vector, turned, n_rows, steps in solved:
            weights[pick, steps] = vector @ (turned / (value + penalty * max(n_rows, 1))[:, None])
        yield penalty, weights
