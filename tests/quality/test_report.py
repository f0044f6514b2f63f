"""Every problem of the data is named with its place and fix; nothing is changed unless asked for."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stvlm.io.read import InputError, InputFiles, read_tables
from stvlm.quality import report as quality
from stvlm.quality.preview import preview_fix
from stvlm.quality.report import FIXES, apply_fixes, inspect, load, need_steps, to_series
from stvlm.runtime.messages import sentences, translate


def table(values=None, index=None, ids=("A", "B", "C")):
    rng = np.random.default_rng(1)
    values = 50 + 5 * rng.standard_normal((200, len(ids))) if values is None else np.asarray(values, dtype=float)
    index = pd.date_range("2020-01-01", periods=len(values), freq="h") if index is None else pd.DatetimeIndex(index)
    return pd.DataFrame(values, index=index.rename("timestamp"), columns=list(ids))


def sensors(lat=(48.0, 48.1, 48.2), lon=(11.0, 11.1, 11.2), ids=("A", "B", "C")):
    return pd.DataFrame({"sensor_id": ids, "lat": lat, "lon": lon})


def raw(series=None, places=None, **more):
    series = table() if series is None else series
    places = sensors() if places is None else places
    return read_tables(InputFiles(("s.csv", places.to_csv(index=False).encode()), ("r.csv", series.to_csv().encode()), **more))


def one_error(tables, code, fix):
    """The error, after checking that it is the only one and gives one line that offers its fix."""
    errors = inspect(tables).errors
    assert [(e.code, e.fix) for e in errors] == [(code, fix)]
    with pytest.raises(InputError) as caught:
        to_series(tables)
    assert caught.value.problems == (errors[0].line,)
    assert "\n" not in errors[0].line
    assert (f"--fix {fix}" in errors[0].line) == (fix is not None)
    return errors[0]


def codes(tables, severity=None):
    return {p.code for p in inspect(tables).problems if severity in (None, p.severity)}


def test_clean_data_has_no_error_and_no_warning():
    report = inspect(raw())
    assert {p.severity for p in report.problems} == {"note"}
    assert "3 sensors x 200 times, every 1 hour" in str(report.problems[0].what)
    assert report.step_minutes == 60
    assert report.coverage.to_dict() == {"A": 1.0, "B": 1.0, "C": 1.0}


# Errors and their fixes


def test_unsorted_times_are_named_and_sorted_on_request_only():
    clean = raw()
    order = [*range(5), 7, 6, 5, *range(8, 200)]
    mixed = raw(table().iloc[order])
    error = one_error(mixed, "unsorted", "sort-times")
    assert str(error.where) == "r.csv, row 8"
    assert "2020-01-01 06:00:00 comes after 2020-01-01 07:00:00" in str(error.what)
    assert to_series(apply_fixes(mixed, ["sort-times"])).fingerprint == to_series(clean).fingerprint


def test_repeated_times_are_averaged_over_what_was_read():
    twice = table(
        [[1, 2, 3], [4, np.nan, 6], [6, 8, np.nan], [7, 7, 7]],
        pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-02", "2020-01-03"]),
    )
    error = one_error(raw(twice), "duplicate-times", "average-duplicates")
    assert "the first is 2020-01-02" in str(error.what)
    series = to_series(apply_fixes(raw(twice), ["average-duplicates"]))
    np.testing.assert_array_equal(series.values, [[1, 2, 3], [5, 8, 6], [7, 7, 7]])


def test_a_long_table_with_repeats_is_named_and_averaged_too():
    text = "time,station,value\n2020-01-01,A,1\n2020-01-01,A,3\n2020-01-02,A,5\n2020-01-02,B,7\n2020-01-01,C,0.5\n2020-01-02,C,1\n"
    tables = read_tables(InputFiles(("s.csv", sensors().to_csv(index=False).encode()), ("r.csv", text.encode())))
    one_error(tables, "duplicate-times", "average-duplicates")
    series = to_series(apply_fixes(tables, ["average-duplicates"]))
    np.testing.assert_array_equal(series.values, [[2, np.nan, 0.5], [5, 7, 1]])


def test_missing_steps_are_filled_with_missing_readings():
    gappy = table().drop(table().index[[10, 11, 50]])
    error = one_error(raw(gappy), "missing-steps", "resample")
    assert str(error.what) == "3 time step(s) are missing, first after 2020-01-01 09:00:00 (3 hours, usual 1 hour)."
    series = to_series(apply_fixes(raw(gappy), ["resample"]))
    assert series.n_steps == 200
    assert np.flatnonzero(~series.observed[:, 0]).tolist() == [10, 11, 50]


def test_gaps_may_also_be_closed():
    gappy = table().drop(table().index[[10]])
    series = to_series(apply_fixes(raw(gappy), ["close-gaps"]))
    assert series.n_steps == 199
    np.testing.assert_allclose(series.values, gappy.to_numpy("float32"))


def test_jittering_times_fall_on_their_nearest_step():
    jitter = np.random.default_rng(0).integers(-40, 40, 200).astype("timedelta64[s]")
    shaky = table().set_index(table().index + jitter)
    one_error(raw(shaky), "irregular", "resample")
    series = to_series(apply_fixes(raw(shaky), ["resample"]))
    assert series.step_minutes == 60
    np.testing.assert_allclose(series.values, table().to_numpy("float32"), rtol=1e-6)


def test_resampling_to_a_longer_step_averages_from_its_beginning():
    series = to_series(apply_fixes(raw(), ["resample:120"]))
    assert str(series.times[1]) == "2020-01-01T02:00:00"
    np.testing.assert_allclose(series.values[1], table().to_numpy()[2:4].mean(axis=0), rtol=1e-6)


def test_swapped_places_are_named_and_swapped_back():
    tables = raw(places=sensors(lat=(-118.2, -118.3, -118.4), lon=(34.0, 34.1, 34.2)))
    error = one_error(tables, "swapped", "swap-lat-lon")
    assert "s.csv, row 2, sensor A" in str(error.where)
    assert to_series(apply_fixes(tables, ["swap-lat-lon"])).network.lat.tolist() == [34.0, 34.1, 34.2]


def test_a_network_on_the_antarctic_ice_is_suspected_to_be_swapped():
    warned = [
        p for p in inspect(raw(places=sensors(lat=(-73.5, -73.6, -73.7), lon=(45.5, 45.6, 45.7)))).problems if p.code == "polar"
    ]
    assert [(p.severity, p.fix) for p in warned] == [("warning", "swap-lat-lon")]


def test_swapped_places_are_suspected_when_only_the_swap_lies_on_land():
    ireland = sensors(lat=(-8.8, -7.3, -6.2), lon=(53.3, 54.1, 53.4))
    found = [p for p in inspect(raw(places=ireland)).problems if p.code == "swapped-at-sea"]
    assert [(p.severity, p.fix) for p in found] == [("warning", "swap-lat-lon")]
    assert "swapped-at-sea" not in codes(apply_fixes(raw(places=ireland), ["swap-lat-lon"]))
    seychelles = sensors(lat=(-4.62, -4.68, -4.74), lon=(55.45, 55.5, 55.48))  # swapped, they would lie in Scotland
    assert "swapped-at-sea" not in codes(raw(places=seychelles))


def test_a_fix_is_tried_before_it_is_applied():
    tables = raw(places=sensors(lat=(-8.8, -7.3, -6.2), lon=(53.3, 54.1, 53.4)))
    effect = preview_fix(tables, (), "swap-lat-lon")
    assert effect.figures == {"lat": ((-8.8, -6.2), (53.3, 54.1)), "lon": ((53.3, 54.1), (-8.8, -6.2))}
    assert effect.solved == ("swapped-at-sea",)
    assert effect.readings is None
    assert tables.sensors["lat"].tolist() == [-8.8, -7.3, -6.2]
    twice = table().iloc[[*range(60), 59, *range(60, 200)]]
    effect = preview_fix(raw(twice), (), "average-duplicates")
    assert effect.figures["rows"] == (201, 200)
    assert effect.solved == ("duplicate-times",)
    assert effect.places is None
    before, after = effect.readings
    moment = twice.index[59]
    assert (list(before.index).count(moment), list(after.index).count(moment)) == (2, 1)


def test_still_runs_and_far_outliers_alone_may_be_taken_as_missing():
    series = table()
    series.iloc[50:110, 0] = 51.5
    series.iloc[150, 1] = 4000.0
    mended = apply_fixes(raw(series), ["stuck-is-missing", "outliers-are-missing"])
    hidden = mended.readings.isna().to_numpy()
    assert hidden[50:110, 0].all()
    assert hidden[150, 1]
    assert hidden.sum() == 61
    assert codes(mended, "warning") == {"long-gaps"}


def test_each_sensor_has_its_row_of_figures():
    series = table()
    series.iloc[20:50, 2] = np.nan
    report = inspect(raw(series, sensors(lat=(48.0, 48.0, 48.2), lon=(11.0, 11.0, 11.2))))
    rows = report.per_sensor
    assert rows["coverage_percent"].tolist() == [100, 100, 85]
    assert rows["longest_gap"].tolist() == [0, 0, 30]
    assert rows["neighbour_km"].tolist() == pytest.approx([0, 0, 26.7], abs=0.1)
    assert rows["findings"].tolist() == ["co-located", "co-located", "long-gaps"]
    assert report.sensors_csv().splitlines()[0].startswith("sensor_id,coverage_percent,longest_gap")
    assert report.findings_csv().count("\n") == 1 + len(report.problems)


def test_projected_places_are_named_and_converted_with_their_code():
    tables = raw(places=sensors(lat=(5335000.0, 5336000.0, 5337000.0), lon=(690000.0, 691000.0, 692000.0)))
    one_error(tables, "projected", "reproject")
    network = to_series(apply_fixes(tables, ["reproject:25832"])).network
    np.testing.assert_allclose([network.lat[0], network.lon[0]], [48.137, 11.555], atol=0.01)  # Munich
    for name in ("reproject", "reproject:east", "reproject:999999"):
        with pytest.raises(InputError, match=r"EPSG code|reproject:25832"):
            apply_fixes(tables, [name])


@pytest.mark.parametrize("lat", [np.nan, 455.3])
def test_a_sensor_without_a_place_is_named_and_may_be_left_out(lat):
    tables = raw(places=sensors(lat=(48.0, lat, 48.2)))
    error = one_error(tables, "no-place", "drop-unplaced-sensors")
    assert error.sensors == ("B",)
    assert to_series(apply_fixes(tables, ["drop-unplaced-sensors"])).network.ids == ("A", "C")


def test_an_id_twice_is_named_and_the_first_kept():
    tables = raw(places=sensors((48.0, 48.1, 48.2, 50.0), (11.0, 11.1, 11.2, 11.0), ("A", "B", "C", "A")))
    error = one_error(tables, "duplicate-ids", "drop-duplicate-sensors")
    assert str(error.where) == "s.csv, row 5"
    network = to_series(apply_fixes(tables, ["drop-duplicate-sensors"])).network
    assert network.ids == ("A", "B", "C")
    assert network.lat[0] == 48.0


def test_tables_without_a_common_id_say_what_both_hold():
    error = one_error(raw(places=sensors(ids=("X", "Y", "Z"))), "no-common-ids", None)
    assert error.line == "r.csv: no sensor in common with s.csv: here A, B, C, there X, Y, Z. Use the same ids in both files."
    tables = raw(table(ids=("1", "2", "3")), sensors(ids=("01", "02", "03")))
    assert "they differ only in leading zeros" in str(one_error(tables, "no-common-ids", None).what)


def test_readings_of_unknown_sensors_are_named_and_may_be_left_out():
    tables = raw(places=sensors().iloc[:2])
    assert one_error(tables, "unknown-sensors", "drop-unknown-sensors").sensors == ("C",)
    assert to_series(apply_fixes(tables, ["drop-unknown-sensors"])).network.ids == ("A", "B")


def test_no_reading_at_all_is_an_error():
    assert str(one_error(raw(table(np.full((5, 3), np.nan))), "all-missing", None).where) == "r.csv"


def test_one_point_in_time_is_no_series():
    one_error(raw(table(np.ones((1, 3)))), "too-short", None)


def test_one_sensor_is_allowed_and_noted():
    tables = raw(table(ids=("A",)), sensors((48,), (11,), ("A",)))
    assert "one-sensor" in codes(tables, "note")
    assert to_series(tables).values.shape == (200, 1)


def test_a_series_too_short_for_one_window_is_refused():
    series = to_series(raw())
    need_steps(series, 100, 100)
    with pytest.raises(InputError, match=r"200 steps, but a window needs 150 \+ 51"):
        need_steps(series, 150, 51)


def test_all_errors_are_listed_at_once():
    tables = raw(table().iloc[[1, 0, *range(2, 200)]], sensors(lat=(-118, -118, -118), lon=(34, 34, 34)))
    with pytest.raises(InputError) as caught:
        to_series(tables, known_ahead=("rain",), timezone="Mars/North")
    assert len(caught.value.problems) == 4
    assert caught.value.problems[2] == "context: no column rain; there is no context. Name one that is there."


# Warnings, notes and their fixes


def test_dead_sensors_are_kept_unless_left_out():
    series = table()
    series["B"] = np.nan
    tables = raw(series.drop(columns="C"))
    warning = next(p for p in inspect(tables).problems if p.code == "dead-sensors")
    assert warning.sensors == ("B", "C")  # one without readings, one without a column
    tables = raw(series)
    assert to_series(tables).network.ids == ("A", "B", "C")
    assert to_series(apply_fixes(tables, ["drop-dead-sensors"])).network.ids == ("A", "C")
    assert inspect(tables).coverage["B"] == 0


def test_sensors_that_stand_still_fall_silent_or_jump_are_named():
    series = table()
    series.iloc[50:90, 0] = 51.0
    series.iloc[100:150, 1] = np.nan
    series.iloc[7, 2] = 9000.0
    found = {p.code: p for p in inspect(raw(series)).problems}
    assert found["stuck"].sensors == ("A",)
    assert "A (40 equal readings in a row)" in str(found["stuck"].what)
    assert found["long-gaps"].sensors == ("B",)
    assert "50 steps in a row" in str(found["long-gaps"].what)
    assert str(found["outliers"].where) == "r.csv, sensor C, 2020-01-01 07:00:00"


def test_a_sensor_that_is_there_twice_is_named():
    series = table()
    series["B"] = series["A"]
    found = {p.code: p for p in inspect(raw(series)).problems}
    assert found["duplicate-readings"].severity == "warning"
    assert found["duplicate-readings"].sensors == ("B",)
    assert "1 sensors read exactly the same as another: B = A." in str(found["duplicate-readings"].what)
    series.iloc[50:60, 1] = np.nan  # other gaps: only where they share their place
    assert "duplicate-readings" not in codes(raw(series))
    assert "duplicate-readings" in codes(raw(series, sensors((48, 48, 49), (11, 11, 12))))
    series["B"] = series["B"] + 0.25
    assert "duplicate-readings" not in codes(raw(series, sensors((48, 48, 49), (11, 11, 12))))
    assert "duplicate-readings" not in codes(raw(table(np.full((200, 3), 5.0))))  # they stand still, which is another finding


def test_many_copies_of_one_sensor_are_all_counted():
    ids = tuple(f"S{i}" for i in range(50))
    series = table(np.repeat(table().to_numpy()[:, :1], 50, axis=1), ids=ids)
    where = np.linspace(48, 49, 50), np.linspace(11, 12, 50)
    (found,) = (p for p in inspect(raw(series, sensors(*where, ids))).problems if p.code == "duplicate-readings")
    assert found.sensors == ids[1:]


def test_silence_at_the_end_is_named_for_all_and_for_some():
    series = table()
    series.iloc[150:] = np.nan
    found = {p.code: p for p in inspect(raw(series)).problems}
    assert found["silent-end"].severity == "warning"
    assert str(found["silent-end"].what) == "No sensor has a reading after 2020-01-07 05:00:00: the last 50 steps are empty."
    assert found["silent-end"].sensors == ("A", "B", "C")
    series.iloc[:, 2] = table().iloc[:, 2]
    (found,) = (p for p in inspect(raw(series)).problems if p.code == "silent-end")
    assert str(found.what) == "2 of 3 sensors have no reading at the end, A for the longest (50 steps)."
    assert found.sensors == ("A", "B")
    short = table()
    short.iloc[180:] = np.nan
    assert "silent-end" not in codes(raw(short))
    all_three = table()
    all_three.iloc[150:] = np.nan
    all_three.iloc[100:, 0] = np.nan
    assert sorted(len(p.sensors) for p in inspect(raw(all_three)).problems if p.code == "silent-end") == [1, 3]


def test_a_sensor_in_another_unit_is_named():
    series = table()
    series["B"] = 1e6 * series["B"]
    (found,) = (p for p in inspect(raw(series)).problems if p.code == "outsized")
    assert str(found.what) == "1 sensors vary over 100,000 times as far as the usual one: B."
    assert found.sensors == ("B",)
    series["B"] = series["B"] / 1e3
    assert "outsized" not in codes(raw(series))


def test_zeros_amid_usual_readings_look_missing_and_counts_do_not():
    series = table()
    series.iloc[::20] = 0
    tables = raw(series)
    assert "zero-runs" in codes(tables, "warning")
    mended = to_series(apply_fixes(tables, ["zero-is-missing"]))
    assert mended.observed.mean() == pytest.approx(0.95)
    counts = np.random.default_rng(0).poisson(2 + 2 * np.sin(np.arange(600) / 4)[:, None], (600, 3))
    assert "zero-runs" not in codes(raw(table(counts)))


def test_minus_999_is_recognised_as_missing():
    series = table()
    series.iloc[5:9, 1] = -999
    tables = raw(series)
    assert "sentinels" in codes(tables, "warning")
    assert (~to_series(apply_fixes(tables, ["sentinel-is-missing"])).observed).sum() == 4


def test_summer_time_is_recognised_and_put_right():
    utc = pd.date_range("2021-10-30", periods=72, freq="h", tz="UTC")
    local = utc.tz_convert("Europe/Berlin").tz_localize(None)
    values = np.arange(72)[:, None] + np.arange(3) + 1.0
    tables = raw(table(values, local))
    assert "daylight-saving" in codes(tables, "warning")
    series = to_series(apply_fixes(tables, ["local-time:Europe/Berlin"]))
    assert str(series.times[0]) == "2021-10-30T00:00:00"
    assert series.timezone == "Europe/Berlin"
    np.testing.assert_array_equal(series.values, values.astype("float32"))
    spring = pd.date_range("2021-03-27", periods=72, freq="h", tz="UTC").tz_convert("Europe/Berlin").tz_localize(None)
    tables = raw(table(values, spring))
    assert "daylight-saving" in codes(tables, "warning")
    assert to_series(apply_fixes(tables, ["local-time:Europe/Berlin"])).n_steps == 72


@pytest.mark.parametrize("zone", ["", "Europe/Atlantis", "../../etc/passwd"])
def test_an_unknown_zone_is_refused(zone):
    with pytest.raises(InputError, match="no such zone"):
        apply_fixes(raw(), [f"local-time:{zone}"])


def test_places_that_coincide_lie_apart_or_at_zero_are_named():
    ids = tuple("ABCDEF")
    lat, lon = (48.0, 48.0, 48.01, 48.02, 60.0, 0.0), (11.0, 11.0, 11.01, 11.02, 30.0, 0.0)
    found = {p.code: p for p in inspect(raw(table(ids=ids), sensors(lat, lon, ids))).problems}
    assert found["co-located"].sensors == ("A", "B")
    assert found["null-island"].sensors == ("F",)


# Fixes in general


def test_nothing_is_changed_without_a_fix_and_each_fix_is_recorded():
    tables = raw(table().iloc[[1, 0, *range(2, 200)]])
    before = tables.readings.copy()
    mended = apply_fixes(tables, ["resample", "sort-times"])
    inspect(tables)
    pd.testing.assert_frame_equal(tables.readings, before)
    assert mended.fixes == ("sort-times", "resample")  # in the order in which they make sense
    assert tables.fixes == ()


def test_an_unknown_fix_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"--fix tidy: there is no such fix\. Choose from swap-lat-lon"):
        apply_fixes(raw(), ["tidy"])


@pytest.mark.parametrize("name", ["resample:x", "resample:-5", "resample:0.0001", "resample:nan"])
def test_a_step_that_makes_no_sense_is_refused(name):
    with pytest.raises(InputError, match="resample:60"):
        apply_fixes(raw(), [name])


def test_every_fix_on_offer_exists_and_says_what_it_does():
    for name in FIXES:
        slug = name.replace("-", "_")
        assert translate(f"fix.{slug}.label")
        assert translate(f"fix.{slug}.note").endswith(".")
    for name in (n for n in FIXES if n == "resample" or f"fix.{n.replace('-', '_')}.ask" not in sentences("en")):
        assert apply_fixes(raw(), [name]).fixes == (name,)


def test_the_report_is_plain_json():
    report = json.loads(json.dumps(inspect(raw(places=sensors().iloc[:2])).to_dict()))
    assert report["ok"] is False
    assert report["problems"][0]["fix"] == "drop-unknown-sensors"
    assert report["coverage"] == {"A": 1.0, "B": 1.0}


def test_sensors_stand_in_the_order_of_the_sensor_table():
    series = to_series(raw(places=sensors().iloc[::-1]))
    assert series.network.ids == ("C", "B", "A")
    np.testing.assert_allclose(series.values[:, 0], table()["C"].to_numpy("float32"))


def test_load_does_it_in_one_call_with_context_known_ahead():
    weather = "date,rain,note\n" + "".join(f"2020-01-0{d},{d},x\n" for d in range(1, 10))
    series = load(
        InputFiles(
            ("s.csv", sensors().to_csv(index=False).encode()),
            ("r.csv", table().iloc[::-1].to_csv().encode()),
            context=("w.csv", weather.encode()),
        ),
        fixes=("sort-times",),
        quantity="speed",
        unit="km/h",
        known_ahead=("rain",),
        timezone="Europe/Berlin",
    )
    assert (series.quantity, series.unit, series.known_ahead, series.timezone) == ("speed", "km/h", ("rain",), "Europe/Berlin")
    assert series.context["rain"].tolist()[:25] == [1.0] * 24 + [2.0]


def test_figures_per_sensor_are_the_same_in_blocks(monkeypatch):
    values = table(ids=tuple("ABCDEFG")).to_numpy("float32").copy()
    values[5:40, 2], values[50:60, 3] = 0, np.nan
    whole = quality.measure(values)
    monkeypatch.setattr("stvlm.quality.warnings.BLOCK", 400)
    parts = quality.measure(values)
    for name in ("observed", "longest_gap", "longest_run", "zeros", "zero_falls", "middle", "worst_row"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert whole.longest_gap.tolist() == [0, 0, 0, 10, 0, 0, 0]
    assert whole.zeros.tolist() == [0, 0, 35, 0, 0, 0, 0]


def test_a_mended_table_written_to_parquet_reads_the_same():
    buffer = io.BytesIO()
    tables = raw()
    tables.readings.to_parquet(buffer)
    again = read_tables(InputFiles(("s.csv", sensors().to_csv(index=False).encode()), ("r.parquet", buffer.getvalue())))
    assert to_series(again).fingerprint == to_series(replace(tables, notes=())).fingerprint
