"""Which sensors a place is like, seen in the picture: a learned similarity of what lies around two places weighs their forecasts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from experiments.unseen_inputs import PlacedBuilder
from stvlm.anchor.features import Transform, candidates
from stvlm.core.windows import thin
from stvlm.evaluation.methods import FittedMethod, Report
from stvlm.evaluation.unseen_sensors import Hold
from stvlm.modalities.batch import InputConfig
from stvlm.modalities.image.views import ImageConfig
from stvlm.model.stvlm import glimpses
from stvlm.spatial.interpolation import fit_interpolation
from stvlm.spatial.locations import locations_of, spatial_folds

if TYPE_CHECKING:
    from stvlm.anchor.ensemble import Anchor


SIZE, HIDDEN, DROPOUT = 8, 32, 0.1
STEPS, RATE, DECAY, BATCH = 400, 1e-2, 0.02, 4  # of one learning; windows a step
POWER = 2.0  # of inverse distance, to start with
LEAST = 1e-3  # half widths of the image: nearer than that counts as that near


class PictureKernel(nn.Module):
    """Weights of sensors at places: inverse distance, times the exponential of how alike the picture is around both.

    At the start the picture counts for nothing, and the weights are those of inverse distances to the power of 2.

    Args:
        n_glimpse: numbers in a glimpse. scale: on which forecasts are mixed. seed: of the weights.
    """

    def __init__(self, n_glimpse: int, scale: Transform, seed: int = 0) -> None:
        super().__init__()
        self.scale = scale
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.look = nn.Sequential(nn.Linear(n_glimpse, HIDDEN), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, SIZE))
        self.strength = nn.Parameter(torch.zeros(()))
        self.power = nn.Parameter(torch.tensor(POWER))

    def forward(self, glimpse: torch.Tensor, places: torch.Tensor, n_sensors: int) -> torch.Tensor:
        """(B, M, N) weights whose rows sum to 1.

        Args:
            glimpse: (B, N + M, F) of the sensors, then of the places. places: (N + M, 2) on the image. n_sensors: N.
        """
        seen = nn.functional.normalize(self.look(glimpse), dim=-1)
        alike = seen[:, n_sensors:] @ seen[:, :n_sensors].transpose(1, 2)  # (B, M, N) -1 … 1
        far = torch.cdist(places[n_sensors:], places[:n_sensors]).clamp(min=LEAST).log()
        return (10 * self.strength * alike - self.power.clamp(min=0) * far).softmax(dim=-1)

    def mix(self, weights: torch.Tensor, forecast: torch.Tensor) -> torch.Tensor:
        """Forecasts of the sensors (B, H, N) in the unit → of the places (B, H, M), on the scale of the mixing."""
        scaled = torch.from_numpy(np.asarray(self.scale.forward(forecast.numpy()), "f4"))
        return scaled @ weights.transpose(1, 2)


@dataclass(frozen=True, eq=False)
class Lesson:
    """Windows with some sensors hidden among others: glimpses (B, N + M, F), places (N + M, 2), forecasts of the N sensors (B, H, N),
    what is carried to the M without a picture (B, H, M), and the truth there (B, H, M), NaN = missing."""

    glimpse: torch.Tensor
    places: torch.Tensor
    forecast: torch.Tensor
    carried: torch.Tensor
    truth: torch.Tensor


@torch.no_grad()
def lesson(builder: PlacedBuilder, cutoffs: np.ndarray) -> Lesson:
    """What one set of hidden sensors teaches in windows at cutoffs (B,)."""
    n, numbers = builder.series.network.n_sensors, builder.numbers(cutoffs)
    images = builder.images(cutoffs, numbers)
    has_place = torch.ones(images.shape[1])
    anchor, target = torch.from_numpy(numbers["anchor"]), torch.from_numpy(numbers["target"])
    return Lesson(glimpses(images, builder.places, has_place), builder.places, anchor[..., :n], anchor[..., n:], target[..., n:])


def learn_picture(lessons: list[Lesson], scale: Transform, seed: int = 0) -> PictureKernel:
    """Learn the kernel: least absolute errors at the hidden sensors, on the scale of the mixing."""
    kernel = PictureKernel(lessons[0].glimpse.shape[-1], scale, seed)
    optimiser = torch.optim.AdamW(kernel.parameters(), lr=RATE, weight_decay=DECAY, foreach=True)
    random = np.random.default_rng(seed)
    targets = [torch.from_numpy(np.asarray(scale.forward(one.truth.numpy()), "f4")) for one in lessons]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in range(STEPS):
            which = int(random.integers(len(lessons)))
            one, rows = lessons[which], torch.from_numpy(random.integers(len(lessons[which].truth), size=BATCH))
            mixed = kernel.mix(kernel(one.glimpse[rows], one.places, one.forecast.shape[-1]), one.forecast[rows])
            truth = targets[which][rows]
            seen = torch.isfinite(truth)
            loss = (mixed - torch.where(seen, truth, 0))[seen].abs().mean()
            for group in optimiser.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / 20) * 0.5 * (1 + np.cos(np.pi * step / STEPS))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return kernel.eval()


@torch.no_grad()
def look(kernel: PictureKernel, one: Lesson) -> np.ndarray:
    """(B, H, M) float32: forecasts at the places, in the unit of the readings."""
    weights = kernel(one.glimpse, one.places, one.forecast.shape[-1])
    return np.asarray(kernel.scale.inverse(kernel.mix(weights, one.forecast).numpy()), "f4")


def judge(
    train: list[Lesson], val: list[Lesson], scale: Transform, seed: int = 0, report: Callable[[int], None] | None = None
) -> tuple[float, float, float, float]:
    """What the picture is worth for sensors that no lesson had: each set is judged by a kernel that learnt from the other sets.

    Args:
        train: lessons on training windows, one for each set of hidden sensors. val: the same sets on validation windows.

    Returns:
        Mean absolute errors without and with the picture, the share of sensors that it serves, and the share of the picture's
        forecast in the mean with the one carried without it that does best (0, 0.5 or 1).
    """
    without, errors = [], {0.5: [], 1.0: []}
    for i, mine in enumerate(val):
        kernel = learn_picture([one for j, one in enumerate(train) if j != i], scale, seed)
        seen_so, truth, carried = look(kernel, mine), mine.truth.numpy(), mine.carried.numpy()
        without.append(np.abs(carried - truth))
        for share, rows in errors.items():
            rows.append(np.abs(share * seen_so + (1 - share) * carried - truth))
        if report is not None:
            report(i + 1)
    alone = np.concatenate(without, axis=-1)
    share, best = min(((s, np.concatenate(rows, axis=-1)) for s, rows in errors.items()), key=lambda pair: np.nanmean(pair[1]))
    served = np.nanmean(best, axis=(0, 1)) < np.nanmean(alone, axis=(0, 1))
    return float(np.nanmean(alone)), float(np.nanmean(best)), float(served.mean()), share


# What the georeferenced image is worth at unseen places: sensors are weighed by how alike the picture is around them.

SETS, WINDOWS = 5, 48  # sets of sensors that are hidden in turn; windows of each part
PIXELS = 64  # a side of the images: no tower has to read them, so they may be fine
MIN_GAIN, MOST = 0.01, 0.5  # share by which the error must fall, and share of the sensors that must gain


def picture_between(
    hold: Hold, anchor: Anchor, seconds: float, views: tuple[str, ...], columns: tuple[str, ...], seed: int, report: Report
) -> FittedMethod:
    """The closed-form forecasts carried to hidden sensors, by a kernel that looks at images; taken where it serves others so hidden.

    Args:
        hold: who is hidden. anchor: of the seen sensors, fitted in so many `seconds`. views: of the images. columns: what else is
            known of places, as in `fit_placement`. seed: of the kernel's weights. report: progress.
    """
    started, course, series = time.perf_counter(), hold.course, hold.course.series
    split, config = course.split, InputConfig(("vision", "series"), ImageConfig(PIXELS, views))
    val = course.cutoffs("val") if len(course.cutoffs("val")) else course.cutoffs("train")
    placement = fit_interpolation(anchor, series, val, split.train_end, columns)
    scale = candidates(series.values[: split.train_end])[-1]
    cutoffs = [thin(part, WINDOWS) for part in (course.cutoffs("train"), val)]

    def hide(places: np.ndarray) -> PlacedBuilder:
        keep = np.setdiff1d(np.arange(series.network.n_sensors), places)
        sites = locations_of(series.network, places, keep, columns)
        truth = series.values[:, places]
        return PlacedBuilder(
            series.select(keep), replace(anchor.select(keep), replay=None), sites, placement, split.train_end, config, len, truth
        )

    builders = [hide(mine) for mine in spatial_folds(series.network, min(SETS, series.network.n_sensors // 2))]
    train, judged = ([lesson(builder, part) for builder in builders] for part in cutoffs)
    report("Learning which places look alike.", 0.5)
    without, with_it, served, share = judge(train, judged, scale, seed)
    taken = with_it < without * (1 - MIN_GAIN) and served > MOST
    kernel = learn_picture(train, scale, seed)
    sites = hold.sites if columns else hold.bare
    builder = PlacedBuilder(series, anchor, replace(sites), placement, split.train_end, config, len)

    def forecast(c: np.ndarray) -> np.ndarray:
        blocks = []
        for block in builder.blocks(c):
            one = lesson(builder, block)
            carried = one.carried.numpy()
            blocks.append(share * look(kernel, one) + (1 - share) * carried if taken else carried)
        return builder.placer.bands(np.concatenate(blocks))

    size = anchor.n_parameters + sum(p.numel() for p in kernel.parameters())
    facts: dict[str, Any] = {"taken": bool(taken), "val_mae": with_it, "anchor_val_mae": without, "served": served, "share": share}
    spent = time.perf_counter() - started
    first = split.train_start + course.lookback
    name = f"anchor and image ({', '.join(views)})"
    return FittedMethod(name, forecast, size, size, seconds + spent, first_cutoff=first, facts=facts | {"seconds_picture": spent})
