"""The one door to peft: fine-tuning strategies, and the allocation of ranks between adapters."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from stvlm.core.forecast import MODALITIES
from stvlm.model.backbone import Backbone

# Rank allocation: low-rank adapters share one budget of ranks, moved by importance (AdaLoRA).

SCALE = 8.0  # of a low-rank change: how far a step of the optimiser moves a singular value
START = 1.5  # ranks at the start, as a multiple of those that the budget leaves
WARM, SETTLED = 0.1, 0.5  # shares of the training: before it no rank is taken away, after it the ranks stay
SMOOTH = 0.85  # of sensitivity and of uncertainty, both betas of the paper
ALLOCATIONS = 50  # in a training, about


@dataclass(frozen=True, eq=False)
class Part:
    """One low-rank change.

    Attributes:
        down: A (r, inputs). values: E (r, 1), zero = rank switched off. up: B (outputs, r). key: name of E in the model.
    """

    down: nn.Parameter
    values: nn.Parameter
    up: nn.Parameter
    key: str

    def tensors(self) -> dict[str, nn.Parameter]:
        """The three of them by name."""
        return {"down": self.down, "values": self.values, "up": self.up}


class ModalityAdapters(nn.Module):
    """A low-rank part for each modality in front of the fusion's key and value projections.

    Image, text and series keys all pass through one and the same W_k and W_v. With x the normed token of a key of modality m they
    become W (x + B_m diag(E_m) A_m x), so each modality may be read in its own way. Starts as no change: E = 0.

    Args:
        hidden_size: D. rank: r of each part. modalities: those that the model sees.
    """

    def __init__(self, hidden_size: int, rank: int, modalities: tuple[str, ...]) -> None:
        super().__init__()
        rank = min(rank, hidden_size)
        self.lora_A = nn.ParameterDict({m: nn.Parameter(torch.empty(rank, hidden_size)) for m in modalities})
        self.lora_E = nn.ParameterDict({m: nn.Parameter(torch.zeros(rank, 1)) for m in modalities})
        self.lora_B = nn.ParameterDict({m: nn.Parameter(torch.empty(hidden_size, rank)) for m in modalities})
        for weight in (*self.lora_A.values(), *self.lora_B.values()):
            nn.init.orthogonal_(weight)

    def forward(self, normed: torch.Tensor, modality: torch.Tensor) -> torch.Tensor:
        """Change the tokens that become keys and values.

        Args:
            normed: (B, S, D). modality: (S,) places in MODALITIES.
        """
        own = torch.cat([(modality == MODALITIES.index(m))[:, None] * e.T for m, e in self.lora_E.items()], dim=-1)  # (S, M r)
        down, up = torch.cat(list(self.lora_A.values())), torch.cat(list(self.lora_B.values()), dim=1)
        return normed + SCALE * (normed @ down.T * own) @ up.T


def parts(model: nn.Module) -> dict[str, Part]:
    """The low-rank parts of a model by what people call them: "layer 1: self_attn.q_proj", "text"."""
    found = {}
    for path, module in model.named_modules():
        for key in getattr(module, "lora_E", ()):
            name = key if key in MODALITIES else _layer_name(path)
            found[name] = Part(module.lora_A[key], module.lora_E[key], module.lora_B[key], f"{path}.lora_E.{key}".lstrip("."))
    return found


def ranks(model: nn.Module) -> dict[str, int]:
    """How many ranks of each part are in use."""
    return {name: int(part.values.count_nonzero()) for name, part in parts(model).items()}


def orthogonality(model_parts: Mapping[str, Part]) -> torch.Tensor:
    """Mean over the parts of |A A' - 1|^2 + |B' B - 1|^2: keeps E comparable, for A and B cannot grow instead of it."""
    total = [((w @ w.T - torch.eye(len(w), device=w.device)) ** 2).sum() for p in model_parts.values() for w in (p.down, p.up.T)]
    return torch.stack(total).sum() / len(model_parts)


class RankBudget:
    """Takes ranks away, the least important first, until the budget is reached half way through the training.

    Args:
        model: with parts whose ranks are all there. rank: mean rank of a part in the end. total: steps of the training.

    Attributes:
        history: {"step": steps made, "ranks": {part: ranks that may be in use}} whenever they were shared out.
    """

    def __init__(self, model: nn.Module, rank: int, total: int) -> None:
        self.parts = parts(model)
        self.start = sum(len(p.values) for p in self.parts.values())
        self.target = min(rank * len(self.parts), self.start)
        self.settled = max(int(total * SETTLED), 1)
        self.warm = min(int(total * WARM), self.settled - 1)
        self.every = max(total // ALLOCATIONS, 1)
        self.keep = {name: torch.ones_like(p.values, dtype=torch.bool) for name, p in self.parts.items()}
        shapes = {f"{name}.{which}": w for name, p in self.parts.items() for which, w in p.tensors().items()}
        self.history: list[dict] = [{"step": 0, "ranks": {name: len(p.values) for name, p in self.parts.items()}}]
        self.sensitivity = {key: torch.zeros_like(w) for key, w in shapes.items()}
        self.uncertainty = {key: torch.zeros_like(w) for key, w in shapes.items()}

    def at(self, step: int) -> int:
        """Ranks that may be in use after `step` steps: all, then falling with the third power of the time left."""
        left = min(max((self.settled - step) / (self.settled - self.warm), 0.0), 1.0)
        return self.target + int((self.start - self.target) * left**3)

    @torch.no_grad()
    def allocate(self, step: int) -> bool:
        """Judge the ranks by the gradients at hand and hold the budget; to be called after each step of the optimiser.

        Args:
            step: steps made, the first = 1.

        Returns:
            Whether the ranks were shared out anew.
        """
        anew = self.warm < step <= self.settled and (step % self.every == 0 or step == self.settled)
        if step <= self.settled:
            self._judge()
        if anew:
            self._share_out(self.at(step))
            self.history.append({"step": step, "ranks": {name: int(keep.sum()) for name, keep in self.keep.items()}})
        if anew or step > self.settled:
            for name, part in self.parts.items():
                part.values.masked_fill_(~self.keep[name], 0.0)
        return anew

    def _judge(self) -> None:
        for name, part in self.parts.items():
            for which, weight in part.tensors().items():
                key = f"{name}.{which}"
                now = torch.zeros_like(weight) if weight.grad is None else (weight * weight.grad).abs()
                self.sensitivity[key].lerp_(now, 1 - SMOOTH)
                self.uncertainty[key].lerp_((now - self.sensitivity[key]).abs(), 1 - SMOOTH)

    def scores(self) -> dict[str, torch.Tensor]:
        """(r,) for each part: score of E plus the mean scores of the row of A and the column of B."""
        entry = {key: s * self.uncertainty[key] for key, s in self.sensitivity.items()}
        return {n: entry[f"{n}.values"][:, 0] + entry[f"{n}.down"].mean(1) + entry[f"{n}.up"].mean(0) for n in self.parts}

    def _share_out(self, budget: int) -> None:
        scores = self.scores()
        order = torch.cat(list(scores.values())).argsort(descending=True, stable=True)
        keep = torch.zeros(self.start, dtype=torch.bool, device=order.device)
        keep[order[:budget]] = True
        rows = keep.split([len(s) for s in scores.values()])
        self.keep = {name: row[:, None] for name, row in zip(scores, rows, strict=True)}

    def masks(self) -> dict[str, torch.Tensor]:
        """Name of E in the model → (r, 1) bool, which ranks may be in use."""
        return {part.key: self.keep[name] for name, part in self.parts.items()}

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that it needs to go on as if it had never stopped."""
        kinds = {"keep": self.keep, "sensitivity": self.sensitivity, "uncertainty": self.uncertainty}
        return {f"{kind}.{name}": value for kind, values in kinds.items() for name, value in values.items()}

    def restore(self, state: Mapping[str, torch.Tensor], history: list[dict]) -> None:
        """Go on from what `state` gave, and from the history until then."""
        self.history = list(history)
        for kind, values in (("keep", self.keep), ("sensitivity", self.sensitivity), ("uncertainty", self.uncertainty)):
            for name, value in values.items():
                values[name] = state[f"{kind}.{name}"].to(value)


