"""The one door to peft: which weights of the backbone a training may change."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from stvlm.model.backbone import Backbone

STRATEGIES = ("frozen", "norm", "lora", "full")
DECODER_LINEAR = r".*text_model\.layers\.\d+\.(self_attn\.(q_proj|k_proj|v_proj|o_proj)|mlp\.(gate_proj|up_proj|down_proj))"


@dataclass(frozen=True)
class AdapterConfig:
    """How the backbone is fine-tuned.

    Attributes:
        strategy: "frozen" (new parts only), "norm" (norms too), "lora" (low-rank adapters in the decoder, and norms) or "full".
        rank: of the low-rank adapters.
    """

    strategy: str = "full"
    rank: int = 8

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ValueError(f"The fine-tuning strategy must be one of {', '.join(STRATEGIES)}; got {self.strategy!r}.")


def default_strategy(backbone_name: str) -> str:
    """A random tiny backbone has nothing worth keeping, so all of it is trained; a pretrained one gets low-rank adapters."""
    return "full" if backbone_name == "tiny" else "lora"


def adapt(backbone: Backbone, config: AdapterConfig) -> None:
    """Say which weights of `backbone` train, and add adapters in place. A freshly adapted backbone computes what it did before."""
    train_all = config.strategy == "full"
    for parameter in backbone.core.parameters():
        parameter.requires_grad_(train_all)
    if config.strategy == "lora":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            inject_adapter_in_model(
                LoraConfig(r=config.rank, lora_alpha=2 * config.rank, target_modules=DECODER_LINEAR), backbone.core
            )
    if config.strategy in ("norm", "lora"):
        for name, module in backbone.core.text_model.named_modules():
            if "norm" in name.rsplit(".", 1)[-1]:
                _train(module)


def _train(module: nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        parameter.requires_grad_(True)
