"""A model folder from a stranger is loaded as it should be, or refused before it can take memory, run code or tell lies."""

import json
import os
import pickle
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stvlm.model.stvlm import STVLM
from stvlm.training.zero_shot import zero_shot


@pytest.fixture(scope="module")
def honest(small_series, tmp_path_factory):
    """A model folder as this program writes it."""
    folder = tmp_path_factory.mktemp("models") / "honest"
    part = small_series.slice(0, 120)
    zero_shot(part, 120, 6, 3).save(folder, {"sensors": list(part.network.ids)})
    return folder


@pytest.fixture
def folder(honest, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(honest, tmp_path / "model")


def settings(folder, file, **changed):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def weights(folder, change):
    kept = load_file(folder / "model.safetensors")
    change(kept)
    save_file(kept, folder / "model.safetensors")


class Bomb:
    def __reduce__(self):
        return open, ("pickle-was-run", "w")


def _with_pickle(folder):
    (folder / "model.safetensors").unlink()
    for name in ("model.bin", "pytorch_model.bin", "model.safetensors.pkl"):
        (folder / name).write_bytes(pickle.dumps(Bomb()))


def _as_pickle(folder):
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))


def _with_code(folder):
    (folder / "backbone" / "evil.py").write_text("open('code-was-run', 'w')")
    settings(folder, "backbone/config.json", auto_map={"AutoConfig": "evil.X", "AutoModel": "evil.X"}, model_type="evil")


def _deep(folder):
    (folder / "config.json").write_text("[" * 100_000 + "]" * 100_000)


def _long_head(folder):
    (folder / "model.safetensors").write_bytes((2**63 - 1).to_bytes(8, "little") + b"{}")