def _layer_name(path: str) -> str:
    """ "backbone.core.text_model.layers.0.self_attn.q_proj" → "layer 1: self_attn.q_proj"."""
    place = re.search(r"\.layers?\.(\d+)\.(.+)$", f".{path}")
    return f"layer {int(place[1]) + 1}: {place[2]}" if place else path


STRATEGIES = ("frozen", "norm", "lora", "adalora", "full", "adaptive")
READINGS_PER_WEIGHT = 0.25  # fewest that a weight of the backbone must have to be trained by `suited`
RANKS = (8, 4, 2)  # that `suited` tries, the largest first


@dataclass(frozen=True)
class AdapterConfig:
    """How the backbone is fine-tuned; the new parts (series tokens, fusion, head) always train.

    Attributes:
        strategy: "frozen" (new parts only), "norm" (the decoder's norms too), "lora" (low-rank adapters in the decoder, norms, and
            what nobody has trained in the backbone, such as a random vision tower), "adalora" (the same with ranks that move to the
            layers that use them), "full", or "adaptive" (one of norm, adalora, full by the amount of data, and ranks that move to
            the layers and modalities that use them).
        rank: of a low-rank adapter; of adalora and adaptive the mean rank at the end.
        chosen, reason: what "adaptive" took, and why, in plain words.
        merged: the decoder's adapters have been worked into its weights.
    """

    strategy: str = "full"
    rank: int = 8
    chosen: str = "adalora"
    reason: str = ""
    merged: bool = False

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ValueError(f"The fine-tuning strategy must be one of {', '.join(STRATEGIES)}; got {self.strategy!r}.")

    @property
    def in_backbone(self) -> str:
        """The strategy that holds in the backbone."""
        return self.chosen if self.strategy == "adaptive" else self.strategy

    @property
    def start_rank(self) -> int:
        """Ranks of a part before any is taken away."""
        return math.ceil(START * self.rank)


