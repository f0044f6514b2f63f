"""A place without a sensor on the Forecast page: chosen by a click beside the sensors, forecast from those around it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts.figures import lines
from stvlm.core.forecast import Forecast
from stvlm.core.windows import Window
from stvlm.ui.forecast import tables
from stvlm.ui.services import forecasters
from stvlm.ui.shell import inputs, layout, render, view_state
from stvlm.ui.shell.i18n import format_number, format_short, format_times, t
from stvlm.ui.shell.render import wording

if TYPE_CHECKING:
    from stvlm.model.stvlm import STVLM


def chosen() -> tuple[float, float] | None:
    """Latitude and longitude of the place in view; None for none."""
    return view_state.parse_param("place", read_place)


def read_place(word: str) -> tuple[float, float] | None:
    """A word of the URL, "53.2,-7.5", as latitude and longitude; None for a word that is none."""
    match = re.fullmatch(r"(-?\d{1,2}(?:\.\d{1,9})?),(-?\d{1,3}(?:\.\d{1,9})?)", word)
    return (float(match[1]), float(match[2])) if match and abs(float(match[1])) <= 90 else None


def choose(lat: float, lon: float) -> None:
    """Make a place the one in view; a group is let go of."""
    inputs.choose(())
    view_state.set_param("place", f"{lat:.5f},{(lon + 180) % 360 - 180:.5f}")


def plot(choice: forecasters.Choice, window: Window, forecast: Forecast, place: tuple[float, float], step: int) -> None:
    """The forecast of the place over time, what its bands cost, and its numbers; or why there is none."""
    st.markdown(f"**{t('forecast.place', lat=format_number(place[0], 3), lon=format_number(place[1], 3))}**")
    st.button(
        t("forecast.place_back"), key="clear-place", icon=":material/close:", on_click=view_state.set_param, args=("place", "")
    )
    try:
        here = forecast_at(choice, window, forecast.name, place)
    except ValueError as error:
        st.warning(inputs.plain(str(error)))
        return
    figure = lines.forecast_lines(None, here, 0, step=step, theme=layout.theme(), words=wording())
    figure.update_layout(title_text="")
    render.plot(figure, "here", t("forecast.alt_place_plot"), height=320)
    st.caption(inputs.plain(place_words(here, forecast)))
    with st.expander(t("format.as_table")):
        inputs.table(place_table(here), t("forecast.alt_place_table"), decimals=tables.decimals(forecast))


def forecast_at(choice: forecasters.Choice, window: Window, name: str, place: tuple[float, float]) -> Forecast:
    """The forecast of a place without a sensor, remembered; `name` says who made it.

    Raises:
        ValueError: a place of which the network tells nothing; the text says why.
    """
    key = f"{forecasters.cache_key(choice, window)} {place}"
    model = forecasters.load_model(choice, window.series)
    with st.spinner(t("forecast.place_wait")):
        return replace(_forecast_at(key, model, window, *place), name=name)


@st.cache_data(max_entries=32, show_spinner=False)
def _forecast_at(key: str, _model: STVLM, _window: Window, _lat: float, _lon: float) -> Forecast:
    from stvlm.inference import location

    return forecasters.submit("place", key, lambda: location.forecast_at(_model, _window, _lat, _lon))


def place_words(here: Forecast, forecast: Forecast) -> str:
    """How much wider than that of the nearest sensor the 80 % band of a place is.

    Args:
        here: one place. forecast: of the sensors around it, with a band of 80 %.
    """
    network = forecast.network
    index, distance = network.nearest_to(here.network.lat, here.network.lon, 1)
    node = int(index[0, 0])
    mine, theirs = (float(np.nanmean(np.subtract(*made.band(0.8)[::-1])[:, at])) for made, at in ((here, 0), (forecast, node)))
    return t(
        "forecast.place_words", name=inputs.sensor_label(network, node), km=format_short(distance[0, 0]),
        mine=f"{format_short(mine)} {forecast.unit}".rstrip(), theirs=f"{format_short(theirs)} {forecast.unit}".rstrip(),
    )  # fmt: skip


def place_table(here: Forecast) -> pd.DataFrame:
    """A row for each step: time, forecast, bands."""
    times = {t("forecast.time"): format_times(here.times, here.timezone)}
    columns = tables.columns(here, np.index_exp[:, 0], np.full(len(here.times), np.nan, "f4"))
    unknown = (t("forecast.came"), t("forecast.off"))
    return pd.DataFrame(times | {name: column for name, column in columns.items() if not name.startswith(unknown)})
