"""The Learn page: six steps from the sensor to the forecast, each to look at, to think about and to break; and a glossary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts.figures import comparison
from stvlm.charts.figures import teaching as figures
from stvlm.charts.figures.matrix import Axis, matrix_picture
from stvlm.charts.rasters import image_png
from stvlm.charts.scale import fit_scale, with_unit
from stvlm.charts.style import MODALITY_COLOURS
from stvlm.core.forecast import MODALITIES, Forecast
from stvlm.core.series import to_local
from stvlm.core.windows import Window
from stvlm.ui import whatif
from stvlm.ui.services import forecasters, networks, scenarios
from stvlm.ui.shell import i18n, inputs, layout, render, view_state
from stvlm.ui.shell.i18n import t, told

if TYPE_CHECKING:
    from stvlm.core.forecast import Forecast
    from stvlm.inference.scenario import Scenario, ScenarioResult
    from stvlm.inference.trace import ForwardTrace


# What the six steps of the Learn page share: what they look at, a question with its answer, and a verdict on an exercise.

STEPS = ("sensor", "image", "prompt", "tokens", "fusion", "forecast")


@dataclass(frozen=True, eq=False)
class Lesson:
    """One forecast that is taken apart.

    Attributes:
        choice: the forecaster. window: what it forecasts from. sensor: node in view. can: what the model does.
        inside: its tensors. before: its forecast as it is.
    """

    choice: forecasters.Choice
    window: Window
    sensor: int
    can: scenarios.Abilities
    inside: ForwardTrace
    before: ScenarioResult

    @property
    def name(self) -> str:
        """Name and id of the sensor in view, safe in markdown."""
        return inputs.plain(inputs.sensor_label(self.window.series.network, self.sensor))

    @property
    def unit(self) -> str:
        """The unit, safe in markdown."""
        return inputs.plain(self.window.series.unit)

    @property
    def forecast(self) -> Forecast:
        """The forecast as it is."""
        return self.before.forecast

    def imagine(self, change: Scenario) -> ScenarioResult:
        """The forecast with a change."""
        return scenarios.scenario_forecast(self.choice, self.window, change)

    def moved(self, change: Scenario, everywhere: bool = False) -> float:
        """Mean absolute change of the forecast by a change, in the unit: of the sensor in view, or of all."""
        from stvlm.inference.trace import mean_change

        return mean_change(self.forecast, self.imagine(change).forecast, None if everywhere else self.sensor)

    @property
    def spread(self) -> float:
        """What the sensor in view usually varies by, in the unit."""
        from stvlm.inference.scenario import typical_spread

        return float(typical_spread(self.window)[self.sensor])

    def amount(self, value: float) -> str:
        """A number in the unit, as text."""
        digits = fit_scale(self.forecast.median).decimals + 1
        return f"{i18n.format_number(value, digits)} {self.unit}".rstrip()

    def key(self, name: str) -> str:
        """A widget's key that changes with what the lesson looks at, so that no answer outlives its question."""
        return f"learn-{name}-{hash((self.window.series.fingerprint, self.window.cutoff, self.sensor, self.choice.name))}"


def shape(*sizes: int) -> str:
    """The shape of a tensor: "12 × 60"."""
    return " × ".join(str(size) for size in sizes)


def think(step: str) -> None:
    """The question of a step, and an answer behind a click."""
    st.markdown(f"**{t('learn.think')}** {t(f'learn.{step}.think')}")
    with st.expander(t("learn.an_answer")):
        st.markdown(t(f"learn.{step}.answer"))


def task(step: str, **fields: object) -> None:
    """What is to be broken in a step."""
    st.subheader(t("learn.break"), anchor=False)
    st.markdown(t(f"learn.{step}.task", **fields))


def verdict(step: str, is_right: bool, **fields: object) -> None:
    """Say whether an answer or an action is right, with the numbers of the real model; a step solved stays solved."""
    if is_right:
        st.success(t(f"learn.{step}.right", **fields), icon=":material/check_circle:")
        view_state.store("lesson.solved", view_state.load("lesson.solved", frozenset()) | {(view_state.data_id(), step)})
    else:
        st.info(t(f"learn.{step}.wrong", **fields), icon=":material/lightbulb:")