def choose_strategy(tuning: str, backbone: Backbone, n_readings: int, rank: int = 8) -> AdapterConfig:
    """How to tune a backbone.

    Args:
        tuning: a strategy, or "auto": a random backbone has nothing worth keeping, so all of it is trained; a pretrained one gets
            low-rank adapters. backbone: as loaded. n_readings: observed in the training part. rank: of low-rank adapters.
    """
    if tuning == "auto":
        tuning = "lora" if backbone.is_pretrained else "full"
    return suggest_strategy(backbone, n_readings, rank) if tuning == "adaptive" else AdapterConfig(tuning, rank)


def suggest_strategy(backbone: Backbone, n_readings: int, rank: int = RANKS[0]) -> AdapterConfig:
    """What "adaptive" starts from: as many weights as the readings can pay for, and never more than the backbone can spare.

    A weight must have READINGS_PER_WEIGHT readings of the training part. Overlapping windows tell nothing new, so readings count,
    not windows. Less than one reading is enough, for the training stops at its best validation score and is shrunk towards the
    anchor. A pretrained backbone is never trained fully: what it knows is worth more than what one network of sensors can teach.
    A random one knows nothing, so it is trained fully as soon as the readings pay for that.

    Args:
        backbone: as loaded. n_readings: observed in the training part. rank: highest mean rank of a part.
    """
    pays_for = n_readings / READINGS_PER_WEIGHT
    start = f"{n_readings:,} training readings and {'a pretrained' if backbone.is_pretrained else 'an untrained'} backbone"
    whole = sum(p.numel() for p in backbone.core.parameters())
    if not backbone.is_pretrained and whole <= pays_for:
        why = f"{start}: enough to train all of its {whole:,} weights, and nothing in it is worth keeping as it is."
        return AdapterConfig("adaptive", rank, "full", why)
    for r in (r for r in RANKS if r <= rank):
        config = AdapterConfig("adaptive", r, "adalora")
        size = _low_rank_size(backbone, config.start_rank)
        if size <= pays_for:
            spare = "what it knows is kept" if backbone.is_pretrained else f"too few for all of its {whole:,} weights"
            return replace(config, reason=f"{start}: {spare}; low-rank adapters of mean rank {r} start with {size:,} weights.")
    return AdapterConfig("adaptive", rank, "norm", f"{start}: too few for any low-rank adapter, so only the norms are tuned.")


