"""The list of backbones: what is here, how large, and the cure for what is not."""

import pytest

from stvlm.cli.main import main
from stvlm.model import backbone as backbones
from tests.support.small_backbones import save_small


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of model folders: a whole one, one of another family, one without weights, one that is no model at all."""
    monkeypatch.setenv("STVLM_BACKBONES", str(tmp_path))
    save_small("clip", tmp_path / "a clip")
    for name, config in (("bert", '{"model_type": "bert"}'), ("bare", '{"model_type": "vilt"}'), ("broken", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(config)
    return tmp_path


def test_the_users_own_folders_are_listed_with_their_size_or_their_fault(own):
    listed = {info.name: info for info in backbones.available()}
    clip = listed[str(own / "a clip")]
    assert (clip.family, clip.is_here, clip.cure) == ("clip", True, "")
    assert clip.parameters == pytest.approx(sum(p.numel() for p in backbones.load(clip.name).parameters()), rel=0.1)
    assert "family is not supported" in listed[str(own / "bert")].cure
    assert "lacks model.safetensors" in listed[str(own / "bare")].cure
    assert "cannot be read" in listed[str(own / "broken")].cure
    assert not any(listed[str(own / name)].is_here for name in ("bert", "bare", "broken"))


def test_our_own_and_two_of_a_hub_are_always_listed_and_tiny_is_counted_right(monkeypatch, tmp_path):
    monkeypatch.delenv("STVLM_BACKBONES", raising=False)
    monkeypatch.setenv("STVLM_CACHE", str(tmp_path))
    listed = {info.name: info for info in backbones.available()}
    assert list(listed) == ["tiny", "smollm2", "HuggingFaceTB/SmolVLM-256M-Instruct", "Qwen/Qwen2-VL-2B-Instruct"]
    assert listed["tiny"].parameters == sum(p.numel() for p in backbones.load("tiny").parameters())
    assert (listed["tiny"].memory_mb, listed["tiny"].is_here) == (1, True)
    assert listed["smollm2"].memory_mb == 208
    assert all(info.licence == "Apache-2.0" for info in listed.values())
    assert all(bool(info.cure) != info.is_here for info in listed.values())


def test_the_command_line_prints_the_list(own, capsys):
    assert main(["backbones"]) == 0
    out = capsys.readouterr().out
    assert "tiny" in out
    assert "text pretrained (4-bit, dequantised), vision random" in out
    assert "a clip" in out
