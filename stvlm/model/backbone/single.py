"""A single stream, ViLT: raw patches and words enter one and the same encoder, and its first layer fuses them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from stvlm.model.backbone.base import Backbone, Card, LayerParts


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

    def look(self, pixels: torch.Tensor) -> torch.Tensor:
        table = self.core.embeddings
        patches = table.patch_embeddings(pixels)  # (B V, D, g, g)
        side = self.image_size // self.patch_stride
        places = table.position_embeddings[:, 1:].transpose(1, 2).unflatten(-1, (side, side))  # (1, D, side, side)
        places = F.interpolate(places.float(), patches.shape[-2:], mode="bilinear", align_corners=True).to(patches)
        return (patches + places).flatten(2).transpose(1, 2) + table.token_type_embeddings.weight[1]

    def read(self, ids: torch.Tensor) -> torch.Tensor:
        table = self.core.embeddings
        places = torch.arange(ids.shape[1], device=ids.device).clamp(max=self.max_text_tokens - 1)
        words = table.text_embeddings(input_ids=ids, position_ids=places[None], token_type_ids=torch.zeros_like(ids))
        return words + table.token_type_embeddings.weight[0]
