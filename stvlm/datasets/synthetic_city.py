"""Made-up networks with a known truth, for tests and teaching: a city's traffic, and small fields that travel, spread or turn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from stvlm.core.network import EARTH_RADIUS_KM, SensorNetwork
from stvlm.core.series import SensorSeries

START = np.datetime64("2024-03-04T00:00:00")  # a Monday
CITY = (47.0, 2.4)  # (lat, lon) in degrees, open fields
RING_KM, ROAD_KM = 6.0, 13.0  # radius of the ring road; length of each road into the city
DIRECTIONS = ("north", "east", "south", "west")
JAM_KMH = 15.0  # how fast the tail of a jam travels upstream
JAM_HOURS, JAM_REACH_KM, JAM_DEPTH = 1.5, 10.0, 0.55
INCIDENT_HOURS, INCIDENT_REACH_KM, INCIDENT_DEPTH = 2.0, 3.0, 0.6
INCIDENTS = ("crash", "broken-down lorry", "fallen tree", "burst water pipe")
KINDS = ("wave", "diffusion", "cycle", "noise")


@dataclass(frozen=True)
class Event:
    """One jam or incident.

    Attributes:
        step: a jam starts at this step; an incident is told at this step and slows traffic from the next one on.
        node: the sensor where it starts.
        text: what the context says of it; "" for a jam, which nobody tells of.
    """

    step: int
    node: int
    text: str = ""


@dataclass(frozen=True, eq=False)
class CityTruth:
    """What was put into a made-up city.

    Attributes:
        jams, incidents: in time order.
        road_km: (N, N) km along the roads with the traffic, row = from; inf where no road leads.
        jam_kmh: how fast jams travel against the traffic.
    """

    jams: tuple[Event, ...]
    incidents: tuple[Event, ...]
    road_km: np.ndarray
    jam_kmh: float = JAM_KMH


def city(n_sensors: int = 60, n_days: int = 28, step_minutes: int = 15, seed: int = 0) -> SensorSeries:
    """Traffic speed in km/h on roads that do not exist.

    The rule. A ring road (clockwise) and four roads into the centre carry sensors. Each has a free speed, slowed in the rush hours
    of working days. Jams start anywhere by day and travel upstream, against the traffic, along the roads and through junctions at
    JAM_KMH; each sensor stays slow for JAM_HOURS, less the farther the jam has come. Incidents are told in the context at step t,
    "crash near Ring north 3", and slow that sensor and those up to INCIDENT_REACH_KM upstream from step t + 1 on for
    INCIDENT_HOURS; no reading up to t tells of them. Rain slows every sensor. One holiday has the traffic of a Sunday. Noise is
    small, and one reading in a hundred is missing.

    Args:
        n_sensors: N, at least 8. n_days: length. step_minutes: a divisor of a day. seed: another seed is another city.

    Returns:
        Series with facts `name`, `road`; context `incident` (text), `rain_mm` (per hour), `holiday` (0 or 1, known ahead).

    Raises:
        ValueError: too few sensors or days, or steps that do not divide a day.
    """
    if n_sensors < 8 or n_days < 1 or step_minutes < 1 or 1440 % step_minutes:
        raise ValueError("A city needs at least 8 sensors, 1 day, and steps in minutes that divide a day.")
    network, _ = _roads(n_sensors)
    known = truth(n_sensors, n_days, step_minutes, seed)
    rng = np.random.default_rng([seed, 2])
    n_steps = n_days * 1440 // step_minutes
    times = START + np.arange(n_steps) * np.timedelta64(step_minutes, "m")
    holiday = _holiday(n_days, rng)[np.arange(n_steps) * step_minutes // 1440]
    rain = _rain(n_steps, step_minutes, rng)

    inbound = np.array([road != "Ring" for road in network.facts["road"]])
    free = np.where(inbound, 65.0, 88.0) + rng.normal(0, 5, n_sensors)  # (N,) km/h
    speed = free * (1 - _rush(times, holiday, inbound, rng))  # (T, N)
    speed *= (1 - 0.07 * np.minimum(rain, 5))[:, None]
    speed *= 1 - jam_slowness(known, n_steps, step_minutes)
    speed *= 1 - _incident_slowness(known, n_steps, step_minutes)
    speed += _slow_noise(n_steps, n_sensors, step_minutes, rng) + rng.normal(0, 0.8, speed.shape)
    speed = np.clip(speed, 4, None).astype("float32")
    speed[rng.random(speed.shape) < 0.01] = np.nan

    told: list[list[str]] = [[] for _ in range(n_steps)]
    for event in known.incidents:
        told[event.step].append(event.text)
    texts = pd.Series(["; ".join(t) for t in told], dtype="object")
    context = pd.DataFrame({"incident": texts, "rain_mm": rain.round(1), "holiday": holiday.astype("int64")})
    return SensorSeries(network, times, speed, "traffic speed", "km/h", context, known_ahead=("holiday",))


def truth(n_sensors: int = 60, n_days: int = 28, step_minutes: int = 15, seed: int = 0) -> CityTruth:
    """What `city` with the same arguments was made of: its jams and incidents."""
    network, edges = _roads(n_sensors)
    rng = np.random.default_rng([seed, 1])
    per_day = 1440 // step_minutes
    n_steps = n_days * per_day

    def draw(rate_per_day: float, first_hour: int, last_hour: int) -> list[tuple[int, int]]:
        count = rng.poisson(rate_per_day * n_days)
        step = rng.integers(0, n_days, count) * per_day + (rng.uniform(first_hour, last_hour, count) / 24 * per_day).astype(int)
        return sorted(zip(step.tolist(), rng.integers(0, n_sensors, count).tolist(), strict=True))

    jams = tuple(Event(s, n) for s, n in draw(n_sensors / 12, 6, 20) if s < n_steps)
    incidents = tuple(
        Event(s, n, f"{INCIDENTS[rng.integers(len(INCIDENTS))]} near {network.name(n)}") for s, n in draw(n_sensors / 12, 0, 23)
    )
    return CityTruth(jams, incidents, dijkstra(edges))


def field(
    n_sensors: int = 12,
    n_steps: int = 240,
    kind: str = "wave",
    seed: int = 0,
    centre: tuple[float, float] = (48.0, 11.0),
    extent_km: float = 100.0,
    step_minutes: int = 60,
    missing: float = 0.0,
) -> SensorSeries:
    """A small generic network anywhere on earth; its readings lie around 20, within about 10.

    wave: a plane wave crosses the network, one wavelength (1.5 extents) in 24 steps: each sensor reads what those before it read.
    diffusion: pulses at random sensors spread to the 4 nearest. cycle: each sensor has its own phase of a period of 24 steps.
    noise: nothing can be forecast.

    Args:
        n_sensors: N. n_steps: T. kind: one of KINDS. seed: of places and noise. centre: (lat, lon) in degrees.
        extent_km: side of the square that holds the sensors. step_minutes: length of a step. missing: share of readings left out.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}.")
    rng = np.random.default_rng(seed)
    position = rng.uniform(-extent_km / 2, extent_km / 2, (n_sensors, 2))
    network = _network(position, centre, [f"S{i:0{len(str(n_sensors))}d}" for i in range(1, n_sensors + 1)])
    steps = np.arange(n_steps)[:, None]
    if kind == "wave":
        angle = rng.uniform(0, 2 * np.pi)
        along = position @ [np.cos(angle), np.sin(angle)]  # (N,) km
        values = 10 * np.sin(2 * np.pi * (along / (1.5 * extent_km) - steps / 24))
    elif kind == "cycle":
        values = 10 * np.sin(2 * np.pi * (steps / 24 + rng.random(n_sensors)))
    elif kind == "diffusion":
        values = _diffuse(network, n_steps, rng)
    else:
        values = rng.normal(0, 5, (n_steps, n_sensors))
    values = (20 + values + rng.normal(0, 0.2, values.shape)).astype("float32")
    values[rng.random(values.shape) < missing] = np.nan
    times = START + np.arange(n_steps) * np.timedelta64(step_minutes, "m")
    return SensorSeries(network, times, values, quantity=kind, unit="units")


