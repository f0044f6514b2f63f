"""The network on top of what is carried to unseen places: trained to forecast sensors whose readings it is not shown."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from experiments.unseen_inputs import PlacedBuilder
from stvlm.anchor.fit import training_folds
from stvlm.core.windows import Split, thin
from stvlm.evaluation.methods import FittedMethod, Report
from stvlm.evaluation.unseen_sensors import KNOWN, Hold
from stvlm.modalities.batch import ModelInputs
from stvlm.model.head import MEDIAN
from stvlm.model.losses import shrunk, usual_spread
from stvlm.model.stvlm import STVLM, count_parameters
from stvlm.spatial.interpolation import InterpolationModel, fit_interpolation
from stvlm.spatial.locations import locations_of, spatial_folds
from stvlm.training.fit import make_model, pick_device
from stvlm.training.trainer import MAX_FLOATS, FitConfig, Training

if TYPE_CHECKING:
    from stvlm.anchor.ensemble import Anchor

SETS = 5  # of sensors that are hidden in turn while the network learns
JUDGES = 4  # one of so many seen sensors is hidden from all training, and decides whether the network is taken
STEPS, MIN_GAIN = 300, 0.02  # where nobody says otherwise: with few judges a smaller gain is chance


class HiddenTraining(Training):
    """A training whose targets are hidden sensors: in each batch one set of them, and in validation some that no batch ever had.

    Args:
        model: untrained. builder: of the judges, hidden among the sensors that the network learns from. sets: of sensors hidden in
            turn among those. config, split, device: as in Training.
    """

    def __init__(
        self, model: STVLM, builder: PlacedBuilder, sets: list[PlacedBuilder], config: FitConfig, split: Split, device: torch.device
    ) -> None:
        self.sets, self.by_set = sets, []
        super().__init__(model, builder, config, split, device)

    def _training_numbers(self, split: Split) -> dict[str, np.ndarray]:
        """The windows with each set hidden, each window with the profile that leaves it out; those of the first set."""
        first = self.sets[0]
        per_window = (first.series.network.n_sensors + len(first.sites.lat)) * self.model.config.n_features
        self.cutoffs = thin(self.cutoffs, max(MAX_FLOATS // (per_window * len(self.sets)), 32))
        for builder in self.sets:
            parts = []
            for start, stop, anchor in training_folds(builder.anchor, builder.series, split):
                mine = self.cutoffs[(self.cutoffs >= start) & (self.cutoffs < stop)]
                parts += [builder.numbers(block, anchor) for block in np.array_split(mine, max(1, len(mine) // 256)) if len(block)]
            self.by_set.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        return self.by_set[0]

    def _spread(self) -> np.ndarray:
        """(Q, H): how far hidden sensors usually lie from what is carried to them."""
        return usual_spread(replace(self.sets[0].anchor.frame, scale=self.sets[0].scale), self.numbers)

    def _draw(self) -> ModelInputs:
        """A random batch with one of the sets hidden."""
        which = int(self.generator.integers(len(self.sets)))
        rows = self.generator.choice(len(self.cutoffs), self.config.batch_size, p=self.odds)
        return self.sets[which].batch(self.cutoffs[rows], {name: values[rows] for name, values in self.by_set[which].items()})

    def is_better(self) -> bool:
        """Whether the best weights lower the error of all judges by enough, and of most of them: a gain must not be one sensor's alone."""
        return super().is_better() and self._better_for() > 0.5

    @torch.no_grad()
    def _better_for(self) -> float:
        """Share of the judges whose error the best weights lower."""
        n = self.builder.series.network.n_sensors
        errors = np.zeros((2, len(self.builder.sites.lat)))
        for cutoffs in self.builder.blocks(self.val_cutoffs):
            inputs = self.builder.build(cutoffs).to(self.device)
            output = shrunk(self.model(inputs), self.best_shrinkage)
            median = self.model.quantiles(output, inputs, (MEDIAN,))[0]
            for row, forecast in enumerate((median, inputs.anchor)):
                gap = torch.nan_to_num((forecast - inputs.target)[..., n:].abs())
                errors[row] += gap.sum(dim=(0, 1)).double().cpu().numpy()
        return float((errors[0] < errors[1]).mean())


