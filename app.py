"""Home: what this is, and samples that open with one click."""

import streamlit as st

from stvlm.ui import home
from stvlm.ui.shell import layout
from stvlm.ui.shell.i18n import say
from stvlm.ui.shell.layout import warm_up

layout.page("home")
st.title("ST-VLM", anchor=False)
st.markdown(say("home.intro"))
home.flow()
home.go_on()
st.subheader(say("home.try_sample"), anchor=False)
home.samples()
st.subheader(say("home.own"), anchor=False)
st.markdown(say("home.own_files"))
layout.page_link("data", say("common.upload"), source="own")
warm_up()
