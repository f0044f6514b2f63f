"""Many windows → one batch: images, prompts, series features, anchor and truth together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from stvlm.anchor.ensemble import Anchor
from stvlm.core.forecast import MODALITIES
from stvlm.core.outliers import comparable
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.modalities.image.raster import on_image
from stvlm.modalities.image.views import ImageConfig, build_raster, n_views, paint_views
from stvlm.modalities.series import SeriesConfig, location_features, scaled_context, series_features
from stvlm.modalities.text.facts import Mention, Names
from stvlm.modalities.text.prompt import PromptConfig, describe_window

# Perturbations for ablations: the input is spoilt in one way while all else stays.

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


CELLS = 40_000  # sensors times windows that run at once


@dataclass(frozen=True)
class InputConfig:
    """What a model sees of a window.

    Attributes:
        modalities: some of vision, text, series. image, prompt, series: how each is made.
        disturb: a name of DISTURBANCES by which images or prompts are spoilt on purpose, or "".
        on_image: sensors lie where the image shows them. False: in half extents of the network, as models before it were trained; the
            image is a little wider, so that there a sensor lay beside its own patch.
    """

    modalities: tuple[str, ...] = MODALITIES
    image: ImageConfig = field(default_factory=ImageConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    series: SeriesConfig = field(default_factory=SeriesConfig)
    disturb: str = ""
    on_image: bool = False

    def __post_init__(self) -> None:
        check_perturbation(self.disturb)


@dataclass(frozen=True, eq=False)
class ModelInputs:
    """One batch, on one device.

    Attributes:
        series: (B, N, F) float32 features of the series tokens; all zero without the modality.
        places: (N, 2) float32 east and north, -1 … 1 over the image.
        anchor: (B, H, N) float32 the anchor's forecast, in the unit of the readings.
        centre: (B, H, N) float32 the same as scaled departures; base: (B, H, N) the profile on the working scale.
        scale: (N,) float32 spread of the departures, on the working scale.
        images: (B, V, 3, G, G) in 0 … 1, or None. prompts: B texts, or None. mentions: which of their words speak of which sensor.
        target: (B, H, N) float32 truth in the unit, NaN = left out; None where it is not known.
        doubtful: (B, N) bool, sensors with far outliers in the lookback, which the anchor alone forecasts; None where there are none.
    """

    series: torch.Tensor
    places: torch.Tensor
    anchor: torch.Tensor
    centre: torch.Tensor
    base: torch.Tensor
    scale: torch.Tensor
    images: torch.Tensor | None
    prompts: tuple[str, ...] | None
    mentions: tuple[tuple[Mention, ...], ...] | None = None
    target: torch.Tensor | None = None
    doubtful: torch.Tensor | None = None

    def to(self, device: torch.device | str) -> ModelInputs:
        """The same batch on another device; to a GPU from pinned memory, beside the work there."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        if torch.device(device).type == "cuda":
            pinned = {name: value if value.is_cuda else value.pin_memory() for name, value in tensors.items()}
            return replace(self, **{name: value.to(device, non_blocking=True) for name, value in pinned.items()})
        return replace(self, **{name: value.to(device) for name, value in tensors.items()})

    def rows(self, start: int, stop: int) -> ModelInputs:
        """The windows from `start` up to `stop` of the batch."""
        windows = {name: value for name, value in vars(self).items() if name not in ("places", "scale") and value is not None}
        return replace(self, **{name: value[start:stop] for name, value in windows.items()})

    def without(self, modality: str) -> ModelInputs:
        """The same batch with one modality taken away. Without the series the anchor too falls back to the profile."""
        if modality == "vision":
            return replace(self, images=None)
        if modality == "text":
            return replace(self, prompts=None, mentions=None)
        return replace(self, series=torch.zeros_like(self.series), centre=torch.zeros_like(self.centre))


