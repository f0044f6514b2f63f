"""Fit every kind of closed-form forecaster on the training part and take the one that does best on the validation part.

Season profiles are cross-fitted: the profile that a training window sees leaves out the block of time in which the window's
future lies. Otherwise the training departures look too small, and the weights learn to undo their own mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stvlm.anchor.climatology import MOST_READ, History
from stvlm.anchor.ensemble import Anchor, Replay, ensemble_weights
from stvlm.anchor.features import AnomalyFeatures, NeighbourOperators, candidates
from stvlm.anchor.history_predictors import PERSISTENCE, HistoryPredictor, history_predictors
from stvlm.anchor.ridge import RidgeMember, anomaly_features, normal_equations, numeric_context, offset_of, shifts, solve
from stvlm.core.outliers import comparable
from stvlm.core.seasonality import CLIP, DAY, WEEK, YEAR, SeasonalProfile, anomaly_scale
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split, since_block, thin

# Cross-fitting: a training window sees the seasonal profile of the other blocks.

MAX_FOLDS = 8


def profile_folds(
    view: AnomalyFeatures, split: Split, season: int, step_seconds: int
) -> Iterator[tuple[int, int, SeasonalProfile]]:
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


# Candidates, scored on windows whose truth is known.

REPLAYED = 10  # windows that share no reading, at least
SEASONS = ((DAY, 1440), (WEEK, 10080), (YEAR, 525600))  # in seconds, in minutes


@dataclass(frozen=True, eq=False)
class ScoredCandidate:
    """A forecaster and what it was worth.

    Attributes:
        mae: in the unit of the series. label: what it is. member: itself. forecast: (W, H, N) in the unit.
    """

    mae: float
    label: str
    member: RidgeMember | HistoryPredictor
    forecast: np.ndarray


def in_seconds(seasons_minutes: Iterable[int]) -> tuple[int, ...]:
    """Those of SEASONS whose minutes are given."""
    return tuple(season for season, minutes in SEASONS if minutes in seasons_minutes)


def score_predictors(
    recalls: Iterable[HistoryPredictor], past: History, cutoffs: np.ndarray, truth: np.ndarray
) -> list[ScoredCandidate]:
    """What the past tells by itself, the best way to read it first.

    Args:
        recalls: the ways. past: the readings. cutoffs: (W,). truth: (W, H, N), NaN = missing; with nothing in it all errors are 0.
    """
    found = []
    for recall in recalls:
        forecast = recall.forecast_from(past, cutoffs)
        error = np.abs(forecast - truth)
        mae = float(np.nanmean(error, dtype="f8")) if np.isfinite(error).any() else 0.0
        found.append(ScoredCandidate(mae, recall.rule.words, recall, forecast))
    return sorted(found, key=lambda one: one.mae)


def keep_best(told: Sequence[ScoredCandidate], at_most: int) -> list[ScoredCandidate]:
    """The best different ways to read the past, and plain repeating: it is the one to fall back on where all changes.

    Args:
        told: the best first. at_most: ways, beside plain repeating.
    """
    different = [one for i, one in enumerate(told) if i == 0 or one.mae > told[i - 1].mae * (1 + 1e-6)]
    return [one for i, one in enumerate(different) if i < at_most or one.label == PERSISTENCE.words]


def persistence_index(found: Sequence[ScoredCandidate]) -> int | None:
    """Where plain repeating stands."""
    return next((i for i, one in enumerate(found) if one.label == PERSISTENCE.words), None)


def selected(found: Iterable[ScoredCandidate], shares: Iterable[float]) -> list[dict]:
    """Those that count, and how much, as a manifest tells it."""
    pairs = zip(found, shares, strict=True)
    return [{"kind": one.label, "share": share, "val_mae": one.mae} for one, share in pairs if share]


TRAIN_ROWS, VAL_ROWS, MEDIAN_ROWS = 100_000, 20_000, 20_000  # rows (window, sensor): for fitting, choosing, least absolute errors
FEWEST = 50  # windows, where there are so many
MAX_MEMBERS = 8  # that are refined
MAX_RIDGES, MAX_RECALLS = 6, 4  # of the blend
BASE = ("constant", "own", "lags", "ahead")
KINDS = {
    "own past": BASE,
    "neighbours": (*BASE, "near"),
    "directions": (*BASE, "near", "directions"),
    "graph": (*BASE, "near", "directions", "graph"),
}


@dataclass(frozen=True, eq=False)
class DesignMatrices:
    """Windows and sensors as rows of one regression, on one working scale and profile."""

    member: RidgeMember  # without weights
    view: AnomalyFeatures
    train: np.ndarray  # (W, N, F)
    train_target: np.ndarray  # (W, N, H), NaN = missing
    val: np.ndarray  # (V, N, F)
    val_cutoffs: np.ndarray
    val_truth: np.ndarray  # (V, H, N) in the unit of the series


def fit_anchor(
    series: SensorSeries,
    split: Split,
    lookback: int,
    horizon: int,
    seasons_minutes: tuple[int, ...] = (),
    context_steps: int | None = None,
) -> Anchor:
    """Fit and choose the closed-form forecaster.

    Args:
        series: readings; only the training and validation parts are looked at, nothing before the training part, and no far outliers.
        split: the parts; of a training part of more than MOST_READ readings the last ones are read.
        lookback, horizon: L, H in steps.
        seasons_minutes: seasons whose profile is tried (1440, 10080, 525600).
        context_steps: how many steps of the longer past may be used; None: as far as pays, 0: only the lookback.

    Returns:
        The forecaster with the smallest mean absolute error on the validation part; `choice` says what else was tried.

    Raises:
        ValueError: the training part holds no window, or no reading.
    """
    train = split.cutoffs("train", lookback, horizon)
    if len(train) == 0:
        raise ValueError(
            f"The training part ({split.train_end - split.train_start} steps) holds no window of {lookback} + {horizon} steps. "
            "Take more data, or a shorter lookback or horizon."
        )
    series, val = since_block(series, split).screened, split.cutoffs("val", lookback, horizon)
    most = max(MOST_READ // series.network.n_sensors, lookback + horizon)
    if split.train_end - split.train_start > most:
        split = replace(split, train_start=split.train_end - most)
        train = split.cutoffs("train", lookback, horizon)
    if not np.isfinite(series.values[split.train_start : split.train_end]).any():
        raise ValueError("The training part holds no reading at all.")
    if len(val) == 0 or not np.isfinite(series.values[split.train_end : split.val_end]).any():
        keep = max(1, len(train) - max(len(train) // 5, 1))
        train, val = train[:keep], train[keep:] if len(train) > 1 else train
    asked = context_steps
    context_steps = min(64 * lookback, (split.train_end - split.train_start) // 2) if context_steps is None else context_steps
    tried, best = [], []
    for rows in _rows(series, split, train, val, lookback, horizon, seasons_minutes, context_steps):
        by_offset: dict[str, tuple[float, str, RidgeMember]] = {}
        for member, label in _candidates(rows):
            mae = val_mae(member, rows)
            tried.append((mae, label))
            if member.offset not in by_offset or mae < by_offset[member.offset][0]:
                by_offset[member.offset] = (mae, label, member)
        best += [(*found, rows) for found in by_offset.values()]
    best = sorted(best, key=lambda found: found[0])[:MAX_MEMBERS]
    ridges = []
    for mae, label, member, rows in best:
        mae, label, member = _refined(member, mae, label, rows)
        ridges.append(ScoredCandidate(mae, label, member, _val_forecast(member, rows)))
    truth, cutoffs = best[0][3].val_truth, best[0][3].val_cutoffs
    told = _recalled(series, split, cutoffs, truth, lookback, horizon, seasons_minutes, asked)
    found = [*sorted(ridges, key=lambda one: one.mae)[:MAX_RIDGES], *keep_best(told, MAX_RECALLS)]
    anchor = _blend(found, min(len(ridges), MAX_RIDGES), truth, cutoffs)
    both = [(one.mae, one.label) for one in (*ridges, *told)]
    scored = sorted({label: mae for mae, label in [*tried, *both]}.items(), key=lambda pair: pair[1])
    low = np.nanmin(np.asarray(series.values[split.train_start : split.train_end]))
    return replace(
        anchor,
        floor=0.0 if low >= 0 else None,
        replay=_replay(series, split, lookback, horizon, asked) if told else None,
        choice=anchor.choice | {"tried": [{"kind": kind, "val_mae": mae} for kind, mae in scored[:12]], "n_tried": len(scored)},
    )


def _refined(member: RidgeMember, mae: float, label: str, rows: DesignMatrices) -> tuple[float, str, RidgeMember]:
    """Least absolute errors and weights for each sensor, each taken where it does better by a clear margin."""
    for refine, name in ((_absolute, "absolute errors"), (_own_weights, "weights for each sensor")):
        options = [(val_mae(candidate, rows), candidate) for candidate in refine(member, rows)]
        if options and min(options, key=lambda o: o[0])[0] < mae * 0.997:
            mae, member = min(options, key=lambda o: o[0])
            label = f"{label}, {name}"
    return mae, label, member


def _recalled(series, split, cutoffs, truth, lookback, horizon, seasons_minutes, context_steps) -> list[ScoredCandidate]:
    """What the past tells by itself at the validation cutoffs, the best way to read it first."""
    if context_steps == 0 or not np.isfinite(truth).any():
        return []
    seasons = in_seconds(seasons_minutes)
    ways = history_predictors(series, split.train_start, split.val_end, lookback, horizon, seasons, context_steps)
    return score_predictors(ways, History(series, horizon), cutoffs, truth)


def _replay(series: SensorSeries, split: Split, lookback: int, horizon: int, context_steps: int | None) -> Replay:
    """Shares are chosen by a past as long as the validation part was, or long enough for some windows that share no reading."""
    reach = min(split.val_end - split.train_start, context_steps or split.n_steps)
    span = max(split.val_end - split.train_end, REPLAYED * (lookback + horizon))
    first, start = (int(series.times[0].astype("int64")) + i * series.step_seconds for i in (split.train_end, split.train_start))
    return Replay(span, max(horizon, (split.val_end - split.train_start) // 16), first, reach, start)


def _blend(found: list[ScoredCandidate], n_ridges: int, truth: np.ndarray, cutoffs: np.ndarray) -> Anchor:
    """The best blend on the validation part, with the other members at hand for later.

    Args:
        found: first the ridge forecasters, the best of them first, then those that recall the past. truth: (V, H, N) at
            `cutoffs` (V,).
    """
    frame = found[0].member
    length = frame.lookback + frame.horizon
    shares, mae = ensemble_weights([one.forecast for one in found], truth, cutoffs, length, persistence_index(found))
    order = sorted(range(len(found)), key=lambda i: (i >= n_ridges, -shares[i], found[i].mae))
    if not any(shares[:n_ridges]):  # the network's frame is that of a ridge forecaster, whether it counts or not
        order = sorted(range(len(found)), key=lambda i: (i >= n_ridges, found[i].mae))
    found, shares = [found[i] for i in order], tuple(shares[i] for i in order)
    return Anchor(tuple(one.member for one in found), shares, choice={"taken": selected(found, shares), "val_mae": mae})


def val_mae(member: RidgeMember, rows: DesignMatrices) -> float:
    """Mean absolute error on the validation rows, observed cells only, in the unit of the series."""
    return float(np.nanmean(np.abs(_val_forecast(member, rows) - rows.val_truth), dtype="f8"))


def _val_forecast(member: RidgeMember, rows: DesignMatrices) -> np.ndarray:
    """(V, H, N) float32 in the unit of the series."""
    return member.unscale(member.scaled_from(rows.val, rows.view), rows.view, rows.val_cutoffs)


def _rows(series, split, train, val, lookback, horizon, seasons_minutes, context_steps) -> Iterator[DesignMatrices]:
    """One set of rows for each working scale and profile worth trying."""
    n = series.network.n_sensors
    train = thin(train, max(TRAIN_ROWS // n, FEWEST))
    val = thin(val, max(VAL_ROWS // n, FEWEST))
    columns, column_scale = _known_ahead(series, split)
    seasons = in_seconds(seasons_minutes)
    lags = () if context_steps == 0 else _lags(seasons, series.step_seconds, lookback, horizon, split)
    span, neighbourhood = slice(split.train_start, split.train_end), NeighbourOperators.of(series.network)
    for transform in candidates(series.values[span]):
        view = anomaly_features(series, neighbourhood, transform, lookback, horizon, context_steps, lags, columns, column_scale)
        for season in (0, *seasons):
            profile = SeasonalProfile.fit(view.values[span], view.seconds[span], season, series.step_seconds)
            folds = list(profile_folds(view, split, season, series.step_seconds))
            parts = [view.values[start:stop] - p.at(view.seconds[start:stop]) for start, stop, p in folds]
            scale = anomaly_scale(np.concatenate(parts), view.values[span])
            features, targets = [], []
            for start, stop, fold_profile in folds:
                cutoffs = train[(train >= start) & (train < stop)]
                if len(cutoffs):
                    features.append(view.features(cutoffs, fold_profile, scale))
                    targets.append(view.future(cutoffs, fold_profile, scale).swapaxes(1, 2))
            n_features = features[0].shape[-1]
            member = RidgeMember(
                lookback, horizon, context_steps, transform, profile, scale, lags, columns, column_scale, "none",
                np.zeros((n_features, horizon), "f4"),
            )  # fmt: skip
            truth = comparable(series.values[val[:, None] + np.arange(horizon)])
            yield DesignMatrices(
                member, view, np.concatenate(features), np.clip(np.concatenate(targets), -CLIP, CLIP),
                view.features(val, profile, scale), val, truth,
            )  # fmt: skip


def _candidates(rows: DesignMatrices) -> Iterator[tuple[RidgeMember, str]]:
    """Every offset, kind and penalty on one set of rows, and the simple forecasts that they contain."""
    groups, flags = rows.view.groups(), shifts(rows.view)
    season = {0: "mean", DAY: "day", WEEK: "week", YEAR: "year"}[rows.member.profile.season_seconds]
    for offset in ("none", "last", "mean"):
        shift = offset_of(rows.train, rows.view, offset)[..., None]
        features, target = rows.train - shift * flags, rows.train_target - shift
        name = f"{rows.member.transform.kind}, profile {season}, offset {offset}"
        yield replace(rows.member, offset=offset), f"{name}, nothing else"
        kinds = {
            k: [g for g in names if g in groups] for k, names in KINDS.items() if k in ("own past",) or groups_present(groups, k)
        }
        if rows.member.context_steps > rows.member.lookback:
            kinds |= {f"{k} + long past": [*names, "long"] for k, names in kinds.items()}
        systems = normal_equations(features, target)
        for kind, names in kinds.items():
            pick = np.concatenate([np.arange(groups[g].start, groups[g].stop) for g in names])
            for penalty, weights in solve(systems, pick, len(flags)):
                yield replace(rows.member, offset=offset, weights=weights), f"{name}, {kind}, penalty {penalty:g}"


def groups_present(groups: dict[str, slice], kind: str) -> bool:
    """Whether the group that makes a kind what it is has any feature."""
    last = groups[KINDS[kind][-1]]
    return last.stop > last.start


def _absolute(member: RidgeMember, rows: DesignMatrices) -> Iterator[RidgeMember]:
    """Weights for the median instead of the mean: least absolute errors by iteratively reweighted least squares."""
    used = np.flatnonzero(np.abs(member.weights).sum(axis=1))
    if len(used) == 0:
        return
    step = max(1, rows.train.shape[0] * rows.train.shape[1] // MEDIAN_ROWS)
    train, target = rows.train[::step], rows.train_target[::step]
    shift = offset_of(train, rows.view, member.offset)[..., None]
    features, target = train - shift * shifts(rows.view), target - shift
    weights = member.weights
    for _ in range(3):
        error = np.abs(target - features @ weights)
        floor = 0.05 * np.nanmedian(error) + 1e-6
        weight = np.nan_to_num(1 / np.maximum(error, floor)) * floor * member.scale[None, :, None]
        systems = normal_equations(features, target, weight / member.scale.mean())
        options = [replace(member, weights=w) for _, w in solve(systems, used, len(weights))]
        best = min(options, key=lambda a: val_mae(a, rows))
        weights = best.weights
    yield best


def _own_weights(member: RidgeMember, rows: DesignMatrices) -> Iterator[RidgeMember]:
    """Weights of each sensor's own, on top of the shared ones, where there is data enough for them."""
    used = np.flatnonzero(np.abs(member.weights).sum(axis=1))
    w, n, n_features = rows.train.shape
    if len(used) == 0 or w < 4 * len(used) or n * len(used) * member.horizon > 20_000_000:
        return
    shift = offset_of(rows.train, rows.view, member.offset)[..., None]
    features = (rows.train - shift * shifts(rows.view))[..., used].swapaxes(0, 1)  # (N, W, f)
    error = (rows.train_target - shift).swapaxes(0, 1) - features @ member.weights[used]  # (N, W, H)
    seen = np.isfinite(error).all(axis=-1)
    features, error = features * seen[..., None], np.where(seen[..., None], error, 0)
    gram = (features.swapaxes(1, 2) @ features).astype("f8")
    cross = (features.swapaxes(1, 2) @ error).astype("f8")
    for penalty in (0.03, 0.3, 3.0):
        ridge = penalty * np.maximum(seen.sum(axis=1), 1)[:, None, None] * np.eye(len(used))
        own = np.zeros((n, n_features, member.horizon), "f4")
        own[:, used] = np.linalg.solve(gram + ridge, cross)
        yield replace(member, own=own)


def _lags(seasons: tuple[int, ...], step_seconds: int, lookback: int, horizon: int, split: Split) -> tuple[int, ...]:
    """Steps back to the same phase: the first whole number of seasons that clears the horizon, where it lies before the lookback."""
    lags = []
    for season in seasons:
        period = season // step_seconds
        if season == YEAR or period < 1:
            continue
        lag = period * -(-horizon // period)
        if lag > lookback and lag < (split.train_end - split.train_start) // 2:
            lags.append(lag)
    return tuple(dict.fromkeys(lags))


def _known_ahead(series: SensorSeries, split: Split) -> tuple[tuple[str, ...], np.ndarray]:
    """Numeric columns known ahead, and their mean and spread (2, C) on the training part."""
    if not series.known_ahead:
        return (), np.zeros((2, 0))
    numbers = numeric_context(series, series.known_ahead)[split.train_start : split.train_end]
    spread = numbers.std(axis=0)
    use = spread > 1e-9
    return tuple(c for c, u in zip(series.known_ahead, use, strict=True) if u), np.stack([numbers.mean(axis=0)[use], spread[use]])
