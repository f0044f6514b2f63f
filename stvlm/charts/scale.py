"""From numbers to colours, and the numbers written beside the colours: scales, ticks, values with their unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stvlm.charts.style import BLUE_ORANGE, VIRIDIS, colour_table, hex_of
from stvlm.core.series import to_local


@dataclass(frozen=True)
class Scale:
    """A colour for every number between `low` and `high`; numbers beyond take the colour of the end.

    Attributes:
        low, high: in the unit of the values, low < high.
        stops: "#rrggbb" from low to high.
        below, above: whether values lie beyond that end.
    """

    low: float
    high: float
    stops: tuple[str, ...] = VIRIDIS
    below: bool = False
    above: bool = False

    def position(self, values: np.ndarray) -> np.ndarray:
        """Where each value lies between low (0) and high (1); NaN stays NaN."""
        return np.clip((np.asarray(values, "f8") - self.low) / (self.high - self.low), 0, 1)

    def hex(self, values: np.ndarray) -> list[str]:
        """A text "#rrggbb" for each of (K,) values; NaN takes the colour of low, so mark missing ones otherwise."""
        index = np.nan_to_num(self.position(values) * 255).round().astype("int64")
        return hex_of(colour_table(self.stops)[index])

    def rgba(self, values: np.ndarray, opacity: float = 1.0) -> np.ndarray:
        """(..., 4) uint8 for (...) values, transparent where they are NaN."""
        position = self.position(values)
        rgb = colour_table(self.stops)[np.nan_to_num(position * 255).round().astype("int64")]  # (..., 3)
        alpha = np.where(np.isfinite(position), round(255 * opacity), 0).astype("uint8")
        return np.concatenate([rgb, alpha[..., None]], axis=-1)

    @property
    def decimals(self) -> int:
        """Digits after the point that tell a few hundred steps of the scale apart."""
        return int(np.clip(np.round(2.6 - np.log10(self.high - self.low)), 0, 6))


def fit_scale(
    values: np.ndarray,
    limits: tuple[float, float] | None = None,
    kind: str = "sequential",
    stops: tuple[str, ...] | None = None,
    least_span: float = 0.0,
) -> Scale:
    """A scale that a few wild values cannot spoil: it spans the middle 96 % of the values unless limits are given.

    Args:
        values: any shape, in their unit; NaN is left out.
        limits: (low, high) to use instead.
        kind: "sequential" for levels, "diverging" for differences, which is symmetric around 0.
        stops: colours to use instead of those of the kind.
        least_span: the scale spans at least this, in the unit, so that noise does not look like a pattern.

    Raises:
        ValueError: for another kind, or limits that do not rise.
    """
    if kind not in ("sequential", "diverging"):
        raise ValueError(f"A scale is sequential or diverging, not {kind!r}.")
    if limits is not None and not limits[0] < limits[1]:
        raise ValueError(f"Limits must rise: {limits}.")
    known = np.asarray(values, "f8")
    known = known[np.isfinite(known)]
    if limits is not None:
        low, high = float(limits[0]), float(limits[1])
    elif known.size == 0:
        low, high = (0.0, 1.0) if kind == "sequential" else (-1.0, 1.0)
    elif kind == "diverging":
        high = max(float(np.quantile(np.abs(known), 0.98)), least_span / 2)
        high = high if high > 0 else 1.0
        low = -high
    else:
        low, high = (float(q) for q in np.quantile(known, (0.02, 0.98)))
        if high - low <= 1e-6 * abs(high):  # all alike: a tenth of the value around it
            least_span = max(least_span, abs(high) / 10) or 1.0
        lacking = max(least_span - (high - low), 0.0)
        low, high = low - lacking / 2, high + lacking / 2
    tolerance = (high - low) / 100
    return Scale(
        low,
        high,
        stops or (VIRIDIS if kind == "sequential" else BLUE_ORANGE),
        bool(known.size and known.min() < low - tolerance),
        bool(known.size and known.max() > high + tolerance),
    )


def nice_ticks(low: float, high: float, at_most: int = 5) -> np.ndarray:
    """Round numbers between low and high, about three to five of them, rising."""
    span = high - low
    power = 10.0 ** np.floor(np.log10(span / at_most))
    for factor in (1, 2, 2.5, 5, 10, 20, 25, 50):
        step = factor * power
        first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
        if last - first + 1 <= at_most:
            return np.arange(first, last + 1) * step + 0.0
    return np.array([low, high])


def format_ticks(ticks: np.ndarray) -> list[str]:
    """The ticks as texts, all with the same digits after the point."""
    step = float(np.min(np.diff(ticks))) if len(ticks) > 1 else float(np.abs(ticks).max()) or 1.0
    decimals = int(np.clip(-np.floor(np.log10(step) + 1e-9), 0, 8))
    if decimals < 8 and len(ticks) > 1 and not np.allclose(ticks, np.round(ticks, decimals), atol=step * 1e-6):
        decimals += 1
    return [_plain(tick, decimals) for tick in ticks]


def format_value(value: float, decimals: int, unit: str = "") -> str:
    """A number with its unit, "63.0 km/h"; "missing" for NaN."""
    if not np.isfinite(value):
        return "missing"
    return f"{_plain(value, decimals)} {unit}".rstrip()


def format_times(times: np.ndarray, timezone: str = "") -> list[str]:
    """(H,) times as texts on the network's own clock: "Mon 12 May 2025 08:15", without the clock where all are midnight.

    Args:
        times: (H,) datetime64[s].
        timezone: IANA name; "" shows the times as they are.
    """
    local = pd.DatetimeIndex(to_local(np.asarray(times).astype("datetime64[s]"), timezone))
    days_only = bool((local == local.normalize()).all()) and (len(local) > 1 or not timezone)
    return list(local.strftime("%a %d %b %Y" if days_only else "%a %d %b %Y %H:%M"))


def with_unit(text: str, unit: str) -> str:
    """ "traffic speed, km/h", or the text alone where there is no unit."""
    return f"{text}, {unit}" if unit else text


def _plain(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text