class InputBuilder:
    """Builds batches from one series for one model; holds what is the same for every window.

    Args:
        series: the readings, of which far outliers are left out. anchor: fitted on them. config: what the model sees. count_tokens: of its
            backbone.
        prompts: by cutoff, where they were written before with the same settings; more are added as they are written.
    """

    def __init__(
        self,
        series: SensorSeries,
        anchor: Anchor,
        config: InputConfig,
        count_tokens: Callable[[str], int],
        prompts: dict[int, str] | None = None,
    ) -> None:
        self.lookback, self.horizon = anchor.frame.lookback, anchor.frame.horizon
        self._outliers, series = series.outliers, series.screened
        self.series, self.anchor, self.config = series, anchor, config
        self.views = anchor.views(series)
        self.view = self.views.of[0]  # of the frame
        self.context = scaled_context(series, config.series)
        self.raster = build_raster(series.network, config.image)
        network = series.network
        own = on_image(self.raster.bounds, network.lat, network.lon) if config.on_image else location_features(self.view)
        self.places = torch.tensor(own, dtype=torch.float32)
        self._count_tokens = count_tokens
        self._prompts = {} if prompts is None else prompts
        self._mentions: dict[str, tuple[Mention, ...]] = {}
        self.block_size = int(np.clip(CELLS // network.n_sensors, 1, 64))  # less where memory turns out to be short

    def numbers(self, cutoffs: np.ndarray, anchor: Anchor | None = None) -> dict[str, np.ndarray]:
        """Everything of many windows but images and prompts, as arrays with the windows first.

        Args:
            cutoffs: (W,). anchor: the forecaster these windows must see (a training fold's), else the fitted one.
        """
        anchor = anchor or self.anchor
        frame, view = anchor.frame, self.view
        steps = cutoffs[:, None] + np.arange(self.horizon)
        base = frame.profile.at(view.seconds[steps])  # (W, H, N)
        forecast = anchor.forecast_from(self.views, cutoffs)
        centre = np.clip((frame.transform.forward(forecast) - base) / frame.scale, -12, 12).astype("f4")
        past, observed = view.past(cutoffs, frame.profile, frame.scale)
        features = series_features(view, frame, cutoffs, centre, past, observed, self.context, self.config.series)
        target = np.full_like(forecast, np.nan)
        known = steps[:, -1] < self.series.n_steps
        target[known] = comparable(self.series.values[steps[known]])
        return {
            "series": features,
            "anchor": forecast,
            "centre": centre,
            "base": base,
            "past": past,
            "observed": observed,
            "target": target,
            **({"doubtful": self._doubtful(cutoffs)} if len(self._outliers) else {}),
        }

    def _doubtful(self, cutoffs: np.ndarray) -> np.ndarray:
        """(W, N) bool: sensors that have far outliers in the lookback of windows (W,)."""
        steps, nodes = self._outliers.T
        found = np.zeros((len(cutoffs), self.series.network.n_sensors), bool)
        first, stop = (np.searchsorted(steps, edge) for edge in (cutoffs - self.lookback, cutoffs))
        for row, cells in enumerate(zip(first, stop, strict=True)):
            found[row, nodes[slice(*cells)]] = True
        return found

    def batch(self, cutoffs: np.ndarray, numbers: dict[str, np.ndarray], shown: tuple[str, ...] | None = None) -> ModelInputs:
        """The batch of windows whose `numbers` are at hand; with the modalities `shown`, None for all that the model sees."""
        tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in numbers.items()}
        past, observed = tensors.pop("past"), tensors.pop("observed")
        shown = self.config.modalities if shown is None else shown
        if "series" not in shown:
            tensors["series"] = torch.zeros_like(tensors["series"])
        prompts = tuple(self.prompt(int(c)) for c in cutoffs) if "text" in shown else None
        return ModelInputs(
            places=self.places,
            scale=torch.from_numpy(self.anchor.frame.scale),
            images=self._images(cutoffs, past, observed) if "vision" in shown else None,
            prompts=prompts,
            mentions=None if prompts is None else tuple(self.mentions(text) for text in prompts),
            **tensors,
        )

    def _images(self, cutoffs: np.ndarray, past: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        """(B, V, 3, G, G): the painted views, spoilt where the settings say so."""
        disturb, image = self.config.disturb, self.config.image
        if disturb == "noise image":
            return noise_images(cutoffs, n_views(image), image.size)
        if disturb == "shuffled sensors":
            order = torch.from_numpy(shuffled_sensors(past.shape[-1]))
            past, observed = past[..., order], observed[..., order]
        images = paint_views(self.raster, past, observed, image)
        return shuffle_pixels(images) if disturb == "shuffled pixels" else images

    def blocks(self, cutoffs: np.ndarray) -> Iterator[np.ndarray]:
        """Cutoffs in blocks small enough to run at once."""
        for start in range(0, len(cutoffs), self.block_size):
            yield cutoffs[start : start + self.block_size]

    def build(self, cutoffs: np.ndarray) -> ModelInputs:
        """The batch of windows at cutoffs (B,)."""
        cutoffs = np.asarray(cutoffs)
        return self.batch(cutoffs, self.numbers(cutoffs))

    def prompt(self, cutoff: int) -> str:
        """The prompt of one window, within the token budget; kept, for windows come again in training."""
        if self.config.disturb == "constant prompt":
            return CONSTANT_PROMPT
        if self.config.disturb == "foreign prompt":
            cutoff = foreign_cutoff(cutoff, self.lookback, self.horizon, self.series.n_steps)
        if cutoff not in self._prompts:
            window = Window(self.series, cutoff, self.lookback, self.horizon)
            self._prompts[cutoff] = describe_window(window, self.config.prompt, self._count_tokens).text
        return self._prompts[cutoff]

    @cached_property
    def _names(self) -> Names:
        return Names(self.series.network)

    def mentions(self, text: str) -> tuple[Mention, ...]:
        """Which words of a text speak of which sensor; kept, for texts come again in training."""
        if text not in self._mentions:
            self._mentions[text] = self._names.find(text)
        return self._mentions[text]
