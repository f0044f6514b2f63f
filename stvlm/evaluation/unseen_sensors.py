"""Sensors that were never seen: some are held out, their readings hidden in training and in the input, and they alone are scored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import nnls

from stvlm.core.forecast import LEVELS
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import exact, thin
from stvlm.evaluation.backtest import make_setup, result_of, row_of, with_mean
from stvlm.evaluation.baselines.simple import TrainingData, fit_baseline
from stvlm.evaluation.methods import EvaluationSetup, FittedMethod, Report, contenders
from stvlm.spatial.interpolation import Interpolator, WeightScheme, fit_interpolation, mixing_weights
from stvlm.spatial.locations import Locations, locations_of

if TYPE_CHECKING:
    from stvlm.anchor.ensemble import Anchor


# Hold-out: which sensors are hidden, and what is still known of them.

KNOWN = ("facts", "links", "ground")  # of a sensor that was never read: its row of the sensor table, its links, what lies below it
FEWEST = 5  # sensors that must be left to learn from


@dataclass(frozen=True, eq=False)
class Hold:
    """Some sensors held out.

    Attributes:
        seen, hidden: places on the N axis. course: windows of the seen sensors alone, all that anything is fitted on. scored: the same
            windows of the hidden ones. sites: where these stand, with what else is known of them.
    """

    seen: np.ndarray
    hidden: np.ndarray
    course: EvaluationSetup
    scored: EvaluationSetup
    sites: Locations

    @property
    def bare(self) -> Locations:
        """The places of the hidden sensors by their coordinates alone."""
        return Locations(self.sites.lat, self.sites.lon)

    @property
    def network(self) -> SensorNetwork:
        """Of the seen sensors."""
        return self.course.series.network

    @property
    def readings(self) -> np.ndarray:
        """(T, N) of the seen sensors in the training part."""
        return self.course.series.screened.values[: self.course.split.train_end]


def hidden_sensors(n_sensors: int, share: float, seed: int = 0) -> np.ndarray:
    """(K,) rising places on the N axis, drawn at random: share of the sensors, at least one.

    Raises:
        ValueError: a share that is none, or too few sensors left to learn from.
    """
    if not 0 < share < 1:
        raise ValueError(f"The share of sensors to hold out must lie between 0 and 1, not {share}.")
    count = max(round(exact(share) * n_sensors), 1)
    if n_sensors - count < FEWEST:
        raise ValueError(f"Of {n_sensors} sensors, {n_sensors - count} would be left to learn from; at least {FEWEST} are needed.")
    return np.sort(np.random.default_rng(seed).permutation(n_sensors)[:count])


def hold_out(series: SensorSeries, hidden: np.ndarray, course: Callable[[SensorSeries], EvaluationSetup]) -> Hold:
    """Part a series into sensors that are seen and sensors that are not.

    Args:
        series: of all. hidden: (K,) places on the N axis. course: lays the windows over a series.
    """
    seen = np.setdiff1d(np.arange(series.network.n_sensors), hidden)
    known = course(series.select(seen))
    sites = locations_of(series.network, hidden, seen, KNOWN, judges=seen)
    return Hold(seen, hidden, known, replace(known, series=series.select(hidden)), sites)


MODELS = ("anchor", "stvlm")  # what may be asked for beside the two that interpolate the ridge
INVERSE_DISTANCE = WeightScheme("distance", nearest=6, power=2.0)
VARIOGRAM_WINDOWS, BINS = 200, 12
REACHES = tuple(np.geomspace(0.1, 5, 15))  # half extents
# Of one hold-out, the anchor of its seen sensors, the seconds that its fit took, the seed, and progress: rows beside those of MODELS.
FurtherMethods = Callable[[Hold, "Anchor", float, int, Report], Iterable[FittedMethod]]


def backtest_hidden(
    series: SensorSeries,
    lookback: int,
    horizon: int,
    split: tuple[float, float, float],
    share: float = 0.2,
    models: tuple[str, ...] = ("anchor",),
    seeds: int = 1,
    few_shot: str | float | None = None,
    seasons: tuple[int, ...] | None = None,
    progress: Report | None = None,
    fit_options: dict[str, Any] | None = None,
    further: FurtherMethods | None = None,
) -> dict[str, Any]:
    """Score forecasts of sensors that nobody read: all is fitted on the others, and chosen on the validation part of the others.

    Args:
        series, lookback, horizon, split, few_shot, seasons, progress: as in `backtest`.
        share: of the sensors that are held out.
        models: some of MODELS.
        seeds: how often others are held out, with seeds 0, 1, ...
        fit_options: settings of FitConfig, for stvlm.
        further: makes further rows.

    Returns:
        As `backtest`, all of the hidden sensors alone: rows "inverse distance of ridge" and "kriging of ridge", which interpolate
        the ridge forecasts of the others; "anchor", the best way to carry the closed-form forecasts of the others, and "anchor, by
        place alone" without facts, links and ground; "stvlm", trained on the others, whose forecasts are carried as the anchor's
        are. "held_out": the ids of the hidden sensors, a list for each seed; "mae_per_sensor" is None for sensors that were never
        held out.

    Raises:
        ValueError: as `backtest`, unknown models, a share that leaves too few sensors, hidden sensors that are never observed.
    """
    unknown = [name for name in models if name not in MODELS]
    if unknown:
        raise ValueError(f"Unknown models for sensors that are held out: {', '.join(unknown)}. There are {', '.join(MODELS)}.")
    report = progress or (lambda message, done: None)
    options = (fit_options or {}) | {"split": split, "few_shot": few_shot}
    rows, held = [], []
    for seed in range(seeds):
        hidden = hidden_sensors(series.network.n_sensors, share, seed)
        hold = hold_out(series, hidden, lambda part: make_setup(part, lookback, horizon, split, few_shot, seasons))
        if not np.isfinite(hold.scored.series.values[hold.course.split.test_start :]).any():
            raise ValueError("The sensors that are held out were not observed in the test part. Take a larger share.")
        within = lambda message, done, seed=seed: report(message, (seed + done) / seeds)  # noqa: E731
        scored = [row_of(contender, hold.scored) for contender in _contenders(hold, models, seed, options, within, further)]
        rows.append([row | {"mae_per_sensor": _spread_out(row["mae_per_sensor"], hold)} for row in scored])
        held.append(list(hold.scored.series.network.ids))
    report("Done.", 1.0)
    found = result_of(rows[0] if seeds == 1 else _over_seeds(rows), series, hold.course, split, few_shot)
    return found | {"hold_sensors": share, "held_out": held}


def _spread_out(errors: list[float | None], hold: Hold) -> list[float | None]:
    """Errors of the hidden sensors at their places on the N axis of all sensors, None elsewhere."""
    out: list[float | None] = [None] * (len(hold.seen) + len(hold.hidden))
    for node, error in zip(hold.hidden, errors, strict=True):
        out[node] = error
    return out


def _over_seeds(rows: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of each seed, model by model, each model followed by its mean; a sensor's error is that of the seeds that hid it."""
    named = [
        row | {"model": f"{row['model']} seed {seed}", "seed": seed}
        for same in zip(*rows, strict=True)
        for seed, row in enumerate(same)
    ]
    out = with_mean(named)
    for mean in (row for row in out if "seeds" in row):
        runs = [row["mae_per_sensor"] for row in named if row["model"].startswith(f"{mean['model']} seed ")]
        known = [[error for error in column if error is not None] for column in zip(*runs, strict=True)]
        mean["mae_per_sensor"] = [float(np.mean(errors)) if errors else None for errors in known]
    return out


