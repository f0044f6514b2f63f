"""What the Forecast page lets one take away: tables, pictures, an animation, a report in one file."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st

import stvlm
from stvlm.charts.export.canvas import Scene, scene_image
from stvlm.charts.export.html_report import Report, report_html
from stvlm.charts.export.static import forecast_gif, lines_scene, map_scene
from stvlm.charts.scale import fit_scale, format_times
from stvlm.core.alarms import AlarmRule
from stvlm.core.forecast import Forecast
from stvlm.core.windows import Window
from stvlm.io.read import write_forecast
from stvlm.ui.forecast import alarms, tables
from stvlm.ui.services import forecasters, networks
from stvlm.ui.shell import i18n as words
from stvlm.ui.shell import view_state
from stvlm.ui.shell.i18n import t

_MIME = {
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".geojson": "application/geo+json",
    ".png": "image/png",
    ".gif": "image/gif",
    ".html": "text/html",
}


@dataclass(frozen=True, eq=False)
class Shown:
    """What the page shows.

    Attributes:
        choice, manifest: the forecaster, and how it was made. window, forecast: of the moment in view.
        rivals, drawn: all simple methods, and those in the plot. sensor, step: in view. data: id of the network. rule: of alarms.
    """

    choice: forecasters.Choice
    manifest: dict
    window: Window
    forecast: Forecast
    rivals: tuple[Forecast, ...]
    drawn: tuple[Forecast, ...]
    sensor: int
    step: int
    data: str
    rule: AlarmRule


def take_along(shown: Shown) -> None:
    """Let the downloads be of this view from now on."""
    _held().update(shown=shown)


def downloads(forecast: Forecast) -> None:
    """A button for each file; the file is made when it is clicked, of what the page shows then.

    Streamlit forgets the file of a button as soon as the button is drawn again. So the buttons stand outside the part of the page that
    a click or a slider draws again, and look at what `take_along` put into a place that both share.

    Args:
        forecast: in view, for names and sizes.
    """
    held = _held()
    table = t("forecast.get_table", n=forecast.network.n_sensors, steps=len(forecast.times))
    stamp = str(forecast.times[0]).replace(":", "")
    files: tuple[tuple[str, str, Callable[[Shown], bytes | str], str], ...] = (
        ("CSV", f"forecast_{stamp}.csv", lambda shown: table_file(shown.forecast, ".csv"), table),
        ("Parquet", f"forecast_{stamp}.parquet", lambda shown: table_file(shown.forecast, ".parquet"), table),
        ("GeoJSON", f"forecast_{stamp}.geojson", lambda shown: table_file(shown.forecast, ".geojson"), table),
        ("map", f"map_{stamp}.png", lambda shown: png(map_picture(shown)), t("forecast.get_map_help")),
        ("plot", f"plot_{stamp}.png", lambda shown: png(plot_picture(shown)), t("forecast.get_plot_help")),
        (
            "animation",
            f"forecast_{stamp}.gif",
            lambda shown: forecast_gif(shown.forecast, selected=shown.sensor),
            t("forecast.get_animation_help"),
        ),
        ("report", f"report_{stamp}.html", lambda shown: report_html(report(shown)), t("forecast.get_report_help")),
    )
    with st.container(horizontal=True):
        for label, name, make, help_ in files:
            st.download_button(
                t(f"forecast.get_{label}") if label.islower() else label,
                partial(_made, make, held),
                name,
                _MIME[Path(name).suffix],
                icon=":material/download:",
                on_click="ignore",
                help=help_,
                key=f"get-{label}",
            )


def _held() -> dict[str, Shown]:
    """The place in this session that the buttons share with the view."""
    if view_state.load("taken") is None:
        view_state.store("taken", {})
    return view_state.load("taken")


def _made(make: Callable[[Shown], bytes | str], held: dict[str, Shown]) -> bytes | str:
    """A file of what the page shows; files speak English, whoever reads them."""
    with words.use_language("en"):
        return make(held["shown"])


def past_steps(window: Window) -> int:
    """Readings shown before the forecast."""
    return max(3 * window.horizon, 24)


def table_file(forecast: Forecast, suffix: str) -> bytes:
    """The whole forecast as .csv, .parquet or .geojson."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"forecast{suffix}"
        write_forecast(forecast, path)
        return path.read_bytes()


def map_picture(shown: Shown) -> Scene:
    """The map of the step in view."""
    forecast, step = shown.forecast, shown.step
    when = format_times(forecast.times, forecast.timezone)[step]
    label = f"{forecast.quantity}, median forecast"
    scale = fit_scale(forecast.median)
    return map_scene(forecast.network, forecast.median[step], scale, label, forecast.unit, when, selected=shown.sensor)


