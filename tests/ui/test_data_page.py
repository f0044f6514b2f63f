"""The Data page without a browser: files dropped or lying there, columns, findings, fixes tried and applied, the way back."""

import io

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from stvlm.io.detect import guess_role
from stvlm.io.read import InputError, InputFiles, read_tables
from stvlm.quality import report
from stvlm.ui.services import networks, uploads
from stvlm.ui.services import uploads as folders
from stvlm.ui.shell import view_state
from tests.support.pages import SECONDS, param, start, upload, visit, words


def test_a_file_without_places_is_refused_with_its_cure(app):
    app = upload(app, ("sensors.csv", "sensor_id,colour\nA,red\n"), ("readings.csv", uploads.SERIES_EXAMPLE))
    assert len(app.error) == 1
    assert "lat" in app.error[0].value


def test_one_file_alone_is_not_enough_and_the_page_says_which_is_missing(app):
    app = upload(app, ("readings.csv", uploads.SERIES_EXAMPLE))
    assert "Still needed: the sensor table" in words(app)


def test_the_example_files_become_a_network_that_opens_by_its_link(app):
    app = upload(app, ("sensors.csv", uploads.SENSORS_EXAMPLE), ("readings.csv", uploads.SERIES_EXAMPLE))
    assert not app.error
    button = next(b for b in app.button if b.label == "Use this network")
    button.click().run()
    data = param(app, "data")
    assert app.title[0].value == "Data"
    fresh = start()
    fresh = visit(fresh, "data", data=data)
    assert not fresh.error
    assert [m.value for m in fresh.metric][:2] == ["3", "3"]


def test_a_late_message_of_the_browser_does_not_bring_the_files_back(app, monkeypatch):
    app = upload(app, ("sensors.csv", uploads.SENSORS_EXAMPLE), ("readings.csv", uploads.SERIES_EXAMPLE))
    left = dict(app.query_params)
    assert left["source"] == "own"
    next(b for b in app.button if b.label == "Use this network").click().run()
    data = param(app, "data")
    app.query_params = left
    app.run()
    assert param(app, "data") == data
    assert "source" not in app.query_params or param(app, "source") == "at-hand"
    assert [m.value for m in app.metric][:2] == ["3", "3"]
    monkeypatch.setattr(view_state, "LATE_SECONDS", 0.0)
    app.query_params = left  # later, the same address is a wish
    app.run()
    assert app.file_uploader


def test_swapped_places_are_mended_by_a_button_and_the_fix_is_recorded(app):
    lines = ["sensor_id,lat,lon", "A,-110.1,45.2", "B,-110.2,45.3", "C,-110.3,45.1"]
    readings = "timestamp,A,B,C\n" + "".join(f"2025-01-{d:02} 00:00,{d},2,3\n" for d in range(1, 20))
    app = upload(app, ("sensors.csv", "\n".join(lines)), ("readings.csv", readings))
    assert next(b for b in app.button if b.label == "Use this network").disabled
    app.button(key="fix-swap-lat-lon").click().run()
    before_after = app.table[0].value.set_index("").loc["Latitude, °"].tolist()
    assert before_after == ["−110.30 … −110.10", "45.10 … 45.30"]
    assert next(b for b in app.button if b.label == "Use this network").disabled  # tried, not applied
    app.button(key="apply-swap-lat-lon").click().run()
    use = next(b for b in app.button if b.label == "Use this network")
    assert not use.disabled
    use.click().run()
    assert "Fixes applied: Swap latitude and longitude" in words(app)


def test_a_fix_that_is_applied_again_stands_once_and_with_its_last_parameter():
    def again() -> None:
        from stvlm.ui.data import findings
        from stvlm.ui.shell import view_state

        for fix in ("resample:60", "sort-times", "resample:30", "resample:30"):
            findings._apply(fix, view_state.load("fixes", ()))
        findings.undo_buttons(view_state.load("fixes"))

    shown = AppTest.from_function(again, default_timeout=SECONDS).run()
    assert not shown.exception
    assert [button.key for button in shown.button] == ["undo-sort-times", "undo-resample:30"]


def test_from_a_network_one_goes_back_to_its_files_and_fixes(app):
    lines = ["sensor_id,lat,lon", "A,-110.1,45.2", "B,-110.2,45.3", "C,-110.3,45.1"]
    readings = "timestamp,A,B,C\n" + "".join(f"2025-01-{d:02} 00:00,{d},2,3\n" for d in range(1, 20))
    app = upload(app, ("sensors.csv", "\n".join(lines)), ("readings.csv", readings))
    app.button(key="fix-swap-lat-lon").click().run()
    app.button(key="apply-swap-lat-lon").click().run()
    next(b for b in app.button if b.label == "Use this network").click().run()
    app.button(key="back-to-files").click().run()
    assert not app.exception
    app.button(key="undo-swap-lat-lon").click().run()
    assert next(b for b in app.button if b.label == "Use this network").disabled


def test_a_column_taken_for_something_else_is_corrected_by_hand(app):
    sensors = "code,lat,lon,x,y\nA,1,2,-6.26,53.35\nB,1,2,-6.25,53.34\nC,1,2,-6.24,53.36\n"
    app = upload(app, ("sensors.csv", sensors), ("readings.csv", uploads.SERIES_EXAMPLE.replace("S1,S2,S3", "A,B,C")))
    assert [app.selectbox(key=f"tied-column-sensors-{word}").value for word in ("sensor_id", "lat", "lon")] == [
        "code",
        "lat",
        "lon",
    ]
    assert "share their location" in words(app)
    app.selectbox(key="tied-column-sensors-lat").set_value("y").run()
    app.selectbox(key="tied-column-sensors-lon").set_value("x").run()
    assert "share their location" not in words(app)
    next(b for b in app.button if b.label == "Use this network").click().run()
    assert networks.load(param(app, "data")).network.lat.tolist() == [53.35, 53.34, 53.36]