def _contenders(
    hold: Hold, models: tuple[str, ...], seed: int, options: dict[str, Any], report: Report, further: FurtherMethods | None
) -> Iterator[FittedMethod]:
    report("Interpolating the ridge forecasts of the others.", 0.0)
    yield from ridge_between(hold)
    if not models and further is None:
        return
    from stvlm.anchor.fit import fit_anchor

    report("Fitting the closed-form anchor of the others.", 0.05)
    started, course = time.perf_counter(), hold.course
    anchor = fit_anchor(course.series, course.split, course.lookback, course.horizon, course.seasons, options.get("context_steps"))
    seconds = time.perf_counter() - started
    if "anchor" in models:
        yield anchor_between(hold, anchor, seconds)
        yield anchor_between(hold, anchor, seconds, by_place=True)
    if further is not None:
        yield from further(hold, anchor, seconds, seed, report)
    if "stvlm" in models:
        yield stvlm_between(hold, anchor, options | {"seed": seed}, report)


def ridge_between(hold: Hold) -> Iterator[FittedMethod]:
    """The two that stand for what anybody would do: the ridge of every seen sensor, interpolated."""
    started, course = time.perf_counter(), hold.course
    data = TrainingData(course.series, course.split, course.lookback, course.horizon)
    ridge = fit_baseline("ridge", data, course.seasons)[0]
    seconds = time.perf_counter() - started
    cutoffs = thin(course.cutoffs("val") if len(course.cutoffs("val")) else course.cutoffs("train"), VARIOGRAM_WINDOWS)
    for name, kernel in (
        ("inverse distance of ridge", INVERSE_DISTANCE),
        ("kriging of ridge", fitted_kriging(hold.network, ridge(cutoffs))),
    ):
        weights = mixing_weights(kernel, hold.network, hold.sites).astype("f4")
        forecast = lambda c, weights=weights: ridge(c) @ weights.T  # noqa: E731
        size = ridge.n_parameters
        yield FittedMethod(name, forecast, size, size, seconds, first_cutoff=ridge.first_cutoff, facts={"way": kernel.label})