def plot_picture(shown: Shown) -> Scene:
    """The time plot of the sensor in view."""
    past = past_steps(shown.window)
    return lines_scene(shown.window.series, shown.forecast, shown.sensor, shown.drawn, shown.step, past)


def png(scene: Scene) -> bytes:
    """A still picture, twice as fine as on the screen."""
    buffer = io.BytesIO()
    scene_image(scene, 2).save(buffer, "PNG")
    return buffer.getvalue()


def report(shown: Shown) -> Report:
    """All that a report tells of what the page shows."""
    choice, window, forecast = shown.choice, shown.window, shown.forecast
    truth = forecasters.truth(window)
    explanation = forecasters.explanation(choice, window) if choice.explains else None
    when = format_times(forecast.times, forecast.timezone)[shown.step]
    scores = tables.scores_table(forecast, shown.rivals, truth)
    shown_tables = [
        (
            f"{forecast.network.name(shown.sensor)}, all steps",
            tables.one_sensor(window, forecast, shown.drawn, shown.sensor),
        ),
        (f"All sensors, {when}", tables.one_step(window, forecast, shown.step)),
        (f"Alarms: {shown.rule.words(forecast.unit)}", alarms.alarm_table(forecast, shown.rule)),
    ]
    return Report(
        title=networks.title(shown.data),
        maker=choice.label,
        forecast=forecast,
        sensor=shown.sensor,
        step=shown.step,
        series=window.series,
        rivals=shown.drawn,
        held=(*tables.band_sentences(shown.manifest.get("scores", {})), *tables.held_here(forecast, truth)),
        tables=shown_tables if scores.empty else [*shown_tables, ("Errors of this one forecast", scores)],
        explanation=explanation,
        fusion_note=""
        if _is_taken(shown)
        else "The network was not accepted, so the forecast is the anchor's: these are the shares it would draw.",
        prompt=explanation.prompt if explanation else "",
        settings=settings(shown),
        commands=commands(shown),
        past_steps=past_steps(window),
    )


def settings(shown: Shown) -> tuple[tuple[str, str], ...]:
    """What made the forecast, as names and values."""
    window, manifest = shown.window, shown.manifest
    fit = manifest.get("fit", {})
    names = {
        "backbone": "backbone", "tuning": "fine-tuning", "modalities": "modalities", "views": "images", "split": "parts of the data",
        "few_shot": "few-shot", "seed": "seed",
    }  # fmt: skip
    rows = [
        ("first step forecast", str(shown.forecast.times[0])),
        ("lookback", f"{window.lookback} steps"),
        ("horizon", f"{window.horizon} steps"),
        *((words, _in_words(fit[name])) for name, words in names.items() if fit.get(name) is not None),
        ("network accepted", "yes" if _is_taken(shown) else "no: the forecast is the anchor's"),
        ("readings", f"sha256 {window.series.fingerprint}"),
        *((name, str(number)) for name, number in manifest.get("versions", {}).items()),
    ]
    return tuple(rows)


def _is_taken(shown: Shown) -> bool:
    """Whether the network beat its anchor, as the manifest says; a manifest of one that was merged says it as a word."""
    return str(shown.manifest.get("network_taken")) == "True"


def _in_words(value: object) -> str:
    return ", ".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)


def commands(shown: Shown) -> tuple[str, ...]:
    """Lines of a shell that make the forecast again; what is not known here stands in capitals."""
    choice, window = shown.choice, shown.window
    lines, source = networks.source(shown.data, window.series)
    model = "ANCHOR"
    sizes = f"--horizon {window.horizon}"
    if choice.name == forecasters.ZERO_SHOT:
        model, source = forecasters.ZERO_SHOT, f"{source} --lookback {window.lookback} {sizes}"
        lines.append(
            "# the page chose how to read the past before the test part, this chooses before the cutoff: nearly the same forecast"
        )
    elif choice.folder is None:
        sizes = f"--lookback {window.lookback} --horizon {window.horizon}"
        split = ",".join(f"{share:g}" for share in networks.window_sizes(shown.data, window.series)[2])
        lines.append(f"python -m stvlm fit {source} {sizes} --split {split} --max-steps 0 --out {model}")
    elif choice.name == "shipped":
        model = f"checkpoints/{choice.folder.name}"
    else:
        model = f"$STVLM_HOME/runs/{choice.folder.parent.name}/model"
    cutoff = np.datetime_as_string(shown.forecast.times[0], unit="s")
    lines.append(f'python -m stvlm forecast --model "{model}" {source} --cutoff {cutoff} --out forecast.csv')
    if choice.explains:
        lines.append(f'python -m stvlm explain --model "{model}" {source} --cutoff {cutoff} --out explanation.json')
    return (f"# stvlm {stvlm.__version__}", *lines)
