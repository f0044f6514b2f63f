"""The anchor: forecasters blended by what each was worth lately, as far as that is known at the cutoff."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from stvlm.anchor.climatology import MOST_READ, History, observed_mean
from stvlm.anchor.features import AnomalyFeatures, NeighbourOperators
from stvlm.anchor.history_predictors import PERSISTENCE, HistoryPredictor
from stvlm.anchor.ridge import RidgeMember, forecast_together
from stvlm.core.outliers import comparable
from stvlm.core.series import SensorSeries
from stvlm.core.windows import thin
from stvlm.runtime.cache import LRUCache

# Greedy ensemble selection.


def greedy_counts(rows: Sequence[np.ndarray], wanted: np.ndarray, rounds: int, enough: float, at_most: int) -> np.ndarray:
    """How often each forecast is taken when the one that lowers the mean error most is added, again and again.

    With repetition, as in Caruana et al. 2004, *Ensemble selection from libraries of models*.

    Args:
        rows: M arrays (K,), the forecasts of K cells. wanted: (K,) their truth. rounds: forecasts that are added at most.
        enough: the error has to fall to this share of what it was, else no more is added. at_most: different forecasts.

    Returns:
        (M,) int counts.
    """
    total, counts, lowest = np.zeros_like(wanted), np.zeros(len(rows), int), np.inf
    for done in range(rounds):
        errors = [float(np.abs((total + row) / (done + 1) - wanted).mean(dtype="f8")) for row in rows]
        pick = int(np.argmin(errors))
        if errors[pick] > lowest * enough or ((counts > 0).sum() == at_most and not counts[pick]):
            break
        total, lowest = total + rows[pick], errors[pick]
        counts[pick] += 1
    return counts


ROUNDS = 8  # of the greedy choice
MOST_WINDOWS, FEWEST_WINDOWS = 48, 4  # that are replayed
DOUBT = 2.0  # windows apart with which half of the greedy share counts
MARGIN = 0.25  # of the range of a sensor's readings: no forecast is believed that leaves it by more
REPLAYED_CELLS = 400_000  # (window, step, sensor)
SHARES_KEPT = 64


@dataclass(frozen=True)
class Replay:
    """Which windows of the past tell what a forecaster is worth.

    Attributes:
        span: steps back from the cutoff. stride: the choice is made anew every so many steps.
        first_second: windows that are forecast from this time on (UTC, since 1970): before it, weights were fitted.
        reach, start_second: how many steps back, and not before which time, readings bound what is believed of a forecast.
    """

    span: int
    stride: int
    first_second: int
    reach: int
    start_second: int


@dataclass(frozen=True, eq=False)
class CutoffState:
    """What is known of the members at a cutoff: their shares, and between which values (N,) their forecasts are believed."""

    shares: tuple[float, ...]
    low: np.ndarray | float = -np.inf
    high: np.ndarray | float = np.inf


@dataclass(frozen=True, eq=False)
class MemberInputs:
    """The windows of one series as each member of an anchor sees them, the frame's first; and the readings."""

    of: tuple[Any, ...]
    past: History

    @property
    def n_sensors(self) -> int:
        """Sensors N."""
        return self.past.values.shape[1]