def _network(position_km: np.ndarray, centre: tuple[float, float], ids: list[str], **more: object) -> SensorNetwork:
    """Sensors at (N, 2) km east and north of a centre in degrees; crosses the antimeridian where need be."""
    km = np.pi / 180 * EARTH_RADIUS_KM
    lat = np.clip(centre[0] + position_km[:, 1] / km, -90, 90)
    lon = centre[1] + position_km[:, 0] / (km * np.cos(np.radians(centre[0])))
    return SensorNetwork(tuple(ids), lat, (lon + 180) % 360 - 180, **more)


def _roads(n_sensors: int) -> tuple[SensorNetwork, sparse.csr_matrix]:
    """Network, and (N, N) sparse km from each sensor to the next along the traffic."""
    n_ring = max(round(0.4 * n_sensors), 4)
    angle = 2 * np.pi * np.arange(n_ring) / n_ring  # clockwise from north
    places = [RING_KM * np.stack([np.sin(angle), np.cos(angle)], axis=1)]
    sector = np.floor(angle / (np.pi / 2) + 0.5).astype(int) % 4
    names = [f"Ring {DIRECTIONS[s]} {1 + int((sector[:i] == s).sum())}" for i, s in enumerate(sector)]
    roads, links = ["Ring"] * n_ring, [(i, (i + 1) % n_ring) for i in range(n_ring)]
    start = n_ring
    for way, share in enumerate(np.array_split(np.arange(n_sensors - n_ring), 4)):
        nodes = start + share
        radius = np.linspace(ROAD_KM, 1.0, len(share)) if len(share) > 1 else np.array([ROAD_KM])[: len(share)]
        turn = way * np.pi / 2 + 0.12
        places.append(radius[:, None] * [[np.sin(turn), np.cos(turn)]])
        names += [f"{DIRECTIONS[way].capitalize()} road {k + 1}" for k in range(len(share))]
        roads += [f"{DIRECTIONS[way].capitalize()} road"] * len(share)
        links += list(pairwise(nodes))
        gate = int(np.argmin(np.abs((angle - turn + np.pi) % (2 * np.pi) - np.pi)))
        outside, inside = nodes[radius > RING_KM], nodes[radius <= RING_KM]
        links += [(node, gate) for node in outside[-1:]] + [(gate, node) for node in inside[:1]]
    position = np.concatenate(places)
    source, target = np.array(links).T
    length = np.maximum(np.hypot(*(position[source] - position[target]).T), 0.05)
    edges = sparse.csr_matrix((length, (source, target)), shape=(n_sensors, n_sensors))
    closeness = sparse.csr_matrix((np.exp(-length / 3), (source, target)), shape=edges.shape)
    facts = pd.DataFrame({"name": names, "road": roads})
    ids = [f"C{i:03d}" for i in range(1, n_sensors + 1)]
    return _network(position, CITY, ids, adjacency=closeness, facts=facts), edges


