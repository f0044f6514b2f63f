"""The one door to peft: which weights of the backbone a training may change, and what suits the data at hand."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass, replace

import torch
from torch import nn

from stvlm.model.backbone import Backbone
from stvlm.model.ranks import SCALE, START, ModalityAdapters

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


def pick(tuning: str, backbone: Backbone, n_readings: int, rank: int = 8) -> AdapterConfig:
    """How to tune a backbone.

    Args:
        tuning: a strategy, or "auto": a random backbone has nothing worth keeping, so all of it is trained; a pretrained one gets
            low-rank adapters. backbone: as loaded. n_readings: observed in the training part. rank: of low-rank adapters.
    """
    if tuning == "auto":
        tuning = "lora" if backbone.is_pretrained else "full"
    return suited(backbone, n_readings, rank) if tuning == "adaptive" else AdapterConfig(tuning, rank)


def suited(backbone: Backbone, n_readings: int, rank: int = RANKS[0]) -> AdapterConfig:
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
