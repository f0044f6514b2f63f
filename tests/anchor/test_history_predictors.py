"""Forecasts from what the past tells by itself, and the blend that is chosen anew as time goes on."""

from dataclasses import replace
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest

from stvlm.anchor import serialize
from stvlm.anchor.climatology import History, autocovariance, carried, estimate_climatology, running_climatology
from stvlm.anchor.ensemble import ensemble_weights
from stvlm.anchor.fit import fit_anchor
from stvlm.anchor.history_predictors import (
    IDENTITY,
    PERSISTENCE,
    HistoryPredictor,
    PredictorSpec,
    history_predictors,
    prediction_weights,
)
from stvlm.anchor.zero_shot import zero_shot_anchor
from stvlm.core.network import SensorNetwork
from stvlm.core.seasonality import DAY, WEEK
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split
from stvlm.runtime.cache import LRUCache

HOUR = 3600


def made(values: np.ndarray, step: int = HOUR) -> SensorSeries:
    n = values.shape[1]
    network = SensorNetwork(tuple(f"s{i}" for i in range(n)), 48 + 0.01 * np.arange(n), 11 + 0.02 * np.arange(n) ** 1.1)
    times = np.datetime64("2026-01-05T00:00:00") + np.arange(len(values)) * np.timedelta64(step, "s")
    return SensorSeries(network, times, values.astype("f4"), "level", "m")


@pytest.fixture(scope="module")
def daily() -> SensorSeries:
    """Three weeks of a daily wave with slow noise, 7 sensors, some readings missing."""
    rng = np.random.default_rng(0)
    t = np.arange(24 * 21)[:, None]
    noise = np.zeros((len(t), 7))
    for i in range(1, len(t)):
        noise[i] = 0.8 * noise[i - 1] + rng.normal(size=7)
    values = 20 + 8 * np.sin(2 * np.pi * t / 24) + noise
    values[rng.random(values.shape) < 0.05] = np.nan
    return made(values)


def test_the_weights_for_a_markov_chain_are_its_own():
    """Of an AR(1) with coefficient a, the best prediction h steps ahead is a^h times the last reading, and nothing else counts."""
    covariance = 0.7 ** np.arange(40)
    ahead = np.arange(1, 4)
    for h, weights in zip(ahead, prediction_weights(covariance, np.arange(5), ahead, has_unknown_mean=False), strict=True):
        np.testing.assert_allclose(weights[0], 0.7**h, rtol=0.06)
        assert np.abs(weights[1:]).max() < 0.03


def test_weights_with_an_unknown_mean_sum_to_one():
    weights = prediction_weights(0.9 ** np.arange(60), np.arange(8), np.arange(1, 5), has_unknown_mean=True)
    np.testing.assert_allclose(weights.sum(axis=1), np.ones(4))


def test_autocovariance_is_that_of_the_pairs_that_were_observed():
    rng = np.random.default_rng(1)
    away = rng.normal(size=(50, 3))
    away[rng.random(away.shape) < 0.3] = np.nan
    found = autocovariance(away)
    for lag in (0, 1, 7):
        pairs = away[: 50 - lag] * away[lag:]
        assert found[lag] == pytest.approx(np.nanmean(pairs), abs=1e-9)


def test_the_usual_reading_of_a_step_knows_only_the_cycles_before_it(daily):
    seconds = daily.times.astype("int64")
    usual, table = running_climatology(daily.values, seconds, DAY, HOUR, 0)
    later = daily.values.copy()
    later[24 * 10 :] += 100
    again, _ = running_climatology(later, seconds, DAY, HOUR, 0)
    np.testing.assert_array_equal(usual[: 24 * 11], again[: 24 * 11])
    assert np.abs(usual[24 * 12] - again[24 * 12]).min() > 1
    np.testing.assert_allclose(table[6].mean(), 28, atol=1.0)  # the crest of the wave


