"""Small random models of each family, saved as a hub model would lie in its folder: seconds to make, kilobytes large."""

from pathlib import Path

import torch
from transformers import (
    AutoTokenizer,
    CLIPConfig,
    CLIPModel,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    SiglipConfig,
    SiglipModel,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    ViltConfig,
    ViltForMaskedLM,
)

from stvlm.model.backbone import TINY_TOKENIZER

TOKENIZER = AutoTokenizer.from_pretrained(TINY_TOKENIZER)
SMALL = {"vocab_size": len(TOKENIZER), "pad_token_id": TOKENIZER.pad_token_id, "bos_token_id": 0, "eos_token_id": 2}
IMAGE = TOKENIZER.convert_tokens_to_ids("<image>")


def idefics3() -> PreTrainedModel:
    return Idefics3ForConditionalGeneration(_shuffled(Idefics3Config))


def smolvlm() -> PreTrainedModel:
    return SmolVLMForConditionalGeneration(_shuffled(SmolVLMConfig))


def qwen2_vl() -> PreTrainedModel:
    vision = dict(depth=2, embed_dim=16, hidden_size=48, num_heads=2, mlp_ratio=2, patch_size=4, spatial_merge_size=2)
    return Qwen2VLForConditionalGeneration(_of_qwen(Qwen2VLConfig, vision))


def qwen2_5_vl() -> PreTrainedModel:
    vision = dict(
        depth=2, hidden_size=16, out_hidden_size=48, intermediate_size=32, num_heads=2, patch_size=4, spatial_merge_size=2,
        window_size=16, fullatt_block_indexes=[1],
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(_of_qwen(Qwen2_5_VLConfig, vision))


def clip() -> PreTrainedModel:
    return CLIPModel(CLIPConfig(text_config=_text_tower(), vision_config=_tower(32), projection_dim=48))


def siglip() -> PreTrainedModel:
    text = _text_tower() | {"projection_size": 48}
    return SiglipModel(SiglipConfig(text_config=text, vision_config=_tower(48)))


def vilt() -> PreTrainedModel:
    model = ViltForMaskedLM(
        ViltConfig(
            hidden_size=48,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            image_size=32,
            patch_size=8,
            max_position_embeddings=40,
            type_vocab_size=2,
            **SMALL,
        )
    )
    torch.nn.init.normal_(model.vilt.embeddings.position_embeddings, std=0.1)  # zeros would hide a wrong place
    return model


MAKERS = {maker.__name__: maker for maker in (idefics3, smolvlm, qwen2_vl, qwen2_5_vl, clip, siglip, vilt)}


def save_small(family: str, folder: Path) -> Path:
    """Save a small random model of a family with a tokenizer and the colours that it expects."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = MAKERS[family]()
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.1)  # fresh biases are zero and would hide that one is forgotten
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def _shuffled(kind: type):
    text = dict(
        model_type="llama", hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, head_dim=8, tie_word_embeddings=False, **SMALL,
    )  # fmt: skip
    return kind(
        text_config=text, vision_config=_tower(32) | {"patch_size": 4}, scale_factor=2, image_token_id=IMAGE,
        pad_token_id=TOKENIZER.pad_token_id, tie_word_embeddings=False,
    )  # fmt: skip


def _of_qwen(kind: type, vision: dict):
    text = dict(
        hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
        rope_parameters=dict(rope_type="default", rope_theta=1e6, mrope_section=[1, 1, 2]), **SMALL,
    )  # fmt: skip
    return kind(text_config=text, vision_config=vision, image_token_id=IMAGE, tie_word_embeddings=False)


def _tower(width: int) -> dict:
    return dict(
        hidden_size=width, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8
    )  # fmt: skip


def _text_tower() -> dict:
    return dict(
        hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=64, **SMALL
    )  # fmt: skip
