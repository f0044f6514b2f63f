"""Places among the sensors: a place knows but where it lies; the picture tells what it is like; the network starts as the anchor."""

from functools import partial

import numpy as np
import pytest
import torch

from experiments import image_kernel, unseen_network, unseen_sensors
from experiments.image_kernel import PictureKernel, lesson, look, picture_between
from experiments.mosaic import HORIZON, LOOKBACK, SPLIT, mosaic
from experiments.unseen_inputs import PlacedBuilder
from stvlm.anchor.features import Transform
from stvlm.anchor.fit import fit_anchor
from stvlm.datasets import synthetic_city
from stvlm.evaluation.backtest import make_setup, row_of
from stvlm.evaluation.unseen_sensors import KNOWN, anchor_between, backtest_hidden, hidden_sensors, hold_out
from stvlm.modalities.batch import InputConfig
from stvlm.modalities.image.views import ImageConfig
from stvlm.model.stvlm import glimpses
from stvlm.spatial.interpolation import fit_interpolation
from stvlm.training.trainer import FitConfig

LAY = partial(make_setup, lookback=LOOKBACK, horizon=HORIZON, shares=SPLIT, amount=None, seasons=())


@pytest.fixture(scope="module")
def land():
    """(Hold, anchor) of a mosaic whose map alone tells what lies at the hidden places."""
    series, _ = mosaic(100, 200, seed=2)
    hold = hold_out(series, hidden_sensors(100, 0.2, 2), LAY)
    return hold, fit_anchor(hold.course.series, hold.course.split, LOOKBACK, HORIZON)


@pytest.fixture(scope="module")
def builder(land):
    hold, anchor = land
    course = hold.course
    placement = fit_interpolation(anchor, course.series, course.cutoffs("val"), course.split.train_end, KNOWN)
    config = InputConfig(("vision", "series"), ImageConfig(views=("geography",)))
    truth = hold.scored.series.values
    return PlacedBuilder(course.series, anchor, hold.sites, placement, course.split.train_end, config, len, truth)


def test_a_place_has_an_empty_past_its_own_anchor_and_a_target(builder):
    cutoffs = np.array([130, 131])
    batch, n = builder.build(cutoffs), builder.series.network.n_sensors
    assert (batch.series[:, n:, : 2 * LOOKBACK] == 0).all()
    assert (batch.series[:, :n, : 2 * LOOKBACK] != 0).any()
    assert torch.isnan(batch.target[..., :n]).all()
    assert batch.target[0, :, n].numpy() == pytest.approx(builder.truth[130 : 130 + HORIZON, 0])
    carried = builder.placer(batch.anchor[..., :n].numpy())
    assert batch.anchor[..., n:].numpy() == pytest.approx(carried, rel=1e-5)
    assert batch.places.abs().max() < 1.2
    assert len(batch.scale) == len(batch.places) == n + len(builder.sites.lat)


def test_readings_at_the_places_change_no_input(builder):
    other = np.full_like(builder.truth, 99.0)
    known, builder.truth = builder.truth, other
    try:
        again = builder.build(np.array([130]))
    finally:
        builder.truth = known
    before = builder.build(np.array([130]))
    for name in ("series", "anchor", "centre", "base", "images"):
        assert torch.equal(getattr(again, name), getattr(before, name))


def test_a_glimpse_is_the_pixel_at_the_place_and_those_around_it():
    images = torch.zeros(1, 1, 3, 4, 4)
    images[0, 0, 0, 0, 3] = 1.0  # the north-eastern corner
    places = torch.tensor([[0.75, 0.75], [-0.75, -0.75]])  # the middles of two corner pixels
    seen = glimpses(images, places, torch.ones(1)).reshape(1, 2, 3, 2, 9)
    assert seen[0, 0, 0, 0].tolist() == pytest.approx(
        [-1, -1, -1, 1, 1, -1, 1, 1, -1]
    )  # from west to east, each from north to south
    assert (seen[0, 1] == -1).all()
    assert (glimpses(images, places, torch.zeros(1)) == 0).all()


def test_the_kernel_starts_as_inverse_distance_and_alike_places_count_more():
    kernel = PictureKernel(4, Transform()).eval()
    places = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.25, 0.0]])
    glimpse = torch.tensor([[[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 1.0, 0, 0]]])
    weights = kernel(glimpse, places, 2)
    assert weights[0, 0].tolist() == pytest.approx([0.9, 0.1], abs=1e-5)  # 1/0.25² beside 1/0.75²
    with torch.no_grad():
        kernel.strength.fill_(0.3)
    assert kernel(glimpse, places, 2)[0, 0, 1] > weights[0, 0, 1]


