"""Model + windows → one FitStep after another: anchor first, then the network as a departure from it."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from stvlm import __version__
from stvlm.anchor.ensemble import Anchor
from stvlm.anchor.fit import fit_anchor
from stvlm.core.forecast import MODALITIES
from stvlm.core.seasonality import find_seasons
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split, few_shot, since_block
from stvlm.modalities.batch import InputBuilder, InputConfig
from stvlm.modalities.image.views import ImageConfig
from stvlm.modalities.series import SeriesConfig
from stvlm.modalities.text.prompt import PromptConfig
from stvlm.model import backbone as backbones
from stvlm.model import distributed
from stvlm.model.adapters import choose_strategy
from stvlm.model.pretrained import BUNDLED, SharedWeights
from stvlm.model.stvlm import STVLM, ModelConfig
from stvlm.training import checkpoint as checkpoints
from stvlm.training.trainer import CHECKPOINT_EVERY, CHECKPOINT_SECONDS, FitConfig, Training

OF_THE_WEIGHTS = (  # settings that shared weights bring with them
    "backbone", "n_layers", "tuning", "modalities", "views", "image_size", "template", "fusion", "others", "glimpse", "disturb",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class FitStep:
    """Where a training stands.

    Attributes:
        phase: "anchor", "train", "calibrate" or "done". step, total: steps made and planned.
        loss: of the last step, in units of the readings' mean spread; None before the first.
        val_mae: last validation score; best_val_mae: best so far; anchor_val_mae: the anchor's; all in the unit, or None.
        seconds, eta_seconds: since the start, and expected until the end. device: that does the work.
        message: in plain words. model: the finished model, in the last step only. ranks: of each low-rank part, at the steps at
            which they are shared out anew, else None.
    """

    phase: str
    step: int
    total: int
    loss: float | None = None
    val_mae: float | None = None
    anchor_val_mae: float | None = None
    best_val_mae: float | None = None
    seconds: float = 0.0
    eta_seconds: float | None = None
    device: str = "cpu"
    message: str = ""
    model: STVLM | None = None
    ranks: dict[str, int] | None = None


def fit(
    series: SensorSeries,
    config: FitConfig,
    checkpoint: Path | None = None,
    anchor: Anchor | None = None,
    prompts: dict[int, str] | None = None,
    numbers: dict[str, np.ndarray] | None = None,
) -> Iterator[FitStep]:
    """Train a model on the training part of a series, step by step.

    Step 0 is the anchor. The network is shrunk towards it and taken only where the validation score improves by `min_gain`;
    else the model forecasts as its anchor does.

    Args:
        series: the readings. config: settings. checkpoint: folder to resume from and to save the state of the training in.
        anchor: one that was fitted on the same data with the same settings; None: it is fitted first.
        prompts: by cutoff, where they were written before with the same settings. numbers: `Training.numbers` of such a training.

    Yields:
        FitStep; the last one carries the model.

    Raises:
        ValueError: settings or data with which nothing can be trained.
    """
    started = time.monotonic()
    me = distributed.process_group()
    device = me.device or pick_device(config.device)
    split = split_of(series, config)
    shared = shared_weights(config)
    backbone = None if shared else load_backbone(config)  # before the long work: it may not be here
    if anchor is None:
        yield FitStep("anchor", 0, 0, device=str(device), message="Fitting the closed-form anchor.")
        anchor = fit_anchor(series, split, config.lookback, config.horizon, seasons_of(series, config, split), config.context_steps)
    model, builder = make_model(since_block(series, split), config, split, anchor, prompts, backbone, shared)
    model.to(device)
    training = Training(model, builder, config, split, device, numbers)
    state = checkpoints.read(checkpoint) if checkpoint else None
    if state is not None:
        training.restore(state)
    spent, saved = training.seconds, started

    def where(phase: str, message: str = "", model: STVLM | None = None) -> FitStep:
        training.seconds = seconds = spent + time.monotonic() - started
        eta = (training.total - training.step) * seconds / training.step if training.step and phase == "train" else None
        scores = training.loss, training.val_mae, training.anchor_mae, training.best_mae
        return FitStep(
            phase, training.step, training.total, *scores, seconds, eta, str(device), message, model, training.ranks_now
        )  # fmt: skip

    if training.step == 0:
        training.validate()
    while True:
        yield where("train", training.message)
        out_of_time = config.max_minutes is not None and training.seconds > config.max_minutes * 60 * 0.85
        if distributed.broadcast_decision(training.step >= training.total or out_of_time or training.hopeless):
            break
        training.advance()
        if checkpoint and me.is_first and (training.step % CHECKPOINT_EVERY == 0 or time.monotonic() - saved > CHECKPOINT_SECONDS):
            checkpoints.write(checkpoint, training.state())
            saved = time.monotonic()
    training.validate()
    yield where("calibrate")
    taken = training.finish()
    model.manifest = manifest(series, config, split, training, taken)
    yield where("done", acceptance_text(training, taken), model.eval().cpu())


def acceptance_text(training: Training, taken: bool) -> str:
    """Whether the network is taken, in plain words."""
    gain = 1 - training.best_mae / training.anchor_mae if training.anchor_mae else 0.0
    if taken:
        return f"The network is taken: validation error {gain:.1%} below the anchor's."
    return (
        f"The network is not taken: it improves the validation error by {max(gain, 0):.1%}, less than {training.needed_gain:.1%}. "
        "The model forecasts as its anchor does."
    )


def pick_device(name: str) -> torch.device:
    """The device that will do the work: "auto" takes cuda, then mps, then cpu.

    Raises:
        ValueError: a device that is not here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(name.split(":")[0], False):
        raise ValueError(f"The device {name!r} is not here; use one of {', '.join(k for k, v in available.items() if v)} or auto.")
    return torch.device(name)


