"""The Fusion page: what a forecast drew on, and beside it what happens when that is taken away."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import maps, weights
from stvlm.charts.scale import with_unit
from stvlm.charts.ternary import triangle_html
from stvlm.data.forecast import MODALITIES, FusionExplanation
from stvlm.data.windows import Window
from stvlm.ui import courses, frame, models, session, show, taking, widgets
from stvlm.ui.words import brief, number, say

if TYPE_CHECKING:
    from stvlm.model.stvlm import STVLM

MIX = "mix"


def linked_views(choice: models.Choice, window: Window) -> None:
    """The whole page below the choice of forecaster and moment."""
    whole = models.explanation(choice, window)
    if models.is_anchor(choice, window.series):
        st.warning(say("fusion.is_anchor"), icon=":material/warning:")
    _linked(choice, window, whole)
    st.info(say("fusion.not_proof"), icon=":material/info:")
    with st.container(horizontal=True):
        taking.download(whole, "json", say("fusion.get_all"), say("fusion.get_all_help"))
        taking.download(whole, "csv", say("fusion.get_shares"), say("fusion.get_shares_help"))


@st.fragment
def _linked(choice: models.Choice, window: Window, whole: FusionExplanation) -> None:
    """Shares on the map; for the chosen sensor the image, the words and the sensors it drew on, and the effect of deletion."""
    network, words, theme = whole.network, show.wording(), frame.theme()
    left, right = st.columns(2)
    with left:
        kind = session.segmented(
            "modality", say("fusion.share_of"), (MIX, *MODALITIES), lambda name: say(f"fusion.kind_{name}"), wrap=True
        )
    with right:
        sensor = widgets.pick_sensor(network, say("common.sensor_or_map"))
    head = _pick_head(choice, window)
    explanation = whole if head is None else _of_head(choice, window, head, whole)
    name = widgets.sensor_label(network, sensor)
    left, right = st.columns(2)
    with left:
        _shares_map(explanation, kind, sensor)
    with right:
        _shares_and_deletion(explanation, sensor, name)
    st.subheader(say("fusion.drew_on", name=widgets.plain(name)), anchor=False)
    left, right = st.columns(2)
    with left:
        alt = say("fusion.alt_attention", name=name)
        show.show_map(maps.attention_map(explanation, sensor, theme, words), network, "attention", alt, height=380)
        if len(explanation.view_attention) > 1:
            st.caption(_view_words(explanation, sensor))
    with right:
        _words_read(explanation, sensor)
    st.subheader(say("fusion.courses"), anchor=False)
    left, right = st.columns(2)
    with left:
        courses.over_horizon(whole, sensor, name, window.series.timezone)
    with right:
        courses.over_time(choice, window, sensor, name)
    with st.expander(say("fusion.as_tables")):
        _tables(explanation, sensor)


def _tables(explanation: FusionExplanation, sensor: int) -> None:
    widgets.table(share_rows(explanation), say("fusion.alt_shares_table", n=explanation.network.n_sensors), decimals=1, height=240)
    a, b, c = st.columns(3)
    with a:
        widgets.table(_sensor_rows(explanation, sensor), say("fusion.alt_sensors_table"))
    with b:
        widgets.table(_token_rows(explanation, sensor), say("fusion.alt_words_table"))
    with c:
        widgets.table(_place_rows(explanation, sensor), say("fusion.alt_places_table"))


def _shares_map(explanation: FusionExplanation, kind: str, sensor: int) -> None:
    """All three shares as one colour, or one of them."""
    words, theme, network = show.wording(), frame.theme(), explanation.network
    said = _share_words(explanation, sensor)
    if kind != MIX:
        view = maps.shares_map(explanation, kind, theme, sensor, words)
        show.show_map(view, network, "shares", f"{say('fusion.alt_shares', modality=say(f'fusion.{kind}'))} {said}", height=380)
        return
    view, triangle = maps.mix_map(explanation, theme, sensor, words)
    show.show_map(view, network, "shares", f"{say('fusion.alt_mix')} {said}", height=380)
    st.html(triangle_html(triangle, explanation.modality_weights, sensor, theme, words))
    st.caption(say("fusion.how_to_read"))


def _pick_head(choice: models.Choice, window: Window) -> int | None:
    """Which attention head is told of; None for the mean over all."""
    model = models.ready(choice, window.series)
    if not len(model.backbone.layers):
        return None
    options = ("mean", *(str(head + 1) for head in range(model.backbone.n_heads)))
    head = session.chosen("head", options, "mean")
    key = session.tied("head", head)
    st.selectbox(
        say("fusion.head"),
        options,
        key=key,
        format_func=lambda option: say("fusion.all_heads") if option == "mean" else say("fusion.one_head", n=option),
        on_change=session.taken,
        args=("head", key, str),
        help=say("fusion.head_help"),
        width=360,
    )
    return None if head == "mean" else int(head) - 1


def _of_head(choice: models.Choice, window: Window, head: int, whole: FusionExplanation) -> FusionExplanation:
    """What one head drew on; the effect of deletion is that of the whole model."""
    model, key = models.ready(choice, window.series), models.key(choice, window)
    with st.spinner(say("fusion.wait_head")):
        return replace(_explained(key, model, window, head), deletion=whole.deletion)


@st.cache_data(max_entries=32, show_spinner=False)
def _explained(key: str, _model: STVLM, _window: Window, head: int) -> FusionExplanation:
    from stvlm.predict import explain

    return models.ask("head", f"{key} {head}", lambda: explain(_model, _window, deletion=False, head=head))


def _shares_and_deletion(explanation: FusionExplanation, sensor: int, name: str) -> None:
    words, theme = show.wording(), frame.theme()
    shares, changes = _share_words(explanation, sensor), _deletion_words(explanation, sensor)
    show.plot(
        weights.shares_bars(explanation, sensor, theme, words), "shares", say("fusion.alt_bars", name=name, said=shares), height=240
    )
    alt = say("fusion.alt_deletion", name=name, said=changes)
    show.plot(weights.deletion_bars(explanation, sensor, theme, words), "deletion", alt, height=240)
    st.caption(widgets.plain(f"{name}: {shares} {changes}"))


def _words_read(explanation: FusionExplanation, sensor: int) -> None:
    if not explanation.tokens:
        st.caption(say("fusion.reads_nothing"))
        return
    st.markdown(f"**{say('fusion.prompt')}**")
    with st.container(border=True):
        st.html(weights.prompt_html(explanation.tokens, explanation.text_attention[sensor], frame.theme(), show.wording()))


def _share_words(explanation: FusionExplanation, sensor: int) -> str:
    shares = explanation.modality_weights[sensor] * 100
    return ", ".join(f"{say(f'chart.{m}')} {number(s, 0)} %" for m, s in zip(MODALITIES, shares, strict=True)) + "."


def _view_words(explanation: FusionExplanation, sensor: int) -> str:
    """How the image attention is shared between the views, of which only those with a place are on the map."""
    shares = ", ".join(f"{name} {number(100 * share[sensor], 0)} %" for name, share in explanation.view_attention.items())
    off = 100 * (1 - explanation.image_attention[sensor].sum())
    rest = " " + say("fusion.off_map", share=number(off, 0)) if off > 0.5 else ""
    return say("fusion.by_view", shares=shares) + rest


def _deletion_words(explanation: FusionExplanation, sensor: int) -> str:
    if not explanation.deletion:
        return say("fusion.no_deletion")
    parts = [
        f"{say(f'chart.{m}')} {brief(np.nanmean(np.abs(change[:, sensor])))} {explanation.unit}".rstrip()
        for m, change in explanation.deletion.items()
    ]
    return say("fusion.changes", parts=", ".join(parts))


def share_rows(explanation: FusionExplanation) -> pd.DataFrame:
    """All sensors: shares in %, and the mean change of the forecast without each modality."""
    network = explanation.network
    found: dict[str, object] = {say("common.sensor"): [widgets.sensor_label(network, n) for n in range(network.n_sensors)]}
    for place, modality in enumerate(MODALITIES):
        found[f"{say(f'chart.{modality}')}, %"] = 100 * explanation.modality_weights[:, place]
    for modality, change in explanation.deletion.items():
        title = with_unit(say("chart.without", modality=say(f"chart.{modality}")), explanation.unit)
        found[title] = np.abs(change).mean(axis=0)
    return pd.DataFrame(found)


def _sensor_rows(explanation: FusionExplanation, sensor: int) -> pd.DataFrame:
    share = explanation.sensor_attention[sensor] * 100
    top = np.argsort(-share)[:12]
    return pd.DataFrame(
        {say("common.sensor"): [widgets.sensor_label(explanation.network, int(n)) for n in top], say("fusion.share"): share[top]}
    )


def _token_rows(explanation: FusionExplanation, sensor: int) -> pd.DataFrame:
    share = explanation.text_attention[sensor] * 100
    top = np.argsort(-share)[:12]
    return pd.DataFrame({say("fusion.word"): [explanation.tokens[int(i)].strip() for i in top], say("fusion.share"): share[top]})


def _place_rows(explanation: FusionExplanation, sensor: int) -> pd.DataFrame:
    """The patches with most attention, by their middle."""
    field = explanation.image_attention[sensor] * 100
    if field.size == 0 or field.max() <= 0:
        return pd.DataFrame({say("fusion.place"): [], say("fusion.share"): []})
    west, south, east, north = explanation.image_bounds
    g = field.shape[0]
    top = np.argsort(-field.ravel())[:12]
    lat = north - (top // g + 0.5) / g * (north - south)
    lon = west + (top % g + 0.5) / g * (east - west)
    return pd.DataFrame({say("fusion.lat"): lat, say("fusion.lon"): lon, say("fusion.share"): field.ravel()[top]})
