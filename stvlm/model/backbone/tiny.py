"""The small random Idefics3 that every machine can train, and the tokenizer made for it."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, Idefics3Config, Idefics3Model, PreTrainedTokenizerFast

from stvlm.runtime.assets import asset

TINY_TOKENIZER = asset("tiny_tokenizer")
SPECIAL_TOKENS = ["<|im_start|>", "<|im_end|>", "<end_of_utterance>", "<|endoftext|>", "<image>"]


def tiny_config(tokenizer, hidden_size: int = 64, n_layers: int = 3) -> Idefics3Config:
    """Shapes: 32-pixel images become 4 x 4 = 16 tokens (patches of 4 pixels, two by two merged)."""
    return Idefics3Config(
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


def build_tiny(folder: Path, seed: int, hidden_size: int = 64, n_layers: int = 3) -> None:
    """Save a small random Idefics3 and its tokenizer, as a hub model would lie in its folder."""
    tokenizer = AutoTokenizer.from_pretrained(TINY_TOKENIZER, local_files_only=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        Idefics3Model(tiny_config(tokenizer, hidden_size, n_layers)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def byte_level(bpe: Tokenizer) -> Tokenizer:
    """Cut text as SmolLM2 does: digits one by one, so that no number is rare; bytes below, so that nothing is unknown."""
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    return bpe


def train_tokenizer(texts: list[str], folder: Path, vocabulary: int = 2048) -> None:
    """Make the tokenizer of "tiny" from prompts."""
    bpe = byte_level(Tokenizer(models.BPE()))
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
