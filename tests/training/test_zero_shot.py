"""A model that nothing was trained for."""

import numpy as np
import pytest

from stvlm.anchor.zero_shot import zero_shot_anchor
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.inference.predict import explain, predict
from stvlm.training.zero_shot import zero_shot


def test_it_forecasts_better_than_repeating_and_its_bands_hold(small_series):
    stop = small_series.n_steps - 60
    model = zero_shot(small_series, stop, 12, 6, (1440,))
    assert model.is_anchor
    errors, repeated, held = [], [], []
    for cutoff in range(stop, small_series.n_steps - 6, 5):
        window = Window(small_series, cutoff, 12, 6)
        forecast, truth = predict(model, window), window.future
        lower, upper = forecast.band(0.8)
        errors.append(np.abs(forecast.values[len(forecast.levels) // 2] - truth))
        repeated.append(np.abs(window.past[-1] - truth))
        held.append((lower <= truth) & (truth <= upper))
    assert np.nanmean(errors) < np.nanmean(repeated)
    assert 0.6 < np.mean(held) <= 1


def test_nothing_from_the_stop_on_is_looked_at(small_series):
    stop = small_series.n_steps - 60
    other = small_series.values.copy()
    other[stop:] = -99
    changed = SensorSeries(small_series.network, small_series.times, other, small_series.quantity, small_series.unit)
    window, again = (Window(s, stop, 12, 6) for s in (small_series, changed))
    np.testing.assert_array_equal(
        predict(zero_shot(small_series, stop, 12, 6), window).values, predict(zero_shot(changed, stop, 12, 6), again).values
    )


def test_it_says_which_ways_to_read_the_past_it_took(small_series):
    choice = zero_shot_anchor(small_series, 0, 300, 12, 6, (1440,)).choice
    assert sum(one["share"] for one in choice["taken"]) == pytest.approx(1)
    assert choice["n_tried"] > 10
    assert all(one["kind"] for one in choice["taken"])


def test_its_fusion_can_be_looked_at_though_it_says_nothing(small_series):
    model = zero_shot(small_series, 300, 12, 6, (1440,))
    found = explain(model, Window(small_series, 300, 12, 6))
    np.testing.assert_allclose(found.modality_weights.sum(axis=-1), 1, rtol=1e-5)
    assert np.abs(found.deletion["text"]).max() == 0


@pytest.mark.parametrize(("stop", "words"), [(17, "17 steps are too few"), (4, "4 steps are too few")])
def test_too_short_a_past_is_refused(small_series, stop, words):
    with pytest.raises(ValueError, match=words):
        zero_shot(small_series, stop, 12, 6)


def test_a_past_without_readings_is_refused(small_series):
    empty = SensorSeries(small_series.network, small_series.times, np.full_like(small_series.values, np.nan))
    with pytest.raises(ValueError, match="no reading at all"):
        zero_shot(empty, 300, 12, 6)


def test_bands_have_a_width_though_the_network_has_long_been_silent(small_series):
    values = small_series.values.copy()
    values[220:] = np.nan
    silent = SensorSeries(small_series.network, small_series.times, values)
    made = predict(zero_shot(silent, 300, 12, 6, ()), Window(silent, 300, 12, 6))
    low, high = made.band(0.8)
    assert (high > low).all()
