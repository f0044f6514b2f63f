"""Which backbones there are on this machine, and what to do for those that are not."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer, Idefics3Model
from transformers.utils import cached_file

from stvlm.model.backbone import smollm2
from stvlm.model.backbone.loading import FAMILIES
from stvlm.model.backbone.tiny import TINY_TOKENIZER, tiny_config
from stvlm.runtime.settings import settings

NO_CURE = ""


@dataclass(frozen=True)
class BackboneInfo:
    """One backbone that can be chosen.

    Attributes:
        name: to be given to `load`. family: architecture. title: in plain words. parameters: how many.
        memory_mb: of the weights in float32, in MB (a training needs several times as much). licence: of the weights.
        is_here: whether it can be loaded now, without a network. cure: what to do where it cannot.
    """

    name: str
    family: str
    title: str
    parameters: int
    licence: str
    is_here: bool
    cure: str = NO_CURE

    @property
    def memory_mb(self) -> int:
        """Of the weights in float32, in MB."""
        return round(self.parameters * 4 / 1e6)


HUB = (  # name, family, title, parameters without the language head, licence
    ("HuggingFaceTB/SmolVLM-256M-Instruct", "idefics3", "SmolVLM: the smallest pretrained VLM", 228_099_648, "Apache-2.0"),
    ("Qwen/Qwen2-VL-2B-Instruct", "qwen2_vl", "Qwen2-VL: a larger pretrained VLM", 2_208_985_600, "Apache-2.0"),
)


def available() -> list[BackboneInfo]:
    """The backbones of this program, the folders under STVLM_BACKBONES, and two that a model hub has."""
    small = tiny_config(AutoTokenizer.from_pretrained(TINY_TOKENIZER, local_files_only=True))
    built = smollm2.is_here()
    graft = smollm2.graft_config(smollm2.DEFAULT_LAYERS)
    title = f"SmolLM2, the first {smollm2.DEFAULT_LAYERS} of 30 layers: {smollm2.NOTE}"
    return [
        BackboneInfo("tiny", "idefics3", "Tiny VLM with random weights, trained as a whole", _count(small), "Apache-2.0", True),
        BackboneInfo("smollm2", "idefics3", title, _count(graft), "Apache-2.0", built, NO_CURE if built else smollm2.CURE),
        *_own_folders(),
        *(_of_hub(*row) for row in HUB),
    ]


def _count(config) -> int:
    """Parameters of an Idefics3, counted without making them."""
    with torch.device("meta"):
        return sum(p.numel() for p in Idefics3Model(config).parameters())


def _own_folders() -> list[BackboneInfo]:
    root = settings().backbones
    return [_of_folder(path.parent) for path in sorted(root.glob("*/config.json"))] if root and root.is_dir() else []


def _of_folder(folder: Path) -> BackboneInfo:
    try:
        family = str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type"))
        files = sorted(folder.glob("*.safetensors"))
        parameters = sum(_count_stored(file) for file in files)
    except (OSError, ValueError, AttributeError, SafetensorError) as error:
        return BackboneInfo(str(folder), "unknown", folder.name, 0, "not stated", False, f"The folder cannot be read: {error}")
    cure = NO_CURE
    if family not in FAMILIES:
        cure = f"The family is not supported; supported are {', '.join(f for f in FAMILIES if f != 'plain')}."
    elif not files:
        cure = "The folder lacks model.safetensors."
    return BackboneInfo(str(folder), family, folder.name, parameters, "not stated", not cure, cure)


def _count_stored(file: Path) -> int:
    with safe_open(file, "pt") as stored:
        return sum(math.prod(stored.get_slice(key).get_shape()) for key in stored.keys())  # noqa: SIM118  not a mapping


def _of_hub(name: str, family: str, title: str, parameters: int, licence: str) -> BackboneInfo:
    calm = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    files = ("model.safetensors", "model.safetensors.index.json")
    here = any(cached_file(name, file, local_files_only=True, **calm) for file in files)
    cure = NO_CURE if here else "Used once with a network, it stays in the cache of this machine."
    return BackboneInfo(name, family, title, parameters, licence, here, cure)
