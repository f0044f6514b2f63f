"""Save and load a model folder; settings and weight shapes of an untrusted one are checked before anything is built."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from stvlm.anchor.ridge import RidgeMember
from stvlm.core.base_layer import BaseLayer
from stvlm.core.series import SensorSeries
from stvlm.model import backbone as backbones
from stvlm.model.adapters import AdapterConfig
from stvlm.runtime.json_settings import check_folder, read_settings

WEIGHTS = "model.safetensors"
DEEPEST = 12
LONGEST_WORD = 10_000  # characters, the template of a prompt included
SIZES = {  # setting -> smallest and largest sane value: what a model takes in memory grows with them
    "lookback": (1, 10_000), "horizon": (1, 10_000), "n_features": (1, 100_000), "n_layers": (0, 200), "size": (4, 2048), "rank": (1, 1024),
    "max_tokens": (0, 100_000), "n_standouts": (0, 1000), "n_ahead": (0, 1000), "context_steps": (0, 10_000_000), "dropout": (0, 1),
    "hidden_size": (1, 16_384), "intermediate_size": (1, 131_072), "num_hidden_layers": (0, 200), "vocab_size": (1, 2_000_000),
    "num_attention_heads": (1, 1024), "image_size": (4, 2048), "max_position_embeddings": (1, 10_000_000), "patch_size": (1, 256),
    "n_neighbours": (1, 10_000),
}  # fmt: skip
LISTS = ("modalities", "views", "columns", "cycles", "column_mean", "column_std", "drop_order")  # of words, or of numbers
WORDS = ("backbone", "template", "strategy", "chosen", "disturb", "fusion", "others")  # settings of our own that are words


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and manifest of a model folder, checked.

    Raises:
        ValueError: as `check_folder`, `read_settings` and `check_settings`.
    """
    for part in (folder, folder / "backbone"):
        if part.is_dir():
            check_folder(part)
    stored = read_settings(folder / "config.json")
    check_settings(stored)
    for path in sorted((folder / "backbone").glob("*config.json")):
        settings = read_settings(path)
        if "auto_map" in settings:
            raise ValueError(f"backbone/{path.name} brings code of its own, which is never run. Use a model without.")
        check_settings(settings, f"backbone/{path.name}")
    return stored, read_settings(folder / "manifest.json")


def check_settings(settings: Any, name: str = "config.json", depth: int = 0) -> None:
    """Refuse settings that would make a model of any size.

    Raises:
        ValueError: naming the setting.
    """
    if depth > DEEPEST:
        raise ValueError(f"{name} is nested too deep.")
    parts = settings.items() if isinstance(settings, dict) else enumerate(settings) if isinstance(settings, list) else ()
    for key, value in parts:
        low, high = SIZES.get(key, (-math.inf, math.inf)) if isinstance(key, str) else (-math.inf, math.inf)
        if isinstance(value, int | float) and not low <= value <= high:
            raise ValueError(f"{name}: {key} is {value:.6g}, but must be from {low} to {high}.")
        is_own = name == "config.json" and isinstance(key, str)  # those of a backbone may be pairs, or left open
        is_number = isinstance(value, int | float) or (key == "n_layers" and value is None)
        if key in SIZES and (isinstance(value, str) or (is_own and not is_number)):
            raise ValueError(f"{name}: {key} must be a number.")
        if is_own and key in WORDS and not isinstance(value, str):
            raise ValueError(f"{name}: {key} must be a word.")
        if is_own and key in LISTS and not (isinstance(value, list) and all(isinstance(x, str | int | float) for x in value)):
            raise ValueError(f"{name}: {key} must be a list of plain values.")
        if isinstance(value, str) and len(value) > LONGEST_WORD:
            raise ValueError(f"{name}: {key} has {len(value):,} characters; at most {LONGEST_WORD:,} are read.")
        if isinstance(value, dict | list):
            check_settings(value, name, depth + 1)


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in a .safetensors file, from its head alone."""
    with safe_open(path, framework="pt") as stored:
        return {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118  not a mapping


def check_weight_shapes(build: Callable[[], nn.Module], folder: Path) -> None:
    """Refuse weights that do not fit the model that the settings describe, before any memory is taken for it.

    Args:
        build: makes that model; called where tensors have shapes but no values. folder: with model.safetensors.

    Raises:
        ValueError: naming the first weight that is absent or has another shape.
    """
    shapes = shapes_of(folder / WEIGHTS)
    with torch.device("meta"):
        expected = {name: tuple(weight.shape) for name, weight in build().state_dict().items()}
    for name, shape in expected.items():
        if shapes.get(name) != shape:
            held = f"has the shape {list(shapes[name])}" if name in shapes else "is missing"
            raise ValueError(f"The weight {name} {held}, but the settings ask for {list(shape)}.")


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a model folder, every one of them finite.

    Raises:
        ValueError: naming the first that is not.
    """
    weights = load_file(folder / WEIGHTS)
    for name, weight in weights.items():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise ValueError(f"The weight {name} holds values that are not finite.")
    return weights


# The model folder: the whole model, or only what was trained and the name of its pretrained base.


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


# Compatibility of a model and a series.


def check_series(frame: RidgeMember, manifest: dict[str, Any], views: Collection[str], series: SensorSeries) -> None:
    """Refuse readings whose forecast would be a number of something else.

    Args:
        frame: the anchor member whose scale and profile the model works on.
        manifest: of the model.
        views: images that the model sees.
        series: to be forecast.

    Raises:
        ValueError: other sensors than the model was trained on, steps of another length, another unit where both are named, or
            another base layer where the model sees one.
    """
    ids, n = manifest.get("sensors"), len(frame.scale)
    if series.network.n_sensors != n or (ids is not None and list(series.network.ids) != list(ids)):
        raise ValueError(f"This model was trained on another network ({n} sensors). Choose a model of this network, or train one.")
    step = frame.profile.step_seconds
    if series.step_seconds != step:
        raise ValueError(
            f"This model forecasts steps of {step / 60:g} minutes; these readings come every {series.step_seconds / 60:g} minutes. "
            "Bring them to its step, or train a model on them."
        )
    unit = manifest.get("unit")
    if unit and series.unit and series.unit != unit:
        raise ValueError(
            f"This model was trained on readings in {unit}; these are in {series.unit}. Convert them, or train a model on them."
        )
    if "geography" in views and "base_layer" in manifest:
        _check_base_layer(manifest["base_layer"], series.network.base_layer)


def _check_base_layer(trained: dict[str, str] | None, given: BaseLayer | None) -> None:
    """Refuse to show another geography than that of the training.

    Args:
        trained: "fingerprint" and "name" of the base layer in training; None for none. given: that of the series.

    Raises:
        ValueError: another one, or none where there was one.
    """
    if (trained or {}).get("fingerprint") == (given.fingerprint if given else None):
        return
    if trained is None:
        raise ValueError("This model's view geography was trained without a base layer. Leave --base-layer and --grid out.")
    lacks = "there is none" if given is None else "this is another one"
    raise ValueError(
        f"This model's view geography was trained with the base layer {trained['name']}; {lacks}. Give the same files."
    )
