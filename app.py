"""The app: the server that `streamlit run app.py` starts, and the script of its first page, Home."""

from stvlm.runtime import environment

environment.prepare()

import streamlit as st  # noqa: E402

if __name__ == "__main__":
    from stvlm.ui import home
    from stvlm.ui.shell import layout
    from stvlm.ui.shell.i18n import t

    layout.page("home")
    st.title("ST-VLM", anchor=False)
    st.markdown(t("home.intro"))
    home.flow()
    home.go_on()
    st.subheader(t("home.try_sample"), anchor=False)
    home.samples()
    st.subheader(t("home.own"), anchor=False)
    st.markdown(t("home.own_files"))
    layout.page_link("data", t("common.upload"), source="own")
    layout.preload_libraries()
else:  # imported by the server
    from stvlm.ui.shell.server import middleware

    app = st.App(__file__, middleware=middleware())
