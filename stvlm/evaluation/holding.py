"""Some sensors of a network held out: which, and what is still known of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from stvlm.anchor.sites import Sites, sites_of
from stvlm.data.network import SensorNetwork
from stvlm.data.series import SensorSeries
from stvlm.evaluation.contenders import Course

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
    course: Course
    scored: Course
    sites: Sites

    @property
    def bare(self) -> Sites:
        """The places of the hidden sensors by their coordinates alone."""
        return Sites(self.sites.lat, self.sites.lon)

    @property
    def network(self) -> SensorNetwork:
        """Of the seen sensors."""
        return self.course.series.network

    @property
    def readings(self) -> np.ndarray:
        """(T, N) of the seen sensors in the training part."""
        return self.course.series.values[: self.course.split.train_end]


def hidden_sensors(n_sensors: int, share: float, seed: int = 0) -> np.ndarray:
    """(K,) rising places on the N axis, drawn at random: share of the sensors, at least one.

    Raises:
        ValueError: a share that is none, or too few sensors left to learn from.
    """
    if not 0 < share < 1:
        raise ValueError(f"The share of sensors to hold out must lie between 0 and 1, not {share}.")
    count = max(round(share * n_sensors), 1)
    if n_sensors - count < FEWEST:
        raise ValueError(f"Of {n_sensors} sensors, {n_sensors - count} would be left to learn from; at least {FEWEST} are needed.")
    return np.sort(np.random.default_rng(seed).permutation(n_sensors)[:count])


def hold_out(series: SensorSeries, hidden: np.ndarray, course: Callable[[SensorSeries], Course]) -> Hold:
    """Part a series into sensors that are seen and sensors that are not.

    Args:
        series: of all. hidden: (K,) places on the N axis. course: lays the windows over a series.
    """
    seen = np.setdiff1d(np.arange(series.network.n_sensors), hidden)
    known = course(series.select(seen))
    return Hold(seen, hidden, known, replace(known, series=series.select(hidden)), sites_of(series.network, hidden, seen, KNOWN))
