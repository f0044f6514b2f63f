"""Home: what this is, and samples that open with one click."""

import streamlit as st

from stvlm.ui import frame, home, models

frame.page("home")
st.title("ST-VLM", anchor=False)
st.markdown(
    "See, forecast and explain what a sensor network measures, with a vision-language model. Everything runs on this machine."
)
home.flow()
home.go_on()
st.subheader("Try a sample", anchor=False)
home.samples()
st.subheader("Or bring your own", anchor=False)
st.markdown("Two files are enough: a table of sensors with their places, and a table of readings.")
frame.page_link("data", "Upload a network", source="own")
models.warm_up()
