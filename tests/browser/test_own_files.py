"""A new user's own files, wrong in three ways: named, mended by buttons, forecast, explained, and reported, in a real browser."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.browser import SLOW, map_frame, query
from tests.support.paths import SHARED_DATA

pytestmark = pytest.mark.browser
REAL = SHARED_DATA / "ireland_hourly_weather_2017"
WEEKS = 3


def hourly_weather() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sensors and readings: twelve real stations of Ireland where they lie beside the checkout, else twelve made up like them."""
    n_steps = WEEKS * 7 * 24
    if REAL.is_dir():
        sensors = pd.read_csv(REAL / "sensors.csv", dtype={"sensor_id": str}).iloc[::2].head(12)
        readings = pd.read_csv(REAL / "series.csv.gz", nrows=n_steps)
        return sensors[["sensor_id", "lat", "lon", "name"]], readings[["timestamp", *sensors["sensor_id"]]]
    rng = np.random.default_rng(5)
    lat, lon = rng.uniform(52.2, 54.2, 12), rng.uniform(-9.2, -6.6, 12)
    ids = [f"S{i:02d}" for i in range(12)]
    sensors = pd.DataFrame({"sensor_id": ids, "lat": lat.round(4), "lon": lon.round(4), "name": [f"Station {i}" for i in ids]})
    hours = np.arange(n_steps)
    weather = np.cumsum(rng.normal(0, 0.15, n_steps))[:, None] + 3 * np.sin(2 * np.pi * (hours - 9) / 24)[:, None]
    values = 8 + weather - (lat - 53) + rng.normal(0, 0.3, (n_steps, 12))
    times = pd.Series(pd.date_range("2017-01-01", periods=n_steps, freq="h").astype("str"), name="timestamp")
    return sensors, pd.concat([times, pd.DataFrame(values.round(1), columns=ids)], axis=1)


def damage(folder: Path) -> list[str]:
    """The two files with an hour twice, latitude and longitude swapped, and one column with decimal commas."""
    sensors, readings = hourly_weather()
    sensors.rename(columns={"lat": "lon", "lon": "lat"}).to_csv(folder / "stations.csv", index=False)
    column = readings.columns[3]
    readings[column] = [f"{value:.1f}".replace(".", ",") if np.isfinite(value) else "" for value in readings[column]]
    readings.iloc[[*range(100), 99, *range(100, len(readings))]].to_csv(folder / "temperature.csv", index=False)
    return [str(folder / "stations.csv"), str(folder / "temperature.csv")]


def mend(page, fix: str, shown: str) -> None:
    """Try a fix, see what it would do, apply it."""
    page.get_by_role("button", name=fix, exact=True).first.click()
    page.get_by_text(shown).first.wait_for(timeout=SLOW)
    page.get_by_role("button", name="Apply this fix").click()
    page.get_by_role("button", name=f"Undo: {fix}").wait_for(timeout=SLOW)


def download(page, button: str):
    """What a button gives."""
    with page.expect_download(timeout=SLOW) as told:
        page.get_by_role("button", name=button).click()
    return told.value


def test_files_wrong_in_three_ways_are_mended_forecast_explained_and_reported(page, app_url, tmp_path):
    page.goto(f"{app_url}/data?source=own")
    page.locator("input[type=file]").set_input_files(damage(tmp_path))
    page.get_by_text("the decimal sign ',' among others with '.'").first.wait_for(timeout=SLOW)
    page.get_by_text("all sensors lie at sea").first.wait_for()
    page.get_by_text("1 time(s) are repeated, the first is 2017-01-05 03:00:00.").first.wait_for()
    use = page.get_by_role("button", name="Use this network")
    assert use.is_disabled()
    mend(page, "Average duplicate times", "Rows of readings")
    mend(page, "Swap latitude and longitude", "Where the sensors lie before and after")
    from playwright.sync_api import expect

    quantity = page.get_by_role("textbox", name="What is measured")
    expect(quantity).to_have_count(1, timeout=SLOW)  # while the page runs again, what it showed before stands beside
    quantity.fill("air temperature")
    page.get_by_role("textbox", name="Unit", exact=True).fill("°C")
    use.click()
    page.wait_for_url("**data=*", timeout=SLOW)
    page.get_by_text("Fixes applied: Swap latitude and longitude, Average duplicate times").wait_for(timeout=SLOW)
    map_frame(page)

    page.get_by_role("link", name="Forecast").click()
    page.get_by_text("all steps").first.wait_for(timeout=SLOW)
    map_frame(page)
    download(page, "Report").save_as(tmp_path / "report.html")
    report = (tmp_path / "report.html").read_text("utf-8")
    assert "air temperature" in report
    assert "--fix swap-lat-lon,average-duplicates" in report
    assert 'src="' not in report

    page.get_by_role("link", name="What if").click()  # what the forecast draws on: something is taken away
    page.get_by_test_id("stMetricDelta").first.wait_for(timeout=SLOW)
    assert query(page)["change"] != "{}"
    page.get_by_role("heading", name="What the change does").wait_for()
