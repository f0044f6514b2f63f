"""The Forecast page: map, time plot and table of one forecast, linked by the sensor and the step in view."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import group_lines, lasso, lines, maps, outcome, player
from stvlm.charts.maps import MapView
from stvlm.data.alarms import AlarmRule
from stvlm.data.forecast import Forecast
from stvlm.data.series import to_local
from stvlm.data.windows import Window
from stvlm.ui import alarming, exporting, forecast_tables, frame, grouping, judging, models, placing, session, show, widgets
from stvlm.ui.show import wording
from stvlm.ui.words import brief, moments, number, say

MAPS = ("forecast", "play", "off", "alarm")


def linked_views(choice: models.Choice, window: Window, forecast: Forecast, rivals: tuple[Forecast, ...]) -> None:
    """Map, plot, tables and downloads of a forecast.

    Args:
        choice: who made the forecast. window: what was forecast from; its future is the truth where it is known.
        forecast: of the model. rivals: of simple methods.
    """
    _linked(choice, window, forecast, rivals)
    exporting.downloads(forecast)  # outside, for a download that is under way ends when its button is drawn again


@st.fragment
def _linked(choice: models.Choice, window: Window, forecast: Forecast, rivals: tuple[Forecast, ...]) -> None:
    """Map, plot and table; a click in one moves all, and only this part of the page is drawn again."""
    network, truth, rule = forecast.network, models.truth(window), alarming.rule(forecast)
    manifest = models.manifest(choice, window.series)
    left, right = st.columns(2)
    with left:
        kind = _pick_map()
        step = _pick_step(forecast)
    with right:
        sensor = widgets.pick_sensor(network, say("forecast.sensor"))
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
    exporting.take_along(exporting.Shown(choice, manifest, window, forecast, rivals, shown, sensor, step, session.data_id(), rule))


def about(choice: models.Choice, window: Window, forecast: Forecast) -> None:
    """Who made the forecast, and what its bands held where they could be checked."""
    manifest = models.manifest(choice, window.series)
    held = judging.band_sentences(manifest.get("scores", {}))
    here = judging.held_here(forecast, models.truth(window))
    st.caption(f"{say('forecast.made_by', name=widgets.plain(choice.label))} {judging.belief_sentence(manifest)}")
    if held or here:
        st.caption(widgets.plain(say("forecast.measured", held="; ".join((*held, *here)))))


def _pick_map() -> str:
    """Choose what the map shows."""
    return session.segmented(
        "show", say("forecast.map"), MAPS, lambda kind: say(f"forecast.map_{kind}"), wrap=True, help=say("forecast.map_help")
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
    when = moments(forecast.times, forecast.timezone)[step]
    theme, here = frame.theme(), _in_words(forecast, truth, step, sensor)
    if kind == "off" and not np.isfinite(truth).any():
        st.info(say("forecast.nothing_came_map"))
        return
    view: MapView
    if kind == "play":
        view = player.player_map(forecast, theme, step, measured=truth, words=wording())
        show.show_map(view, forecast.network, "player", f"{say('forecast.alt_play')} {here}", height=400)
        return
    if kind == "off":
        view = outcome.residual_map(forecast, truth, step, theme, sensor, wording())
        alt = f"{say('forecast.alt_off', when=when)} {here}"
    elif kind == "alarm":
        view = outcome.alarm_map(forecast, rule, step, theme, sensor, wording())
        alt = say("forecast.alt_alarm", rule=alarming.in_words(rule, forecast.unit), when=when)
    else:
        view = maps.forecast_map(forecast, step, theme, sensor, words=wording())
        alt = f"{say('forecast.alt_map', quantity=forecast.quantity, when=when)} {here}"
    if place:
        view = maps.with_place(view, *place, theme)
    alt += " " + say("forecast.alt_place")
    view = lasso.with_lasso(view, theme, wording())
    show.show_map(view, forecast.network, "forecast", alt, height=400, on_place=placing.choose)


def _plot(window: Window, forecast: Forecast, shown: tuple[Forecast, ...], step: int, sensor: int) -> None:
    network = forecast.network
    look = {"step": step, "past_steps": exporting.past_steps(window), "theme": frame.theme(), "words": wording()}
    figure = lines.forecast_lines(window.series, forecast, sensor, baselines=shown, **look)
    figure.update_layout(title_text="")  # the sensor stands in the box above
    alt = say("forecast.alt_plot", name=widgets.sensor_label(network, sensor))
    show.plot(figure, "lines", alt, on_click=lambda point: _take_time(point, forecast))


def _group_plot(window: Window, forecast: Forecast, group: tuple[int, ...], step: int) -> None:
    past, theme = exporting.past_steps(window), frame.theme()
    figure = group_lines.group_lines(window.series, forecast, group, step, past, theme, wording())
    show.plot(figure, "group", say("forecast.alt_group", n=len(group)), on_click=lambda p: _take_time(p, forecast))
    st.caption(say("forecast.group", n=number(len(group), 0)))
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
    network, when = forecast.network, moments(forecast.times, forecast.timezone)[step]
    name = widgets.plain(widgets.sensor_label(network, sensor))
    some = say("forecast.some_sensors", n=len(group)) if group else say("forecast.all_sensors")
    tabs = [say("forecast.all_steps", name=name), f"{some}, {when}", say("forecast.alarms"), say("forecast.errors")]
    one, every, alarms, errors = st.tabs(tabs)
    with one:
        alt = say("forecast.alt_one", n=len(forecast.times))
        widgets.table(forecast_tables.one_sensor(window, forecast, shown, sensor), alt, decimals=forecast_tables.decimals(forecast))
    with every:
        nodes = list(group) or list(range(network.n_sensors))
        alt = say("forecast.alt_every", n=len(nodes), when=when)
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
            st.info(say("forecast.nothing_came"))
        else:
            widgets.table(table, say("forecast.alt_errors"), decimals=forecast_tables.decimals(forecast) + 1)
            st.caption(say("forecast.one_window"))


def _pick_step(forecast: Forecast) -> int:
    """Choose a step of the horizon by its time; the URL has it as 1 .. H."""
    times = moments(forecast.times, forecast.timezone)
    options = [str(step + 1) for step in range(len(times))]
    step = session.chosen("step", options, options[0])
    if len(options) == 1:
        st.text(say("forecast.only_step", time=times[0]))
        return 0
    key = session.tied("step", step)
    st.select_slider(
        f"{say('common.step')} ({forecast.timezone})" if forecast.timezone else say("common.step"),
        options,
        key=key,
        format_func=lambda s: say("common.step_option", time=times[int(s) - 1], step=s),
        on_change=session.taken,
        args=("step", key, str),
    )
    return int(step) - 1


def _pick_rivals(rivals: tuple[Forecast, ...]) -> tuple[Forecast, ...]:
    """Which simple methods to draw beside the forecast."""
    if not rivals:
        return ()
    names = [r.name for r in rivals]
    shown = st.pills(say("forecast.rivals"), names, selection_mode="multi", key="rivals", persist_state="session", wrap=True)
    return tuple(r for r in rivals if r.name in shown)


def _in_words(forecast: Forecast, truth: np.ndarray, step: int, sensor: int) -> str:
    value, came = forecast.median[step, sensor], truth[step, sensor]
    name = widgets.sensor_label(forecast.network, sensor)
    if not np.isfinite(value):
        return say("forecast.no_value", name=name)
    measured = say("forecast.and_measured", value=brief(came, 4)) if np.isfinite(came) else ""
    return f"{name}: {brief(value, 4)}{measured} {forecast.unit}."
