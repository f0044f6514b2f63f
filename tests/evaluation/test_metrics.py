"""Scores by hand, in blocks, and over observed cells only; bands that hold what they promise."""

import numpy as np
import pytest

from stvlm.calibration.conformal import ConformalBands
from stvlm.core.forecast import LEVELS
from stvlm.evaluation import metrics
from stvlm.evaluation.metrics import Scores, score

NAN = np.nan
TRUTH = np.array([[[10.0, NAN], [20.0, 40.0]]], "f4")  # one window, two steps, two sensors
MEDIAN = np.array([[[13.0, 99.0], [20.0, 36.0]]], "f4")  # errors 3, -, 0, -4


def test_errors_by_hand_leave_the_missing_cell_out():
    result = score(MEDIAN, TRUTH)
    assert result["cells"] == 3
    assert result["mae"] == pytest.approx(7 / 3)
    assert result["rmse"] == pytest.approx(np.sqrt(25 / 3))
    assert result["accuracy"] == pytest.approx(1 - 5 / np.sqrt(100 + 400 + 1600))
    assert result["mae_per_step"] == pytest.approx([3.0, 2.0])
    assert metrics.mae(MEDIAN, TRUTH) == pytest.approx(7 / 3)
    assert metrics.rmse(MEDIAN, TRUTH) == pytest.approx(np.sqrt(25 / 3))
    assert metrics.accuracy(MEDIAN, TRUTH) == pytest.approx(result["accuracy"])


def test_a_median_alone_has_no_bands():
    result = score(MEDIAN, TRUTH)
    assert result["coverage_80"] is None
    assert result["width_80"] is None
    assert result["crps"] is None


def test_pinball_by_hand():
    forecast, truth = np.array([[[1.0, 5.0]]]), np.array([[[3.0, 4.0]]])
    assert metrics.pinball(forecast, truth, 0.9) == pytest.approx((0.9 * 2 + 0.1 * 1) / 2)


def test_the_crps_of_a_forecast_without_spread_is_its_absolute_error():
    quantiles = np.repeat(MEDIAN[None], len(LEVELS), axis=0)
    assert metrics.crps_from_quantiles(quantiles, TRUTH) == pytest.approx(7 / 3)


def test_the_crps_of_a_normal_forecast_is_near_its_closed_form():
    truth = np.random.default_rng(0).normal(0, 1, (20_000, 1, 1))
    z = np.array([-1.959964, -1.281552, -0.674490, 0, 0.674490, 1.281552, 1.959964])
    quantiles = np.broadcast_to(z[:, None, None, None], (7, *truth.shape))
    assert metrics.crps_from_quantiles(quantiles, truth) == pytest.approx(1 / np.sqrt(np.pi), rel=0.04)


def test_coverage_and_width_count_observed_cells_and_include_the_bounds():
    low, high = np.array([[[10.0, 0.0], [21.0, 30.0]]]), np.array([[[11.0, 100.0], [22.0, 41.0]]])
    assert metrics.coverage(low, high, TRUTH) == pytest.approx(2 / 3)
    assert metrics.interval_width(low, high, TRUTH) == pytest.approx((1 + 1 + 11) / 3)


def test_blocks_add_up_to_the_whole():
    rng = np.random.default_rng(3)
    truth = rng.normal(50, 10, (40, 3, 5)).astype("f4")
    truth[rng.random(truth.shape) < 0.2] = NAN
    quantiles = np.sort(rng.normal(50, 10, (7, 40, 3, 5)), axis=0).astype("f4")
    blocks = Scores()
    for start in range(0, 40, 7):
        blocks.add(quantiles[:, start : start + 7], truth[start : start + 7])
    whole, summed = score(quantiles, truth), blocks.result()
    assert summed.pop("mae_per_step") == pytest.approx(whole.pop("mae_per_step"))
    assert summed == pytest.approx(whole)
    assert whole["crps"] == pytest.approx(metrics.crps_from_quantiles(quantiles, truth))
    assert whole["coverage_80"] == pytest.approx(metrics.coverage(quantiles[1], quantiles[5], truth))
    assert whole["width_80"] == pytest.approx(metrics.interval_width(quantiles[1], quantiles[5], truth))
    assert blocks.mae_per_sensor() == pytest.approx(np.nanmean(np.abs(quantiles[3] - truth), axis=(0, 1)), rel=1e-5)


