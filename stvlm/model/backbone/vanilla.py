"""A plain small transformer of our own with as many parameters as "tiny": what is left when the VLM is taken away."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from stvlm.model.backbone.base import Backbone, Card, LayerParts


@dataclass
class PlainConfig:
    """Shapes of the plain transformer."""

    vocab_size: int
    hidden_size: int = 64
    intermediate_size: int = 384
    num_hidden_layers: int = 3
    num_attention_heads: int = 4
    image_size: int = 32
    patch_size: int = 8
    model_type: str = "plain"

    def save_pretrained(self, folder: Path) -> None:
        """Write config.json."""
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / "config.json").write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


class PlainLayer(nn.Module):
    """Attention and feed-forward with a norm in front of each."""

    def __init__(self, size: int, inner: int) -> None:
        super().__init__()
        self.norm, self.norm_after = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query, self.key, self.value, self.out = (nn.Linear(size, size) for _ in range(4))
        self.feed_forward = nn.Sequential(nn.Linear(size, inner), nn.GELU(), nn.Linear(inner, size))


class PlainCore(nn.Module):
    """Word and patch embeddings and layers; positions are sines, so nothing about them is learned."""

    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        self.config = config
        size = config.hidden_size
        self.words = nn.Embedding(config.vocab_size, size)
        nn.init.normal_(self.words.weight, std=0.02)
        self.patches = nn.Conv2d(3, size, config.patch_size, config.patch_size)
        self.layers = nn.ModuleList(PlainLayer(size, config.intermediate_size) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(size)


class Plain(Backbone):
    """The plain transformer behind the calls of a backbone."""

    decoder_linear = r"layers\.\d+\.(query|key|value|out|feed_forward\.[02])"

    def __init__(self, core: PlainCore, tokenizer, name: str, card: Card) -> None:
        super().__init__(core, tokenizer, name, card)
        config = core.config
        self.hidden_size, self.n_heads = config.hidden_size, config.num_attention_heads
        self.image_size, self.patch_stride = config.image_size, config.patch_size

    @property
    def layers(self) -> nn.ModuleList:
        return self.core.layers

    @property
    def last_norm(self) -> nn.Module:
        return self.core.norm

    def parts(self, layer: nn.Module) -> LayerParts:
        return LayerParts(
            layer.norm, layer.query, layer.key, layer.value, layer.out, layer.norm_after, layer.feed_forward,
            self.hidden_size // self.n_heads,
        )  # fmt: skip

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        patches = self.core.patches(pixels)  # (B V, D, g, g)
        row, column = (_sines(torch.arange(n, device=pixels.device), self.hidden_size // 2) for n in patches.shape[-2:])
        places = torch.cat(
            [row[:, None].expand(-1, len(column), -1), column[None].expand(len(row), -1, -1)], dim=-1
        )  # (g, g, D): half of it says the row, half the column
        return patches.flatten(2).transpose(1, 2) + places.flatten(0, 1).to(patches)

    def embed_tokens(self, ids: torch.Tensor) -> torch.Tensor:
        words = self.core.words(ids)
        return words + 0.02 * _sines(torch.arange(ids.shape[1], device=ids.device), self.hidden_size).to(words)


def _sines(places: torch.Tensor, size: int) -> torch.Tensor:
    """(n,) → (n, size): sines and cosines of falling frequency (Vaswani et al. 2017, section 3.5)."""
    rate = torch.exp(torch.arange(0, size, 2, device=places.device) * (-math.log(10_000.0) / size))
    angle = places[:, None] * rate  # (n, size / 2)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
