"""The Forecast page: map, time plot and table of one forecast, linked by the sensor and the step in view."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import group_lines, lasso, lines, maps, outcome, player
from stvlm.charts.maps import MapView
from stvlm.charts.scale import format_times
from stvlm.data.alarms import AlarmRule
from stvlm.data.forecast import Forecast
from stvlm.data.series import to_local
from stvlm.data.windows import Window
from stvlm.ui import alarming, exporting, forecast_tables, frame, grouping, judging, models, placing, session, show, widgets

MAPS = {
    "forecast": "Forecast",
    "play": "Play",
    "off": "Off by",
    "alarm": "Alarm",
}


@st.fragment
def linked_views(choice: models.Choice, window: Window, forecast: Forecast, rivals: tuple[Forecast, ...]) -> None:
    """Map, plot and table; a click in one moves all, and only this part of the page is drawn again.

    Args:
        choice: who made the forecast. window: what was forecast from; its future is the truth where it is known.
        forecast: of the model. rivals: of simple methods.
    """
    network, truth, rule = forecast.network, models.truth(window), alarming.rule(forecast)
    manifest = models.manifest(choice, window.series)
    left, right = st.columns(2)
    with left:
        kind = _pick_map()
        step = _pick_step(forecast)
    with right:
        sensor = widgets.pick_sensor(network, "Sensor (or click one on the map or in the table)")
        shown = _pick_rivals(rivals)
    group, place = grouping.chosen(network), placing.chosen()
    with left:
        _map(kind, forecast, truth, rule, step, sensor, place)
    with right:
        if place:
            placing.plot(choice, window, forecast, place, step)
        elif group:
            _group_plot(window, forecast, group, step)
        else:
            _plot(window, forecast, shown, step, sensor)
    _tables(window, forecast, rivals, shown, step, sensor, group, rule)
    exporting.downloads(exporting.Shown(choice, manifest, window, forecast, rivals, shown, sensor, step, session.data_id(), rule))


def about(choice: models.Choice, window: Window, forecast: Forecast) -> None:
    """Who made the forecast, and what its bands held where they could be checked."""
    held = judging.band_sentences(models.manifest(choice, window.series).get("scores", {}))
    here = judging.held_here(forecast, models.truth(window))
    st.caption(f"Made by {widgets.plain(choice.label)}.")
    if held or here:
        st.caption(widgets.plain(f"Measured: {'; '.join((*held, *here))}."))


def _pick_map() -> str:
    """Choose what the map shows."""
    what = "the median forecast; the same played over time; forecast minus measured; the chance of an alarm"
    return session.segmented("show", "The map shows", tuple(MAPS), MAPS.get, wrap=True, help=what)


def _map(
    kind: str,
    forecast: Forecast,
    truth: np.ndarray,
    rule: AlarmRule,
    step: int,
    sensor: int,
    place: tuple[float, float] | None,
) -> None:
    """The map of the chosen kind, with a lasso on it; a click beside the sensors asks for a forecast there."""
    when = format_times(forecast.times, forecast.timezone)[step]
    theme, words = frame.theme(), _in_words(forecast, truth, step, sensor)
    if kind == "off" and not np.isfinite(truth).any():
        st.info("Nothing has been measured yet for these times. Choose an earlier moment above, and the map shows what came of it.")
        return
    view: MapView
    if kind == "play":
        view, alt = player.player_map(forecast, theme, step, measured=truth), f"Map that plays the forecast over time; {words}"
        show.show_map(view, forecast.network, "player", alt, height=400)
        return
    if kind == "off":
        view, alt = outcome.residual_map(forecast, truth, step, theme, sensor), f"Map: forecast minus measured, {when}; {words}"
    elif kind == "alarm":
        view, alt = outcome.alarm_map(forecast, rule, step, theme, sensor), f"Map: chance of a reading {rule.words(forecast.unit)}"
        alt = f"{alt}, {when}; a dashed halo marks each alarm. The tab Alarms has the rule and the list."
    else:
        view, alt = (
            maps.forecast_map(forecast, step, theme, sensor),
            f"Map: median forecast of {forecast.quantity}, {when}; {words}",
        )
    if place:
        view = maps.with_place(view, *place, theme)
    alt += " Click between the sensors for a forecast there."
    show.show_map(lasso.with_lasso(view, theme), forecast.network, "forecast", alt, height=400, on_place=placing.choose)


def _plot(window: Window, forecast: Forecast, shown: tuple[Forecast, ...], step: int, sensor: int) -> None:
    network = forecast.network
    figure = lines.forecast_lines(
        window.series, forecast, sensor, baselines=shown, step=step, past_steps=exporting.past_steps(window), theme=frame.theme()
    )
    figure.update_layout(title_text="")  # the sensor stands in the box above
    alt = f"Forecast of {widgets.sensor_label(network, sensor)} with bands; the table below has its numbers."
    show.plot(figure, "lines", alt, on_click=lambda point: _take_time(point, forecast))


def _group_plot(window: Window, forecast: Forecast, group: tuple[int, ...], step: int) -> None:
    figure = group_lines.group_lines(window.series, forecast, group, step, exporting.past_steps(window), frame.theme())
    show.plot(figure, "group", f"Mean, lowest and highest of {len(group)} sensors.", on_click=lambda p: _take_time(p, forecast))
    st.caption(f"Mean of the {len(group)} chosen sensors, on the range from their lowest to their highest.")
    grouping.clear_button(group)


def _take_time(point: dict, forecast: Forecast) -> None:
    """A click on a point of the plot chooses its step, where it is one of the forecast."""
    try:
        when = np.datetime64(pd.Timestamp(str(point.get("x"))), "s")
    except ValueError:
        return
    found = np.flatnonzero(to_local(forecast.times, forecast.timezone) == when)
    if found.size:
        session.put("step", str(int(found[0]) + 1))


def _tables(
    window: Window,
    forecast: Forecast,
    rivals: tuple[Forecast, ...],
    shown: tuple[Forecast, ...],
    step: int,
    sensor: int,
    group: tuple[int, ...],
    rule: AlarmRule,
) -> None:
    """The numbers: one sensor, one step, alarms, errors."""
    network, when = forecast.network, format_times(forecast.times, forecast.timezone)[step]
    name = widgets.plain(widgets.sensor_label(network, sensor))
    some = f"{len(group)} sensors" if group else "All sensors"
    one, every, alarms, errors = st.tabs([f"{name}, all steps", f"{some}, {when}", "Alarms", "Errors"])
    with one:
        alt = f"The forecast of one sensor, {len(forecast.times)} rows."
        widgets.table(forecast_tables.one_sensor(window, forecast, shown, sensor), alt, decimals=forecast_tables.decimals(forecast))
    with every:
        nodes = list(group) or list(range(network.n_sensors))
        alt = f"The forecast of {len(nodes)} sensors for {when}; a click on a row chooses the sensor, several rows a group."
        rows = forecast_tables.one_step(window, forecast, step).iloc[nodes]
        show.sensor_table(
            rows, network, f"every-{grouping.pack(group)}", alt, decimals=forecast_tables.decimals(forecast), nodes=nodes
        )
    with alarms:
        alarming.ask(forecast, rule)
        alarming.listed(forecast, rule)
    with errors:
        table = judging.scores_table(forecast, rivals, models.truth(window))
        if table.empty:
            st.info("Nothing has been measured yet for these times, so there is no error to show.")
        else:
            widgets.table(
                table, "Errors of this forecast and of the simple methods.", decimals=forecast_tables.decimals(forecast) + 1
            )
            st.caption("Of this one window. The Compare page has whole test parts.")


def _pick_step(forecast: Forecast) -> int:
    """Choose a step of the horizon by its time; the URL has it as 1 .. H."""
    times = format_times(forecast.times, forecast.timezone)
    options = [str(step + 1) for step in range(len(times))]
    step = session.chosen("step", options, options[0])
    if len(options) == 1:
        st.text(f"Step: {times[0]}")
        return 0
    key = session.tied("step", step)
    st.select_slider(
        f"Step of the forecast ({forecast.timezone})" if forecast.timezone else "Step of the forecast",
        options,
        key=key,
        format_func=lambda s: f"{times[int(s) - 1]} (step {s})",
        on_change=session.taken,
        args=("step", key, str),
    )
    return int(step) - 1


def _pick_rivals(rivals: tuple[Forecast, ...]) -> tuple[Forecast, ...]:
    """Which simple methods to draw beside the forecast."""
    if not rivals:
        return ()
    names = [r.name for r in rivals]
    shown = st.pills("Simple methods beside it", names, selection_mode="multi", key="rivals", persist_state="session", wrap=True)
    return tuple(r for r in rivals if r.name in shown)


def _in_words(forecast: Forecast, truth: np.ndarray, step: int, sensor: int) -> str:
    value, came = forecast.median[step, sensor], truth[step, sensor]
    name = widgets.sensor_label(forecast.network, sensor)
    measured = f", measured {came:.4g}" if np.isfinite(came) else ""
    return f"{name}: {value:.4g}{measured} {forecast.unit}." if np.isfinite(value) else f"{name}: no forecast."
