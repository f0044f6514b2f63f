"""A model of a network on which nothing was trained: it forecasts at once, and says how sure it is by replaying the recent past."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from stvlm.anchor.ensemble import Anchor, ensemble_weights
from stvlm.anchor.zero_shot import zero_shot_anchor
from stvlm.core.seasonality import find_seasons
from stvlm.core.series import Moment, SensorSeries
from stvlm.core.windows import Split, steps_in, thin
from stvlm.modalities.batch import InputBuilder
from stvlm.model.head import MEDIAN
from stvlm.model.losses import calibrated_spread, shrunk
from stvlm.model.pretrained import BUNDLED, SharedWeights, places_of, with_shared_weights
from stvlm.model.stvlm import STVLM, set_spread
from stvlm.runtime.cache import LRUCache
from stvlm.training.fit import FitConfig, make_model
from stvlm.training.trainer import SHRINKAGES

STEPS_AHEAD = 12  # of a forecast for which nobody says how far
MOST_WINDOWS = 100  # of the recent past that the bands are learnt from
BAND_CELLS, BAND_WINDOWS = 60_000, 16  # windows times sensors that bands are learnt from, at most, and windows, at least
FRESH = 5  # of so many parts of the past, the last one is replayed
CELLS = 15_000  # windows times sensors that are replayed with the network, at most
FEWEST_WINDOWS = 8  # that say what the network is worth
_CORES = LRUCache(1)  # the weights that models share
KNOWN = 0.2  # share of the sensors from which on a network is one that the weights were trained on


@dataclass(frozen=True)
class ShrinkageGate:
    """How far the shared network is believed.

    Attributes:
        shrinkage: share of its shift that counts, 0 for none. mae, anchor_mae: on the replayed windows, in the unit; None: not replayed.
    """

    shrinkage: float = 0.0
    mae: float | None = None
    anchor_mae: float | None = None


@dataclass(frozen=True, eq=False)
class ZeroShotState:
    """What a zero-shot model knows of its network alone, some kilobytes: the rest are weights that all of them share.

    Attributes:
        asked: all that it depends on, as a key. stop: only the steps before it were looked at. anchor: of the network.
        shrinkage: share of the shift that counts. spread: (Q, H) of the bands. manifest: of the model. shared: folder of the weights.
    """

    asked: Hashable
    stop: int
    anchor: Anchor
    shrinkage: float
    spread: np.ndarray
    manifest: dict
    shared: Path

    def model(self, series: SensorSeries) -> STVLM:
        """The model, which shares its weights with every other one made here: never train it in place.

        Args:
            series: that of `tell`.

        Raises:
            OSError, ValueError: no such folder, or a damaged one.
        """
        stamp = (self.shared / "model.safetensors").stat().st_mtime_ns
        core = _CORES.get((self.shared, stamp), lambda: SharedWeights.load(self.shared).model(series, self.anchor, 0, self.stop))
        model = with_shared_weights(core, series, self.anchor, 0, self.stop)
        model.shrinkage.fill_(self.shrinkage)
        set_spread(model, self.spread)
        model.manifest = self.manifest
        return model


def fit_state(
    series: SensorSeries,
    stop: int,
    lookback: int,
    horizon: int,
    seasons_minutes: tuple[int, ...] | None = None,
    shared: Path = BUNDLED,
) -> ZeroShotState:
    """What replaying the past says, without the weights; arguments and errors are those of `zero_shot`."""
    model = zero_shot(series, stop, lookback, horizon, seasons_minutes, shared)
    asked = series.fingerprint, stop, lookback, horizon, seasons_minutes, shared
    return ZeroShotState(asked, stop, model.anchor, float(model.shrinkage), model.spread.numpy(), model.manifest, shared)


def zero_shot(
    series: SensorSeries,
    stop: int,
    lookback: int,
    horizon: int,
    seasons_minutes: tuple[int, ...] | None = None,
    shared: Path | None = BUNDLED,
) -> STVLM:
    """A model that forecasts a network it was never trained on.

    Its anchor is that of `unfitted_anchor`; the weights of its network were trained on other networks. The last fifth of the past, up to
    its last reading, is replayed: it says how far the network is believed (`open_shared`), and how wide the bands are.

    Args:
        series: readings; only the steps before `stop` are looked at. lookback, horizon: L, H in steps.
        seasons_minutes: lengths of the seasons; None: found in the past.
        shared: folder of weights that were trained on many networks; None, or where nothing is there: the anchor alone.

    Raises:
        ValueError: too few steps before `stop` for one window, no reading among them, a `stop` past the end, or a damaged folder.
    """
    if stop > series.n_steps:
        raise ValueError(
            f"A forecast begins right after the {series.n_steps} steps that there are at the latest, not at step {stop}."
        )
    if seasons_minutes is None and stop >= lookback + horizon:
        seasons_minutes = find_seasons(series.screened.values, series.local_times, 0, stop, series.step_seconds)
    anchor = zero_shot_anchor(series, 0, stop, lookback, horizon, seasons_minutes or ())
    cutoffs, gate, is_known = replayed(series, 0, stop, lookback, horizon), ShrinkageGate(), False
    if shared is not None and shared.is_dir():
        weights = SharedWeights.load(shared)
        model, gate = open_shared(weights, series, anchor, 0, stop)
        is_known = was_trained_on(weights, series)
    else:
        model = _closed(series, anchor, max(int(cutoffs[0]), 1), stop)
    builder = InputBuilder(series, anchor, model.config.inputs, model.backbone.count_tokens)
    if model.is_anchor:
        builder.config = replace(builder.config, modalities=("series",))
    shown = thin(cutoffs, max(BAND_CELLS // series.network.n_sensors, BAND_WINDOWS))
    set_spread(model, calibrated_spread(model.eval(), builder, shown, torch.device("cpu")))
    mae = anchor.choice["val_mae"]
    model.manifest = {
        "sensors": list(series.network.ids), "quantity": series.quantity, "unit": series.unit, "network_taken": not model.is_anchor,
        "anchor": anchor.choice, "believed": asdict(gate) | {"is_known": is_known},
        "scores": {"val_mae": gate.mae or mae, "anchor_val_mae": gate.anchor_mae or mae},
    }  # fmt: skip
    return model


def zero_shot_at(
    series: SensorSeries,
    cutoff: Moment | None = None,
    horizon: int | str | None = None,
    lookback: int | None = None,
    seasons_minutes: tuple[int, ...] | None = None,
) -> STVLM:
    """`zero_shot` for the forecast that begins at a time.

    Args:
        series: readings; only those before the cutoff are looked at.
        cutoff: first time that is forecast; None: right after the last reading.
        horizon: steps, or a length as in `steps_in`; None: up to STEPS_AHEAD steps.
        lookback: past steps of a window; None: twice the horizon.
        seasons_minutes: as in `zero_shot`.

    Raises:
        ValueError: as `zero_shot`, or no such time or length.
    """
    steps = steps_in(horizon, series.step_seconds) if horizon else min(STEPS_AHEAD, max(series.n_steps // 30, 1))
    stop = series.n_steps if cutoff is None else series.step_at(cutoff)
    return zero_shot(series, stop, lookback or max(2 * steps, 2), steps, seasons_minutes)


def replayed(series: SensorSeries, start: int, stop: int, lookback: int, horizon: int) -> np.ndarray:
    """(W,) cutoffs of the last fifth of the steps start .. stop - 1, up to the last reading; W > 0."""
    told = (
        int(np.flatnonzero(np.isfinite(series.screened.values[start:stop]).any(axis=1))[-1]) + 1 + start
    )  # a silent end tells nothing
    end = max(told, start + lookback + horizon)
    fresh = max(start + lookback, min(end - (end - start) // FRESH, end - horizon))
    return thin(np.arange(fresh, end - horizon + 1), MOST_WINDOWS)


def open_shared(weights: SharedWeights, series: SensorSeries, anchor: Anchor, start: int, stop: int) -> tuple[STVLM, ShrinkageGate]:
    """A model with shared weights, believed as far as replaying the recent past of its network says.

    More and less of its shift (none: the anchor alone) are blended by their errors on the replayed windows; nothing is trained. No window
    that is forecast was replayed.

    Args:
        weights: of many networks. series: of which the steps start .. stop - 1 are looked at. anchor: of the series.
    """
    model = weights.model(series, anchor, start, stop)
    builder = InputBuilder(series, anchor, model.config.inputs, model.backbone.count_tokens)
    cutoffs = replayed(series, start, stop, anchor.frame.lookback, anchor.frame.horizon)
    gate = _gate(model, builder, thin(cutoffs, max(CELLS // series.network.n_sensors, FEWEST_WINDOWS)))
    model.shrinkage.fill_(gate.shrinkage)
    return model, gate


def was_trained_on(weights: SharedWeights, series: SensorSeries) -> bool:
    """Whether the weights were trained on this network, by where its sensors stand: then its scores would say nothing of other networks."""
    trained = set(weights.manifest.get("places", ()))
    return float(np.mean([place in trained for place in places_of(series)])) > KNOWN


@torch.no_grad()
def _gate(model: STVLM, builder: InputBuilder, cutoffs: np.ndarray) -> ShrinkageGate:
    """How much of the shift counts, by windows whose futures are known; nothing with fewer than FEWEST_WINDOWS.

    Forecasts with more and more of the shift are blended as the anchor blends its own (`anchor.blend.blend`): half by the lowest error,
    half by how sure that is. The blend of shifts is one shift.
    """
    shrinkages, made, truth = (0.0, *SHRINKAGES), [], []
    model.shrinkage.fill_(1.0)
    for block in builder.blocks(cutoffs):
        inputs = builder.build(block)
        output = model(inputs)
        made.append(torch.stack([model.quantiles(shrunk(output, share), inputs, (MEDIAN,))[0] for share in shrinkages]).numpy())
        truth.append(inputs.target.numpy())
    forecasts, wanted = np.concatenate(made, axis=1), np.concatenate(truth)  # (S, W, H, N), (W, H, N)
    told = np.isfinite(wanted).any(axis=(1, 2))
    if told.sum() < FEWEST_WINDOWS:
        return ShrinkageGate()
    forecasts, wanted = forecasts[:, told], wanted[told]
    length = model.config.lookback + model.config.horizon
    shares, _ = ensemble_weights(list(forecasts), wanted, cutoffs[told], length, None)
    shrinkage = float(np.dot(shares, shrinkages))
    mixed = np.tensordot(np.array(shares, "f4"), forecasts, axes=1)
    mae, anchor_mae = (float(np.nanmean(np.abs(one - wanted), dtype="f8")) for one in (mixed, forecasts[0]))
    return ShrinkageGate(shrinkage, mae, anchor_mae) if mae < anchor_mae else ShrinkageGate(0.0, anchor_mae, anchor_mae)


def _closed(series: SensorSeries, anchor: Anchor, fresh: int, stop: int) -> STVLM:
    """A model without shared weights: its network is untrained, and stays closed."""
    frame = anchor.frame
    config = FitConfig(frame.lookback, frame.horizon, device="cpu", max_steps=0)
    model, _ = make_model(series, config, Split(0, fresh, stop, stop, series.n_steps), anchor)
    model.shrinkage.fill_(0.0)
    return model