@pytest.mark.parametrize("kind", ["repeat", "usual", "known mean", "local mean"])
def test_no_reading_from_the_cutoff_on_is_looked_at(daily, kind):
    rule = PredictorSpec(kind, DAY, 1 if kind == "repeat" else 4, far=kind == "local mean", seasons=(DAY,))
    recall = HistoryPredictor(12, 6, rule, reach=400, stride=25)
    cutoff = np.array([24 * 15 + 5])
    before = recall.forecast_from(History(daily, 6), cutoff)
    other = daily.values.copy()
    other[cutoff[0] :] = -999
    after = recall.forecast_from(History(made(other), 6), cutoff)
    np.testing.assert_array_equal(before, after)
    assert np.isfinite(before).all()


def test_readings_before_the_start_are_not_read(daily):
    start = 24 * 8
    first = int(daily.times[start].astype("int64"))
    recall = HistoryPredictor(12, 6, PredictorSpec("known mean", DAY), reach=1000, stride=25, first_second=first)
    other = daily.values.copy()
    other[:start] = 999
    cutoffs = np.array([24 * 14, 24 * 16 + 7])
    np.testing.assert_array_equal(
        recall.forecast_from(History(daily, 6), cutoffs), recall.forecast_from(History(made(other), 6), cutoffs)
    )


def test_repeating_is_persistence_and_the_seasonal_naive(daily):
    whole = made(np.nan_to_num(daily.values, nan=20.0))
    cutoffs = np.array([300, 340])
    plain = HistoryPredictor(12, 6, PERSISTENCE, 1000, 25).forecast_from(History(whole, 6), cutoffs)
    np.testing.assert_array_equal(plain, np.repeat(whole.values[cutoffs - 1][:, None], 6, axis=1))
    yesterday = HistoryPredictor(12, 6, PredictorSpec("repeat", DAY, 1), 1000, 25).forecast_from(History(whole, 6), cutoffs)
    np.testing.assert_array_equal(yesterday, whole.values[cutoffs[:, None] + np.arange(6) - 24])


def test_a_linear_prediction_beats_repeating_and_the_usual_reading(daily):
    cutoffs = np.arange(24 * 14, len(daily.values) - 6)
    truth = daily.values[cutoffs[:, None] + np.arange(6)]
    error = {}
    for rule in (PERSISTENCE, PredictorSpec("usual", DAY), PredictorSpec("known mean", DAY)):
        forecast = HistoryPredictor(12, 6, rule, 1000, 25).forecast_from(History(daily, 6), cutoffs)
        error[rule.kind] = np.nanmean(np.abs(forecast - truth))
    assert error["known mean"] < 0.95 * min(error["repeat"], error["usual"])


def test_a_short_past_is_repeated_and_none_at_all_gives_the_network_mean():
    values = np.arange(40, dtype="f4")[:, None] + np.zeros((1, 3), "f4")
    values[:, 2] = np.nan
    series = made(values)
    out = HistoryPredictor(4, 2, PredictorSpec("known mean", WEEK), 1000, 5).forecast_from(History(series, 2), np.array([10]))
    np.testing.assert_array_equal(out[0, 0], [9, 9, 9])


def test_gaps_are_carried_so_far_and_no_farther():
    values = np.array([[1.0], [np.nan], [np.nan], [np.nan]])
    np.testing.assert_array_equal(carried(values, 2)[:, 0], [1, 1, 1, np.nan])
    np.testing.assert_array_equal(carried(values, None)[:, 0], [1, 1, 1, 1])


def test_rules_offer_a_season_only_where_two_cycles_were_seen(daily):
    found = history_predictors(daily, 0, 24 * 10, 12, 6, (DAY, WEEK))
    assert {r.rule.season_seconds for r in found} == {0, DAY}
    assert PERSISTENCE in {r.rule for r in found}


def test_a_blend_takes_what_is_right_and_hedges_where_little_is_known():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(40, 3, 5))
    good, bad = truth + 0.1 * rng.normal(size=truth.shape), truth + 3 * rng.normal(size=truth.shape)
    shares, error = ensemble_weights([good, bad], truth, np.arange(40) * 10, 10, None)
    assert shares[0] > 0.99
    assert sum(shares) == pytest.approx(1)
    assert error == pytest.approx(np.abs(good - truth).mean(), rel=0.02)
    like = [truth + 1 + 0.02 * rng.normal(size=truth.shape) for _ in range(2)]
    long, _ = ensemble_weights(like, truth, np.arange(40), 20, 0)
    assert 0.55 < long[0] < 0.95  # what is believed first has more, not all


