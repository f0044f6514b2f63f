"""Ways to spoil what a model sees while all else stays: does it matter what is in the image, and what is in the prompt?

A spoilt input is the same for one window each time it comes, in training, validation and test alike.
"""

from __future__ import annotations

import numpy as np
import torch

DISTURBANCES = {
    "noise image": "every pixel is random, new for each window",
    "shuffled pixels": "the pixels of every image are shuffled, always in the same way",
    "shuffled sensors": "every sensor is painted at the place of another one, always the same",
    "constant prompt": "every window has the same prompt",
    "foreign prompt": "every window has the prompt of another, distant one",
}
CONSTANT_PROMPT = "Forecast the readings of every sensor."


def check_perturbation(name: str) -> None:
    """Refuse a name that is neither "" nor one of DISTURBANCES.

    Raises:
        ValueError: an unknown name.
    """
    if name and name not in DISTURBANCES:
        raise ValueError(f"disturb must be one of {', '.join(DISTURBANCES)}, or empty; got {name!r}.")


def noise_images(cutoffs: np.ndarray, n_views: int, size: int) -> torch.Tensor:
    """(B, V, 3, G, G) float32 in 0 … 1: independent uniform pixels, drawn from each window's cutoff (B,)."""
    shape = (n_views, 3, size, size)
    return torch.from_numpy(np.stack([_random("noise image", int(c)).random(shape, dtype="f4") for c in cutoffs]))


def shuffle_pixels(images: torch.Tensor) -> torch.Tensor:
    """(B, V, 3, G, G): the same pixels at other places, one permutation for all images and channels."""
    order = torch.from_numpy(_random("shuffled pixels", 0).permutation(images.shape[-1] ** 2)).to(images.device)
    return images.flatten(-2)[..., order].reshape(images.shape)


def shuffled_sensors(n_sensors: int) -> np.ndarray:
    """(N,) int64: whose readings are painted at each sensor's place. A single cycle, so that no sensor keeps its own."""
    ring = _random("shuffled sensors", 0).permutation(n_sensors)
    order = np.empty(n_sensors, "i8")
    order[ring] = np.roll(ring, 1)
    return order


def foreign_cutoff(cutoff: int, lookback: int, horizon: int, n_steps: int) -> int:
    """Another window, whose steps overlap with those of `cutoff` nowhere.

    It is drawn at random from the earlier ones, so that no prompt tells of the future; the first windows of a series, which
    have none before them, get one of the next.

    Args:
        cutoff: first step that is forecast. lookback, horizon: L, H in steps. n_steps: of the series.
    """
    away = lookback + horizon
    rng = _random("foreign prompt", cutoff)
    if cutoff - away >= lookback:
        return int(rng.integers(lookback, cutoff - away + 1))
    return min(cutoff + away + int(rng.integers(away)), n_steps)


def _random(name: str, number: int) -> np.random.Generator:
    return np.random.default_rng([*name.encode(), number])
