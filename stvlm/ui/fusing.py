"""The Fusion page: what a forecast drew on, and beside it what happens when that is taken away."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import maps, weights
from stvlm.data.forecast import MODALITIES, FusionExplanation
from stvlm.ui import frame, session, show, widgets

NOT_PROOF = (
    "Shares and attention say where the model looked, not that it needed what it saw there. "
    "The effect of deletion is measured: the forecast is made again without that modality."
)
WORDS = {"vision": "vision (the image)", "text": "text (the prompt)", "series": "series (the readings themselves)"}


def linked_views(explanation: FusionExplanation, is_anchor: bool) -> None:
    """The whole page below the choice of forecaster and moment.

    Args:
        explanation: of N sensors. is_anchor: whether the network was not accepted, so that the forecast is the anchor's.
    """
    if is_anchor:
        st.warning(
            "This network did not beat its anchor on the validation part by a clear margin, so it was not accepted: the forecast "
            "is the anchor's. The shares are what the network would draw on; deleting image or text changes nothing.",
            icon=":material/warning:",
        )
    _linked(explanation)
    st.info(NOT_PROOF, icon=":material/info:")


@st.fragment
def _linked(explanation: FusionExplanation) -> None:
    """Shares on the map; for the chosen sensor the image, the words and the sensors it drew on, and the effect of deletion."""
    network = explanation.network
    left, right = st.columns(2)
    with left:
        modality = session.segmented("modality", "Share of", MODALITIES)
    with right:
        sensor = widgets.pick_sensor(network, "Sensor (or click one on a map)")
    name = widgets.sensor_label(network, sensor)
    left, right = st.columns(2)
    with left:
        alt = f"Map: share of {WORDS[modality]} in the fusion of each sensor; {_share_words(explanation, sensor)}"
        show.show_map(maps.shares_map(explanation, modality, frame.theme(), sensor), network, "shares", alt, height=380)
    with right:
        _shares_and_deletion(explanation, sensor, name)
    st.subheader(f"What {widgets.plain(name)} drew on", anchor=False)
    left, right = st.columns(2)
    with left:
        alt = f"Map: where in the image the forecast of {name} looked, and arcs to the sensors it drew on most."
        show.show_map(maps.attention_map(explanation, sensor, frame.theme()), network, "attention", alt, height=380)
        if len(explanation.view_attention) > 1:
            st.caption(_view_words(explanation, sensor))
    with right:
        _words_read(explanation, sensor)
    with st.expander("The same as tables"):
        a, b, c = st.columns(3)
        with a:
            widgets.table(_sensor_rows(explanation, sensor), "Sensors drawn on most.")
        with b:
            widgets.table(_token_rows(explanation, sensor), "Words drawn on most.")
        with c:
            widgets.table(_place_rows(explanation, sensor), "Places of the image drawn on most.")


def _shares_and_deletion(explanation: FusionExplanation, sensor: int, name: str) -> None:
    show.plot(
        weights.shares_bars(explanation, sensor, frame.theme()),
        "shares",
        f"Shares of the modalities in the fusion of {name}: {_share_words(explanation, sensor)}",
        height=240,
    )
    show.plot(
        weights.deletion_bars(explanation, sensor, frame.theme()),
        "deletion",
        f"Change of the forecast of {name} when a modality is taken away: {_deletion_words(explanation, sensor)}",
        height=240,
    )
    st.caption(widgets.plain(f"{name}: {_share_words(explanation, sensor)} {_deletion_words(explanation, sensor)}"))


def _words_read(explanation: FusionExplanation, sensor: int) -> None:
    if not explanation.tokens:
        st.caption("This model reads no prompt.")
        return
    st.markdown("**The prompt, shaded by attention**")
    with st.container(border=True):
        st.html(weights.prompt_html(explanation.tokens, explanation.text_attention[sensor], frame.theme()))


def _share_words(explanation: FusionExplanation, sensor: int) -> str:
    shares = explanation.modality_weights[sensor] * 100
    return ", ".join(f"{m} {s:.0f} %" for m, s in zip(MODALITIES, shares, strict=True)) + "."


def _view_words(explanation: FusionExplanation, sensor: int) -> str:
    """How the image attention is shared between the views, of which only those with a place are on the map."""
    shares = ", ".join(f"{name} {100 * share[sensor]:.0f} %" for name, share in explanation.view_attention.items())
    off = 100 * (1 - explanation.image_attention[sensor].sum())
    rest = f" {off:.0f} % went to views whose pixels are no places; the map leaves it out." if off > 0.5 else ""
    return f"Image attention by view: {shares}.{rest}"


def _deletion_words(explanation: FusionExplanation, sensor: int) -> str:
    if not explanation.deletion:
        return "No deletion was measured."
    parts = [
        f"{m} {np.nanmean(np.abs(change[:, sensor])):.3g} {explanation.unit}".rstrip() for m, change in explanation.deletion.items()
    ]
    return "Mean change of the forecast without it: " + ", ".join(parts) + "."


def _sensor_rows(explanation: FusionExplanation, sensor: int) -> pd.DataFrame:
    share = explanation.sensor_attention[sensor] * 100
    top = np.argsort(-share)[:12]
    return pd.DataFrame({"Sensor": [widgets.sensor_label(explanation.network, int(n)) for n in top], "Share, %": share[top]})


def _token_rows(explanation: FusionExplanation, sensor: int) -> pd.DataFrame:
    share = explanation.text_attention[sensor] * 100
    top = np.argsort(-share)[:12]
    return pd.DataFrame({"Word": [explanation.tokens[int(i)].strip() for i in top], "Share, %": share[top]})


def _place_rows(explanation: FusionExplanation, sensor: int) -> pd.DataFrame:
    """The patches with most attention, by their middle."""
    field = explanation.image_attention[sensor] * 100
    if field.size == 0 or field.max() <= 0:
        return pd.DataFrame({"Place": [], "Share, %": []})
    west, south, east, north = explanation.image_bounds
    g = field.shape[0]
    top = np.argsort(-field.ravel())[:12]
    lat = north - (top // g + 0.5) / g * (north - south)
    lon = west + (top % g + 0.5) / g * (east - west)
    return pd.DataFrame({"Latitude, °": lat, "Longitude, °": lon, "Share, %": field.ravel()[top]})
