"""The simple methods that stand beside every forecast: persistence, seasonal naive, historical average, ridge."""

from __future__ import annotations

import streamlit as st

from stvlm.data.forecast import Forecast
from stvlm.data.seasons import find_seasons
from stvlm.data.windows import Split, Window
from stvlm.evaluation.baselines import BASELINES, Forecaster, TrainingData, fit_baseline
from stvlm.ui import datasets, session
from stvlm.ui.words import say

MOST_CELLS = 60_000_000  # of readings; above, the simple methods would take too much memory beside the page


def forecasts(window: Window) -> tuple[Forecast, ...]:
    """The simple methods' forecasts of a window, without bands; none where the readings do not suffice to fit them."""
    if window.series.n_steps * window.series.network.n_sensors > MOST_CELLS:
        st.caption(say("wait.no_simple"))
        return ()
    key = f"{window.series.fingerprint} {window.lookback} {window.horizon}"
    series = window.series
    found = []
    with st.spinner(say("wait.simple")):
        fitted = _fitted(key, window, session.data_id())
    for forecaster in fitted:
        if window.cutoff >= forecaster.first_cutoff:
            values = forecaster([window.cutoff])  # (1, H, N)
            found.append(
                Forecast(
                    series.network,
                    series.quantity,
                    series.unit,
                    forecaster.name,
                    window.future_times,
                    (0.5,),
                    values,
                    series.timezone,
                )
            )
    return tuple(found)


@st.cache_resource(max_entries=4, show_spinner=False)
def _fitted(key: str, _window: Window, data: str) -> tuple[Forecaster, ...]:
    series = _window.series
    split = Split.from_shares(series.n_steps, datasets.window_sizes(data, series)[2])
    if len(split.cutoffs("train", _window.lookback, _window.horizon)) == 0 or not series.observed[: split.train_end].any():
        return ()
    sample = datasets.sample(data)
    seasons = sample.seasons_minutes if sample else ()
    seasons = seasons or find_seasons(series.values, series.local_times, split.train_start, split.train_end, series.step_seconds)
    training = TrainingData(series, split, _window.lookback, _window.horizon)
    return tuple(forecaster for family in BASELINES for forecaster in fit_baseline(family, training, seasons))
