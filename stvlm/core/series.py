"""Readings of a whole network on one regular clock."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from stvlm.core.network import SensorNetwork
from stvlm.core.outliers import far_outliers
from stvlm.runtime.cache import LRUCache

_OUTLIERS = LRUCache(64)  # a few cells of each

Moment = str | datetime | np.datetime64  # a time; without a zone it is on the clock of the readings


@dataclass(frozen=True, eq=False)
class SensorSeries:
    """What every sensor of a network read, at equal steps.

    Attributes:
        network: N sensors, in the order of the second axis of `values`.
        times: (T,) datetime64[s], strictly rising by one step. UTC where the file said its zone; else the file's own clock.
        values: (T, N) float32, in `unit`; NaN = missing.
        quantity: what is measured, "traffic speed".
        unit: its unit, "km/h"; "" for none.
        context: T rows of facts that are no reading (weather, holiday, incident), numeric or text columns; or None.
        known_ahead: columns of `context` that are known before they happen (holidays, weather forecasts).
        timezone: IANA name for showing times and for calendar facts; "" shows `times` as they are.

    Raises:
        ValueError: shapes that differ, unequal steps, or an unknown column in `known_ahead`.
    """

    network: SensorNetwork
    times: np.ndarray
    values: np.ndarray
    quantity: str = "reading"
    unit: str = ""
    context: pd.DataFrame | None = None
    known_ahead: tuple[str, ...] = field(default=())
    timezone: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", np.asarray(self.times).astype("datetime64[s]"))
        if self.values.dtype != np.float32:
            object.__setattr__(self, "values", np.asarray(self.values, dtype="float32"))
        t, n = len(self.times), self.network.n_sensors
        if self.values.shape != (t, n):
            raise ValueError(f"values must be {t} steps x {n} sensors, not {self.values.shape}.")
        if t < 2:
            raise ValueError("A series needs at least two steps.")
        steps = np.diff(self.times.astype("int64"))
        if steps[0] <= 0 or (steps != steps[0]).any():
            raise ValueError("Times must rise by equal steps.")
        if self.context is not None and len(self.context) != t:
            raise ValueError(f"context must have {t} rows, not {len(self.context)}.")
        unknown = set(self.known_ahead) - set(() if self.context is None else self.context.columns)
        if unknown:
            raise ValueError(f"known_ahead names columns that the context lacks: {sorted(unknown)}.")

    @property
    def n_steps(self) -> int:
        """Number of steps T."""
        return len(self.times)

    @property
    def step_seconds(self) -> int:
        """Length of one step in seconds."""
        return int((self.times[1] - self.times[0]).astype("int64"))

    @property
    def step_minutes(self) -> float:
        """Length of one step in minutes."""
        return self.step_seconds / 60

    @cached_property
    def local_times(self) -> np.ndarray:
        """(T,) datetime64[s] on the network's own clock, for calendars and for people."""
        return to_local(self.times, self.timezone)

    @cached_property
    def observed(self) -> np.ndarray:
        """(T, N) bool, False where a reading is missing."""
        return np.isfinite(self.values)

    @cached_property
    def outliers(self) -> np.ndarray:
        """(K, 2) int64: step and node of the far outliers, in the order of time; each is judged by the readings before it."""
        return _OUTLIERS.get(self.fingerprint, lambda: far_outliers(self.values))

    @property
    def screened(self) -> SensorSeries:
        """What forecasts are made from: the same readings with far outliers missing; the very same series where there are none."""
        return self._screened if len(self.outliers) else self

    @cached_property
    def _screened(self) -> SensorSeries:
        values = np.array(self.values)
        values[tuple(self.outliers.T)] = np.nan
        made = replace(self, values=values)
        vars(made)["outliers"] = self.outliers[:0]  # it is not judged again
        return made

    def times_after(self, cutoff: int, horizon: int) -> np.ndarray:
        """(H,) datetime64[s] of the steps cutoff .. cutoff + horizon - 1, also past the end of the series."""
        step = np.timedelta64(self.step_seconds, "s")
        return self.times[0] + step * np.arange(cutoff, cutoff + horizon)

    def step_at(self, moment: Moment) -> int:
        """The first step at or after a time, also before or past the readings.

        Args:
            moment: without a zone it is on the clock of `times`.

        Raises:
            ValueError: no time.
        """
        stamp: Any = pd.to_datetime(moment, errors="coerce")
        if stamp is pd.NaT:
            raise ValueError(f"cutoff {moment}: is no time. Write it like 2024-03-01T08:00.")
        stamp = stamp.tz_convert("UTC").tz_localize(None) if stamp.tzinfo else stamp
        return int(np.ceil((stamp.to_datetime64() - self.times[0]) / np.timedelta64(1, "s") / self.step_seconds))

    def slice(self, start: int, stop: int) -> SensorSeries:
        """Steps start .. stop - 1 as views on the same readings."""
        context = None if self.context is None else self.context.iloc[start:stop].reset_index(drop=True)
        return replace(self, times=self.times[start:stop], values=self.values[start:stop], context=context)

    def select(self, nodes: np.ndarray) -> SensorSeries:
        """The readings of some of the sensors, in the order given."""
        nodes = np.asarray(nodes)
        return replace(self, network=self.network.select(nodes), values=self.values[:, nodes])

    def to_frame(self) -> pd.DataFrame:
        """(T, N) float32 in `unit`: the readings by time (index) and sensor id (columns); without the context."""
        return pd.DataFrame(self.values, index=pd.DatetimeIndex(self.times, name="timestamp"), columns=pd.Index(self.network.ids))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of network, clock, readings, words and context: the key of caches and manifests."""
        digest = hashlib.sha256(self.network.fingerprint.encode())
        digest.update(repr((self.quantity, self.unit, self.known_ahead, self.timezone)).encode())
        digest.update(self.times.tobytes())
        for start in range(0, self.n_steps, 65536):  # blocks, so that a memory-mapped array is never read whole
            digest.update(np.ascontiguousarray(self.values[start : start + 65536]).tobytes())
        if self.context is not None:
            digest.update(self.context.to_csv(index=False).encode())
        return digest.hexdigest()


def to_local(times: np.ndarray, timezone: str) -> np.ndarray:
    """UTC times on the clock of a zone.

    Args:
        times: (T,) datetime64[s]. timezone: IANA name; "" leaves the times as they are.
    """
    if not timezone:
        return times
    local = pd.DatetimeIndex(times, tz="UTC").tz_convert(ZoneInfo(timezone)).tz_localize(None)
    return local.to_numpy().astype("datetime64[s]")
