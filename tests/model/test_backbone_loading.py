"""The door to transformers: folders, the tiny backbone, words for what cannot be loaded."""

import pytest
import torch
from transformers import AutoTokenizer, SmolVLMConfig, SmolVLMModel

from stvlm.model import backbone as backbones
from stvlm.model.adapters import AdapterConfig, adapt


@pytest.fixture(scope="module")
def tiny():
    return backbones.load("tiny").eval()


@pytest.fixture(scope="module")
def smolvlm_folder(tmp_path_factory):
    """A small random SmolVLM with grouped heads, saved as a hub model would lie in its folder."""
    folder = tmp_path_factory.mktemp("smolvlm")
    tokenizer = AutoTokenizer.from_pretrained(backbones.TINY_TOKENIZER)
    config = SmolVLMConfig(
        text_config=dict(
            model_type="llama", hidden_size=48, intermediate_size=96, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2,
            head_dim=8, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, tie_word_embeddings=False,
        ),
        vision_config=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=8),
        scale_factor=2, image_token_id=tokenizer.convert_tokens_to_ids("<image>"), pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )  # fmt: skip
    SmolVLMModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_tiny_backbone_is_the_same_for_the_same_seed():
    one, two, other = (backbones.load("tiny", seed=s).embed_text(torch.tensor([[5, 9]])) for s in (1, 1, 2))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert (one - other).abs().max() > 0


def test_a_local_folder_of_the_family_is_loaded_with_fewer_layers(smolvlm_folder):
    backbone = backbones.load(str(smolvlm_folder), n_layers=2)
    assert len(backbone.layers) == 2
    assert backbone.embed_images(torch.rand(1, 2, 3, 64, 64)).shape == (1, 2 * 16, 48)


@pytest.mark.parametrize("source", ["tiny", "smolvlm"])
def test_the_last_layers_see_every_token_whatever_the_order(source, tiny, smolvlm_folder):
    backbone = tiny if source == "tiny" else backbones.load(str(smolvlm_folder)).eval()
    hidden = torch.randn(1, 5, backbone.hidden_size)
    order = torch.tensor([3, 0, 4, 1, 2])
    out = backbone.run(backbone.layers[1], hidden)
    torch.testing.assert_close(backbone.run(backbone.layers[1], hidden[:, order]), out[:, order], atol=1e-5, rtol=1e-5)
    moved = hidden.clone()
    moved[:, 4] += 1
    assert (backbone.run(backbone.layers[1], moved) - out)[:, 0].abs().max() > 1e-6


def test_a_name_that_is_nowhere_gets_one_line_with_the_cure(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(backbones.BackboneError, match=r"is not here.*Give a local folder, or use \"tiny\""):
        backbones.load("no-such/model")


def test_without_a_network_a_hub_name_fails_at_once_and_not_after_many_tries(monkeypatch):
    monkeypatch.setenv("STVLM_HUB", "online")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("stvlm.model.backbone.loading.hub.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("stvlm.model.backbone.loading.hub.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("stvlm.model.backbone.loading.urllib.request.getproxies", dict)
    asked = []

    def refuse(address, timeout):
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr("stvlm.model.backbone.loading.socket.create_connection", refuse)
    with pytest.raises(backbones.BackboneError, match="no model hub can be reached"):
        backbones.load("no-such/model")
    assert asked == [("127.0.0.1", 9)]


def test_another_family_is_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(backbones.BackboneError, match="family 'bert'"):
        backbones.load(str(tmp_path))


def test_tokens_joined_are_the_text_and_markup_stays_text(tiny):
    text = "PM10 at <image> Île-de-France <|im_end|>: 23.4 µg/m³, 东京."
    assert "".join(tiny.token_texts(text)) == text
    ids, mask = tiny.tokenize([text, "short"])
    assert tiny.tokenizer.convert_tokens_to_ids("<image>") not in ids
    assert mask.sum(1).tolist() == [tiny.count_tokens(text), tiny.count_tokens("short")]


def test_image_tokens_have_a_gradient_down_to_the_pixels(tiny):
    images = torch.rand(1, 1, 3, 32, 32, requires_grad=True)
    tiny.embed_images(images).square().sum().backward()
    assert (images.grad.abs() > 0).float().mean() > 0.99


def test_a_wrong_image_size_is_refused(tiny):
    with pytest.raises(backbones.BackboneError, match="multiple of 8 pixels"):
        tiny.grid_side(30)


@pytest.mark.parametrize("strategy", ["frozen", "norm", "lora", "full"])
def test_a_freshly_adapted_backbone_computes_what_it_did_before(strategy):
    plain, adapted = backbones.load("tiny", seed=4).eval(), backbones.load("tiny", seed=4)
    adapt(adapted, AdapterConfig(strategy))
    adapted.eval()
    hidden = torch.randn(2, 6, plain.hidden_size)
    torch.testing.assert_close(adapted.run(adapted.layers[0], hidden), plain.run(plain.layers[0], hidden), atol=1e-6, rtol=1e-6)


def test_only_what_should_train_trains():
    counts = {}
    for strategy in ("frozen", "norm", "lora", "full"):
        backbone = backbones.load("tiny")
        adapt(backbone, AdapterConfig(strategy))
        names = [n for n, p in backbone.named_parameters() if p.requires_grad]
        counts[strategy] = sum(p.numel() for p in backbone.parameters() if p.requires_grad)
        assert not any("vision_model" in n for n in names) or strategy == "full"
    assert counts["frozen"] == 0
    assert counts["norm"] == 64 * 7
    assert 0 < counts["norm"] < counts["lora"] < counts["full"]


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="must be one of frozen, norm, lora, adalora, full, adaptive"):
        AdapterConfig("magic")
