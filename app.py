"""Home: what this is, and samples that open with one click."""

import streamlit as st

from stvlm.ui import frame, home
from stvlm.ui.warming import warm_up
from stvlm.ui.words import say

frame.page("home")
st.title("ST-VLM", anchor=False)
st.markdown(say("home.intro"))
home.flow()
home.go_on()
st.subheader(say("home.try_sample"), anchor=False)
home.samples()
st.subheader(say("home.own"), anchor=False)
st.markdown(say("home.own_files"))
frame.page_link("data", say("common.upload"), source="own")
warm_up()
