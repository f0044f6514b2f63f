"""The What if page: what is changed, and the two forecasts side by side."""

from __future__ import annotations

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
from stvlm.ui.shell.i18n import say

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
    word = view_state.get("change", LONGEST_WORD)
    try:
        change = Scenario.of(word)
    except ValueError:
        change = None
    if change is None or not {*change.dropped, *filter(None, [change.moved])} <= set(network.ids):
        sensor = view_state.chosen("sensor", network.ids, network.ids[0])
        change = Scenario(event=incident(window, sensor)) if can.heeds_news else Scenario(dropped=(sensor,))
    if view_state.get("change", LONGEST_WORD) != change.word or "change" not in st.query_params:
        view_state.put("change", change.word)
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
        tabs = st.tabs([say(f"whatif.tab_{name}") for name in ("words", "sensors", "noise", "modalities")])
        with tabs[0]:
            _words(window, can, change, prompt, window.series.network.ids[sensor])
        with tabs[1]:
            _sensors(window.series.network, change, window.series.network.ids[sensor])
        with tabs[2]:
            _noise(can, change)
        with tabs[3]:
            _modalities(can, change)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"**{say('whatif.changed')}** {'; '.join(in_words(change, window.series.network)) or say('whatif.nothing')}"
            )
            st.button(
                say("whatif.undo"),
                icon=":material/undo:",
                disabled=change.word == "{}",
                on_click=view_state.put,
                args=("change", "{}"),
            )


def in_words(change: Scenario, network: SensorNetwork) -> list[str]:
    """What a change changes, each part as safe markdown."""
    labels = inputs.sensor_labels(network)
    parts = []
    if change.prompt:
        parts.append(say("whatif.said_prompt"))
    elif change.event.strip():
        parts.append(say("whatif.said_event", event=inputs.plain(change.event.strip())))
    if change.dropped:
        parts.append(say("whatif.said_dropped", names=inputs.plain(", ".join(labels[i] for i in change.dropped))))
    if change.moved and (change.east_km or change.north_km):
        km = [i18n.number(value, 1, sign=True) for value in (change.east_km, change.north_km)]
        parts.append(say("whatif.said_moved", name=inputs.plain(labels[change.moved]), east=km[0], north=km[1]))
    if change.noise:
        parts.append(say("whatif.said_noise", percent=change.noise))
    if change.spoilt:
        parts.append(say(f"spoilt.{change.spoilt.replace(' ', '_')}"))
    parts += [say("whatif.said_without", modality=say(f"modality.{m}")) for m in change.without]
    return parts


def _words(window: Window, can: scenarios.Abilities, change: Scenario, prompt: str, sensor: str) -> None:
    from stvlm.inference.scenario import LONGEST_EVENT, LONGEST_PROMPT, named_in

    if "text" not in can.modalities:
        st.caption(say("whatif.reads_nothing"))
        return
    network = window.series.network
    off = "text" in change.without
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _widget(
            st.text_input, "event", change, change.event, say("whatif.event"), lambda text: text.strip(),
            max_chars=LONGEST_EVENT, disabled=off or bool(change.prompt), placeholder=incident(window, sensor), width="stretch",
        )  # fmt: skip
        st.button(
            say("whatif.event_here", name=inputs.plain(network.name(network.ids.index(sensor)))),
            icon=":material/car_crash:",
            disabled=off,
            on_click=_put,
            args=(replace(change, event=incident(window, sensor), prompt=""),),
        )
    if change.event and not change.prompt and not named_in(network, change.event):
        st.caption(say("whatif.names_nobody"))
    with st.expander(say("whatif.own_prompt"), expanded=bool(change.prompt)):
        shown = change.prompt or prompt
        _widget(
            st.text_area, "prompt", change, shown, say("whatif.prompt"), lambda text: "" if text == prompt else text.strip(),
            max_chars=LONGEST_PROMPT, disabled=off, height=150,
        )  # fmt: skip
        if change.prompt:
            st.button(say("whatif.own_prompt_back"), icon=":material/undo:", on_click=_put, args=(replace(change, prompt=""),))
    st.caption(say("whatif.english"))


