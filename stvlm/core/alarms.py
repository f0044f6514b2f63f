"""Alarms from a forecast: how likely a reading crosses a level, and which sensors that concerns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stvlm.core.forecast import Forecast


@dataclass(frozen=True)
class AlarmRule:
    """When a forecast raises an alarm: the chance that a reading lies beyond a level is over some share.

    Attributes:
        level: in the unit of the forecast.
        above: whether readings above the level are meant, else those below it.
        chance: share over which the alarm is raised, 0 <= chance < 1.

    Raises:
        ValueError: a level that is no number, or a chance outside 0 .. 1.
    """

    level: float
    above: bool = True
    chance: float = 0.5

    def __post_init__(self) -> None:
        if not np.isfinite(self.level):
            raise ValueError("The level of an alarm must be a number.")
        if not 0 <= self.chance < 1:
            raise ValueError(f"The chance of an alarm is a share from 0 to below 1, not {self.chance}.")

    def words(self, unit: str) -> str:
        """The rule as people say it: "above 60 km/h with a chance over 50 %"."""
        level = f"{self.level:.6g} {unit}".rstrip()
        return f"{'above' if self.above else 'below'} {level} with a chance over {100 * self.chance:.3g} %"


def chance_beyond(forecast: Forecast, level: float, above: bool = True) -> np.ndarray:
    """How likely each reading lies beyond a level, from the forecast's quantiles.

    Between two quantiles the distribution function is taken as straight. Beyond the outermost ones, where the quantiles say no
    more than "at most 2.5 %", the rest of the probability falls off exponentially, at the density of the outermost stretch.

    Args:
        forecast: Q quantiles of H steps of N sensors. level: in its unit. above: beyond means above, else below.

    Returns:
        (H, N) float64 in 0 .. 1; NaN where the forecast says nothing.

    Raises:
        ValueError: a forecast without bands.
    """
    if len(forecast.levels) < 2:
        raise ValueError(f"{forecast.name} forecasts no bands, so it cannot say how likely a level is crossed.")
    levels = np.array(forecast.levels)
    values = forecast.values.astype("f8")  # (Q, H, N)
    low, high = values[0], values[-1]
    below = np.zeros(low.shape)  # P(reading <= level)
    for k in range(len(levels) - 1):
        width = values[k + 1] - values[k]
        share = np.clip((level - values[k]) / np.where(width > 0, width, 1), 0, 1)
        share = np.where(width > 0, share, level >= values[k])  # equal quantiles: a step
        below += (levels[k + 1] - levels[k]) * share
    below += levels[0]
    below = np.where(level < low, levels[0] * _tail(low - level, values[1] - low, levels[1] - levels[0], levels[0]), below)
    rest = 1 - levels[-1]
    above_high = rest * _tail(level - high, high - values[-2], levels[-1] - levels[-2], rest)
    below = np.where(level > high, 1 - above_high, below)
    below = np.where(np.isfinite(values).all(axis=0), np.clip(below, 0, 1), np.nan)
    return 1 - below if above else below


def _tail(distance: np.ndarray, width: np.ndarray, mass: float, rest: float) -> np.ndarray:
    """(H, N) share of the outermost probability that is left at a distance beyond the outermost quantile.

    Args:
        distance: beyond it, in the unit. width, mass: of the stretch next to it. rest: probability beyond it.
    """
    length = rest * width / mass  # so that the density is the same on both sides
    known = np.isfinite(distance) & (length > 0)
    return np.where(known, np.exp(-np.maximum(distance, 0) / np.where(known, length, 1)), 0.0)


def raised_alarms(forecast: Forecast, rule: AlarmRule) -> pd.DataFrame:
    """The sensors for which a rule raises an alarm, the likeliest first.

    Returns:
        Columns sensor (node), first (step of the first alarm, 0 .. H - 1), steps (how many steps raise it), highest (largest chance
        of any step, 0 .. 1) and step (where it is largest); no row where no alarm is raised.

    Raises:
        ValueError: as `chance_beyond`.
    """
    chance = np.nan_to_num(chance_beyond(forecast, rule.level, rule.above))  # (H, N)
    over = chance > rule.chance
    nodes = np.flatnonzero(over.any(axis=0))
    table = pd.DataFrame(
        {
            "sensor": nodes,
            "first": over[:, nodes].argmax(axis=0),
            "steps": over[:, nodes].sum(axis=0),
            "highest": chance[:, nodes].max(axis=0, initial=0.0),
            "step": chance[:, nodes].argmax(axis=0),
        }
    )
    return table.sort_values(["highest", "first"], ascending=[False, True], kind="stable", ignore_index=True)
