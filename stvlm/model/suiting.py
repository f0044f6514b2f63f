"""Whether a series is one that a model was trained for: its sensors, its steps, its unit, its base layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stvlm.data.baselayer import BaseLayer
from stvlm.data.series import SensorSeries

if TYPE_CHECKING:
    from stvlm.model.stvlm import STVLM


def check_series(model: STVLM, series: SensorSeries) -> None:
    """Refuse readings whose forecast would be a number of something else.

    Args:
        model: with its manifest. series: to be forecast.

    Raises:
        ValueError: other sensors than the model was trained on, steps of another length, another unit where both are named, or
            another base layer where the model sees one.
    """
    frame, ids = model.anchor.frame, model.manifest.get("sensors")
    n = len(frame.scale)
    if series.network.n_sensors != n or (ids is not None and list(series.network.ids) != list(ids)):
        raise ValueError(f"This model was trained on another network ({n} sensors). Choose a model of this network, or train one.")
    step = frame.profile.step_seconds
    if series.step_seconds != step:
        raise ValueError(
            f"This model forecasts steps of {step / 60:g} minutes; these readings come every {series.step_seconds / 60:g} minutes. "
            "Bring them to its step, or train a model on them."
        )
    unit = model.manifest.get("unit")
    if unit and series.unit and series.unit != unit:
        raise ValueError(
            f"This model was trained on readings in {unit}; these are in {series.unit}. Convert them, or train a model on them."
        )
    if "geography" in model.config.inputs.image.views and "base_layer" in model.manifest:
        _check_base_layer(model.manifest["base_layer"], series.network.base_layer)


def _check_base_layer(trained: dict[str, str] | None, given: BaseLayer | None) -> None:
    """Refuse to show another geography than that of the training.

    Args:
        trained: "fingerprint" and "name" of the base layer in training; None for none. given: that of the series.

    Raises:
        ValueError: another one, or none where there was one.
    """
    if (trained or {}).get("fingerprint") == (given.fingerprint if given else None):
        return
    if trained is None:
        raise ValueError("This model's view geography was trained without a base layer. Leave --base-layer and --grid out.")
    lacks = "there is none" if given is None else "this is another one"
    raise ValueError(
        f"This model's view geography was trained with the base layer {trained['name']}; {lacks}. Give the same files."
    )