def test_a_kernel_that_heeds_no_picture_forecasts_the_mean_by_inverse_distances(builder):
    one = lesson(builder, np.array([130, 140]))
    kernel = PictureKernel(one.glimpse.shape[-1], Transform()).eval()
    n = one.forecast.shape[-1]
    far = torch.cdist(one.places[n:], one.places[:n]).clamp(min=1e-3).numpy() ** -2
    expected = one.forecast.numpy() @ (far / far.sum(axis=1, keepdims=True)).T
    assert look(kernel, one) == pytest.approx(expected, rel=1e-4)


def test_the_map_wins_by_far_where_it_alone_tells_and_the_field_is_refused(land, monkeypatch):
    monkeypatch.setattr("experiments.image_kernel.STEPS", 50)
    monkeypatch.setattr(image_kernel, "WINDOWS", 16)
    monkeypatch.setattr(image_kernel, "SETS", 2)
    hold, anchor = land
    without = row_of(anchor_between(hold, anchor, 0.0, by_place=True), hold.scored)["mae"]
    quiet = {"columns": (), "seed": 0, "report": lambda message, share: None}
    map_, field = (picture_between(hold, anchor, 0.0, (view,), **quiet) for view in ("geography", "field"))
    assert map_.facts["taken"]
    assert row_of(map_, hold.scored)["mae"] < 0.8 * without
    assert not field.facts["taken"]
    assert row_of(field, hold.scored)["mae"] == pytest.approx(without, rel=1e-6)


def test_a_network_that_learnt_nothing_forecasts_as_what_is_carried(land):
    hold, anchor = land
    options = {"modalities": ("series",), "max_steps": 1, "device": "cpu"}
    found = unseen_network.network_between(hold, anchor, 0.0, 0, options, lambda message, share: None)
    carried = anchor_between(hold, anchor, 0.0)
    assert not found.facts["taken"]
    cutoffs = hold.course.cutoffs("test")[:5]
    assert found.forecast(cutoffs) == pytest.approx(carried.forecast(cutoffs), rel=1e-4, abs=1e-3)


def test_judges_are_in_no_training_set_and_sets_do_not_overlap(land):
    hold, anchor = land
    course = hold.course
    placement = fit_interpolation(anchor, course.series, course.cutoffs("val"), course.split.train_end, KNOWN)
    seen: list = []
    original = unseen_network.HiddenTraining

    class Watched(original):
        def __init__(self, model, builder, sets, *more):
            seen.append((builder, sets))
            super().__init__(model, builder, sets, *more)

    unseen_network.HiddenTraining = Watched
    try:
        config = FitConfig(LOOKBACK, HORIZON, SPLIT, modalities=("vision", "series"), max_steps=1, device="cpu", glimpse=True)
        model, _ = unseen_network.train_hidden(hold, anchor, placement, config, lambda message, share: None)
    finally:
        unseen_network.HiddenTraining = original
    (builder, sets), ids = seen[0], []
    judges = set(course.series.network.ids) - set(builder.series.network.ids)
    for one in sets:
        learners = set(course.series.network.ids) - judges
        assert judges.isdisjoint(one.series.network.ids)
        ids += [name for name in learners if name not in one.series.network.ids]
    assert sorted(ids) == sorted(set(course.series.network.ids) - judges)
    assert model.config.glimpse


def test_rows_of_image_and_network_stand_beside_the_anchor(monkeypatch):
    monkeypatch.setattr("experiments.image_kernel.STEPS", 5)
    series = synthetic_city.field(16, 200, "diffusion", seed=1)
    monkeypatch.setattr(unseen_sensors, "VIEWS", ("field",))
    further = unseen_sensors.methods(("image", "network"), {"max_steps": 2, "modalities": ("series",), "device": "cpu"})
    result = backtest_hidden(series, 8, 2, SPLIT, seasons=(), further=further)
    names = [row["model"] for row in result["scores"]]
    assert names[2:] == ["anchor", "anchor, by place alone", "anchor and image (field)", "network"]
    assert all(row["mae"] > 0 and row["coverage_80"] is not None for row in result["scores"][2:])


def test_the_mosaic_is_what_its_map_says():
    series, on_pond = mosaic(60, 50, seed=1)
    network = series.network
    assert (network.base_layer.grid.at(network.lat, network.lon) == on_pond).all()
    assert series.values[:, on_pond].mean() < 10.5 < 13 < series.values[:, ~on_pond].mean()