def _sensors(network: SensorNetwork, change: Scenario, sensor: str) -> None:
    from stvlm.inference.scenario import FARTHEST_KM, MOST_DROPPED

    labels = {"": say("whatif.moved_none")} | inputs.sensor_labels(network)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _widget(
            st.multiselect, "dropped", change, list(change.dropped), say("whatif.dropped"), tuple,
            options=network.ids, format_func=labels.get, max_selections=MOST_DROPPED,
            placeholder=say("whatif.dropped_none"), width="stretch",
        )  # fmt: skip
        st.button(
            say("whatif.drop_this", name=inputs.plain(labels[sensor])),
            icon=":material/sensors_off:",
            disabled=sensor in change.dropped or len(change.dropped) >= MOST_DROPPED,
            on_click=_put,
            args=(replace(change, dropped=(*change.dropped, sensor)),),
        )
    columns = st.columns([2, 1, 1])
    with columns[0]:
        _widget(
            st.selectbox, "moved", change, change.moved, say("whatif.moved"), str,
            options=("", *network.ids), format_func=labels.get,
        )  # fmt: skip
    for column, field in zip(columns[1:], ("east_km", "north_km"), strict=True):
        with column:
            _widget(
                st.number_input, field, change, float(getattr(change, field)), say(f"whatif.{field}"), float,
                min_value=-FARTHEST_KM, max_value=FARTHEST_KM, step=0.5, format="%.1f", disabled=not change.moved,
            )  # fmt: skip
    st.caption(say("whatif.sensors_note"))


def _noise(can: scenarios.Abilities, change: Scenario) -> None:
    from stvlm.inference.scenario import MOST_NOISE
    from stvlm.modalities.perturb import DISTURBANCES

    left, right = st.columns(2)
    with left:
        _widget(
            st.slider, "noise", change, change.noise, say("whatif.noise"), int,
            min_value=0, max_value=MOST_NOISE, step=10, format="%d %%",
        )  # fmt: skip
    needs = {name: "text" if "prompt" in name else "vision" for name in DISTURBANCES}
    options = {"": say("spoilt.none")}
    options |= {name: say(f"spoilt.{name.replace(' ', '_')}") for name, modality in needs.items() if modality in can.modalities}
    with right:
        _widget(
            st.selectbox, "spoilt", change, change.spoilt if change.spoilt in options else "", say("whatif.spoilt"), str,
            options=list(options), format_func=options.get,
        )  # fmt: skip
    st.caption(say("whatif.noise_note"))


def _modalities(can: scenarios.Abilities, change: Scenario) -> None:
    options = {m: say(f"modality.{m}") for m in MODALITIES if m in can.modalities}
    _widget(
        st.pills, "without", change, [m for m in change.without if m in options], say("whatif.without"),
        lambda chosen: tuple(m for m in MODALITIES if m in chosen),
        options=list(options), selection_mode="multi", format_func=options.get,
    )  # fmt: skip
    st.caption(say("whatif.modalities_note"))


def _widget(kind: Callable, field: str, change: Scenario, value: object, label: str, to_value: Callable, **options: object) -> None:
    """A widget that shows one field of the change and puts what is chosen into the URL.

    Args:
        kind: of Streamlit. field: of Change. change: in view. value: to show. label: of the widget.
        to_value: from what the widget holds to what the field holds. options: for the widget.
    """
    key = view_state.tied(f"change-{field}", value)
    kind(label, key=key, on_change=lambda: _put(replace(change, **{field: to_value(st.session_state[key])})), **options)


def _put(change: Scenario) -> None:
    view_state.put("change", change.word)


@st.fragment
def linked_views(choice: forecasters.Choice, window: Window) -> None:
    """The change, and what comes of it on map, plot and in tables; only this part of the page is drawn again.

    Args:
        choice: the forecaster. window: what it forecasts from.
    """
    from stvlm.inference.scenario import Scenario

    can = scenarios.abilities(choice, window.series)
    change = in_view(window, can)
    before = scenarios.imagined(choice, window, Scenario())
    used, budget = scenarios.prompt_length(choice, window.series, change.prompt)
    is_too_long = bool(change.prompt) and used > budget
    after = before if is_too_long else scenarios.imagined(choice, window, change)
    left, right = st.columns(2)
    with left:
        step = pick_step(before.forecast)
    with right:
        sensor = inputs.pick_sensor(window.series.network, say("common.sensor_or_map"))
    show(window, can, change, after.prompt, sensor)
    if is_too_long:
        st.error(say("whatif.too_long", used=used, budget=budget), icon=":material/error:")
        return
    if can.is_anchor:
        st.warning(say("whatif.is_anchor"), icon=":material/warning:")
    _difference(window, before.forecast, after, step, sensor)
    _side_by_side(before.forecast, after.forecast, step, sensor)
    _tables(window, before.forecast, after.forecast, step, sensor)
    _seen_and_read(before, after)


def pick_step(forecast: Forecast) -> int:
    """Choose a step of the horizon by its time; the URL has it as 1 .. H."""
    times = i18n.moments(forecast.times, forecast.timezone)
    labels = {str(i): say("common.step_option", time=time, step=i) for i, time in enumerate(times, 1)}
    options = list(labels)
    step = view_state.chosen("step", options, options[0])
    if len(options) > 1:
        key = view_state.tied("step", step)
        st.select_slider(
            say("common.step"),
            options,
            key=key,
            format_func=labels.get,
            on_change=view_state.taken,
            args=("step", key, str),
        )
    return int(step) - 1