def test_a_folder_of_the_workspace_is_opened_and_nothing_beyond_it(app, home, tmp_path):
    (home / "shared" / "town").mkdir(parents=True)
    (home / "shared" / "town" / "sensors.csv").write_text(uploads.SENSORS_EXAMPLE)
    (home / "shared" / "town" / "readings.csv").write_text(uploads.SERIES_EXAMPLE)
    (tmp_path / "secret").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "secret" / name).write_text("secret")
    (home / "shared" / "way-out").symlink_to(tmp_path / "secret")
    app = visit(app, "data", source="own")
    app.selectbox(key="folder").set_value("shared/town").run()
    next(b for b in app.button if b.label == "Use this network").click().run()
    assert [m.value for m in app.metric][:2] == ["3", "3"]
    assert folders.at_hand() == ["shared/town"]
    assert not list((home / "uploads").glob("*/series"))  # the files stay where they are
    for path in ("../secret", "shared/way-out", "/etc/passwd", "shared/way-out/a.csv"):
        with pytest.raises(InputError, match="no such file"):
            folders.find(path)


def test_two_files_of_one_part_are_told_apart_by_the_user(app):
    app = upload(
        app, ("sensors.csv", uploads.SENSORS_EXAMPLE), ("jan.csv", uploads.SERIES_EXAMPLE), ("feb.csv", uploads.SERIES_EXAMPLE)
    )
    assert "Two files are said to be the readings: jan\\.csv, feb\\.csv" in words(app)
    assert not [b for b in app.button if b.label == "Use this network"]


def test_two_files_of_one_name_are_both_asked_for(app):
    series = ("readings.csv", uploads.SERIES_EXAMPLE)
    app = upload(app, ("sensors.csv", uploads.SENSORS_EXAMPLE), series, series)
    assert "readings\\.csv, \\(2\\) readings\\.csv" in words(app)
    app.selectbox[-1].set_value("").run()
    assert [b for b in app.button if b.label == "Use this network"]


def test_every_template_file_is_read_as_what_it_is():
    for role, (name, content, _) in uploads.EXAMPLES.items():
        assert guess_role(name, content.encode()) == {"long": "series"}.get(role, role)
    given = {role: (name, content.encode()) for role, (name, content, _) in uploads.EXAMPLES.items()}
    tables = read_tables(
        InputFiles(*(given[role] for role in ("sensors", "series", "adjacency", "context")), base_layer=given["base_layer"])
    )
    assert not report.inspect(tables).errors
    assert read_tables(InputFiles(given["sensors"], given["long"])).readings.shape == (2, 2)


def test_the_name_of_a_file_never_becomes_a_path_nor_markdown(app, home):
    name = "../../![x](http://evil.example/x.png).csv"
    app = upload(app, (name, uploads.SENSORS_EXAMPLE), ("readings.csv", uploads.SERIES_EXAMPLE))
    assert not app.exception
    assert sorted(p.name for p in (home / "uploads").glob("*/*")) == ["names.json", "sensors", "series"]
    rendered = [e.value for kind in ("markdown", "caption", "warning", "error", "subheader") for e in app.main.get(kind)]
    assert not [text for text in rendered if "![" in text]


def test_readings_without_a_clock_are_asked_for_one(app):
    buffer = io.BytesIO()
    np.savez(buffer, data=np.arange(120.0).reshape(40, 3, 1))
    app = visit(app, "data", source="own")
    files = [("sensors.csv", uploads.SENSORS_EXAMPLE.encode(), "text/csv"), ("pems.npz", buffer.getvalue(), "application/zip")]
    app.file_uploader[0].set_value(files)
    app.run()
    app.text_input(key="npz-start").set_value("2018-03-01 06:00").run()
    assert not app.exception
    next(b for b in app.button if b.label == "Use this network").click().run()
    assert "1 Mar 2018" in words(app)
    assert [m.value for m in app.metric][1:3] == ["40", "5 minutes"]


@pytest.mark.parametrize(
    ("name", "first_line", "role"),
    [
        ("a.csv", "id,lat,lon", "sensors"),
        ("a.csv", "from,to,weight", "adjacency"),
        ("weather.csv", "timestamp,rain", "context"),
        ("a.csv", "timestamp,S1,S2", "series"),
        ("places.geojson", "{}", "sensors"),
        ("metr-la.h5", "", "series"),
    ],
)
def test_the_part_of_a_file_is_guessed_by_its_first_line_then_by_its_name(name, first_line, role):
    assert guess_role(name, first_line.encode()) == role


def test_the_page_speaks_german_and_the_map_shows_what_was_asked_for(app):
    app = visit(app, "data", data="sample:irish_wind", lang="de", measure="still")
    assert "An diesen Messwerten ist nichts falsch." in words(app)
    assert ("Messwerte da", "100,0 %") in [(m.label, m.value) for m in app.metric]
    assert "Karte von 12 Sensoren, gefärbt nach: Längster Stillstand" in words(app).replace("\\", "")
    assert "Längster Stillstand, d" in app.dataframe[0].value.columns