def solved() -> frozenset[str]:
    """The steps of this network that were solved in this session."""
    return frozenset(step for data, step in view_state.load("lesson.solved", frozenset()) if data == view_state.data_id())


# Learn, steps one to three: the sensor, the image, the prompt.

AROUND = 2  # pixels shown in the table on each side of the sensor's own
SHARES = (0.01, 0.1)  # of what sensors usually vary by: borders between little, something and much
ENOUGH = 0.1  # the same, from which an effect of news counts


def sensor_step(lesson: Lesson) -> None:
    """Readings, and the departures that the model gets of them; exercise: who matters most to this sensor?"""
    inside, series, node = lesson.inside, lesson.window.series, lesson.sensor
    st.markdown(t("learn.sensor.what", name=lesson.name))
    left, right = st.columns([3, 2])
    with left:
        figure = figures.past_lines(
            inside.past[:, node],
            inside.scaled[:, node],
            to_local(lesson.window.past_times, series.timezone),
            with_unit(series.quantity, series.unit),
            t("learn.sensor.departure"),
            t("whatif.time", zone=series.timezone).strip(),
            layout.theme(),
        )
        render.plot(figure, "learn-past", t("learn.sensor.alt"), height=340)
    with right:
        rows = {
            t("whatif.when"): i18n.format_times(lesson.window.past_times, series.timezone),
            with_unit(t("learn.sensor.reading"), series.unit): inside.past[:, node],
            t("learn.sensor.departure"): inside.scaled[:, node],
        }
        inputs.table(pd.DataFrame(rows), t("learn.sensor.alt"), height=300)
        st.caption(t("learn.sensor.shape", shape=shape(*inside.past.shape)))
    think("sensor")
    task("sensor", name=lesson.name)
    _silence(lesson)


def _silence(lesson: Lesson) -> None:
    from stvlm.inference.scenario import Scenario
    from stvlm.inference.trace import quiz_options

    network = lesson.window.series.network
    labels = {node: inputs.sensor_label(network, node) for node in quiz_options(network, lesson.sensor)}
    answer = st.radio(
        t("learn.sensor.pick"), list(labels), None, format_func=lambda n: inputs.plain(labels[n]), key=lesson.key("sensor")
    )
    if answer is None:
        return
    effects = {node: lesson.moved(Scenario(dropped=(network.ids[node],))) for node in labels}
    right = max(effects, key=lambda node: np.nan_to_num(effects[node]))
    verdict("sensor", answer == right, name=inputs.plain(labels[answer]), amount=lesson.amount(effects[answer]))
    if answer == right:
        heads = (t("learn.sensor.silent"), with_unit(t("learn.sensor.moved"), lesson.window.series.unit))
        rows = pd.DataFrame(dict(zip(heads, (labels.values(), effects.values()), strict=True)))
        inputs.table(rows, t("learn.sensor.moved"), 3)


def image_step(lesson: Lesson) -> None:
    """The image tensor; exercise: what happens to the forecast when it is noise?"""
    images = lesson.before.images
    if images is None:
        st.info(t("learn.image.none"))
        return
    from stvlm.modalities.image.views import ImageConfig, legend

    name = forecasters.view_names(lesson.choice, lesson.window.series)[0]
    view = legend(ImageConfig(views=(name,)))[0]
    labels = [told("view", channel.label) for channel in view.channels]
    row, column = (int(places[lesson.sensor]) for places in lesson.inside.pixel)
    st.markdown(t("learn.image.what", title=told("view", view.title), name=lesson.name, row=row + 1, column=column + 1))
    left, right = st.columns([3, 2])
    names = tuple(str(i + 1) for i in range(images.shape[-1]))
    with left:
        marked = (row, column) if view.is_georeferenced else (None, None)
        axes = (Axis(t("learn.image.rows"), names, marked[0]), Axis(t("learn.image.columns"), names, marked[1]))
        figure = matrix_picture(images[0, 0], *axes, labels[0], "", layout.theme())
        render.plot(figure, "learn-image", t("learn.image.alt"), height=430)
        st.caption(t("learn.image.first", label=labels[0]))
    with right:
        st.image(image_png(images[0], 256), width=200, alt=t("whatif.image_alt"))
        st.caption(t("learn.image.colours", labels="; ".join(labels)))
        st.caption(t("learn.image.shape", shape=shape(*images.shape)))
    with st.expander(t("learn.image.numbers")):
        rows, columns = (slice(max(0, at - AROUND), at + AROUND + 1) for at in (row, column))
        table = pd.DataFrame(images[0, 0, rows, columns], columns=names[columns])
        table.insert(0, t("learn.image.row"), names[rows])
        inputs.table(table, t("learn.image.numbers"), 3)
    think("image")
    task("image")
    _guess_noise(lesson)


