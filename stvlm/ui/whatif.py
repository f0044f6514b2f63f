"""The What if page: what is changed, and the two forecasts side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import maps, versus
from stvlm.charts.images import image_png
from stvlm.charts.scale import fit_scale, with_unit
from stvlm.data.forecast import Forecast
from stvlm.data.windows import Window
from stvlm.ui import frame, imagining, models, session, show, whatif_controls, widgets, words
from stvlm.ui.words import say

if TYPE_CHECKING:
    from stvlm.whatif import Outcome


@st.fragment
def linked_views(choice: models.Choice, window: Window) -> None:
    """The change, and what comes of it on map, plot and in tables; only this part of the page is drawn again.

    Args:
        choice: the forecaster. window: what it forecasts from.
    """
    from stvlm.whatif import Change

    can = imagining.abilities(choice, window.series)
    change = whatif_controls.in_view(window, can)
    before = imagining.imagined(choice, window, Change())
    used, budget = imagining.prompt_length(choice, window.series, change.prompt)
    is_too_long = bool(change.prompt) and used > budget
    after = before if is_too_long else imagining.imagined(choice, window, change)
    left, right = st.columns(2)
    with left:
        step = pick_step(before.forecast)
    with right:
        sensor = widgets.pick_sensor(window.series.network, say("common.sensor_or_map"))
    whatif_controls.show(window, can, change, after.prompt, sensor)
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
    times = words.moments(forecast.times, forecast.timezone)
    labels = {str(i): say("common.step_option", time=time, step=i) for i, time in enumerate(times, 1)}
    options = list(labels)
    step = session.chosen("step", options, options[0])
    if len(options) > 1:
        key = session.tied("step", step)
        st.select_slider(
            say("common.step"),
            options,
            key=key,
            format_func=labels.get,
            on_change=session.taken,
            args=("step", key, str),
        )
    return int(step) - 1


def versus_figure(window: Window, before: Forecast, after: Outcome, sensor: int, step: int | None) -> object:
    """Both forecasts of a sensor over time, in the language in view."""
    forecast = after.forecast
    labels = versus.Labels(
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
    came = models.truth(window)[:, sensor]
    return versus.versus_lines(
        window.past[:, sensor], after.past[:, sensor], window.past_times, came, before, forecast, sensor, labels, step, frame.theme()
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
        widgets.sensor_label(network, sensor),
        say("whatif.mean_of_all"),
        say("whatif.most"),
    )
    rows = (
        (before.median[step, sensor], after.median[step, sensor]),
        (np.nanmean(before.median[step]), np.nanmean(after.median[step])),
        (before.median[step, most], after.median[step, most]),
    )
    unit = widgets.plain(before.unit)  # the value of a metric is markdown too
    for name, (old, new) in zip(names, rows, strict=True):
        moved = round(float(new - old), digits)
        st.metric(
            widgets.plain(name),
            f"{words.number(new, digits)} {unit}".rstrip(),
            f"{words.number(moved, digits, sign=True)} {unit}".rstrip(),
            delta_color="off",
            delta_arrow="off" if moved == 0 or not np.isfinite(moved) else "up" if moved > 0 else "down",
        )
    st.caption(widgets.plain(say("whatif.most_is", name=widgets.sensor_label(network, most))))


def _difference(window: Window, before: Forecast, after: Outcome, step: int, sensor: int) -> None:
    st.subheader(say("whatif.difference"), anchor=False)
    network, when = after.forecast.network, words.moments(before.times, before.timezone)[step]
    left, right = st.columns([3, 2])
    with left:
        label = say("whatif.map_label", time=when)
        view = versus.change_map(before, after.forecast, step, label, frame.theme(), sensor, show.wording())
        show.show_map(view, network, "difference", say("whatif.map_alt", time=when), height=360)
    with right:
        _figures(before, after.forecast, step, sensor)
    name = widgets.sensor_label(network, sensor)
    show.plot(versus_figure(window, before, after, sensor, step), "versus", say("whatif.plot_alt", name=name), height=360)


def _side_by_side(before: Forecast, after: Forecast, step: int, sensor: int) -> None:
    """Both forecasts on maps whose colours mean the same."""
    st.subheader(say("whatif.side_by_side"), anchor=False)
    scale = fit_scale(np.concatenate([before.median, after.median]))
    when = words.moments(before.times, before.timezone)[step]
    for column, key, forecast in zip(st.columns(2), ("before", "after"), (before, after), strict=True):
        with column:
            label = f"{forecast.quantity}, {say(f'whatif.{key}')}"
            look = {"limits": (scale.low, scale.high), "words": show.wording()}
            view = maps.sensor_map(forecast.network, forecast.median[step], forecast.unit, label, frame.theme(), sensor, **look)
            show.show_map(view, forecast.network, key, say(f"whatif.{key}_alt", time=when), height=320)


def _tables(window: Window, before: Forecast, after: Forecast, step: int, sensor: int) -> None:
    with st.expander(say("whatif.tables")):
        digits, unit = fit_scale(before.median).decimals, before.unit
        network = before.network

        def columns(old: np.ndarray, new: np.ndarray) -> dict[str, np.ndarray]:
            heads = (say("whatif.before"), say("whatif.after"), say("whatif.change"))
            return {with_unit(head, unit): values for head, values in zip(heads, (old, new, new - old), strict=True)}

        when = words.moments(before.times, before.timezone)
        one, every = st.tabs([widgets.plain(widgets.sensor_label(network, sensor)), when[step]])
        with one:
            rows = pd.DataFrame({say("whatif.when"): when} | columns(before.median[:, sensor], after.median[:, sensor]))
            rows[with_unit(say("whatif.came"), unit)] = models.truth(window)[:, sensor]
            widgets.table(rows, say("whatif.table_alt", n=len(rows)), digits)
        with every:
            names = {say("common.sensor"): list(widgets.sensor_labels(network).values())}
            rows = pd.DataFrame(names | columns(before.median[step], after.median[step]))
            show.sensor_table(rows, network, "whatif-every", say("whatif.table_alt", n=len(rows)), digits)


def _seen_and_read(before: Outcome, after: Outcome) -> None:
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
