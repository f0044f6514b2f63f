"""The made-up networks keep their rules: jams run upstream at a known speed, incidents are told before they show."""

import numpy as np
import pytest

from stvlm.datasets import synthetic_city
from stvlm.datasets.synthetic_city import JAM_KMH, KINDS, START, city, field, truth


@pytest.fixture(scope="module")
def series():
    return city(n_days=28, seed=3)


@pytest.fixture(scope="module")
def known():
    return truth(n_days=28, seed=3)


def around(series, event, before: int = 2, after: int = 6) -> np.ndarray:
    return series.values[event.step - before + 1 : event.step + after + 1, event.node]


def usual(series) -> np.ndarray:
    """(T, N) median of the same time of day on the same kind of day."""
    by_day = series.values.reshape(28, 96, -1)
    weekend = np.arange(28) % 7 >= 5
    middles = {kind: np.nanmedian(by_day[weekend == kind], axis=0) for kind in (False, True)}
    return np.concatenate([middles[kind] for kind in weekend])


def test_the_same_seed_is_the_same_city_and_another_seed_another():
    assert city(12, 3, seed=1).fingerprint == city(12, 3, seed=1).fingerprint
    assert city(12, 3, seed=1).fingerprint != city(12, 3, seed=2).fingerprint


def test_a_city_has_names_roads_closeness_and_the_stated_context(series):
    network = series.network
    assert (network.n_sensors, series.n_steps, series.step_minutes) == (60, 28 * 96, 15)
    assert list(network.facts.columns) == ["name", "road"]
    assert len(set(network.facts["name"])) == 60
    assert "Ring north 3" in set(network.facts["name"])
    assert list(series.context.columns) == ["incident", "rain_mm", "holiday"]
    assert series.known_ahead == ("holiday",)
    assert network.adjacency.nnz >= 59
    assert ((network.adjacency - network.adjacency.T) != 0).nnz > 0  # the traffic has a direction
    assert 0.005 < np.isnan(series.values).mean() < 0.015
    assert np.nanmin(series.values) >= 4
    assert np.nanmax(series.values) < 130


def test_every_incident_is_told_at_its_step_and_names_its_sensor(series, known):
    for event in known.incidents:
        assert event.text in series.context["incident"][event.step]
        assert event.text.endswith(f"near {series.network.name(event.node)}")
    told = series.context["incident"] != ""
    assert set(np.flatnonzero(told)) == {event.step for event in known.incidents}


def test_incidents_slow_their_sensor_from_the_next_step_on_and_not_before(series, known):
    departure = series.values - usual(series)
    before = [np.nanmean(around(series, e, 2, 0) - usual(series)[e.step - 1 : e.step + 1, e.node]) for e in known.incidents[5:]]
    after = [np.nanmean(departure[e.step + 1 : e.step + 5, e.node]) for e in known.incidents[5:]]
    late = [np.nanmean(departure[e.step + 10 : e.step + 14, e.node]) for e in known.incidents[5:-5]]
    assert abs(np.nanmedian(before)) < 3
    assert np.nanmedian(after) < -25
    assert abs(np.nanmedian(late)) < 3


def test_no_reading_up_to_the_telling_gives_an_incident_away(series, known):
    """The change in the last hour before an incident is like that at any other time."""
    change = series.values[4:] - series.values[:-4]
    at = [change[e.step - 4, e.node] for e in known.incidents if e.step >= 4]
    assert abs(np.nanmean(at) - np.nanmean(change)) < 3 * np.nanstd(change) / np.sqrt(len(at))


def test_jams_reach_sensors_upstream_later_at_the_stated_speed(known):
    slow = synthetic_city.jam_slowness(synthetic_city.CityTruth(known.jams[:1], (), known.road_km), 28 * 96, 5)
    jam = known.jams[0]
    distance = known.road_km[:, jam.node]
    checked = 0
    for node in np.flatnonzero((distance > 0) & (distance <= 9)):
        hours = (np.argmax(slow[:, node]) - np.argmax(slow[:, jam.node])) * 5 / 60
        assert hours == pytest.approx(distance[node] / JAM_KMH, abs=0.1)
        checked += 1
    downstream = np.isinf(distance)
    assert checked >= 2
    assert (slow[:, downstream] == 0).all()


