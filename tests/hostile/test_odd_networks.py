"""Unlucky networks that are no error: each is forecast sanely, or refused in one clear line."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from stvlm.cli.main import main
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.inference.predict import predict
from stvlm.io.read import InputFiles, read_tables
from stvlm.io.source import InputError
from stvlm.quality.report import align_context, apply_fixes, inspect, to_series
from stvlm.training.zero_shot import zero_shot

STEPS, SENSORS, LOOKBACK, HORIZON = 72, 4, 6, 2
LAT, LON = 48 + np.arange(SENSORS) / 50, 11 + np.arange(SENSORS) / 40


def waves(n_steps: int = STEPS, n_sensors: int = SENSORS, period: int = 24) -> np.ndarray:
    """(T, N) float32: a wave and noise around 50."""
    noise = np.random.default_rng(3).normal(0, 1, (n_steps, n_sensors))
    return (50 + 10 * np.sin(2 * np.pi * np.arange(n_steps) / period)[:, None] + noise).astype("f4")


def made(values: np.ndarray, lat=LAT, lon=LON, step_seconds: int = 3600, ids: tuple[str, ...] = ()) -> SensorSeries:
    """These readings as a series."""
    n_steps, n_sensors = values.shape
    times = np.datetime64("2024-01-01T00:00:00") + np.arange(n_steps) * np.timedelta64(step_seconds, "s")
    network = SensorNetwork(ids or tuple(f"S{i}" for i in range(n_sensors)), lat[:n_sensors], lon[:n_sensors])
    return SensorSeries(network, times, values.astype("f4"))


def hidden(share: float) -> np.ndarray:
    values = waves()
    values[np.random.default_rng(5).random(values.shape) < share] = np.nan
    return values


def with_column(column: int, cells) -> np.ndarray:
    values = waves()
    values[:, column] = cells
    return values


def dying() -> np.ndarray:
    values = waves()
    values[STEPS // 2 :, 1] = np.nan
    values[STEPS - 2 :, 2] = np.nan
    return values


def counts() -> np.ndarray:
    generator = np.random.default_rng(2)
    return np.where(generator.random((STEPS, SENSORS)) < 0.85, 0, generator.poisson(3, (STEPS, SENSORS)))


def wide_range() -> np.ndarray:
    return np.exp(np.random.default_rng(4).normal(0, 6, (STEPS, SENSORS))) * np.array([1e-6, 1, 1e3, 1e9])


NETWORKS: dict[str, Callable[[], SensorSeries]] = {
    "sensors that die in the middle": lambda: made(dying()),
    "60 % missing": lambda: made(hidden(0.6)),
    "one constant sensor": lambda: made(with_column(0, 7.0)),
    "all sensors constant": lambda: made(np.full((STEPS, SENSORS), 7.0)),
    "two of the four in one place": lambda: made(waves(), LAT[[0, 0, 2, 3]], LON[[0, 0, 2, 3]]),
    "one sensor in another hemisphere": lambda: made(
        waves(), np.array([48.0, 48.1, 48.2, -33.9]), np.array([11.0, 11.1, 11.2, 151.2])
    ),
    "on both sides of the antimeridian": lambda: made(
        waves(), np.array([-17.0, -17.2, -16.9, -17.4]), np.array([179.8, -179.9, 179.95, -179.6])
    ),
    "around the north pole": lambda: made(waves(), np.array([89.9, 89.95, 89.9, 90.0]), np.array([0.0, 120.0, -120.0, 0.0])),
    "counts that are mostly zero": lambda: made(counts()),
    "daily steps, 31 days": lambda: made(waves(31, SENSORS, 7), step_seconds=86400),
    "yearly steps, 60 years": lambda: made(waves(60, SENSORS, 11), step_seconds=31_536_000),
    "readings of all sizes": lambda: made(wide_range()),
    "negative readings": lambda: made(-waves()),
    "one sensor": lambda: made(waves(STEPS, 1)),
    "two sensors": lambda: made(waves(STEPS, 2)),
    "a silent last day": lambda: made(np.where(np.arange(STEPS)[:, None] < STEPS - 24, waves(), np.nan)),
}


def check(series: SensorSeries, horizon: int = HORIZON) -> None:
    """A forecast of the steps after the end is finite, its quantiles rise, and it stays near what was ever seen."""
    model = zero_shot(series, series.n_steps, LOOKBACK, horizon)
    forecast = predict(model, Window(series, series.n_steps, LOOKBACK, horizon))
    assert np.isfinite(forecast.values).all()
    assert (np.diff(forecast.values, axis=0) >= 0).all()
    low, high = np.nanmin(series.values), np.nanmax(series.values)
    room = max(high - low, abs(high) * 1e-3, 1e-30)
    assert forecast.median.min() >= low - room
    assert forecast.median.max() <= high + room
    if np.nanmin(series.values) >= 0:
        assert forecast.median.min() >= -1e-3 * room


@pytest.mark.parametrize("name", NETWORKS)
def test_an_unlucky_network_is_forecast_sanely(name):
    check(NETWORKS[name]())


def table(times: pd.DatetimeIndex, ids: tuple[str, ...]) -> dict:
    """Sensors and readings of these times as uploads."""
    readings = pd.DataFrame(
        waves(len(times), len(ids), 12).round(2), index=times.strftime("%Y-%m-%d %H:%M").rename("timestamp"), columns=ids
    )
    places = "sensor_id,lat,lon\n" + "".join(f"{i},{48 + n / 50},{11 + n / 40}\n" for n, i in enumerate(ids))
    return {"sensors": ("s.csv", places.encode()), "series": ("r.csv", readings.to_csv().encode())}


def test_calendar_months_are_named_with_a_fix_and_forecast_after_it():
    raw = read_tables(InputFiles(**table(pd.date_range("2000-01-01", periods=120, freq="MS"), ("A", "B"))))
    with pytest.raises(InputError, match=r"r\.csv: times are not evenly spaced.*--fix (resample|close-gaps)"):
        to_series(raw)
    assert {"resample", "close-gaps"} & set(inspect(raw).fixes)
    check(to_series(apply_fixes(raw, ("close-gaps",))))


def test_ids_that_look_like_something_else_come_out_as_they_went_in(tmp_path):
    ids = ("001", "01", "1", "NA", "nan", "null", "1e5", "1.0", "TRUE", "-")
    files = table(pd.date_range("2024-01-01", periods=120, freq="h"), ids)
    for name, content in files.values():
        (tmp_path / name).write_bytes(content)
    out = tmp_path / "f.csv"
    given = ["--sensors", str(tmp_path / "s.csv"), "--series", str(tmp_path / "r.csv")]
    assert main(["forecast", "--model", "zero-shot", *given, "--lookback", "6", "--horizon", "2", "--out", str(out)]) == 0
    rows = [line.split(",") for line in out.read_text().splitlines()[1:]]
    assert [row[1].removeprefix("'") for row in rows] == [*ids] * 2
    assert np.isfinite([float(cell) for row in rows for cell in row[2:]]).all()


@pytest.mark.parametrize(
    ("n_steps", "words"), [(2, "too few|window needs"), (7, "too few|window needs")], ids=["two readings", "fewer than a window"]
)
def test_too_little_is_refused_in_words(n_steps, words):
    with pytest.raises(ValueError, match=words):
        zero_shot(made(waves(n_steps)), n_steps, LOOKBACK, HORIZON)


def test_readings_too_large_to_compute_with_are_refused_in_words():
    files = table(pd.date_range("2024-01-01", periods=12, freq="h"), ("A", "B"))
    files["series"] = ("r.csv", files["series"][1].rstrip() + b"e30\n")
    with pytest.raises(InputError, match=r"r\.csv: a reading of .*e\+31 \(sensor B\).*in a larger unit"):
        to_series(read_tables(InputFiles(**files)))


def test_a_context_too_wide_for_so_many_steps_is_refused_in_words():
    context = pd.DataFrame(np.zeros((2, 400)), index=pd.date_range("2024", periods=2, freq="h"))
    with pytest.raises(InputError, match=r"context: 400 columns over 600,000 steps; at most 20,000,000 cells"):
        align_context(context, np.arange(600_000))
    with pytest.raises(InputError, match="long texts count as several"):
        align_context(pd.DataFrame({"word": ["x" * 400] * 2}, index=context.index), np.arange(600_000))


def test_no_reading_at_all_is_refused_in_words():
    with pytest.raises(ValueError, match="reading"):
        zero_shot(made(np.full((STEPS, SENSORS), np.nan)), STEPS, LOOKBACK, HORIZON)


def river_and_brooks(n_steps: int = 240) -> np.ndarray:
    """(T, N): a river of 1000 and three brooks of 10, each varying by a tenth."""
    generator = np.random.default_rng(8)
    away = np.zeros((n_steps, SENSORS))
    for step in range(1, n_steps):
        away[step] = 0.8 * away[step - 1] + 0.6 * generator.normal(0, 1, SENSORS)
    return np.array([1000, 10, 12, 8]) * (1 + 0.1 * away)


def test_a_brook_beside_a_river_has_bands_of_its_own_width():
    series = made(river_and_brooks())
    forecast = predict(zero_shot(series, 240, 12, HORIZON), Window(series, 240, 12, HORIZON))
    low, high = forecast.band(0.95)
    widths = (high - low) / np.nanstd(series.values, axis=0)
    assert widths.max() < 6
    assert widths.min() > 0.5


def test_sensors_twenty_four_orders_apart_are_each_forecast_in_their_own_size():
    sizes = np.array([1e-12, 1e-6, 1e6, 1e12])
    series = made(np.exp(np.random.default_rng(6).normal(0, 1, (200, SENSORS))) * sizes)
    forecast = predict(zero_shot(series, 200, 12, HORIZON), Window(series, 200, 12, HORIZON))
    low, high = forecast.band(0.8)
    assert (high - low > 0.1 * sizes).all()
    assert (high < 20 * sizes).all()
    assert (forecast.median > 0.1 * sizes).all()
