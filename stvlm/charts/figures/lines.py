"""Readings, forecasts and learning over time, as figures."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stvlm.charts.labels import ENGLISH, Wording
from stvlm.charts.scale import with_unit
from stvlm.charts.style import OKABE_ITO, plain, say, style, theme_of, with_alpha
from stvlm.core.forecast import Forecast
from stvlm.core.series import SensorSeries, to_local

MOST_POINTS = 4000
BAND_ALPHA = {"light": 0.12, "dark": 0.2}  # of the widest band; narrower ones are denser and lie on it


def forecast_lines(
    series: SensorSeries | None,
    forecast: Forecast,
    sensor: int,
    truth: bool = True,
    baselines: Sequence[Forecast] = (),
    step: int | None = None,
    past_steps: int | None = None,
    theme: str = "light",
    words: Wording = ENGLISH,
) -> go.Figure:
    """One sensor's past, what came, and the forecast with its bands.

    Args:
        series: readings of the same network; None shows the forecast alone, as for a place without a sensor.
        forecast: H steps of N sensors.
        sensor: node in the forecast's network; the series is asked by the sensor's id.
        truth: show readings of the forecast's times where they are known.
        baselines: other forecasts of the same sensors, drawn as thin dashed lines.
        step: chosen step of the horizon, marked by a vertical line.
        past_steps: readings shown before the forecast; four horizons, at least 48, by default.
        theme: "light" or "dark".
        words: what the figure says.
    """
    colours = theme_of(theme)
    figure = go.Figure()
    clock = to_local(forecast.times, forecast.timezone)
    median = forecast.median[:, sensor]
    past, came = readings_around(series, forecast, sensor, past_steps or max(4 * len(forecast.times), 48))
    digits = _digits(median, past[1], forecast.values[:, :, sensor])
    unit = f" {plain(forecast.unit)}" if forecast.unit else ""
    _add_bands(figure, forecast, sensor, clock, colours.accent, BAND_ALPHA[theme], words)
    hover = f"%{{y:,.{digits}f}}{unit}"
    dot = {"mode": "lines+markers", "connectgaps": False, "hovertemplate": hover}
    if len(past[0]):
        figure.add_scatter(x=past[0], y=past[1], name=words.past, line_color=colours.text, marker_size=4, **dot)
    if truth and np.isfinite(came).any():
        look = {"line": {"color": colours.text, "width": 1.5, "dash": "dot"}, "marker": {"size": 6, "symbol": "circle-open"}}
        figure.add_scatter(x=clock, y=came, name=words.came, **look, **dot)
    for baseline, colour in zip(baselines, baseline_colours(len(baselines)), strict=True):
        line = {"color": colour, "width": 1.4, "dash": "dash"}
        x = to_local(baseline.times, baseline.timezone)
        y = baseline.median[:, baseline.network.ids.index(forecast.network.ids[sensor])]
        figure.add_scatter(x=x, y=y, name=plain(baseline.name), line=line, marker_size=3, **dot)
    if 0.8 in forecast.shares:
        custom = np.stack([bound[:, sensor] for bound in forecast.band(0.8)], axis=-1)
        dot["hovertemplate"] = f"{hover} " + words.to.format(
            low=f"%{{customdata[0]:,.{digits}f}}", high=f"%{{customdata[1]:,.{digits}f}}"
        )
        dot["customdata"] = custom
    line = {"color": colours.accent, "width": 2.5}
    figure.add_scatter(x=clock, y=median, name=words.median.format(name=plain(forecast.name)), line=line, marker_size=6, **dot)
    mark_times(figure, series, forecast, clock, step, colours.muted, colours.ring, words)
    zone = words.zone(forecast.timezone)
    style(figure, theme, forecast.network.name(sensor), zone, with_unit(forecast.quantity, forecast.unit))
    figure.update_layout(hovermode="x unified", clickmode="event+select")
    if len(past[0]) == 0 and len(clock) == 1:  # one lonely step: leave room around it
        figure.update_xaxes(range=[pd.Timestamp(clock[0]) + pd.Timedelta(hours=hours) for hours in (-3, 3)])
    else:  # else the axis makes room for the words beside the lines
        first, last = pd.Timestamp(past[0][0] if len(past[0]) else clock[0]), pd.Timestamp(clock[-1])
        figure.update_xaxes(range=[first - 0.02 * (last - first), last + 0.02 * (last - first)])
    if not any(np.isfinite(values).any() for values in (median, past[1], came)):
        say(figure, words.no_reading)
    elif not np.isfinite(median).any():
        say(figure, words.no_forecast, bare=False)
    return figure


def readings_lines(series: SensorSeries, sensors: Sequence[int], theme: str = "light", words: Wording = ENGLISH) -> go.Figure:
    """Readings of some sensors over time; long series are thinned to the lowest and highest of each stretch.

    Args:
        series: T steps of N sensors.
        sensors: nodes.
        theme: "light" or "dark".
        words: what the figure says.
    """
    figure = go.Figure()
    palette = _readable(theme)
    hover = f"%{{y:,.4~g}} {plain(series.unit)}".rstrip()
    shown = False
    for place, node in enumerate(sensors):
        values = np.asarray(series.values[:, node], "f8")
        keep = thin(values, MOST_POINTS)
        look = {"line": {"color": palette[place % len(palette)], "width": 1.5}, "marker": {"size": 3 if len(keep) < 1000 else 1}}
        if place >= len(palette):
            look["line"]["dash"] = "dot"
        name = plain(series.network.name(node))
        x, y = series.local_times[keep], values[keep]
        known = bool(np.isfinite(y).any())
        name = name if known else f"{name} ({words.missing})"
        figure.add_scatter(x=x, y=y, name=name, mode="lines+markers", connectgaps=False, hovertemplate=hover, **look)
        shown = shown or known
    zone = words.zone(series.timezone)
    style(figure, theme, "", zone, with_unit(series.quantity, series.unit))
    figure.update_layout(showlegend=True, clickmode="event+select")
    if not len(sensors):
        say(figure, words.choose)
    elif not shown:
        say(figure, words.all_missing)
    return figure


@dataclass(frozen=True)
class LossLabels:
    """What the figure of the learning says."""

    loss: str = "training loss"
    error: str = "validation error"
    anchor: str = "anchor"
    mae: str = "validation MAE"
    step: str = "training step"
    at: str = "step"
    nothing: str = "No step of learning yet."


def loss_lines(
    rows: Iterable[dict] | pd.DataFrame, unit: str = "", theme: str = "light", labels: LossLabels = LossLabels()
) -> go.Figure:
    """Learning: the training loss above, the validation error against the anchor's below.

    Args:
        rows: one for each step, with step, loss, val_mae and anchor_val_mae (in `unit`); None where not measured.
        unit: of the errors.
        theme: "light" or "dark".
        labels: what the figure says.
    """
    table = pd.DataFrame(rows if isinstance(rows, pd.DataFrame) else list(rows))
    table = table.reindex(columns=["step", "loss", "val_mae", "anchor_val_mae"]).apply(pd.to_numeric, errors="coerce")
    colours = theme_of(theme)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.09)
    measured = {name: table.dropna(subset=["step", name]) for name in ("loss", "val_mae", "anchor_val_mae")}
    hover = f"{labels.at} %{{x}}: %{{y:.4~g}}"
    loss, val, anchor = measured["loss"], measured["val_mae"], measured["anchor_val_mae"]
    line = {"mode": "lines+markers", "hovertemplate": hover, "marker_size": 4}
    figure.add_scatter(x=loss["step"], y=loss["loss"], name=labels.loss, line_color=colours.muted, row=1, col=1, **line)
    figure.add_scatter(x=val["step"], y=val["val_mae"], name=labels.error, line_color=colours.accent, row=2, col=1, **line)
    if len(anchor):
        level = float(anchor["anchor_val_mae"].iloc[-1])
        ends = [float(table["step"].min()), max(float(table["step"].max()), float(table["step"].min()) + 1)]
        look = {"color": OKABE_ITO[5], "dash": "dash", "width": 2}
        hover = f"{labels.anchor}: {level:.4g} {plain(unit)}".rstrip()
        figure.add_scatter(x=ends, y=[level] * 2, name=labels.anchor, mode="lines", line=look, hovertemplate=hover, row=2, col=1)
    style(figure, theme)
    figure.update_yaxes(title_text=labels.loss, row=1, col=1)
    figure.update_yaxes(title_text=plain(with_unit(labels.mae, unit)), row=2, col=1)
    figure.update_xaxes(title_text=labels.step, row=2, col=1)
    if not len(loss) and not len(val):
        say(figure, labels.nothing)
    return figure


def thin(values: np.ndarray, at_most: int) -> np.ndarray:
    """Places that keep the look of a long line: the lowest and the highest reading of each stretch, and wholly missing stretches.

    Args:
        values: (T,) NaN = missing.
        at_most: places kept, about; all T when there are no more.

    Returns:
        (K,) int64, rising.
    """
    n = len(values)
    if n <= at_most:
        return np.arange(n)
    length = -(-2 * n // at_most)
    padded = np.full(-(-n // length) * length, np.nan)
    padded[:n] = values
    stretches = padded.reshape(-1, length)
    known = np.isfinite(stretches)
    first = np.arange(len(stretches)) * length
    lowest = first + np.where(known, stretches, np.inf).argmin(axis=1)
    highest = first + np.where(known, stretches, -np.inf).argmax(axis=1)
    places = np.unique(np.concatenate([lowest, highest, [0, n - 1]]))
    return places[places < n]


def readings_around(
    series: SensorSeries | None, forecast: Forecast, sensor: int, past_steps: int
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Local times and values before the forecast; values at the forecast's times, NaN where unknown."""
    horizon = len(forecast.times)
    nothing = (np.zeros(0, "datetime64[s]"), np.zeros(0)), np.full(horizon, np.nan)
    identity = forecast.network.ids[sensor]
    if series is None or identity not in series.network.ids:
        return nothing
    node = series.network.ids.index(identity)
    cutoff = int(np.searchsorted(series.times, forecast.times[0]))
    start = max(cutoff - past_steps, 0)
    past = series.local_times[start:cutoff], np.asarray(series.values[start:cutoff, node], "f8")
    came = np.full(horizon, np.nan)
    place = np.searchsorted(series.times, forecast.times)
    known = place < series.n_steps
    known[known] &= series.times[place[known]] == forecast.times[known]
    came[known] = series.values[place[known], node]
    return past, came


