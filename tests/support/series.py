"""Made-up readings."""

from dataclasses import replace

import numpy as np

from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries

HOURS = 24 * 21


def wave_series(n_sensors: int = 6, missing: float = 0.02, seed: int = 0) -> SensorSeries:
    """Three weeks of hours: a daily cycle, a wave that moves east, noise and gaps."""
    random = np.random.default_rng(seed)
    lat, lon = 48 + random.random(n_sensors), 2 + random.random(n_sensors)
    hours = np.arange(HOURS)
    noise = np.zeros((HOURS, n_sensors))
    for t in range(1, HOURS):
        noise[t] = 0.9 * noise[t - 1] + random.normal(size=n_sensors)
    values = 30 + 8 * np.sin(2 * np.pi * hours / 24)[:, None] + 5 * np.sin(2 * np.pi * hours[:, None] / 37 - 6 * lon) + noise
    values[random.random(values.shape) < missing] = np.nan
    times = np.datetime64("2026-01-05T00:00:00") + hours * np.timedelta64(3600, "s")
    return SensorSeries(SensorNetwork(tuple("abcdefghij"[:n_sensors]), lat, lon), times, values, "level", "m")


def sine_series(n_steps: int = 900, n_sensors: int = 6, seed: int = 0) -> SensorSeries:
    """Hours of a daily sine around 20 with noise."""
    random = np.random.default_rng(seed)
    hours = np.arange(n_steps)
    daily = 8 * np.sin(2 * np.pi * (hours[:, None] / 24 + random.random(n_sensors)))
    values = (20 + daily + random.normal(0, 1.5, (n_steps, n_sensors))).astype("f4")
    network = SensorNetwork(tuple(f"S{i}" for i in range(n_sensors)), 52 + random.random(n_sensors), 13 + random.random(n_sensors))
    return SensorSeries(network, np.datetime64("2026-01-05T00:00:00") + hours * np.timedelta64(3600, "s"), values, "load", "MW")


def wild(series: SensorSeries, cells: int | float, value: float = 1e7, steps: slice = slice(None), seed: int = 1) -> SensorSeries:
    """The same with some readings replaced: so many, or that share of those of some steps."""
    values = series.values.copy()
    part = values[steps]
    picked = np.random.default_rng(seed).permutation(part.size)[: cells if isinstance(cells, int) else round(cells * part.size)]
    part[np.unravel_index(picked, part.shape)] = value
    return replace(series, values=values)