def _guess_noise(lesson: Lesson) -> None:
    from stvlm.inference.scenario import Scenario, typical_spread

    usual = float(np.mean(typical_spread(lesson.window)))
    low, high = (lesson.amount(share * usual) for share in SHARES)
    options = {"little": t("learn.image.little", low=low), "some": t("learn.image.some", low=low, high=high)}
    options["much"] = t("learn.image.much", high=high)
    answer = st.radio(t("learn.image.pick"), list(options), None, format_func=options.get, key=lesson.key("image"))
    if answer is None:
        return
    moved = lesson.moved(Scenario(spoilt="noise image"), everywhere=True)
    right = ("little", "some", "much")[int(np.searchsorted(np.array(SHARES) * usual, np.nan_to_num(moved)))]
    verdict("image", answer == right, amount=lesson.amount(moved))
    if answer == right:
        layout.page_link("whatif", t("learn.image.more"))


def prompt_step(lesson: Lesson) -> None:
    """The prompt and its sentences; exercise: news that move the forecast."""
    if not lesson.before.prompt:
        st.info(t("learn.prompt.none"))
        return
    from stvlm.modalities.text.prompt import describe_window

    count, config = forecasters.text_side(lesson.choice, lesson.window.series)
    prompt = describe_window(lesson.window, config, count)
    st.markdown(t("learn.prompt.what"))
    left, right = st.columns([2, 3])
    with left:
        st.code(lesson.before.prompt, language=None, wrap_lines=True)
        st.caption(t("learn.prompt.shape", used=prompt.tokens_used, budget=prompt.budget))
    with right:
        rows = {
            t("learn.prompt.kind"): [s.kind for s in prompt.sentences],
            t("learn.prompt.sentence"): [s.text for s in prompt.sentences],
            t("learn.prompt.kept"): [s.kept for s in prompt.sentences],
        }
        inputs.table(pd.DataFrame(rows), t("learn.prompt.alt"))
    think("prompt")
    goal = ENOUGH * lesson.spread
    task("prompt", name=lesson.name, goal=lesson.amount(goal), example=inputs.plain(_calm(lesson)))
    _write_news(lesson, goal)


def _calm(lesson: Lesson) -> str:
    return f"all is well at {lesson.window.series.network.name(lesson.sensor)}"


def _write_news(lesson: Lesson, goal: float) -> None:
    from stvlm.inference.scenario import LONGEST_EVENT, Scenario

    example = whatif.incident(lesson.window, lesson.window.series.network.ids[lesson.sensor])
    text = st.text_input(t("whatif.event"), key=lesson.key("prompt"), max_chars=LONGEST_EVENT, placeholder=example).strip()
    if not text:
        return
    outcome = lesson.imagine(Scenario(event=text))
    moved = lesson.moved(Scenario(event=text))
    calm = lesson.moved(Scenario(event=_calm(lesson)))
    if lesson.can.is_anchor:
        st.warning(t("whatif.is_anchor"), icon=":material/warning:")
    verdict("prompt", moved >= goal > 0, amount=lesson.amount(moved), goal=lesson.amount(goal), calm=lesson.amount(calm))
    change = float(np.nanmean((outcome.forecast.median - lesson.forecast.median)[:, lesson.sensor]))
    st.caption(t("learn.prompt.effect", amount=lesson.amount(change)))


