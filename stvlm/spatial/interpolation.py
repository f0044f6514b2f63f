"""Forecasts at locations without a sensor: interpolation and kriging, chosen by leaving sensors out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from stvlm.anchor.ensemble import greedy_counts
from stvlm.anchor.features import Transform, candidates
from stvlm.calibration.conformal import conformal_offsets
from stvlm.core.forecast import LEVELS
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import thin
from stvlm.spatial.locations import Locations, columns_of, locations_of, spatial_folds

if TYPE_CHECKING:
    from stvlm.anchor.ensemble import Anchor


# Weights of the sensors at a location: inverse distance, kriging, adjacency, mean.

CLOSEST = 0.05  # of the usual distance between sensors: nearer than that counts as that near
DOUBT_REACH, DOUBT_NUGGET = 0.5, 0.1  # of the covariance by which the doubt of one place is compared to that of others


@dataclass(frozen=True)
class WeightScheme:
    """How much each sensor counts at a place.

    Attributes:
        kind: "mean" of all; "distance": inverse distance to the `power` of the `nearest` (0: all); "kriging": ordinary kriging with
            a covariance of `reach` (half extents of the network) and `nugget` (share of the sill), exponential or, `is_smooth`,
            Matérn's of 3/2; "links": closeness of the adjacency, in either direction, and inverse distance where a place has no link.
    """

    kind: str
    nearest: int = 0
    power: float = 1.0
    reach: float = 1.0
    nugget: float = 0.1
    is_smooth: bool = False

    @property
    def is_positive(self) -> bool:
        """Whether no weight is below 0, as a weighted median needs."""
        return self.kind != "kriging"

    @property
    def label(self) -> str:
        """In plain words."""
        who = f"{self.nearest} nearest" if self.nearest else "all"
        return {
            "mean": "mean of all",
            "distance": f"inverse distance^{self.power:g}, {who}",
            "kriging": f"{'smooth ' if self.is_smooth else ''}kriging, reach {self.reach:g}, nugget {self.nugget:g}",
            "links": f"links, else inverse distance^{self.power:g}, {who}",
        }[self.kind]


KERNELS = (
    WeightScheme("mean"),
    WeightScheme("distance", 1),
    *(WeightScheme("distance", nearest, power) for nearest in (3, 6, 12, 0) for power in (1.0, 2.0)),
    *(WeightScheme("kriging", reach=reach, nugget=nugget) for reach in (0.15, 0.5, 1.5, 5.0) for nugget in (0.01, 0.1, 0.3, 1.0)),
    *(
        WeightScheme("kriging", reach=reach, nugget=nugget, is_smooth=True)
        for reach in (0.5, 1.5, 5.0)
        for nugget in (0.001, 0.03, 0.3)
    ),
    *(WeightScheme("links", nearest, 2.0) for nearest in (1, 6)),
)


def mixing_weights(kernel: WeightScheme, network: SensorNetwork, sites: Locations) -> np.ndarray:
    """(M, N) float64, rows sum to 1: how much each sensor of the network counts at each site."""
    n = network.n_sensors
    if kernel.kind == "mean":
        return np.full((len(sites.lat), n), 1 / n)
    if kernel.kind == "kriging":
        return _kriging(kernel, network, sites)
    weights = _inverse_distance(kernel, network, sites)
    if kernel.kind == "links" and sites.links is not None:
        total = sites.links.sum(axis=1, keepdims=True)
        weights = np.where(total > 1e-9, sites.links / np.maximum(total, 1e-9), weights)
    return weights


def _inverse_distance(kernel: WeightScheme, network: SensorNetwork, sites: Locations) -> np.ndarray:
    """Shepard's weights of the nearest sensors."""
    k = min(kernel.nearest or network.n_sensors, network.n_sensors)
    index, distance = network.nearest_to(sites.lat, sites.lon, k)
    near = np.maximum(distance, CLOSEST * network.spacing_km) ** -kernel.power
    weights = np.zeros((len(sites.lat), network.n_sensors))
    np.put_along_axis(weights, index.reshape(near.shape), near, axis=1)
    return weights / weights.sum(axis=1, keepdims=True)


