"""Alarms: the chance follows the quantiles, and the list names whom it concerns."""

from dataclasses import replace

import numpy as np
import pytest

from stvlm.core.alarms import AlarmRule, chance_beyond, raised_alarms
from stvlm.core.forecast import LEVELS, Forecast
from stvlm.core.network import SensorNetwork


@pytest.fixture
def forecast() -> Forecast:
    """Two steps of three sensors; the quantiles of sensor a are 10, 20 .. 70 at the first step and 100 more at the second."""
    network = SensorNetwork(("a", "b", "c"), np.array([50.0, 50.1, 50.2]), np.array([8.0, 8.1, 8.2]))
    base = np.arange(10.0, 80.0, 10.0)[:, None, None] + np.array([0.0, 100.0])[None, :, None] + np.zeros(3)
    base[:, :, 1] = 5.0  # b is certain
    base[:, :, 2] = np.nan  # c says nothing
    times = np.datetime64("2025-01-01T00:00:00", "s") + np.arange(2) * np.timedelta64(1, "h")
    return Forecast(network, "speed", "km/h", "stvlm", times, LEVELS, base.astype("f4"))


@pytest.mark.parametrize("place", range(len(LEVELS)))
def test_at_a_quantile_the_chance_is_its_level(forecast, place):
    level = 10.0 * (place + 1)
    assert chance_beyond(forecast, level, above=False)[0, 0] == pytest.approx(LEVELS[place])
    assert chance_beyond(forecast, level, above=True)[0, 0] == pytest.approx(1 - LEVELS[place])


def test_between_two_quantiles_the_chance_is_between_their_levels(forecast):
    assert chance_beyond(forecast, 45.0)[0, 0] == pytest.approx(1 - (0.5 + 0.75) / 2)


def test_beyond_the_outermost_quantile_the_chance_falls_and_never_ends(forecast):
    chances = [chance_beyond(forecast, x)[0, 0] for x in (70, 71, 75, 90)]
    assert chances[0] == pytest.approx(0.025)
    assert chances == sorted(chances, reverse=True)
    assert 0 < chances[-1] < 0.01
    low = [chance_beyond(forecast, x, above=False)[0, 0] for x in (10, 9, 0)]
    assert low[0] == pytest.approx(0.025)
    assert 0 < low[2] < low[1] < 0.025
    # density next to the outermost quantile is the same on both sides: 0.075 of probability over 10 km/h
    assert (chances[0] - chances[1]) == pytest.approx(0.0075, rel=0.2)


def test_a_certain_forecast_is_a_step(forecast):
    assert chance_beyond(forecast, 4.9)[0, 1] == 1
    assert chance_beyond(forecast, 5.1)[0, 1] == 0


def test_where_nothing_is_forecast_no_chance_is_given_and_no_alarm_raised(forecast):
    assert np.isnan(chance_beyond(forecast, 0.0)[:, 2]).all()
    assert 2 not in raised_alarms(forecast, AlarmRule(0.0)).sensor.tolist()


def test_the_list_names_first_step_and_highest_chance(forecast):
    found = raised_alarms(forecast, AlarmRule(100.0, chance=0.5))
    assert found.to_dict("records") == [
        {"sensor": 0, "first": 1, "steps": 1, "highest": pytest.approx(chance_beyond(forecast, 100.0)[1, 0]), "step": 1}
    ]
    assert raised_alarms(forecast, AlarmRule(1e6)).empty
    below = raised_alarms(forecast, AlarmRule(30.0, above=False, chance=0.2))
    assert below.sensor.tolist() == [1, 0]
    assert below.steps.tolist() == [2, 1]


def test_the_chances_of_a_sample_of_a_known_law_are_right():
    rng = np.random.default_rng(0)
    draws = rng.normal(20, 4, 200_000)
    network = SensorNetwork(("a",), np.array([50.0]), np.array([8.0]))
    values = np.quantile(draws, LEVELS)[:, None, None].astype("f4")
    made = Forecast(network, "speed", "", "m", np.array(["2025-01-01"], "datetime64[s]"), LEVELS, values)
    for level in (8, 12, 16, 20, 22, 26, 30, 34):
        assert chance_beyond(made, level)[0, 0] == pytest.approx((draws > level).mean(), abs=0.025)


def test_a_rule_that_is_none_and_a_forecast_without_bands_are_refused(forecast):
    with pytest.raises(ValueError, match="must be a number"):
        AlarmRule(float("nan"))
    with pytest.raises(ValueError, match="share from 0 to below 1"):
        AlarmRule(1.0, chance=1.0)
    with pytest.raises(ValueError, match="no bands"):
        chance_beyond(replace(forecast, levels=(0.5,), values=forecast.values[:1]), 1.0)
    assert AlarmRule(60, False, 0.25).words("km/h") == "below 60 km/h with a chance over 25 %"
