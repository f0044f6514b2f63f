"""A forecast as one HTML file that opens with no network: map, plot, tables, scores, fusion, prompt, how to repeat it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stvlm.charts.export.canvas import scene_svg
from stvlm.charts.export.static import lines_scene, map_scene
from stvlm.charts.figures.fusion import prompt_html
from stvlm.charts.scale import fit_scale, format_times, format_value, with_unit
from stvlm.charts.style import MODALITY_COLOURS, browser_file, theme_of
from stvlm.core.escape import html as escape
from stvlm.core.escape import script
from stvlm.core.forecast import MODALITIES, Forecast, FusionExplanation
from stvlm.core.series import SensorSeries

MOST_CELLS = 300_000  # steps x sensors that the map of a report can step through; larger forecasts show one step
MOST_ROWS = 1000  # of a table
COLOURS = 64  # of the map's scale

STYLE = browser_file("report.css")

SCRIPT = browser_file("report.js")


@dataclass(frozen=True, eq=False)
class Report:
    """What a report tells.

    Attributes:
        title: of the network, as its owner wrote it. maker: who made the forecast, in words.
        forecast, sensor, step: what is shown, the node in view, the step that the map opens with (0 .. H - 1).
        series: readings, for the past and the truth; None leaves them out. rivals: simple methods beside it.
        held: sentences on what the bands held. tables: heading -> rows, in this order.
        explanation: what the forecast drew on; None where there is no fusion to explain. fusion_note: what to know of it.
        prompt: its text, "" for none.
        settings: name and value. commands: lines that make the forecast again.
        past_steps: readings before the forecast in the plot.
    """

    title: str
    maker: str
    forecast: Forecast
    sensor: int
    step: int
    series: SensorSeries | None = None
    rivals: Sequence[Forecast] = ()
    held: Sequence[str] = ()
    tables: Sequence[tuple[str, pd.DataFrame]] = ()
    explanation: FusionExplanation | None = None
    fusion_note: str = ""
    prompt: str = ""
    settings: Sequence[tuple[str, str]] = ()
    commands: Sequence[str] = ()
    past_steps: int = 48


def report_html(report: Report) -> str:
    """The whole page. It asks no host for anything, and its own policy forbids it to; every text of the data is escaped.

    Args:
        report: what it tells.
    """
    forecast = report.forecast
    steps = format_times(forecast.times, forecast.timezone)
    what = with_unit(forecast.quantity, forecast.unit)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    zone = f", local time ({forecast.timezone})" if forecast.timezone else ""
    can_step = len(steps) > 1 and len(steps) * forecast.network.n_sensors <= MOST_CELLS
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">',
        f'<meta name="viewport" content="width=device-width"><title>{escape(report.title)}: {escape(what)}</title>',
        f"<style>{STYLE}</style></head><body><main>",
        f"<h1>{escape(report.title)}: {escape(what)}</h1>",
        f"<p>{len(steps)} steps of {forecast.network.n_sensors} sensors, {escape(steps[0])} to {escape(steps[-1])}{escape(zone)}. "
        f"Made by {escape(report.maker)}.</p>",
        _map(report, steps, can_step),
        _plot(report),
        _list("What the bands held", report.held),
        *(_table(heading, table) for heading, table in report.tables),
        _fusion(report),
        _prompt(report),
        _settings(report.settings),
        _commands(report.commands),
        "</main>",
        f'<script id="steps" type="application/json">{_payload(report, steps)}</script><script>{SCRIPT}</script>'
        if can_step
        else "",
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part)


def _map(report: Report, steps: list[str], can_step: bool) -> str:
    forecast = report.forecast
    scale = fit_scale(forecast.median)
    label = f"{forecast.quantity}, median forecast"
    scene = map_scene(
        forecast.network, forecast.median[report.step], scale, label, forecast.unit, steps[report.step], selected=report.sensor
    )
    control = (
        '<div class="step"><button id="play" type="button">Play</button><input id="step" type="range" min="0" '
        f'max="{len(steps) - 1}" value="{report.step}" aria-label="step of the forecast"><output id="said">'
        f"{escape(steps[report.step])}</output></div>"
        if can_step
        else ""
    )
    name = forecast.network.name(report.sensor)
    value = format_value(float(forecast.median[report.step, report.sensor]), scale.decimals, forecast.unit)
    words = f"{name}, marked by the ring: {value} at {steps[report.step]}. The tables below have the numbers."
    return f'<h2>Map</h2><div id="map">{scene_svg(scene)}</div>{control}<p class="quiet">{escape(words)}</p>'


def _plot(report: Report) -> str:
    scene = lines_scene(report.series, report.forecast, report.sensor, report.rivals, report.step, report.past_steps)
    return f"<h2>Over time: {escape(report.forecast.network.name(report.sensor))}</h2>{scene_svg(scene)}"


def _payload(report: Report, steps: list[str]) -> str:
    """The steps of the map as JSON that cannot end the element around it."""
    forecast = report.forecast
    scale = fit_scale(forecast.median)
    position = scale.position(forecast.median)  # (H, N)
    place = np.where(np.isfinite(position), np.nan_to_num(position * (COLOURS - 1)).round(), -1).astype(int)
    theme = theme_of("light")
    data = {
        "colour": place.tolist(),
        "colours": scale.hex(np.linspace(scale.low, scale.high, COLOURS)),
        "edge": theme.outline,
        "missing": theme.missing,
        "names": [forecast.network.name(node) for node in range(forecast.network.n_sensors)],
        "text": [[format_value(float(x), scale.decimals, forecast.unit) for x in row] for row in forecast.median],
        "times": steps,
    }
    return script(data)


def _list(heading: str, sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<h2>{escape(heading)}</h2><ul>{items}</ul>" if items else ""


def _table(heading: str, table: pd.DataFrame) -> str:
    numbers = [pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]
    kinds = [' class="number"' if number else "" for number in numbers]
    decimals = [_decimals(table.iloc[:, place]) if number else 0 for place, number in enumerate(numbers)]
    head = "".join(f"<th{kind}>{escape(str(name))}</th>" for kind, name in zip(kinds, table.columns, strict=True))
    rows = "".join(
        "<tr>" + "".join(f"<td{k}>{_cell(cell, d)}</td>" for k, cell, d in zip(kinds, row, decimals, strict=True)) + "</tr>"
        for row in table.head(MOST_ROWS).itertuples(index=False, name=None)
    )
    cut = f'<p class="quiet">The first {MOST_ROWS} of {len(table)} rows.</p>' if len(table) > MOST_ROWS else ""
    body = f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    return f"<h2>{escape(heading)}</h2>{body if len(table) else '<p>None.</p>'}{cut}"


def _decimals(column: pd.Series) -> int:
    return 0 if pd.api.types.is_integer_dtype(column.dtype) else fit_scale(column.to_numpy("f8")).decimals


def _cell(cell: object, decimals: int) -> str:
    if isinstance(cell, float | np.floating):
        return f"{cell:,.{decimals}f}" if np.isfinite(cell) else ""
    return "" if cell is None else escape(str(cell))


def _fusion(report: Report) -> str:
    """Shares of the modalities for the sensor in view and in the mean, and what deleting each changes."""
    found = report.explanation
    if found is None:
        return ""
    mine, mean = found.modality_weights[report.sensor], found.modality_weights.mean(axis=0)
    rows = ""
    for place, name in enumerate(MODALITIES):
        bar = f'<span class="bar" style="width:{120 * mine[place]:.0f}px;background:{MODALITY_COLOURS[name]}"></span>'
        change = found.deletion.get(name)
        moved = "" if change is None else f"{np.nanmean(np.abs(change[:, report.sensor])):.3g} {escape(found.unit)}".rstrip()
        rows += (
            f'<tr><td>{name}</td><td>{bar}{100 * mine[place]:.1f} %</td><td class="number">{100 * mean[place]:.1f} %</td>'
            f'<td class="number">{moved}</td></tr>'
        )
    head = "<th>Modality</th><th>Share, this sensor</th><th>Share, mean of all</th><th>Forecast moves without it by</th>"
    note = (
        "Shares say where the model looked, not that it needed what it saw there. The last column is measured: the forecast was "
        "made again without that modality."
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    words = escape(f"{report.fusion_note} {note}".strip())
    return f'<h2>What the forecast drew on</h2>{table}<p class="quiet">{words}</p>'


def _prompt(report: Report) -> str:
    if not report.prompt:
        return ""
    found = report.explanation
    if found is not None and found.tokens:
        return f"<h2>The prompt, shaded by attention</h2>{prompt_html(found.tokens, found.text_attention[report.sensor])}"
    return f"<h2>The prompt</h2><pre>{escape(report.prompt)}</pre>"


def _settings(settings: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in settings)
    return f"<h2>Settings</h2><table><tbody>{rows}</tbody></table>" if rows else ""


def _commands(commands: Sequence[str]) -> str:
    return f"<h2>How to repeat it</h2><pre>{escape(chr(10).join(commands))}</pre>" if commands else ""