def test_the_blend_of_an_anchor_follows_a_change_and_never_looks_ahead(daily):
    """The readings become a flat line in the test part: what repeats or follows the level gains shares."""
    values = np.nan_to_num(daily.values, nan=20.0)
    values[24 * 15 :] = 50 + 0.01 * np.random.default_rng(3).normal(size=values[24 * 15 :].shape)
    series = made(values)
    split = Split.from_shares(len(values), (0.5, 0.2, 0.3))
    anchor = fit_anchor(series, split, 12, 6, (1440,))
    late = np.arange(len(values) - 30, len(values) - 6)
    truth = values[late[:, None] + np.arange(6)]
    follows, stays = (np.abs(one.forecast(series, late) - truth).mean() for one in (anchor, replace(anchor, replay=None)))
    assert follows < 0.8 * stays
    cutoffs = np.array([split.test_start + 40])
    other = values.copy()
    other[cutoffs[0] :] = -5
    np.testing.assert_array_equal(anchor.forecast(series, cutoffs), anchor.forecast(made(other), cutoffs))


def test_an_anchor_with_memories_comes_back_from_its_files(daily, tmp_path):
    anchor = fit_anchor(daily, Split.from_shares(len(daily.values), (0.6, 0.2, 0.2)), 12, 6, (1440,))
    assert any(isinstance(m, HistoryPredictor) for m in anchor.members)
    serialize.save(anchor, tmp_path)
    again = serialize.load(tmp_path)
    cutoffs = np.arange(430, 480, 7)
    np.testing.assert_array_equal(anchor.forecast(daily, cutoffs), again.forecast(daily, cutoffs))


def test_no_context_keeps_to_the_lookback(daily):
    split = Split.from_shares(len(daily.values), (0.6, 0.2, 0.2))
    anchor = fit_anchor(daily, split, 12, 6, (1440,), context_steps=0)
    assert anchor.replay is None
    assert not any(isinstance(m, HistoryPredictor) for m in anchor.members)
    cutoffs = np.array([450])
    other = daily.values.copy()
    other[: cutoffs[0] - 12] = 77
    np.testing.assert_array_equal(anchor.forecast(daily, cutoffs), anchor.forecast(made(other), cutoffs))


@pytest.mark.parametrize(("zone", "start"), [("Europe/Berlin", "2024-10-20T00:00"), ("America/Havana", "2024-10-27T00:00")])
@pytest.mark.parametrize("season", [0, DAY])
def test_the_past_may_begin_and_end_in_the_hour_that_a_clock_shows_twice(zone, start, season):
    network = SensorNetwork(("a", "b"), [52.0, 52.1], [13.0, 13.1])
    times = np.datetime64(start, "s") + np.arange(1000) * np.timedelta64(15, "m")
    series = SensorSeries(network, times, np.tile(np.arange(96, dtype="f4"), 11)[:1000, None] + [[0, 1]], timezone=zone)
    past = History(series, 4)
    back = int(np.flatnonzero(np.diff(past.seconds) < 0)[0]) + 1  # the first step of the second time
    for begin, end in [(0, back + 1), (0, back + 3), (back - 2, back + 300)]:
        memory = estimate_climatology(past, begin, end, IDENTITY, season, 0)
        assert np.isfinite(memory.profile.table).all()
        assert memory.profile.table.shape == ((96 if season else 1), 2)


def test_a_cutoff_before_the_time_of_a_recall_reads_what_there_is(daily):
    """A model that learnt from a late block, or from later files, still forecasts what came before."""
    late = int(daily.times[400].astype("int64"))
    for rule in (PERSISTENCE, PredictorSpec("known mean", DAY)):
        recall, free = (HistoryPredictor(24, 6, rule, 500, 6, second) for second in (late, int(daily.times[0].astype("int64"))))
        past, cutoffs = History(daily, 6), np.array([40, 399, 400, 480])
        np.testing.assert_array_equal(recall.forecast_from(past, cutoffs[:3]), free.forecast_from(past, cutoffs[:3]))
        assert not np.array_equal(recall.forecast_from(past, cutoffs)[3], np.zeros((6, 7), "f4"))


