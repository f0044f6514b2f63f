"""Made-up fields that obey known physics, in many sizes, steps and units: what a forecaster of any network can learn from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stvlm.core.network import EARTH_RADIUS_KM, SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.datasets.synthetic_city import START, city

HOUR = 60  # minutes
MEMORY_OF_REPORTS = (0.5, 1.1)  # what a weekend reports of an outbreak, and what the days after it


def physical_field(kind: str, seed: int, n_sensors: int = 40, n_steps: int = 2400) -> SensorSeries:
    """A network whose readings follow a law that is known.

    jams: slow traffic that travels against it (`synthetic.city`, without what the context tells). weather: a random field carried by a
    wind that turns slowly, with a daily cycle. fronts: steps that cross the network and leave it warmer or colder. plumes: puffs from
    fixed sources that the wind carries and widens. heat: pulses that spread by diffusion and cool. rivers: rain that runs down a chain of
    gauges, each later and smoother. outbreaks: an infection that passes between places by their distance, reported by weekday.
    demand: counts with a daily or weekly cycle, one common cause (as of weather) and a slow trend. load: smooth daily and weekly cycles
    with a common disturbance that lasts.

    Args:
        kind: one of FIELDS. seed: of places and all that is random; also draws the step, the extent and the place on earth.
        n_sensors: N, at least 8. n_steps: T.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in FIELDS:
        raise ValueError(f"kind must be one of {', '.join(FIELDS)}; got {kind!r}.")
    rng = np.random.default_rng([seed, list(FIELDS).index(kind)])
    if kind == "jams":
        days = max(n_steps // 96, 8)
        made = city(n_sensors, days, 15, seed)
        return SensorSeries(made.network, made.times, made.values, "traffic speed", "km/h")
    make, quantity, unit, minutes = FIELDS[kind]
    step = int(rng.choice(minutes))
    place = rng.uniform(-1, 1, (n_sensors, 2))  # in half extents
    values = make(place, n_steps, step, rng)
    values = values * np.exp(rng.normal(0, 0.5)) if unit not in ("cases", "trips") else values
    values = (values + 0.01 * np.nanstd(values) * rng.normal(size=values.shape)).astype("f4")
    if unit in ("cases", "trips", "ug/m3", "m3/s", "MW"):
        values = np.maximum(values, 0)
    values[rng.random(values.shape) < rng.choice([0, 0.01, 0.05])] = np.nan
    extent = float(np.exp(rng.uniform(np.log(10), np.log(800))))
    lat, lon = rng.uniform(-50, 55), rng.uniform(-170, 170)
    km = np.pi / 180 * EARTH_RADIUS_KM
    ids = tuple(f"F{i:03d}" for i in range(n_sensors))
    where = place * extent / 2 / km
    network = SensorNetwork(ids, lat + where[:, 1], lon + where[:, 0] / np.cos(np.radians(lat)))
    times = START + np.arange(n_steps) * np.timedelta64(step, "m")
    return SensorSeries(network, times, values, quantity, unit)


def _hours(n_steps: int, step: int) -> np.ndarray:
    """(T, 1) hours since START, a Monday."""
    return np.arange(n_steps)[:, None] * step / 60


def _lasting(n_steps: int, width: int, memory: float, rng: np.random.Generator) -> np.ndarray:
    """(T, width): first-order autoregressions of unit spread that last `memory` steps."""
    keep = np.exp(-1 / memory)
    push = rng.normal(0, np.sqrt(1 - keep**2), (n_steps, width))
    out = np.zeros_like(push)
    out[0] = rng.normal(size=width)
    for t in range(1, n_steps):
        out[t] = keep * out[t - 1] + push[t]
    return out


def _daily(hours: np.ndarray, step: int, sharp: float, phase: np.ndarray | float = 15.0) -> np.ndarray:
    """(T, N) in 0 … 1: one peak a day at hour `phase`; 0 where a step holds a day."""
    return np.zeros_like(hours) if step >= 24 * HOUR else np.exp(sharp * (np.cos(2 * np.pi * (hours - phase) / 24) - 1))


def _wind(n_steps: int, speed: float, rng: np.random.Generator) -> np.ndarray:
    """(T, 2) half extents a step: a prevailing wind and one that lasts some tens of steps."""
    turn = rng.uniform(0, 2 * np.pi)
    steady = np.array([np.cos(turn), np.sin(turn)])
    return speed * (0.8 * steady + 0.5 * _lasting(n_steps, 2, 40, rng))


def _weather(place: np.ndarray, n_steps: int, step: int, rng: np.random.Generator) -> np.ndarray:
    carried = np.cumsum(_wind(n_steps, rng.uniform(0.03, 0.25), rng), axis=0)  # (T, 2)
    n_waves = 80
    waves = rng.normal(0, rng.uniform(1.0, 2.5), (n_waves, 2))
    slow = rng.normal(0, rng.uniform(0.02, 0.12), n_waves)  # radians a step: how fast the pattern itself changes
    angle = (waves @ place.T)[None] - (carried @ waves.T)[..., None]
    angle += (np.arange(n_steps)[:, None] * slow + rng.uniform(0, 2 * np.pi, n_waves))[..., None]
    field = np.cos(angle).sum(axis=1) * np.sqrt(2 / n_waves)  # (T, N)
    hours = _hours(n_steps, step)
    season = 6 * np.sin(2 * np.pi * hours / 8766)
    return 12 + 3 * field + rng.uniform(0, 5) * _daily(hours, step, 1.5) + season + rng.normal(0, 1, len(place))


def _fronts(place: np.ndarray, n_steps: int, step: int, rng: np.random.Generator) -> np.ndarray:
    t = np.arange(n_steps)[:, None]
    values = 0.6 * _lasting(n_steps, len(place), 8, rng) + rng.uniform(0, 4) * _daily(_hours(n_steps, step), step, 1.0)
    toward = rng.uniform(0, 2 * np.pi)
    for start in np.cumsum(rng.exponential(30, n_steps // 25)):
        turn = toward + rng.normal(0, 0.6)
        along = place @ [np.cos(turn), np.sin(turn)]
        age = t - start - (along + 1.5) / rng.uniform(0.08, 0.4)
        values += rng.normal(0, 5) / (1 + np.exp(-np.clip(age / 1.5, -30, 30))) * np.exp(-np.maximum(age, 0) / 60)
    return 15 + values


def _plumes(place: np.ndarray, n_steps: int, step: int, rng: np.random.Generator) -> np.ndarray:
    wind = _wind(n_steps, rng.uniform(0.05, 0.2), rng)
    sources = rng.uniform(-0.8, 0.8, (rng.integers(2, 6), 2))
    busy = 0.3 + _daily(_hours(n_steps, step), step, 3.0, rng.uniform(6, 20))[:, 0]
    strength = np.exp(0.5 * _lasting(n_steps, len(sources), 24, rng)) * busy[:, None]
    values = np.zeros((n_steps, len(place)))
    puffs, amount, width = np.zeros((0, 2)), np.zeros(0), np.zeros(0)
    for t in range(n_steps):
        puffs, amount, width = (
            np.concatenate([puffs, sources]),
            np.append(amount, strength[t]),
            np.append(width, [0.1] * len(sources)),
        )
        square = ((place[:, None] - puffs) ** 2).sum(-1)
        values[t] = (amount / width**2 * np.exp(-square / (2 * width**2))).sum(axis=1)
        puffs, width, amount = puffs + wind[t], np.sqrt(width**2 + 0.004), amount * 0.97
        stays = (np.abs(puffs) < 2.5).all(axis=1)
        puffs, amount, width = puffs[stays], amount[stays], width[stays]
    return (5 + values) * np.exp(0.15 * _lasting(n_steps, len(place), 3, rng))


def _heat(place: np.ndarray, n_steps: int, step: int, rng: np.random.Generator) -> np.ndarray:
    square = ((place[:, None] - place) ** 2).sum(-1)
    near = np.exp(-square / (2 * 0.25**2))
    near /= near.sum(axis=1, keepdims=True)
    values, out = np.zeros(len(place)), np.zeros((n_steps, len(place)))
    share = rng.uniform(0.1, 0.5)
    for t in range(n_steps):
        values = 0.97 * ((1 - share) * values + share * near @ values)
        if rng.random() < 0.15:
            values += rng.exponential(8) * np.exp(-square[rng.integers(len(place))] / (2 * 0.15**2))
        out[t] = values
    return 10 + out + 0.3 * rng.normal(size=out.shape)


def _rivers(place: np.ndarray, n_steps: int, step: int, rng: np.random.Generator) -> np.ndarray:
    order = np.argsort(place[:, 0])  # from west to east
    wet = (rng.random(n_steps) < 0.12) * rng.gamma(1.0, 3.0, n_steps)
    rain = wet[:, None] * np.exp(0.6 * rng.normal(size=(n_steps, len(place))))
    rain *= (1 + 0.6 * np.sin(2 * np.pi * _hours(n_steps, step) / 8766)) * 0.5
    flow, base, reach = np.zeros((n_steps, len(place))), rng.uniform(1, 4), rng.integers(3, 6)
    quick = rng.uniform(0.2, 0.5)
    for t in range(1, n_steps):
        for k, node in enumerate(order):
            above = flow[t - 1, order[k - 1]] if k % reach else 0.0
            flow[t, node] = (1 - quick) * flow[t - 1, node] + quick * (0.9 * above + rain[t, node] + base * 0.2)
    return flow * np.exp(rng.normal(0, 1, len(place)))


def _outbreaks(place: np.ndarray, n_steps: int, step: int, rng: np.random.Generator) -> np.ndarray:
    n = len(place)
    people = np.exp(rng.normal(11, 1, n))
    square = ((place[:, None] - place) ** 2).sum(-1)
    mixing = 0.85 * np.eye(n) + 0.15 * np.exp(-square / (2 * 0.4**2)) / np.exp(-square / (2 * 0.4**2)).sum(axis=1, keepdims=True)
    immune, sick = np.zeros(n), 1e-4 * np.ones(n)
    contact = np.exp(0.25 * _lasting(n_steps, 1, 40, rng)[:, 0] + 0.3 * np.sin(2 * np.pi * np.arange(n_steps) / 365))
    day = (_hours(n_steps, step)[:, 0] // 24 % 7).astype(int)
    out = np.zeros((n_steps, n))
    for t in range(n_steps):
        new = np.minimum(0.22 * contact[t] * (mixing @ sick) * (1 - immune), 1 - immune) + 2e-6
        sick, immune = sick + new - sick / 7, np.clip(immune + new, 0, 1) * (1 - 1 / 200)  # immunity wanes
        out[t] = people * new * 0.3
    low, high = MEMORY_OF_REPORTS
    return rng.poisson(out * np.where(day >= 5, low, np.where(day == 0, high + 0.4, high))[:, None]).astype("f8")


def _demand(place: np.ndarray, n_steps: int, step: int, rng: np.random.Generator) -> np.ndarray:
    hours, n = _hours(n_steps, step), len(place)
    week = np.where(hours // 24 % 7 >= 5, rng.uniform(0.3, 1.4, n), 1.0)
    day = 0.15 + _daily(hours, step, 3.0, rng.choice([8.0, 17.5, 13.0], n)) if step < 24 * HOUR else 1.0
    common = 0.35 * _lasting(n_steps, 1, 24 * HOUR / step * 1.5 + 1, rng) + 0.1 * _lasting(n_steps, n, 20, rng)
    trend = 0.4 * np.sin(2 * np.pi * hours / 8766 + rng.uniform(0, 6))
    return rng.poisson(np.exp(rng.normal(3, 0.8, n)) * week * day * np.exp(common + trend)).astype("f8")


def _load(place: np.ndarray, n_steps: int, step: int, rng: np.random.Generator) -> np.ndarray:
    hours, n = _hours(n_steps, step), len(place)
    week = np.where(hours // 24 % 7 >= 5, rng.uniform(0.75, 1.0, n), 1.0)
    day = 1 + 0.3 * _daily(hours, step, 1.0, rng.uniform(12, 20, n)) - 0.15 * _daily(hours, step, 1.0, 4.0)
    away = 0.08 * _lasting(n_steps, 1, 40, rng) + 0.03 * _lasting(n_steps, n, 12, rng)
    return np.exp(rng.normal(6, 1, n)) * week * day * np.exp(away + 0.1 * np.cos(4 * np.pi * hours / 8766))


Maker = Callable[[np.ndarray, int, int, np.random.Generator], np.ndarray]
FIELDS: dict[str, tuple[Maker | None, str, str, tuple[int, ...]]] = {
    "jams": (None, "traffic speed", "km/h", (15,)),
    "weather": (_weather, "air temperature", "degC", (60, 180, 1440)),
    "fronts": (_fronts, "temperature", "degC", (60, 180, 1440)),
    "plumes": (_plumes, "particulate matter", "ug/m3", (60, 180)),
    "heat": (_heat, "ground heat", "units", (30, 60)),
    "rivers": (_rivers, "river discharge", "m3/s", (360, 1440)),
    "outbreaks": (_outbreaks, "new cases", "cases", (1440,)),
    "demand": (_demand, "trips", "trips", (15, 60, 1440)),
    "load": (_load, "electricity load", "MW", (30, 60)),
}
