"""The one door to transformers: a vision-language backbone behind a few calls.

Names: "tiny" (an Idefics3 made from a config with a seed, with our own small tokenizer), a local folder, or a hub name of the
Idefics3 / SmolVLM family. Weights come through the same `from_pretrained` in every case.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, Idefics3Config, Idefics3Model, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, repeat_kv
from transformers.utils import logging as transformers_logging

TINY_TOKENIZER = Path(__file__).parent / "tiny_tokenizer"
FAMILIES = ("idefics3", "smolvlm")
SPECIAL_TOKENS = ["<|im_start|>", "<|im_end|>", "<end_of_utterance>", "<|endoftext|>", "<image>"]


class BackboneError(ValueError):
    """A backbone that cannot be loaded, in plain words and with the cure."""


class Backbone(nn.Module):
    """Vision tower, text embeddings and decoder layers of one vision-language model.

    Attributes:
        name: what it was loaded as. hidden_size: D. n_heads: attention heads of a decoder layer.
        image_size: pixels a side that the vision tower was made for.
    """

    def __init__(self, core: nn.Module, tokenizer, name: str) -> None:
        super().__init__()
        self.core = core
        self.tokenizer = tokenizer
        self.name = name
        config = core.config
        self.hidden_size = config.text_config.hidden_size
        self.n_heads = config.text_config.num_attention_heads
        self.image_size = config.vision_config.image_size
        self.patch_stride = config.vision_config.patch_size * config.scale_factor

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder layers; the first one carries the fusion."""
        return self.core.text_model.layers

    def grid_side(self, image_size: int) -> int:
        """g: tokens a side that an image of `image_size` pixels becomes.

        Raises:
            BackboneError: the size does not divide into whole tokens.
        """
        if image_size % self.patch_stride:
            raise BackboneError(
                f"The images of {self.name} must be a multiple of {self.patch_stride} pixels a side, not {image_size}."
            )
        return image_size // self.patch_stride

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Images → tokens, row by row from the north west.

        Args:
            images: (B, V, 3, G, G) in 0 … 1. The towers of this family expect mean 0.5, spread 0.5.

        Returns:
            (B, V g g, D).
        """
        b, v = images.shape[:2]
        pixels = (images.flatten(0, 1) - 0.5) / 0.5  # (B V, 3, G, G)
        pixels = pixels.to(next(self.core.vision_model.parameters()).dtype)
        patches = self.core.vision_model(pixel_values=pixels).last_hidden_state  # (B V, P, D_v)
        tokens = self.core.connector(patches)  # (B V, g g, D)
        return tokens.reshape(b, v * tokens.shape[1], -1)

    def tokenize(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompts → (ids (B, S) int64, mask (B, S) bool), padded on the right to the longest."""
        rows = [
            self.tokenizer.encode(p, add_special_tokens=False, split_special_tokens=True) or [self.tokenizer.pad_token_id or 0]
            for p in prompts
        ]
        width = max(len(r) for r in rows)
        ids = torch.full((len(rows), width), self.tokenizer.pad_token_id or 0)
        mask = torch.zeros(len(rows), width, dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = True
        return ids, mask

    def count_tokens(self, text: str) -> int:
        """How many tokens a text becomes."""
        return len(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def token_texts(self, text: str) -> tuple[str, ...]:
        """The text cut at its token borders, as people read it; joined, it is the text again."""
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
        ends = [end for _, end in encoded["offset_mapping"]]
        starts = [0, *ends[:-1]]
        return tuple(text[start:end] for start, end in zip(starts, ends, strict=True))

    def embed_text(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, S) token ids → (B, S, D)."""
        return self.core.text_model.embed_tokens(ids)

    def rotary(self, positions: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(cos, sin) of rotary positions (B, S), each (B, S, D_head)."""
        return self.core.text_model.rotary_emb(like, positions)

    def heads(self, layer: nn.Module, hidden: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]):
        """Queries, keys and values of a decoder layer for normalised tokens.

        Args:
            layer: one of `layers`. hidden: (B, S, D) after the layer's own norm. rotary: cos and sin for the S tokens.

        Returns:
            q, k, v: (B, heads, S, D_head) each, grouped keys and values repeated.
        """
        attention = layer.self_attn
        shape = (*hidden.shape[:-1], -1, attention.head_dim)
        q, k, v = (p(hidden).view(shape).transpose(1, 2) for p in (attention.q_proj, attention.k_proj, attention.v_proj))
        q, k = apply_rotary_pos_emb(q, k, *rotary)
        groups = attention.num_key_value_groups
        return q, repeat_kv(k, groups), repeat_kv(v, groups)

    def run(self, layer: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        """One decoder layer with full (not causal) attention; all tokens share one position, so their order means nothing.

        Args:
            hidden: (B, S, D). Returns the same shape.
        """
        positions = torch.zeros(hidden.shape[:2], dtype=torch.long, device=hidden.device)
        return layer(hidden, position_embeddings=self.rotary(positions, hidden), attention_mask=None, is_causal=False)

    def final_norm(self, hidden: torch.Tensor) -> torch.Tensor:
        """The norm after the last decoder layer, (B, S, D)."""
        return self.core.text_model.norm(hidden)

    def save_config(self, folder: Path) -> None:
        """Write config and tokenizer (no weights), enough to build the empty backbone again."""
        self.core.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def load(name: str, n_layers: int | None = None, seed: int = 0) -> Backbone:
    """A backbone with its weights.

    Args:
        name: "tiny", a local folder, or a hub name. n_layers: keep only the first decoder layers. seed: of "tiny".

    Raises:
        BackboneError: nothing there, no network, or a family that is not supported.
    """
    transformers_logging.disable_progress_bar()
    if name == "tiny":
        with tempfile.TemporaryDirectory() as folder:
            build_tiny(Path(folder), seed)
            return _from_folder(folder, "tiny", n_layers)
    return _from_folder(name, name, n_layers)


def build_empty(folder: Path, name: str) -> Backbone:
    """The backbone of a saved model: config and tokenizer from `folder`, weights still to be filled in."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    _check_family(config, name)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return Backbone(AutoModel.from_config(config, attn_implementation="sdpa"), tokenizer, name)


def _from_folder(source: str, name: str, n_layers: int | None) -> Backbone:
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        _check_family(config, name)
        if n_layers is not None:
            config.text_config.num_hidden_layers = min(n_layers, config.text_config.num_hidden_layers)
        core = AutoModel.from_pretrained(
            source, config=config, trust_remote_code=False, attn_implementation="sdpa", dtype=torch.float32, use_safetensors=True
        )
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except OSError as error:
        raise BackboneError(
            f"The backbone {name!r} is not here: it is no folder with config.json and model.safetensors, and no model hub can be reached. "
            'Give a local folder, or use "tiny".'
        ) from error
    return Backbone(core, tokenizer, name)


def _check_family(config, name: str) -> None:
    if config.model_type not in FAMILIES:
        raise BackboneError(f"The backbone {name!r} is of the family {config.model_type!r}; supported are {', '.join(FAMILIES)}.")


def build_tiny(folder: Path, seed: int, hidden_size: int = 64, n_layers: int = 3) -> None:
    """Save a small random Idefics3 and its tokenizer, as a hub model would lie in its folder.

    32-pixel images become 4 x 4 = 16 tokens (patches of 4 pixels, two by two merged).
    """
    tokenizer = AutoTokenizer.from_pretrained(TINY_TOKENIZER, local_files_only=True)
    config = Idefics3Config(
        text_config=dict(
            model_type="llama", hidden_size=hidden_size, intermediate_size=2 * hidden_size, num_hidden_layers=n_layers,
            num_attention_heads=4, num_key_value_heads=4, head_dim=hidden_size // 4, vocab_size=len(tokenizer),
            max_position_embeddings=4096, rms_norm_eps=1e-5, rope_parameters=dict(rope_type="default", rope_theta=1e5),
            pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            tie_word_embeddings=False,
        ),
        vision_config=dict(
            hidden_size=hidden_size, intermediate_size=2 * hidden_size, num_hidden_layers=2, num_attention_heads=4,
            image_size=32, patch_size=4,
        ),
        scale_factor=2, image_token_id=tokenizer.convert_tokens_to_ids("<image>"), pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        Idefics3Model(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train_tokenizer(texts: list[str], folder: Path, vocabulary: int = 2048) -> None:
    """Make the tokenizer of "tiny" from prompts: byte-level BPE, digits one by one, so nothing is unknown and no number is rare."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<|im_start|>", eos_token="<end_of_utterance>", pad_token="<|im_end|>",
        unk_token="<|endoftext|>", additional_special_tokens=["<image>"], padding_side="right", clean_up_tokenization_spaces=False,
        model_max_length=4096,
    ).save_pretrained(folder)  # fmt: skip
