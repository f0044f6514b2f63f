"""The contract of the first-layer fusion."""

import pytest
import torch

from stvlm.model import backbone as backbones
from stvlm.model.fusion import FirstLayerFusion


@pytest.fixture(scope="module")
def backbone():
    return backbones.load("tiny", seed=1).eval()


@pytest.fixture
def parts(backbone):
    torch.manual_seed(0)
    d = backbone.hidden_size
    return {
        "series": torch.randn(2, 7, d),
        "places": torch.rand(7, 2) * 2 - 1,
        "image": torch.randn(2, 16, d),
        "image_places": torch.rand(16, 2) * 2 - 1,
        "text": torch.randn(2, 5, d),
        "text_mask": torch.tensor([[True] * 5, [True] * 3 + [False] * 2]),
    }


def fuse(fusion, backbone, parts, **changes):
    return fusion(backbone, backbone.layers[0], **(parts | changes))


def opened(backbone):
    """A fusion whose gate, places and directions are open."""
    fusion = FirstLayerFusion(backbone.hidden_size, backbone.n_heads)
    torch.manual_seed(3)
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return fusion


def test_a_closed_fusion_is_the_layers_own_result(backbone, parts):
    closed = fuse(FirstLayerFusion(backbone.hidden_size, backbone.n_heads), backbone, parts).tokens
    tokens = torch.cat([parts["image"], parts["text"], parts["series"]], dim=1)
    visible = torch.cat([torch.ones(2, 16, dtype=torch.bool), parts["text_mask"], torch.ones(2, 7, dtype=torch.bool)], dim=1)
    positions = torch.cat([torch.arange(21).repeat(2, 1), torch.tensor([[21] * 7, [19] * 7])], dim=1)
    mask = visible[:, None, None, :].expand(2, 1, 28, 28)
    own = backbone.layers[0](tokens, attention_mask=mask, position_embeddings=backbone.rotary(positions, tokens))
    torch.testing.assert_close(closed, own[:, -7:], atol=1e-5, rtol=1e-5)


def test_the_shares_of_the_modalities_sum_to_one_and_agree_with_the_attention(backbone, parts):
    out = fuse(opened(backbone), backbone, parts, explain=torch.arange(7))
    torch.testing.assert_close(out.modality_weights.sum(-1), torch.ones(2, 7))
    assert (out.modality_weights > 0).all()
    for rows in (out.image_attention, out.text_attention, out.sensor_attention):
        torch.testing.assert_close(rows.sum(-1), torch.ones(2, 7))
    assert out.text_attention[1, :, 3:].abs().max() == 0


def test_a_bias_of_the_gate_is_a_softmax_over_the_modalities(backbone, parts):
    fusion = FirstLayerFusion(backbone.hidden_size, backbone.n_heads)
    before = fuse(fusion, backbone, parts).modality_weights
    with torch.no_grad():
        fusion.gate.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    after = fuse(fusion, backbone, parts).modality_weights
    assert (after[..., 0] > before[..., 0]).all()
    assert (after[..., 1:] < before[..., 1:]).all()


def test_an_absent_modality_has_weight_zero(backbone, parts):
    out = fuse(opened(backbone), backbone, parts, image=None, image_places=None, explain=torch.arange(7))
    assert out.modality_weights[..., 0].abs().max() == 0
    assert out.image_attention.shape == (2, 7, 0)
    alone = fuse(opened(backbone), backbone, parts, image=None, image_places=None, text=None, text_mask=None)
    torch.testing.assert_close(alone.modality_weights[..., 2], torch.ones(2, 7))


def test_noise_behind_the_mask_changes_nothing(backbone, parts):
    fusion = opened(backbone)
    noisy = parts["text"].clone()
    noisy[1, 3:] = 100 * torch.randn(2, backbone.hidden_size)
    torch.testing.assert_close(
        fuse(fusion, backbone, parts).tokens, fuse(fusion, backbone, parts, text=noisy).tokens, atol=1e-6, rtol=1e-6
    )


