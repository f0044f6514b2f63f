"""Choose or upload a network; see what is wrong with it, where it has gaps, and what it looks like."""

import streamlit as st

from stvlm.ui import assess, frame, overview, widgets

frame.page("data")
at_hand, own = st.tabs(["Networks at hand", "Your own files"])
with at_hand:
    overview.choose()
with own:
    assess.upload()
series = widgets.need_series()
overview.figures(series)
overview.quality_report()
overview.where_and_when(series)
