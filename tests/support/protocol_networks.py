"""The real networks beside the checkout, as the comparison protocol reads them and as we do."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split


def load_protocol(folder: Path) -> ModuleType:
    """The module protocol.py of the folder of real networks."""
    spec = importlib.util.spec_from_file_location("protocol", folder / "protocol.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["protocol"] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


def as_series(data) -> SensorSeries:
    """A dataset of the protocol as our own type, its rows one step apart, as the protocol takes them (one network lacks a row)."""
    sensors = data.sensors
    times = data.times.to_numpy().astype("datetime64[s]")[0] + np.arange(len(data.values)) * np.timedelta64(data.step_minutes, "m")
    network = SensorNetwork(tuple(sensors["sensor_id"]), sensors["lat"].to_numpy(), sensors["lon"].to_numpy())
    return SensorSeries(network, times, data.values)


def split_of(data) -> Split:
    """The parts of a dataset of the protocol."""
    return Split(0, data.train_end, data.test_start, data.test_start, len(data.values))
