"""How a model lies in its folder: whole, or only what was trained beside the name of its pretrained base; never half a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch
from torch import nn

from stvlm.model import backbone as backbones
from stvlm.model.adapters import AdapterConfig


def base_entry(backbone: backbones.Backbone, adapter: AdapterConfig) -> dict:
    """{"base": name and weights_id} where the folder leans on a pretrained backbone that was not trained fully, else nothing."""
    if not backbone.is_pretrained or adapter.in_backbone == "full" or adapter.merged:
        return {}
    return {"base": {"name": backbone.name, "weights_id": backbone.weights_id}}


def load_base(folder: Path, made_on: dict, name: str, n_layers: int | None) -> backbones.Backbone:
    """The pretrained backbone that a model folder leans on.

    Args:
        folder: of the model. made_on: of `base_entry`. name: where it lies now. n_layers: decoder layers kept.

    Raises:
        ValueError: there lies another one.
    """
    backbone = backbones.load(name, n_layers, **backbones.settings_of(folder / "backbone"))
    if backbone.weights_id != made_on["weights_id"]:
        raise ValueError(
            f"This model was trained on the backbone {made_on['name']!r} (weights {made_on['weights_id'][:12]}), but {name!r} holds "
            f"other weights ({backbone.weights_id[:12]}). Bring the backbone that it was trained on, or train the model again."
        )
    return backbone


def kept_weights(model: nn.Module, leans_on_base: bool) -> dict[str, torch.Tensor]:
    """What the folder holds: all weights, or all but the frozen ones of the backbone."""
    weights = model.state_dict()
    if not leans_on_base:
        return weights
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {name: w for name, w in weights.items() if name in trained or not name.startswith("backbone.")}


def fill(model: nn.Module, weights: dict[str, torch.Tensor], leans_on_base: bool) -> None:
    """Take what `kept_weights` gave.

    Raises:
        RuntimeError: something is missing or too much.
    """
    missing, unknown = model.load_state_dict(weights, strict=False)
    lost = set(missing) & kept_weights(model, leans_on_base).keys()
    if lost or unknown:
        raise RuntimeError(f"missing weights: {sorted(lost)[:3]}; unknown weights: {sorted(unknown)[:3]}")


def put(work: Path, folder: Path) -> None:
    """Move the whole folder `work` to `folder`. The one before waits aside until the new one stands: `find` knows both places.

    Whoever may read its config.json may read it all: safetensors keeps what it writes from other accounts.
    """
    aside, mode = _aside(folder), (work / "config.json").stat().st_mode
    for file in (p for p in work.rglob("*") if p.is_file()):
        file.chmod(mode)
        with open(file, "rb") as handle:
            os.fsync(handle.fileno())
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(folder, aside)
    os.replace(work, folder)
    shutil.rmtree(aside, ignore_errors=True)


def find(folder: Path) -> Path:
    """Where a model folder stands; if a `put` was cut off between its two moves, the one before, set aside."""
    return _aside(folder) if not folder.exists() and _aside(folder).exists() else folder


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.before")
