"""Widgets that several pages share: the network in view, a sensor, a moment, a map, a table twin."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.core.escape import cells, markdown
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries, to_local
from stvlm.ui.services import networks
from stvlm.ui.shell import layout, view_state
from stvlm.ui.shell.callbacks import Between
from stvlm.ui.shell.i18n import format_number, t, translate_calendar


def need_series() -> SensorSeries:
    """The network in view; without one, say how to get one and end the page."""
    data = view_state.data_id()
    if data:
        try:
            return networks.load(data)
        except networks.UnknownNetworkError:
            st.error(t("common.unknown_network"))
            st.text(data)
    else:
        st.info(t("common.no_network"))
    layout.page_link("home", t("common.take_sample"))
    layout.page_link("data", t("common.upload"), source="own")
    st.stop()


def pick_sensor(network: SensorNetwork, label: str = "") -> int:
    """Choose a sensor; maps and tables set the same one.

    Returns:
        Its place on the N axis.
    """
    sensor = view_state.param_in("sensor", network.ids, network.ids[0])
    key = view_state.bind("sensor", sensor)
    st.selectbox(
        label or t("common.sensor"),
        network.ids,
        key=key,
        format_func=sensor_labels(network).get,
        on_change=view_state.sync_to_url("sensor", key, network.ids),
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
    step = view_state.parse_param(name, lambda word: _step_of(series, word))
    step = default if step is None or not first <= step <= last else step
    view_state.sync_param(name, _word(series, step))
    if first >= last:
        st.text(f"{label}: {clock(series, step)}")
        return step
    key = view_state.bind(name, _local(series, step))
    ends = _local(series, first), _local(series, last)
    with st.container(horizontal=True, vertical_alignment="bottom", wrap=False):
        st.slider(
            f"{label} ({series.timezone})" if series.timezone else label,
            *ends,
            step=timedelta(seconds=series.step_seconds),
            format=t("format.day" if is_daily(series) else "format.minute"),
            key=key,
            on_change=view_state.sync_to_url(name, key, Between(*ends), lambda value: _word(series, _nearest(series, value))),
        )
        for move, icon in ((-1, ":material/chevron_left:"), (1, ":material/chevron_right:")):
            st.button(
                "",
                icon=icon,
                key=f"{name}{move}",
                help=t("common.earlier" if move < 0 else "common.later"),
                disabled=not first <= step + move <= last,
                on_click=view_state.set_param,
                args=(name, _word(series, step + move)),
            )
    return step


def clock(series: SensorSeries, step: int) -> str:
    """A step as people say it, on the network's own clock: "Mon 2 Jan 1978, 08:15", for daily readings without the clock."""
    return translate_calendar(format(_local(series, step), "%a %-d %b %Y" + ("" if is_daily(series) else ", %H:%M")))


def is_daily(series: SensorSeries) -> bool:
    """Whether the readings come in whole days, so that a time of day would say nothing."""
    return series.step_seconds % 86400 == 0


def period(series: SensorSeries) -> str:
    """First and last day of a series, local: "1 Jan 1961 to 31 Dec 1978"."""
    first, last = _local(series, 0), _local(series, series.n_steps - 1)
    return t("format.period", first=translate_calendar(f"{first:%-d %b %Y}"), last=translate_calendar(f"{last:%-d %b %Y}"))


def table(rows: pd.DataFrame, alt: str, decimals: int = 2, **kwargs: object) -> object:
    """A table without row numbers, the only door to `st.dataframe`: what its toolbar saves and what is copied from it holds no formula.

    Args:
        rows: to show. alt: the table in words. decimals: digits after the point of all numbers that are not whole by kind.
        kwargs: for `st.dataframe`; its `column_config` goes before ours.
    """
    rows = cells(rows.reset_index(drop=True))
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


# A group of sensors, chosen by a lasso on the map or by rows of the table, and kept in the URL.

LONGEST = 4000  # characters of the URL that a group may take


def pack(nodes: Sequence[int]) -> str:
    """Nodes as one short word: [3, 4, 5, 9] is "3-5.9"; what would be too long so is "~" and a bit for each node."""
    runs: list[list[int]] = []
    for node in sorted(set(nodes)):
        if runs and node == runs[-1][1] + 1:
            runs[-1][1] = node
        else:
            runs.append([node, node])
    word = ".".join(f"{a}-{b}" if b > a else f"{a}" for a, b in runs)
    if len(word) <= LONGEST:
        return word
    bits = np.zeros(max(nodes) + 1, "uint8")
    bits[list(nodes)] = 1
    return "~" + base64.urlsafe_b64encode(np.packbits(bits).tobytes()).decode()


def unpack(word: str, n_sensors: int) -> tuple[int, ...]:
    """The inverse of `pack`; nothing for a word that is none or names a node that is not there."""
    if word.startswith("~"):
        return _unpack_bits(word[1:], n_sensors)
    if not re.fullmatch(r"\d{1,7}(-\d{1,7})?(\.\d{1,7}(-\d{1,7})?)*", word):
        return ()
    ends = [[int(end) for end in run.split("-")] for run in word.split(".")]
    if any(run[-1] >= n_sensors or run[0] > run[-1] for run in ends):
        return ()
    return tuple(sorted({node for run in ends for node in range(run[0], run[-1] + 1)}))


def _unpack_bits(word: str, n_sensors: int) -> tuple[int, ...]:
    try:
        bits = np.unpackbits(np.frombuffer(base64.b64decode(word, altchars=b"-_", validate=True), "uint8"))
    except ValueError:
        return ()
    nodes = np.flatnonzero(bits)
    return tuple(nodes.tolist()) if len(nodes) and nodes[-1] < n_sensors else ()


def chosen(network: SensorNetwork, name: str = "group") -> tuple[int, ...]:
    """The nodes of a group of the view; () for none."""
    return view_state.parse_param(name, lambda word: unpack(word, network.n_sensors), LONGEST) or ()


def choose(nodes: Sequence[int], name: str = "group") -> None:
    """Make nodes the group; a group of over LONGEST characters is not kept."""
    word = pack(nodes)
    view_state.set_param(name, word if len(word) <= LONGEST else "")


def take_ids(ids: Sequence[object], network: SensorNetwork) -> None:
    """Take what a lasso caught: one sensor becomes the sensor in view, several the group, none clears it."""
    nodes = nodes_of(ids, network)
    if len(nodes) == 1:
        view_state.set_param("sensor", network.ids[nodes[0]])
    choose(nodes if len(nodes) > 1 else ())


def nodes_of(ids: Sequence[object], network: SensorNetwork) -> list[int]:
    """The nodes of ids, without those that are none."""
    place = {identity: node for node, identity in enumerate(network.ids)}
    return [place[str(i)] for i in ids if str(i) in place]


def clear_button(nodes: Sequence[int], name: str = "group", label: str = "") -> None:
    """A button that takes the group away; `label` says so in other words."""
    label = label or t("forecast.let_go", n=format_number(len(nodes), 0))
    st.button(label, key=f"clear-{name}", icon=":material/close:", on_click=choose, args=((), name))
