"""Numbers, times and places as people say them."""

from __future__ import annotations

import math
import re
import unicodedata

import numpy as np

from stvlm.runtime.messages import duration

COMPASS = ("east", "north-east", "north", "north-west", "west", "south-west", "south", "south-east")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
SEASONS = ("winter", "spring", "summer", "autumn")
TROPICS = 15.0  # degrees; nearer to the equator than this, months say more than seasons


def number_text(value: float) -> str:
    """Three significant digits below 1000, whole numbers above: 63.2, 0.0123, 1013."""
    value = float(value)
    if not math.isfinite(value):
        return "unknown"
    text = f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}"
    return "0" if text == "-0" else text


def with_unit(value: float, unit: str) -> str:
    """A number and its unit: "63.2 km/h"."""
    return f"{number_text(value)} {unit}".rstrip()


def duration_text(seconds: int) -> str:
    """A duration in the largest unit that divides it: "15 minutes", "1 hour", "28 days"."""
    return str(duration(seconds))


def moment_text(time: np.datetime64, step_seconds: int) -> str:
    """A local time as exact as its steps: "Tuesday 08:15", for daily steps "Tuesday", for longer ones the month."""
    if step_seconds > 86400:
        return month_text(time)
    day = weekday_text(time)
    return day if step_seconds == 86400 else f"{day} {str(time.astype('datetime64[m]'))[11:]}"


def weekday_text(time: np.datetime64) -> str:
    """ "Tuesday" of a local time."""
    return WEEKDAYS[(int(time.astype("datetime64[D]").astype("int64")) + 3) % 7]


def month_text(time: np.datetime64) -> str:
    """ "July" of a local time."""
    return MONTHS[int(time.astype("datetime64[M]").astype("int64")) % 12]


def season_text(time: np.datetime64, lat: float) -> str:
    """The season of the hemisphere, "summer"; near the equator the month."""
    if abs(lat) < TROPICS:
        return month_text(time)
    month = int(time.astype("datetime64[M]").astype("int64")) % 12  # 0 = January
    return SEASONS[((month + 1) // 3 + (0 if lat > 0 else 2)) % 4]


def place_text(lat: float, lon: float) -> str:
    """A place to a tenth of a degree: "45.5°N 73.6°W"."""
    return f"{abs(lat):.1f}°{'N' if lat >= 0 else 'S'} {abs(lon):.1f}°{'E' if lon >= 0 else 'W'}"


def directions(position_km: np.ndarray, half_extent_km: float) -> list[str]:
    """Where each sensor lies as seen from the centre: one of eight directions, or "centre".

    Args:
        position_km: (N, 2) km east and north of the centre. half_extent_km: within a tenth of it is the centre.
    """
    angle = np.arctan2(position_km[:, 1], position_km[:, 0])
    sector = np.round(angle / (np.pi / 4)).astype(int) % 8
    central = np.hypot(position_km[:, 0], position_km[:, 1]) < 0.1 * half_extent_km
    return ["centre" if near else COMPASS[s] for near, s in zip(central, sector, strict=True)]


def plain(text: object, longest: int = 80) -> str:
    """Text of a file on one line: control characters and line breaks become spaces, too long an end is cut with "…"."""
    clean = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in str(text))
    clean = re.sub(r"\s+", " ", clean).strip()
    return clean if len(clean) <= longest else clean[: longest - 1].rstrip() + "…"
