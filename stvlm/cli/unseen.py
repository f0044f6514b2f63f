"""Sensors that are held out, on the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from stvlm.data.files import InputError

if TYPE_CHECKING:  # --help answers at once
    from stvlm.data.series import SensorSeries
    from stvlm.evaluation.contenders import Report


def score_unseen(
    options: argparse.Namespace, series: SensorSeries, names: list[str], fit_options: dict[str, Any], stage: Report
) -> dict[str, Any]:
    """What `--hold-sensors` asks for: the result of `backtest_hidden`.

    Args:
        options: of the verb backtest. series: the readings. names: models asked for; only those that can forecast a sensor that was
            never read are scored. fit_options: further settings of FitConfig. stage: progress.

    Raises:
        InputError: options that do not go together, or no model that can forecast such a sensor.
    """
    from stvlm.evaluation.hidden import MODELS, backtest_hidden

    if options.ablations or options.drop_sensors is not None:
        raise InputError("--hold-sensors does not go with --ablations or --drop-sensors: give one of them at a time.")
    models = tuple(name for name in MODELS if name in names or (name == "image" and "stvlm" in names))
    if not models:
        raise InputError("Of sensors that are held out only anchor and stvlm can tell; name one of them in --models.")
    return backtest_hidden(
        series,
        options.lookback,
        options.horizon,
        options.split,
        options.hold_sensors,
        models,
        options.seeds,
        options.few_shot,
        options.seasons,
        stage,
        fit_options | {"max_minutes": options.max_minutes, "device": options.device or "auto"},
    )
