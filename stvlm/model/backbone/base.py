"""What every backbone can do, whatever its family: images, prompts and decoder layers behind a few calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from stvlm.model.block_attention import attend_in_blocks
from stvlm.runtime.cache import LRUCache
from stvlm.runtime.json_settings import read_settings

HALF = (0.5, 0.5, 0.5)
CARD = "card.json"  # beside config.json in the folder of a saved model
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
KERNELS = ("sdpa", "eager")
TEXTS_KEPT = 4096  # whose tokens are kept


class BackboneError(ValueError):
    """A backbone that cannot be loaded, in plain words and with the cure."""


@contextmanager
def tokenizer_errors() -> Iterator[None]:
    """What the tokenizers' library raises of a file or a text as a BackboneError: a bare Exception, or a panic, which is not even that."""
    try:
        yield
    except BaseException as error:
        if type(error) is not Exception and type(error).__name__ != "PanicException":
            raise
        raise BackboneError(f"The tokenizer of this model is damaged, or one of its patterns is too costly: {error}") from None


@dataclass(frozen=True)
class Card:
    """What is known of a backbone beyond its config; travels with a saved model.

    Attributes:
        mean, spread: of the three colours that the vision tower expects.
        is_pretrained: whether its weights were learned. note: what of it was, in plain words. licence: of the weights.
        weights_id: sha256 of the loaded weights; of config and seed where they are random.
        new_parts: names of modules that nobody trained, in a backbone that is pretrained elsewhere.
        dtype: "float32" or "bfloat16". kernel: of attention, "sdpa" (fused) or "eager" (plain products).
    """

    mean: tuple[float, ...] = HALF
    spread: tuple[float, ...] = HALF
    is_pretrained: bool = False
    note: str = "random weights"
    licence: str = "Apache-2.0"
    weights_id: str = ""
    new_parts: tuple[str, ...] = ()
    dtype: str = "float32"
    kernel: str = "sdpa"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES or self.kernel not in KERNELS:
            raise BackboneError(
                f"dtype must be one of {', '.join(DTYPES)} and kernel one of {', '.join(KERNELS)}; got {self.dtype}, {self.kernel}."
            )

    @classmethod
    def read(cls, folder: Path) -> Card:
        """The card in a folder; one of a random backbone where there is none.

        Raises:
            BackboneError: a file that is no card.
        """
        path = Path(folder) / CARD
        stored = read_settings(path, "card") if path.exists() else {}
        try:
            return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()})
        except (TypeError, AttributeError) as error:
            raise BackboneError(f"{path} is not a card of this version: {error}") from None

    def write(self, folder: Path) -> None:
        """Write it into a folder."""
        (Path(folder) / CARD).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


class LayerParts(NamedTuple):
    """The pieces of one decoder layer, under the same names in every family."""

    norm: nn.Module
    query: nn.Module
    key: nn.Module
    value: nn.Module
    out: Callable[[torch.Tensor], torch.Tensor]
    norm_after: nn.Module
    feed_forward: Callable[[torch.Tensor], torch.Tensor]
    head_dim: int