def _add_bands(
    figure: go.Figure, forecast: Forecast, sensor: int, clock: np.ndarray, colour: str, alpha: float, words: Wording
) -> None:
    """The bands of one sensor, the widest first, each see-through over the one before."""
    for place, share in enumerate(sorted(forecast.shares, reverse=True)):
        low, high = (bound[:, sensor] for bound in forecast.band(share))
        x, y = outline(clock, low, high)
        look = {
            "fill": "toself",
            "mode": "lines",
            "line_width": 0,
            "fillcolor": with_alpha(colour, alpha * (1 + 0.6 * place)),
            "hoverinfo": "skip",
        }
        figure.add_scatter(x=x, y=y, name=words.band.format(share=f"{100 * share:.3g}"), **look)


def outline(clock: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[list, list]:
    """Closed outlines of a band, one for each run of steps without a gap, parted by None.

    A run of one step becomes a narrow box, so that a horizon of one step shows its band too.
    """
    known = np.isfinite(low) & np.isfinite(high)
    step = np.diff(clock).min() if len(clock) > 1 else np.timedelta64(3600, "s")
    x, y = [], []
    for run in np.split(np.arange(len(clock)), np.flatnonzero(np.diff(known.astype(int))) + 1):
        if not known[run[0]]:
            continue
        times, lower, upper = clock[run], low[run], high[run]
        if len(run) == 1:
            times, lower, upper = np.array([times[0] - step // 4, times[0] + step // 4]), lower.repeat(2), upper.repeat(2)
        x += [*pd.DatetimeIndex(times), *pd.DatetimeIndex(times[::-1]), None]
        y += [*upper.tolist(), *lower[::-1].tolist(), None]
    return x[:-1], y[:-1]


def mark_times(
    figure: go.Figure,
    series: SensorSeries | None,
    forecast: Forecast,
    clock: np.ndarray,
    step: int | None,
    quiet: str,
    loud: str,
    words: Wording = ENGLISH,
) -> None:
    """Vertical lines where the forecast begins, half a step before its first time, and at the chosen step."""
    ends = series.times[:2] if series is not None else forecast.times[:2]
    half = (ends[1] - ends[0]) // 2 if len(ends) > 1 else np.timedelta64(1800, "s")
    begin = pd.Timestamp(clock[0] - half)
    figure.add_shape(type="line", x0=begin, x1=begin, y0=0, y1=1, yref="paper", line={"color": quiet, "width": 1.5})
    note = {"yref": "paper", "showarrow": False, "font": {"size": 11}}
    figure.add_annotation(x=begin, y=1, text=words.begins, xanchor="right", yanchor="top", xshift=-4, font_color=quiet, **note)
    if step is not None and 0 <= step < len(clock):
        when = pd.Timestamp(clock[step])
        figure.add_shape(type="line", x0=when, x1=when, y0=0, y1=1, yref="paper", line={"color": loud, "width": 1.5, "dash": "dot"})
        text = words.times(forecast.times, forecast.timezone)[step]
        side, shift = ("left", 4) if series is None and step < len(clock) / 2 else ("right", -4)  # where there is room
        figure.add_annotation(x=when, y=0, text=text, xanchor=side, yanchor="bottom", xshift=shift, font_color=loud, **note)


def _digits(*values: np.ndarray) -> int:
    """Digits after the point that suit the spread of the values."""
    known = np.concatenate([np.asarray(v, "f8").ravel() for v in values])
    known = known[np.isfinite(known)]
    spread = float(np.ptp(known)) if known.size else 0.0
    return int(np.clip(np.ceil(2 - np.log10(spread)), 0, 6)) if spread > 0 else 2


def _readable(theme: str) -> tuple[str, ...]:
    """Categories in an order whose first colours stand out from the page."""
    return OKABE_ITO if theme == "light" else tuple(OKABE_ITO[i] for i in (4, 1, 2, 3, 5, 6, 0, 7))


def baseline_colours(count: int) -> list[str]:
    """Colours of so many simple methods beside a forecast."""
    others = [OKABE_ITO[i] for i in (5, 2, 3, 1, 6, 7)]  # not the blue of the forecast
    return [others[i % len(others)] for i in range(count)]


# A group of sensors: mean and range.


def group_lines(
    series: SensorSeries,
    forecast: Forecast,
    nodes: Sequence[int],
    step: int | None = None,
    past_steps: int = 48,
    theme: str = "light",
    words: Wording = ENGLISH,
) -> go.Figure:
    """Mean of the readings and of the median forecasts of a group, each over the range from its lowest to its highest sensor.

    The bands of single sensors say nothing of the mean of several, for their errors go together; so none is drawn.

    Args:
        series: readings of the forecast's network. forecast: H steps of N sensors. nodes: K of them, K > 0.
        step: chosen step, marked. past_steps: readings before the forecast. theme: "light" or "dark". words: what it says.

    Raises:
        ValueError: no node.
    """
    if not len(nodes):
        raise ValueError("A group needs at least one sensor.")
    colours, chosen = theme_of(theme), np.asarray(nodes)
    cutoff = int(np.searchsorted(series.times, forecast.times[0]))
    start = max(cutoff - past_steps, 0)
    clock = to_local(forecast.times, forecast.timezone)
    known = series.values[cutoff : cutoff + len(clock), chosen]
    figure = go.Figure()
    parts = (
        (words.past, series.local_times[start:cutoff], series.values[start:cutoff, chosen], colours.text, None),
        (words.came, clock[: len(known)], known, colours.text, "dot"),
        (words.medians.format(name=plain(forecast.name)), clock, forecast.median[:, chosen], colours.accent, None),
    )
    for name, times, values, colour, dash in parts:
        if not np.isfinite(values).any():
            continue
        mean, low, high = group_range(values)
        x, y = outline(times, low, high)
        look = {"fill": "toself", "mode": "lines", "line_width": 0, "fillcolor": with_alpha(colour, 0.12), "hoverinfo": "skip"}
        figure.add_scatter(x=x, y=y, name=words.range_line.format(name=name), showlegend=False, **look)
        line = {"color": colour, "width": 2, "dash": dash}
        hover = f"{words.mean} %{{y:,.4~g}} {plain(forecast.unit)}".rstrip()
        figure.add_scatter(
            x=times,
            y=mean,
            name=words.mean_line.format(name=name),
            line=line,
            mode="lines+markers",
            marker_size=4,
            hovertemplate=hover,
        )
    mark_times(figure, series, forecast, clock, step, colours.muted, colours.ring, words)
    zone = words.zone(forecast.timezone)
    style(figure, theme, "", zone, with_unit(forecast.quantity, forecast.unit))
    figure.update_layout(hovermode="x unified", clickmode="event+select")
    return figure


def group_range(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, lowest and highest (T,) of the sensors that are known at each step.

    Args:
        values: (T, K) NaN = missing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step at which all are missing stays missing
        values = np.asarray(values, "f8")
        return np.nanmean(values, axis=1), np.nanmin(values, axis=1), np.nanmax(values, axis=1)
