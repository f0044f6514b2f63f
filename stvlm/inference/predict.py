"""Model + window → forecast and explanation."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import torch

from stvlm.calibration.online import OnlineCalibrator
from stvlm.core.forecast import LEVELS, MODALITIES, Forecast, FusionExplanation
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.modalities.batch import InputBuilder, ModelInputs
from stvlm.modalities.image.raster import SpatialRaster
from stvlm.modalities.image.views import ImageConfig, legend, paint_views
from stvlm.modalities.text.prompt import Prompt, describe_window
from stvlm.model.fusion import series_alone
from stvlm.model.grad_accumulation import retry_smaller_on_oom
from stvlm.model.head import MEDIAN
from stvlm.model.stvlm import STVLM, ModelOutput
from stvlm.runtime.cache import LRUCache
from stvlm.runtime.memory import forecast_bytes, need

# Windows that are forecast again to learn how wide the bands of one forecast must be: one every H / RECENT_PER_HORIZON steps, so many
# of them, and so many cells where the network has to run.
RECENT_WINDOWS, RECENT_CELLS, RECENT_PER_HORIZON = 32, 40_000, 6
FORECASTS, FORECAST_BYTES = 512, 200_000_000  # kept of each model: the next cutoff asks for most of them again
_FORECASTS: WeakKeyDictionary[STVLM, LRUCache] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class VisibleInputs:
    """What a model sees of one window.

    Attributes:
        images: (V, 3, G, G) float32 in 0 … 1, the very tensor that the backbone gets; None without vision.
        prompt: text with its budget; None without text. tokens: the prompt cut at its token borders.
        raster: where each pixel lies on earth.
    """

    images: np.ndarray | None
    prompt: Prompt | None
    tokens: tuple[str, ...]
    raster: SpatialRaster


def predict(model: STVLM, window: Window) -> Forecast:
    """Forecast one window; its bands follow what lately was missed.

    Args:
        model: trained on this network. window: of the model's lookback; its horizon may be shorter than the model's.

    Raises:
        ValueError: another network, another lookback, a longer horizon than the model was trained for, or too little memory.
    """
    return predict_together(model, [window])[0]


def predict_together(model: STVLM, windows: Sequence[Window]) -> list[Forecast]:
    """Forecast some windows in one batch, each as `predict` does alone.

    Args:
        model, windows: as of `predict`; the windows are of one series.

    Raises:
        ValueError: as `predict`, or windows of several series.
    """
    series = windows[0].series
    if any(window.series.fingerprint != series.fingerprint for window in windows):
        raise ValueError("Windows that are forecast together must be of one series.")
    cutoffs, builder = [check_window(model, window).cutoff for window in windows], _builder(model, series)
    _forecasts(model, series, [int(c) for cutoff in cutoffs for c in _recent(model, series, cutoff)], builder)  # all in one go
    made = _quantiles(model, builder, np.array(cutoffs))  # apart from those: a window alone has the same bits whatever was kept
    found = []
    for place, (window, cutoff) in enumerate(zip(windows, cutoffs, strict=True)):
        own = made[:, place].copy()
        _kept_of(model).get((_state(model, series), cutoff), partial(np.asarray, own))  # it is recent for the cutoffs after it
        values = recent_calibrator(model, series, cutoff, builder).calibrate(cutoff, own)[:, : window.horizon]
        about = series.quantity, series.unit, "stvlm", window.future_times, LEVELS
        found.append(Forecast(series.network, *about, values, series.timezone))
    return found


def recent_calibrator(model: STVLM, series: SensorSeries, cutoff: int, builder: InputBuilder | None = None) -> OnlineCalibrator:
    """What the windows before a cutoff have taught about the bands, from readings before it.

    Some recent windows are forecast again, none of which the model was trained on: where all were, the bands stay as the validation
    part has set them.

    Args:
        model: trained on this network. series: readings. cutoff: of the window whose bands are wanted. builder: of batches of this
            model and this series, where there is one.
    """
    tracker = OnlineCalibrator(series.screened.values, model.config.horizon, model.anchor.floor, _recent_stride(model))
    recent = [int(begin) for begin in _recent(model, series, cutoff)]
    for begin, made in zip(recent, _forecasts(model, series, recent, builder), strict=True):
        tracker.calibrate(begin, made)
    return tracker


def _recent_stride(model: STVLM) -> int:
    """Steps between two windows that are forecast again."""
    return max(1, model.config.horizon // RECENT_PER_HORIZON)


def _recent(model: STVLM, series: SensorSeries, cutoff: int) -> np.ndarray:
    """(K,) cutoffs of the windows before one that are forecast again for its bands."""
    horizon, stride = model.config.horizon, _recent_stride(model)
    trained = list(series.network.ids) == model.manifest.get("sensors") and "split" in model.manifest
    first = max(model.config.lookback, _trained_until(model, series) if trained else 0)
    count = min(RECENT_WINDOWS, max(cutoff - first, 0) // stride)
    if not model.is_anchor:
        count = min(count, RECENT_CELLS // (horizon * series.network.n_sensors))
    return cutoff - stride * np.arange(count, 0, -1)


def _trained_until(model: STVLM, series: SensorSeries) -> int:
    """Step of the series up to which the model was trained: by the clock, for readings may begin earlier or later than they did then."""
    replay = model.anchor.replay
    if replay is None:
        return model.manifest["split"]["train_end"]
    return -((int(series.times[0].astype("int64")) - replay.first_second) // series.step_seconds)


def _forecasts(model: STVLM, series: SensorSeries, cutoffs: Sequence[int], builder: InputBuilder | None) -> list[np.ndarray]:
    """(Q, H, N) of each cutoff; what is not kept from before is made in one go."""
    state = _state(model, series)

    def make(missing: list[tuple[Hashable, int]]) -> list[np.ndarray]:
        made = _quantiles(model, builder or _builder(model, series), np.array([begin for _, begin in missing]))
        return [made[:, w].copy() for w in range(len(missing))]

    return _kept_of(model).get_many([(state, cutoff) for cutoff in cutoffs], make)


def _kept_of(model: STVLM) -> LRUCache:
    """Forecasts (Q, H, N) of a model by its state and the cutoff, as long as there is that model."""
    return _FORECASTS.setdefault(model, LRUCache(FORECASTS, FORECAST_BYTES))


def _state(model: STVLM, series: SensorSeries) -> Hashable:
    """What the forecast of a cutoff depends on: the readings, the anchor, and the weights as they are now."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    return series.fingerprint, model.anchor, hash(tuple((id(tensor), tensor._version) for tensor in tensors))


