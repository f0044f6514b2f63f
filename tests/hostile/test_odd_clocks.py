"""Clocks that are put forward and back: each reading and each fact lands at its hour, however the file is sorted."""

import numpy as np
import pandas as pd
import pytest

from stvlm.io.read import InputFiles, read_tables
from stvlm.io.sandbox import dump_tables, load_tables
from stvlm.quality.report import apply_fixes, load, to_series

PLACES = ("s.csv", b"sensor_id,lat,lon\nA,48.1,11.5\nB,48.2,11.6\n")


def hours(start: str, zone: str, n_steps: int, minutes: int) -> pd.DatetimeIndex:
    """Even steps as the clocks of a zone show them."""
    even = pd.date_range(start, periods=n_steps, freq=f"{minutes}min", tz="UTC")
    return even.tz_convert(zone).tz_localize(None)


def wide(times: pd.DatetimeIndex, values: np.ndarray) -> tuple[str, bytes]:
    table = pd.DataFrame(
        values[:, None] + [0, 1000], index=times.strftime("%Y-%m-%d %H:%M").rename("timestamp"), columns=["A", "B"]
    )
    return "r.csv", table.to_csv().encode()


def long(times: pd.DatetimeIndex, values: np.ndarray) -> tuple[str, bytes]:
    rows = [
        f"{t:%Y-%m-%d %H:%M},{i},{v + more}\n" for t, v in zip(times, values, strict=True) for i, more in (("A", 0), ("B", 1000))
    ]
    return "r.csv", ("timestamp,sensor_id,value\n" + "".join(rows)).encode()


@pytest.mark.parametrize("write", [wide, long])
@pytest.mark.parametrize(
    ("zone", "start", "minutes"), [("Europe/Berlin", "2021-10-29", 60), ("Australia/Lord_Howe", "2021-04-02", 10)]
)
def test_a_file_that_begins_with_the_newest_reading_keeps_equal_hours_apart(write, zone, start, minutes):
    n_steps = 4 * 1440 // minutes
    times, values = hours(start, zone, n_steps, minutes), np.arange(n_steps)
    for order in (slice(None), slice(None, None, -1)):
        series = load(InputFiles(PLACES, write(times[order], values[order])), fixes=(f"local-time:{zone}", "sort-times"))
        np.testing.assert_array_equal(series.values[:, 0], values)
        np.testing.assert_array_equal(series.values[:, 1], values + 1000)


@pytest.mark.parametrize("start", ["2021-03-26", "2021-10-29"])
@pytest.mark.parametrize("every", [60, 180, 360, 1440])
def test_facts_on_the_local_clock_hold_across_its_changes(tmp_path, start, every):
    times = hours(start, "Europe/Berlin", 4 * 96, 15)
    rows = pd.date_range(start, periods=6 * 1440 // every, freq=f"{every}min")
    facts = "timestamp,rain\n" + "".join(f"{t:%Y-%m-%d %H:%M},{k}\n" for k, t in enumerate(rows))
    raw = read_tables(InputFiles(PLACES, wide(times, np.arange(len(times))), context=("c.csv", facts.encode())))
    mended = apply_fixes(raw, ["local-time:Europe/Berlin"])
    dump_tables(mended, tmp_path)
    for tables in (mended, load_tables(tmp_path)):
        rain = to_series(tables).context["rain"].to_numpy()
        np.testing.assert_array_equal(rain, (times - rows[0]) // pd.Timedelta(minutes=every))


def test_facts_without_a_zone_follow_the_clock_that_the_readings_name(tmp_path):
    even = pd.date_range("2021-03-26", periods=96, freq="h", tz="UTC").tz_convert("Europe/Berlin")
    table = pd.DataFrame({"timestamp": even, "A": 1.0, "B": 2.0})
    table.to_parquet(tmp_path / "r.parquet", index=False)
    days = "timestamp,rain\n" + "".join(f"2021-03-{d} {h:02}:00,{100 * d + h}\n" for d in range(26, 31) for h in range(0, 24, 6))
    series = load(InputFiles(PLACES, tmp_path / "r.parquet", context=("c.csv", days.encode())))
    assert series.timezone == "Europe/Berlin"
    np.testing.assert_array_equal(series.context["rain"], 100 * even.day + even.hour // 6 * 6)
