"""The Forecast page: map, time plot and table of one forecast, linked by the sensor and the step in view."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import lines, maps
from stvlm.charts.scale import fit_scale, format_times
from stvlm.data.forecast import Forecast
from stvlm.data.formats import write_forecast
from stvlm.data.windows import Window
from stvlm.ui import frame, models, session, show, widgets

_MIME = {".csv": "text/csv", ".parquet": "application/vnd.apache.parquet", ".geojson": "application/geo+json"}


@st.fragment
def linked_views(window: Window, forecast: Forecast, rivals: tuple[Forecast, ...]) -> None:
    """Map, plot and table; a click in one moves all, and only this part of the page is drawn again.

    Args:
        window: what was forecast from; its future is the truth where it is known. forecast: of the model.
        rivals: of simple methods.
    """
    network = forecast.network
    left, right = st.columns(2)
    with left:
        step = _pick_step(forecast)
    with right:
        sensor = widgets.pick_sensor(network, "Sensor (or click one on the map or in the table)")
    when = format_times(forecast.times, forecast.timezone)[step]
    with left:
        alt = f"Map: median forecast of {forecast.quantity} for {when}; {_in_words(forecast, step, sensor)}"
        show.show_map(maps.forecast_map(forecast, step, frame.theme(), sensor), network, "forecast", alt, height=400)
    with right:
        shown = _pick_rivals(rivals)
        figure = lines.forecast_lines(
            window.series, forecast, sensor, baselines=shown, step=step, past_steps=max(3 * window.horizon, 24), theme=frame.theme()
        )
        alt = f"Forecast of {widgets.sensor_label(network, sensor)} with bands; the table below has its numbers."
        figure.update_layout(title_text="")  # the sensor stands in the box above
        show.plot(figure, "lines", alt)
    one, every = st.tabs([f"{widgets.plain(widgets.sensor_label(network, sensor))}, all steps", f"All sensors, {when}"])
    with one:
        alt = f"The forecast of one sensor, {len(forecast.times)} rows."
        widgets.table(_steps_table(window, forecast, shown, sensor), alt, decimals=_decimals(forecast))
    with every:
        alt = f"The forecast of {network.n_sensors} sensors for {when}; a click on a row chooses the sensor."
        show.sensor_table(_sensors_table(window, forecast, step), network, "every", alt, decimals=_decimals(forecast))


def about(choice: models.Choice, forecast: Forecast) -> None:
    """Who made the forecast, and what its bands held when they could be checked."""
    st.caption(f"Made by {widgets.plain(choice.label)}. {widgets.plain(models.coverage_note(choice))}")


def downloads(forecast: Forecast, key: str) -> None:
    """The whole forecast as files."""
    with st.container(horizontal=True):
        for suffix, label in ((".csv", "CSV"), (".parquet", "Parquet"), (".geojson", "GeoJSON")):
            st.download_button(
                label,
                _as_file(key, suffix, forecast),
                f"forecast{suffix}",
                _MIME[suffix],
                icon=":material/download:",
                on_click="ignore",
                help=f"{forecast.network.n_sensors} sensors × {len(forecast.times)} steps: forecast and 80 % band.",
            )


@st.cache_data(max_entries=24, show_spinner=False)
def _as_file(key: str, suffix: str, _forecast: Forecast) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"forecast{suffix}"
        write_forecast(_forecast, path)
        return path.read_bytes()


def _pick_step(forecast: Forecast) -> int:
    """Choose a step of the horizon by its time; the URL has it as 1 .. H."""
    times = format_times(forecast.times, forecast.timezone)
    options = [str(step + 1) for step in range(len(times))]
    step = session.chosen("step", options, options[0])
    if len(options) == 1:
        st.text(f"Step: {times[0]}")
        return 0
    key = session.tied("step", step)
    st.select_slider(
        f"Step of the forecast ({forecast.timezone})" if forecast.timezone else "Step of the forecast",
        options,
        key=key,
        format_func=lambda s: f"{times[int(s) - 1]} (step {s})",
        on_change=session.taken,
        args=("step", key, str),
    )
    return int(step) - 1


def _pick_rivals(rivals: tuple[Forecast, ...]) -> tuple[Forecast, ...]:
    """Which simple methods to draw beside the forecast."""
    if not rivals:
        return ()
    names = [r.name for r in rivals]
    shown = st.pills("Simple methods beside it", names, selection_mode="multi", key="rivals", persist_state="session", wrap=True)
    return tuple(r for r in rivals if r.name in shown)


def _in_words(forecast: Forecast, step: int, sensor: int) -> str:
    value = forecast.median[step, sensor]
    name = widgets.sensor_label(forecast.network, sensor)
    return f"{name}: {value:.4g} {forecast.unit}." if np.isfinite(value) else f"{name}: no forecast."


def _steps_table(window: Window, forecast: Forecast, rivals: tuple[Forecast, ...], sensor: int) -> pd.DataFrame:
    unit = f", {forecast.unit}" if forecast.unit else ""
    measured = models.truth(window)[:, sensor]
    columns = {
        "Time": format_times(forecast.times, forecast.timezone),
        f"Forecast{unit}": forecast.median[:, sensor],
        f"Measured{unit}": measured,
        f"Off by{unit}": forecast.median[:, sensor] - measured,
    }
    columns |= {f"{share:.0%} band{unit}".replace("%", " %"): _band(forecast, share)[:, sensor] for share in forecast.shares}
    columns |= {f"{r.name}{unit}": r.median[:, sensor] for r in rivals}
    return pd.DataFrame(columns)


def _sensors_table(window: Window, forecast: Forecast, step: int) -> pd.DataFrame:
    unit = f", {forecast.unit}" if forecast.unit else ""
    network = forecast.network
    measured = models.truth(window)[step]
    names = [network.name(n) for n in range(network.n_sensors)]
    columns = {"Sensor": network.ids} | ({"Name": names} if names != list(network.ids) else {})
    columns |= {
        f"Forecast{unit}": forecast.median[step],
        f"Measured{unit}": measured,
        f"Off by{unit}": forecast.median[step] - measured,
    }
    columns |= {f"{share:.0%} band{unit}".replace("%", " %"): _band(forecast, share)[step] for share in forecast.shares}
    return pd.DataFrame(columns)


def _decimals(forecast: Forecast) -> int:
    return fit_scale(forecast.median).decimals


def _band(forecast: Forecast, share: float) -> np.ndarray:
    """(H, N) texts "5.9 to 17.5"."""
    low, high = forecast.band(share)
    digits = _decimals(forecast)
    texts = [
        f"{a:.{digits}f} to {b:.{digits}f}" if np.isfinite(a + b) else "" for a, b in zip(low.ravel(), high.ravel(), strict=True)
    ]
    return np.array(texts, dtype=object).reshape(low.shape)
