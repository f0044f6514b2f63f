"""What a model makes of its views: only those with a place on earth reach the map, and geography stays that of the training."""

import numpy as np
import pytest
import shapely
import torch

from stvlm.anchor.fit import fit_anchor
from stvlm.core.base_layer import BaseLayer
from stvlm.core.windows import Split, Window
from stvlm.inference.predict import explain, predict_many
from stvlm.io.geojson import with_base_layer
from stvlm.model.stvlm import STVLM
from stvlm.training.fit import FitConfig, fit, make_model
from tests.support.series import wave_series


@pytest.fixture(scope="module")
def series():
    return wave_series()


@pytest.fixture(scope="module")
def anchor(series):
    return fit_anchor(series, Split.from_shares(series.n_steps, (0.6, 0.2, 0.2)), 12, 6, (1440,))


def untrained(series, anchor, *views: str) -> STVLM:
    config = FitConfig(lookback=12, horizon=6, seasons_minutes=(1440,), views=views)
    model, _ = make_model(series, config, Split.from_shares(series.n_steps, config.split), anchor)
    return model.eval()


def roads(series) -> BaseLayer:
    west, south, east, north = series.network.bounds()
    return BaseLayer(lines=shapely.MultiLineString([[(west, south), (east, north)]]), name="roads")


def test_attention_to_a_view_without_a_place_is_not_laid_on_the_map(series, anchor):
    model = untrained(series, anchor, "field", "relations", "geography")
    found = explain(model, Window(series, 450, 12, 6), deletion=False)
    assert list(found.view_attention) == ["field", "relations", "geography"]
    np.testing.assert_allclose(sum(found.view_attention.values()), 1, atol=1e-5)
    assert (found.view_attention["relations"] > 0.05).all()
    on_map = found.view_attention["field"] + found.view_attention["geography"]
    np.testing.assert_allclose(found.image_attention.sum(axis=(1, 2)), on_map, atol=1e-5)


def test_with_views_of_pairs_alone_nothing_is_laid_on_the_map(series, anchor):
    found = explain(untrained(series, anchor, "relations", "space-time"), Window(series, 450, 12, 6), deletion=False)
    assert (found.image_attention == 0).all()
    np.testing.assert_allclose(found.view_attention["relations"] + found.view_attention["space-time"], 1, atol=1e-5)


@pytest.mark.parametrize(("view", "moves"), [("field", True), ("relations", False)])
def test_where_patches_lie_matters_only_to_views_with_a_place(series, anchor, view, moves):
    model = untrained(series, anchor, view)
    inputs = model.builder(series).build(np.array([450]))
    everyone = torch.arange(series.network.n_sensors)
    with torch.no_grad():
        model.fusion.strength.fill_(1.0)
        model.image_place.weight.normal_()
        before = model(inputs, explain=everyone).fusion
        model.patch_places.mul_(-0.5)
        after = model(inputs, explain=everyone).fusion
    assert torch.equal(before.image_attention, after.image_attention) is not moves
    assert torch.equal(before.tokens, after.tokens) is not moves


def test_a_loaded_model_paints_the_same_geography_and_refuses_another(series, tmp_path):
    config = FitConfig(
        lookback=12, horizon=6, seasons_minutes=(1440,), views=("field", "geography"), max_steps=2, batch_size=4, device="cpu"
    )
    grounded = with_base_layer(series, roads(series))
    model = list(fit(grounded, config))[-1].model
    model.save(tmp_path / "model", model.manifest)
    again = STVLM.load(tmp_path / "model")
    cutoffs = np.array([450, 460])
    images = [m.builder(grounded).build(cutoffs).images for m in (model, again)]
    torch.testing.assert_close(images[0], images[1], atol=0, rtol=0)
    assert (images[0][0, 1] == images[0][1, 1]).all()  # the ground does not change with the window
    assert not (images[0][0, 0] == images[0][1, 0]).all()
    np.testing.assert_array_equal(predict_many(again, grounded, cutoffs), predict_many(model, grounded, cutoffs))
    with pytest.raises(ValueError, match="trained with the base layer roads; there is none"):
        again.builder(series)
    moved = BaseLayer(lines=shapely.transform(roads(series).lines, lambda xy: xy + 0.001), name="roads")
    with pytest.raises(ValueError, match="trained with the base layer roads; this is another one"):
        again.builder(with_base_layer(series, moved))
