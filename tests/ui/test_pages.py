"""The pages, driven without a browser: empty, with a sample, with files that are wrong, by a link."""

import json
import re
from urllib.parse import parse_qs

import pytest
from streamlit.testing.v1 import AppTest, element_tree

from stvlm.jobs.run import run_folder
from stvlm.ui.services import networks
from stvlm.ui.shell import inputs, view_state
from stvlm.ui.shell import layout as frame
from tests.support.pages import INSIDE, NEEDS_A_NETWORK, param, visit, words
from tests.support.paths import ROOT


def test_home_offers_every_sample_and_calls_the_made_up_one_synthetic(app):
    links = [link.proto for link in app.main.get("page_link") if "Open the forecast" in link.proto.label]
    led = [(link.page, parse_qs(link.query_string)["data"]) for link in links]
    assert led == [("forecast", [f"sample:{name}"]) for name in networks.SAMPLES]
    assert words(app).count("synthetic]") == 1


def test_home_leads_back_to_the_network_in_view(app):
    visit(app, "data", data="sample:irish_wind", sensor="DUB")
    app = visit(app, "home")
    first = next(link.proto for link in app.main.get("page_link") if link.proto.page == "forecast")
    assert (first.label, parse_qs(first.query_string)["data"]) == ("Wind in Ireland", ["sample:irish_wind"])


@pytest.mark.parametrize("name", NEEDS_A_NETWORK)
def test_without_a_network_a_page_says_how_to_get_one(app, name):
    app = visit(app, name)
    assert "There is no network in view yet" in words(app)
    assert {link.proto.label for link in app.main.get("page_link")} >= {"Take a sample", "Upload a network"}


@pytest.mark.parametrize("name", INSIDE)
def test_a_page_opens_with_a_sample(app, name):
    app = visit(app, name, data="sample:irish_wind")
    assert not app.error, [e.value for e in app.error]
    assert frame.PAGES[name].title in words(app)


class Label(str):
    """A choice as the browser sends it: by what stands on it."""


@pytest.fixture
def by_label(monkeypatch) -> None:
    """Widgets of AppTest can be set to a `Label`; by itself it knows them by their values alone, which it does not list."""
    by_value = element_tree._format_value_for_widget

    def text(to_label, value):
        return str(value) if isinstance(value, Label) else by_value(to_label, value)

    monkeypatch.setattr(element_tree, "_format_value_for_widget", text)


def choices(app: AppTest) -> list[tuple[str, str, bool | Label]]:
    """What can be switched on or chosen: kind and key of each widget in view, and what it may be set to; of a long list its last."""
    switches = [(kind, widget.key, True) for kind in ("toggle", "checkbox") for widget in app.main.get(kind)]
    rows = [
        (kind, row.key, Label(text)) for kind in ("button_group", "radio") for row in app.main.get(kind) for text in row.options
    ]
    lists = [
        ("selectbox", box.key, Label(box.options[-1]))
        for box in app.main.get("selectbox")
        if box.options and box.key != "tied-model"
    ]
    return lists + switches + rows


@pytest.mark.usefixtures("by_label")
@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("data", {"tied-source", "tied-measure", "tied-sensor"}),
        ("forecast", {"tied-show", "tied-alarm-side", "rivals"}),
        ("images", {"play", "clicks", "tied-channel", "tied-compare"}),
        ("prompts", {"tied-reading", "token-borders"}),
        ("fusion", {"tied-modality", "tied-head", "over-time"}),
        ("whatif", {"tied-change-without", "tied-change-spoilt", "tied-change-moved"}),
        ("compare", {"tied-result", "first-synthetic_city.json", "second-synthetic_city.json"}),
        ("train", {"new-few_shot-sample:irish_wind", "new-tuning-sample:irish_wind"}),
        ("learn", {"tied-lesson", "learn-sensor", "learn-image", "learn-fusion"}),
    ],
)
def test_every_switch_and_every_choice_of_a_page_can_be_taken(app, name, seen):
    app, taken = visit(app, name, data="sample:irish_wind"), []
    while untaken := [choice for choice in choices(app) if choice not in taken]:
        kind, key, value = untaken[-1]  # from below: what is chosen above decides what is below
        taken.append(untaken[-1])
        widget = getattr(app, kind)(key=key)
        (widget.select if kind == "button_group" else widget.set_value)(value).run()
        assert not app.exception, (taken[-1], [error.value for error in app.exception])
    assert {re.sub(r"-+\d+$", "", key) for _, key, _ in taken} >= seen


@pytest.mark.parametrize("data", ["sample:nothing", "0123456789abcdef", "../../etc", "<img src=x>"])
def test_a_network_that_is_not_here_is_said_so_in_plain_words(app, data):
    app = visit(app, "data", data=data)
    assert "This server has no network of that name" in words(app)


def test_a_wrong_parameter_falls_back_to_the_first_choice(app):
    app = visit(app, "data", data="sample:irish_wind", sensor="EVIL")
    assert param(app, "sensor") == "RPT"


def test_a_link_reproduces_the_sensor(app):
    app = visit(app, "data", data="sample:irish_wind", sensor="DUB")
    assert app.selectbox(key="tied-sensor").value == "DUB"


def test_the_sensor_follows_to_another_page(app):
    app = visit(app, "data", data="sample:irish_wind", sensor="DUB")
    app = visit(app, "forecast", data="sample:irish_wind")
    assert app.selectbox(key="tied-sensor").value == "DUB"
    del app.query_params["sensor"]  # as the links of the sidebar do
    app = visit(app, "data", data="sample:irish_wind")
    assert app.selectbox(key="tied-sensor").value == "DUB"


