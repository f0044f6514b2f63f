"""The Fusion page: what a forecast drew on, and beside it what happens when that is taken away."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts.figures import fusion
from stvlm.charts.figures.fusion import triangle_html
from stvlm.charts.maps import sensor_map
from stvlm.charts.scale import with_unit
from stvlm.core.forecast import MODALITIES, FusionExplanation
from stvlm.core.series import SensorSeries, to_local
from stvlm.core.windows import Window
from stvlm.io.write import table_csv
from stvlm.ui.services import forecasters
from stvlm.ui.shell import inputs, layout, render, view_state
from stvlm.ui.shell.i18n import format_number, format_short, format_times, t

if TYPE_CHECKING:
    from stvlm.model.stvlm import STVLM


# What the Fusion page lets one take away: the whole explanation as JSON, the shares of all sensors as a table.

_MIME = {"json": "application/json", "csv": "text/csv"}


def download(explanation: FusionExplanation, suffix: str, label: str, words: str) -> None:
    """A button for a file, "json" or "csv", that is made when it is clicked."""
    stamp = str(explanation.times[0]).replace(":", "")
    make = as_json if suffix == "json" else as_csv
    st.download_button(
        label, lambda: make(explanation), f"explanation_{stamp}.{suffix}", _MIME[suffix],
        icon=":material/download:", on_click="ignore", help=words, key=f"get-explanation-{suffix}",
    )  # fmt: skip


def as_csv(explanation: FusionExplanation) -> str:
    """A row for each sensor: id, place, shares, mean absolute change of the forecast without each modality."""
    network = explanation.network
    found: dict[str, object] = {"sensor_id": network.ids, "lat": network.lat, "lon": network.lon}
    found |= {f"share_{name}": explanation.modality_weights[:, place] for place, name in enumerate(MODALITIES)}
    found |= {f"change_without_{name}": np.abs(change).mean(axis=0) for name, change in explanation.deletion.items()}
    return table_csv(pd.DataFrame(found))


def as_json(explanation: FusionExplanation) -> str:
    """The file that `stvlm explain` writes."""
    return json.dumps(explanation.to_dict(), ensure_ascii=False, allow_nan=False)


# The course of a fusion: what taking away changes from step to step, and how the shares go with the time of day.

PER_DAY, DAYS = 8, 3  # moments of a day that are looked at, and days; of daily readings four weeks


def over_horizon(explanation: FusionExplanation, sensor: int, name: str, timezone: str) -> None:
    """Change of the forecast of a sensor at each step when a modality is taken away."""
    if not explanation.deletion:
        st.caption(t("fusion.no_deletion"))
        return
    times = format_times(explanation.times, timezone)
    figure = fusion.deletion_lines(explanation, sensor, timezone, layout.theme(), render.wording())
    render.plot(figure, "over-horizon", t("fusion.alt_horizon", name=name), height=300)
    st.caption(t("fusion.horizon_note"))
    with st.expander(t("format.as_table")):
        rows = {with_unit(t(f"chart.{m}"), explanation.unit): change[:, sensor] for m, change in explanation.deletion.items()}
        inputs.table(pd.DataFrame({t("forecast.time"): times} | rows), t("fusion.alt_horizon", name=name), decimals=3)


def over_time(choice: forecasters.Choice, window: Window, sensor: int, name: str) -> None:
    """Shares of a sensor by the time of day, or by the day of the week where the readings are daily; only when asked for."""
    if not st.toggle(t("fusion.over_time"), key="over-time", help=t("fusion.over_time_help")):
        return
    cutoffs = moments_before(window)
    with st.spinner(t("fusion.wait_time")):
        shares = _shares(
            forecasters.cache_key(choice, window), forecasters.load_model(choice, window.series), window, cutoffs
        )  # (K, N, 3)
    labels, means = by_clock(window.series, np.array(cutoffs), shares[:, sensor])
    figure = fusion.share_course(labels, means, layout.theme(), render.wording())
    render.plot(figure, "over-time", t("fusion.alt_time", name=name), height=300)
    st.caption(t("fusion.time_note", n=len(cutoffs)))
    with st.expander(t("format.as_table")):
        columns = {f"{t(f'chart.{m}')}, %": 100 * means[:, place] for place, m in enumerate(MODALITIES)}
        inputs.table(pd.DataFrame({t("forecast.time"): labels} | columns), t("fusion.alt_time", name=name), decimals=1)


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
        days = t("calendar.names").split()
        keys, named = np.asarray(local.dayofweek), lambda key: days[key]
    found = np.unique(keys)
    return [named(int(key)) for key in found], np.stack([shares[keys == key].mean(axis=0) for key in found])


@st.cache_data(max_entries=8, show_spinner=False)
def _shares(key: str, _model: STVLM, _window: Window, cutoffs: tuple[int, ...]) -> np.ndarray:
    from stvlm.inference.predict import modality_shares

    return forecasters.submit("shares", f"{key} {cutoffs}", lambda: modality_shares(_model, _window.series, np.array(cutoffs)))


MIX = "mix"


def linked_views(choice: forecasters.Choice, window: Window) -> None:
    """The whole page below the choice of forecaster and moment."""
    whole = forecasters.explanation(choice, window)
    if forecasters.is_anchor(choice, window.series):
        st.warning(t("fusion.is_anchor"), icon=":material/warning:")
    _linked(choice, window, whole)
    st.info(t("fusion.not_proof"), icon=":material/info:")
    with st.container(horizontal=True):
        download(whole, "json", t("fusion.get_all"), t("fusion.get_all_help"))
        download(whole, "csv", t("fusion.get_shares"), t("fusion.get_shares_help"))


@st.fragment
def _linked(choice: forecasters.Choice, window: Window, whole: FusionExplanation) -> None:
    """Shares on the map; for the chosen sensor the image, the words and the sensors it drew on, and the effect of deletion."""
    network, words, theme = whole.network, render.wording(), layout.theme()
    left, right = st.columns(2)
    with left:
        kind = view_state.segmented_control(
            "modality", t("fusion.share_of"), (MIX, *MODALITIES), lambda name: t(f"fusion.kind_{name}"), wrap=True
        )
    with right:
        sensor = inputs.pick_sensor(network, t("common.sensor_or_map"))
    head = _pick_head(choice, window)
    explanation = whole if head is None else _of_head(choice, window, head, whole)
    name = inputs.sensor_label(network, sensor)
    left, right = st.columns(2)
    with left:
        _shares_map(explanation, kind, sensor)
    with right:
        _shares_and_deletion(explanation, sensor, name)
    st.subheader(t("fusion.drew_on", name=inputs.plain(name)), anchor=False)
    left, right = st.columns(2)
    with left:
        alt = t("fusion.alt_attention", name=name)
        render.show_map(sensor_map.attention_map(explanation, sensor, theme, words), network, "attention", alt, height=380)
        if len(explanation.view_attention) > 1:
            st.caption(_view_words(explanation, sensor))
    with right:
        _words_read(explanation, sensor)
    st.subheader(t("fusion.courses"), anchor=False)
    left, right = st.columns(2)
    with left:
        over_horizon(whole, sensor, name, window.series.timezone)
    with right:
        over_time(choice, window, sensor, name)
    with st.expander(t("fusion.as_tables")):
        _tables(explanation, sensor)


def _tables(explanation: FusionExplanation, sensor: int) -> None:
    inputs.table(share_rows(explanation), t("fusion.alt_shares_table", n=explanation.network.n_sensors), decimals=1, height=240)
    a, b, c = st.columns(3)
    with a:
        inputs.table(_sensor_rows(explanation, sensor), t("fusion.alt_sensors_table"))
    with b:
        inputs.table(_token_rows(explanation, sensor), t("fusion.alt_words_table"))
    with c:
        inputs.table(_place_rows(explanation, sensor), t("fusion.alt_places_table"))


def _shares_map(explanation: FusionExplanation, kind: str, sensor: int) -> None:
    """All three shares as one colour, or one of them."""
    words, theme, network = render.wording(), layout.theme(), explanation.network
    said = _share_words(explanation, sensor)
    if kind != MIX:
        view = sensor_map.shares_map(explanation, kind, theme, sensor, words)
        render.show_map(view, network, "shares", f"{t('fusion.alt_shares', modality=t(f'fusion.{kind}'))} {said}", height=380)
        return
    view, triangle = sensor_map.mix_map(explanation, theme, sensor, words)
    render.show_map(view, network, "shares", f"{t('fusion.alt_mix')} {said}", height=380)
    st.html(triangle_html(triangle, explanation.modality_weights, sensor, theme, words))
    st.caption(t("fusion.how_to_read"))


def _pick_head(choice: forecasters.Choice, window: Window) -> int | None:
    """Which attention head is told of; None for the mean over all."""
    model = forecasters.load_model(choice, window.series)
    if not len(model.backbone.layers):
        return None
    options = ("mean", *(str(head + 1) for head in range(model.backbone.n_heads)))
    head = view_state.param_in("head", options, "mean")
    key = view_state.bind("head", head)
    st.selectbox(
        t("fusion.head"),
        options,
        key=key,
        format_func=lambda option: t("fusion.all_heads") if option == "mean" else t("fusion.one_head", n=option),
        on_change=view_state.sync_to_url("head", key, options),
        help=t("fusion.head_help"),
        width=360,
    )
    return None if head == "mean" else int(head) - 1


def _of_head(choice: forecasters.Choice, window: Window, head: int, whole: FusionExplanation) -> FusionExplanation:
    """What one head drew on; the effect of deletion is that of the whole model."""
    model, key = forecasters.load_model(choice, window.series), forecasters.cache_key(choice, window)
    with st.spinner(t("fusion.wait_head")):
        return replace(_explained(key, model, window, head), deletion=whole.deletion)


@st.cache_data(max_entries=32, show_spinner=False)
def _explained(key: str, _model: STVLM, _window: Window, head: int) -> FusionExplanation:
    from stvlm.inference.predict import explain

    return forecasters.submit("head", f"{key} {head}", lambda: explain(_model, _window, deletion=False, head=head))


def _shares_and_deletion(explanation: FusionExplanation, sensor: int, name: str) -> None:
    words, theme = render.wording(), layout.theme()
    shares, changes = _share_words(explanation, sensor), _deletion_words(explanation, sensor)
    render.plot(
        fusion.shares_bars(explanation, sensor, theme, words), "shares", t("fusion.alt_bars", name=name, said=shares), height=240
    )
    alt = t("fusion.alt_deletion", name=name, said=changes)
    render.plot(fusion.deletion_bars(explanation, sensor, theme, words), "deletion", alt, height=240)
    st.caption(inputs.plain(f"{name}: {shares} {changes}"))


def _words_read(explanation: FusionExplanation, sensor: int) -> None:
    if not explanation.tokens:
        st.caption(t("fusion.reads_nothing"))
        return
    st.markdown(f"**{t('fusion.prompt')}**")
    with st.container(border=True):
        st.html(fusion.prompt_html(explanation.tokens, explanation.text_attention[sensor], layout.theme(), render.wording()))


def _share_words(explanation: FusionExplanation, sensor: int) -> str:
    shares = explanation.modality_weights[sensor] * 100
    return ", ".join(f"{t(f'chart.{m}')} {format_number(s, 0)} %" for m, s in zip(MODALITIES, shares, strict=True)) + "."


def _view_words(explanation: FusionExplanation, sensor: int) -> str:
    """How the image attention is shared between the views, of which only those with a place are on the map."""
    shares = ", ".join(f"{name} {format_number(100 * share[sensor], 0)} %" for name, share in explanation.view_attention.items())
    off = 100 * (1 - explanation.image_attention[sensor].sum())
    rest = " " + t("fusion.off_map", share=format_number(off, 0)) if off > 0.5 else ""
    return t("fusion.by_view", shares=shares) + rest


def _deletion_words(explanation: FusionExplanation, sensor: int) -> str:
    if not explanation.deletion:
        return t("fusion.no_deletion")
    parts = [
        f"{t(f'chart.{m}')} {format_short(np.nanmean(np.abs(change[:, sensor])))} {explanation.unit}".rstrip()
        for m, change in explanation.deletion.items()
    ]
    return t("fusion.changes", parts=", ".join(parts))


def share_rows(explanation: FusionExplanation) -> pd.DataFrame:
    """All sensors: shares in %, and the mean change of the forecast without each modality."""
    network = explanation.network
    found: dict[str, object] = {t("common.sensor"): [inputs.sensor_label(network, n) for n in range(network.n_sensors)]}
    for place, modality in enumerate(MODALITIES):
        found[f"{t(f'chart.{modality}')}, %"] = 100 * explanation.modality_weights[:, place]
    for modality, change in explanation.deletion.items():
        title = with_unit(t("chart.without", modality=t(f"chart.{modality}")), explanation.unit)
        found[title] = np.abs(change).mean(axis=0)
    return pd.DataFrame(found)


def _sensor_rows(explanation: FusionExplanation, sensor: int) -> pd.DataFrame:
    share = explanation.sensor_attention[sensor] * 100
    top = np.argsort(-share)[:12]
    return pd.DataFrame(
        {t("common.sensor"): [inputs.sensor_label(explanation.network, int(n)) for n in top], t("fusion.share"): share[top]}
    )


def _token_rows(explanation: FusionExplanation, sensor: int) -> pd.DataFrame:
    share = explanation.text_attention[sensor] * 100
    top = np.argsort(-share)[:12]
    return pd.DataFrame({t("fusion.word"): [explanation.tokens[int(i)].strip() for i in top], t("fusion.share"): share[top]})


def _place_rows(explanation: FusionExplanation, sensor: int) -> pd.DataFrame:
    """The patches with most attention, by their middle."""
    field = explanation.image_attention[sensor] * 100
    if field.size == 0 or field.max() <= 0:
        return pd.DataFrame({t("fusion.place"): [], t("fusion.share"): []})
    west, south, east, north = explanation.image_bounds
    g = field.shape[0]
    top = np.argsort(-field.ravel())[:12]
    lat = north - (top // g + 0.5) / g * (north - south)
    lon = west + (top % g + 0.5) / g * (east - west)
    return pd.DataFrame({t("fusion.lat"): lat, t("fusion.lon"): lon, t("fusion.share"): field.ravel()[top]})
