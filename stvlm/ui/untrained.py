"""Models that nothing is trained for, made here for the network in view by its past alone: zero-shot, and the closed-form anchor."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import streamlit as st

from stvlm.data.series import SensorSeries
from stvlm.jobs.beside import Beside, forecast

if TYPE_CHECKING:
    from stvlm.data.forecast import Forecast
    from stvlm.data.windows import Window
    from stvlm.model.stvlm import STVLM
    from stvlm.zeroshot import Told

SMALL = 200_000  # readings and facts of a network that is quickly copied, whose zero-shot model takes little memory: more are remembered
_TOLD: WeakKeyDictionary[STVLM, Told] = WeakKeyDictionary()
beside = Beside()  # 25 networks read at once take four times as long as one after another


def zero_shot(key: str, series: SensorSeries, config: dict[str, object]) -> STVLM:
    """A model with weights learnt on other networks, shared by all sessions; its choices look at what comes before the test part.

    Args:
        key: what it depends on, as one text. series: of which the steps before the test part are looked at.
        config: "lookback", "horizon" (steps), "split", "seasons_minutes".

    Raises:
        ValueError: the readings do not suffice.
    """
    from stvlm.model.shared import BUNDLED

    cells = series.values.size + (0 if series.context is None else series.context.size)
    make = _small_zero_shot if cells <= SMALL and BUNDLED.is_dir() else _large_zero_shot
    return make(key, series, config)


def predict(model: STVLM, windows: list[Window]) -> list[Forecast]:
    """Forecasts of some windows of one series; those of small networks in the process beside this one, where it is there.

    Raises:
        ValueError, MemoryShortError: as `predict.predict_together`.
    """
    if model in _TOLD and beside.is_ready:
        return beside.run(forecast, _TOLD[model], windows)
    from stvlm.predict import predict_together

    return predict_together(model, windows)


@st.cache_resource(max_entries=4, show_spinner=False)
def anchor(key: str, _series: SensorSeries, _config: dict[str, object]) -> STVLM:
    """The untrained model, whose forecast is the closed-form anchor, with bands set by the validation part.

    Arguments and errors are those of `zero_shot`.
    """
    from stvlm.fit import FitConfig, fit

    with beside.here:
        *_, last = fit(_series, FitConfig(**_config, max_steps=0, device="cpu"))
    return last.model


@st.cache_resource(max_entries=8, show_spinner=False)
def _large_zero_shot(key: str, _series: SensorSeries, _config: dict[str, object]) -> STVLM:
    from stvlm import zeroshot

    with beside.here:
        return zeroshot.zero_shot(_series, *_past_of(_series, _config))


@st.cache_resource(max_entries=64, show_spinner=False)
def _small_zero_shot(key: str, _series: SensorSeries, _config: dict[str, object]) -> STVLM:
    """Where people wait, its network is read in a process beside this one."""
    from stvlm.zeroshot import tell

    told = beside.run(tell, _series, *_past_of(_series, _config))
    _TOLD[model := told.model(_series)] = told
    return model


def _past_of(series: SensorSeries, config: dict[str, object]) -> tuple[int, int, int, tuple[int, ...] | None]:
    """Stop, lookback, horizon and seasons, as zero-shot takes them."""
    from stvlm.data.windows import Split

    stop = Split.from_shares(series.n_steps, config["split"]).test_start
    return stop, config["lookback"], config["horizon"], config["seasons_minutes"]
