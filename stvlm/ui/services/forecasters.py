"""The one place where pages meet models: loaded once, chosen by name, their answers remembered by content."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st

import stvlm
from stvlm.core.forecast import Forecast, FusionExplanation
from stvlm.core.seasonality import find_seasons
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split, Window
from stvlm.evaluation.baselines.simple import BASELINES, Forecaster, TrainingData, fit_baseline
from stvlm.jobs import api
from stvlm.runtime.assets import asset
from stvlm.runtime.cache import parsed_file
from stvlm.runtime.memory import MemoryShortError
from stvlm.serving import helper_process
from stvlm.serving.helper_process import HelperProcess
from stvlm.serving.request_queue import BusyError, RequestQueue
from stvlm.ui.services import networks
from stvlm.ui.shell import inputs as widgets
from stvlm.ui.shell import layout, view_state
from stvlm.ui.shell.i18n import t
from stvlm.ui.shell.layout import preload_libraries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stvlm.core.forecast import Forecast
    from stvlm.core.windows import Window
    from stvlm.inference.predict import VisibleInputs
    from stvlm.modalities.text.prompt import PromptConfig
    from stvlm.model.stvlm import STVLM
    from stvlm.training.zero_shot import ZeroShotState


# Models that nothing is trained for, made here for the network in view by its past alone: zero-shot, and the closed-form anchor.

SMALL = 200_000  # readings and facts of a network that is quickly copied, whose zero-shot model takes little memory: more are remembered
_TOLD: WeakKeyDictionary[STVLM, ZeroShotState] = WeakKeyDictionary()
beside = HelperProcess()  # 25 networks read at once take four times as long as one after another


def zero_shot(key: str, series: SensorSeries, config: dict[str, object]) -> STVLM:
    """A model with weights learnt on other networks, shared by all sessions; its choices look at what comes before the test part.

    Args:
        key: what it depends on, as one text. series: of which the steps before the test part are looked at.
        config: "lookback", "horizon" (steps), "split", "seasons_minutes".

    Raises:
        ValueError: the readings do not suffice.
    """
    from stvlm.model.pretrained import BUNDLED

    cells = series.values.size + (0 if series.context is None else series.context.size)
    make = _small_zero_shot if cells <= SMALL and BUNDLED.is_dir() else _large_zero_shot
    return make(key, series, config)


def predict(model: STVLM, windows: list[Window]) -> list[Forecast]:
    """Forecasts of some windows of one series; those of small networks in the process beside this one, where it is there.

    Raises:
        ValueError, MemoryShortError: as `predict.predict_together`.
    """
    if model in _TOLD and beside.is_ready:
        return beside.run(helper_process.forecast, _TOLD[model], windows)
    from stvlm.inference.predict import predict_together

    return predict_together(model, windows)


@st.cache_resource(max_entries=4, show_spinner=False)
def anchor(key: str, _series: SensorSeries, _config: dict[str, object]) -> STVLM:
    """The untrained model, whose forecast is the closed-form anchor, with bands set by the validation part.

    Arguments and errors are those of `zero_shot`.
    """
    from stvlm.training.fit import FitConfig, fit

    with beside.here:
        *_, last = fit(_series, FitConfig(**_config, max_steps=0, device="cpu"))
    return last.model


@st.cache_resource(max_entries=8, show_spinner=False)
def _large_zero_shot(key: str, _series: SensorSeries, _config: dict[str, object]) -> STVLM:
    from stvlm.training import zero_shot as zeroshot

    with beside.here:
        return zeroshot.zero_shot(_series, *_past_of(_series, _config))


@st.cache_resource(max_entries=64, show_spinner=False)
def _small_zero_shot(key: str, _series: SensorSeries, _config: dict[str, object]) -> STVLM:
    """Where people wait, its network is read in a process beside this one."""
    from stvlm.training.zero_shot import fit_state

    told = beside.run(fit_state, _series, *_past_of(_series, _config))
    _TOLD[model := told.model(_series)] = told
    return model


def _past_of(series: SensorSeries, config: dict[str, object]) -> tuple[int, int, int, tuple[int, ...] | None]:
    """Stop, lookback, horizon and seasons, as zero-shot takes them."""
    from stvlm.core.windows import Split

    stop = Split.from_shares(series.n_steps, config["split"]).test_start
    return stop, config["lookback"], config["horizon"], config["seasons_minutes"]


T = TypeVar("T")
CHECKPOINTS = asset("checkpoints")
ANCHOR, ZERO_SHOT = "anchor", "zero-shot"
SHARED = CHECKPOINTS / "stvlm-tiny"  # weights learnt on many networks, which zero-shot begins with
forecaster = RequestQueue()  # all sessions share it and its models: one question, or one batch of forecasts, at a time


@dataclass(frozen=True)
class Choice:
    """A forecaster that can be chosen for the network in view.

    Attributes:
        name: its word in the URL. label: what people call it.
        folder: of the model; None for what is made here: the closed-form anchor, and zero-shot.
        lookback, horizon: in steps. split, seasons_minutes: by which what is made here is made; None: seasons are found.
    """

    name: str
    label: str
    folder: Path | None
    lookback: int
    horizon: int
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    seasons_minutes: tuple[int, ...] | None = None

    @property
    def explains(self) -> bool:
        """Whether a trained network stands behind it, so that there is a fusion to explain."""
        return self.folder is not None or (self.name == ZERO_SHOT and (SHARED / "manifest.json").is_file())

    @property
    def fingerprint(self) -> str:
        """Changes whenever the model does."""
        if self.folder is None:
            return f"{self.name} {self.lookback} {self.horizon} {self.split} {self.seasons_minutes} {stvlm.__version__}"
        weights = (self.folder / "model.safetensors").stat()
        manifest = (self.folder / "manifest.json").read_bytes()
        return hashlib.sha256(manifest + f"{weights.st_size} {weights.st_mtime_ns}".encode()).hexdigest()


def choices(data: str, series: SensorSeries) -> tuple[Choice, ...]:
    """The forecasters at hand for a network, the best to begin with first: shipped, trained here, closed form."""
    found = []
    sample = networks.sample(data)
    if sample and (CHECKPOINTS / sample.name / "manifest.json").is_file():
        found.append(_of_folder("shipped", t("common.shipped"), CHECKPOINTS / sample.name))
    for run in api.list_runs():
        source = run.spec.data
        if run.state == "done" and data == (f"{networks.SAMPLE}{source.sample}" if source.sample else source.dataset):
            found.append(_of_folder(f"run-{run.run_id}", t("common.run", title=run.title), run.model_folder))
    terms = *networks.window_sizes(data, series), sample.seasons_minutes if sample else None
    found.append(Choice(ZERO_SHOT, t("common.zero_shot"), None, *terms))
    found.append(Choice(ANCHOR, t("common.anchor"), None, *terms))
    return tuple(found)


def pick_forecast(series: SensorSeries, explains: bool = False) -> tuple[Choice, Window]:
    """Choose a forecaster and the moment from which it forecasts, in one row."""
    left, right = st.columns([2, 3])
    with left:
        choice = _pick_model(series, explains)
    with right:
        return choice, _pick_window(series, choice)


def _pick_model(series: SensorSeries, explains: bool) -> Choice:
    """Choose a forecaster; with `explains`, only among those that have a fusion to explain, and without one end the page."""
    at_hand = {choice.name: choice for choice in choices(view_state.data_id(), series) if choice.explains or not explains}
    if not at_hand:
        st.info(t("common.no_model"))
        layout.page_link("train", t("common.train"))
        st.stop()
    name = view_state.param_in("model", tuple(at_hand), next(iter(at_hand)))
    key = view_state.bind("model", name)
    st.selectbox(
        t("common.forecaster"),
        tuple(at_hand),
        key=key,
        format_func=lambda n: at_hand[n].label,
        on_change=view_state.sync_to_url("model", key, at_hand),
    )
    return at_hand[name]


def _pick_window(series: SensorSeries, choice: Choice) -> Window:
    """Choose the moment from which is forecast; at first the last one whose truth is known."""
    first, last = choice.lookback, series.n_steps
    if first > last:
        st.error(t("common.too_short", steps=last, first=first))
        st.stop()
    default = max(first, last - choice.horizon)
    cutoff = widgets.pick_time(series, "cutoff", first, last, default, t("common.forecast_from"))
    return Window(series, cutoff, choice.lookback, choice.horizon)


def cache_key(choice: Choice, window: Window) -> str:
    """What a forecast depends on, as one text: the key of caches."""
    return f"{choice.fingerprint} {window.series.fingerprint} {window.cutoff}"


def forecast(choice: Choice, window: Window) -> Forecast:
    """The forecast of a window, remembered."""
    model = load_model(choice, window.series)
    with st.spinner(t("wait.forecast")):
        made = _forecast(cache_key(choice, window), model, window)
    return replace(made, name=choice.name) if choice.folder is None else made


def explanation(choice: Choice, window: Window) -> FusionExplanation:
    """What the forecast of a window drew on, remembered."""
    model = load_model(choice, window.series)
    with st.spinner(t("wait.explanation")):
        return _explanation(cache_key(choice, window), model, window)


def model_inputs(choice: Choice, window: Window, silent: tuple[int, ...] = ()) -> VisibleInputs:
    """What the model gets of a window: images, prompt, raster; remembered. The images leave out the `silent` nodes."""
    views = None if choice.folder else view_names(choice, window.series)
    return _model_inputs(cache_key(choice, window), load_model(choice, window.series), window, views, silent)


def submit(kind: str, key: str, work: Callable[[], T]) -> T:
    """Put a question to the resident forecaster; where it has no time or no memory, say so and end the page.

    Args:
        kind: of question. key: what else its answer depends on. work: that gives the answer; calls nothing of Streamlit.
    """
    with forecaster_errors():
        return forecaster.submit(f"{kind} {key}", work)


@contextmanager
def forecaster_errors() -> Iterator[None]:
    """Where the forecaster cannot answer now, say why and end the page."""
    try:
        yield
    except (BusyError, MemoryShortError) as error:
        st.warning(widgets.plain(str(error)), icon=":material/hourglass_top:")
        st.stop()


def is_anchor(choice: Choice, series: SensorSeries) -> bool:
    """Whether the forecasts are the closed-form anchor's, because no network was trained or it was not accepted."""
    return load_model(choice, series).is_anchor