def _lying_head(folder):
    head = json.dumps({"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}).encode()
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(64))


def _text_config(folder, **changed):
    stated = json.loads((folder / "backbone" / "config.json").read_text())
    settings(folder, "backbone/config.json", text_config=stated["text_config"] | changed)


def _replaced(folder, file, make):
    (folder / file).unlink()
    make(folder / file)


def _device(path):
    path.symlink_to("/dev/zero")


def _socket(path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(path))  # the whole path may be too long for one


def _input(folder, part, **changed):
    inputs = json.loads((folder / "config.json").read_text())["inputs"]
    settings(folder, "config.json", inputs=inputs | {part: inputs[part] | changed})


def _tokens_cut_by(folder, pattern):
    cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    settings(folder, "backbone/tokenizer.json", pre_tokenizer=cut)


def _anchor(folder: Path, **changed: object) -> None:
    """Change the first member of the anchor."""
    words = json.loads((folder / "anchor.json").read_text())
    words["members"][0] |= changed
    (folder / "anchor.json").write_text(json.dumps(words))


SPOILED = {
    "weights as a pickle under their name": (_as_pickle, "not a whole model folder"),
    "pickles instead of weights": (_with_pickle, "not a whole model folder"),
    "code beside the backbone": (_with_code, "brings code of its own, which is never run"),
    "settings 100,000 levels deep": (_deep, "nested too deep"),
    "settings that are a list": (lambda f: (f / "config.json").write_text("[1]"), "holds no settings"),
    "settings of 20 MB": (
        lambda f: (f / "config.json").write_text('{"a": "' + "x" * (20 << 20) + '"}'),
        "settings have at most 16",
    ),
    "a horizon of a thousand million": (
        lambda f: settings(f, "config.json", horizon=10**9),
        "horizon is 1e+09, but must be",
    ),
    "no lookback": (lambda f: settings(f, "config.json", lookback=0), "lookback is 0"),
    "features without end": (lambda f: settings(f, "config.json", n_features=10**12), "n_features is 1e+12"),
    "a size that is a word": (lambda f: settings(f, "config.json", n_features="many"), "n_features must be a number"),
    "a size that is nothing": (lambda f: settings(f, "config.json", lookback=None), "lookback must be a number"),
    "a size that is a list": (lambda f: _input(f, "image", n_neighbours=[]), "n_neighbours must be a number"),
    "columns that are none": (lambda f: _input(f, "series", columns=7), "columns must be a list"),
    "a template that is a number": (lambda f: _input(f, "prompt", template=7), "template must be a word"),
    "a template that calls": (lambda f: _input(f, "prompt", template="{{ range(10**9) }}"), "A call such as range"),
    "a template without end": (lambda f: _input(f, "prompt", template="{{ (" + "(" * 5000), "nested too deep"),
    "half a letter in the template": (lambda f: _input(f, "prompt", template="task: \ud800"), "half a letter"),
    "a pipe as the manifest": (lambda f: _replaced(f, "manifest.json", os.mkfifo), "manifest.json is no plain file"),
    "a pipe as the settings": (lambda f: _replaced(f, "config.json", os.mkfifo), "config.json is no plain file"),
    "a pipe as the weights": (lambda f: _replaced(f, "model.safetensors", os.mkfifo), "model.safetensors is no plain file"),
    "a pipe as the anchor": (lambda f: _replaced(f, "anchor.safetensors", os.mkfifo), "anchor.safetensors is no plain file"),
    "a pipe as the tokenizer": (lambda f: _replaced(f, "backbone/tokenizer.json", os.mkfifo), "tokenizer.json is no plain file"),
    "zeros without end as the anchor": (lambda f: _replaced(f, "anchor.json", _device), "anchor.json is no plain file"),
    "zeros without end beside the rest": (lambda f: _device(f / "backbone" / "chat_template.jinja"), "is no plain file"),
    "a socket as the settings": (lambda f: _replaced(f, "config.json", _socket), "config.json is no plain file"),
    "half a letter in the card": (lambda f: settings(f, "backbone/card.json", note="\ud800"), "card.json holds half a letter"),
    "a tokenizer with a pattern that is none": (lambda f: _tokens_cut_by(f, "("), "tokenizer of this model is damaged"),
    "a tokenizer of nothing": (lambda f: (f / "backbone" / "tokenizer.json").write_text("{}"), "not a whole model folder"),
    "a setting that nobody knows": (lambda f: settings(f, "config.json", run="rm -rf"), "not a whole model folder"),
    "another format": (lambda f: settings(f, "config.json", format=99), "another format"),
    "a strategy that nobody knows": (lambda f: settings(f, "config.json", adapter={"strategy": "evil"}), "fine-tuning strategy"),
    "a hidden size of 16,000": (lambda f: _text_config(f, hidden_size=16_000), "the settings ask for"),
    "a hidden size of a million": (lambda f: _text_config(f, hidden_size=10**6), "hidden_size is 1e+06"),
    "a thousand layers": (lambda f: _text_config(f, num_hidden_layers=1000), "num_hidden_layers is 1000"),
    "a vocabulary of 200 million": (lambda f: _text_config(f, vocab_size=2 * 10**8), "vocab_size is 2e+08"),
    "a weight of another shape": (
        lambda f: weights(f, lambda w: w.update(shrinkage=torch.zeros(7))),
        "shrinkage has the shape [7]",
    ),
    "a weight less": (lambda f: weights(f, lambda w: w.pop("spread")), "spread is missing"),
    "a weight more": (lambda f: weights(f, lambda w: w.update(evil=torch.zeros(1))), "unknown weights: ['evil']"),
    "weights that are no numbers": (lambda f: weights(f, lambda w: w["spread"].fill_(np.nan)), "not finite"),
    "a head of weights without end": (_long_head, "not a whole model folder"),
    "a head that promises 4 TB": (_lying_head, "not a whole model folder"),
    "an anchor that is a list": (lambda f: (f / "anchor.json").write_text("[]"), "anchor.json holds no anchor"),
    "an anchor without a bottom": (lambda f: (f / "anchor.json").write_text("[" * 10**6), "anchor.json is nested too deep"),
    "an anchor of another horizon": (lambda f: _anchor(f, horizon=10**9), "horizon must be a whole number from 1 to 10,000"),
    "an anchor that reads on for ever": (lambda f: _anchor(f, context_steps=10**12), "context_steps must be a whole number"),
    "an anchor of steps of nothing": (lambda f: _anchor(f, step_seconds=0), "step_seconds must be a whole number from 1"),
    "an anchor with a lag that is a word": (lambda f: _anchor(f, lags=["evil"]), "lags must be a whole number"),
    "an anchor on a scale of nobody": (lambda f: _anchor(f, transform={"kind": "evil", "shift": 0.0}), "transform is none that"),
    "shares that are none": (lambda f: settings(f, "anchor.json", shares=[float("nan")]), "do not fit together"),
    "a floor that is a word": (lambda f: settings(f, "anchor.json", floor="low"), "floor is no number"),
    "a choice that says nothing": (lambda f: settings(f, "anchor.json", choice={"taken": [7]}), "choice does not say"),
    "no anchor": (lambda f: (f / "anchor.safetensors").unlink(), "not a whole model folder"),
    "a base that is elsewhere": (
        lambda f: settings(f, "config.json", base={"name": "/etc", "weights_id": "0" * 64}, backbone="/etc"),
        "cannot be loaded",
    ),
    "a base with other weights": (
        lambda f: settings(f, "config.json", base={"name": "tiny", "weights_id": "0" * 64}, backbone="tiny"),
        "holds other weights",
    ),
}


def test_an_honest_folder_is_loaded(honest):
    assert STVLM.load(honest).config.horizon == 3


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_folder_is_refused_in_words_and_nothing_of_it_is_run(folder, name, tmp_path, monkeypatch):
    spoil, words = SPOILED[name]
    monkeypatch.chdir(tmp_path)
    spoil(folder)
    with pytest.raises(ValueError) as caught:
        STVLM.load(folder)
    assert words in str(caught.value)
    assert not (tmp_path / "pickle-was-run").exists()
    assert not (tmp_path / "code-was-run").exists()


def test_a_tokenizer_whose_pattern_is_too_costly_ends_in_words(folder):
    _tokens_cut_by(folder, "(?:a|aa)+$b")
    model = STVLM.load(folder)
    for count in (model.backbone.count_tokens, model.backbone.token_texts):
        with pytest.raises(ValueError, match=r"^The tokenizer of this model is damaged, or one of its patterns is too costly"):
            count("a" * 60)
