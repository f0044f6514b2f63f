"""One forecast taken apart for teaching: the tensors on its way, and the numbers by which exercises are judged."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
import torch

from stvlm.core.forecast import Forecast
from stvlm.core.network import SensorNetwork
from stvlm.core.windows import Window
from stvlm.inference.predict import check_window
from stvlm.model.stvlm import STVLM

STILL_READABLE = 0.6  # likeness of two texts from which people take one for a misspelling of the other


@dataclass(frozen=True, eq=False)
class ForwardTrace:
    """The tensors of one window on their way through the model, all float32 unless said otherwise.

    Attributes:
        past: (L, N) in the unit, NaN = missing. scaled: (L, N) departures from the usual in standard deviations, gaps filled.
        observed: (L, N) bool.
        features: (N, F) what a series token is made of.
        image_tokens: (P, D), text_tokens: (S, D), series_tokens: (N, D) as they enter the fusion; P or S is 0 without them.
        fused: (N, D) the series tokens after the fusion.
        anchor: (H, N) in the unit, the closed-form forecast from which the model departs.
        grid_side: g, image tokens a side of one image. pixel: (row, column) of each sensor in the image, (2, N) int64.
    """

    past: np.ndarray
    scaled: np.ndarray
    observed: np.ndarray
    features: np.ndarray
    image_tokens: np.ndarray
    text_tokens: np.ndarray
    series_tokens: np.ndarray
    fused: np.ndarray
    anchor: np.ndarray
    grid_side: int
    pixel: np.ndarray


@torch.no_grad()
def trace_forward(model: STVLM, window: Window) -> ForwardTrace:
    """The tensors of one forecast, caught where they pass.

    Args:
        model: trained on this network. window: of the model's lookback.

    Raises:
        ValueError: as `predict`.
    """
    model.eval()
    builder = model.builder(check_window(model, window).series)
    cutoffs = np.array([window.cutoff])
    numbers = builder.numbers(cutoffs)
    inputs = builder.batch(cutoffs, numbers).to(next(model.parameters()).device)
    entering: dict[str, torch.Tensor] = {}

    def keep(module: torch.nn.Module, arguments: tuple) -> None:
        entering.update(series=arguments[2], image=arguments[4], text=arguments[6])

    handle = model.fusion.register_forward_pre_hook(keep)
    try:
        output = model(inputs)
    finally:
        handle.remove()
    width = output.fusion.tokens.shape[-1]

    def tokens(name: str) -> np.ndarray:
        found = entering.get(name)
        return np.zeros((0, width), "f4") if found is None else found[0].float().cpu().numpy()

    network = window.series.network
    return ForwardTrace(
        past=np.array(window.past),
        scaled=numbers["past"][0],
        observed=numbers["observed"][0],
        features=numbers["series"][0],
        image_tokens=tokens("image"),
        text_tokens=tokens("text"),
        series_tokens=tokens("series"),
        fused=output.fusion.tokens[0].float().cpu().numpy(),
        anchor=numbers["anchor"][0],
        grid_side=model.backbone.grid_side(model.config.inputs.image.size),
        pixel=np.stack(builder.raster.pixel_of(network.lat, network.lon)),
    )


def mean_change(before: Forecast, after: Forecast, sensor: int | None = None) -> float:
    """Mean absolute change of the median over the horizon, in the unit; of one sensor (node), or of all. NaN where none is known."""
    change = np.abs(after.median - before.median)
    change = change if sensor is None else change[:, sensor]
    return float(change[np.isfinite(change)].mean()) if np.isfinite(change).any() else float("nan")


def mean_error(forecast: Forecast, truth: np.ndarray) -> float:
    """Mean absolute error of the median against (H, N) readings in the unit; NaN where none is known."""
    error = np.abs(forecast.median - truth)
    return float(error[np.isfinite(error)].mean()) if np.isfinite(error).any() else float("nan")


def quiz_options(network: SensorNetwork, sensor: int, at_most: int = 4) -> tuple[int, ...]:
    """A sensor (node), its nearest neighbour, one at middle distance and the farthest: who matters most to it?"""
    position = network.position_km
    order = np.argsort(np.hypot(*(position - position[sensor]).T), kind="stable")
    order = np.concatenate([[sensor], order[order != sensor]])  # itself first, even where another stands at the same place
    places = np.unique(np.array([0, 1, len(order) // 2, len(order) - 1]).clip(0, len(order) - 1))
    return tuple(int(order[i]) for i in places[:at_most])


def is_misspelt(text: str, right: str) -> bool:
    """Whether a text is another than the right one, but so like it that people still understand it."""
    a, b = text.casefold().strip(), right.casefold().strip()
    return a != b and SequenceMatcher(None, a, b, autojunk=False).ratio() >= STILL_READABLE
