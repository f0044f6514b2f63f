"""The whole model: backbone, first-layer fusion, series tokens and quantile head around the anchor."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from stvlm.anchor import serialize as anchor_files
from stvlm.anchor.ensemble import Anchor
from stvlm.calibration.conformal import NARROWEST
from stvlm.core.forecast import LEVELS
from stvlm.core.series import SensorSeries
from stvlm.modalities.batch import InputBuilder, InputConfig, ModelInputs
from stvlm.modalities.image.views import VIEWS, ImageConfig
from stvlm.modalities.series import SeriesConfig, fourier, from_slots
from stvlm.modalities.text.facts import Mention
from stvlm.modalities.text.prompt import PromptConfig
from stvlm.model import backbone as backbones
from stvlm.model import serialize
from stvlm.model.adapters import AdapterConfig, adapt
from stvlm.model.block_attention import sensor_order
from stvlm.model.fusion import FirstLayerFusion, FusionOutput, series_alone
from stvlm.model.head import QuantileHead, departures_of_levels

FORMAT = 1
GLIMPSE = 3  # places a side
FUSION_PLACES = ("first", "middle", "last")


@dataclass(frozen=True)
class ModelConfig:
    """What a model was made with; travels in its folder.

    Attributes:
        lookback, horizon: L, H in steps. n_features: F of the series tokens.
        backbone: name. n_layers: decoder layers kept, None for all. seed: of a random backbone and of the new parts.
        inputs: what it sees. adapter: how the backbone was tuned. fusion: decoder layer that fuses.
        others: whether a sensor learns of the others by their "series" tokens, or by the "image" (and words) alone.
        dropout: of the series tokens. slots: of the horizon, where the layout is the one that all networks share; 0: one for each step.
        glimpse: whether each token also holds what the images show just where its sensor stands.
    """

    lookback: int
    horizon: int
    n_features: int
    backbone: str = "tiny"
    n_layers: int | None = None
    seed: int = 0
    inputs: InputConfig = field(default_factory=InputConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    fusion: str = "first"
    others: str = "series"
    dropout: float = 0.2
    glimpse: bool = False
    slots: int = 0


@dataclass(frozen=True, eq=False)
class ModelOutput:
    """One forward pass: the forecast as departures from the anchor, and the fusion behind it.

    Attributes:
        shift, log_low, log_high: (B, H, N) as QuantileHead returns them, the shift already shrunk.
        fusion: tokens, shares, and attention where asked for.
    """

    shift: torch.Tensor
    log_low: torch.Tensor
    log_high: torch.Tensor
    fusion: FusionOutput


class STVLM(nn.Module):
    """A vision-language model that forecasts every sensor of a network as a departure from a closed-form anchor.

    Args:
        config: settings. anchor: the fitted closed-form forecaster. backbone: with its weights.
    """

    def __init__(self, config: ModelConfig, anchor: Anchor, backbone: backbones.Backbone) -> None:
        super().__init__()
        self.config, self.anchor, self.backbone = config, anchor, backbone
        self.manifest: dict = {}
        size = backbone.hidden_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.token = nn.Sequential(
                nn.Linear(config.n_features, 2 * size), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(2 * size, size)
            )
            self.fusion = FirstLayerFusion(size, backbone.n_heads)
            self.image_place = nn.Linear(16, size, bias=False)
            nn.init.zeros_(self.image_place.weight)
            self.head = QuantileHead(size, config.slots or config.horizon, backbone.attended_size)
            if config.glimpse:
                self.glimpse = nn.Linear(glimpse_size(config.inputs.image), size, bias=False)
                nn.init.zeros_(self.glimpse.weight)
        adapt(backbone, config.adapter, self.fusion, config.inputs.modalities, config.seed)
        self.register_buffer("spread", torch.zeros(len(LEVELS), config.horizon))
        self.register_buffer("shrinkage", torch.ones(()))
        side = backbone.grid_side(config.inputs.image.size)
        steps = (torch.arange(side) + 0.5) / side * 2 - 1
        centre = torch.stack([steps.repeat(side), -steps.repeat_interleave(side)], dim=-1)  # (g g, 2), row 0 in the north
        self.register_buffer("patch_places", centre.float(), persistent=False)
        georeferenced = [VIEWS[name].is_georeferenced for name in config.inputs.image.views]
        self.register_buffer("has_place", torch.tensor(georeferenced).float(), persistent=False)  # (V,)

    @property
    def is_anchor(self) -> bool:
        """Whether the network was not accepted on the validation part, so that forecasts are the anchor's."""
        return float(self.shrinkage) == 0

    @property
    def fusion_layer(self) -> int:
        """Place of the decoder layer that fuses."""
        n = len(self.backbone.layers)
        return {"first": 0, "middle": n // 2, "last": n - 1}[self.config.fusion]

    def forward(self, inputs: ModelInputs, explain: torch.Tensor | None = None, head: int | None = None) -> ModelOutput:
        """Fuse and forecast.

        Args:
            inputs: one batch. explain: (K,) sensors whose attention is wanted, or None. head: of the fusion, of which shares and
                attention are told; None: the mean over the heads.
        """
        token = self.token(inputs.series)  # (B, N, D)
        if not len(self.backbone.layers):
            n_text = 0 if inputs.prompts is None else max(map(self.backbone.count_tokens, inputs.prompts))
            return self._output(token, token, series_alone(token, n_text, explain), inputs)
        image = image_places = text = text_mask = text_spots = None
        if inputs.images is not None:
            if self.config.glimpse:
                token = token + self.glimpse(glimpses(inputs.images, inputs.places, self.has_place))
            image = self.backbone.embed_images(inputs.images)  # (B, V g g, D)
            views = image.shape[1] // len(self.patch_places)
            place = torch.as_tensor(fourier(self.patch_places.cpu().numpy()), dtype=image.dtype, device=image.device)
            has_place = self.has_place.repeat_interleave(len(self.patch_places))[:, None]  # (V g g, 1)
            image = image + self.image_place(place).repeat(views, 1) * has_place.to(image)
            image_places = torch.cat([self.patch_places.repeat(views, 1), has_place], dim=-1)
        if inputs.prompts is not None:
            ids, text_mask = (t.to(token.device) for t in self.backbone.tokenize(list(inputs.prompts)))
            text = self.backbone.embed_text(ids)  # (B, S, D)
            if inputs.mentions is not None:
                text_spots = text_places(self.backbone, inputs.prompts, inputs.mentions, inputs.places, ids.shape[1])
        hidden, fused, n_images = token, None, 1 if inputs.images is None else inputs.images.shape[1]
        order = None if self.config.others == "image" else sensor_order(inputs.places)
        for i, layer in enumerate(self.backbone.layers):
            if i == self.fusion_layer:
                fused = self.fusion(
                    self.backbone, layer, hidden, inputs.places, image, image_places, text, text_mask, explain, text_spots,
                    n_images, self.config.others == "image", order, head,
                )  # fmt: skip
                hidden = fused.tokens
            else:
                alone = hidden.flatten(0, 1)[:, None] if self.config.others == "image" else hidden  # (B N, 1, D) or (B, N, D)
                hidden = self.backbone.run(layer, alone, order).reshape(hidden.shape)
        return self._output(self.backbone.final_norm(hidden), token, fused, inputs)

    def _output(self, hidden: torch.Tensor, token: torch.Tensor, fused: FusionOutput, inputs: ModelInputs) -> ModelOutput:
        shift, low, high = self.head(hidden, token, fused.drawn)
        if self.config.slots:
            shift, low, high = (from_slots(part, self.config.horizon) for part in (shift, low, high))
        open_ = (self.shrinkage > 0).to(low)  # a network that was not taken says nothing of the bands either
        if inputs.doubtful is not None:
            believed = (~inputs.doubtful[:, None]).to(low)  # (B, 1, N)
            shift, open_ = shift * believed, open_ * believed
        return ModelOutput(shift * self.shrinkage, low * open_, high * open_, fused)

    def quantiles(self, output: ModelOutput, inputs: ModelInputs, levels: tuple[int, ...] | None = None) -> torch.Tensor:
        """(q, B, H, N) in the unit of the readings; with nothing learned the median is the anchor, exactly.

        Args:
            output: of `forward`. inputs: the same batch. levels: which of LEVELS; None for all.
        """
        inverse = self.anchor.frame.transform.inverse
        scale = inputs.scale
        departure = departures_of_levels(output.shift, output.log_low, output.log_high, self.spread, levels)
        start = inverse(inputs.base + scale * inputs.centre)
        moved = inputs.anchor + (inverse(inputs.base + scale * (inputs.centre + departure)) - start)
        if (floor := self.anchor.floor) is None:
            return moved
        # where all of a band lies under the floor, a little of its upper half stays: no band is without width
        median = inputs.anchor + (inverse(inputs.base + scale * (inputs.centre + output.shift)) - start)
        least = floor + NARROWEST * (moved - median).clamp(min=0)
        return torch.where(moved < floor, least, moved).cummax(dim=0).values

    def builder(self, series: SensorSeries) -> InputBuilder:
        """Batches of a series as this model must see them.

        Raises:
            ValueError: a series that the model was not trained for (`serialize.check_series`), or one that lacks context columns.
        """
        serialize.check_series(self.anchor.frame, self.manifest, self.config.inputs.image.views, series)
        return InputBuilder(series, self.anchor, self.config.inputs, self.backbone.count_tokens)

    def save(self, folder: Path, manifest: dict) -> None:
        """Write the model as one folder, all or nothing: config.json, model.safetensors, anchor.safetensors, backbone/, manifest.json.

        Frozen weights of a pretrained backbone are not written; config.json names the base that they come from.
        """
        folder = Path(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".saving-") as name:
            work = Path(name) / "model"
            work.mkdir()
            base = serialize.base_entry(self.backbone, self.config.adapter)
            (work / "config.json").write_text(json.dumps({"format": FORMAT} | asdict(self.config) | base, indent=1))
            (work / "manifest.json").write_text(json.dumps(manifest | base, indent=1, default=str))
            weights = serialize.kept_weights(self, bool(base))
            save_file({k: v.detach().cpu().contiguous() for k, v in weights.items()}, work / "model.safetensors")
            anchor_files.save(self.anchor, work)
            self.backbone.save_config(work / "backbone")
            serialize.put(work, folder)

    @classmethod
    def load(cls, folder: Path, base: str | None = None) -> STVLM:
        """Read a model folder; its forecasts are bit-equal to those of the model that was saved.

        Args:
            folder: that `save` wrote. base: where its pretrained backbone lies now, if not where it was.

        Raises:
            ValueError: not a model folder, a damaged one, one of another format, or one made on another pretrained backbone.
        """
        folder = serialize.find(Path(folder))
        try:
            stored, manifest = serialize.read_folder(folder)
            made_on = stored.pop("base", None)
            config, anchor = config_from_dict(stored), anchor_files.load(folder)
            if (config.lookback, config.horizon) != (anchor.frame.lookback, anchor.frame.horizon):
                raise ValueError(f"{folder} holds a model and an anchor of different lookbacks or horizons.")
            if made_on is None:
                serialize.check_weight_shapes(
                    lambda: cls(config, anchor, backbones.build_empty(folder / "backbone", config.backbone)), folder
                )
                backbone = backbones.build_empty(folder / "backbone", config.backbone)
            else:
                backbone = serialize.load_base(folder, made_on, base or config.backbone, config.n_layers)
            model = cls(config, anchor, backbone)
            serialize.fill(model, serialize.read_weights(folder), made_on is not None)
        except (OSError, KeyError, TypeError, json.JSONDecodeError, SafetensorError, RuntimeError) as error:
            raise ValueError(f"{folder} is not a whole model folder of this version: {error}") from error
        model.manifest = manifest
        return model.eval()


def glimpse_size(config: ImageConfig) -> int:
    """Numbers in a glimpse: three channels of each view at GLIMPSE x GLIMPSE places, near and twice as far."""
    return 3 * len(config.views) * 2 * GLIMPSE**2


def glimpses(images: torch.Tensor, places: torch.Tensor, has_place: torch.Tensor) -> torch.Tensor:
    """What the images show at each sensor and around it, one and two pixels apart.

    Args:
        images: (B, V, 3, G, G) in 0 … 1. places: (N, 2) -1 … 1 to the east and to the north of the images' middle.
        has_place: (V,) 1 where the pixels of a view are places, 0 where they are not.

    Returns:
        (B, N, 3 V 2 GLIMPSE²) in -1 … 1; 0 for views without places.
    """
    b, v, _, side, _ = images.shape
    steps = (torch.arange(GLIMPSE, device=images.device) - GLIMPSE // 2) * (2 / side)
    near = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1).flatten(0, 1)  # (GLIMPSE², 2)
    around = torch.cat([near, 2 * near])  # (K, 2)
    grid = (places * places.new_tensor([1, -1]))[:, None] + around.to(places)  # (N, K, 2): to the east, to the south
    seen = F.grid_sample(images.flatten(1, 2), grid.expand(b, -1, -1, -1), padding_mode="border", align_corners=False)
    seen = (2 * seen - 1).unflatten(1, (v, 3)) * has_place[:, None, None, None]  # (B, V, 3, N, K)
    return seen.permute(0, 3, 1, 2, 4).flatten(2)


def text_places(
    backbone: backbones.Backbone, prompts: Sequence[str], mentions: Sequence[Sequence[Mention]], places: torch.Tensor, width: int
) -> torch.Tensor:
    """Where the words of the prompts lie: a token that speaks of a sensor lies where the sensor lies.

    Args:
        backbone: cuts the prompts into tokens. prompts: B texts. mentions: of each. places: (N, 2). width: S.

    Returns:
        (B, S, 3): x, y, and 1 where a token has a place; 0 elsewhere.
    """
    spots = torch.zeros(len(prompts), width, 3)
    own = places.cpu()
    for row, (prompt, found) in enumerate(zip(prompts, mentions, strict=True)):
        if not found:
            continue
        length = torch.tensor([len(token) for token in backbone.token_texts(prompt)])
        stop = length.cumsum(0)
        start = stop - length
        for mention in found:
            inside = torch.nonzero((start < mention.stop) & (stop > mention.start))[:, 0]
            spots[row, inside, :2] = own[mention.node]
            spots[row, inside, 2] = 1
    return spots.to(places)


def config_from_dict(stored: dict) -> ModelConfig:
    """ModelConfig from what `config.json` holds.

    Raises:
        ValueError: another format. TypeError: unknown settings.
    """
    stored = dict(stored)
    if stored.pop("format", None) != FORMAT:
        raise ValueError(f"The model folder has another format than {FORMAT}; train it again with this version.")
    inputs = dict(stored.pop("inputs"))
    parts = {"image": ImageConfig, "prompt": PromptConfig, "series": SeriesConfig}
    for name, kind in parts.items():
        inputs[name] = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in inputs[name].items()})
    inputs["modalities"] = tuple(inputs["modalities"])
    return ModelConfig(inputs=InputConfig(**inputs), adapter=AdapterConfig(**stored.pop("adapter")), **stored)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(all, trainable) parameters."""
    parameters: Sequence[nn.Parameter] = list(model.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def set_spread(model: STVLM, spread: np.ndarray) -> None:
    """Set how far each quantile usually lies from the median, (Q, H) in scaled departures."""
    model.spread.copy_(torch.as_tensor(spread, dtype=torch.float32))
