"""Widgets that several pages share: the network in view, a sensor, a moment, a map, a table twin."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.data.escape import markdown
from stvlm.data.network import SensorNetwork
from stvlm.data.series import SensorSeries, to_local
from stvlm.ui import datasets, frame, session
from stvlm.ui.words import calendar, number, say


def need_series() -> SensorSeries:
    """The network in view; without one, say how to get one and end the page."""
    data = session.data_id()
    if data:
        try:
            return datasets.load(data)
        except datasets.UnknownNetworkError:
            st.error(say("common.unknown_network"))
            st.text(data)
    else:
        st.info(say("common.no_network"))
    frame.page_link("home", say("common.take_sample"))
    frame.page_link("data", say("common.upload"), source="own")
    st.stop()


def pick_sensor(network: SensorNetwork, label: str = "") -> int:
    """Choose a sensor; maps and tables set the same one.

    Returns:
        Its place on the N axis.
    """
    sensor = session.chosen("sensor", network.ids, network.ids[0])
    key = session.tied("sensor", sensor)
    st.selectbox(
        label or say("common.sensor"),
        network.ids,
        key=key,
        format_func=sensor_labels(network).get,
        on_change=session.taken,
        args=("sensor", key, str),
    )
    return network.ids.index(sensor)


def sensor_label(network: SensorNetwork, node: int) -> str:
    """Name and id of a sensor, or its id alone."""
    name = network.name(node)
    return name if name == network.ids[node] else f"{name} ({network.ids[node]})"


def sensor_labels(network: SensorNetwork) -> dict[str, str]:
    """id -> `sensor_label`, for widgets that ask for each of many sensors."""
    return {i: sensor_label(network, node) for node, i in enumerate(network.ids)}


def pick_time(series: SensorSeries, name: str, first: int, last: int, default: int, label: str) -> int:
    """Choose a step of the series on the network's own clock: a slider, and two buttons for the neighbours.

    Args:
        series: gives the clock. name: word of the URL. first, last: steps that can be chosen; `last` may be T, the step after
            the end. default: step at the start. label: what the moment is.

    Returns:
        The step chosen.
    """
    step = _step_of(series, session.get(name))
    step = default if step is None or not first <= step <= last else step
    if st.query_params.get(name) != _word(series, step):
        session.put(name, _word(series, step))
    if first >= last:
        st.text(f"{label}: {clock(series, step)}")
        return step
    key = session.tied(name, _local(series, step))
    with st.container(horizontal=True, vertical_alignment="bottom", wrap=False):
        st.slider(
            f"{label} ({series.timezone})" if series.timezone else label,
            _local(series, first),
            _local(series, last),
            step=timedelta(seconds=series.step_seconds),
            format=say("format.day" if is_daily(series) else "format.minute"),
            key=key,
            on_change=session.taken,
            args=(name, key, lambda value: _word(series, _nearest(series, value))),
        )
        for move, icon in ((-1, ":material/chevron_left:"), (1, ":material/chevron_right:")):
            st.button(
                "",
                icon=icon,
                key=f"{name}{move}",
                help=say("common.earlier" if move < 0 else "common.later"),
                disabled=not first <= step + move <= last,
                on_click=session.put,
                args=(name, _word(series, step + move)),
            )
    return step


def clock(series: SensorSeries, step: int) -> str:
    """A step as people say it, on the network's own clock: "Mon 2 Jan 1978, 08:15", for daily readings without the clock."""
    return calendar(format(_local(series, step), "%a %-d %b %Y" + ("" if is_daily(series) else ", %H:%M")))


def is_daily(series: SensorSeries) -> bool:
    """Whether the readings come in whole days, so that a time of day would say nothing."""
    return series.step_seconds % 86400 == 0


def period(series: SensorSeries) -> str:
    """First and last day of a series, local: "1 Jan 1961 to 31 Dec 1978"."""
    first, last = _local(series, 0), _local(series, series.n_steps - 1)
    return say("format.period", first=calendar(f"{first:%-d %b %Y}"), last=calendar(f"{last:%-d %b %Y}"))


def span(minutes: float) -> str:
    """A length of time in plain words: "15 minutes", "6 hours", "1 day"."""
    for size, word in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size and minutes % size == 0:
            count = int(minutes // size)
            return say(f"span.{word}") if count == 1 else say(f"span.{word}s", count=count)
    return say("span.minutes", count=number(minutes, 2))


def table(rows: pd.DataFrame, alt: str, decimals: int = 2, **kwargs: object) -> object:
    """A table without row numbers.

    Args:
        rows: to show. alt: the table in words. decimals: digits after the point of all numbers that are not whole by kind.
        kwargs: for `st.dataframe`; its `column_config` goes before ours.
    """
    number = st.column_config.NumberColumn(format=f"%.{decimals}f")
    ours = dict.fromkeys(rows.select_dtypes("floating").columns, number)
    return st.dataframe(rows, hide_index=True, alt=alt, column_config=ours | kwargs.pop("column_config", {}), **kwargs)


def _step_of(series: SensorSeries, word: str) -> int | None:
    try:
        seconds = (np.datetime64(word, "s") - series.times[0]).astype("int64")
    except ValueError:
        return None
    return int(seconds // series.step_seconds) if word else None


def _word(series: SensorSeries, step: int) -> str:
    return str(series.times[0] + np.timedelta64(series.step_seconds * step, "s"))


def _local(series: SensorSeries, step: int) -> datetime:
    moment = series.times[0] + np.timedelta64(series.step_seconds * step, "s")
    return to_local(np.array([moment]), series.timezone)[0].astype("datetime64[s]").item()


def _nearest(series: SensorSeries, local: datetime) -> int:
    """The step whose local time is nearest; a clock change may leave two, the first is taken."""
    guess = int((local - _local(series, 0)).total_seconds() // series.step_seconds)
    around = range(guess - 3600 * 2 // series.step_seconds - 1, guess + 3600 * 2 // series.step_seconds + 2)
    return min(around, key=lambda step: abs(_local(series, step) - local))


def plain(text: str) -> str:
    """Text of a user inside markdown: every sign that markdown would act on is escaped, so no link or image comes of it."""
    return markdown(text)