def _kriging(kernel: WeightScheme, network: SensorNetwork, sites: Locations) -> np.ndarray:
    """Ordinary kriging (Cressie 1993, 3.2): C⁻¹(c + 1 μ) with μ such that the weights sum to 1."""
    covariance, toward = _covariances(network, sites, kernel)
    factor = cho_factor(covariance)
    ones = cho_solve(factor, np.ones(network.n_sensors))  # (N,)
    simple = cho_solve(factor, toward.T).T  # (M, N)
    return simple + (1 - simple.sum(axis=1, keepdims=True)) / ones.sum() * ones


def residual_variance(network: SensorNetwork, sites: Locations) -> np.ndarray:
    """(M,) share of a reading's variance that the sensors around leave open under a middling covariance: 1 + wᵀCw - 2wᵀc."""
    kernel = WeightScheme("kriging", reach=DOUBT_REACH, nugget=DOUBT_NUGGET)
    weights = _kriging(kernel, network, sites)
    covariance, toward = _covariances(network, sites, kernel)
    return 1 + np.einsum("mn,nk,mk->m", weights, covariance, weights, optimize=True) - 2 * (weights * toward).sum(axis=1)


def _covariances(network: SensorNetwork, sites: Locations, kernel: WeightScheme) -> tuple[np.ndarray, np.ndarray]:
    """Covariance among sensors (N, N), with the nugget, and from sites to sensors (M, N); the sill is 1."""
    here, there = network.position_km, sites.position_km(network)

    def among(first: np.ndarray) -> np.ndarray:
        far = cdist(first, here) / (kernel.reach * network.half_extent_km)
        return (1 + 3**0.5 * far) * np.exp(-(3**0.5) * far) if kernel.is_smooth else np.exp(-far)

    return among(here) + kernel.nugget * np.eye(len(here)), among(there)


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(..., N) with weights (M, N) >= 0 → (..., M): the least value at which half of the weight is reached."""
    order = np.argsort(values, axis=-1)
    ordered = np.take_along_axis(values, order, axis=-1)
    out = np.empty((*values.shape[:-1], len(weights)), "f4")
    for m, mine in enumerate(weights):
        reached = np.cumsum(mine[order], axis=-1)
        place = (reached >= 0.5 * reached[..., -1:]).argmax(axis=-1)
        out[..., m] = np.take_along_axis(ordered, place[..., None], axis=-1)[..., 0]
    return out


FOLDS, FOLDS_OF_MANY, MANY = 10, 5, 100  # folds, and folds where there are more sensors than MANY
ENOUGH = 150  # sensors left out in all
WINDOWS, CELLS = 40, 60_000  # of the choice: windows, (window, step, sensor) cells
MAX_WAYS, ROUNDS, SHORT_LIST, LOOKED_AT = 4, 6, 10, 4  # of the blend
CLEAR = 0.99  # a drift has to lower the error to this share: with few sensors, many columns find something by chance
DRIFT_PENALTY = 0.03  # of the number of sensors


@dataclass(frozen=True)
class InterpolationMethod:
    """One way to mix the forecasts of sensors into that of a place.

    Attributes:
        kernel: who counts for how much. scale: on which they are mixed; drift: columns of the sites that explain how levels differ.
        is_median: the weighted median of the sensors' forecasts instead of their weighted mean.
    """

    kernel: WeightScheme
    scale: Transform = field(default_factory=Transform)
    drift: tuple[str, ...] = ()
    is_median: bool = False

    @property
    def label(self) -> str:
        """In plain words."""
        words = [self.kernel.label, "median" if self.is_median else "", "" if self.scale.kind == "identity" else self.scale.kind]
        words.append(f"drift on {' and '.join(self.drift)}" if self.drift else "")
        return ", ".join(word for word in words if word)


@dataclass(frozen=True)
class InterpolationModel:
    """How the forecasts of one network are carried to places, as found on sensors that were left out.

    Attributes:
        ways, shares: what is averaged. floor: no forecast is below it; None for none.
        spread: (Q, H) distance of each level of LEVELS from the median, on the scale of the first way, where sensors were left out.
        doubt: share of the variance that was left unexplained there, on average: farther off, bands are wider.
        val_mae: of the sensors left out, in the unit of the readings. tried: labels and errors of the best ways.
    """

    ways: tuple[InterpolationMethod, ...]
    shares: tuple[float, ...]
    floor: float | None = None
    spread: tuple[tuple[float, ...], ...] = ()
    doubt: float = 1.0
    val_mae: float = 0.0
    tried: tuple[tuple[str, float], ...] = ()

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict) -> InterpolationModel:
        """What `to_dict` made, also after JSON."""
        ways = tuple(
            InterpolationMethod(WeightScheme(**w["kernel"]), Transform(**w["scale"]), tuple(w["drift"]), w["is_median"])
            for w in stored["ways"]
        )
        rows = tuple(tuple(row) for row in stored["spread"])
        tried = tuple((label, mae) for label, mae in stored["tried"])
        return cls(**stored | {"ways": ways, "shares": tuple(stored["shares"]), "spread": rows, "tried": tried})


class Interpolator:
    """A placement at work between given sensors and given sites.

    Args:
        placement: how. network: the N sensors that are read. sites: M places. readings: (T, N) of the training part, for the levels
            that a drift explains.
    """

    def __init__(self, placement: InterpolationModel, network: SensorNetwork, sites: Locations, readings: np.ndarray) -> None:
        self.placement = placement
        self._mixers = [Mixer(way, network, sites, readings) for way in placement.ways]
        self.doubt = residual_variance(network, sites)  # (M,)

    def __call__(self, forecast: np.ndarray) -> np.ndarray:
        """Forecasts of the sensors (..., N) → of the places (..., M) float32, in the unit of the readings."""
        weighted = (share * mix(forecast) for share, mix in zip(self.placement.shares, self._mixers, strict=True))
        total = sum(weighted, start=np.zeros(1, "f4"))
        return (total if self.placement.floor is None else np.maximum(total, self.placement.floor)).astype("f4")

    def bands(self, median: np.ndarray) -> np.ndarray:
        """Medians at the places (..., H, M) → quantiles (Q, ..., H, M) at LEVELS, as wide as errors were where sensors were left out."""
        scale = self.placement.ways[0].scale
        spread = np.array(self.placement.spread)[:, : median.shape[-2], None]  # (Q, H, 1)
        spread = spread * np.sqrt(np.maximum(self.doubt / max(self.placement.doubt, 1e-6), 1))  # (Q, H, M)
        spread = spread.reshape(len(LEVELS), *(1,) * (median.ndim - 2), *spread.shape[1:])
        rows = scale.inverse(scale.forward(median) + spread)
        rows[LEVELS.index(0.5)] = median
        rows = np.maximum.accumulate(rows, axis=0) if self.placement.floor is None else np.maximum(rows, self.placement.floor)
        return rows.astype("f4")


class Mixer:
    """One way between given sensors and sites: `scale⁻¹(W (scale(f) - d_sensors) + d_sites)`, with d the level that a drift explains."""

    def __init__(
        self,
        way: InterpolationMethod,
        network: SensorNetwork,
        sites: Locations,
        readings: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> None:
        self.way = way
        self.weights = mixing_weights(way.kernel, network, sites).astype("f4") if weights is None else weights  # (M, N)
        none = np.zeros(1, "f4"), np.zeros(1, "f4")
        self.here, self.there = trend(way, network, sites, readings) if way.drift else none

    def __call__(self, forecast: np.ndarray) -> np.ndarray:
        """(..., N) → (..., M)."""
        scaled = self.way.scale.forward(forecast) - self.here
        mixed = weighted_median(scaled, self.weights) if self.way.is_median else scaled @ self.weights.T
        return self.way.scale.inverse(mixed + self.there)


def trend(
    way: InterpolationMethod, network: SensorNetwork, sites: Locations, readings: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Level of each sensor (N,) and site (M,) as its columns explain it, by ridge over the sensors' mean readings on the way's scale."""
    scaled = way.scale.forward(readings)
    seen = np.isfinite(scaled)
    known = seen.any(axis=0)
    level = np.where(seen, scaled, 0).sum(axis=0, dtype="f8") / np.maximum(seen.sum(axis=0), 1)
    here, there = columns_of(network, sites, way.drift)
    centre, spread = here[known].mean(axis=0), here[known].std(axis=0) + 1e-9
    here, there = (here - centre) / spread, (there - centre) / spread
    gram = here[known].T @ here[known] + DRIFT_PENALTY * known.sum() * np.eye(here.shape[1])
    slope = np.linalg.solve(gram, here[known].T @ (level[known] - level[known].mean()))
    return (here @ slope).astype("f4"), (there @ slope).astype("f4")


