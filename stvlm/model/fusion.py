"""Attention-aware fusion of vision, text and series in the first decoder layer of the backbone.

Queries are the series tokens; keys and values are the image patches, the prompt tokens and the series tokens, through that
layer's own norm and q, k, v, o. Two additive biases are learned inside the layer's softmax:

    logit(n, k) = q_n . k_k / sqrt(D_head) + gate(n, modality of k) + place(n, k)

A bias per modality inside one softmax is the same as a softmax per modality with a gate on top: with lse_m the log-sum-exp over
the keys of modality m, the share of m is softmax_m(lse_m + gate_m). At zero bias the pretrained layer is exactly itself, and all
biases start at zero. `place` is -w |x_k - (x_n + u)|^2 for keys with a place on earth, with a width and a direction u for each
head ("look upstream"), times a strength that starts at zero. Patches and sensors have a place, and so has every word that speaks
of a sensor: "crash near Ring north 2" lies where that sensor lies. Words have widths and directions of their own, and near words
may be lifted over those without a place.

Every bias is a product of a part of the query and a part of the key. So they are written as a few more dimensions of q and k,
and the shares of the modalities as three more dimensions of v: one fused attention kernel gives tokens and shares, with no
(N, keys) matrix in memory. The whole matrix is made only for the sensors whose attention is asked for. Of many sensors the far ones
are read in groups (blocks.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from stvlm.model.backbone import Backbone
from stvlm.model.block_attention import attend_in_blocks, attention_rows

VISION, TEXT, SERIES = 0, 1, 2
EAGER = 10.0  # strengths and lifts learn so many times faster than weights: few windows tell of an event
HIDDEN = -1e4  # logit of a key that is padding: its probability is exactly 0
N_EXTRA = 16  # dimensions added to q and k: 3 gate, 1 padding, 4 place of what is seen, 4 place of words; 4 are free


@dataclass(frozen=True, eq=False)
class FusionOutput:
    """What the first layer made of the three modalities.

    Attributes:
        tokens: (B, N, D) the series tokens after the layer.
        modality_weights: (B, N, 3) shares of vision, text, series, mean over the heads; rows sum to 1; 0 for an absent one.
        image_attention: (B, K, P) over the image tokens; text_attention: (B, K, S); sensor_attention: (B, K, N), for the K
            sensors asked for, mean over the heads; each row sums to 1 (to 0 where the modality is absent). None unless asked.
        drawn: (B, N, heads D_head) what each sensor drew from patches and words with a place, less the mean over the sensors, in
            units of the size of the sensors' own values; the head reads it directly. None where there is no decoder layer.
    """

    tokens: torch.Tensor
    modality_weights: torch.Tensor
    image_attention: torch.Tensor | None = None
    text_attention: torch.Tensor | None = None
    sensor_attention: torch.Tensor | None = None
    drawn: torch.Tensor | None = None


class FirstLayerFusion(nn.Module):
    """The new parameters of the fusion: gate, places, directions. All start closed.

    Args:
        hidden_size: D of the backbone. n_heads: its attention heads.
    """

    def __init__(self, hidden_size: int, n_heads: int) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden_size, 3)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        angle = torch.arange(n_heads) * (torch.pi / 2)  # heads look east, north, west, south, east ...
        look = 0.35 * torch.stack([angle.cos(), angle.sin()], dim=-1)  # (heads, 2), half images
        self.direction = nn.Parameter(torch.stack([look, torch.zeros_like(look)]))  # (2, heads, 2): of what is seen; of words
        self.log_width = nn.Parameter(torch.tensor([[0.25], [0.1]]).expand(2, n_heads).log())  # (2, heads), half images
        self.strength = nn.Parameter(torch.zeros(2, n_heads))
        self.lift = nn.Parameter(torch.zeros(2, n_heads))
        self.by_modality: nn.Module | None = None  # low-rank adapters of each modality: adapters.adapt

    def forward(
        self,
        backbone: Backbone,
        layer: nn.Module,
        series: torch.Tensor,
        places: torch.Tensor,
        image: torch.Tensor | None = None,
        image_places: torch.Tensor | None = None,
        text: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        explain: torch.Tensor | None = None,
        text_places: torch.Tensor | None = None,
        n_images: int = 1,
        is_alone: bool = False,
        order: torch.Tensor | None = None,
        head: int | None = None,
    ) -> FusionOutput:
        """Fuse the modalities in `layer`.

        Args:
            series: (B, N, D) series tokens. places: (N, 2) east and north, -1 … 1 over the image.
            image: (B, P, D) image tokens or None. image_places: (P, 2) centres of their patches, -1 … 1 over the image.
            text: (B, S, D) prompt tokens or None. text_mask: (B, S) bool, False = padding.
            explain: (K,) sensors whose attention is wanted, or None.
            text_places: (B, S, 3) x, y as `places` and 1 for words that speak of a place, 0 for the others; or None.
            n_images: V, images of equal size that the P image tokens belong to.
            is_alone: of the series tokens a sensor reads its own only, so that it learns of the others by image and words.
            order: (N,) of `blocks.sensor_order`, by which far sensors are read in groups; None: each reads each.
            head: whose shares and attention are wanted; None: their mean over the heads.
        """
        tokens, modality, padding, spots = self._keys(series, places, image, image_places, text, text_mask, text_places)
        n_other = tokens.shape[1] - series.shape[1]
        n_image = 0 if image is None else image.shape[1]
        rotary = backbone.rotary(backbone.positions(padding, n_image, series.shape[1], n_images), tokens)
        normed = backbone.pre_norm(layer, tokens)
        q, k, v = backbone.heads(layer, normed, rotary)
        if self.by_modality is not None:  # every modality is read in its own way
            _, k, v = backbone.heads(layer, self.by_modality(normed, modality), rotary)
        q = q[:, :, n_other:]  # (B, heads, N, D_head)
        head_dim = q.shape[-1]
        q = torch.cat([q, self._query_biases(normed[:, n_other:], places, q) * head_dim**0.5], dim=-1)
        k = torch.cat([k, _key_biases(modality, padding, spots, k)], dim=-1)
        shares = F.one_hot(modality, 3).to(v).expand(*v.shape[:2], -1, 3)
        v = torch.cat([v, shares, v.new_zeros(*v.shape[:3], N_EXTRA - 3), _outside(v, modality, spots)], dim=-1)
        with torch.autocast(q.device.type, enabled=False):  # places need more than the 8 bits of bfloat16
            attend = _attend_alone if is_alone else backbone.attend
            if order is not None and not is_alone:
                attend = partial(attend_in_blocks, backbone.attend, order=order)
            mixed = attend(q, k, v, scale=head_dim**-0.5)  # (B, heads, N, 2 D_head + 16)
        asked = slice(None) if head is None else slice(head, head + 1)
        drew = mixed[:, asked, :, head_dim : head_dim + 3].mean(dim=1)  # (B, N, 3)
        drawn = mixed[..., head_dim + N_EXTRA :].transpose(1, 2).flatten(2)  # (B, N, heads D_head)
        drawn = drawn - drawn.mean(dim=1, keepdim=True)
        mixed = mixed[..., :head_dim].transpose(1, 2).flatten(2)  # (B, N, heads D_head)
        fused = backbone.post_attention(layer, series, mixed)
        attention = (None, None, None)
        if explain is not None:
            own = n_other + explain if is_alone else None
            if order is None or is_alone:
                weights = _attention(q[:, asked, explain], k[:, asked], head_dim, modality, own)
            else:
                rows = attention_rows(q[:, asked, explain], k[:, asked], head_dim**-0.5, order, explain)
                weights = torch.cat(list(rows), dim=1)
            attention = _within(weights, modality)
        return FusionOutput(fused, drew / drew.sum(-1, keepdim=True), *attention, drawn=drawn)

    def _keys(self, series, places, image, image_places, text, text_mask, text_places):
        """All keys in the order image, text, series: tokens, modality (S,), padding (B, S), places (B, S, 3: x, y, has a place)."""
        b, device = series.shape[0], series.device
        parts, kinds, padding, spots = [], [], [], []
        for tokens, kind, mask, spot in (
            (image, VISION, None, image_places),
            (text, TEXT, text_mask, text_places),
            (series, SERIES, None, places),
        ):
            if tokens is None:
                continue
            n = tokens.shape[1]
            parts.append(tokens)
            kinds.append(torch.full((n,), kind, device=device))
            padding.append(torch.zeros(b, n, dtype=torch.bool, device=device) if mask is None else ~mask)
            if spot is None:
                spot = torch.zeros(n, 3, device=device)
            elif spot.shape[-1] == 2:
                spot = F.pad(spot, (0, 1), value=1.0)
            spots.append(spot.expand(b, n, 3))
        return torch.cat(parts, dim=1), torch.cat(kinds), torch.cat(padding, dim=1), torch.cat(spots, dim=1)

    def _query_biases(self, normed: torch.Tensor, places: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        """(B, heads, N, 16): gate (3), 1 for padding, and twice the place bias -w |x - c|^2 = -w|x|^2 + 2w x.c - w|c|^2."""
        b, heads, n, _ = q.shape
        gate = self.gate(normed)[:, None].to(q).expand(b, heads, n, 3)
        width = (EAGER * self.strength).tanh() / (2 * self.log_width.exp() ** 2)  # (2, heads)
        centre = places[None, None] + self.direction[:, :, None]  # (2, heads, N, 2)
        w = width[..., None, None].expand(2, heads, n, 1)
        lift = (EAGER * self.lift)[..., None, None]
        place = torch.cat([-w, 2 * w * centre, lift - w * (centre**2).sum(-1, keepdim=True)], dim=-1)  # (2, heads, N, 4)
        place = place.permute(1, 2, 0, 3).flatten(2).to(gate).expand(b, heads, n, 8)
        return torch.cat([gate, gate.new_ones(b, heads, n, 1), place, gate.new_zeros(b, heads, n, 4)], dim=-1).to(q)


def series_alone(series: torch.Tensor, n_text: int = 0, explain: torch.Tensor | None = None) -> FusionOutput:
    """What stands in the place of a fusion where there is no layer to fuse in: each sensor draws on its own token alone.

    Args:
        series: (B, N, D). n_text: S of the prompt that nobody reads. explain: (K,) sensors whose attention is wanted, or None.
    """
    b, n, _ = series.shape
    weights = F.one_hot(torch.tensor(SERIES, device=series.device), 3).to(series).expand(b, n, 3)
    if explain is None:
        return FusionOutput(series, weights)
    image, text = (series.new_zeros(b, len(explain), size) for size in (0, n_text))
    return FusionOutput(series, weights, image, text, F.one_hot(explain, n).to(series).expand(b, -1, n))


def _outside(v: torch.Tensor, modality: torch.Tensor, spots: torch.Tensor) -> torch.Tensor:
    """The values (B, heads, S, D_head) of patches and words with a place, in units of the size that the sensors' own values have."""
    size = v[:, :, modality == SERIES].detach().float().pow(2).mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-6)
    placed = (modality != SERIES)[:, None] & (spots[:, None, :, 2:] > 0)  # (B, 1, S, 1)
    return v * (placed / size).to(v)


