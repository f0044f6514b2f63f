"""A model folder may come from a stranger: its settings and the shapes of its weights are looked at before anything is built of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from stvlm.data.settings import read_settings

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
        ValueError: as `read_settings` and `check_settings`.
    """
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


def compare(build: Callable[[], nn.Module], folder: Path) -> None:
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