def test_a_map_needs_no_other_host(app):
    app = visit(app, "data", data="sample:irish_wind")
    arguments = json.loads(app.get("component_instance")[0].proto.json_args)
    assert arguments["js_links"]
    assert not [link for link in arguments["js_links"] + arguments["css_links"] if "//" in link]


def test_text_of_a_user_stays_text():
    plain = inputs.plain("![x](http://a.b) :red[y] $z$ <b>")
    assert plain.replace("\u2060", "") == r"\!\[x\]\(http\://a\.b\) \:red\[y\] \$z\$ \<b\>"


def test_what_belonged_to_one_network_is_forgotten_with_it(app):
    app = visit(app, "data", data="sample:irish_wind", sensor="DUB")
    app.button(key="choose-sample:germany_pm10_daily").click().run()
    assert param(app, "data") == "sample:germany_pm10_daily"
    assert app.selectbox(key="tied-sensor").value != "DUB"
    assert "sensor" in view_state.NETWORK_PARAMS


def test_a_finished_run_is_listed_chosen_first_and_explained(app, finished_run):
    data, run = finished_run
    app = visit(app, "train", data=data, run=run)
    assert app.dataframe[0].value["State"].tolist() == ["done"]
    app = visit(app, "fusion", data=data, sensor="03")
    assert param(app, "model") == f"run-{run}"
    assert "not accepted" in app.warning[0].value
    assert "What Market \\(03\\) drew on" in words(app)
    shares = next(table.value["Share, %"] for table in app.dataframe if "Share, %" in table.value)
    assert 0 < shares.sum() <= 100.001
    assert "Shares and attention say where the model looked, not that it needed what it saw there" in words(app)


def test_an_untrained_network_has_a_fusion_to_explain_and_to_learn_from(app, small_series):
    data = networks.add(small_series, "Fresh", ["a.csv"], ())
    app = visit(app, "fusion", data=data, sensor="03")
    assert param(app, "model") == "zero-shot"
    assert "What Market \\(03\\) drew on" in words(app)
    assert 0 < next(table.value["Share, %"] for table in app.dataframe if "Share, %" in table.value).sum() <= 100.001
    app = visit(app, "learn", data=data)
    assert not app.error
    assert "1. " in app.main.get("subheader")[0].value


def test_the_forecast_stands_in_the_table_beside_what_was_measured(app, finished_run, small_series):
    app = visit(app, "forecast", data=finished_run[0], sensor="02", cutoff=str(small_series.times[300]))
    table = app.dataframe[0].value
    assert table["Measured, km/h"].tolist() == pytest.approx(small_series.values[300:304, 1].tolist(), nan_ok=True)
    assert (table["Forecast, km/h"] - small_series.values[300:304, 1]).abs().max() < 15
    assert [column for column in table.columns if "band" in column] == ["50 % band, km/h", "80 % band, km/h", "95 % band, km/h"]


def test_a_cutoff_at_the_end_forecasts_what_nobody_knows_yet(app, finished_run, small_series):
    end = str(small_series.times[-1] + (small_series.times[1] - small_series.times[0]))
    app = visit(app, "forecast", data=finished_run[0], cutoff=end)
    assert app.dataframe[0].value["Measured, km/h"].isna().all()
    assert app.dataframe[0].value["Forecast, km/h"].notna().all()


def test_the_page_names_the_device_before_the_button(app):
    app = visit(app, "train", data="sample:irish_wind")
    assert "It will run on " in words(app)
    assert any(button.label == "Start" for button in app.button)


def test_a_strategy_is_offered_with_one_plain_sentence_and_its_ranks_are_drawn(app, finished_run):
    data, run = finished_run
    rows = [
        {"step": s, "loss": 1.0, "val_mae": None, "anchor_val_mae": None, "ranks": {"layer 1: q": 6 - s, "text": 6}} for s in (0, 4)
    ]
    (run_folder(run) / "losses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    app = visit(app, "train", data=data, run=run)
    tables = [frame.value for frame in app.dataframe]
    assert {"step": 4, "layer 1": 2, "text": 6} in [row for table in tables for row in table.to_dict("records")]
    assert len(app.get("plotly_chart")) == 2
    next(box for box in app.selectbox if box.label == "Fine-tuning").set_value("adaptive").run()
    assert "moves capacity to the layers and modalities that use it" in words(app)
    next(box for box in app.selectbox if box.label == "Learn from").set_value("5windows").run()
    assert "Chooses by 5" in words(app)


def test_a_run_that_is_not_there_is_said_so(app):
    app = visit(app, "train", data="sample:irish_wind", run="0123456789ab")
    assert "no run" in app.error[0].value


def test_one_module_reads_the_address():
    others = [
        path for path in (*ROOT.glob("stvlm/**/*.py"), *ROOT.glob("pages/*.py"), ROOT / "app.py") if path.name != "view_state.py"
    ]
    assert [str(path) for path in others if "st.query_params" in path.read_text("utf-8")] == []


@pytest.mark.parametrize("name", ["forecast", "train"])
def test_a_page_that_is_run_again_reads_no_state_of_a_run_again(app, finished_run, json_reads, name):
    data, run = finished_run
    app = visit(app, name, data=data, run=run)
    app.run()
    json_reads.clear()
    app.run()
    assert [path for path in json_reads if "home" in path.parts] == []
