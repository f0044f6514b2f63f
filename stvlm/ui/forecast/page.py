"""The Forecast page: map, time plot and table of one forecast, linked by the sensor and the step in view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts.figures import lines
from stvlm.charts.figures import lines as group_lines
from stvlm.charts.maps import player, sensor_map
from stvlm.charts.maps.sensor_map import MapView
from stvlm.charts.scale import fit_scale, with_unit
from stvlm.core.alarms import AlarmRule
from stvlm.core.forecast import Forecast
from stvlm.core.series import to_local
from stvlm.core.windows import Window
from stvlm.evaluation.metrics import mae, rmse
from stvlm.ui.forecast import alarms as alarming
from stvlm.ui.forecast import downloads, location
from stvlm.ui.services import forecasters
from stvlm.ui.shell import inputs, layout, render, view_state
from stvlm.ui.shell.i18n import format_number, format_short, format_times, language, t
from stvlm.ui.shell.render import wording

# How good a forecast is: what its bands held where it was measured, and this one against what came.

PARTS = ("test", "val")


def belief_sentence(manifest: dict) -> str:
    """How far a network that was trained on other networks is believed on this one; "" for a model of another kind."""
    gate = manifest.get("believed") or {}
    if not gate.get("mae"):
        return ""
    trained = t("forecast.trained_here_too" if gate.get("is_known") else "forecast.trained_elsewhere")
    if not gate["shrinkage"]:
        return f"{trained} {t('forecast.not_believed')}"
    gain = 100 * (1 - gate["mae"] / gate["anchor_mae"])
    return f"{trained} {t('forecast.believed', gain=format_number(gain, 1), share=format_number(100 * gate['shrinkage'], 0))}"


def band_sentences(scores: dict[str, float]) -> tuple[str, ...]:
    """What the bands held where it was measured: "of 12,345 readings of the test part the 80 % band held 79 %".

    Args:
        scores: of the model's manifest: test_coverage_80, test_cells ...
    """
    found = []
    for part in PARTS:
        cells, shares = scores.get(f"{part}_cells"), [s for s in (50, 80, 95) if scores.get(f"{part}_coverage_{s}") is not None]
        held = [_held(share, 100 * scores[f"{part}_coverage_{share}"]) for share in shares]
        if held:
            of = t(f"forecast.of_{part}", n=format_number(cells, 0)) if cells else t(f"forecast.on_{part}")
            found.append(f"{of} {', '.join(held)}")
    return tuple(found)


def held_here(forecast: Forecast, truth: np.ndarray) -> tuple[str, ...]:
    """How many of the readings that came lie in the bands of this one forecast; () where none came.

    Args:
        forecast: H steps of N sensors. truth: (H, N) NaN where unknown.
    """
    known = np.isfinite(truth) & np.isfinite(forecast.median)
    if not known.any():
        return ()
    held = []
    for share in forecast.shares:
        low, high = forecast.band(share)
        inside = int(((low <= truth) & (truth <= high) & known).sum())
        held.append(_held(100 * share, 100 * inside / known.sum()))
    return (f"{t('forecast.of_met', n=format_number(known.sum(), 0))} {', '.join(held)}",) if held else ()


def _held(share: float, found: float) -> str:
    return t("forecast.held", share=format_short(share), found=format_number(found, 0))


def scores_table(forecast: Forecast, rivals: tuple[Forecast, ...], truth: np.ndarray) -> pd.DataFrame:
    """Errors of this one forecast and of the simple methods against what came, the best first.

    Only readings count for which every method has a forecast. No row where nothing came.

    Args:
        forecast: of the model. rivals: others of the same window. truth: (H, N) NaN where unknown.
    """
    known = np.isfinite(truth)
    for one in (forecast, *rivals):
        known = known & np.isfinite(one.median)
    came = np.where(known, truth, np.nan)
    names = [t(f"forecast.{name}") for name in ("forecaster", "mae", "rmse", "readings")]
    columns = [names[0], *(with_unit(name, forecast.unit) for name in names[1:3]), names[3]]
    if not known.any():
        return pd.DataFrame(columns=columns)
    rows = [(one.name, mae(one.median, came), rmse(one.median, came), int(known.sum())) for one in (forecast, *rivals)]
    return pd.DataFrame(rows, columns=columns).sort_values(columns[1], kind="stable", ignore_index=True)


# A forecast as tables for people: one sensor at every step, every sensor at one step.


def one_sensor(window: Window, forecast: Forecast, rivals: Sequence[Forecast], sensor: int) -> pd.DataFrame:
    """One sensor, a row for each step: forecast, measured, off by, bands, simple methods."""
    found = {t("forecast.time"): format_times(forecast.times, forecast.timezone)}
    found |= columns(forecast, np.index_exp[:, sensor], forecasters.truth(window)[:, sensor])
    found |= {with_unit(r.name, forecast.unit): r.median[:, sensor] for r in rivals}
    return pd.DataFrame(found)


def one_step(window: Window, forecast: Forecast, step: int) -> pd.DataFrame:
    """One step, a row for each sensor: id, name where it has one, forecast, measured, off by, bands."""
    network = forecast.network
    names = [network.name(n) for n in range(network.n_sensors)]
    found = {t("common.sensor"): network.ids} | ({t("forecast.name"): names} if names != list(network.ids) else {})
    return pd.DataFrame(found | columns(forecast, np.index_exp[step], forecasters.truth(window)[step]))


def decimals(forecast: Forecast) -> int:
    """Digits after the point that suit the forecast."""
    return fit_scale(forecast.median).decimals


def columns(forecast: Forecast, part: tuple, measured: np.ndarray) -> dict[str, np.ndarray]:
    """Forecast, measured, off by and bands of a part of (H, N): column -> values."""
    unit, digits = forecast.unit, decimals(forecast)
    median, three = forecast.median[part], (t("forecast.forecast"), t("forecast.came"), t("forecast.off"))
    found = {with_unit(name, unit): x for name, x in zip(three, (median, measured, median - measured), strict=True)}
    for share in forecast.shares:
        low, high = (bound[part] for bound in forecast.band(share))
        found[with_unit(t("chart.band", share=f"{100 * share:.3g}"), unit)] = _band_texts(low, high, digits)
    return found


def _band_texts(low: np.ndarray, high: np.ndarray, digits: int) -> list[str]:
    """Texts "5.9 to 17.5"; "" where there is no band."""
    pairs, to = zip(low, high, strict=True), t("forecast.to")
    texts = [f"{a:.{digits}f} {to} {b:.{digits}f}" if np.isfinite(a + b) else "" for a, b in pairs]
    return [text.replace(".", ",") for text in texts] if language() == "de" else texts


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
    held = band_sentences(manifest.get("scores", {}))
    here = held_here(forecast, forecasters.truth(window))
    st.caption(f"{t('forecast.made_by', name=inputs.plain(choice.label))} {belief_sentence(manifest)}")
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
        inputs.table(one_sensor(window, forecast, shown, sensor), alt, decimals=decimals(forecast))
    with every:
        nodes = list(group) or list(range(network.n_sensors))
        alt = t("forecast.alt_every", n=len(nodes), when=when)
        rows = one_step(window, forecast, step).iloc[nodes]
        render.sensor_table(rows, network, f"every-{inputs.pack(group)}", alt, decimals=decimals(forecast), nodes=nodes)
    with alarms:
        alarming.ask(forecast, rule)
        alarming.listed(forecast, rule)
    with errors:
        table = scores_table(forecast, rivals, forecasters.truth(window))
        if table.empty:
            st.info(t("forecast.nothing_came"))
        else:
            inputs.table(table, t("forecast.alt_errors"), decimals=decimals(forecast) + 1)
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
