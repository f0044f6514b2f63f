"""Made-up readings."""

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
