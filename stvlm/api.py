"""The public Python API: read, forecast, fit, explain, backtest, and results that become tables, figures and maps."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stvlm.charts.figures import fusion, lines
from stvlm.charts.figures.comparison import step_lines
from stvlm.charts.maps import sensor_map as maps
from stvlm.core import forecast as core
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Moment, Window, steps_in
from stvlm.datasets.folder import LIST, as_dataset, read_list
from stvlm.evaluation.backtest import MODELS, QUICK, score_table
from stvlm.evaluation.backtest import backtest as run_backtest
from stvlm.inference import predict
from stvlm.io.detect import detect_roles, files_of
from stvlm.io.read import InputFiles
from stvlm.io.source import Source
from stvlm.model.stvlm import STVLM
from stvlm.quality.report import load
from stvlm.runtime.assets import shipped
from stvlm.training import fit as training
from stvlm.training.zero_shot import zero_shot_at

if TYPE_CHECKING:
    import folium
    import geopandas
    import plotly.graph_objects as go

Horizon = int | str


@dataclass(frozen=True, eq=False)
class Forecast(core.Forecast):
    """A forecast together with the readings that it continues, so that both can be drawn.

    Attributes:
        series: the readings.
    """

    series: SensorSeries | None = None

    def plot(self, sensor: str | int = 0, *, theme: str = "light") -> go.Figure:
        """One sensor over time: its past, what was measured since where that is known, the forecast and its intervals.

        Args:
            sensor: an id, or a place on the N axis.
            theme: "light" or "dark".
        """
        return lines.forecast_lines(self.series, self, _node(self.network, sensor), theme=theme)

    def map(self, step: int = 0, *, sensor: str | int | None = None, theme: str = "light") -> folium.Map:
        """The median of one step on a map that needs no network connection.

        Args:
            step: 0 .. H - 1.
            sensor: gets a ring.
            theme: "light" or "dark".
        """
        selected = None if sensor is None else _node(self.network, sensor)
        return maps.standalone_map(maps.forecast_map(self, step, theme, selected))


@dataclass(frozen=True, eq=False)
class FusionExplanation(core.FusionExplanation):
    """What a forecast drew on, with its figures."""

    def plot(self, sensor: str | int | None = None, *, theme: str = "light") -> go.Figure:
        """Fusion weights of vision, text and series, as the mean of all sensors.

        Args:
            sensor: drawn beside the mean.
            theme: "light" or "dark".
        """
        return fusion.shares_bars(self, None if sensor is None else _node(self.network, sensor), theme)

    def map(self, sensor: str | int | None = None, *, modality: str = "series", theme: str = "light") -> folium.Map:
        """Fusion weights on the map; with a sensor, where its forecast looked.

        Args:
            sensor: the one that looks: the image as heat, the other sensors as arcs.
            modality: "vision", "text" or "series", whose weights are shown where no sensor is named.
            theme: "light" or "dark".
        """
        if sensor is not None:
            return maps.standalone_map(maps.attention_map(self, _node(self.network, sensor), theme))
        return maps.standalone_map(maps.shares_map(self, modality, theme))


@dataclass(frozen=True, eq=False)
class Backtest:
    """Scores of several forecasters on the same windows of the past.

    Attributes:
        network: N sensors.
        result: all scores, as `stvlm backtest --json` writes them.
    """

    network: SensorNetwork
    result: dict[str, Any]

    def to_frame(self) -> pd.DataFrame:
        """A row for each forecaster, the best first: errors, coverage, seconds, sizes."""
        return score_table(self.result)

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """The sensors as points, with a column of mean absolute errors for each forecaster, in the unit of the readings."""
        errors = {row["model"]: np.array(row["mae_per_sensor"], "f8") for row in self.result["scores"]}
        return self.network.to_geodataframe()[["sensor_id", "geometry"]].assign(**errors)

    def plot(self, *, theme: str = "light") -> go.Figure:
        """Mean absolute error by step of the horizon, a line for each forecaster."""
        errors = {row["model"]: [step["mae"] for step in row["at_step"]] for row in self.result["scores"]}
        return step_lines(errors, self.result["unit"], theme, self.result["step_minutes"])

    def map(self, model: str | None = None, *, theme: str = "light") -> folium.Map:
        """Mean absolute error of each sensor.

        Args:
            model: a forecaster; None: the best.
            theme: "light" or "dark".

        Raises:
            ValueError: it was not scored.
        """
        errors = {row["model"]: np.array(row["mae_per_sensor"], "f8") for row in self.result["scores"]}
        name = self.to_frame()["model"].iloc[0] if model is None else model
        if name not in errors:
            raise ValueError(f"{name!r} was not scored; there are {', '.join(errors)}.")
        view = maps.sensor_map(self.network, errors[name], self.result["unit"], f"mean absolute error of {name}", theme)
        return maps.standalone_map(view)


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model: `fit` makes one, `Model.load` opens one.

    Attributes:
        network: the neural network, its anchor and its settings.
    """

    network: STVLM

    @classmethod
    def load(cls, folder: Path | str) -> Model:
        """Open a folder that `save` or `stvlm fit` wrote.

        Args:
            folder: its path, or the name of a model that ships with the package, such as "irish_wind".

        Raises:
            ValueError: there is none, or it is damaged.
        """
        return cls(STVLM.load(shipped(Path(folder), "checkpoints")))

    def save(self, folder: Path | str) -> None:
        """Write the model as one folder, whole or not at all."""
        self.network.save(Path(folder), self.network.manifest)

    @property
    def manifest(self) -> dict[str, Any]:
        """What made the model: settings, data, scores, versions."""
        return self.network.manifest

    def forecast(self, series: SensorSeries, horizon: Horizon | None = None, *, cutoff: Moment | None = None) -> Forecast:
        """Forecast the steps from a cutoff on.

        Args:
            series: readings of the network that the model was trained on.
            horizon: steps, or a length such as "7d"; at most, and by default, as many as the model was trained for.
            cutoff: first time that is forecast; None: right after the last reading.

        Raises:
            ValueError: another network, or a cutoff or a horizon that the model cannot do.
        """
        window = Window.at(series, cutoff, self.network.config.lookback, horizon or self.network.config.horizon)
        return Forecast(**_fields(predict.predict(self.network, window)), series=series)

    def explain(self, series: SensorSeries, *, cutoff: Moment | None = None) -> FusionExplanation:
        """What the forecast from a cutoff on drew on; arguments and errors as those of `forecast`."""
        window = Window.at(series, cutoff, self.network.config.lookback, self.network.config.horizon)
        return FusionExplanation(**_fields(predict.explain(self.network, window)))


