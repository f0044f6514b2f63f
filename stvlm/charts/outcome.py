"""Maps of what became of a forecast, and of the alarms that it raises."""

from __future__ import annotations

import numpy as np

from stvlm.charts.dots import MANY
from stvlm.charts.layers import halos
from stvlm.charts.maps import MapView, sensor_map
from stvlm.charts.palette import CIVIDIS
from stvlm.charts.scale import fit_scale
from stvlm.charts.wording import ENGLISH, Wording
from stvlm.data.alarms import AlarmRule, chance_beyond
from stvlm.data.forecast import Forecast


def residual_map(
    forecast: Forecast,
    truth: np.ndarray,
    step: int,
    theme: str = "light",
    selected: int | None = None,
    words: Wording = ENGLISH,
) -> MapView:
    """Forecast minus measured at one step; the colours mean the same at every step, and 0 is their pale middle.

    Args:
        forecast: H steps of N sensors. truth: (H, N) in its unit, NaN where unknown. step: 0 .. H - 1.
        theme, selected, words: as in `maps.sensor_map`.

    Raises:
        ValueError: a truth of another shape.
    """
    if truth.shape != forecast.median.shape:
        raise ValueError(f"The truth must be {forecast.median.shape} (steps, sensors), not {truth.shape}.")
    off = forecast.median.astype("f8") - truth
    scale, decimals = fit_scale(off, kind="diverging"), fit_scale(forecast.median).decimals
    when = words.times(forecast.times, forecast.timezone)[step]
    texts = tuple(
        words.off_of.format(forecast=words.number(a, decimals, forecast.unit), measured=words.number(b, decimals, forecast.unit))
        for a, b in zip(forecast.median[step], truth[step], strict=True)
    )
    label = words.off_for.format(quantity=forecast.quantity, when=when)
    limits = (scale.low, scale.high)
    return sensor_map(
        forecast.network,
        off[step],
        forecast.unit,
        label,
        theme,
        selected,
        tooltips=texts,
        limits=limits,
        kind="diverging",
        words=words,
    )


def alarm_map(
    forecast: Forecast,
    rule: AlarmRule,
    step: int,
    theme: str = "light",
    selected: int | None = None,
    words: Wording = ENGLISH,
) -> MapView:
    """How likely each reading of one step lies beyond the level of a rule, in %; sensors with an alarm have a wide halo.

    Args:
        forecast: with bands. rule: level, side and chance. step: 0 .. H - 1. theme, selected, words: as in `maps.sensor_map`.

    Raises:
        ValueError: a forecast without bands.
    """
    percent = 100 * chance_beyond(forecast, rule.level, rule.above)[step]  # (N,)
    when = words.times(forecast.times, forecast.timezone)[step]
    decimals = fit_scale(forecast.median).decimals
    texts = tuple(
        f"{words.alarm + ', ' if p > 100 * rule.chance else ''}"
        + words.median_of.format(value=words.number(m, decimals, forecast.unit))
        for p, m in zip(percent, forecast.median[step], strict=True)
    )
    level = f"{rule.level:.6g} {forecast.unit}".rstrip()
    side = words.above if rule.above else words.below
    label = words.chance_for.format(quantity=forecast.quantity, side=side, level=level, when=when)
    nodes, look = np.flatnonzero(np.nan_to_num(percent) > 100 * rule.chance), {"limits": (0.0, 100.0), "stops": CIVIDIS}
    view = sensor_map(forecast.network, percent, "%", label, theme, selected, tooltips=texts, halos=nodes, words=words, **look)
    if len(nodes) > 0 and forecast.network.n_sensors <= MANY:
        halos(forecast.network, nodes).add_to(view.features)
    return view
