"""See, forecast and explain what a sensor network measures, with a vision-language model.

The alphabet of axes, used in every docstring and shape comment:

    B batch · T steps of a series · L lookback · H horizon · N sensors · Q quantiles · M modalities (3: vision, text, series)
    V views (images) per window · G image side in pixels · g image side in patches · S tokens · D hidden size · C context columns
    F features of one sensor · W windows
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stvlm.api import Backtest, Forecast, FusionExplanation, Model, backtest, explain, fit, forecast, read
    from stvlm.core.network import SensorNetwork
    from stvlm.core.series import SensorSeries
    from stvlm.core.windows import Window
    from stvlm.io.source import InputError

__version__ = "0.1.0"

__all__ = [
    "Backtest", "Forecast", "FusionExplanation", "InputError", "Model", "SensorNetwork", "SensorSeries", "Window",
    "backtest", "explain", "fit", "forecast", "read",
]  # fmt: skip
_HOMES = {  # public name -> the module that has it, where that is not stvlm.api
    "SensorNetwork": "stvlm.core.network",
    "SensorSeries": "stvlm.core.series",
    "Window": "stvlm.core.windows",
    "InputError": "stvlm.io.source",
}


def __getattr__(name: str) -> Any:
    """A public name, whose module is loaded when it is first asked for: torch and its kin take seconds."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "stvlm.api")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
