"""Spoilt inputs: only what should change does, always in the same way, and no prompt tells of the future."""

import numpy as np
import pytest
import torch

from stvlm.anchor.fit import fit_anchor
from stvlm.core.windows import Split
from stvlm.modalities.batch import CONSTANT_PROMPT, DISTURBANCES, InputBuilder, InputConfig, foreign_cutoff, shuffled_sensors
from stvlm.training.trainer import FitConfig

CUTOFFS = np.array([60, 150, 151, 300])


@pytest.fixture(scope="module")
def build(small_series):
    split = Split.from_shares(small_series.n_steps, (0.6, 0.2, 0.2))
    anchor = fit_anchor(small_series, split, 12, 6, (1440,))
    return lambda name="": InputBuilder(small_series, anchor, InputConfig(disturb=name), lambda text: len(text.split()))


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_disturbance_touches_its_own_modality_only_and_is_the_same_each_time(build, name):
    plain, spoilt, again = build().build(CUTOFFS), build(name).build(CUTOFFS), build(name).build(CUTOFFS[::-1])
    for part in ("series", "anchor", "centre", "base", "target"):
        torch.testing.assert_close(getattr(plain, part), getattr(spoilt, part), equal_nan=True)
    is_text = "prompt" in name
    assert (spoilt.prompts != plain.prompts) == is_text
    assert torch.equal(spoilt.images, plain.images) == is_text
    torch.testing.assert_close(spoilt.images, again.images.flip(0))
    assert spoilt.prompts == again.prompts[::-1]


def test_noise_is_new_for_each_window_and_knows_nothing_of_the_readings(build):
    images = build("noise image").build(CUTOFFS).images
    assert images.shape == build().build(CUTOFFS).images.shape
    assert abs(float(images.mean()) - 0.5) < 0.02
    assert not torch.equal(images[1], images[2])


def test_shuffled_pixels_are_the_same_pixels_moved_alike_in_every_channel(build):
    plain, spoilt = (build(name).build(CUTOFFS).images.flatten(-2) for name in ("", "shuffled pixels"))
    torch.testing.assert_close(plain.sort().values, spoilt.sort().values)
    key = plain[0, 0].T.tolist()
    assert sorted(map(tuple, key)) == sorted(map(tuple, spoilt[0, 0].T.tolist()))


def test_shuffled_sensors_paint_each_sensor_at_the_place_of_another(build):
    plain, spoilt = build(), build("shuffled sensors")
    network = plain.series.network
    order = shuffled_sensors(network.n_sensors)
    assert sorted(order) == list(range(network.n_sensors))
    assert (order != np.arange(network.n_sensors)).all()
    row, column = plain.raster.pixel_of(network.lat, network.lon)
    there, moved = (b.build(CUTOFFS).images[:, 0, 0, row, column] for b in (plain, spoilt))
    torch.testing.assert_close(moved, there[:, order], atol=1e-4, rtol=0)


def test_one_sensor_stays_where_it_is():
    assert shuffled_sensors(1).tolist() == [0]


def test_the_constant_prompt_is_one_for_all(build):
    assert set(build("constant prompt").build(CUTOFFS).prompts) == {CONSTANT_PROMPT}


def test_a_foreign_prompt_is_that_of_an_earlier_window_that_shares_no_step():
    for cutoff in range(60, 336):
        other = foreign_cutoff(cutoff, 12, 6, 336)
        if cutoff >= 12 + 18:
            assert 12 <= other <= cutoff - 18
    assert len({foreign_cutoff(c, 12, 6, 336) for c in range(200, 336)}) > 60


def test_the_first_windows_get_a_foreign_prompt_of_the_next_ones():
    assert all(cutoff + 18 <= foreign_cutoff(cutoff, 12, 6, 336) <= cutoff + 36 for cutoff in range(12, 30))
    assert foreign_cutoff(20, 12, 6, 25) == 25


def test_the_foreign_prompt_is_what_that_window_says(build):
    spoilt, plain = build("foreign prompt"), build()
    assert spoilt.prompt(300) == plain.prompt(foreign_cutoff(300, 12, 6, 336))


def test_unknown_disturbances_are_refused_by_name():
    with pytest.raises(ValueError, match="fusion must be one of first, middle, last; got 'fog'"):
        FitConfig(fusion="fog")
    for make in (InputConfig, FitConfig):
        with pytest.raises(ValueError, match=r"noise image, shuffled pixels.*got 'fog'"):
            make(disturb="fog")
