"""The Forecast page: map, time plot and table of one forecast, linked by the sensor and the step in view."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts.figures import lines
from stvlm.charts.figures import lines as group_lines
from stvlm.charts.maps import player, sensor_map
from stvlm.charts.maps.sensor_map import MapView
from stvlm.core.alarms import AlarmRule
from stvlm.core.forecast import Forecast
from stvlm.core.series import to_local
from stvlm.core.windows import Window
from stvlm.ui.forecast import alarms as alarming
from stvlm.ui.forecast import downloads, location, tables
from stvlm.ui.services import forecasters
from stvlm.ui.shell import inputs, layout, render, view_state
from stvlm.ui.shell.i18n import format_number, format_short, format_times, t
from stvlm.ui.shell.render import wording

MAPS = ("forecast", "play", "off", "alarm")


def linked_views(choice: forecasters.Choice, window: Window, forecast: Forecast, rivals: tuple[Forecast, ...]) -> None:
    """Map, plot, tables and downloads of a forecast.

    Args:
        choice: who made the forecast. window: what was forecast from; its future is the truth where it is known.
        forecast: of the model. rivals: of simple methods.
    """
    _linked(choice, window, forecast, rivals)
    downloads.downloads(forecast)  # outside, for a download that is under way ends when its button is drawn again


@st.fragment
def _linked(choice: forecasters.Choice, window: Window, forecast: Forecast, rivals: tuple[Forecast, ...]) -> None:
    """Map, plot and table; a click in one moves all, and only this part of the page is drawn again."""
    network, truth, rule = forecast.network, forecasters.truth(window), alarming.rule(forecast)
    manifest = forecasters.manifest(choice, window.series)
    left, right = st.columns(2)
    with left:
        kind = _pick_map()
        step = _pick_step(forecast)
    with right:
        sensor = inputs.pick_sensor(network, t("forecast.sensor"))
        shown = _pick_rivals(rivals)
    group, place = inputs.chosen(network), location.chosen()
    with left:
        _map(kind, forecast, truth, rule, step, sensor, place)
    with right:
        if place:
            location.plot(choice, window, forecast, place, step)
        elif group:
            _group_plot(window, forecast, group, step)
        else:
            _plot(window, forecast, shown, step, sensor)
    _tables(window, forecast, rivals, shown, step, sensor, group, rule)
    downloads.take_along(
        downloads.Shown(choice, manifest, window, forecast, rivals, shown, sensor, step, view_state.data_id(), rule)
    )


def about(choice: forecasters.Choice, window: Window, forecast: Forecast) -> None:
    """Who made the forecast, and what its bands held where they could be checked."""
    manifest = forecasters.manifest(choice, window.series)
    held = tables.band_sentences(manifest.get("scores", {}))
    here = tables.held_here(forecast, forecasters.truth(window))
    st.caption(f"{t('forecast.made_by', name=inputs.plain(choice.label))} {tables.belief_sentence(manifest)}")
    if held or here:
        st.caption(inputs.plain(t("forecast.measured", held="; ".join((*held, *here)))))


def _pick_map() -> str:
    """Choose what the map shows."""
    return view_state.segmented_control(
        "show", t("forecast.map"), MAPS, lambda kind: t(f"forecast.map_{kind}"), wrap=True, help=t("forecast.map_help")
    )


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
    theme, here = layout.theme(), _in_words(forecast, truth, step, sensor)
    if kind == "off" and not np.isfinite(truth).any():
        st.info(t("forecast.nothing_came_map"))
        return
    view: MapView
    if kind == "play":
        view = player.player_map(forecast, theme, step, measured=truth, words=wording())
        render.show_map(view, forecast.network, "player", f"{t('forecast.alt_play')} {here}", height=400)
        return
    if kind == "off":
        view = sensor_map.residual_map(forecast, truth, step, theme, sensor, wording())
        alt = f"{t('forecast.alt_off', when=when)} {here}"
    elif kind == "alarm":
        view = sensor_map.alarm_map(forecast, rule, step, theme, sensor, wording())
        alt = t("forecast.alt_alarm", rule=alarming.in_words(rule, forecast.unit), when=when)
    else:
        view = sensor_map.forecast_map(forecast, step, theme, sensor, words=wording())
        alt = f"{t('forecast.alt_map', quantity=forecast.quantity, when=when)} {here}"
    if place:
        view = sensor_map.with_place(view, *place, theme)
    alt += " " + t("forecast.alt_place")
    view = sensor_map.with_lasso(view, theme, wording())
    render.show_map(view, forecast.network, "forecast", alt, height=400, on_place=location.choose)


def _plot(window: Window, forecast: Forecast, shown: tuple[Forecast, ...], step: int, sensor: int) -> None:
    network = forecast.network
    look = {"step": step, "past_steps": downloads.past_steps(window), "theme": layout.theme(), "words": wording()}
    figure = lines.forecast_lines(window.series, forecast, sensor, baselines=shown, **look)
    figure.update_layout(title_text="")  # the sensor stands in the box above
    alt = t("forecast.alt_plot", name=inputs.sensor_label(network, sensor))
    render.plot(figure, "lines", alt, on_click=lambda point: _take_time(point, forecast))


def _group_plot(window: Window, forecast: Forecast, group: tuple[int, ...], step: int) -> None:
    past, theme = downloads.past_steps(window), layout.theme()
    figure = group_lines.group_lines(window.series, forecast, group, step, past, theme, wording())
    render.plot(figure, "group", t("forecast.alt_group", n=len(group)), on_click=lambda p: _take_time(p, forecast))
    st.caption(t("forecast.group", n=format_number(len(group), 0)))
    inputs.clear_button(group)


def _take_time(point: dict, forecast: Forecast) -> None:
    """A click on a point of the plot chooses its step, where it is one of the forecast."""
    try:
        when = np.datetime64(pd.Timestamp(str(point.get("x"))), "s")
    except ValueError:
        return
    found = np.flatnonzero(to_local(forecast.times, forecast.timezone) == when)
    if found.size:
        view_state.set_param("step", str(int(found[0]) + 1))


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
    name = inputs.plain(inputs.sensor_label(network, sensor))
    some = t("forecast.some_sensors", n=len(group)) if group else t("forecast.all_sensors")
    tabs = [t("forecast.all_steps", name=name), f"{some}, {when}", t("forecast.alarms"), t("forecast.errors")]
    one, every, alarms, errors = st.tabs(tabs)
    with one:
        alt = t("forecast.alt_one", n=len(forecast.times))
        inputs.table(tables.one_sensor(window, forecast, shown, sensor), alt, decimals=tables.decimals(forecast))
    with every:
        nodes = list(group) or list(range(network.n_sensors))
        alt = t("forecast.alt_every", n=len(nodes), when=when)
        rows = tables.one_step(window, forecast, step).iloc[nodes]
        render.sensor_table(rows, network, f"every-{inputs.pack(group)}", alt, decimals=tables.decimals(forecast), nodes=nodes)
    with alarms:
        alarming.ask(forecast, rule)
        alarming.listed(forecast, rule)
    with errors:
        table = tables.scores_table(forecast, rivals, forecasters.truth(window))
        if table.empty:
            st.info(t("forecast.nothing_came"))
        else:
            inputs.table(table, t("forecast.alt_errors"), decimals=tables.decimals(forecast) + 1)
            st.caption(t("forecast.one_window"))


def _pick_step(forecast: Forecast) -> int:
    """Choose a step of the horizon by its time; the URL has it as 1 .. H."""
    times = format_times(forecast.times, forecast.timezone)
    options = [str(step + 1) for step in range(len(times))]
    step = view_state.param_in("step", options, options[0])
    if len(options) == 1:
        st.text(t("forecast.only_step", time=times[0]))
        return 0
    key = view_state.bind("step", step)
    st.select_slider(
        f"{t('common.step')} ({forecast.timezone})" if forecast.timezone else t("common.step"),
        options,
        key=key,
        format_func=lambda s: t("common.step_option", time=times[int(s) - 1], step=s),
        on_change=view_state.sync_to_url("step", key, options),
    )
    return int(step) - 1


def _pick_rivals(rivals: tuple[Forecast, ...]) -> tuple[Forecast, ...]:
    """Which simple methods to draw beside the forecast."""
    if not rivals:
        return ()
    names = [r.name for r in rivals]
    shown = st.pills(t("forecast.rivals"), names, selection_mode="multi", key="rivals", persist_state="session", wrap=True)
    return tuple(r for r in rivals if r.name in shown)


def _in_words(forecast: Forecast, truth: np.ndarray, step: int, sensor: int) -> str:
    value, came = forecast.median[step, sensor], truth[step, sensor]
    name = inputs.sensor_label(forecast.network, sensor)
    if not np.isfinite(value):
        return t("forecast.no_value", name=name)
    measured = t("forecast.and_measured", value=format_short(came, 4)) if np.isfinite(came) else ""
    return f"{name}: {format_short(value, 4)}{measured} {forecast.unit}."