def versus_figure(window: Window, before: Forecast, after: ScenarioResult, sensor: int, step: int | None) -> object:
    """Both forecasts of a sensor over time, in the language in view."""
    forecast = after.forecast
    labels = comparison.VersusLabels(
        past=say("whatif.past"),
        seen=say("whatif.seen"),
        came=say("whatif.came"),
        first=say("whatif.before"),
        second=say("whatif.after"),
        band=say("whatif.bands"),
        begins=say("whatif.begins"),
        time=say("whatif.time", zone=forecast.timezone).strip(),
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
        st.info(say("whatif.no_number"))
        return
    most = int(known[np.abs(change[known]).argmax()])
    names = (
        inputs.sensor_label(network, sensor),
        say("whatif.mean_of_all"),
        say("whatif.most"),
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
            f"{i18n.number(new, digits)} {unit}".rstrip(),
            f"{i18n.number(moved, digits, sign=True)} {unit}".rstrip(),
            delta_color="off",
            delta_arrow="off" if moved == 0 or not np.isfinite(moved) else "up" if moved > 0 else "down",
        )
    st.caption(inputs.plain(say("whatif.most_is", name=inputs.sensor_label(network, most))))


def _difference(window: Window, before: Forecast, after: ScenarioResult, step: int, sensor: int) -> None:
    st.subheader(say("whatif.difference"), anchor=False)
    network, when = after.forecast.network, i18n.moments(before.times, before.timezone)[step]
    left, right = st.columns([3, 2])
    with left:
        label = say("whatif.map_label", time=when)
        view = comparison.change_map(before, after.forecast, step, label, layout.theme(), sensor, render.wording())
        render.show_map(view, network, "difference", say("whatif.map_alt", time=when), height=360)
    with right:
        _figures(before, after.forecast, step, sensor)
    name = inputs.sensor_label(network, sensor)
    render.plot(versus_figure(window, before, after, sensor, step), "versus", say("whatif.plot_alt", name=name), height=360)


def _side_by_side(before: Forecast, after: Forecast, step: int, sensor: int) -> None:
    """Both forecasts on maps whose colours mean the same."""
    st.subheader(say("whatif.side_by_side"), anchor=False)
    scale = fit_scale(np.concatenate([before.median, after.median]))
    when = i18n.moments(before.times, before.timezone)[step]
    for column, key, forecast in zip(st.columns(2), ("before", "after"), (before, after), strict=True):
        with column:
            label = f"{forecast.quantity}, {say(f'whatif.{key}')}"
            look = {"limits": (scale.low, scale.high), "words": render.wording()}
            view = sensor_map.sensor_map(
                forecast.network, forecast.median[step], forecast.unit, label, layout.theme(), sensor, **look
            )
            render.show_map(view, forecast.network, key, say(f"whatif.{key}_alt", time=when), height=320)


def _tables(window: Window, before: Forecast, after: Forecast, step: int, sensor: int) -> None:
    with st.expander(say("whatif.tables")):
        digits, unit = fit_scale(before.median).decimals, before.unit
        network = before.network

        def columns(old: np.ndarray, new: np.ndarray) -> dict[str, np.ndarray]:
            heads = (say("whatif.before"), say("whatif.after"), say("whatif.change"))
            return {with_unit(head, unit): values for head, values in zip(heads, (old, new, new - old), strict=True)}

        when = i18n.moments(before.times, before.timezone)
        one, every = st.tabs([inputs.plain(inputs.sensor_label(network, sensor)), when[step]])
        with one:
            rows = pd.DataFrame({say("whatif.when"): when} | columns(before.median[:, sensor], after.median[:, sensor]))
            rows[with_unit(say("whatif.came"), unit)] = forecasters.truth(window)[:, sensor]
            inputs.table(rows, say("whatif.table_alt", n=len(rows)), digits)
        with every:
            names = {say("common.sensor"): list(inputs.sensor_labels(network).values())}
            rows = pd.DataFrame(names | columns(before.median[step], after.median[step]))
            render.sensor_table(rows, network, "whatif-every", say("whatif.table_alt", n=len(rows)), digits)


def _seen_and_read(before: ScenarioResult, after: ScenarioResult) -> None:
    """The images and prompts of both, as the model got them."""
    with st.expander(say("whatif.inputs")):
        for column, key, outcome in zip(st.columns(2), ("before", "after"), (before, after), strict=True):
            with column:
                st.markdown(f"**{say(f'whatif.{key}')}**")
                if outcome.images is None:
                    st.caption(say("whatif.no_image"))
                else:
                    st.image(image_png(outcome.images[0], 256), width=256, alt=say("whatif.image_alt"))
                if outcome.prompt:
                    st.code(outcome.prompt, language=None, wrap_lines=True)
                else:
                    st.caption(say("whatif.no_prompt"))
        st.caption(say("whatif.inputs_note"))
