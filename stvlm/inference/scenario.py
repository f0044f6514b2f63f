"""A window with something changed → another forecast: what would be foreseen if a sensor were down, or the text told of a crash."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from stvlm.core.forecast import LEVELS, MODALITIES, Forecast
from stvlm.core.network import EARTH_RADIUS_KM, SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.inference.predict import check_window, recent_calibrator, without_modality
from stvlm.modalities.batch import InputBuilder, check_perturbation
from stvlm.modalities.text.facts import Names
from stvlm.model.stvlm import STVLM
from stvlm.runtime.json_settings import parse_json

LONGEST_EVENT, LONGEST_PROMPT = 140, 2000  # characters
MOST_DROPPED = 40  # sensors chosen one by one
FARTHEST_KM = 500.0
MOST_NOISE = 300  # %
SPREAD_STEPS = 2000  # readings before the cutoff that say how much a sensor usually varies
COLUMN = "incident"  # of the context, where it has no column of texts


@dataclass(frozen=True)
class Scenario:
    """What is other than it was. Nothing by default.

    Attributes:
        without: modalities taken away.
        event: news, written into the context at the last step before the cutoff; the prompt's template tells of it.
        prompt: the whole prompt instead of the one that the template makes; "" leaves that.
        dropped: ids of sensors that are silent during the lookback.
        moved: id of a sensor that stands elsewhere, "" for none; east_km, north_km: how far.
        noise: random noise on the readings of the lookback, in % of what each sensor usually varies by (its standard deviation).
        spoilt: a name of DISTURBANCES, by which image or prompt is spoilt; "" for none.

    Raises:
        ValueError: a value out of bounds, in plain words.
    """

    without: tuple[str, ...] = ()
    event: str = ""
    prompt: str = ""
    dropped: tuple[str, ...] = ()
    moved: str = ""
    east_km: float = 0.0
    north_km: float = 0.0
    noise: int = 0
    spoilt: str = ""

    def __post_init__(self) -> None:
        if unknown := set(self.without) - set(MODALITIES):
            raise ValueError(f"Only {', '.join(MODALITIES)} can be taken away, not {', '.join(map(str, unknown))}.")
        if len(self.event) > LONGEST_EVENT or len(self.prompt) > LONGEST_PROMPT:
            raise ValueError(f"News may have {LONGEST_EVENT} characters, a prompt {LONGEST_PROMPT}.")
        if len(self.dropped) > MOST_DROPPED:
            raise ValueError(f"At most {MOST_DROPPED} sensors can be dropped at once.")
        if not all(math.isfinite(km) and abs(km) <= FARTHEST_KM for km in (self.east_km, self.north_km)):
            raise ValueError(f"A sensor can be moved by at most {FARTHEST_KM:.0f} km.")
        if not 0 <= self.noise <= MOST_NOISE:
            raise ValueError(f"Noise is 0 to {MOST_NOISE} %, not {self.noise}.")
        check_perturbation(self.spoilt)

    @property
    def is_nothing(self) -> bool:
        """Whether all stays as it was."""
        return replace(self, moved=self.moved if self.east_km or self.north_km else "", east_km=0.0, north_km=0.0) == Scenario()

    @property
    def word(self) -> str:
        """The change as one short text, for an address: "{}" for none."""
        plain = Scenario()
        held = {name: value for name, value in asdict(self).items() if value != getattr(plain, name)}
        return json.dumps(held, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def of(cls, word: str) -> Scenario:
        """The change that `word` stands for.

        Raises:
            ValueError: another text.
        """
        held = parse_json(word)
        kinds: dict[str, type] = {field.name: type(field.default) for field in fields(cls)}
        if not isinstance(held, dict) or not set(held) <= set(kinds):
            raise ValueError("The text holds no change.")
        values: dict[str, Any] = {}
        for name, value in held.items():
            kind = kinds[name]
            value = tuple(value) if kind is tuple and isinstance(value, list) else value  # JSON has lists only
            value = float(value) if kind is float and type(value) is int and abs(value) <= FARTHEST_KM else value
            texts = value if isinstance(value, tuple) else ()
            if type(value) is not kind or not all(isinstance(v, str) for v in texts):
                raise ValueError(f"{name} of a change has another kind of value.")
            values[name] = value
        return cls(**values)


@dataclass(frozen=True, eq=False)
class ScenarioResult:
    """What came of a change.

    Attributes:
        past: (L, N) float32 in the unit, the readings as the model saw them; NaN = missing. forecast: from them.
        images: (V, 3, G, G) float32 in 0 … 1 that the model saw, or None. prompt: the text that it read, "" for none.
        named: sensors (nodes) of which the prompt speaks.
    """

    past: np.ndarray
    forecast: Forecast
    images: np.ndarray | None
    prompt: str
    named: tuple[int, ...]


@torch.no_grad()
def forecast_scenario(model: STVLM, window: Window, change: Scenario) -> ScenarioResult:
    """Forecast a window with a change; with none, exactly what `predict` forecasts.

    Args:
        model: trained on this network. window: of the model's lookback; its horizon may be shorter than the model's.

    Raises:
        ValueError: as `predict`; a sensor that is not there; a prompt of more tokens than the model reads.
    """
    model.eval()
    changed = apply(check_window(model, window), change)
    builder = model.builder(changed.series)
    if change.spoilt:
        spoilt = replace(model.config.inputs, disturb=change.spoilt)
        builder = InputBuilder(changed.series, model.anchor, spoilt, model.backbone.count_tokens)
    inputs = builder.build(np.array([window.cutoff])).to(next(model.parameters()).device)
    if change.prompt and inputs.prompts is not None:
        used, budget = model.backbone.count_tokens(change.prompt), model.config.inputs.prompt.max_tokens
        if used > budget:
            raise ValueError(f"This prompt has {used} tokens; the model reads {budget}. Shorten it.")
        inputs = replace(inputs, prompts=(change.prompt,), mentions=(builder.mentions(change.prompt),))
    for modality in change.without:
        inputs = without_modality(model, inputs, modality)
    values = model.quantiles(model(inputs), inputs)[:, 0].float().cpu().numpy()
    tracker = recent_calibrator(
        model, window.series, window.cutoff
    )  # what was missed before is the same with and without the change
    values = tracker.calibrate(window.cutoff, values)[:, : window.horizon]
    series = changed.series
    times, name = changed.future_times, "anchor" if model.is_anchor else "stvlm"
    return ScenarioResult(
        past=changed.past.copy(),
        forecast=Forecast(series.network, series.quantity, series.unit, name, times, LEVELS, values, series.timezone),
        images=None if inputs.images is None else inputs.images[0].float().cpu().numpy(),
        prompt="" if inputs.prompts is None else inputs.prompts[0],
        named=() if inputs.mentions is None else tuple(sorted({m.node for m in inputs.mentions[0]})),
    )


def apply(window: Window, change: Scenario) -> Window:
    """The window with other readings, places and news; what the model sees of it is left to `imagine`.

    Raises:
        ValueError: a sensor that is not there.
    """
    series = window.series
    for identity in (*change.dropped, *filter(None, [change.moved])):
        if identity not in series.network.ids:
            raise ValueError(f"There is no sensor {identity!r} in this network.")
    if change.dropped or change.noise:
        series = replace(series, values=_readings(window, change))
    if change.moved and (change.east_km or change.north_km):
        series = replace(series, network=move_sensor(series.network, change.moved, change.east_km, change.north_km))
    if change.event.strip():
        series = replace(series, context=_told(series, window.cutoff - 1, change.event.strip()))
    return replace(window, series=series)


def move_sensor(network: SensorNetwork, identity: str, east_km: float, north_km: float) -> SensorNetwork:
    """The same network with one sensor elsewhere on the sphere; its roads (adjacency) stay."""
    node = network.ids.index(identity)
    lat, lon = network.lat.copy(), network.lon.copy()
    degrees = np.degrees(1 / EARTH_RADIUS_KM)
    lat[node] = np.clip(lat[node] + north_km * degrees, -89.9, 89.9)
    lon[node] = (lon[node] + east_km * degrees / np.cos(np.radians(lat[node])) + 180) % 360 - 180
    return replace(network, lat=lat, lon=lon)


def typical_spread(window: Window) -> np.ndarray:
    """(N,) float32 in the unit: standard deviation of each sensor's readings before the cutoff; 0 where there are none."""
    past = window.series.screened.values[max(0, window.cutoff - SPREAD_STEPS) : window.cutoff]
    seen = np.isfinite(past)
    count = np.maximum(seen.sum(axis=0), 1)
    filled = np.where(seen, past, 0).astype("f8")
    mean = filled.sum(axis=0) / count
    return np.sqrt((np.where(seen, filled - mean, 0) ** 2).sum(axis=0) / count).astype("f4")