def _holiday(n_days: int, rng: np.random.Generator) -> np.ndarray:
    """(n_days,) bool: one working day in each whole three weeks."""
    days = np.zeros(n_days, dtype=bool)
    for start in range(0, n_days - 20, 21):
        days[start + 7 * int(rng.integers(3)) + int(rng.integers(5))] = True
    return days


def _rain(n_steps: int, step_minutes: int, rng: np.random.Generator) -> np.ndarray:
    """(T,) mm per hour: dry for about a day and a half, then showers of some hours."""
    rain, raining = np.zeros(n_steps), False
    amount, change = rng.gamma(2.0, 1.0, n_steps), rng.random(n_steps)
    level = 0.0
    for t in range(n_steps):
        if change[t] < step_minutes / 60 / (4 if raining else 36):
            raining = not raining
            level = amount[t]
        rain[t] = level * (0.7 + 0.3 * amount[t] / 2) if raining else 0.0
    return rain


def _rush(times: np.ndarray, holiday: np.ndarray, inbound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T, N) share of the free speed that is lost to the hour: two peaks on working days, a flat afternoon otherwise."""
    seconds = times.astype("int64")
    hour = (seconds % 86400 / 3600)[:, None]
    working = (((seconds // 86400 + 3) % 7 < 5) & ~holiday)[:, None]
    morning, evening = np.exp(-(((hour - 8) / 1.1) ** 2)), np.exp(-(((hour - 17.5) / 1.4) ** 2))
    depth = np.where(inbound, [[0.40], [0.22]], [[0.25], [0.35]]) * rng.uniform(0.7, 1.1, (2, len(inbound)))
    leisure = 0.12 * np.exp(-(((hour - 15) / 3.5) ** 2))
    return np.where(working, depth[0] * morning + depth[1] * evening, leisure)


def jam_slowness(known: CityTruth, n_steps: int, step_minutes: int) -> np.ndarray:
    """(T, N) share of the speed lost to jams: at each sensor a smooth dip that begins when the jam has come so far."""
    slow, hours = np.zeros((n_steps, len(known.road_km))), np.arange(n_steps)[:, None] * step_minutes / 60
    for jam in known.jams:
        distance = known.road_km[:, jam.node]  # (N,) km upstream of the start
        nodes = np.flatnonzero(distance <= JAM_REACH_KM)
        first, last = jam.step, min(n_steps, jam.step + int((JAM_REACH_KM / JAM_KMH + JAM_HOURS) * 60 / step_minutes) + 2)
        age = (hours[first:last] - hours[jam.step] - distance[nodes] / JAM_KMH) / JAM_HOURS  # (t, K), 0 … 1 while it lasts
        dip = np.where((age > 0) & (age < 1), np.sin(np.pi * np.clip(age, 0, 1)) ** 2, 0)
        dip = JAM_DEPTH * np.exp(-distance[nodes] / 12) * dip
        slow[first:last, nodes] = np.maximum(slow[first:last, nodes], dip)
    return slow


def _incident_slowness(known: CityTruth, n_steps: int, step_minutes: int) -> np.ndarray:
    """(T, N) share of the speed lost to incidents: at once from the step after they are told, then a slow recovery."""
    slow, length = np.zeros((n_steps, len(known.road_km))), round(INCIDENT_HOURS * 60 / step_minutes)
    course = np.minimum(1, 2 * (1 - (np.arange(length) + 1) / (length + 1)))  # full for half the time
    for event in known.incidents:
        distance = known.road_km[:, event.node]
        depth = INCIDENT_DEPTH * np.where(distance <= INCIDENT_REACH_KM, np.exp(-distance / 2), 0)  # (N,)
        steps = slice(event.step + 1, event.step + 1 + length)
        slow[steps] = np.maximum(slow[steps], course[: len(slow[steps]), None] * depth)
    return slow


def _slow_noise(n_steps: int, n_sensors: int, step_minutes: int, rng: np.random.Generator) -> np.ndarray:
    """(T, N) km/h: departures of 1.5 km/h that last about an hour."""
    keep = np.exp(-step_minutes / 60)
    push = rng.normal(0, 1.5 * np.sqrt(1 - keep**2), (n_steps, n_sensors))
    noise = np.zeros_like(push)
    for t in range(1, n_steps):
        noise[t] = keep * noise[t - 1] + push[t]
    return noise


def _diffuse(network: SensorNetwork, n_steps: int, rng: np.random.Generator) -> np.ndarray:
    """(T, N): every step each sensor takes a fifth of the mean of its 4 nearest and loses a little; pulses come at random."""
    n = network.n_sensors
    neighbours, _ = network.neighbours(4)
    values = np.zeros((n_steps, n))
    for t in range(1, n_steps):
        before = values[t - 1]
        around = before[neighbours].mean(axis=1) if neighbours.shape[1] else before
        values[t] = 0.97 * (0.8 * before + 0.2 * around)
        if rng.random() < 0.1:
            values[t, rng.integers(n)] += 10
    return values