def network_between(hold: Hold, anchor: Anchor, seconds: float, seed: int, options: dict[str, Any], report: Report) -> FittedMethod:
    """What is carried to sensors that are held out, corrected by a network that learnt to do so on other sensors."""
    started, course = time.perf_counter(), hold.course
    cutoffs = course.cutoffs("val") if len(course.cutoffs("val")) else course.cutoffs("train")
    placement = fit_interpolation(anchor, course.series, cutoffs, course.split.train_end, KNOWN)
    settings = (
        {"max_steps": STEPS, "min_gain": MIN_GAIN}
        | options
        | {"lookback": course.lookback, "horizon": course.horizon, "seed": seed}
    )
    config = FitConfig(**{name: value for name, value in settings.items() if name != "few_shot"})
    model, facts = train_hidden(hold, anchor, placement, config, report)
    builder = PlacedBuilder(
        course.series, anchor, hold.sites, placement, course.split.train_end, model.config.inputs, model.backbone.count_tokens
    )
    parameters, trainable = (n + anchor.n_parameters for n in count_parameters(model))
    first, device = course.split.train_start + course.lookback, next(model.parameters()).device
    return FittedMethod(
        "network",
        lambda c: builder.placer.bands(forecast_places(model, builder, c)),
        parameters,
        trainable,
        seconds + time.perf_counter() - started,
        device.type,
        first,
        facts,
    )


@torch.no_grad()
def forecast_places(model: STVLM, builder: PlacedBuilder, cutoffs: np.ndarray) -> np.ndarray:
    """(W, H, M) float32: medians at the places, in the unit of the readings."""
    device, n, blocks = next(model.parameters()).device, builder.series.network.n_sensors, []
    for block in builder.blocks(cutoffs):
        inputs = builder.build(block).to(device)
        blocks.append(model.quantiles(model(inputs), inputs, (MEDIAN,))[0, ..., n:].float().cpu().numpy())
    return np.concatenate(blocks)


def train_hidden(
    hold: Hold, anchor: Anchor, placement: InterpolationModel, config: FitConfig, report: Report
) -> tuple[STVLM, dict[str, Any]]:
    """A network that forecasts places, learnt from the seen sensors alone; and how it went."""
    series, split = hold.course.series, hold.course.split
    device = pick_device(config.device)
    judges = spatial_folds(series.network, JUDGES)[0]
    learners = np.setdiff1d(np.arange(series.network.n_sensors), judges)
    model, plain = make_model(series, config, split, anchor)
    model.to(device)
    prompts: dict[int, str] = {}

    def hide(places: np.ndarray, among: np.ndarray) -> PlacedBuilder:
        keep = np.setdiff1d(among, places)
        sites = locations_of(series.network, places, keep, KNOWN)
        return PlacedBuilder(
            series.select(keep), replace(anchor.select(keep), replay=None), sites, placement, split.train_end, plain.config,
            model.backbone.count_tokens, series.values[:, places], prompts,
        )  # fmt: skip

    sets = [
        hide(learners[mine], learners) for mine in spatial_folds(series.network.select(learners), min(SETS, len(learners) // 2))
    ]
    training = HiddenTraining(model, hide(judges, np.arange(series.network.n_sensors)), sets, config, split, device)
    started = time.monotonic()
    training.validate()
    while training.step < training.total and not training.hopeless:
        if config.max_minutes is not None and time.monotonic() - started > config.max_minutes * 60 * 0.85:
            break
        training.advance()
        report(
            f"Training a network on hidden sensors, seed {config.seed}: step {training.step} of {training.total}",
            0.1 + 0.8 * training.step / training.total,
        )
    training.validate()
    taken = training.finish()
    facts = {
        "taken": bool(taken),
        "steps": training.step,
        "val_mae": float(training.best_mae),
        "anchor_val_mae": float(training.anchor_mae),
    }
    return model.eval(), facts | {"seconds_training": round(time.monotonic() - started, 1)}