@dataclass(frozen=True, eq=False)
class LeftOut:
    """One fold: the sensors that stay, the sites of those left out, the forecasts (W, H, K) and the truth (W, H, M)."""

    network: SensorNetwork
    sites: Locations
    readings: np.ndarray
    forecast: np.ndarray
    truth: np.ndarray
    _weights: dict[WeightScheme, np.ndarray] = field(default_factory=dict)

    def forecast_by(self, way: InterpolationMethod) -> np.ndarray:
        """(W, H, M): the forecast at the sites."""
        if way.kernel not in self._weights:
            self._weights[way.kernel] = mixing_weights(way.kernel, self.network, self.sites).astype("f4")
        return Mixer(way, self.network, self.sites, self.readings, self._weights[way.kernel])(self.forecast)


def fit_interpolation(
    anchor: Anchor,
    series: SensorSeries,
    cutoffs: np.ndarray,
    train_end: int,
    columns: tuple[str, ...] = ("facts", "links", "ground"),
) -> InterpolationModel:
    """Choose how forecasts are carried to places by leaving out sensors, one fold at a time, on windows of the validation part.

    The anchor forecasts without the sensors that are left out: their readings are in no neighbour's mean either. Its members keep the
    shares that they start with, which spares replaying the past of every fold and changes little in the choice.

    Args:
        anchor: fitted on these sensors. series: their readings. cutoffs: (W,) of windows with a known future.
        train_end: readings before this step tell levels. columns: what is known of a place besides where it lies: "facts" of the
            sensor table, "links" of the adjacency, "ground" of the base layer.

    Raises:
        ValueError: fewer than three sensors, or no reading in these windows.
    """
    series = series.screened
    folds = list(leave_out(anchor, series, cutoffs, train_end, columns))
    truth = np.concatenate([fold.truth for fold in folds], axis=-1)
    if not np.isfinite(truth).any():
        raise ValueError("No reading was observed in the windows in which sensors are left out.")
    readings = series.values[:train_end]
    scales = candidates(readings)
    kernels = [k for k in KERNELS if k.kind != "links" or folds[0].sites.links is not None]
    found = [_tried(InterpolationMethod(kernel, scale), folds, truth) for scale in scales for kernel in kernels]
    found.sort(key=lambda row: row[0])
    leaders, names = found[:LOOKED_AT], folds[0].sites.columns
    positive = dict.fromkeys(way.kernel for _, way, _ in found if way.kernel.is_positive)
    found += [_tried(InterpolationMethod(kernel, is_median=True), folds, truth) for kernel in [*positive][:LOOKED_AT]]
    for mae, way, _ in leaders:
        for drifting in (*((name,) for name in names), ("east", "north"), *((names,) if len(names) > 1 else ())):
            row = _tried(replace(way, drift=drifting), folds, truth)
            found += [row] if row[0] < mae * CLEAR else []
    found = sorted(found, key=lambda row: row[0])[:SHORT_LIST]
    ways, shares, forecast = blend_methods(found, truth)
    floor = 0.0 if np.nanmin(readings) >= 0 else None
    forecast = forecast if floor is None else np.maximum(forecast, floor)
    doubt = float(np.concatenate([residual_variance(fold.network, fold.sites) for fold in folds]).mean())
    spread = conformal_spread(ways[0].scale, forecast, truth)
    tried = tuple((way.label, mae) for mae, way, _ in found)
    return InterpolationModel(ways, shares, floor, spread, doubt, error_of(forecast, truth), tried)