@dataclass(frozen=True, eq=False)
class Anchor:
    """A weighted mean of ridge forecasters that differ in working scale, profile and offset, and of some that recall the past.

    Attributes:
        members: the first is a ridge forecaster; its working scale, profile and scale are the network's frame.
        shares: one for each member, >= 0, summing to 1. replay: how shares are chosen anew as time goes on; None: they stay.
        floor: forecasts are never below it, in the unit of the readings; None where the training part went below 0.
        choice: what was tried on the validation part and what was taken, in the unit of the readings.
    """

    members: tuple[RidgeMember | HistoryPredictor, ...]
    shares: tuple[float, ...]
    floor: float | None = None
    choice: dict = field(default_factory=dict)
    replay: Replay | None = None
    _kept: LRUCache = field(default_factory=lambda: LRUCache(SHARES_KEPT), init=False, repr=False)

    @property
    def frame(self) -> RidgeMember:
        """The member whose departures the network works on."""
        first = self.members[0]
        assert isinstance(first, RidgeMember)  # noqa: S101  serialize.check refuses others
        return first

    @property
    def ridges(self) -> tuple[RidgeMember, ...]:
        """The members whose weights were fitted."""
        return tuple(m for m in self.members if isinstance(m, RidgeMember))

    @property
    def plain(self) -> int | None:
        """Place of the member that repeats the last reading."""
        return next((i for i, m in enumerate(self.members) if isinstance(m, HistoryPredictor) and m.rule == PERSISTENCE), None)

    @property
    def n_parameters(self) -> int:
        """Numbers that were estimated, over all members."""
        return sum(m.n_parameters for m in self.members)

    def views(self, series: SensorSeries) -> MemberInputs:
        """The windows of a series as each member sees them, without far outliers; made once for many forecasts."""
        series = series.screened
        neighbourhood, past = NeighbourOperators.of(series.network), History(series, self.frame.horizon)
        seen = {m.view_key: m for m in self.ridges}
        views: dict[Hashable, AnomalyFeatures] = {key: m.view(series, neighbourhood) for key, m in seen.items()}
        return MemberInputs(tuple(views[m.view_key] if isinstance(m, RidgeMember) else past for m in self.members), past)

    def forecast(self, series: SensorSeries, cutoffs: np.ndarray) -> np.ndarray:
        """(W, H, N) float32 in the unit of the series, for cutoffs (W,) with at least L steps before them."""
        return self.forecast_from(self.views(series), np.asarray(cutoffs))

    def forecast_from(self, views: MemberInputs, cutoffs: np.ndarray) -> np.ndarray:
        """The same from ready-made `views`."""
        cutoffs = np.asarray(cutoffs)
        total = np.zeros((len(cutoffs), self.frame.horizon, views.n_sensors), "f4")
        for rows, known in self._known(views, cutoffs):
            counting = np.flatnonzero(known.shares)
            for i, forecast in zip(counting, self._forecasts(views, cutoffs[rows], counting), strict=True):
                total[rows] += np.float32(known.shares[i]) * np.clip(forecast, known.low, known.high)
        return total if self.floor is None else np.maximum(total, self.floor)

    def _forecasts(self, views: MemberInputs, cutoffs: np.ndarray, places: Iterable[int]) -> list[np.ndarray]:
        """(W, H, N) of each of the members at these places; features that several of them read are made once."""
        made, alike = {}, defaultdict(list)
        for i in places:
            member = self.members[i]
            if isinstance(member, RidgeMember):
                alike[member.features_key].append(i)
            else:
                made[i] = member.forecast_from(views.of[i], cutoffs)
        for same in alike.values():
            members = [member for i in same if isinstance(member := self.members[i], RidgeMember)]
            made |= zip(same, forecast_together(members, views.of[same[0]], cutoffs), strict=True)
        return [made[i] for i in places]

    def _known(self, views: MemberInputs, cutoffs: np.ndarray) -> Iterator[tuple[np.ndarray, CutoffState]]:
        """Which of the cutoffs, and what is known for them."""
        if self.replay is None:
            yield np.arange(len(cutoffs)), CutoffState(self.shares)
            return
        first, stride = views.past.first_step, self.replay.stride
        edges = (cutoffs + first) // stride * stride - first
        for edge in np.unique(edges):
            known = self._kept.get((views.past.key, int(edge)), partial(self._look_back, views, int(edge), self.replay))
            yield np.flatnonzero(edges == edge), known

    def _look_back(self, views: MemberInputs, edge: int, replay: Replay) -> CutoffState:
        """What the readings before step `edge` say of the members."""
        reach = min(replay.reach, MOST_READ // views.n_sensors)
        readings = views.past.values[max(edge - reach, views.past.index(replay.start_second), 0) : max(edge, 0)]
        known = CutoffState(self.shares)
        if len(readings) >= 2 * (self.frame.lookback + self.frame.horizon):
            low, high = np.fmin.reduce(readings, axis=0), np.fmax.reduce(readings, axis=0)
            few = np.isfinite(readings).sum(axis=0) < 2 * (self.frame.lookback + self.frame.horizon)  # no range is known of those
            margin = MARGIN * (high - low)
            known = CutoffState(self.shares, np.where(few, -np.inf, low - margin), np.where(few, np.inf, high + margin))
        cutoffs = self.replayed(views, edge, replay)
        truth = comparable(views.past.values[cutoffs[:, None] + np.arange(self.frame.horizon)])
        if len(cutoffs) < FEWEST_WINDOWS or not np.isfinite(truth).any():
            return known
        made = self._forecasts(views, cutoffs, range(len(self.members)))
        forecasts = [np.clip(forecast, known.low, known.high) for forecast in made]
        return replace(
            known, shares=ensemble_weights(forecasts, truth, cutoffs, self.frame.lookback + self.frame.horizon, self.plain)[0]
        )

    def replayed(self, views: MemberInputs, edge: int, replay: Replay) -> np.ndarray:
        """(W,) cutoffs whose futures were all known before step `edge`, none of them seen in the fitting of weights."""
        horizon, first = self.frame.horizon, views.past.index(replay.first_second)
        known = np.arange(max(first, edge - replay.span, self.frame.lookback), min(edge, len(views.past.values)) - horizon + 1)
        return thin(known, int(np.clip(REPLAYED_CELLS // (horizon * views.n_sensors), FEWEST_WINDOWS, MOST_WINDOWS)))

    def select(self, nodes: np.ndarray) -> Anchor:
        """The same forecaster for some of its sensors, in the order given."""
        return replace(self, members=tuple(m.select(nodes) for m in self.members))


def ensemble_weights(
    forecasts: list[np.ndarray], truth: np.ndarray, cutoffs: np.ndarray, length: int, plain: int | None
) -> tuple[tuple[float, ...], float]:
    """Shares of a blend: up to half from a greedy choice, the rest by how sure it is that a forecast is not the best.

    The greedy half adds the forecast that lowers the error most, with repetition (Caruana et al. 2004). The other half hedges where
    the windows are few: weights exp(-z^2 / 2), z the excess error over the best in its standard errors.

    Args:
        forecasts: M arrays (W, H, N). truth: (W, H, N), NaN = missing. cutoffs: (W,), rising. length: steps of a window, L + H: windows
            that share readings do not count as many. plain: place of the forecast that is believed first where little is known.

    Returns:
        M shares that sum to 1, and the mean absolute error of the blend.
    """
    seen = np.isfinite(truth)
    rows, wanted = [f[seen] for f in forecasts], truth[seen]
    counts = greedy_counts(rows, wanted, ROUNDS, 0.9999, len(rows))
    apart = max((cutoffs[-1] - cutoffs[0] + 1) / length, 0.5)
    sure = 0.5 * apart / (apart + DOUBT)
    shares = sure * counts / counts.sum() + (1 - sure) * _hedge(forecasts, truth, apart, plain)
    mixed = sum(np.float32(share) * row for share, row in zip(shares, rows, strict=True))
    return tuple(map(float, shares)), float(np.abs(mixed - wanted).mean(dtype="f8"))


def _hedge(forecasts: list[np.ndarray], truth: np.ndarray, apart: float, plain: int | None) -> np.ndarray:
    """(M,) float64 shares by the errors on so many windows that are `apart`; those over 10 % worse than the best get none."""
    errors = np.array([observed_mean(np.abs(f - truth), (1, 2), "f8") for f in forecasts])  # (M, W)
    errors = errors[:, np.isfinite(errors).all(axis=0)]
    mean = errors.mean(axis=1)
    excess = errors - errors[np.argmin(mean)]
    error = excess.std(axis=1) / np.sqrt(apart) + 1e-6 * mean.min() + 1e-12
    believed = (mean <= 1.1 * mean.min()).astype("f8")
    if plain is not None:
        believed[plain] = 1 + len(forecasts) * DOUBT / (apart + DOUBT)
    weight = believed * np.exp(-0.5 * (excess.mean(axis=1) / error) ** 2)
    return weight / weight.sum()