def test_jams_travel_against_the_closeness_along_a_road(series, known):
    names = list(series.network.facts["name"])
    outer, inner = names.index("North road 1"), names.index("North road 5")
    assert 3 < known.road_km[outer, inner] < 13
    assert np.isinf(known.road_km[inner, outer])
    assert series.network.adjacency[outer, outer + 1] > 0
    assert series.network.adjacency[outer + 1, outer] == 0


def test_rush_hours_are_slow_on_working_days_and_not_on_the_holiday(series):
    hour = (series.times.astype("int64") % 86400) // 3600
    day = (series.times - START).astype("timedelta64[D]").astype(int)
    holiday = series.context["holiday"].to_numpy() == 1
    assert holiday.sum() == 96
    working = (day % 7 < 5) & ~holiday & (hour == 8)
    assert np.nanmean(series.values[working]) < np.nanmean(series.values[holiday & (hour == 8)]) - 10


def test_rain_slows_the_whole_network(series):
    night = (series.times.astype("int64") % 86400) < 5 * 3600
    rain = series.context["rain_mm"].to_numpy()
    wet, dry = night & (rain > 1), night & (rain == 0)
    assert wet.sum() > 20
    assert np.nanmean(series.values[wet]) < np.nanmean(series.values[dry]) - 3


@pytest.mark.parametrize("n_sensors", [8, 9, 13, 207])
def test_cities_of_all_sizes_are_made(n_sensors):
    small = city(n_sensors, 2)
    assert small.values.shape == (192, n_sensors)
    assert small.network.half_extent_km < 15


@pytest.mark.parametrize("wrong", [{"n_sensors": 7}, {"n_days": 0}, {"step_minutes": 7}])
def test_a_city_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="at least 8 sensors"):
        city(**wrong)


def test_a_wave_reaches_each_sensor_after_the_one_before_it():
    series = field(20, 240, "wave", seed=2)
    lags = []
    for node in range(1, 20):
        score = [np.corrcoef(series.values[48:192, 0], series.values[48 + lag : 192 + lag, node])[0, 1] for lag in range(-12, 13)]
        lags.append(int(np.argmax(score)) - 12)
        assert max(score) > 0.98
    position = series.network.position_km
    plane, *_ = np.linalg.lstsq(position[1:] - position[0], np.array(lags), rcond=None)
    assert np.abs((position[1:] - position[0]) @ plane - lags).max() < 1.5
    assert 1 / np.hypot(*plane) == pytest.approx(1.5 * 100 / 24, rel=0.1)  # km a step


def test_pulses_spread_to_the_neighbours():
    series = field(12, 400, "diffusion", seed=5)
    departure = series.values.astype("f8") - 20
    around = departure[:, series.network.neighbours(4)[0]].mean(axis=2)
    rest = departure[1:] - 0.97 * (0.8 * departure[:-1] + 0.2 * around[:-1])  # what the rule leaves: noise and pulses
    pulses = rest > 3
    assert 15 < pulses.sum() < 80
    assert pulses.sum(axis=1).max() == 1
    assert rest[~pulses].std() < 0.4


def test_cycles_repeat_and_noise_does_not():
    cycle, noise = field(kind="cycle").values, field(kind="noise").values
    assert np.abs(cycle[24:] - cycle[:-24]).max() < 2
    assert abs(np.corrcoef(noise[24:].ravel(), noise[:-24].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_fields_lie_anywhere_on_earth_with_gaps_as_asked(kind):
    series = field(10, 200, kind, centre=(-17.0, 179.9), extent_km=80, missing=0.2)
    assert series.network.lon.min() < -179 < 179 < series.network.lon.max()
    assert series.network.half_extent_km < 60
    assert np.isnan(series.values).mean() == pytest.approx(0.2, abs=0.03)
    assert field(1, 10, kind).values.shape == (10, 1)


def test_an_unknown_kind_of_field_is_refused():
    with pytest.raises(ValueError, match="wave, diffusion, cycle, noise"):
        field(kind="storm")
