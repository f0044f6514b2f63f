"""What the georeferenced image is worth at unseen places: sensors are weighed by how alike the picture is around them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stvlm.anchor.places import fit_placement
from stvlm.anchor.sites import apart, sites_of
from stvlm.anchor.transform import candidates
from stvlm.data.windows import thin
from stvlm.evaluation.contenders import Contender, Report
from stvlm.evaluation.holding import Hold
from stvlm.modalities.image import ImageConfig
from stvlm.modalities.inputs import InputConfig
from stvlm.modalities.placed import PlacedBuilder
from stvlm.model.picture import judge, learn_picture, lesson, look

if TYPE_CHECKING:
    from stvlm.anchor.blend import Anchor

SETS, WINDOWS = 5, 48  # sets of sensors that are hidden in turn; windows of each part
PIXELS = 64  # a side of the images: no tower has to read them, so they may be fine
MIN_GAIN, MOST = 0.01, 0.5  # share by which the error must fall, and share of the sensors that must gain


def picture_between(
    hold: Hold, anchor: Anchor, seconds: float, views: tuple[str, ...], columns: tuple[str, ...], seed: int, report: Report
) -> Contender:
    """The closed-form forecasts carried to hidden sensors, by a kernel that looks at images; taken where it serves others so hidden.

    Args:
        hold: who is hidden. anchor: of the seen sensors, fitted in so many `seconds`. views: of the images. columns: what else is
            known of places, as in `fit_placement`. seed: of the kernel's weights. report: progress.
    """
    started, course, series = time.perf_counter(), hold.course, hold.course.series
    split, config = course.split, InputConfig(("vision", "series"), ImageConfig(PIXELS, views))
    val = course.cutoffs("val") if len(course.cutoffs("val")) else course.cutoffs("train")
    placement = fit_placement(anchor, series, val, split.train_end, columns)
    scale = candidates(series.values[: split.train_end])[-1]
    cutoffs = [thin(part, WINDOWS) for part in (course.cutoffs("train"), val)]

    def hide(places: np.ndarray) -> PlacedBuilder:
        keep = np.setdiff1d(np.arange(series.network.n_sensors), places)
        sites = sites_of(series.network, places, keep, columns)
        truth = series.values[:, places]
        return PlacedBuilder(
            series.select(keep), replace(anchor.select(keep), replay=None), sites, placement, split.train_end, config, len, truth
        )

    builders = [hide(mine) for mine in apart(series.network, min(SETS, series.network.n_sensors // 2))]
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
    return Contender(name, forecast, size, size, seconds + spent, first_cutoff=first, facts=facts | {"seconds_picture": spent})
