"""Dual encoders, CLIP and SigLIP: the fusion sits in the first layer of the text tower, which sees the vision tower's patches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from stvlm.model.backbone.base import Backbone, Card, LayerParts


class DualEncoder(Backbone):
    """A vision tower and a text tower side by side.

    Patch states come to the width of the text tower through a linear layer of our own where the widths differ. It starts as the
    projection into the space that both towers share where that has the text tower's width, else at random, and always trains.
    Text tokens have learned positions; image and series tokens have none in the text tower.
    """

    decoder_linear = r"text_model\.encoder\.layers\.\d+\.(self_attn\.(q_proj|k_proj|v_proj|out_proj)|mlp\.(fc1|fc2))"

    def __init__(self, core: nn.Module, tokenizer, name: str, card: Card) -> None:
        super().__init__(core, tokenizer, name, card)
        text, vision = core.config.text_config, core.config.vision_config
        self.hidden_size, self.n_heads = text.hidden_size, text.num_attention_heads
        self.max_text_tokens = text.max_position_embeddings
        self.image_size, self.patch_stride = vision.image_size, vision.patch_size
        self.bridge = _bridge(core, vision.hidden_size, text.hidden_size)
        for unused in ("visual_projection", "text_projection", "logit_scale", "logit_bias"):
            if hasattr(core, unused):
                setattr(core, unused, None)
        core.text_model.head = core.vision_model.head = None
        core.vision_model.use_head = False

    @property
    def layers(self) -> nn.ModuleList:
        return self.core.text_model.encoder.layers

    @property
    def last_norm(self) -> nn.Module:
        return self.core.text_model.final_layer_norm

    def parts(self, layer: nn.Module) -> LayerParts:
        own = layer.self_attn
        return LayerParts(
            layer.layer_norm1, own.q_proj, own.k_proj, own.v_proj, own.out_proj, layer.layer_norm2, layer.mlp, own.head_dim
        )

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        tower = self.core.vision_model
        hidden = tower.embeddings(pixels, interpolate_pos_encoding=pixels.shape[-1] != self.image_size)
        if hasattr(tower, "pre_layrnorm"):
            hidden = tower.pre_layrnorm(hidden)
        hidden = tower.post_layernorm(tower.encoder(inputs_embeds=hidden).last_hidden_state)
        patches = (pixels.shape[-1] // self.patch_stride) ** 2
        return self.bridge(hidden[:, -patches:].float())  # without the class token in front

    def embed_tokens(self, ids: torch.Tensor) -> torch.Tensor:
        table = self.core.text_model.embeddings
        places = torch.arange(ids.shape[1], device=ids.device).clamp(max=self.max_text_tokens - 1)
        return table.token_embedding(ids) + table.position_embedding(places)


def _bridge(core: nn.Module, width: int, hidden_size: int) -> nn.Module:
    if width == hidden_size:
        return nn.Identity()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bridge = nn.Linear(width, hidden_size, bias=False)
    learned = getattr(core, "visual_projection", None)
    if learned is not None and learned.weight.shape == bridge.weight.shape and not learned.weight.is_meta:
        bridge.weight.data.copy_(learned.weight.detach())
    return bridge


# A single stream, ViLT: raw patches and words enter one and the same encoder, and its first layer fuses them.


class SingleStream(Backbone):
    """ViLT: no vision tower, only a linear projection of the patches. Words have learned positions, series tokens none."""

    decoder_linear = (
        r"encoder\.layer\.\d+\.(attention\.(attention\.(query|key|value)|output\.dense)|intermediate\.dense|output\.dense)"
    )

    def __init__(self, core: nn.Module, tokenizer, name: str, card: Card) -> None:
        super().__init__(core, tokenizer, name, card)
        config = core.config
        self.hidden_size, self.n_heads = config.hidden_size, config.num_attention_heads
        self.max_text_tokens = config.max_position_embeddings
        self.image_size, self.patch_stride = config.image_size, config.patch_size
        core.pooler = core.embeddings.cls_token = None

    @property
    def layers(self) -> nn.ModuleList:
        return self.core.encoder.layer

    @property
    def last_norm(self) -> nn.Module:
        return self.core.layernorm

    def parts(self, layer: nn.Module) -> LayerParts:
        own = layer.attention.attention
        return LayerParts(
            layer.layernorm_before, own.query, own.key, own.value, lambda mixed: layer.attention.output(mixed, None),
            layer.layernorm_after, lambda hidden: layer.output.dropout(layer.output.dense(layer.intermediate(hidden))),
            own.attention_head_size,
        )  # fmt: skip

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        table = self.core.embeddings
        patches = table.patch_embeddings(pixels)  # (B V, D, g, g)
        side = self.image_size // self.patch_stride
        places = table.position_embeddings[:, 1:].transpose(1, 2).unflatten(-1, (side, side))  # (1, D, side, side)
        places = F.interpolate(places.float(), patches.shape[-2:], mode="bilinear", align_corners=True).to(patches)
        return (patches + places).flatten(2).transpose(1, 2) + table.token_type_embeddings.weight[1]

    def embed_tokens(self, ids: torch.Tensor) -> torch.Tensor:
        table = self.core.embeddings
        places = torch.arange(ids.shape[1], device=ids.device).clamp(max=self.max_text_tokens - 1)
        words = table.text_embeddings(input_ids=ids, position_ids=places[None], token_type_ids=torch.zeros_like(ids))
        return words + table.token_type_embeddings.weight[0]
