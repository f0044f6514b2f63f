"""What the pages say of runs and of a forecaster that has no time."""

import json
import os
import shlex
import shutil
import signal
import time

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from stvlm.jobs import api
from stvlm.jobs.run import run_folder
from stvlm.serving.request_queue import RequestQueue
from stvlm.ui import train
from stvlm.ui.services import forecasters
from stvlm.ui.shell import inputs
from tests.support.pages import SECONDS, start, visit, words
from tests.support.runs import LOCAL, spec, wait

pytestmark = pytest.mark.usefixtures("end_workers")


def test_the_train_page_shows_queue_memory_and_why_a_run_is_lost(app: AppTest):
    first, second = LOCAL.submit(spec(400, title="First")), LOCAL.submit(spec(1, title="Second"))
    wait(first, "running", step=1)
    while api.status(second).ahead is None:
        time.sleep(0.05)
    app = visit(app, "train", data="sample:irish_wind", run=first)
    assert "Memory" in [metric.label for metric in app.metric]
    states = [row["State"] for table in app.dataframe for row in table.value.to_dict("records") if "State" in row]
    assert states == ["queued, 1 before it", "running"]
    os.kill(api.status(first).pid, signal.SIGKILL)
    wait(first, "lost")
    app.run()
    assert "The worker ended without a last word" in words(app)
    next(button for button in app.button if button.label == "Delete this run").click().run()
    assert not app.exception
    assert not app.error
    assert not run_folder(first).exists()


def test_a_run_says_how_long_it_takes_and_its_buttons_act_on_a_cut_page(
    app: AppTest,
    monkeypatch: pytest.MonkeyPatch,
):
    run = LOCAL.submit(spec(400))
    wait(run, "running", step=1)
    app = visit(app, "train", data="sample:irish_wind", run=run)
    assert "left" in app.get("progress")[0].proto.text
    with monkeypatch.context() as cut:
        cut.setattr(train, "in_view", st.stop)  # the page ends before the button is reached again
        next(button for button in app.button if button.label == "Cancel").click().run()
        wait(run, "cancelled")
    app.run()
    assert {"Resume", "Delete this run"} <= {button.label for button in app.button}


def test_a_forecaster_without_time_is_one_clear_line_on_the_page(app: AppTest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forecasters, "forecaster", RequestQueue(places=0))
    forecasters._forecast.clear()
    app = visit(app, "forecast", data="sample:irish_wind")
    told = "The forecaster is busy: 0 questions wait already. Try again in a minute."
    assert [warning.value for warning in app.warning] == [inputs.plain(told)]


def test_a_model_that_cannot_be_loaded_is_one_line_and_another_can_be_chosen(app, monkeypatch, tmp_path):
    shutil.copytree(forecasters.CHECKPOINTS / "irish_wind", tmp_path / "irish_wind")
    (tmp_path / "irish_wind" / "model.safetensors").write_bytes(b"half")
    monkeypatch.setattr(forecasters, "CHECKPOINTS", tmp_path)
    app = visit(app, "forecast", data="sample:irish_wind")
    assert not app.exception
    assert "is not a whole model folder" in app.error[0].value
    chooser = next(box for box in app.selectbox if box.key.startswith("tied-model"))
    assert len(chooser.options) > 1


def test_runs_are_filtered_renamed_compared_and_say_how_they_are_made_again(app: AppTest):
    ids = [LOCAL.submit(spec(steps, title=f"Run of {steps}")) for steps in (1, 2)]
    for run in ids:
        wait(run, "done")
    app = visit(app, "train", data="sample:irish_wind", run=ids[0])
    command = app.code[0].value
    assert command.startswith("python -m stvlm fit --sample irish_wind")
    assert "--max-steps 1" in command
    assert command.endswith("--out my-model")
    app.text_input(key=f"tied-title-{ids[0]}").set_value("A better name").run()
    assert api.status(ids[0]).title == "A better name"
    app.text_input(key="filter-runs").set_value("better DONE").run()
    assert app.dataframe[-1].value["Run"].tolist() == ["A better name"]
    app.text_input(key="filter-runs").set_value("").run()
    app.session_state[f"runs-{ids[1]}-{ids[0]}"] = {"selection": {"rows": [0, 1], "columns": [], "cells": []}}
    app.run()
    assert not app.exception


def test_a_finished_run_shows_its_manifest(app: AppTest, finished_run: tuple[str, str]):
    data, run = finished_run
    app = visit(app, "train", data=data, run=run)
    assert json.loads(app.json[0].value)["fit"]["max_steps"] == 0
    assert "were: readings.csv" in app.code[0].value


def test_several_runs_are_told_apart_by_what_differs(app: AppTest, monkeypatch: pytest.MonkeyPatch):
    ids = [LOCAL.submit(spec(steps, title="Twin")) for steps in (1, 2)]
    for run in ids:
        wait(run, "done")

    def beside() -> None:
        from stvlm.jobs import api
        from stvlm.ui import train

        train._beside(list(api.list_runs()))

    shown = AppTest.from_function(beside, default_timeout=SECONDS).run()
    assert not shown.exception
    table = shown.dataframe[0].value
    assert table["max_steps"].tolist() == ["2", "1"]
    assert table["Run"].tolist() == ["1. Twin", "2. Twin"]
    figure = json.loads(shown.get("plotly_chart")[0].proto.spec)
    assert [line["name"] for line in figure["data"]] == ["1. Twin", "2. Twin"]


def test_a_command_of_a_run_is_one_that_the_program_reads():
    from stvlm.cli.parser import parse
    from stvlm.datasets.samples import load_sample
    from stvlm.jobs.run import DataSource, RunSpec
    from stvlm.ui.services import networks

    config = {"lookback": 12, "horizon": 7, "split": (0.6, 0.2, 0.2), "few_shot": None, "backbone": "tiny", "tuning": "lora"}
    config |= {"device": "auto", "max_minutes": 10.0, "seed": 3, "views": ["field", "spread"]}
    line = networks.fit_command(RunSpec(data=DataSource(sample="irish_wind"), config=config), load_sample("irish_wind"))
    options = parse(shlex.split(line)[3:])
    assert (options.lookback, options.horizon, options.split) == (12, 7, (0.6, 0.2, 0.2))
    assert (options.tuning, options.seed, options.views, options.few_shot) == ("lora", 3, ("field", "spread"), None)


def test_where_the_operator_says_so_a_tab_lists_what_it_opened(finished_run, monkeypatch):
    data, _ = finished_run

    def listed(app: AppTest) -> tuple[bool, bool]:
        buttons = {button.key for button in visit(app, "data", source="at-hand").button}
        return f"choose-{data}" in buttons, bool(visit(app, "train").dataframe)

    assert listed(visit(start(), "train", data="sample:irish_wind")) == (True, True)
    monkeypatch.setenv("STVLM_LIST_SHARED", "0")
    assert listed(visit(start(), "train", data="sample:irish_wind")) == (False, False)
    assert listed(visit(start(), "train", data=data)) == (True, True)
    app = visit(start(), "train", data=data)
    assert listed(visit(app, "train", data="sample:irish_wind")) == (True, True)