class Backbone(nn.Module):
    """Vision tower, text embeddings and decoder layers of one vision-language model.

    Attributes:
        name: what it was loaded as. hidden_size: D. n_heads: attention heads of a decoder layer.
        image_size: pixels a side that the vision tower was made for. patch_stride: pixels a side of an image token.
        max_text_tokens: longest prompt with a place for every token.
        decoder_linear: regular expression; matches the full names, inside `core`, of the decoder's linear layers.
    """

    hidden_size: int
    n_heads: int
    image_size: int
    patch_stride: int
    max_text_tokens: int = 8192
    decoder_linear: str

    def __init__(self, core: nn.Module, tokenizer, name: str, card: Card) -> None:
        super().__init__()
        self.core, self.tokenizer, self.name, self.card = core, tokenizer, name, card
        self.is_checkpointing = False
        self._ids, self._texts = LRUCache(TEXTS_KEPT), LRUCache(TEXTS_KEPT)  # prompts come again in training

    # ── what a family says of itself ────────────────────────────────────────────────────────────────────────────────

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder layers; the first one carries the fusion."""
        raise NotImplementedError

    @property
    def last_norm(self) -> nn.Module:
        """The norm after the last decoder layer."""
        raise NotImplementedError

    @property
    def attended_size(self) -> int:
        """heads D_head: what attention yields for a token; D in most models."""
        return self.n_heads * self.parts(self.layers[0]).head_dim if len(self.layers) else self.hidden_size

    def parts(self, layer: nn.Module) -> LayerParts:
        """The pieces of a decoder layer."""
        raise NotImplementedError

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B V, 3, G, G) with the tower's own mean and spread → (B V, g g, D), row by row from the north west."""
        raise NotImplementedError

    def embed_tokens(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, S) token ids → (B, S, D), with learned positions where the family has them."""
        raise NotImplementedError

    def rotary(self, positions: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
        """(cos, sin) of rotary positions, each (B, S, D_head); None in a family without."""
        return None

    # ── what all have in common ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_pretrained(self) -> bool:
        """Whether its weights were learned."""
        return self.card.is_pretrained

    @property
    def licence(self) -> str:
        """Of the weights."""
        return self.card.licence

    @property
    def weights_id(self) -> str:
        """sha256 of the weights as they were loaded; of config and seed where they are random."""
        return self.card.weights_id

    @property
    def usual_size(self) -> int:
        """Pixels a side that suit the tower and a small machine: its own size, at most 128, in whole tokens."""
        return max(min(self.image_size, 128) // self.patch_stride, 1) * self.patch_stride

    def grid_side(self, image_size: int) -> int:
        """g: tokens a side that an image of `image_size` pixels becomes.

        Raises:
            BackboneError: the size does not divide into whole tokens.
        """
        if image_size % self.patch_stride or image_size <= 0:
            raise BackboneError(
                f"The images of {self.name} must be a multiple of {self.patch_stride} pixels a side, not {image_size}."
            )
        return image_size // self.patch_stride

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Images → tokens, row by row from the north west.

        Args:
            images: (B, V, 3, G, G) in 0 … 1.

        Returns:
            (B, V g g, D) float32.
        """
        b, v = images.shape[:2]
        mean, spread = (images.new_tensor(colours)[:, None, None] for colours in (self.card.mean, self.card.spread))
        pixels = (images.flatten(0, 1) - mean) / spread  # (B V, 3, G, G)
        tokens = self.encode_images(pixels.to(self._dtype)).float()  # (B V, g g, D)
        return tokens.reshape(b, v * tokens.shape[1], -1)

    def embed_text(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, S) token ids → (B, S, D) float32."""
        return self.embed_tokens(ids).float()

    def tokenize(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompts → (ids (B, S) int64, mask (B, S) bool), padded on the right to the longest."""
        empty = self.tokenizer.pad_token_id or 0
        rows = [self._encode(prompt) or [empty] for prompt in prompts]
        width = max(len(r) for r in rows)
        ids = torch.full((len(rows), width), empty)
        mask = torch.zeros(len(rows), width, dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = True
        return ids, mask

    def count_tokens(self, text: str) -> int:
        """How many tokens a text becomes."""
        return len(self._encode(text))

    def _encode(self, text: str) -> list[int]:
        plain = partial(self.tokenizer.encode, text, add_special_tokens=False, split_special_tokens=True)
        with tokenizer_errors():
            return self._ids.get(text, plain)

    def token_texts(self, text: str) -> tuple[str, ...]:
        """The text cut at its token borders, as people read it; joined, it is the text again."""
        return self._texts.get(text, partial(self._token_texts, text))

    def _token_texts(self, text: str) -> tuple[str, ...]:
        with tokenizer_errors():
            encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
        ends = [end for _, end in encoded["offset_mapping"]]
        if ends:
            ends[-1] = len(text)
        starts = [0, *ends[:-1]]
        return tuple(text[start:end] for start, end in zip(starts, ends, strict=True))

    def positions(self, padding: torch.Tensor, n_image: int, n_series: int, n_images: int = 1) -> torch.Tensor:
        """Rotary positions: image and text in order without the padding, then one position shared by all series tokens.

        Args:
            padding: (B, S) bool over image, text and series tokens. n_image, n_series: how many of them. n_images: V.

        Returns:
            (B, S) int64, or as `rotary` of the family wants it.
        """
        n_other = padding.shape[1] - n_series
        before = (~padding[:, :n_other]).long().cumsum(dim=1)  # (B, S - N)
        last = before[:, -1:] if n_other else before.new_zeros(len(padding), 1)
        return torch.cat([(before - 1).clamp(min=0), last.expand(-1, n_series)], dim=1)

    def pre_norm(self, layer: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        """The norm in front of a layer's attention, (B, S, D)."""
        return self.parts(layer).norm(hidden.to(self._dtype)).to(hidden.dtype)

    def heads(self, layer: nn.Module, hidden: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor] | None):
        """Queries, keys and values of a decoder layer for normalised tokens.

        Args:
            layer: one of `layers`. hidden: (B, S, D) after `pre_norm`. rotary: of the S tokens; None: all at one position.

        Returns:
            q, k, v: (B, heads, S, D_head) each, grouped keys and values repeated.
        """
        parts = self.parts(layer)
        shape = (*hidden.shape[:-1], -1, parts.head_dim)
        given = hidden.to(self._dtype)
        q, k, v = (p(given).view(shape).transpose(1, 2).to(hidden.dtype) for p in (parts.query, parts.key, parts.value))
        if rotary is not None:
            q, k = (_rotate(t, *rotary) for t in (q, k))
        groups = q.shape[1] // k.shape[1]
        return (q, k, v) if groups == 1 else (q, k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1))

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
        """softmax(q k' scale) v over all keys; memory linear in the tokens with the "sdpa" kernel."""
        if self.card.kernel == "eager":
            return (q @ k.transpose(-1, -2) * scale).softmax(dim=-1) @ v
        if q.device.type == "cpu" and (more := v.shape[-1] - q.shape[-1]):  # its fused kernel knows one width only
            q, k, v = F.pad(q, (0, max(more, 0))), F.pad(k, (0, max(more, 0))), F.pad(v, (0, max(-more, 0)))
            return F.scaled_dot_product_attention(q, k, v, scale=scale)[..., : v.shape[-1] + min(more, 0)]
        return F.scaled_dot_product_attention(q, k, v, scale=scale)

    def post_attention(self, layer: nn.Module, residual: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """What a layer does after its attention: output projection, residual, feed-forward, residual.

        Args:
            layer: one of `layers`. residual: (B, S, D) tokens before the layer. attended: (B, S, heads D_head).
        """
        parts, dtype = self.parts(layer), self._dtype
        hidden = residual + parts.out(attended.to(dtype)).to(residual.dtype)
        return hidden + parts.feed_forward(parts.norm_after(hidden.to(dtype))).to(residual.dtype)

    def run(self, layer: nn.Module, hidden: torch.Tensor, order: torch.Tensor | None = None) -> torch.Tensor:
        """One decoder layer with full (not causal) attention; all tokens share one position, so their order means nothing.

        Args:
            hidden: (B, S, D). Returns the same shape. order: (S,) of `blocks.sensor_order`, by which far ones are read in groups.
        """
        if self.is_checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(self._run, layer, hidden, order, use_reentrant=False)
        return self._run(layer, hidden, order)

    def _run(self, layer: nn.Module, hidden: torch.Tensor, order: torch.Tensor | None) -> torch.Tensor:
        q, k, v = self.heads(layer, self.pre_norm(layer, hidden), None)
        attend = self.attend if order is None else partial(attend_in_blocks, self.attend, order=order)
        attended = attend(q, k, v, scale=q.shape[-1] ** -0.5)  # (B, heads, S, D_head)
        return self.post_attention(layer, hidden, attended.transpose(1, 2).flatten(2))

    def final_norm(self, hidden: torch.Tensor) -> torch.Tensor:
        """The norm after the last decoder layer, (B, S, D)."""
        return self.last_norm(hidden.to(self._dtype)).to(hidden.dtype)

    def decoder_norms(self) -> list[nn.Module]:
        """Every norm of the decoder, the last one included."""
        parts = [self.parts(layer) for layer in self.layers]
        return [norm for p in parts for norm in (p.norm, p.norm_after)] + [self.last_norm]

    def enable_gradient_checkpointing(self) -> None:
        """Compute activations again in the backward pass of a training instead of keeping them: less memory, more time."""
        self.is_checkpointing = True
        for module in self.core.modules():
            if hasattr(module, "gradient_checkpointing_enable"):
                module.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def new_parts(self) -> list[nn.Module]:
        """Parts that nobody has trained, in a backbone that is pretrained elsewhere."""
        return [self.core.get_submodule(name) for name in self.card.new_parts]

    def save_config(self, folder: Path) -> None:
        """Write config, card and tokenizer (no weights), enough to build the empty backbone again."""
        self.core.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        self.card.write(folder)

    @property
    def _dtype(self) -> torch.dtype:
        return DTYPES[self.card.dtype]


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions (Su et al. 2021, "RoFormer", eq. 34) of (B, heads, S, D_head), the halves of a head paired."""
    cos, sin = cos[:, None].to(x.dtype), sin[:, None].to(x.dtype)  # (B, 1, S, D_head)
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