def view_names(choice: Choice, series: SensorSeries) -> tuple[str, ...]:
    """The image views of a model, in the order of its tensor; where none was trained, every view that there is."""
    if choice.folder is not None:
        return load_model(choice, series).config.inputs.image.views
    preload_libraries().join()
    from stvlm.modalities.image.views import VIEWS

    return tuple(VIEWS)


def views_read(choice: Choice, series: SensorSeries) -> tuple[str, ...]:
    """The image views that a forecaster reads; none where no trained network stands behind it."""
    if not choice.explains:
        return ()
    inputs = load_model(choice, series).config.inputs
    return inputs.image.views if "vision" in inputs.modalities else ()


def text_side(choice: Choice, series: SensorSeries) -> tuple[Callable[[str], int], PromptConfig]:
    """How a model counts tokens and how its prompt is made; without a trained model those of the small backbone."""
    if choice.folder is not None:
        model = load_model(choice, series)
        return model.backbone.count_tokens, model.config.inputs.prompt
    with st.spinner(t("wait.text_side")):
        return _plain_text_side()[:2]


def token_texts(choice: Choice, series: SensorSeries) -> Callable[[str], tuple[str, ...]]:
    """How a model cuts a text into tokens; without a trained model the small backbone."""
    if choice.folder is not None:
        return load_model(choice, series).backbone.token_texts
    with st.spinner(t("wait.text_side")):
        return _plain_text_side()[2]


