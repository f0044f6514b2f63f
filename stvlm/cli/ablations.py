"""The ablation panel on the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from stvlm.evaluation.variants import ABLATIONS

if TYPE_CHECKING:  # --help answers at once
    from stvlm.data.series import SensorSeries
    from stvlm.evaluation.contenders import Report

HELP = (
    "take things from the model, spoil or exchange them one at a time, train each variant anew, and say what it does to the "
    f"error: all, or some of {', '.join(name.replace(' ', '-') for name in ABLATIONS)}. Each finished training is kept beside "
    "OUT in a file that ends in .ablations.json, and the same command goes on from there"
)
STEPS_HELP = (
    "of each training of stvlm, of every variant and of the deep baselines, so that all do equal work; --max-minutes does not bound "
    "the variants, for on a busy machine equal time is not equal work"
)


def run_panel(options: argparse.Namespace, series: SensorSeries, fit_options: dict[str, Any], stage: Report) -> dict[str, Any]:
    """What `--ablations` asks for, as it goes into the result.

    Args:
        options: of the verb backtest. series: the readings. fit_options: further settings of FitConfig. stage: progress.

    Raises:
        ValueError: unknown names, or variants that cannot be made.
    """
    from stvlm.evaluation.ablation import run_ablations

    return run_ablations(
        series,
        options.lookback,
        options.horizon,
        options.ablations,
        options.split,
        options.few_shot,
        options.seeds,
        options.device or "auto",
        options.seasons,
        fit_options,
        options.json.with_name(f"{options.json.stem}.ablations.json"),
        stage,
    )
