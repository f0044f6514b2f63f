"""Dual encoders, CLIP and SigLIP: the fusion sits in the first layer of the text tower, which sees the vision tower's patches."""

from __future__ import annotations

import torch
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

    def look(self, pixels: torch.Tensor) -> torch.Tensor:
        tower = self.core.vision_model
        hidden = tower.embeddings(pixels, interpolate_pos_encoding=pixels.shape[-1] != self.image_size)
        if hasattr(tower, "pre_layrnorm"):
            hidden = tower.pre_layrnorm(hidden)
        hidden = tower.post_layernorm(tower.encoder(inputs_embeds=hidden).last_hidden_state)
        patches = (pixels.shape[-1] // self.patch_stride) ** 2
        return self.bridge(hidden[:, -patches:].float())  # without the class token in front

    def read(self, ids: torch.Tensor) -> torch.Tensor:
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