def read(
    *files: Source,
    target: str = "",
    quantity: str = "",
    unit: str = "",
    fixes: Sequence[str] = (),
    known_ahead: Sequence[str] = (),
    timezone: str | None = None,
    start: str | None = None,
    step_minutes: float | None = None,
) -> SensorSeries:
    """Read one network: sensors and readings, and links, context and base layer where they are given.

    Args:
        files: paths, folders, or (name, bytes), in any order; what each holds is told by its columns.
        target: which readings are meant, where several files hold some: "pm25" of series_pm25.csv.gz.
        quantity: what is measured, "traffic speed".
        unit: its unit, "km/h".
        fixes: names of fixes to apply, in this order, as `stvlm validate` offers them.
        known_ahead: columns of the context that are known before they happen.
        timezone: IANA name of the network's own clock.
        start: time of the first reading, for files without times (.npz).
        step_minutes: minutes between two readings, for such files.

    Raises:
        InputError: one line for each problem.
    """
    paths = [shipped(Path(file)) if isinstance(file, str | Path) else file for file in files]
    sources = [one for path in paths for one in (files_of(path) if isinstance(path, Path) and path.is_dir() else [path])]
    words = {"quantity": quantity, "unit": unit, "fixes": tuple(fixes), "known_ahead": tuple(known_ahead), "timezone": timezone}
    usual = _usual_words(paths[0]) if len(paths) == 1 and isinstance(paths[0], Path) else {}
    given = InputFiles(**detect_roles(sources, target), start=start, step_minutes=step_minutes)
    return load(given, **{"quantity": "reading"} | usual | {name: word for name, word in words.items() if word})