def test_a_step_is_found_where_the_clock_is_no_multiple_of_the_step():
    series = made(np.ones((40, 2)), DAY)
    series = SensorSeries(series.network, series.times + np.timedelta64(6, "h"), series.values)
    past, first = History(series, 2), int(series.times[0].astype("int64"))
    assert [past.index(first + seconds) for seconds in (-DAY, -1, 0, 1, DAY)] == [-1, 0, 0, 1, 1]


def test_a_network_that_fell_silent_keeps_its_usual_reading_though_memory_fades():
    values = np.full((3000, 2), 300.0)
    values[200:] = np.nan
    _, table = running_climatology(values, np.arange(3000) * HOUR, HOUR, HOUR, 24)
    np.testing.assert_allclose(table, 300, rtol=1e-5)


def test_a_moment_between_two_steps_belongs_to_the_step_after_it():
    series = made(np.zeros((10, 1)))
    shifted = SensorSeries(series.network, series.times + np.timedelta64(1800, "s"), series.values)
    past = History(shifted, 2)
    for step in (0, 3):
        second = int(shifted.times[step].astype("int64"))
        assert past.index(second) == step
        assert past.index(second + 1) == step + 1


def test_a_sensor_that_has_just_begun_is_not_held_within_its_first_readings():
    """Its day is not known from six hours of it, so nothing bounds its forecasts yet."""
    rng = np.random.default_rng(0)
    hours = np.arange(960)[:, None]
    values = 10 + 5 * np.sin(2 * np.pi * hours / 24) + rng.normal(size=(960, 4))
    values[:820, 0] = np.nan
    series = made(values)
    anchor = zero_shot_anchor(series, 0, 960, 24, 12, (1440,))
    views, cutoff = anchor.views(series), np.array([850])
    _, known = next(anchor._known(views, cutoff))
    assert np.isinf([known.low[0], known.high[0]]).all()
    assert np.isfinite([known.low[1:], known.high[1:]]).all()
    whole = np.nanmax(series.values[:820, 1:]) - np.nanmin(series.values[:820, 1:])
    assert (known.high[1:] - known.low[1:] < 1.6 * whole).all()


def test_what_is_kept_stays_within_its_number_and_its_bytes():
    kept, made_of = LRUCache(3, 100), []
    for key in (0, 1, 0, 2, 0):
        kept.get(key, lambda key=key: made_of.append(key) or np.zeros(40, "u1"))
    assert made_of == [0, 1, 2]  # the third of 40 bytes sent away 1, the longest unused
    kept.get("large", lambda: np.zeros(500, "u1"))
    kept.get(0, lambda: made_of.append("again") or np.zeros(40, "u1"))
    assert made_of[-1] == "again"


def test_what_is_missing_is_made_together_and_what_was_kept_is_not_made_again():
    kept, asked = LRUCache(3), []
    make = lambda keys: asked.append(keys) or [10 * key for key in keys]  # noqa: E731
    assert kept.get_many([1, 2, 1], make) == [10, 20, 10]
    assert kept.get_many([2, 3, 1, 4], make) == [20, 30, 10, 40]
    assert asked == [[1, 2], [3, 4]]
    assert kept.get_many([1, 2], make) == [10, 20]
    assert asked[-1] == [2]  # the longest unused of four


def test_an_anchor_travels_to_another_process_and_forecasts_the_same_there(daily):
    anchor = fit_anchor(daily, Split.from_shares(len(daily.values), (0.6, 0.2, 0.2)), 12, 6, (1440,))
    cutoffs = np.arange(430, 480, 7)
    before = anchor.forecast(daily, cutoffs)
    again = ForkingPickler.loads(ForkingPickler.dumps(anchor))
    np.testing.assert_array_equal(again.forecast(daily, cutoffs), before)
