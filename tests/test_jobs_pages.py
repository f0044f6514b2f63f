"""What the pages say of runs and of a forecaster that has no time."""

import os
import signal
import time

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from test_jobs import HERE, _end_all, spec, wait  # noqa: F401  the fixture ends all workers
from test_pages import SECONDS, app, visit, words  # noqa: F401  the fixture starts the app

from stvlm.jobs import board
from stvlm.jobs.resident import Resident
from stvlm.jobs.run import run_folder
from stvlm.ui import models, runs, widgets


def test_the_train_page_shows_the_place_in_the_queue_the_memory_and_why_a_run_is_lost(app: AppTest):  # noqa: F811
    first, second = HERE.submit(spec(400, title="First")), HERE.submit(spec(1, title="Second"))
    wait(first, "running", step=1)
    while board.status(second).ahead is None:
        time.sleep(0.05)
    app = visit(app, "train", data="sample:irish_wind", run=first)
    assert "Memory" in [metric.label for metric in app.metric]
    states = [row["State"] for table in app.dataframe for row in table.value.to_dict("records") if "State" in row]
    assert states == ["queued, 1 before it", "running"]
    os.kill(board.status(first).pid, signal.SIGKILL)
    wait(first, "lost")
    app.run()
    assert "The worker ended without a last word" in words(app)
    next(button for button in app.button if button.label == "Delete this run").click().run()
    assert not app.exception
    assert not app.error
    assert not run_folder(first).exists()


def test_a_run_says_how_long_it_takes_and_its_buttons_act_even_where_the_page_is_cut_short(
    app: AppTest,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    run = HERE.submit(spec(400))
    wait(run, "running", step=1)
    app = visit(app, "train", data="sample:irish_wind", run=run)
    assert "left" in app.get("progress")[0].proto.text
    with monkeypatch.context() as cut:
        cut.setattr(runs, "in_view", st.stop)  # the page ends before the button is reached again
        next(button for button in app.button if button.label == "Cancel").click().run()
        wait(run, "cancelled")
    app.run()
    assert {"Resume", "Delete this run"} <= {button.label for button in app.button}


def test_a_forecaster_without_time_is_one_clear_line_on_the_page(app: AppTest, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    monkeypatch.setattr(models, "forecaster", Resident(places=0))
    models._forecast.clear()
    app = visit(app, "forecast", data="sample:irish_wind")
    told = "The forecaster is busy: 0 questions wait already. Try again in a minute."
    assert [warning.value for warning in app.warning] == [widgets.plain(told)]