def split_of(series: SensorSeries, config: FitConfig) -> Split:
    """The parts of the series that a training with these settings uses."""
    split = Split.from_shares(series.n_steps, config.split)
    if config.few_shot is not None:
        split = few_shot(split, config.few_shot, series, config.lookback, config.horizon)
    return split


def seasons_of(series: SensorSeries, config: FitConfig, split: Split) -> tuple[int, ...]:
    """Seasons in minutes: those of the settings, else those found in the training part."""
    if config.seasons_minutes is not None:
        return tuple(config.seasons_minutes)
    return find_seasons(series.screened.values, series.local_times, split.train_start, split.train_end, series.step_seconds)


def load_backbone(config: FitConfig) -> backbones.Backbone:
    """The backbone that the settings name, with its weights.

    Raises:
        BackboneError: it is not here, or of a family that is not supported.
    """
    return backbones.load(config.backbone, config.n_layers, config.seed, config.dtype, config.kernel)


def shared_weights(config: FitConfig) -> SharedWeights | None:
    """The weights that a training begins with, learnt on many networks; None: it begins anew.

    Raises:
        ValueError: a folder is named that holds none, or settings that those weights cannot have.
    """
    usual = FitConfig(shared=config.shared)
    other = [name for name in OF_THE_WEIGHTS if getattr(config, name) != getattr(usual, name)]
    if config.shared is None:
        return SharedWeights.load(BUNDLED) if config.few_shot is not None and not other and BUNDLED.is_dir() else None
    if config.shared and other:
        raise ValueError(
            f"Shared weights come with their own settings: leave out {', '.join(other)}, or the weights to start with."
        )
    return SharedWeights.load(Path(config.shared)) if config.shared else None


def make_model(
    series: SensorSeries,
    config: FitConfig,
    split: Split,
    anchor: Anchor,
    prompts: dict[int, str] | None = None,
    backbone: backbones.Backbone | None = None,
    shared: SharedWeights | None = None,
) -> tuple[STVLM, InputBuilder]:
    """The model before its training, and the builder of its batches: without `shared` weights its forecast is the anchor."""
    if shared is not None:
        model = shared.model(series, anchor, split.train_start, split.train_end)
        return model, InputBuilder(series, anchor, model.config.inputs, model.backbone.count_tokens, prompts)
    backbone = backbone or load_backbone(config)
    n_readings = int(np.isfinite(series.values[split.train_start : split.train_end]).sum())
    prompt = PromptConfig(max_tokens=min(config.prompt_tokens, backbone.max_text_tokens))
    if config.template is not None:
        prompt = replace(prompt, template=config.template)
    inputs = InputConfig(
        tuple(m for m in MODALITIES if m in config.modalities),
        ImageConfig(size=config.image_size or backbone.usual_size, views=tuple(config.views)),
        prompt,
        SeriesConfig.fit(series, split.train_start, split.train_end),
        config.disturb,
        on_image=True,
    )
    builder = InputBuilder(series, anchor, inputs, backbone.count_tokens, prompts)
    n_features = builder.numbers(np.array([split.train_start + config.lookback]))["series"].shape[-1]
    settings = ModelConfig(
        config.lookback, config.horizon, n_features, config.backbone, config.n_layers, config.seed, inputs,
        choose_strategy(config.tuning, backbone, n_readings, config.rank), config.fusion, config.others,
        glimpse=config.glimpse and "vision" in config.modalities,
    )  # fmt: skip
    return STVLM(settings, anchor, backbone), builder


def manifest(series: SensorSeries, config: FitConfig, split: Split, training: Training, taken: bool) -> dict:
    """What made a model: settings, data, scores, versions."""
    layer = series.network.base_layer
    return {
        "base_layer": None if layer is None else {"name": layer.title, "fingerprint": layer.fingerprint},
        "sensors": list(series.network.ids), "quantity": series.quantity, "unit": series.unit,
        "fit": asdict(config), "split": asdict(split), "data_sha256": series.fingerprint,
        "scores": {"val_mae": training.best_mae if taken else training.anchor_mae, "anchor_val_mae": training.anchor_mae}
        | training.test_scores(split),
        "adaptive": training.adaptation(), "network_taken": bool(taken), "steps": training.step, "anchor": training.builder.anchor.choice,
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "numpy")}
        | {"stvlm": __version__, "python": platform.python_version()},
    }  # fmt: skip