def predict_many(model: STVLM, series: SensorSeries, cutoffs: np.ndarray) -> np.ndarray:
    """Forecast many windows of one series, with bands as the validation part has set them.

    Args:
        model: trained on this network. series: readings. cutoffs: (W,), each with the model's lookback before it.

    Returns:
        (Q, W, H, N) float32 in the unit of the series, quantiles LEVELS.

    Raises:
        ValueError: another network, missing context columns, or a cutoff with too little past.
    """
    cutoffs = np.asarray(cutoffs)
    if len(cutoffs) and (cutoffs.min() < model.config.lookback or cutoffs.max() > series.n_steps):
        raise ValueError(f"Cutoffs must lie between {model.config.lookback} and {series.n_steps} steps.")
    return _quantiles(model, _builder(model, series), cutoffs)


def _builder(model: STVLM, series: SensorSeries) -> InputBuilder:
    """Batches of a series for a forecast; without images and words where none can move it.

    Raises:
        MemoryShortError: less memory is free than the forecast of so many sensors takes.
    """
    n = series.network.n_sensors
    need(forecast_bytes(n), f"A forecast of {n:,} sensors", "Forecast a part of the network at a time, or free some memory.")
    builder = model.builder(series)
    if model.is_anchor:
        builder.config = replace(builder.config, modalities=("series",))
    return builder


@torch.no_grad()
def _quantiles(model: STVLM, builder: InputBuilder, cutoffs: np.ndarray) -> np.ndarray:
    """(Q, W, H, N) float32: the forecasts at cutoffs (W,), fewer windows at once where memory runs out."""
    model.eval()
    device = next(model.parameters()).device
    blocks: list[np.ndarray] = []

    def rest(size: int) -> None:
        while (start := sum(block.shape[1] for block in blocks)) < len(cutoffs):
            inputs = builder.build(cutoffs[start : start + size]).to(device)
            output = _unmoved(inputs) if model.is_anchor else model(inputs)
            blocks.append(model.quantiles(output, inputs).float().cpu().numpy())

    _, builder.block_size = retry_smaller_on_oom(rest, builder.block_size, device)
    shape = (len(LEVELS), 0, model.config.horizon, builder.series.network.n_sensors)
    return np.concatenate(blocks, axis=1) if blocks else np.zeros(shape, "f4")


def _unmoved(inputs: ModelInputs) -> ModelOutput:
    """What a model that was not taken returns, without running it."""
    still = torch.zeros_like(inputs.anchor)
    return ModelOutput(still, still, still, series_alone(inputs.series))


def check_window(model: STVLM, window: Window) -> Window:
    """The window, where it suits the model.

    Raises:
        ValueError: another lookback, or a longer horizon than the model was trained for.
    """
    if window.lookback != model.config.lookback or window.horizon > model.config.horizon:
        raise ValueError(
            f"This model sees {model.config.lookback} steps and forecasts up to {model.config.horizon}; "
            f"the window has {window.lookback} and {window.horizon}."
        )
    return window