def _key_biases(modality: torch.Tensor, padding: torch.Tensor, spots: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """(B, heads, S, 16): modality, padding, and |x|^2, x, y, 1 for keys with a place: first what is seen, then words."""
    b, heads, s, _ = k.shape
    onehot = F.one_hot(modality, 3).to(k).expand(b, s, 3)
    x = spots[..., :2]
    place = torch.cat([(x**2).sum(-1, keepdim=True), x, spots[..., 2:]], dim=-1) * spots[..., 2:]  # (B, S, 4)
    is_word = (modality == TEXT)[:, None]
    places = torch.cat([place * ~is_word, place * is_word, torch.zeros_like(place)], dim=-1).to(k)  # (B, S, 12)
    out = torch.cat([onehot, (padding * HIDDEN).to(k)[..., None], places], dim=-1)
    return out[:, None].expand(b, heads, s, N_EXTRA)


def _attend_alone(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """Attention of the N queries to all keys before the last N, and of the last N each to its own; memory linear in N."""
    others = k.shape[2] - q.shape[2]
    own = (q * k[:, :, others:]).sum(dim=-1, keepdim=True)
    weights = (torch.cat([q @ k[:, :, :others].transpose(-1, -2), own], dim=-1) * scale).softmax(dim=-1)
    return weights[..., :-1] @ v[:, :, :others] + weights[..., -1:] * v[:, :, others:]


def _attention(
    q: torch.Tensor, k: torch.Tensor, head_dim: int, modality: torch.Tensor, own: torch.Tensor | None = None
) -> torch.Tensor:
    """The rows of attention of chosen sensors, (B, K, S), mean over the heads.

    With `own`, (K,) places of the sensors' own keys, a sensor reads no other series token.
    """
    logits = q.float() @ k.float().transpose(-1, -2) * head_dim**-0.5
    if own is not None:
        others = (modality == SERIES) & (torch.arange(len(modality), device=own.device) != own[:, None])  # (K, S)
        logits = logits.masked_fill(others, -torch.inf)
    return logits.softmax(dim=-1).mean(dim=1)


def _within(weights: torch.Tensor, modality: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Rows of attention (B, K, S) within each modality: three of (B, K, keys of the modality) that sum to 1."""
    rows = []
    for kind in (VISION, TEXT, SERIES):
        part = weights[..., modality == kind]
        rows.append(part / part.sum(dim=-1, keepdim=True).clamp(min=1e-12))
    return tuple(rows)