def _readings(window: Window, change: Scenario) -> np.ndarray:
    """(T, N) float32: the readings with noise and silence in the lookback."""
    series = window.series
    values = series.values.copy()
    past = slice(window.cutoff - window.lookback, window.cutoff)
    if change.noise:
        drawn = np.random.default_rng([window.cutoff, 7]).standard_normal(values[past].shape).astype("f4")
        noisy = values[past] + change.noise / 100 * typical_spread(window) * drawn
        is_below_zero = bool((values[max(0, window.cutoff - SPREAD_STEPS) : window.cutoff] < 0).any())
        values[past] = noisy if is_below_zero else np.maximum(noisy, 0)
    values[past, [series.network.ids.index(i) for i in change.dropped]] = np.nan
    return values


def _told(series: SensorSeries, step: int, event: str) -> pd.DataFrame:
    """The context with news at one step, before what stands there."""
    context = pd.DataFrame(index=range(series.n_steps)) if series.context is None else series.context.copy()
    column = next(iter(event_columns(series)), COLUMN if COLUMN not in context else f"{COLUMN} text")
    if column not in context:
        context[column] = pd.Series("", index=context.index, dtype="object")
    cells = context[column].astype("object").to_numpy(copy=True)
    before = "" if pd.isna(cells[step]) else str(cells[step]).strip()
    cells[step] = f"{event}; {before}" if before else event
    context[column] = cells
    return context


def named_in(network: SensorNetwork, text: str) -> tuple[int, ...]:
    """Sensors (nodes) of which a text speaks: those whose name or id stands in it."""
    return tuple(sorted({mention.node for mention in Names(network).find(text)}))


def event_columns(series: SensorSeries) -> tuple[str, ...]:
    """Columns of the context that hold texts of what has happened, of which a prompt tells as news."""
    if series.context is None:
        return ()
    numeric = pd.api.types.is_numeric_dtype
    columns = [c for c in series.context.columns if not numeric(series.context[c]) and c not in series.known_ahead]
    return tuple(c for c in columns if "holiday" not in c.lower())
