"""Weights that belong to no network: one set forecasts sensors, steps and units that it never saw."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from stvlm.anchor.ensemble import Anchor
from stvlm.core.series import SensorSeries
from stvlm.modalities.batch import InputBuilder
from stvlm.modalities.series import AHEAD, SeriesConfig, network_descriptors
from stvlm.model import backbone as backbones
from stvlm.model import serialize
from stvlm.model import serialize as folders
from stvlm.model.stvlm import FORMAT, STVLM, ModelConfig, config_from_dict
from stvlm.runtime.assets import asset

BUNDLED = asset("checkpoints", "stvlm-tiny")
OWN = ("spread", "shrinkage")  # what a model knows of its network alone


@dataclass(frozen=True, eq=False)
class SharedWeights:
    """What was learnt from many networks together.

    Attributes:
        config: of the models made of it; lookback, horizon and the network's character are placeholders.
        folder: with the backbone. weights: by name, all but OWN. manifest: how they were trained.
    """

    config: ModelConfig
    folder: Path
    weights: dict[str, torch.Tensor]
    manifest: dict

    @classmethod
    def load(cls, folder: Path) -> SharedWeights:
        """Read what `save` wrote.

        Raises:
            ValueError: not such a folder, or a damaged one.
        """
        folder = folders.find(Path(folder))
        try:
            stored, manifest = serialize.read_folder(folder)
            config, weights = config_from_dict(stored), serialize.read_weights(folder)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ValueError(f"{folder} holds no whole set of shared weights of this version: {error}") from error
        if not config.slots or set(OWN) & weights.keys():
            raise ValueError(f"{folder} holds a model of one network, not weights that networks share.")
        return cls(config, folder, weights, manifest)

    def model(self, series: SensorSeries, anchor: Anchor, start: int, stop: int) -> STVLM:
        """A model of a network, with these weights and its own anchor.

        Args:
            series: the network. anchor: its closed-form forecaster. start, stop: steps that its character is read from.

        Raises:
            ValueError: the folder is damaged.
        """
        config = config_for(self.config, series, anchor, start, stop)
        backbone = backbones.build_empty(self.folder / "backbone", config.backbone)
        model = STVLM(config, anchor, backbone)
        try:
            missing, unknown = model.load_state_dict(self.weights, strict=False)
        except RuntimeError as error:
            raise ValueError(f"{self.folder} holds no whole set of shared weights of this version: {error}") from error
        if set(missing) - set(OWN) or unknown:
            raise ValueError(
                f"{self.folder} holds no whole set of shared weights of this version: {sorted({*missing, *unknown})[:3]}."
            )
        return model.eval()


def config_for(config: ModelConfig, series: SensorSeries, anchor: Anchor, start: int, stop: int) -> ModelConfig:
    """The settings of shared weights for one network."""
    view = anchor.views(series).of[0]
    seen = SeriesConfig(character=network_descriptors(view, anchor.frame, start, stop))
    inputs = replace(config.inputs, series=seen)
    return replace(config, lookback=anchor.frame.lookback, horizon=anchor.frame.horizon, inputs=inputs)


def first_model(config: ModelConfig, series: SensorSeries, anchor: Anchor, start: int, stop: int) -> STVLM:
    """An untrained model in the layout that networks share, made for one network; others follow by `sibling`."""
    config = config_for(replace(config, slots=AHEAD), series, anchor, start, stop)
    backbone = backbones.load(config.backbone, config.n_layers, config.seed)
    builder = InputBuilder(series, anchor, config.inputs, backbone.count_tokens)
    n_features = builder.numbers(np.array([start + anchor.frame.lookback]))["series"].shape[-1]
    return STVLM(replace(config, n_features=n_features), anchor, backbone)


def with_shared_weights(model: STVLM, series: SensorSeries, anchor: Anchor, start: int, stop: int) -> STVLM:
    """A model of another network whose learned weights are those of `model`, the very same: what one learns, all know."""
    other = STVLM.__new__(STVLM)
    other.__dict__ = model.__dict__ | {"_buffers": dict(model._buffers), "manifest": {}}
    other.config = config_for(model.config, series, anchor, start, stop)
    other.anchor = anchor
    other.spread = torch.zeros(len(model.spread), anchor.frame.horizon)
    other.shrinkage = torch.ones(())
    return other


def save(model: STVLM, folder: Path, manifest: dict) -> None:
    """Write what the model shares, all or nothing: config.json, model.safetensors, backbone/, manifest.json."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    config = replace(model.config, inputs=replace(model.config.inputs, series=SeriesConfig(character=())))
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".saving-") as name:
        work = Path(name) / "shared"
        work.mkdir()
        (work / "config.json").write_text(json.dumps({"format": FORMAT} | asdict(config), indent=1))
        (work / "manifest.json").write_text(json.dumps(manifest, indent=1, default=str))
        kept = {n: w.detach().cpu().contiguous() for n, w in model.state_dict().items() if n not in OWN}
        save_file(kept, work / "model.safetensors")
        model.backbone.save_config(work / "backbone")
        folders.put(work, folder)


def places_of(series: SensorSeries) -> list[str]:
    """A short hash of the place of each sensor, to a hundredth of a degree: it tells whether a network was trained on, not where it is."""
    network = series.network
    corners = np.round(np.stack([network.lat, network.lon], axis=1), 2) + 0.0  # no -0.0
    return [hashlib.sha256(f"{lat:.2f} {lon:.2f}".encode()).hexdigest()[:10] for lat, lon in corners]