def adapt(
    backbone: Backbone,
    config: AdapterConfig,
    fusion: nn.Module | None = None,
    modalities: tuple[str, ...] = (),
    seed: int = 0,
) -> None:
    """Say which weights of `backbone` train, and add adapters in place. A freshly adapted backbone computes what it did before.

    Args:
        backbone: changed in place. config: what to do. fusion: gets low-rank parts for each of `modalities` if "adaptive" chose
            more than the norms. seed: of the adapters.
    """
    train_all = config.in_backbone == "full"
    for parameter in backbone.core.parameters():
        parameter.requires_grad_(train_all)
    has_layers = len(backbone.layers) > 0
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(seed)
        warnings.simplefilter("ignore", UserWarning)
        if config.in_backbone == "lora" and not config.merged and has_layers:
            from peft import LoraConfig, inject_adapter_in_model  # where it is needed: a forecast of most models is quicker without

            low_rank = LoraConfig(r=config.rank, lora_alpha=2 * config.rank, target_modules=backbone.decoder_linear)
            inject_adapter_in_model(low_rank, backbone.core)
        if config.in_backbone == "adalora" and not config.merged and has_layers:
            _add_adalora(backbone, config.start_rank)
        if config.strategy == "adaptive" and config.chosen != "norm" and fusion is not None:
            fusion.by_modality = ModalityAdapters(backbone.hidden_size, config.start_rank, modalities)
    if config.in_backbone in ("norm", "lora", "adalora"):
        for norm in backbone.decoder_norms():
            norm.requires_grad_(True)
    if config.in_backbone in ("lora", "adalora"):
        for part in backbone.new_parts():
            part.requires_grad_(True)


def _add_adalora(backbone: Backbone, rank: int) -> None:
    """peft's layers of AdaLoRA with orthonormal A and B; the budget is ours (ranks.RankBudget), so theirs is not used."""
    from peft import AdaLoraConfig, inject_adapter_in_model

    low_rank = AdaLoraConfig(init_r=rank, target_r=rank, lora_alpha=1, total_step=1, target_modules=backbone.decoder_linear)
    inject_adapter_in_model(low_rank, backbone.core)
    for module in backbone.core.modules():
        for key in getattr(module, "lora_E", ()):
            module.scaling[key] = SCALE * rank  # which the layer divides by its rank
            nn.init.orthogonal_(module.lora_A[key])
            nn.init.orthogonal_(module.lora_B[key])


def merge(model: nn.Module) -> None:
    """Work the decoder's low-rank adapters into its weights, in place, so that it runs as fast as the plain backbone.

    The forecasts stay the same up to rounding. Parts for each modality stay as they are: three of them share one weight.

    Args:
        model: an STVLM.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for path, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, module.get_base_layer())
    model.config = replace(model.config, adapter=replace(model.config.adapter, merged=True))


def _low_rank_size(backbone: Backbone, rank: int) -> int:
    """Weights of low-rank parts in all linear layers of the decoder."""
    chosen = re.compile(backbone.decoder_linear)
    layers = [m for n, m in backbone.core.named_modules() if isinstance(m, nn.Linear) and chosen.fullmatch(n)]
    return sum(rank * (layer.in_features + layer.out_features + 1) for layer in layers)