def test_large_readings_keep_their_small_errors():
    truth = np.full((2000, 12, 50), 30_000.0, "f4")
    assert score(truth + np.float32(0.25), truth)["mae"] == pytest.approx(0.25, rel=1e-9)


def test_a_step_or_sensor_never_observed_has_no_score():
    truth = TRUTH.copy()
    truth[0, 0] = NAN
    scores = Scores()
    scores.add(MEDIAN, truth)
    assert scores.result()["mae_per_step"] == [None, pytest.approx(2.0)]
    truth[0, 1, 1] = NAN
    scores = Scores()
    scores.add(MEDIAN, truth)
    assert np.isnan(scores.mae_per_sensor()[1])


def test_a_truth_of_zeros_has_no_accuracy():
    assert score(np.ones((1, 1, 2), "f4"), np.zeros((1, 1, 2), "f4"))["accuracy"] is None


@pytest.mark.parametrize("value", [NAN, np.inf])
def test_a_forecast_not_finite_is_an_error_even_where_the_truth_is_missing(value):
    forecast = MEDIAN.copy()
    forecast[0, 0, 1] = value
    with pytest.raises(FloatingPointError, match="1 of 4 forecast values"):
        score(forecast, TRUTH)


def test_nothing_observed_is_an_error():
    with pytest.raises(ValueError, match="No reading was observed"):
        score(MEDIAN, np.full_like(TRUTH, NAN))


def test_scores_are_those_of_the_protocol(shared_data):
    from tests.support.protocol_networks import load_protocol

    rng = np.random.default_rng(5)
    truth = rng.gamma(2, 20, (30, 4, 6)).astype("f4")
    truth[rng.random(truth.shape) < 0.1] = NAN
    forecast = (np.nan_to_num(truth) + rng.normal(0, 5, truth.shape)).astype("f4")
    theirs, ours = load_protocol(shared_data).score(forecast, truth), score(forecast, truth)
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, rel=1e-6)


def test_conformal_bands_hold_their_share_on_new_errors_of_every_sensor():
    rng = np.random.default_rng(1)
    spread = np.array([1.0, 5.0, 20.0])
    point = np.full((4000, 2, 3), 100.0, "f4")
    truth = (point + rng.laplace(0, 1, point.shape) * spread * np.array([1, 2])[:, None]).astype("f4")
    bands = ConformalBands.fit(point[:2000], truth[:2000])
    quantiles = bands.apply(point[2000:])
    result = score(quantiles, truth[2000:])
    for share in (50, 80, 95):
        assert result[f"coverage_{share}"] == pytest.approx(share / 100, abs=0.02)
    for node in range(3):
        assert metrics.coverage(quantiles[1, ..., node], quantiles[5, ..., node], truth[2000:, :, node]) == pytest.approx(
            0.8, abs=0.04
        )
    assert (quantiles[3] == point[2000:]).all()
    assert (np.diff(quantiles, axis=0) >= 0).all()


def test_few_errors_give_wider_bands_than_their_plain_quantiles():
    error = np.arange(-9, 10, dtype="f4")[:, None, None]  # 19 windows, one step, one sensor
    bands = ConformalBands.fit(np.zeros_like(error), error)
    quantiles = bands.apply(np.zeros((1, 1, 1), "f4"))[:, 0, 0, 0]
    assert quantiles == pytest.approx([-9, -8, -5, 0, 5, 8, 9], abs=1e-5)  # ceil(20 * 0.9) = the 18th smallest, ...


def test_bands_respect_the_floor_and_gaps():
    rng = np.random.default_rng(2)
    point = np.full((50, 1, 2), 3.0, "f4")
    truth = np.maximum(point + rng.normal(0, 4, point.shape), 0).astype("f4")
    truth[:, 0, 1] = NAN
    quantiles = ConformalBands.fit(point, truth, floor=0.0).apply(point)
    assert quantiles.min() == 0
    assert np.isfinite(quantiles).all()
    with pytest.raises(ValueError, match="No reading"):
        ConformalBands.fit(point, np.full_like(point, NAN))
