"""Every family of backbone behind the same calls: its own layer, its own image and text tokens, and a whole model on top."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from transformers import Qwen2VLImageProcessorPil

from stvlm.anchor.fit import fit_anchor
from stvlm.core.windows import Split, Window
from stvlm.inference.predict import explain, predict_many
from stvlm.model import backbone as backbones
from stvlm.model.fusion import FirstLayerFusion
from stvlm.model.head import MEDIAN
from stvlm.model.stvlm import STVLM
from stvlm.training.fit import FitConfig, fit, make_model
from tests.support.series import wave_series
from tests.support.small_backbones import MAKERS, save_small

CONFIG = FitConfig(
    lookback=12, horizon=6, split=(0.9, 0.05, 0.05), seasons_minutes=(1440,), max_steps=2, min_gain=-1.0, batch_size=2, device="cpu",
    prompt_tokens=60,
)  # fmt: skip
NAMES = [*MAKERS, "tiny", "plain"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("backbones")
    return {family: str(save_small(family, root / family)) for family in MAKERS}


@pytest.fixture(scope="module")
def loaded(folders):
    return {name: backbones.load(folders.get(name, name), seed=1).eval() for name in NAMES}


@pytest.fixture(scope="module")
def series():
    return wave_series()


@pytest.fixture(scope="module")
def split(series):
    return Split.from_shares(series.n_steps, CONFIG.split)


@pytest.fixture(scope="module")
def anchor(series, split):
    return fit_anchor(series, split, 12, 6, (1440,))


@pytest.fixture(scope="module")
def cutoffs(split):
    return split.cutoffs("test", 12, 6)[::5]


def parts_of(backbone, seed=0):
    """Two images of 2 x 2 tokens, five words (three of them in the second row) and seven sensors."""
    generator = torch.Generator().manual_seed(seed)

    def draw(n):
        return torch.randn(2, n, backbone.hidden_size, generator=generator)

    return {
        "series": draw(7), "places": torch.rand(7, 2, generator=generator) * 2 - 1, "image": draw(8),
        "image_places": torch.rand(8, 2, generator=generator) * 2 - 1, "text": draw(5),
        "text_mask": torch.tensor([[True] * 5, [True] * 3 + [False] * 2]), "n_images": 2,
    }  # fmt: skip


def own_result(name, backbone, tokens, visible):
    """What the family's own layer makes of all tokens; padding hidden from every token."""
    layer, mask = backbone.layers[0], visible[:, None, None, :].expand(-1, 1, tokens.shape[1], -1)
    if name in ("clip", "siglip"):
        return layer(tokens, attention_mask=mask, is_causal=False)
    if name == "vilt":
        return layer(tokens, torch.zeros(mask.shape).masked_fill(~mask, -1e9))[0]
    if name == "plain":
        return _torch_layer(layer, backbone.n_heads)(tokens, src_key_padding_mask=~visible)
    if name.startswith("qwen"):
        positions = _qwen_positions(backbone.core, visible)
    else:
        positions = torch.cat([torch.arange(13).repeat(2, 1), torch.tensor([[13] * 7, [11] * 7])], dim=1)
    return layer(tokens, attention_mask=mask, position_embeddings=backbone.rotary(positions, tokens))


def _qwen_positions(core, visible):
    """The family's own positions of two images and the words, then one position for all sensors."""
    kinds = torch.tensor([[1] * 8 + [0] * 5] * 2)
    grid = torch.tensor([[1, 4, 4]] * 2)
    rows = []
    for i in range(2):  # an image follows an image: told apart one by one, for the family groups equal neighbours
        first, _ = core.get_rope_index(kinds[i : i + 1, :4], kinds[i : i + 1, :4], image_grid_thw=grid[:1])
        text, _ = core.get_rope_index(
            kinds[i : i + 1, 4:], kinds[i : i + 1, 4:], image_grid_thw=grid[:1], attention_mask=visible[i : i + 1, 4:13].long()
        )
        text = text + first.max() + 1
        last = text[:, :, : 4 + int(visible[i, 8:13].sum())].max() + 1
        rows.append(torch.cat([first, text, last.expand(3, 1, 7)], dim=-1))
    return torch.cat(rows, dim=1)