@st.cache_resource(show_spinner=False)
def _plain_text_side() -> tuple[Callable[[str], int], PromptConfig, Callable[[str], tuple[str, ...]]]:
    preload_libraries().join()
    from stvlm.modalities.text.prompt import PromptConfig
    from stvlm.model import backbone

    tiny = backbone.load("tiny")
    return tiny.count_tokens, PromptConfig(), tiny.token_texts


def manifest(choice: Choice, series: SensorSeries) -> dict:
    """What is known of how a forecaster was made: settings, data, scores."""
    if choice.folder is None:
        return load_model(choice, series).manifest
    return parsed_file(choice.folder / "manifest.json", json.loads)


def truth(window: Window) -> np.ndarray:
    """(H, N) float32 in the unit: what was measured after the cutoff, as far as it is known; NaN beyond."""
    known = window.series.values[window.cutoff : window.cutoff + window.horizon]
    missing = np.full((window.horizon - len(known), known.shape[1]), np.nan, "f4")
    return np.concatenate([known, missing])


def devices() -> dict[str, str]:
    """What can do the work on this machine: torch's name -> what people call it; the one that "auto" takes comes first."""
    gpus, is_mac = _gpus()
    found = {f"cuda:{i}": t("device.gpu", name=name, place=i) for i, name in enumerate(gpus)}
    return found | ({"mps": t("device.mac")} if is_mac else {}) | {"cpu": t("device.cpu", n=os.cpu_count())}


@st.cache_data(show_spinner=False)
def _gpus() -> tuple[tuple[str, ...], bool]:
    """Names of the CUDA devices; whether there is the GPU of a Mac."""
    preload_libraries().join()
    import torch

    return tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())), torch.backends.mps.is_available()


def device_label(device: str) -> str:
    """What people call a device; "auto" is the one that it would take."""
    at_hand = devices()
    return next(iter(at_hand.values())) if device == "auto" else at_hand[device]