def forecast(
    series: SensorSeries,
    horizon: Horizon | None = None,
    *,
    cutoff: Moment | None = None,
    lookback: int | None = None,
    seasons_minutes: tuple[int, ...] | None = None,
) -> Forecast:
    """Forecast without any training: zero-shot.

    Args:
        series: readings; what is after the cutoff is not looked at.
        horizon: steps, or a length such as "7d" or "48h"; None: up to 12 steps.
        cutoff: first time that is forecast; None: right after the last reading.
        lookback: past steps that a window shows; None: twice the horizon.
        seasons_minutes: lengths of the seasons; None: found in the readings.

    Raises:
        ValueError: too few readings before the cutoff, or no such time or length.
    """
    model = zero_shot_at(series, cutoff, horizon, lookback, seasons_minutes)
    return Model(model).forecast(series, cutoff=cutoff)


def fit(
    series: SensorSeries,
    lookback: int = 12,
    horizon: Horizon = 12,
    *,
    progress: Callable[[training.FitStep], None] | None = None,
    **settings: Any,
) -> Model:
    """Train a model on the training part of a series.

    Args:
        series: the readings.
        lookback: past steps that the model sees.
        horizon: steps that it forecasts, or a length such as "7d".
        progress: called with each step of the training.
        settings: further fields of `stvlm.training.fit.FitConfig`: split, few_shot, backbone, tuning, max_minutes, seed …

    Raises:
        ValueError: settings or readings with which nothing can be trained.
    """
    config = training.FitConfig(lookback, steps_in(horizon, series.step_seconds), **settings)
    model = None
    for step in training.fit(series, config):
        model = step.model
        if progress is not None:
            progress(step)
    if model is None:
        raise RuntimeError("The training ended without a model.")
    return Model(model)


def explain(model: Model, series: SensorSeries, *, cutoff: Moment | None = None) -> FusionExplanation:
    """What a model's forecast drew on; the same as `model.explain`."""
    return model.explain(series, cutoff=cutoff)


def backtest(
    series: SensorSeries,
    models: Sequence[str] = QUICK,
    lookback: int = 12,
    horizon: Horizon = 12,
    *,
    split: tuple[float, float, float] = (0.6, 0.2, 0.2),
    **settings: Any,
) -> Backtest:
    """Score forecasters on the same windows: fit on the training part, calibrate on validation, score every window of the test part.

    Args:
        series: the readings.
        models: names, as of `stvlm backtest --models`, with spaces or hyphens.
        lookback: past steps of a window.
        horizon: steps forecast, or a length such as "7d".
        split: shares of training, validation and test, in time order.
        settings: further arguments of `stvlm.evaluation.backtest.backtest`: few_shot, seeds, max_minutes, device …

    Raises:
        ValueError: unknown models, or too few readings.
    """
    names = tuple(name if name in MODELS else re.sub("[-_]", " ", name) for name in models)
    steps = steps_in(horizon, series.step_seconds)
    return Backtest(series.network, run_backtest(series, lookback, steps, split, names, **settings))


def _usual_words(folder: Path) -> dict[str, Any]:
    """What a datasets.json beside a folder says of its network; {} without one."""
    if not (folder.parent / LIST).is_file() or folder.name not in (listed := read_list(folder.parent)):
        return {}
    dataset = as_dataset(folder.name, listed[folder.name])
    words = {name: getattr(dataset, name) for name in ("quantity", "unit", "fixes", "known_ahead", "timezone")}
    return {name: word for name, word in words.items() if word}


def _fields(one: Any) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in fields(one)}


def _node(network: SensorNetwork, sensor: str | int) -> int:
    """The place of a sensor on the N axis."""
    if isinstance(sensor, str) and sensor not in network.ids:
        raise ValueError(f"There is no sensor {sensor!r}; there are {', '.join(network.ids[:5])} …")
    return network.ids.index(sensor) if isinstance(sensor, str) else sensor