# Learn, steps four to six: the tokens, their fusion, the forecast.

NUMBERS_SHOWN = 4  # of a token
DRAWN = 6  # rows of a table of what was drawn on
MOVED = 0.2  # share of what sensors usually vary by, from which a forecast counts as broken


def tokens_step(lesson: Lesson) -> None:
    """Image patches, words and sensors as vectors; exercise: hide a sensor's name from the model."""
    inside, network = lesson.inside, lesson.window.series.network
    counts = dict(zip(MODALITIES, map(len, (inside.image_tokens, inside.text_tokens, inside.series_tokens)), strict=True))
    width = inside.series_tokens.shape[1] if len(inside.series_tokens) else 0
    st.markdown(t("learn.tokens.what", width=width))
    names = [t(f"learn.tokens.{m}") for m in MODALITIES]
    figure = figures.bars(
        names, list(counts.values()), [str(n) for n in counts.values()], t("learn.tokens.count"),
        [MODALITY_COLOURS[m] for m in MODALITIES], layout.theme(),
    )  # fmt: skip
    render.plot(figure, "learn-tokens", t("learn.tokens.alt"), height=210)
    if width:
        labels = tuple(inputs.sensor_label(network, n) for n in range(network.n_sensors))
        axes = (
            Axis(t("learn.tokens.rows"), labels, lesson.sensor),
            Axis(t("learn.tokens.columns"), tuple(map(str, range(1, width + 1)))),
        )
        figure = matrix_picture(inside.series_tokens, *axes, t("learn.tokens.series"), "", layout.theme(), "diverging")
        render.plot(figure, "learn-series-tokens", t("learn.tokens.alt_series"), height=360)
    with st.expander(t("learn.tokens.numbers")):
        inputs.table(_token_rows(lesson), t("learn.tokens.numbers"), 3)
    st.caption(
        t("learn.tokens.shape", shapes=", ".join(f"{n}: {shape(c, width)}" for n, c in zip(names, counts.values(), strict=True)))
    )
    think("tokens")
    if lesson.before.prompt:
        task("tokens", name=lesson.name)
        _hide_name(lesson)


def _token_rows(lesson: Lesson) -> pd.DataFrame:
    """The first numbers of every token: words, then sensors."""
    inside = lesson.inside
    pieces = scenarios.token_texts(lesson.choice, lesson.window.series, lesson.before.prompt)
    texts = [f"“{piece}”" for piece in pieces[: len(inside.text_tokens)]]
    tokens = np.concatenate([inside.text_tokens[: len(texts)], inside.series_tokens])[:, :NUMBERS_SHOWN]
    texts += list(inputs.sensor_labels(lesson.window.series.network).values())[: len(inside.series_tokens)]
    table = pd.DataFrame(tokens, columns=[str(i + 1) for i in range(tokens.shape[1])])
    table.insert(0, t("learn.tokens.token"), texts)
    return table


def _hide_name(lesson: Lesson) -> None:
    from stvlm.inference.scenario import LONGEST_EVENT, Scenario, named_in
    from stvlm.inference.trace import is_misspelt

    network = lesson.window.series.network
    right = whatif.incident(lesson.window, network.ids[lesson.sensor])
    text = st.text_input(t("learn.tokens.pick"), right, key=lesson.key("tokens"), max_chars=LONGEST_EVENT).strip()
    if not text or text == right:
        return
    is_hidden = lesson.sensor not in named_in(network, text)
    first, second = (lesson.amount(lesson.moved(Scenario(event=news))) for news in (right, text))
    if is_hidden and not is_misspelt(text, right):
        st.info(t("learn.tokens.too_far"), icon=":material/lightbulb:")
    else:
        verdict("tokens", is_hidden, first=first, second=second)