def test_permuting_the_sensors_permutes_the_outputs_and_nothing_else(backbone, parts):
    fusion, order = opened(backbone), torch.randperm(7)
    out = fuse(fusion, backbone, parts, explain=torch.arange(7))
    moved = fuse(fusion, backbone, parts, series=parts["series"][:, order], places=parts["places"][order], explain=torch.arange(7))
    torch.testing.assert_close(moved.tokens, out.tokens[:, order], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(moved.image_attention, out.image_attention[:, order], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(moved.sensor_attention, out.sensor_attention[:, order][:, :, order], atol=1e-5, rtol=1e-5)


def test_the_gradient_reaches_every_modality_and_every_new_part(backbone, parts):
    fusion = opened(backbone)
    leaves = {name: parts[name].clone().requires_grad_() for name in ("series", "image", "text")}
    fuse(fusion, backbone, parts, **leaves).tokens.square().sum().backward()
    for leaf in leaves.values():
        assert (leaf.grad.abs().amax(dim=(0, 2)) > 0).all()
    assert all(p.grad.abs().sum() > 0 for p in fusion.parameters())


def test_a_head_looks_where_its_direction_points(backbone, parts):
    fusion = FirstLayerFusion(backbone.hidden_size, backbone.n_heads)
    with torch.no_grad():
        fusion.strength.fill_(5.0)
        fusion.direction.copy_(torch.tensor([[1.0, 0.0]]).expand(2, backbone.n_heads, 2))
    side = torch.tensor([-0.75, -0.25, 0.25, 0.75])
    grid = torch.stack([side.repeat(4), -side.repeat_interleave(4)], dim=-1)
    places = torch.zeros(7, 2)
    out = fuse(fusion, backbone, parts, places=places, image_places=grid, explain=torch.tensor([0]))
    east = grid[:, 0] > 0
    assert out.image_attention[0, 0, east].sum() > 0.95


def test_attention_is_linear_in_memory_unless_asked_for(backbone, parts):
    series = torch.randn(1, 1500, backbone.hidden_size)
    out = fuse(
        opened(backbone), backbone, parts, series=series, places=torch.rand(1500, 2), image=None, image_places=None, text=None,
        text_mask=None,
    )  # fmt: skip
    assert out.tokens.shape == (1, 1500, backbone.hidden_size)
    assert out.sensor_attention is None


def test_a_sensor_reads_the_words_that_speak_of_a_place_near_it(backbone, parts):
    fusion = FirstLayerFusion(backbone.hidden_size, backbone.n_heads)
    with torch.no_grad():
        fusion.strength[1], fusion.lift[1] = 0.5, 0.2
    spots = torch.zeros(2, 5, 3)
    spots[:, 1] = torch.cat([parts["places"][4], torch.ones(1)])  # the second word speaks of the fifth sensor
    out = fuse(fusion, backbone, parts, text_places=spots, explain=torch.arange(7))
    usual = fuse(fusion, backbone, parts, explain=torch.arange(7))
    change = (out.text_attention / usual.text_attention)[:, :, 1]  # (B, N)
    assert (change[:, 4] > 2).all()
    assert (change.argmax(dim=1) == 4).all()
    far = (parts["places"] - parts["places"][4]).norm(dim=1).argmax()
    assert (change[:, far] < 0.1).all()


def test_what_is_drawn_has_a_place_and_no_sensor_in_common_is_said(backbone, parts):
    fusion = opened(backbone)
    torch.testing.assert_close(
        fuse(fusion, backbone, parts).drawn.mean(dim=1), torch.zeros(2, backbone.hidden_size), atol=1e-5, rtol=0
    )
    words = {"image": None, "image_places": None}
    assert fuse(fusion, backbone, parts, **words).drawn.abs().max() == 0  # words without a place are told to all alike
    spots = torch.ones(2, 5, 3)
    assert fuse(fusion, backbone, parts, **words, text_places=spots).drawn.abs().max() > 0.01


def test_a_sensor_alone_learns_of_the_others_by_the_image_only(backbone, parts):
    fusion = opened(backbone)
    other = parts["series"].clone()
    other[:, 3] += 1
    before, after = (
        fuse(fusion, backbone, parts | {"series": s}, is_alone=True, explain=torch.arange(7)) for s in (parts["series"], other)
    )
    same = [0, 1, 2, 4, 5, 6]
    torch.testing.assert_close(before.tokens[:, same], after.tokens[:, same])
    assert (before.tokens[:, 3] - after.tokens[:, 3]).abs().max() > 0.01
    torch.testing.assert_close(before.sensor_attention, torch.eye(7).expand(2, 7, 7))
    brighter = fuse(fusion, backbone, parts | {"image": parts["image"] + 1}, is_alone=True)
    assert (brighter.tokens - before.tokens).abs().amax(dim=(0, 2)).min() > 1e-3
    torch.testing.assert_close(before.modality_weights.sum(-1), torch.ones(2, 7))