def _torch_layer(layer, n_heads):
    """The same layer made of torch's own parts."""
    size, inner = layer.query.in_features, layer.feed_forward[0].out_features
    own = nn.TransformerEncoderLayer(size, n_heads, inner, 0.0, "gelu", batch_first=True, norm_first=True).eval()
    weights = {
        "self_attn.in_proj_weight": torch.cat([p.weight for p in (layer.query, layer.key, layer.value)]),
        "self_attn.in_proj_bias": torch.cat([p.bias for p in (layer.query, layer.key, layer.value)]),
    }
    pairs = {"self_attn.out_proj": layer.out, "linear1": layer.feed_forward[0], "linear2": layer.feed_forward[2]}
    for place, part in (pairs | {"norm1": layer.norm, "norm2": layer.norm_after}).items():
        weights |= {f"{place}.weight": part.weight, f"{place}.bias": part.bias}
    own.load_state_dict({key: w.detach() for key, w in weights.items()})
    return own


@pytest.mark.parametrize("name", NAMES)
def test_a_closed_fusion_is_the_layers_own_result(name, loaded):
    backbone = loaded[name]
    parts = parts_of(backbone)
    closed = FirstLayerFusion(backbone.hidden_size, backbone.n_heads)(backbone, backbone.layers[0], **parts).tokens
    tokens = torch.cat([parts["image"], parts["text"], parts["series"]], dim=1)
    visible = torch.cat([torch.ones(2, 8, dtype=torch.bool), parts["text_mask"], torch.ones(2, 7, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(closed, own_result(name, backbone, tokens, visible)[:, -7:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_the_raster_the_prompt_and_every_sensor(name, loaded):
    backbone = loaded[name]
    torch.manual_seed(0)
    images = torch.rand(1, 2, 3, backbone.usual_size, backbone.usual_size, requires_grad=True)
    ids, mask = backbone.tokenize(["Level in m: 23.4 and rising."])
    text, image = backbone.embed_text(ids), backbone.embed_images(images)
    text.retain_grad()
    sensors = torch.randn(1, 5, backbone.hidden_size, requires_grad=True)
    fusion = FirstLayerFusion(backbone.hidden_size, backbone.n_heads)
    out = fusion(
        backbone, backbone.layers[0], sensors, torch.rand(5, 2), image, torch.rand(image.shape[1], 2), text, mask, n_images=2
    )
    hidden = out.tokens
    for layer in list(backbone.layers)[1:]:
        hidden = backbone.run(layer, hidden)
    backbone.final_norm(hidden)[..., 0].sum().backward()
    assert (images.grad.abs() > 0).float().mean() > 0.99
    assert (text.grad.abs().amax(dim=-1) > 0).all()
    assert (sensors.grad.abs().amax(dim=-1) > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_noise_behind_the_mask_changes_nothing(name, loaded):
    backbone = loaded[name]
    parts = parts_of(backbone)
    noisy = parts["text"].clone()
    noisy[1, 3:] = 100 * torch.randn(2, backbone.hidden_size)
    fusion = FirstLayerFusion(backbone.hidden_size, backbone.n_heads)
    before, after = (fusion(backbone, backbone.layers[0], **(parts | {"text": t})).tokens for t in (parts["text"], noisy))
    torch.testing.assert_close(before, after, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_later_layer_sees_every_token_whatever_the_order(name, loaded):
    backbone = loaded[name]
    hidden, order = torch.randn(1, 5, backbone.hidden_size), torch.tensor([3, 0, 4, 1, 2])
    out = backbone.run(backbone.layers[1], hidden)
    torch.testing.assert_close(backbone.run(backbone.layers[1], hidden[:, order]), out[:, order], atol=1e-5, rtol=1e-5)
    moved = hidden.clone()
    moved[:, 4] += torch.randn(backbone.hidden_size)
    assert (backbone.run(backbone.layers[1], moved) - out)[:, 0].abs().max() > 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_images_of_another_size_become_a_larger_grid_of_tokens(name, loaded):
    backbone = loaded[name]
    size = 6 * backbone.patch_stride
    assert backbone.grid_side(size) == 6
    images = torch.rand(2, 2, 3, size, size)
    tokens = backbone.embed_images(images)
    assert tokens.shape == (2, 2 * 36, backbone.hidden_size)
    torch.testing.assert_close(backbone.embed_images(images[1:, 1:])[0], tokens[1, 36:], atol=1e-5, rtol=1e-5)


def test_qwen_gets_the_patches_that_its_own_processor_makes(loaded, folders):
    picture = (torch.rand(3, 32, 32) * 255).round().to(torch.uint8)
    processor = Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, temporal_patch_size=2, do_resize=False)
    made = processor([Image.fromarray(picture.permute(1, 2, 0).numpy())], return_tensors="pt")
    for family in ("qwen2_vl", "qwen2_5_vl"):
        core = loaded[family].core
        own = core.get_image_features(made["pixel_values"], made["image_grid_thw"]).pooler_output[0]
        ours = loaded[family].embed_images(picture[None, None] / 255)[0]
        torch.testing.assert_close(ours, own, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_a_dual_encoder_gives_patch_states_and_words_with_places(family, loaded):
    backbone = loaded[family]
    images = torch.rand(1, 1, 3, 32, 32)
    mean, spread = (torch.tensor(c)[:, None, None] for c in (backbone.card.mean, backbone.card.spread))
    states = backbone.core.vision_model(pixel_values=(images[0] - mean) / spread).last_hidden_state
    if family == "clip":
        states = backbone.bridge(backbone.core.vision_model.post_layernorm(states[:, 1:]))
    torch.testing.assert_close(backbone.embed_images(images), states, atol=1e-5, rtol=1e-5)
    ids = torch.tensor([[5, 9, 5]])
    torch.testing.assert_close(backbone.embed_text(ids), backbone.core.text_model.embeddings(ids))


def test_the_bridge_of_clip_starts_as_its_learned_projection_and_always_trains(folders, series, split, anchor):
    from safetensors.torch import load_file

    backbone = backbones.load(folders["clip"])
    stored = load_file(f"{folders['clip']}/model.safetensors")["visual_projection.weight"]
    torch.testing.assert_close(backbone.bridge.weight, stored, rtol=0, atol=0)
    model, _ = make_model(series, replace(CONFIG, backbone=folders["clip"], tuning="frozen"), split, anchor)
    trained = [name for name, p in model.backbone.named_parameters() if p.requires_grad]
    assert trained == ["bridge.weight"]


def test_vilt_gives_the_embeddings_that_its_encoder_would_get(loaded):
    backbone = loaded["vilt"]
    table, images, ids = backbone.core.embeddings, torch.rand(1, 1, 3, 32, 32), torch.tensor([[5, 9, 5]])
    table.cls_token = nn.Parameter(torch.zeros(1, 1, 48))  # the family's own code wants it back
    states, _, (index, _) = table.visual_embed(images[0] * 2 - 1, torch.ones(1, 32, 32))
    table.cls_token = None
    order = (index[0, :, 0] * 4 + index[0, :, 1]).argsort()  # it shuffles the patches
    own = states[:, 1:][:, order] + table.token_type_embeddings.weight[1]
    torch.testing.assert_close(backbone.embed_images(images), own, atol=1e-5, rtol=1e-5)
    words = table.text_embeddings(ids) + table.token_type_embeddings.weight[0]
    torch.testing.assert_close(backbone.embed_text(ids), words)


@pytest.mark.parametrize("family", ["clip", "vilt"])
def test_a_prompt_longer_than_the_learned_places_is_read_to_its_end(family, loaded, folders, series, split, anchor):
    backbone = loaded[family]
    ids, mask = backbone.tokenize(["12 " * 100])
    assert backbone.embed_text(ids).shape[1] == mask.sum() > backbone.max_text_tokens
    config = replace(CONFIG, backbone=folders[family], modalities=("text", "series"), prompt_tokens=160)
    model, builder = make_model(series, config, split, anchor)
    assert backbone.count_tokens(builder.prompt(300)) <= model.config.inputs.prompt.max_tokens == backbone.max_text_tokens


@pytest.mark.parametrize("name", [*MAKERS, "plain", "random:clip"])
def test_a_model_on_it_starts_as_its_anchor_trains_and_comes_back_bit_equal(
    name, folders, series, split, anchor, cutoffs, tmp_path
):
    family = name.removeprefix("random:")
    place = name.replace(family, folders.get(family, family))
    config = replace(CONFIG, backbone=place, views=("field", "frames"), tuning="lora", image_size=16)
    model, _ = make_model(series, config, split, anchor)
    np.testing.assert_array_equal(predict_many(model, series, cutoffs)[MEDIAN], anchor.forecast(series, cutoffs))
    last = list(fit(series, config, anchor=anchor))[-1].model
    last.shrinkage.fill_(1.0)
    with torch.no_grad():
        last.head.out.weight.normal_(std=0.1)
    made = predict_many(last, series, cutoffs)
    assert np.abs(made[MEDIAN] - anchor.forecast(series, cutoffs)).max() > 1e-3
    last.save(tmp_path / "model", last.manifest)
    again = STVLM.load(tmp_path / "model")
    np.testing.assert_array_equal(predict_many(again, series, cutoffs), made)
    assert again.backbone.card == last.backbone.card


@pytest.mark.parametrize("name", NAMES)
def test_adapters_find_the_linear_layers_and_norms_of_the_decoder_only(name, loaded):
    import re

    backbone = loaded[name]
    linear = [n for n, m in backbone.core.named_modules() if re.fullmatch(backbone.decoder_linear, n)]
    per_layer = {"clip": 6, "siglip": 6, "vilt": 6, "plain": 6}.get(name, 7)
    assert len(linear) == per_layer * len(backbone.layers)
    assert all(isinstance(backbone.core.get_submodule(n), nn.Linear) and "vision" not in n for n in linear)
    assert len(backbone.decoder_norms()) == 2 * len(backbone.layers) + 1


@pytest.mark.parametrize("name", NAMES)
def test_no_decoder_layer_leaves_the_series_path_alone(name, folders, series, split, anchor, tmp_path):
    config = replace(CONFIG, backbone=folders.get(name, name), n_layers=0)
    last = list(fit(series, config, anchor=anchor))[-1].model
    assert len(last.backbone.layers) == 0
    out = explain(last, Window(series, 420, 12, 6))
    np.testing.assert_array_equal(out.modality_weights, np.tile([0, 0, 1], (6, 1)))
    np.testing.assert_array_equal(out.sensor_attention, np.eye(6))
    assert np.abs(out.text_attention).max() == np.abs(out.image_attention).max() == 0
    assert out.text_attention.shape == (6, len(out.tokens))


@pytest.mark.parametrize("family", ["idefics3", "qwen2_vl", "clip"])
def test_random_in_front_of_a_name_keeps_the_shapes_and_draws_the_weights(family, folders):
    learned, one, two, other = (
        backbones.load(prefix + folders[family], 2, seed)
        for prefix, seed in (("", 0), ("random:", 1), ("random:", 1), ("random:", 2))
    )
    state = learned.state_dict()
    assert {k: v.shape for k, v in one.state_dict().items()} == {k: v.shape for k, v in state.items()}
    weight = next(k for k in state if "q_proj.weight" in k)
    assert torch.equal(one.state_dict()[weight], two.state_dict()[weight])
    assert not torch.equal(one.state_dict()[weight], other.state_dict()[weight])
    assert not torch.equal(one.state_dict()[weight], state[weight])
    assert (learned.is_pretrained, one.is_pretrained) == (True, False)
    assert one.weights_id == two.weights_id != other.weights_id
    assert learned.weights_id == backbones.load(folders[family], 2).weights_id != backbones.load(folders[family], 1).weights_id


@pytest.mark.parametrize("name", NAMES)
def test_plain_products_and_the_fused_kernel_agree(name, folders, loaded):
    eager = backbones.load(folders.get(name, name), seed=1, kernel="eager").eval()
    images, hidden = torch.rand(1, 1, 3, eager.usual_size, eager.usual_size), torch.randn(1, 9, eager.hidden_size)
    torch.testing.assert_close(eager.embed_images(images), loaded[name].embed_images(images), atol=1e-5, rtol=1e-4)
    one, two = (b.run(b.layers[0], hidden) for b in (eager, loaded[name]))
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_in_bfloat16_it_computes_nearly_the_same_and_hands_out_float32(name, folders, loaded):
    half = backbones.load(folders.get(name, name), seed=1, dtype="bfloat16").eval()
    assert {p.dtype for n, p in half.named_parameters() if "bridge" not in n} == {torch.bfloat16}
    parts = parts_of(half)
    fusion = FirstLayerFusion(half.hidden_size, half.n_heads)
    one, two = (fusion(b, b.layers[0], **parts).tokens for b in (half, loaded[name]))
    assert one.dtype == torch.float32
    assert (one - two).abs().max() < 0.1
    images = torch.rand(1, 1, 3, half.usual_size, half.usual_size)
    assert half.embed_images(images).dtype == torch.float32
    assert (half.embed_images(images) - loaded[name].embed_images(images)).abs().max() < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_sparing_memory_changes_no_gradient(name, folders):
    grads = []
    for spare in (False, True):
        backbone = backbones.load(folders.get(name, name), seed=1).train()
        if spare:
            backbone.enable_gradient_checkpointing()
        torch.manual_seed(0)
        tokens = backbone.embed_images(torch.rand(1, 1, 3, backbone.usual_size, backbone.usual_size))
        for layer in backbone.layers:
            tokens = backbone.run(layer, tokens)
        tokens.square().sum().backward()
        grads.append({n: p.grad for n, p in backbone.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for key, grad in grads[0].items():
        torch.testing.assert_close(grads[1][key], grad, atol=1e-5, rtol=1e-4)


def test_colours_and_licence_are_read_from_beside_the_weights(tmp_path):
    folder = save_small("idefics3", tmp_path / "own")
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}))
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# A model")
    backbone = backbones.load(str(folder))
    assert (backbone.card.mean, backbone.card.spread, backbone.licence) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "mit")
    plain = backbones.load(str(save_small("clip", tmp_path / "clip")))
    assert plain.card.mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)


def test_a_folder_without_all_its_weights_is_refused_in_words(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_small("smolvlm", tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in weights.items() if "layers.1." not in k}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(backbones.BackboneError, match=r"lacks \d+ weights that its config promises, such as \S+layers\.1\."):
        backbones.load(str(folder))
    (folder / "model.safetensors").write_bytes(b"none of this")
    with pytest.raises(backbones.BackboneError, match=r"cannot be loaded: .* Its folder must hold config.json"):
        backbones.load(str(folder))


def test_settings_that_do_not_exist_are_refused():
    with pytest.raises(backbones.BackboneError, match="dtype must be one of float32, bfloat16"):
        backbones.load("tiny", dtype="float8")
    with pytest.raises(backbones.BackboneError, match="at least 0, not -1"):
        backbones.load("tiny", n_layers=-1)


def test_plain_is_as_large_as_tiny():
    tiny, plain = (sum(p.numel() for p in backbones.load(name).parameters()) for name in ("tiny", "plain"))
    assert plain == pytest.approx(tiny, rel=0.02)
    assert len(backbones.load("plain").layers) == len(backbones.load("tiny").layers)


@pytest.mark.parametrize("card", ["[]", '{"colour": 1}'])
def test_a_card_that_is_none_is_refused_in_words(card, tmp_path):
    backbones.build_tiny(tmp_path, seed=0, hidden_size=16, n_layers=1)
    (tmp_path / "card.json").write_text(card)
    with pytest.raises(backbones.BackboneError, match=r"card\.json (is not a card of this version|holds no card)"):
        backbones.load(str(tmp_path))


def test_heads_may_be_wider_than_the_tokens(series, split, anchor, cutoffs, tmp_path):
    folder = save_small("idefics3", tmp_path / "wide")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["head_dim"] *= 2
    (folder / "config.json").write_text(json.dumps(config))
    settings = replace(CONFIG, backbone=f"random:{folder}", image_size=16)
    model, _ = make_model(series, settings, split, anchor)
    assert model.backbone.attended_size == 2 * model.backbone.hidden_size
    np.testing.assert_array_equal(predict_many(model, series, cutoffs)[MEDIAN], anchor.forecast(series, cutoffs))