def fitted_kriging(network: SensorNetwork, forecasts: np.ndarray) -> WeightScheme:
    """Ordinary kriging whose nugget, sill and reach are those of an exponential variogram fitted to forecasts (W, H, N).

    Half the mean squared difference of pairs, in BINS of distance up to half of the largest; least squares weighted by the pairs.
    """
    flat = forecasts.reshape(-1, network.n_sensors).astype("f8")
    square = (flat**2).mean(axis=0)
    half = 0.5 * (square[:, None] + square - 2 * (flat.T @ flat) / len(flat))
    place = network.position_km / network.half_extent_km
    first, second = np.triu_indices(network.n_sensors, 1)
    distance = np.linalg.norm(place[first] - place[second], axis=-1)
    near = distance <= 0.5 * distance.max()
    bins = np.minimum((distance[near] / (0.5 * distance.max() + 1e-12) * BINS).astype(int), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    used = count > 0
    at = np.bincount(bins, distance[near], BINS)[used] / count[used]
    gamma = np.bincount(bins, half[first, second][near], BINS)[used] / count[used]
    weight, best = np.sqrt(count[used]), (np.inf, 1.0, 0.0)
    for reach in REACHES:
        table = np.stack([np.ones_like(at), 1 - np.exp(-at / reach)], axis=1)
        (nugget, sill), miss = nnls(table * weight[:, None], gamma * weight)
        if sill > 0 and miss < best[0]:
            best = (miss, reach, nugget / sill)
    return WeightScheme("kriging", reach=float(best[1]), nugget=float(np.clip(best[2], 1e-3, 10.0)))


def anchor_between(hold: Hold, anchor: Anchor, seconds: float, by_place: bool = False) -> FittedMethod:
    """The closed-form forecasts of the seen sensors, carried to the hidden ones the best way that left-out seen sensors can tell."""
    started, course, size = time.perf_counter(), hold.course, anchor.n_parameters
    interpolate, facts = _interpolator(hold, anchor, by_place)
    views = anchor.views(course.series)
    return FittedMethod(
        "anchor, by place alone" if by_place else "anchor",
        lambda c: interpolate.bands(interpolate(anchor.forecast_from(views, c))),
        size,
        size,
        seconds + time.perf_counter() - started,
        first_cutoff=course.split.train_start + course.lookback,
        facts=facts | {"val_mae": interpolate.placement.val_mae},
    )


def stvlm_between(hold: Hold, anchor: Anchor, options: dict[str, Any], report: Report) -> FittedMethod:
    """stvlm trained on the seen sensors, its forecasts carried to the hidden ones as those of the anchor are.

    Args:
        hold: who is hidden.
        anchor: of the seen sensors.
        options: settings of FitConfig.
        report: progress.
    """
    trained = next(contenders(hold.course, ("stvlm",), 1, options, report))
    started = time.perf_counter()
    interpolate, facts = _interpolator(hold, anchor)
    return replace(
        trained,
        forecast=lambda c: interpolate.bands(interpolate(trained.forecast(c)[LEVELS.index(0.5)])),
        on=None,
        seconds_fit=trained.seconds_fit + time.perf_counter() - started,
        facts=trained.facts | facts,
    )


def _interpolator(hold: Hold, anchor: Anchor, by_place: bool = False) -> tuple[Interpolator, dict[str, Any]]:
    """What carries forecasts of the seen sensors to the hidden ones, and how: chosen by leaving out seen sensors on validation windows."""
    course = hold.course
    cutoffs = course.cutoffs("val") if len(course.cutoffs("val")) else course.cutoffs("train")
    known = () if by_place else KNOWN
    placement = fit_interpolation(anchor, course.series, cutoffs, course.split.train_end, known)
    ways = [{"way": way.label, "share": share} for way, share in zip(placement.ways, placement.shares, strict=True)]
    return Interpolator(placement, hold.network, hold.bare if by_place else hold.sites, hold.readings), {"placement": ways}
