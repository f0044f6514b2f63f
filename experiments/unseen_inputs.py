"""A batch with places among the sensors: of a place nothing was read, so its token is empty but for where it lies and its anchor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from stvlm.core.series import SensorSeries
from stvlm.modalities.batch import InputBuilder, InputConfig, ModelInputs
from stvlm.modalities.image.raster import on_image
from stvlm.spatial.interpolation import InterpolationModel, Interpolator, WeightScheme, mixing_weights
from stvlm.spatial.locations import Locations

if TYPE_CHECKING:
    from stvlm.anchor.ensemble import Anchor

USUAL = WeightScheme("distance", nearest=6, power=2.0)  # carries profile and scale, the frame of a place's departures
PLACE_COLUMNS = 17  # at the end of the series features: sine and cosine of the place, and the spread


class PlacedBuilder(InputBuilder):
    """Builds batches of N sensors followed by M places; images and prompts show the sensors alone.

    Args:
        series: readings of the N sensors. anchor: their closed-form forecaster. sites: the M places. placement: how forecasts are
            carried to them. train_end: readings before this step tell levels. config, count_tokens, prompts: as in InputBuilder.
        truth: (T, M) readings at the places, the target of a training; None where they are not known.
    """

    def __init__(
        self,
        series: SensorSeries,
        anchor: Anchor,
        sites: Locations,
        placement: InterpolationModel,
        train_end: int,
        config: InputConfig,
        count_tokens: Callable[[str], int],
        truth: np.ndarray | None = None,
        prompts: dict[int, str] | None = None,
    ) -> None:
        super().__init__(series, anchor, config, count_tokens, prompts)
        network = series.network
        self.placer = Interpolator(placement, network, sites, self.series.values[:train_end])
        self.truth, self.sites = truth, sites
        self._usual = mixing_weights(USUAL, network, sites).astype("f4")  # (M, N)
        scale = anchor.frame.scale
        self.scale = np.concatenate([scale, self._usual @ scale])  # (N + M,)
        lat, lon = np.concatenate([network.lat, sites.lat]), np.concatenate([network.lon, sites.lon])
        self.places = torch.tensor(on_image(self.raster.bounds, lat, lon), dtype=torch.float32)  # (N + M, 2)

    def numbers(self, cutoffs: np.ndarray, anchor: Anchor | None = None) -> dict[str, np.ndarray]:
        """As of InputBuilder with the places after the sensors, but for `past` and `observed`; only places have a target."""
        known = super().numbers(cutoffs, anchor)
        frame = (anchor or self.anchor).frame
        n, there = known["anchor"].shape[-1], self.placer(known["anchor"])
        base, scale = known["base"] @ self._usual.T, self.scale[n:]
        centre = np.clip((frame.transform.forward(there) - base) / scale, -12, 12).astype("f4")
        target = np.full_like(there, np.nan)
        steps = cutoffs[:, None] + np.arange(self.horizon)
        if self.truth is not None:
            inside = steps[:, -1] < len(self.truth)
            target[inside] = self.truth[steps[inside]]
        both = {"anchor": there, "base": base.astype("f4"), "centre": centre}
        series = np.concatenate([known["series"], self._features(known["series"], centre)], axis=1)
        series[..., -PLACE_COLUMNS:-1] = 0  # coordinates name the few places there are, and would be learnt by heart
        return known | {
            "series": series,
            **{name: np.concatenate([known[name], mine], axis=-1) for name, mine in both.items()},
            "target": np.concatenate([np.full_like(known["target"], np.nan), target], axis=-1),
        }

    def _features(self, series: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """(W, M, F) features of the places: no past and nothing observed; calendar and context as for every sensor of a window.

        Args:
            series: (W, N, F) of the sensors, as `series_features` lays them out. centre: (W, H, M).
        """
        w, _, n_features = series.shape
        view, m = self.view, len(self.sites.lat)
        first = 2 * view.lookback + len(view.lags) * view.horizon + (3 if view.context_steps > view.lookback else 0)
        out = np.zeros((w, m, n_features), "f4")
        out[..., first : first + view.horizon] = centre.swapaxes(1, 2)
        shared = slice(first + view.horizon, n_features - PLACE_COLUMNS)
        out[..., shared] = series[:, :1, shared]
        out[..., -1] = np.log(self.scale[-m:] / np.median(self.scale[:-m]))
        return out

    def images(self, cutoffs: np.ndarray, numbers: dict[str, np.ndarray]) -> torch.Tensor:
        """(B, V, 3, G, G): what is painted of the sensors that are read."""
        past, observed = (torch.from_numpy(np.ascontiguousarray(numbers[name])) for name in ("past", "observed"))
        return self._images(cutoffs, past, observed)

    def batch(self, cutoffs: np.ndarray, numbers: dict[str, np.ndarray]) -> ModelInputs:
        """The batch of windows whose `numbers` are at hand."""
        return replace(super().batch(cutoffs, numbers), scale=torch.from_numpy(self.scale))
