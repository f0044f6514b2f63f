"""Decoders that read image tokens before the words: Idefics3 / SmolVLM, and Qwen2-VL / Qwen2.5-VL."""

from __future__ import annotations

import torch
from torch import nn

from stvlm.model.backbone.base import Backbone, Card, LayerParts

LINEAR = r"layers\.\d+\.(self_attn\.(q_proj|k_proj|v_proj|o_proj)|mlp\.(gate_proj|up_proj|down_proj))"


class Decoder(Backbone):
    """A vision tower in front of a decoder with rotary positions, RMS norms and a gated feed-forward."""

    text: nn.Module

    def __init__(self, core: nn.Module, tokenizer, name: str, card: Card) -> None:
        super().__init__(core, tokenizer, name, card)
        config = core.config.text_config
        self.hidden_size, self.n_heads = config.hidden_size, config.num_attention_heads
        self.max_text_tokens = config.max_position_embeddings

    @property
    def layers(self) -> nn.ModuleList:
        return self._text.layers

    @property
    def last_norm(self) -> nn.Module:
        return self._text.norm

    @property
    def _text(self) -> nn.Module:
        raise NotImplementedError

    def parts(self, layer: nn.Module) -> LayerParts:
        own = layer.self_attn
        return LayerParts(
            layer.input_layernorm, own.q_proj, own.k_proj, own.v_proj, own.o_proj,
            layer.post_attention_layernorm, layer.mlp, own.head_dim,
        )  # fmt: skip

    def embed_tokens(self, ids: torch.Tensor) -> torch.Tensor:
        return self._text.embed_tokens(ids)

    def rotary(self, positions: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._text.rotary_emb(like, positions)


class Idefics3(Decoder):
    """Idefics3, SmolVLM, SmolVLM2: patches of the tower, `scale_factor` by `scale_factor` of them shuffled into one token."""

    decoder_linear = r"text_model\." + LINEAR

    def __init__(self, core: nn.Module, tokenizer, name: str, card: Card) -> None:
        super().__init__(core, tokenizer, name, card)
        vision = core.config.vision_config
        self.image_size = vision.image_size
        self.patch_stride = vision.patch_size * core.config.scale_factor

    @property
    def _text(self) -> nn.Module:
        return self.core.text_model

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        patches = self.core.vision_model(pixel_values=pixels).last_hidden_state  # (B V, P, D_v)
        return self.core.connector(patches)  # (B V, g g, D)


class Qwen2VL(Decoder):
    """Qwen2-VL, Qwen2.5-VL: flat patches in a tower with rotary places, merged; text positions have three axes."""

    decoder_linear = r"language_model\." + LINEAR

    def __init__(self, core: nn.Module, tokenizer, name: str, card: Card) -> None:
        super().__init__(core, tokenizer, name, card)
        vision = core.config.vision_config
        self.patch, self.merge, self.frames = vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size
        self.patch_stride = self.patch * self.merge
        self.image_size = 8 * self.patch_stride  # the tower takes any size; 224 pixels with patches of 14

    @property
    def _text(self) -> nn.Module:
        return self.core.language_model

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        n, size = len(pixels), pixels.shape[-1]
        side, p, m = self.grid_side(size), self.patch, self.merge
        cells = pixels.view(n, 3, side, m, p, side, m, p).permute(0, 2, 5, 3, 6, 1, 4, 7)  # (n, g, g, m, m, 3, p, p)
        cells = cells.unsqueeze(-3).expand(*cells.shape[:-2], self.frames, p, p)  # a still image is a film of equal frames
        grid = torch.tensor([[1, side * m, side * m]] * n, device=pixels.device)  # time, height, width in patches
        tokens = self.core.visual(cells.reshape(n * (side * m) ** 2, -1), grid_thw=grid).pooler_output
        return tokens.view(n, side * side, -1)

    def positions(self, padding: torch.Tensor, n_image: int, n_series: int, n_images: int = 1) -> torch.Tensor:
        """Three axes (time, height, width): an image is one moment and a grid, words and series have the same on each.

        The next image or word starts after the largest position so far (Wang et al. 2024, "Qwen2-VL", section 2.1). All series
        tokens share one position.

        Returns:
            (3, B, S) int64.
        """
        b, s = padding.shape
        side = round((n_image / n_images) ** 0.5)
        if side * side * n_images != n_image:
            raise ValueError(f"{n_image} image tokens are not {n_images} square images.")
        step = torch.arange(side, device=padding.device)
        one = torch.stack([torch.zeros(side * side).to(step), step.repeat_interleave(side), step.repeat(side)])  # (3, g g)
        images = torch.cat([one + i * side for i in range(n_images)], dim=1)  # (3, P)
        start = side * n_images
        words = (~padding[:, n_image : s - n_series]).long().cumsum(dim=1)  # (B, words)
        last = words[:, -1:] if words.shape[1] else words.new_zeros(b, 1)
        rest = torch.cat([(words - 1).clamp(min=0), last.expand(-1, n_series)], dim=1) + start
        return torch.cat([images[:, None].expand(3, b, -1), rest[None].expand(3, -1, -1)], dim=-1)