def fusion_step(lesson: Lesson) -> None:
    """Shares and attention of the sensor in view; exercise: whose deletion moves the forecast most?"""
    explanation = forecasters.explanation(lesson.choice, lesson.window)
    shares = 100 * explanation.modality_weights[lesson.sensor]
    st.markdown(t("learn.fusion.what", name=lesson.name))
    names = [t(f"learn.fusion.{m}") for m in MODALITIES]
    figure = figures.bars(
        names, shares, [f"{i18n.format_number(s)} %" for s in shares], t("learn.fusion.share"),
        [MODALITY_COLOURS[m] for m in MODALITIES], layout.theme(),
    )  # fmt: skip
    render.plot(figure, "learn-shares", t("learn.fusion.alt"), height=210)
    st.caption(t("learn.fusion.shape", shape=shape(*lesson.inside.fused.shape)))
    left, right = st.columns(2)
    share = t("learn.fusion.share")
    with left:
        top = np.argsort(-explanation.text_attention[lesson.sensor])[:DRAWN]
        rows = {t("learn.fusion.word"): [explanation.tokens[int(i)].strip() for i in top]}
        rows[share] = 100 * explanation.text_attention[lesson.sensor][top]
        inputs.table(pd.DataFrame(rows), t("learn.fusion.word"), 1)
    with right:
        top = np.argsort(-explanation.sensor_attention[lesson.sensor])[:DRAWN]
        rows = {t("common.sensor"): [inputs.sensor_label(explanation.network, int(n)) for n in top]}
        rows[share] = 100 * explanation.sensor_attention[lesson.sensor][top]
        inputs.table(pd.DataFrame(rows), t("common.sensor"), 1)
    think("fusion")
    task("fusion", name=lesson.name)
    labels = {m: t(f"modality.{m}") for m in MODALITIES if m in explanation.deletion}
    answer = st.radio(t("learn.fusion.pick"), list(labels), None, format_func=labels.get, key=lesson.key("fusion"), horizontal=True)
    if answer is None:
        return
    effects = {m: float(np.nanmean(np.abs(explanation.deletion[m][:, lesson.sensor]))) for m in labels}
    right_one = max(labels, key=lambda m: np.nan_to_num(effects[m]))
    verdict(
        "fusion",
        answer == right_one,
        answer=labels[answer],
        effects=", ".join(f"{labels[m]}: {lesson.amount(effects[m])}" for m in labels),
        largest=t(f"modality.{MODALITIES[int(shares.argmax())]}"),
    )
    layout.page_link("fusion", t("learn.fusion.more"))


def forecast_step(lesson: Lesson) -> None:
    """Quantiles around the anchor; exercise: spoil the readings until the forecast is broken."""
    forecast, node = lesson.forecast, lesson.sensor
    anchor = Forecast(
        forecast.network, forecast.quantity, forecast.unit, "anchor", forecast.times, (0.5,),
        lesson.inside.anchor[None, : len(forecast.times)], forecast.timezone,
    )  # fmt: skip
    st.markdown(t("learn.forecast.what", name=lesson.name))
    past = lesson.window.past[:, node]
    labels = comparison.VersusLabels(
        past=t("whatif.past"),
        seen="",
        came=t("whatif.came"),
        first=t("learn.forecast.anchor"),
        second=t("learn.forecast.model"),
        band="",
        begins=t("whatif.begins"),
        time=t("whatif.time", zone=forecast.timezone).strip(),
        quantity=forecast.quantity,
    )
    came = forecasters.truth(lesson.window)
    figure = comparison.versus_lines(
        past, past, lesson.window.past_times, came[:, node], anchor, forecast, node, labels, theme=layout.theme()
    )  # fmt: skip
    render.plot(figure, "learn-forecast", t("learn.forecast.alt"), height=360)
    rows = {t("whatif.when"): i18n.format_times(forecast.times, forecast.timezone)}
    rows[with_unit(t("learn.forecast.anchor"), forecast.unit)] = anchor.median[:, node]
    rows |= {f"{100 * level:g} %": values[:, node] for level, values in zip(forecast.levels, forecast.values, strict=True)}
    inputs.table(pd.DataFrame(rows), t("learn.forecast.alt"), fit_scale(forecast.median).decimals)
    st.caption(t("learn.forecast.shape", shape=shape(*forecast.values.shape)))
    think("forecast")
    _break_readings(lesson, came)


