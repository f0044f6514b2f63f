"""The What if page: what is changed, and the two forecasts side by side."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts.figures import comparison
from stvlm.charts.maps import sensor_map
from stvlm.charts.rasters import image_png
from stvlm.charts.scale import fit_scale, with_unit
from stvlm.core.forecast import MODALITIES, Forecast
from stvlm.core.network import SensorNetwork
from stvlm.core.windows import Window
from stvlm.ui.services import forecasters, scenarios
from stvlm.ui.shell import i18n, inputs, layout, render, view_state
from stvlm.ui.shell.callbacks import Between, Several, Text, accept
from stvlm.ui.shell.i18n import t

if TYPE_CHECKING:
    from collections.abc import Callable

    from stvlm.inference.scenario import Scenario, ScenarioResult


# What can be changed on the What if page: words, sensors, noise, modalities; the URL holds all of it.

LONGEST_WORD = 4000  # characters of a change in the URL


def in_view(window: Window, can: scenarios.Abilities) -> Scenario:
    """The change that the URL asks for; without one that makes sense here, one that shows something.

    Where news move the forecast, that is news of an incident at the sensor in view; else that sensor falls silent.
    """
    from stvlm.inference.scenario import Scenario

    network = window.series.network
    change = view_state.parse_param("change", Scenario.of, LONGEST_WORD)
    if change is None or not {*change.dropped, *filter(None, [change.moved])} <= set(network.ids):
        sensor = view_state.param_in("sensor", network.ids, network.ids[0])
        change = Scenario(event=incident(window, sensor)) if can.heeds_news else Scenario(dropped=(sensor,))
    view_state.sync_param("change", change.word)
    return change


def incident(window: Window, sensor: str) -> str:
    """News of an incident at a sensor, in the language of the prompts."""
    from stvlm.inference.scenario import LONGEST_EVENT

    kind = "crash" if "speed" in window.series.quantity or "traffic" in window.series.quantity else "incident"
    network = window.series.network
    return f"{kind} near {network.name(network.ids.index(sensor))}"[:LONGEST_EVENT]


def show(window: Window, can: scenarios.Abilities, change: Scenario, prompt: str, sensor: int) -> None:
    """The widgets, and what is changed now in one line.

    Args:
        window: before the change. can: what the model does. change: in view. prompt: as the model reads it now.
        sensor: node in view, for the buttons.
    """
    with st.container(border=True):
        tabs = st.tabs([t(f"whatif.tab_{name}") for name in ("words", "sensors", "noise", "modalities")])
        with tabs[0]:
            _words(window, can, change, prompt, window.series.network.ids[sensor])
        with tabs[1]:
            _sensors(window.series.network, change, window.series.network.ids[sensor])
        with tabs[2]:
            _noise(can, change)
        with tabs[3]:
            _modalities(can, change)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{t('whatif.changed')}** {'; '.join(in_words(change, window.series.network)) or t('whatif.nothing')}")
            st.button(
                t("whatif.undo"),
                icon=":material/undo:",
                disabled=change.word == "{}",
                on_click=view_state.set_param,
                args=("change", "{}"),
            )


def in_words(change: Scenario, network: SensorNetwork) -> list[str]:
    """What a change changes, each part as safe markdown."""
    labels = inputs.sensor_labels(network)
    parts = []
    if change.prompt:
        parts.append(t("whatif.said_prompt"))
    elif change.event.strip():
        parts.append(t("whatif.said_event", event=inputs.plain(change.event.strip())))
    if change.dropped:
        parts.append(t("whatif.said_dropped", names=inputs.plain(", ".join(labels[i] for i in change.dropped))))
    if change.moved and (change.east_km or change.north_km):
        km = [i18n.format_number(value, 1, sign=True) for value in (change.east_km, change.north_km)]
        parts.append(t("whatif.said_moved", name=inputs.plain(labels[change.moved]), east=km[0], north=km[1]))
    if change.noise:
        parts.append(t("whatif.said_noise", percent=change.noise))
    if change.spoilt:
        parts.append(t(f"spoilt.{change.spoilt.replace(' ', '_')}"))
    parts += [t("whatif.said_without", modality=t(f"modality.{m}")) for m in change.without]
    return parts


def _words(window: Window, can: scenarios.Abilities, change: Scenario, prompt: str, sensor: str) -> None:
    from stvlm.inference.scenario import LONGEST_EVENT, LONGEST_PROMPT, named_in

    if "text" not in can.modalities:
        st.caption(t("whatif.reads_nothing"))
        return
    network = window.series.network
    off = "text" in change.without
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _widget(
            st.text_input, "event", change, change.event, t("whatif.event"), Text(LONGEST_EVENT), lambda text: text.strip(),
            max_chars=LONGEST_EVENT, disabled=off or bool(change.prompt), placeholder=incident(window, sensor), width="stretch",
        )  # fmt: skip
        st.button(
            t("whatif.event_here", name=inputs.plain(network.name(network.ids.index(sensor)))),
            icon=":material/car_crash:",
            disabled=off,
            on_click=_put,
            args=(replace(change, event=incident(window, sensor), prompt=""),),
        )
    if change.event and not change.prompt and not named_in(network, change.event):
        st.caption(t("whatif.names_nobody"))
    with st.expander(t("whatif.own_prompt"), expanded=bool(change.prompt)):
        shown = change.prompt or prompt
        _widget(
            st.text_area, "prompt", change, shown, t("whatif.prompt"), Text(LONGEST_PROMPT),
            lambda text: "" if text == prompt else text.strip(),
            max_chars=LONGEST_PROMPT, disabled=off, height=150,
        )  # fmt: skip
        if change.prompt:
            st.button(t("whatif.own_prompt_back"), icon=":material/undo:", on_click=_put, args=(replace(change, prompt=""),))
    st.caption(t("whatif.english"))


def _sensors(network: SensorNetwork, change: Scenario, sensor: str) -> None:
    from stvlm.inference.scenario import FARTHEST_KM, MOST_DROPPED

    labels = {"": t("whatif.moved_none")} | inputs.sensor_labels(network)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _widget(
            st.multiselect, "dropped", change, list(change.dropped), t("whatif.dropped"), Several(network.ids, most=MOST_DROPPED), tuple,
            options=network.ids, format_func=labels.get, max_selections=MOST_DROPPED,
            placeholder=t("whatif.dropped_none"), width="stretch",
        )  # fmt: skip
        st.button(
            t("whatif.drop_this", name=inputs.plain(labels[sensor])),
            icon=":material/sensors_off:",
            disabled=sensor in change.dropped or len(change.dropped) >= MOST_DROPPED,
            on_click=_put,
            args=(replace(change, dropped=(*change.dropped, sensor)),),
        )
    columns = st.columns([2, 1, 1])
    with columns[0]:
        _widget(
            st.selectbox, "moved", change, change.moved, t("whatif.moved"), labels, str,
            options=("", *network.ids), format_func=labels.get,
        )  # fmt: skip
    for column, field in zip(columns[1:], ("east_km", "north_km"), strict=True):
        with column:
            _widget(
                st.number_input, field, change, float(getattr(change, field)), t(f"whatif.{field}"),
                Between(-FARTHEST_KM, FARTHEST_KM), float,
                min_value=-FARTHEST_KM, max_value=FARTHEST_KM, step=0.5, format="%.1f", disabled=not change.moved,
            )  # fmt: skip
    st.caption(t("whatif.sensors_note"))


def _noise(can: scenarios.Abilities, change: Scenario) -> None:
    from stvlm.inference.scenario import MOST_NOISE
    from stvlm.modalities.batch import DISTURBANCES

    left, right = st.columns(2)
    with left:
        _widget(
            st.slider, "noise", change, change.noise, t("whatif.noise"), range(MOST_NOISE + 1), int,
            min_value=0, max_value=MOST_NOISE, step=10, format="%d %%",
        )  # fmt: skip
    needs = {name: "text" if "prompt" in name else "vision" for name in DISTURBANCES}
    options = {"": t("spoilt.none")}
    options |= {name: t(f"spoilt.{name.replace(' ', '_')}") for name, modality in needs.items() if modality in can.modalities}
    with right:
        _widget(
            st.selectbox, "spoilt", change, change.spoilt if change.spoilt in options else "", t("whatif.spoilt"), options, str,
            options=list(options), format_func=options.get,
        )  # fmt: skip
    st.caption(t("whatif.noise_note"))


def _modalities(can: scenarios.Abilities, change: Scenario) -> None:
    options = {m: t(f"modality.{m}") for m in MODALITIES if m in can.modalities}
    _widget(
        st.pills, "without", change, [m for m in change.without if m in options], t("whatif.without"), Several(options),
        lambda chosen: tuple(m for m in MODALITIES if m in chosen),
        options=list(options), selection_mode="multi", format_func=options.get,
    )  # fmt: skip
    st.caption(t("whatif.modalities_note"))


def _widget(
    kind: Callable,
    field: str,
    change: Scenario,
    value: object,
    label: str,
    offered: Container,
    to_value: Callable,
    **options: object,
) -> None:
    """A widget that shows one field of the change and puts what is chosen into the URL.

    Args:
        kind: of Streamlit. field: of Change. change: in view. value: to show. label: of the widget. offered: what it can hold.
        to_value: from what the widget holds to what the field holds. options: for the widget.
    """
    key = view_state.bind(f"change-{field}", value)
    kind(
        label,
        key=key,
        on_change=accept({key: offered}, lambda chosen: _put(replace(change, **{field: to_value(chosen)}))),
        **options,
    )


def _put(change: Scenario) -> None:
    view_state.set_param("change", change.word)


@st.fragment
def linked_views(choice: forecasters.Choice, window: Window) -> None:
    """The change, and what comes of it on map, plot and in tables; only this part of the page is drawn again.

    Args:
        choice: the forecaster. window: what it forecasts from.
    """
    from stvlm.inference.scenario import Scenario

    can = scenarios.abilities(choice, window.series)
    change = in_view(window, can)
    before = scenarios.scenario_forecast(choice, window, Scenario())
    used, budget = scenarios.prompt_length(choice, window.series, change.prompt)
    is_too_long = bool(change.prompt) and used > budget
    after = before if is_too_long else scenarios.scenario_forecast(choice, window, change)
    left, right = st.columns(2)
    with left:
        step = pick_step(before.forecast)
    with right:
        sensor = inputs.pick_sensor(window.series.network, t("common.sensor_or_map"))
    show(window, can, change, after.prompt, sensor)
    if is_too_long:
        st.error(t("whatif.too_long", used=used, budget=budget), icon=":material/error:")
        return
    if can.is_anchor:
        st.warning(t("whatif.is_anchor"), icon=":material/warning:")
    _difference(window, before.forecast, after, step, sensor)
    _side_by_side(before.forecast, after.forecast, step, sensor)
    _tables(window, before.forecast, after.forecast, step, sensor)
    _seen_and_read(before, after)


def pick_step(forecast: Forecast) -> int:
    """Choose a step of the horizon by its time; the URL has it as 1 .. H."""
    times = i18n.format_times(forecast.times, forecast.timezone)
    labels = {str(i): t("common.step_option", time=time, step=i) for i, time in enumerate(times, 1)}
    options = list(labels)
    step = view_state.param_in("step", options, options[0])
    if len(options) > 1:
        key = view_state.bind("step", step)
        st.select_slider(
            t("common.step"),
            options,
            key=key,
            format_func=labels.get,
            on_change=view_state.sync_to_url("step", key, options),
        )
    return int(step) - 1


def versus_figure(window: Window, before: Forecast, after: ScenarioResult, sensor: int, step: int | None) -> object:
    """Both forecasts of a sensor over time, in the language in view."""
    forecast = after.forecast
    labels = comparison.VersusLabels(
        past=t("whatif.past"),
        seen=t("whatif.seen"),
        came=t("whatif.came"),
        first=t("whatif.before"),
        second=t("whatif.after"),
        band=t("whatif.bands"),
        begins=t("whatif.begins"),
        time=t("whatif.time", zone=forecast.timezone).strip(),
        quantity=forecast.quantity,
    )
    came = forecasters.truth(window)[:, sensor]
    return comparison.versus_lines(
        window.past[:, sensor], after.past[:, sensor], window.past_times, came, before, forecast, sensor, labels, step, layout.theme()
    )  # fmt: skip


def _figures(before: Forecast, after: Forecast, step: int, sensor: int) -> None:
    """Three numbers below each other: the sensor in view, the mean of all, and the sensor that changed most."""
    network, digits = before.network, fit_scale(before.median).decimals
    change = after.median[step] - before.median[step]
    known = np.flatnonzero(np.isfinite(change))
    if not len(known):
        st.info(t("whatif.no_number"))
        return
    most = int(known[np.abs(change[known]).argmax()])
    names = (
        inputs.sensor_label(network, sensor),
        t("whatif.mean_of_all"),
        t("whatif.most"),
    )
    rows = (
        (before.median[step, sensor], after.median[step, sensor]),
        (np.nanmean(before.median[step]), np.nanmean(after.median[step])),
        (before.median[step, most], after.median[step, most]),
    )
    unit = inputs.plain(before.unit)  # the value of a metric is markdown too
    for name, (old, new) in zip(names, rows, strict=True):
        moved = round(float(new - old), digits)
        st.metric(
            inputs.plain(name),
            f"{i18n.format_number(new, digits)} {unit}".rstrip(),
            f"{i18n.format_number(moved, digits, sign=True)} {unit}".rstrip(),
            delta_color="off",
            delta_arrow="off" if moved == 0 or not np.isfinite(moved) else "up" if moved > 0 else "down",
        )
    st.caption(inputs.plain(t("whatif.most_is", name=inputs.sensor_label(network, most))))


def _difference(window: Window, before: Forecast, after: ScenarioResult, step: int, sensor: int) -> None:
    st.subheader(t("whatif.difference"), anchor=False)
    network, when = after.forecast.network, i18n.format_times(before.times, before.timezone)[step]
    left, right = st.columns([3, 2])
    with left:
        label = t("whatif.map_label", time=when)
        view = comparison.change_map(before, after.forecast, step, label, layout.theme(), sensor, render.wording())
        render.show_map(view, network, "difference", t("whatif.map_alt", time=when), height=360)
    with right:
        _figures(before, after.forecast, step, sensor)
    name = inputs.sensor_label(network, sensor)
    render.plot(versus_figure(window, before, after, sensor, step), "versus", t("whatif.plot_alt", name=name), height=360)


def _side_by_side(before: Forecast, after: Forecast, step: int, sensor: int) -> None:
    """Both forecasts on maps whose colours mean the same."""
    st.subheader(t("whatif.side_by_side"), anchor=False)
    scale = fit_scale(np.concatenate([before.median, after.median]))
    when = i18n.format_times(before.times, before.timezone)[step]
    for column, key, forecast in zip(st.columns(2), ("before", "after"), (before, after), strict=True):
        with column:
            label = f"{forecast.quantity}, {t(f'whatif.{key}')}"
            look = {"limits": (scale.low, scale.high), "words": render.wording()}
            view = sensor_map.sensor_map(
                forecast.network, forecast.median[step], forecast.unit, label, layout.theme(), sensor, **look
            )
            render.show_map(view, forecast.network, key, t(f"whatif.{key}_alt", time=when), height=320)


def _tables(window: Window, before: Forecast, after: Forecast, step: int, sensor: int) -> None:
    with st.expander(t("whatif.tables")):
        digits, unit = fit_scale(before.median).decimals, before.unit
        network = before.network

        def columns(old: np.ndarray, new: np.ndarray) -> dict[str, np.ndarray]:
            heads = (t("whatif.before"), t("whatif.after"), t("whatif.change"))
            return {with_unit(head, unit): values for head, values in zip(heads, (old, new, new - old), strict=True)}

        when = i18n.format_times(before.times, before.timezone)
        one, every = st.tabs([inputs.plain(inputs.sensor_label(network, sensor)), when[step]])
        with one:
            rows = pd.DataFrame({t("whatif.when"): when} | columns(before.median[:, sensor], after.median[:, sensor]))
            rows[with_unit(t("whatif.came"), unit)] = forecasters.truth(window)[:, sensor]
            inputs.table(rows, t("whatif.table_alt", n=len(rows)), digits)
        with every:
            names = {t("common.sensor"): list(inputs.sensor_labels(network).values())}
            rows = pd.DataFrame(names | columns(before.median[step], after.median[step]))
            render.sensor_table(rows, network, "whatif-every", t("whatif.table_alt", n=len(rows)), digits)


def _seen_and_read(before: ScenarioResult, after: ScenarioResult) -> None:
    """The images and prompts of both, as the model got them."""
    with st.expander(t("whatif.inputs")):
        for column, key, outcome in zip(st.columns(2), ("before", "after"), (before, after), strict=True):
            with column:
                st.markdown(f"**{t(f'whatif.{key}')}**")
                if outcome.images is None:
                    st.caption(t("whatif.no_image"))
                else:
                    st.image(image_png(outcome.images[0], 256), width=256, alt=t("whatif.image_alt"))
                if outcome.prompt:
                    st.code(outcome.prompt, language=None, wrap_lines=True)
                else:
                    st.caption(t("whatif.no_prompt"))
        st.caption(t("whatif.inputs_note"))