@st.cache_resource(max_entries=4, show_spinner=False)
def _load(fingerprint: str, _folder: Path) -> STVLM:
    import torch

    from stvlm.model.stvlm import STVLM

    model = STVLM.load(_folder)
    if torch.cuda.is_available():
        with suppress(torch.OutOfMemoryError):  # a training may have taken the GPU's memory: then the CPU answers
            return model.to("cuda")
    return model.cpu()


def load_model(choice: Choice, series: SensorSeries) -> STVLM:
    """The model of a choice; where it cannot be loaded, or the readings do not suffice for one, say why and end the page."""
    if preload_libraries().is_alive():
        with st.spinner(t("wait.libraries")):
            preload_libraries().join()
    try:
        if choice.folder is None:
            return _made(choice, series)
        with st.spinner(t("wait.model")):
            return _load(choice.fingerprint, choice.folder)
    except ValueError as error:
        st.error(widgets.plain(str(error)), icon=":material/error:")
        st.stop()


def _made(choice: Choice, series: SensorSeries) -> STVLM:
    """A model that nothing was trained for."""
    config = {name: getattr(choice, name) for name in ("lookback", "horizon", "split", "seasons_minutes")}
    is_zero_shot = choice.name == ZERO_SHOT
    make = zero_shot if is_zero_shot else anchor
    with st.spinner(t("wait.zero_shot" if is_zero_shot else "wait.anchor")):
        return make(f"{choice.fingerprint} {series.fingerprint}", series, config)


@st.cache_data(max_entries=128, show_spinner=False)
def _forecast(key: str, _model: STVLM, _window: Window) -> Forecast:
    network = f"forecast {key.rpartition(' ')[0]}"  # of one model; only the cutoff may differ
    with forecaster_errors():
        made = forecaster.submit_batched(f"forecast {key}", network, _window, lambda windows: predict(_model, windows))
    return replace(made, name="anchor") if _model.is_anchor else made


@st.cache_data(max_entries=64, show_spinner=False)
def _explanation(key: str, _model: STVLM, _window: Window) -> FusionExplanation:
    from stvlm.inference.predict import explain

    return submit("explanation", key, lambda: explain(_model, _window))


@st.cache_data(max_entries=64, show_spinner=False)
def _model_inputs(
    key: str, _model: STVLM, _window: Window, views: tuple[str, ...] | None, silent: tuple[int, ...]
) -> VisibleInputs:
    from stvlm.inference.predict import model_inputs

    return submit("inputs", f"{key} {views} {silent}", lambda: model_inputs(_model, _window, views, silent))


def _of_folder(name: str, label: str, folder: Path) -> Choice:
    config = parsed_file(folder / "config.json", json.loads)
    return Choice(name, label, folder, int(config["lookback"]), int(config["horizon"]))


# The simple methods that stand beside every forecast: persistence, seasonal naive, historical average, ridge.

MOST_CELLS = 60_000_000  # of readings; above, the simple methods would take too much memory beside the page


def baseline_forecasts(window: Window) -> tuple[Forecast, ...]:
    """The simple methods' forecasts of a window, without bands; none where the readings do not suffice to fit them."""
    if window.series.n_steps * window.series.network.n_sensors > MOST_CELLS:
        st.caption(t("wait.no_simple"))
        return ()
    key = f"{window.series.fingerprint} {window.lookback} {window.horizon}"
    series = window.series
    found = []
    with st.spinner(t("wait.simple")):
        fitted = _fitted(key, window, view_state.data_id())
    for forecaster in fitted:
        if window.cutoff >= forecaster.first_cutoff:
            values = forecaster([window.cutoff])  # (1, H, N)
            found.append(
                Forecast(
                    series.network,
                    series.quantity,
                    series.unit,
                    forecaster.name,
                    window.future_times,
                    (0.5,),
                    values,
                    series.timezone,
                )
            )
    return tuple(found)


@st.cache_resource(max_entries=4, show_spinner=False)
def _fitted(key: str, _window: Window, data: str) -> tuple[Forecaster, ...]:
    series = _window.series
    split = Split.from_shares(series.n_steps, networks.window_sizes(data, series)[2])
    if len(split.cutoffs("train", _window.lookback, _window.horizon)) == 0 or not series.observed[: split.train_end].any():
        return ()
    sample = networks.sample(data)
    seasons = sample.seasons_minutes if sample else ()
    seasons = seasons or find_seasons(
        series.screened.values, series.local_times, split.train_start, split.train_end, series.step_seconds
    )
    training = TrainingData(series, split, _window.lookback, _window.horizon)
    return tuple(forecaster for family in BASELINES for forecaster in fit_baseline(family, training, seasons))
