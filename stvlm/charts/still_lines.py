"""One sensor's past, truth and forecast with its bands as a still picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stvlm.charts.lines import baseline_colours, readings_around
from stvlm.charts.palette import Theme, theme_of
from stvlm.charts.scale import format_ticks, format_times, nice_ticks, with_unit
from stvlm.charts.scene import Area, Dot, Line, Scene, Word
from stvlm.data.forecast import Forecast
from stvlm.data.series import SensorSeries, to_local

LEFT, RIGHT, TOP, BOTTOM = 64.0, 16.0, 58.0, 44.0  # pixels around the axes
BAND_OPACITY = {0.95: 0.14, 0.8: 0.22, 0.5: 0.34}


def lines_scene(
    series: SensorSeries | None,
    forecast: Forecast,
    sensor: int,
    baselines: Sequence[Forecast] = (),
    step: int | None = None,
    past_steps: int = 48,
    theme: str = "light",
    size: tuple[int, int] = (760, 360),
) -> Scene:
    """The still twin of `lines.forecast_lines`.

    Args:
        series: readings of the same network, or None. forecast: H steps of N sensors. sensor: node. baselines: other forecasts.
        step: chosen step, marked by a vertical line. past_steps: readings before the forecast. theme: "light" or "dark".
        size: (width, height) in pixels.
    """
    colours = theme_of(theme)
    clock = to_local(forecast.times, forecast.timezone)
    past, came = readings_around(series, forecast, sensor, past_steps)
    name = forecast.network.name(sensor)
    scene = Scene(*size, colours.panel, f"{name}: {with_unit(forecast.quantity, forecast.unit)}, past and forecast with bands")
    rows = [past[1], came, *forecast.values[:, :, sensor], *(b.median[:, sensor] for b in baselines)]
    frame = _Frame(np.concatenate([past[0], clock]), np.concatenate([np.asarray(row, "f8") for row in rows]), size)
    scene.shapes.append(Word(LEFT, 16, f"{name}: {with_unit(forecast.quantity, forecast.unit)}", colours.text, 15, bold=True))
    scene.shapes.extend(_axes(frame, colours))
    for share in sorted(forecast.shares, reverse=True):
        low, high = (bound[:, sensor] for bound in forecast.band(share))
        for ring in _band_rings(frame.x(clock), frame.y(low), frame.y(high)):
            scene.shapes.append(Area([ring], colours.accent, BAND_OPACITY.get(share, 0.2)))
    begin = frame.x(clock[:1])[0] - frame.step_pixels / 2
    scene.shapes.append(Line(np.array([(begin, TOP), (begin, size[1] - BOTTOM)]), colours.muted, 1.5))
    looks: list[tuple[str, np.ndarray, np.ndarray, str, float, tuple, bool]] = []
    looks.append(("past", past[0], past[1], colours.text, 1.5, (), False))
    looks += [
        (b.name, clock, b.median[:, sensor], colour, 1.4, (6, 4), False)
        for b, colour in zip(baselines, baseline_colours(len(baselines)), strict=True)
    ]
    looks.append(("what came", clock, came, colours.text, 1.2, (2, 3), True))
    looks.append((f"{forecast.name}, median", clock, forecast.median[:, sensor], colours.accent, 2.5, (), True))
    for _, x, y, colour, width, dash, dots in looks:
        scene.shapes.extend(_drawn(frame.x(x), frame.y(y), colour, width, dash, dots))
    if step is not None:
        at = float(frame.x(clock[[step]])[0])
        scene.shapes.append(Line(np.array([(at, TOP), (at, size[1] - BOTTOM)]), colours.ring, 1.5, (2, 3)))
        when = format_times(forecast.times, forecast.timezone)[step]
        scene.shapes.append(Word(at - 4, size[1] - BOTTOM - 8, when, colours.ring, 11, "end"))
    scene.shapes.extend(_key([look for look in looks if np.isfinite(np.asarray(look[2], "f8")).any()], forecast, colours))
    return scene


class _Frame:
    """From times and values to pixels."""

    def __init__(self, times: np.ndarray, values: np.ndarray, size: tuple[int, int]) -> None:
        seconds = np.asarray(times).astype("datetime64[s]").astype("int64")
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        spread = (high - low) or abs(high) or 1.0
        self.low, self.high = low - 0.05 * spread, high + 0.05 * spread
        self.times, self.size = np.asarray(times).astype("datetime64[s]"), size
        gaps = np.diff(np.unique(seconds))
        self._step = float(gaps.min()) if gaps.size else 3600.0
        self._first, self._last = seconds.min() - self._step, seconds.max() + self._step
        self.step_pixels = self._step * self._per_second

    @property
    def _per_second(self) -> float:
        return (self.size[0] - LEFT - RIGHT) / (self._last - self._first)

    def x(self, times: np.ndarray) -> np.ndarray:
        """(K,) pixels of times."""
        return LEFT + (np.asarray(times).astype("datetime64[s]").astype("int64") - self._first) * self._per_second

    def y(self, values: np.ndarray) -> np.ndarray:
        """(K,) pixels of values; NaN stays NaN."""
        share = (np.asarray(values, "f8") - self.low) / (self.high - self.low)
        return self.size[1] - BOTTOM - share * (self.size[1] - TOP - BOTTOM)


def _axes(frame: _Frame, colours: Theme) -> list[Line | Word]:
    width, height = frame.size
    bottom = height - BOTTOM
    shapes: list[Line | Word] = [Line(np.array([(LEFT, TOP), (LEFT, bottom), (width - RIGHT, bottom)]), colours.muted)]
    ticks = nice_ticks(frame.low, frame.high, 6)
    for y, text in zip(frame.y(ticks), format_ticks(ticks), strict=True):
        shapes.append(Line(np.array([(LEFT, y), (width - RIGHT, y)]), colours.grid))
        shapes.append(Word(LEFT - 7, y, text, colours.text, 11, "end"))
    places, labels = time_ticks(frame.times)
    for x, text in zip(frame.x(frame.times[places]), labels, strict=True):
        shapes.append(Line(np.array([(x, bottom), (x, bottom + 5)]), colours.muted))
        shapes.append(Word(x, bottom + 16, text, colours.text, 11, "middle"))
    return shapes


def time_ticks(clock: np.ndarray, at_most: int = 6) -> tuple[np.ndarray, list[str]]:
    """Places (K,) among rising local times (T,) for about `at_most` labels, away from the ends, and the labels."""
    share = (np.arange(at_most) + 0.5) / at_most
    places = np.unique((share * (len(clock) - 1)).round().astype("int64"))
    local = pd.DatetimeIndex(clock)
    daily = bool((local == local.normalize()).all())
    return places, list(local[places].strftime("%d %b %Y" if daily else "%d %b %H:%M"))


def _band_rings(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[np.ndarray]:
    """Closed outlines (K, 2) of a band, one for each run of steps without a gap; a run of one step becomes a narrow box."""
    known = np.isfinite(low) & np.isfinite(high)
    rings = []
    for run in np.split(np.arange(len(x)), np.flatnonzero(np.diff(known.astype(int))) + 1):
        if not known[run[0]]:
            continue
        at, lower, upper = x[run], low[run], high[run]
        if len(run) == 1:
            at, lower, upper = np.array([at[0] - 4, at[0] + 4]), lower.repeat(2), upper.repeat(2)
        rings.append(np.concatenate([np.stack([at, upper], -1), np.stack([at, lower], -1)[::-1]]))
    return rings


def _drawn(x: np.ndarray, y: np.ndarray, colour: str, width: float, dash: tuple, dots: bool) -> list[Line | Dot]:
    """A line that a gap parts, and its points where asked or where a point stands alone."""
    known = np.isfinite(y)
    shapes: list[Line | Dot] = []
    for run in np.split(np.arange(len(x)), np.flatnonzero(np.diff(known.astype(int))) + 1) if len(x) else []:
        if known[run[0]]:
            if len(run) > 1:
                shapes.append(Line(np.stack([x[run], y[run]], -1), colour, width, dash))
            if dots or len(run) == 1:
                shapes += [Dot(float(x[i]), float(y[i]), 3, "" if dash else colour, colour, 1.2) for i in run]
    return shapes


def _key(looks: list[tuple], forecast: Forecast, colours: Theme) -> list[Area | Line | Word]:
    """What each line and band is, in one row below the title."""
    shapes: list[Area | Line | Word] = []
    x, y = LEFT, 40.0
    for name, _, _, colour, width, dash, _ in looks:
        shapes.append(Line(np.array([(x, y), (x + 22, y)]), colour, width, dash))
        shapes.append(Word(x + 27, y, name, colours.text, 11))
        x += 27 + 6.2 * len(name) + 14
    for share in forecast.shares:
        box = np.array([(x, y - 5), (x + 16, y - 5), (x + 16, y + 5), (x, y + 5)])
        shapes.append(Area([box], colours.accent, BAND_OPACITY.get(share, 0.2) + 0.1))
        shapes.append(Word(x + 20, y, f"{100 * share:.3g} %", colours.text, 11))
        x += 58
    return shapes
