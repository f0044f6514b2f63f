"""The app: the server that `streamlit run app.py` starts, and the script of its first page, Home."""

import streamlit as st

if __name__ == "__main__":
    from stvlm.ui import home
    from stvlm.ui.shell import layout
    from stvlm.ui.shell.i18n import say

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
    layout.warm_up()
else:  # imported by the server
    from stvlm.ui.shell.server import middleware

    app = st.App(__file__, middleware=middleware())