def leave_out(
    anchor: Anchor, series: SensorSeries, cutoffs: np.ndarray, train_end: int, columns: tuple[str, ...]
) -> Iterator[LeftOut]:
    """The folds: each sensor is left out once, or of very many sensors ENOUGH; neighbours are in different folds.

    Raises:
        ValueError: fewer than three sensors.
    """
    n = series.network.n_sensors
    if n < 3:
        raise ValueError(f"A place needs at least 3 sensors around it, and this network has {n}.")
    cutoffs = thin(cutoffs, max(min(WINDOWS, CELLS // (n * anchor.frame.horizon)), 8))
    truth = series.values[cutoffs[:, None] + np.arange(anchor.frame.horizon)]
    n_folds = min(n, FOLDS if n <= MANY else FOLDS_OF_MANY)
    for mine in spatial_folds(series.network, n_folds)[: -(-ENOUGH * n_folds // n)]:
        keep = np.setdiff1d(np.arange(n), mine)
        less = series.select(keep)
        forecast = replace(anchor.select(keep), replay=None).forecast(less, cutoffs)
        yield LeftOut(
            less.network, locations_of(series.network, mine, keep, columns), less.values[:train_end], forecast, truth[..., mine]
        )


def _tried(way: InterpolationMethod, folds: list[LeftOut], truth: np.ndarray) -> tuple[float, InterpolationMethod, np.ndarray]:
    """Error, way, and (W, H, N) the forecast of each sensor from the others, folds side by side."""
    forecast = np.concatenate([fold.forecast_by(way) for fold in folds], axis=-1)
    return error_of(forecast, truth), way, forecast


def error_of(forecast: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error over the observed cells."""
    return float(np.nanmean(np.abs(forecast - truth), dtype="f8"))


def blend_methods(
    found: list[tuple[float, InterpolationMethod, np.ndarray]], truth: np.ndarray
) -> tuple[tuple[InterpolationMethod, ...], tuple[float, ...], np.ndarray]:
    """Add the way that lowers the error most, with repetition (Caruana et al. 2004): ways, their shares, and their forecast."""
    seen = np.isfinite(truth)
    counts = greedy_counts([forecast[seen] for _, _, forecast in found], truth[seen], ROUNDS, 0.999, MAX_WAYS)
    total = sum(np.float32(count) * forecast for count, (_, _, forecast) in zip(counts, found, strict=True) if count)
    used = sorted(np.flatnonzero(counts), key=lambda i: (-counts[i], found[i][0]))
    shares = tuple(float(counts[i] / counts.sum()) for i in used)
    return tuple(found[i][1] for i in used), shares, total / counts.sum()


def conformal_spread(scale: Transform, forecast: np.ndarray, truth: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """(Q, H): distance of each level from the median on a scale, such that a new place is held like one more of the sensors.

    Split conformal quantiles of the errors of the sensors left out. It is they that are exchangeable with a new one, not their
    single readings, so the correction for few is that of N sensors: level a is taken at 1/2 + (a - 1/2)(N + 1)/N, at most.
    """
    error = scale.forward(truth) - scale.forward(forecast)
    n = max(int(np.isfinite(error).any(axis=(0, 1)).sum()), 1)
    wider = [float(np.clip(0.5 + (level - 0.5) * (n + 1) / n, 0, 1)) for level in LEVELS]
    rows = conformal_offsets(error.swapaxes(1, 2).reshape(-1, error.shape[1]), wider, float(np.sqrt(np.nanmean(error**2))))
    return tuple(tuple(float(v) for v in row) for row in rows)
