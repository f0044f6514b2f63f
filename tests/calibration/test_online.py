"""Bands that follow the error: no look ahead, what they promise under drift, the median as it was."""

import numpy as np
import pytest

from stvlm.calibration.online import LIMIT, OnlineCalibratedForecaster, OnlineCalibrator

Z = np.array([-1.959964, -1.281552, -0.674490, 0, 0.674490, 1.281552, 1.959964])
HORIZON, SENSORS, STEPS = 4, 20, 900


def readings(spread: np.ndarray, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    """(T, N) normal noise around `shift`, of a spread that changes with time."""
    return (shift + np.random.default_rng(seed).normal(0, 1, (len(spread), SENSORS)) * spread[:, None]).astype("f4")


def unit_bands(cutoffs: np.ndarray) -> np.ndarray:
    """The bands of noise of spread 1: right before the drift, and never told of it."""
    return np.broadcast_to(Z[:, None, None, None], (7, len(cutoffs), HORIZON, SENSORS)).astype("f4")


def held(quantiles: np.ndarray, values: np.ndarray, cutoffs: np.ndarray) -> dict[int, float]:
    """Share of the readings within each band."""
    truth = values[cutoffs[:, None] + np.arange(HORIZON)]
    pairs = {95: (0, 6), 80: (1, 5), 50: (2, 4)}
    return {share: float(((quantiles[low] <= truth) & (truth <= quantiles[high])).mean()) for share, (low, high) in pairs.items()}


def run(values: np.ndarray, cutoffs: np.ndarray, floor: float | None = None) -> np.ndarray:
    tracker = OnlineCalibrator(values, HORIZON, floor)
    return np.stack([tracker.calibrate(int(c), unit_bands(np.array([c]))[:, 0]) for c in cutoffs], axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_at_or_after_the_cutoff_changes_a_band(seed):
    rng = np.random.default_rng(seed)
    values = readings(np.linspace(0.5, 3, STEPS), seed)
    cutoffs = np.unique(rng.integers(10, STEPS - HORIZON, 200))
    cut = int(rng.integers(20, len(cutoffs)))
    changed = values.copy()
    changed[cutoffs[cut] :] = rng.normal(1000, 1000, changed[cutoffs[cut] :].shape)
    changed[cutoffs[cut] :: 7] = np.nan
    same, other = run(values, cutoffs), run(changed, cutoffs)
    assert (same[:, : cut + 1] == other[:, : cut + 1]).all()
    assert (same[:, cut + 1 :] != other[:, cut + 1 :]).any()


def test_each_step_learns_as_soon_as_its_reading_is_known():
    values = readings(np.full(STEPS, 3.0))
    tracker, bands = OnlineCalibrator(values, HORIZON), unit_bands(np.array([0]))[:, 0]
    for cutoff in range(50, 50 + HORIZON + 1):
        tracker.calibrate(cutoff, bands)
        learnt = (tracker.factors[[0, 1, 5, 6]] > 1).all(axis=0)
        assert learnt.tolist() == [cutoff - 50 > step for step in range(HORIZON)]


@pytest.mark.parametrize(("late", "early"), [(2.0, 1.0), (0.4, 1.0), (1.0, 1.0)])
def test_the_bands_hold_what_they_promise_after_the_spread_has_changed(late, early):
    spread = np.where(np.arange(STEPS) < 300, early, late)
    values, cutoffs = readings(spread), np.arange(200, STEPS - HORIZON)
    after = cutoffs >= 380
    follows = held(run(values, cutoffs)[:, after], values, cutoffs[after])
    assert follows[80] == pytest.approx(0.8, abs=0.02)
    assert follows[95] == pytest.approx(0.95, abs=0.01)
    assert follows[50] == pytest.approx(0.5, abs=0.03)
    if late != early:
        assert abs(held(unit_bands(cutoffs[after]), values, cutoffs[after])[80] - 0.8) > 0.15


def test_under_a_spread_that_swings_all_the_time_the_bands_hold_on_average():
    values = readings(1.5 + np.sin(np.arange(STEPS) / 40))
    cutoffs = np.arange(100, STEPS - HORIZON)
    follows = held(run(values, cutoffs), values, cutoffs)
    assert 0.77 <= follows[80] <= 0.83
    assert 0.93 <= follows[95] <= 0.97


def test_a_bias_widens_the_side_that_is_missed_and_narrows_the_other():
    values = readings(np.ones(STEPS), shift=0.5)
    tracker = OnlineCalibrator(values, HORIZON)
    for cutoff in range(10, STEPS - HORIZON):
        tracker.calibrate(cutoff, unit_bands(np.array([cutoff]))[:, 0])
    upper, lower = tracker.factors[5], tracker.factors[1]
    assert (upper > 1.2).all()
    assert (lower < 0.8).all()


def test_the_median_stays_and_the_quantiles_never_cross():
    values, cutoffs = readings(np.geomspace(0.02, 50, STEPS)), np.arange(10, STEPS - HORIZON)
    made = run(values, cutoffs)
    assert (made[3] == unit_bands(cutoffs)[3]).all()
    assert (np.diff(made, axis=0) >= 0).all()
    assert made[6].max() <= 1.96 * np.exp(LIMIT) * 1.001


def test_no_quantile_falls_below_the_floor_but_with_the_median():
    cutoffs = np.arange(10, 200)
    made = run(readings(np.full(STEPS, 5.0), shift=20.0), cutoffs, floor=-0.5)
    assert made.min() == np.float32(-0.5)
    assert run(readings(np.full(STEPS, 5.0)), cutoffs, floor=3.0).max() > 3.0
    assert (run(readings(np.full(STEPS, 5.0)), cutoffs, floor=3.0)[3] == 0).all()


def test_where_nothing_is_observed_nothing_is_learnt():
    values = np.full((STEPS, SENSORS), np.nan, "f4")
    assert (run(values, np.arange(10, 60)) == unit_bands(np.arange(10, 60))).all()


def test_windows_out_of_order_and_levels_without_a_partner_are_refused():
    tracker = OnlineCalibrator(readings(np.ones(STEPS)), HORIZON)
    tracker.calibrate(50, unit_bands(np.array([50]))[:, 0])
    with pytest.raises(ValueError, match="order of time; 49 comes after 50"):
        tracker.calibrate(49, unit_bands(np.array([49]))[:, 0])
    with pytest.raises(ValueError, match=r"symmetric around 0\.5"):
        OnlineCalibrator(readings(np.ones(STEPS)), HORIZON, levels=(0.1, 0.5, 0.8))


def test_the_same_bands_come_in_blocks_as_at_once_and_again_after_going_back():
    values, cutoffs = readings(np.linspace(1, 3, STEPS)), np.arange(520, 700)
    whole = OnlineCalibratedForecaster(unit_bands, values, HORIZON)(cutoffs)
    pieces = OnlineCalibratedForecaster(unit_bands, values, HORIZON)
    assert (np.concatenate([pieces(cutoffs[:7]), pieces(cutoffs[7:])], axis=1) == whole).all()
    assert (pieces(cutoffs) == whole).all()
    assert (whole == run(values, cutoffs)).all()
