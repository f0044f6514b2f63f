"""Seasons are found in the training part, and only where they are."""

import numpy as np
import pytest

from stvlm.core.seasonality import find_seasons
from tests.support.protocol_networks import load_protocol

DAY, WEEK, YEAR = 1440, 10080, 525600


def clock(n_steps: int, step_seconds: int) -> np.ndarray:
    return np.datetime64("2024-03-04T00:00:00") + np.arange(n_steps) * np.timedelta64(step_seconds, "s")  # a Monday


def noise(n_steps: int, n_sensors: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (n_steps, n_sensors)).astype("f4")


def found(values: np.ndarray, step_seconds: int, stop: int | None = None) -> tuple[int, ...]:
    return find_seasons(values, clock(len(values), step_seconds), 0, stop or len(values), step_seconds)


def test_thirteen_real_networks_have_the_seasons_that_people_gave_them(shared_data):
    protocol = load_protocol(shared_data)
    for name, spec in protocol.SPEC.items():
        data = protocol.load(name)
        times = data.times.to_numpy().astype("datetime64[s]")
        got = find_seasons(data.values, times, 0, data.train_end, data.step_minutes * 60)
        assert list(got) == spec["seasons_minutes"], name


def test_hourly_readings_of_two_days_have_a_day_and_of_less_have_none():
    assert found(noise(48), 3600) == (DAY,)
    assert found(noise(47), 3600) == ()


def test_a_weekly_cycle_is_found_in_daily_readings_with_gaps_and_a_dead_sensor():
    values = noise(84) + 2 * (np.arange(84) % 7 >= 5)[:, None]
    values[np.random.default_rng(1).random(values.shape) < 0.3] = np.nan
    values[:, 2] = np.nan
    assert found(values.astype("f4"), 86400) == (WEEK,)
    assert found(values[:, :1].astype("f4"), 86400) == (WEEK,)


def test_daily_noise_has_no_season_however_long():
    for seed in range(5):
        assert found(noise(1500, seed=seed), 86400) == ()


def test_a_yearly_cycle_needs_two_years():
    wave = 3 * np.sin(2 * np.pi * np.arange(1000) / 365.25)[:, None]
    values = (noise(1000) + wave).astype("f4")
    assert found(values, 86400) == (YEAR,)
    assert found(values, 86400, stop=700) == ()


def test_a_week_within_a_year_gives_both():
    steps = np.arange(1100)
    wave = 3 * np.sin(2 * np.pi * steps / 365.25) + 2 * (steps % 7 >= 5)
    assert found((noise(1100) + wave[:, None]).astype("f4"), 86400) == (WEEK, YEAR)


def test_a_trend_is_no_season():
    assert found((noise(800) + 0.05 * np.arange(800)[:, None]).astype("f4"), 86400) == ()


@pytest.mark.parametrize("fill", [5.0, 0.1, np.nan])
def test_constant_and_empty_readings_have_a_day_at_most(fill):
    assert found(np.full((60 * 24, 3), fill, "f4"), 3600) == (DAY,)
    assert found(np.full((1000, 3), fill, "f4"), 86400) == ()


def test_what_comes_after_training_changes_nothing():
    values = noise(400) + 2 * (np.arange(400) % 7 >= 5)[:, None].astype("f4")
    changed = values.copy()
    changed[200:] = np.nan
    assert found(values, 86400, stop=200) == found(changed, 86400, stop=200) == (WEEK,)


def test_steps_that_do_not_divide_a_day_have_no_daily_season():
    assert found(noise(2000), 7 * 3600) == ()
