"""The course of a fusion: what taking away changes from step to step, and how the shares go with the time of day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import weights
from stvlm.charts.scale import with_unit
from stvlm.data.forecast import MODALITIES, FusionExplanation
from stvlm.data.series import SensorSeries, to_local
from stvlm.data.windows import Window
from stvlm.ui import frame, models, show, widgets
from stvlm.ui.words import moments, say

if TYPE_CHECKING:
    from stvlm.model.stvlm import STVLM

PER_DAY, DAYS = 8, 3  # moments of a day that are looked at, and days; of daily readings four weeks


def over_horizon(explanation: FusionExplanation, sensor: int, name: str, timezone: str) -> None:
    """Change of the forecast of a sensor at each step when a modality is taken away."""
    if not explanation.deletion:
        st.caption(say("fusion.no_deletion"))
        return
    times = moments(explanation.times, timezone)
    figure = weights.deletion_lines(explanation, sensor, timezone, frame.theme(), show.wording())
    show.plot(figure, "over-horizon", say("fusion.alt_horizon", name=name), height=300)
    st.caption(say("fusion.horizon_note"))
    with st.expander(say("format.as_table")):
        rows = {with_unit(say(f"chart.{m}"), explanation.unit): change[:, sensor] for m, change in explanation.deletion.items()}
        widgets.table(pd.DataFrame({say("forecast.time"): times} | rows), say("fusion.alt_horizon", name=name), decimals=3)


def over_time(choice: models.Choice, window: Window, sensor: int, name: str) -> None:
    """Shares of a sensor by the time of day, or by the day of the week where the readings are daily; only when asked for."""
    if not st.toggle(say("fusion.over_time"), key="over-time", help=say("fusion.over_time_help")):
        return
    cutoffs = moments_before(window)
    with st.spinner(say("fusion.wait_time")):
        shares = _shares(models.key(choice, window), models.ready(choice, window.series), window, cutoffs)  # (K, N, 3)
    labels, means = by_clock(window.series, np.array(cutoffs), shares[:, sensor])
    figure = weights.share_course(labels, means, frame.theme(), show.wording())
    show.plot(figure, "over-time", say("fusion.alt_time", name=name), height=300)
    st.caption(say("fusion.time_note", n=len(cutoffs)))
    with st.expander(say("format.as_table")):
        columns = {f"{say(f'chart.{m}')}, %": 100 * means[:, place] for place, m in enumerate(MODALITIES)}
        widgets.table(pd.DataFrame({say("forecast.time"): labels} | columns), say("fusion.alt_time", name=name), decimals=1)


def moments_before(window: Window) -> tuple[int, ...]:
    """Cutoffs up to that of the window that go evenly through the day, rising: of daily readings every day of four weeks."""
    per_day = max(86_400 // window.series.step_seconds, 1)
    stride, count = (1, 28) if per_day == 1 else (max(per_day // PER_DAY, 1), min(PER_DAY, per_day) * DAYS)
    return tuple(c for c in range(window.cutoff - stride * (count - 1), window.cutoff + 1, stride) if c >= window.lookback)


def by_clock(series: SensorSeries, cutoffs: np.ndarray, shares: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Mean shares at each time of day, or on each day of the week of daily readings.

    Args:
        cutoffs: (K,) steps. shares: (K, 3).

    Returns:
        labels: of the C times, "08:00" or "Mon". means: (C, 3).
    """
    times = series.times[0] + np.timedelta64(series.step_seconds, "s") * cutoffs
    local = pd.DatetimeIndex(to_local(times, series.timezone))
    if series.step_seconds % 86_400:
        keys, named = np.asarray(60 * local.hour + local.minute), lambda key: f"{key // 60:02d}:{key % 60:02d}"
    else:
        days = say("calendar.names").split()
        keys, named = np.asarray(local.dayofweek), lambda key: days[key]
    found = np.unique(keys)
    return [named(int(key)) for key in found], np.stack([shares[keys == key].mean(axis=0) for key in found])


@st.cache_data(max_entries=8, show_spinner=False)
def _shares(key: str, _model: STVLM, _window: Window, cutoffs: tuple[int, ...]) -> np.ndarray:
    from stvlm.predict import modality_shares

    return models.ask("shares", f"{key} {cutoffs}", lambda: modality_shares(_model, _window.series, np.array(cutoffs)))
