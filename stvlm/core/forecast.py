"""What every forecaster and every explanation returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stvlm.core.network import SensorNetwork

if TYPE_CHECKING:
    import geopandas

MODALITIES = ("vision", "text", "series")
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)  # the bands that hold 95, 80 and 50 %, and the median


@dataclass(frozen=True, eq=False)
class Forecast:
    """Quantiles of the coming steps for each sensor.

    Attributes:
        network: N sensors.
        quantity, unit: what is forecast, in which unit.
        name: who made it ("stvlm", "persistence" ...).
        times: (H,) datetime64[s], on the clock of the series.
        levels: Q probabilities, rising, with 0.5 among them.
        values: (Q, H, N) float32 in `unit`, rising along Q; NaN where nothing can be said.
        timezone: as in SensorSeries.

    Raises:
        ValueError: shapes that differ, levels that do not rise or lack 0.5.
    """

    network: SensorNetwork
    quantity: str
    unit: str
    name: str
    times: np.ndarray
    levels: tuple[float, ...]
    values: np.ndarray
    timezone: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.levels), len(self.times), self.network.n_sensors)
        if self.values.shape != shape:
            raise ValueError(f"values must be {shape} (quantiles, steps, sensors), not {self.values.shape}.")
        if list(self.levels) != sorted(set(self.levels)) or 0.5 not in self.levels:
            raise ValueError(f"levels must rise and hold 0.5: {self.levels}.")

    @property
    def median(self) -> np.ndarray:
        """(H, N) float32 in `unit`."""
        return self.values[self.levels.index(0.5)]

    @property
    def shares(self) -> tuple[float, ...]:
        """The bands at hand, as the share that each should hold, narrow first: (0.5, 0.8, 0.95)."""
        return tuple(round(1 - 2 * a, 6) for a in self.levels[: self.levels.index(0.5)][::-1] if round(1 - a, 6) in self.levels)

    def band(self, share: float) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bound, each (H, N) in `unit`, of the central band that should hold `share` of all readings.

        Raises:
            ValueError: where the forecast has no such band.
        """
        low, high = round((1 - share) / 2, 6), round((1 + share) / 2, 6)
        levels = [round(a, 6) for a in self.levels]
        if low not in levels or high not in levels:
            raise ValueError(f"The forecast has no band of {share:.0%}; it has {self.shares}.")
        return self.values[levels.index(low)], self.values[levels.index(high)]

    def to_frame(self) -> pd.DataFrame:
        """H x N rows, ordered by time, then sensor.

        Returns:
            Columns timestamp (datetime64[s]; with the zone UTC where the series knows its zone), sensor_id, value (the median),
            lower_80, upper_80 (float32, in `unit`; NaN where there is no such band).
        """
        n_steps, n_sensors = self.median.shape
        no_band = np.full(self.median.shape, np.nan, dtype="float32")
        lower, upper = self.band(0.8) if 0.8 in self.shares else (no_band, no_band)
        times = pd.DatetimeIndex(np.repeat(self.times.astype("datetime64[s]"), n_sensors))
        return pd.DataFrame(
            {
                "timestamp": times.tz_localize("UTC") if self.timezone else times,
                "sensor_id": pd.array(list(self.network.ids) * n_steps, dtype="str"),
                "value": self.median.ravel().astype("float32"),
                "lower_80": lower.ravel().astype("float32"),
                "upper_80": upper.ravel().astype("float32"),
            }
        )

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """The rows of `to_frame` as points in WGS84, with the columns name (of the sensor), quantity, unit and model."""
        import geopandas

        places = self.network.to_geodataframe().geometry
        names = [self.network.name(node) for node in range(len(places))]
        about = {"name": names * len(self.times), "quantity": self.quantity, "unit": self.unit, "model": self.name}
        return geopandas.GeoDataFrame(self.to_frame().assign(**about), geometry=np.tile(places, len(self.times)), crs=places.crs)


@dataclass(frozen=True, eq=False)
class FusionExplanation:
    """What a forecast drew on, and what happens when that is taken away.

    Attributes:
        network: N sensors.
        times: (H,) datetime64[s] of the forecast explained.
        unit: of `deletion`.
        modality_weights: (N, 3) share of vision, text, series in the fusion; rows sum to 1.
        image_bounds: (west, south, east, north) in degrees of the image and so of `image_attention`.
        image_attention: (N, g, g), north up, row 0 in the north: of the views whose pixels are places on earth. Sums over g x g to
            their share of all image attention, which is 1 where all views are such; all zero without.
        tokens: S texts, the prompt as the model reads it.
        text_attention: (N, S); rows sum to 1; (N, 0) without a prompt.
        sensor_attention: (N, N), row = the sensor that looks; rows sum to 1.
        deletion: modality -> (H, N) change of the median, in `unit`, when that modality is taken away (measured, not derived).
        prompt: the text itself.
        view_attention: view -> (N,) its share of the image attention; the shares sum to 1. Empty without images.
    """

    network: SensorNetwork
    times: np.ndarray
    unit: str
    modality_weights: np.ndarray
    image_bounds: tuple[float, float, float, float]
    image_attention: np.ndarray
    tokens: tuple[str, ...]
    text_attention: np.ndarray
    sensor_attention: np.ndarray
    deletion: dict[str, np.ndarray]
    prompt: str = ""
    view_attention: dict[str, np.ndarray] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """N rows: sensor_id, the weights vision, text and series, and `without_…`, the mean absolute change of the forecast, in `unit`."""
        weights = {name: self.modality_weights[:, place] for place, name in enumerate(MODALITIES)}
        changes = {f"without_{name}": np.abs(change).mean(axis=0) for name, change in self.deletion.items()}
        return pd.DataFrame({"sensor_id": pd.array(list(self.network.ids), dtype="str")} | weights | changes)

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """The rows of `to_frame` as points in WGS84."""
        import geopandas

        places = self.network.to_geodataframe().geometry
        return geopandas.GeoDataFrame(self.to_frame(), geometry=places.array, crs=places.crs)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as the command line writes them and the page offers them.

        Returns:
            `modalities`, then the fields above under their names, but the network as the ids of its `sensors`, and `cutoff`: the
            first of the times, which are ISO 8601. Numbers to 7 decimals, None where a number is not finite.
        """
        return {
            "modalities": list(MODALITIES),
            "modality_weights": _plain(self.modality_weights),
            "image_bounds": _plain(np.asarray(self.image_bounds)),
            "image_attention": _plain(self.image_attention),
            "tokens": list(self.tokens),
            "text_attention": _plain(self.text_attention),
            "deletion": {modality: _plain(change) for modality, change in self.deletion.items()},
            "sensors": list(self.network.ids),
            "cutoff": str(self.times[0]),
            "times": [str(moment) for moment in self.times],
            "unit": self.unit,
            "prompt": self.prompt,
            "view_attention": {view: _plain(share) for view, share in self.view_attention.items()},
            "sensor_attention": _plain(self.sensor_attention),
        }


def _plain(numbers: np.ndarray) -> list[Any]:
    plain = np.asarray(numbers, "f8").round(7).astype("object")
    plain[~np.isfinite(numbers)] = None
    return plain.tolist()