def model_inputs(model: STVLM, window: Window, views: tuple[str, ...] | None = None, silent: tuple[int, ...] = ()) -> VisibleInputs:
    """What the model sees of a window: images, prompt and where the pixels lie.

    Args:
        model: trained on this network. window: as in `predict`. views: images to paint instead of the model's own.
        silent: nodes that the images leave out, as if they had sent nothing in the lookback; the prompt is as it was.
    """
    builder = model.builder(check_window(model, window).series)
    cutoffs = np.array([window.cutoff])
    numbers = builder.numbers(cutoffs)
    inputs = builder.batch(cutoffs, numbers)
    if (views is not None or silent) and inputs.images is not None:
        past, observed = (torch.from_numpy(np.ascontiguousarray(numbers[name])).clone() for name in ("past", "observed"))
        past[..., list(silent)], observed[..., list(silent)] = 0, False
        image = model.config.inputs.image
        images = paint_views(builder.raster, past, observed, image if views is None else replace(image, views=views))
        inputs = replace(inputs, images=images)
    prompt = None
    if inputs.prompts is not None:
        full = Window(window.series, window.cutoff, model.config.lookback, model.config.horizon)
        prompt = describe_window(full, model.config.inputs.prompt, model.backbone.count_tokens)
    return VisibleInputs(
        None if inputs.images is None else inputs.images[0].numpy(),
        prompt,
        () if prompt is None else model.backbone.token_texts(prompt.text),
        builder.raster,
    )


@torch.no_grad()
def explain(model: STVLM, window: Window, deletion: bool = True, head: int | None = None) -> FusionExplanation:
    """What the forecast of a window drew on, and how it changes without each modality.

    Args:
        model: trained on this network. window: as in `predict`.
        deletion: also forecast again without each modality that the model has.
        head: attention head of the fusion whose shares and attention are told; None: the mean over all.

    Raises:
        ValueError: as `predict`.
    """
    series, n = check_window(model, window).series, window.series.network.n_sensors
    model.eval()
    builder = model.builder(series)
    inputs = builder.build(np.array([window.cutoff])).to(next(model.parameters()).device)
    output = model(inputs, explain=torch.arange(n, device=inputs.series.device), head=head)
    fused, side = output.fusion, model.backbone.grid_side(model.config.inputs.image.size)
    images, by_view = _image_attention(fused.image_attention[0].float().cpu().numpy(), model.config.inputs.image, side)
    tokens = () if inputs.prompts is None else model.backbone.token_texts(inputs.prompts[0])
    changes = {}
    if deletion:
        whole = model.quantiles(output, inputs, (MEDIAN,))[0, 0]
        for modality in model.config.inputs.modalities:
            changes[modality] = (_median_without(model, inputs, modality) - whole)[: window.horizon].cpu().numpy()
    return FusionExplanation(
        network=series.network,
        times=window.future_times,
        unit=series.unit,
        modality_weights=fused.modality_weights[0].float().cpu().numpy(),
        image_bounds=builder.raster.bounds,
        image_attention=images,
        tokens=tokens,
        text_attention=fused.text_attention[0, :, : len(tokens)].float().cpu().numpy(),
        sensor_attention=fused.sensor_attention[0].float().cpu().numpy(),
        deletion={m: changes[m] for m in MODALITIES if m in changes},
        prompt="" if inputs.prompts is None else inputs.prompts[0],
        view_attention=by_view,
    )


def modality_shares(model: STVLM, series: SensorSeries, cutoffs: np.ndarray) -> np.ndarray:
    """(K, N, 3) float32: shares of vision, text, series in the fusion of K windows; rows sum to 1.

    Args:
        model: trained on this network. series: its readings. cutoffs: (K,) steps.
    """
    model.eval()
    builder, device, found = model.builder(series), next(model.parameters()).device, []
    with torch.no_grad():
        for part in np.array_split(np.asarray(cutoffs), max(1, len(cutoffs) // 8)):
            found.append(model(builder.build(part).to(device)).fusion.modality_weights.float().cpu().numpy())
    return np.concatenate(found)


def _image_attention(attention: np.ndarray, config: ImageConfig, side: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Attention to the image tokens, on the map and by view.

    Args:
        attention: (N, V g g) rows that sum to 1, or (N, 0) without images. config: views. side: g.

    Returns:
        on_map: (N, g, g) of the views whose patches have a place on earth. by_view: view -> (N,).
    """
    on_map = np.zeros((len(attention), side, side), "f4")
    if not attention.shape[1]:
        return on_map, {}
    views = attention.reshape(len(attention), len(config.views), side, side)
    for v, view in enumerate(legend(config)):
        on_map += views[:, v] if view.is_georeferenced else 0
    return on_map, {name: views[:, v].sum(axis=(1, 2)) for v, name in enumerate(config.views)}


def without_modality(model: STVLM, inputs: ModelInputs, modality: str) -> ModelInputs:
    """The batch with one modality taken away; without the series the anchor is the usual reading at that time."""
    less = inputs.without(modality)
    if modality == "series":
        less = replace(less, anchor=model.anchor.frame.transform.inverse(inputs.base))
    return less


def _median_without(model: STVLM, inputs: ModelInputs, modality: str) -> torch.Tensor:
    """(H, N): the median with one modality taken away."""
    less = without_modality(model, inputs, modality)
    return model.quantiles(model(less), less, (MEDIAN,))[0, 0]
