"""Forecasts from what a network's own past tells by itself: usual reading, spread and autocorrelation, with nothing trained.

The usual reading of a phase is the mean of that phase so far, so that every departure in the past was a departure at its time and
its autocorrelation is that of forecast errors. From the autocorrelation follows the best linear prediction: with a known mean
(simple kriging in time) or with an unknown local one (ordinary kriging); see Cressie, Statistics for Spatial Data (1993), ch. 3.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scipy import linalg

from stvlm.anchor.climatology import ClimatologyState, History, carried, estimate_climatology, observed_mean
from stvlm.anchor.features import Transform, candidates
from stvlm.core.seasonality import CLIP, DAY, WEEK, YEAR
from stvlm.core.series import SensorSeries
from stvlm.runtime.cache import LRUCache

NUGGET = 0.02  # of the variance: readings are not exact
MOST_LAGS = 60  # of the recent past in one prediction
FAR = (1, 2, 3)  # cycles back to the same phase
CELLS = 8_000_000  # readings of the past that are read at once
IDENTITY = Transform()
MEMORIES, MEMORY_BYTES = 96, 400_000_000  # kept: a week by five minutes of 2,000 sensors takes 16 MB
WEIGHTS = 512  # kept


@dataclass(frozen=True)
class PredictorSpec:
    """One way to read the past.

    Attributes:
        kind: "repeat" the last reading, or the mean of the last `memory` readings at the same phase; the "usual" reading; or the best
            linear prediction of departures from it with a "known mean" or a "local mean".
        season_seconds: of the usual reading: 0 (none), a day, a week, a year. memory: half-life of the usual reading in cycles (in
            steps without season); 0: all counts alike.
        transform: working scale. far: whether the prediction also reads the same phase of the last cycles (`seasons`).
        seasons: lengths in seconds of the cycles that `far` reads.
    """

    kind: str
    season_seconds: int = 0
    memory: int = 0
    transform: Transform = IDENTITY
    far: bool = False
    seasons: tuple[int, ...] = ()

    @property
    def words(self) -> str:
        """The rule in a few words."""
        season = {0: "mean", DAY: "day", WEEK: "week", YEAR: "year"}[self.season_seconds]
        if self.kind == "repeat":
            return f"repeats the last {'reading' if not self.season_seconds else f'{self.memory} of the same {season}'}"
        fades = f" fading over {self.memory}" if self.memory else ""
        return f"recall, {self.transform.kind}, profile {season}{fades}, {self.kind}{', cycles back' if self.far else ''}"


PERSISTENCE = PredictorSpec("repeat")
_MEMORIES = LRUCache(MEMORIES, MEMORY_BYTES)
_WEIGHTS = LRUCache(WEIGHTS)  # of a few kilobytes each


@dataclass(frozen=True, eq=False)
class PredictionWeights:
    """How the steps ahead are predicted, those together that read the same steps back.

    Attributes:
        lags: arrays (A,) of steps back from the last reading. ahead: for each, (h,) places of the steps ahead. shares: (h, A) float32.
    """

    lags: tuple[np.ndarray, ...]
    ahead: tuple[np.ndarray, ...]
    shares: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class HistoryPredictor:
    """A forecaster that holds no numbers of a network: at each forecast it reads them from the past.

    Attributes:
        lookback, horizon: L, H in steps. rule: how the past is read. reach: steps of the past that are read at most.
        stride: the past is read anew every so many steps. first_second: readings before this time (UTC, since 1970) are not read by
            forecasts after it.
    """

    lookback: int
    horizon: int
    rule: PredictorSpec
    reach: int
    stride: int
    first_second: int = 0
    n_parameters: int = field(default=0, init=False)

    def select(self, nodes: np.ndarray) -> HistoryPredictor:
        """The same forecaster for some of the sensors."""
        return self

    def forecast_from(self, past: History, cutoffs: np.ndarray) -> np.ndarray:
        """(W, H, N) float32 in the unit of the series, for cutoffs (W,); only readings before each cutoff are looked at."""
        cutoffs = np.asarray(cutoffs)
        out = np.zeros((len(cutoffs), self.horizon, past.values.shape[1]), "f4")
        early = cutoffs <= past.index(self.first_second)
        if early.any() and past.index(self.first_second) > 0:  # all these are before its time: they read what there is
            for mine, recall in ((early, replace(self, first_second=past.first_second)), (~early, self)):
                out[mine] = recall.forecast_from(past, cutoffs[mine]) if mine.any() else 0
            return out
        if self.rule.kind == "repeat":
            return self._repeat(past, cutoffs)
        edges = (cutoffs + past.first_step) // self.stride * self.stride - past.first_step
        for edge in np.unique(edges):
            rows = np.flatnonzero(edges == edge)
            start = max(edge - min(self.reach, CELLS // past.values.shape[1]), past.index(self.first_second), 0)
            if edge - start < self._fewest(past):
                out[rows] = self._repeat(past, cutoffs[rows])
                continue
            asked = int(start), int(edge), self.rule.transform, self.rule.season_seconds, self.rule.memory
            memory = _MEMORIES.get((past.key, *asked), partial(estimate_climatology, past, *asked))
            out[rows] = self._predict(past, cutoffs[rows], memory, asked)
        return out

    def _fewest(self, past: History) -> int:
        """Steps of the past without which nothing but repeating is worth a try."""
        cycle = self.rule.season_seconds // past.step
        return max(int(0.9 * cycle) if self.rule.season_seconds == YEAR else 2 * cycle, 2 * self.horizon, 16)

    def _repeat(self, past: History, cutoffs: np.ndarray) -> np.ndarray:
        """The last reading, or the mean of some at the same phase; before any reading the network's mean so far, else 0."""
        period, ahead = self.rule.season_seconds // past.step, np.arange(self.horizon)
        first = max(past.index(self.first_second), 0)
        low = max(int(cutoffs.min()) - min(self.reach, CELLS // past.values.shape[1]), first)
        filled = carried(past.values[low : int(cutoffs.max())], None)
        if self.rule.kind == "repeat" and period:
            back = [cutoffs[:, None] + ahead - period * (ahead // period + 1 + k) for k in range(self.rule.memory)]
        else:
            back = [np.broadcast_to(cutoffs[:, None] - 1, (len(cutoffs), self.horizon))]
        picked = [np.where((b >= low)[..., None], filled[np.maximum(b - low, 0)], np.nan) for b in back]
        last = np.where((cutoffs > low)[:, None], filled[np.maximum(cutoffs - 1 - low, 0)], np.nan)[:, None]  # (W, 1, N)
        out = observed_mean(np.stack(picked), 0)
        out = np.where(np.isfinite(out), out, last)
        everyone = np.nan_to_num(observed_mean(last, 2))[..., None]
        return np.where(np.isfinite(out), out, everyone).astype("f4")

    def _predict(self, past: History, cutoffs: np.ndarray, memory: ClimatologyState, asked: tuple) -> np.ndarray:
        steps = cutoffs[:, None] + np.arange(self.horizon)
        usual = memory.profile.at(past.seconds[steps])
        forward, inverse = self.rule.transform.forward, self.rule.transform.inverse
        if self.rule.kind == "usual":
            return inverse(usual).astype("f4")
        key = past.key, *asked, self.rule, self.lookback, self.horizon
        weights = _WEIGHTS.get(key, lambda: self._weights(past.step, memory))
        deepest = max(int(back.max()) for back in weights.lags) + 1
        low = max(int(cutoffs.min()) - deepest - self.lookback, asked[0])
        span = slice(low, int(cutoffs.max()))
        away = (forward(past.values[span]) - memory.profile.at(past.seconds[span])) / memory.scale
        away = np.nan_to_num(carried(np.clip(away, -CLIP, CLIP), self.lookback))
        out = np.empty((len(cutoffs), self.horizon, away.shape[1]), "f4")
        for steps_ahead, back, share in zip(weights.ahead, weights.lags, weights.shares, strict=True):
            at = cutoffs[:, None] - 1 - low - back  # (W, A)
            read = np.where((at >= 0)[..., None], away[np.maximum(at, 0)], 0)
            out[:, steps_ahead] = np.einsum("wan,ha->whn", read, share)
        return inverse(usual + memory.scale * np.clip(out, -CLIP, CLIP)).astype("f4")

    def _weights(self, step: int, memory: ClimatologyState) -> PredictionWeights:
        """What each step ahead reads: the recent steps, and the same phase of earlier cycles."""
        recent = int(max(1, min(max(self.lookback, 8), MOST_LAGS, memory.n_steps // 4)))
        periods = [s // step for s in self.rule.seasons if s // step > 1] if self.rule.far else []
        alike = defaultdict(list)
        for h in range(1, self.horizon + 1):
            far = [k * p - h for p in periods for k in FAR if k * p - h >= recent and k * p + 1 < memory.n_steps // 2]
            alike[tuple(np.unique([*range(recent), *far]))].append(h - 1)
        lags, ahead = tuple(map(np.array, alike)), tuple(map(np.array, alike.values()))
        is_local = self.rule.kind == "local mean"
        shares = (prediction_weights(memory.covariance, back, h + 1, is_local) for back, h in zip(lags, ahead, strict=True))
        return PredictionWeights(lags, ahead, tuple(each.astype("f4") for each in shares))


def prediction_weights(covariance: np.ndarray, back: np.ndarray, ahead: np.ndarray, has_unknown_mean: bool) -> np.ndarray:
    """(H, A) float64 weights of the best linear prediction of some steps ahead.

    Args:
        covariance: (K,) by lag; 0 beyond. back: (A,) steps back from the last reading. ahead: (H,) steps ahead, >= 1.
        has_unknown_mean: weights then sum to 1 (ordinary kriging).
    """
    n, reach = len(back), int(back.max() + ahead.max()) + 1
    known = np.pad(covariance[:reach], (0, max(reach - len(covariance), 0)))
    size = n + has_unknown_mean
    system, wanted = np.zeros((size, size)), np.ones((size, len(ahead)))
    system[:n, :n] = known[np.abs(back[:, None] - back)] + NUGGET * max(known[0], 1e-12) * np.eye(n)
    system[n:, :n] = system[:n, n:] = 1.0
    wanted[:n] = known[back[:, None] + ahead]
    return linalg.lstsq(system, wanted, lapack_driver="gelsy", check_finite=False)[0][:n].T


def predictor_specs(values: np.ndarray, seasons: tuple[int, ...], step: int, lookback: int) -> list[PredictorSpec]:
    """The ways worth trying.

    Args:
        values: (T, N) of the past that may be looked at. seasons: in seconds. step: its length in seconds. lookback: L.
    """
    cycles = tuple(s for s in seasons if s != YEAR and 2 * step <= s <= len(values) * step // 2)
    out = [PERSISTENCE, *(PredictorSpec("repeat", s, k) for s in cycles for k in (1, 3))]
    profiles = [(0, 0), (0, max(4 * lookback, 60)), *((s, m) for s in cycles for m in (0, 4))]
    if YEAR in seasons and len(values) * step >= 0.9 * YEAR:
        profiles.append((YEAR, 0))
    for transform in candidates(values):
        for season, memory in profiles:
            if transform.kind == "identity":
                out.append(PredictorSpec("usual", season, memory))
            out += [
                PredictorSpec(kind, season, memory, transform, far, cycles)
                for kind in ("known mean", "local mean")
                for far in ((False, True) if cycles else (False,))
            ]
    return out


def history_predictors(
    series: SensorSeries,
    start: int,
    stop: int,
    lookback: int,
    horizon: int,
    seasons: tuple[int, ...],
    context_steps: int | None = None,
) -> list[HistoryPredictor]:
    """A forecaster for each rule worth trying.

    Args:
        series: the readings; steps start .. stop - 1 may be looked at to find the rules, and set how far each forecast reads back.
        lookback, horizon: L, H. seasons: in seconds. context_steps: steps that a forecast may read back; None: stop - start.
    """
    first = int(series.times[start].astype("int64"))
    reach = min(stop - start, context_steps or stop - start)
    stride = max(horizon, (stop - start) // 16)
    found = predictor_specs(series.values[start:stop], seasons, series.step_seconds, lookback)
    return [HistoryPredictor(lookback, horizon, rule, reach, stride, first) for rule in found]