def _break_readings(lesson: Lesson, came: np.ndarray) -> None:
    from stvlm.inference.scenario import MOST_NOISE, Scenario, typical_spread
    from stvlm.inference.trace import mean_error

    goal = MOVED * float(np.mean(typical_spread(lesson.window)))
    task("forecast", goal=lesson.amount(goal))
    noise = st.slider(t("whatif.noise"), 0, MOST_NOISE, 0, 10, format="%d %%", key=lesson.key("forecast"))
    if not noise:
        return
    moved = lesson.moved(Scenario(noise=noise), everywhere=True)
    verdict("forecast", moved >= goal > 0, noise=noise, amount=lesson.amount(moved), goal=lesson.amount(goal))
    error, noisy = (mean_error(made, came) for made in (lesson.forecast, lesson.imagine(Scenario(noise=noise)).forecast))
    if np.isfinite(error):
        st.caption(t("learn.forecast.error", before=lesson.amount(error), after=lesson.amount(noisy)))


CITY = f"{networks.SAMPLE}synthetic_city"
_STEPS = dict(
    zip(
        STEPS,
        (
            sensor_step,
            image_step,
            prompt_step,
            tokens_step,
            fusion_step,
            forecast_step,
        ),
        strict=True,
    )
)


def begin() -> None:
    """What the lesson needs; a way to the sample on which every exercise has an effect."""
    st.markdown(t("learn.begin"))
    if view_state.data_id() != CITY:
        layout.page_link("learn", t("learn.open_city"), data=CITY)


@st.fragment
def lesson(choice: forecasters.Choice, window: Window) -> None:
    """The step in view, the way to its neighbours, and how much is solved.

    Args:
        choice: a trained forecaster. window: the moment that is taken apart.
    """
    from stvlm.inference.scenario import Scenario

    place = int(view_state.param_in("lesson", [str(i + 1) for i in range(len(STEPS))], "1")) - 1
    _navigation(place)
    sensor = inputs.pick_sensor(window.series.network)
    can = scenarios.abilities(choice, window.series)
    if can.is_anchor:
        st.warning(t("learn.is_anchor"), icon=":material/warning:")
    step = STEPS[place]
    st.subheader(f"{place + 1}. {t(f'learn.{step}.title')}", anchor=False)
    _STEPS[step](
        Lesson(
            choice,
            window,
            sensor,
            can,
            scenarios.forward_trace(choice, window),
            scenarios.scenario_forecast(choice, window, Scenario()),
        )
    )
    _neighbours(place)
    done = solved()
    st.progress(len(done & set(STEPS)) / len(STEPS), text=t("learn.progress", done=len(done & set(STEPS)), all=len(STEPS)))


def glossary() -> None:
    """Words of the lesson and what they mean."""
    with st.expander(t("learn.glossary")):
        keys = [key for key in i18n.sentences("en") if key.startswith("glossary.")]
        for key in keys:
            word, meaning = t(key).split(": ", 1)
            st.markdown(f"**{word}**: {meaning}")


def _navigation(place: int) -> None:
    """The six steps in a row; those that are solved bear a tick."""
    done = solved()
    labels = {
        str(i): f"{i} {t(f'learn.{step}.title')}" + (" \N{CHECK MARK}" if step in done else "") for i, step in enumerate(STEPS, 1)
    }
    key = view_state.bind("lesson", str(place + 1))
    st.segmented_control(
        t("learn.steps"),
        list(labels),
        key=key,
        format_func=labels.get,
        required=True,
        wrap=True,
        on_change=view_state.sync_to_url("lesson", key, labels),
    )


def _neighbours(place: int) -> None:
    with st.container(horizontal=True):
        for move, icon in ((-1, ":material/arrow_back:"), (1, ":material/arrow_forward:")):
            there = place + move
            if 0 <= there < len(STEPS):
                label = f"{there + 1} {t(f'learn.{STEPS[there]}.title')}"
                st.button(label, icon=icon, key=f"lesson{move}", on_click=view_state.set_param, args=("lesson", str(there + 1)))
