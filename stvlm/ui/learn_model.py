"""Learn, steps four to six: the tokens, their fusion, the forecast."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import lesson as figures
from stvlm.charts import versus
from stvlm.charts.matrix import Axis, matrix_picture
from stvlm.charts.palette import MODALITY_COLOURS
from stvlm.charts.scale import fit_scale, with_unit
from stvlm.data.forecast import MODALITIES, Forecast
from stvlm.ui import frame, imagining, models, show, whatif_controls, widgets, words
from stvlm.ui.learn_parts import Lesson, shape, task, think, verdict
from stvlm.ui.words import say

NUMBERS_SHOWN = 4  # of a token
DRAWN = 6  # rows of a table of what was drawn on
MOVED = 0.2  # share of what sensors usually vary by, from which a forecast counts as broken


def tokens_step(lesson: Lesson) -> None:
    """Image patches, words and sensors as vectors; exercise: hide a sensor's name from the model."""
    inside, network = lesson.inside, lesson.window.series.network
    counts = dict(zip(MODALITIES, map(len, (inside.image_tokens, inside.text_tokens, inside.series_tokens)), strict=True))
    width = inside.series_tokens.shape[1] if len(inside.series_tokens) else 0
    st.markdown(say("learn.tokens.what", width=width))
    names = [say(f"learn.tokens.{m}") for m in MODALITIES]
    figure = figures.bars(
        names, list(counts.values()), [str(n) for n in counts.values()], say("learn.tokens.count"),
        [MODALITY_COLOURS[m] for m in MODALITIES], frame.theme(),
    )  # fmt: skip
    show.plot(figure, "learn-tokens", say("learn.tokens.alt"), height=210)
    if width:
        labels = tuple(widgets.sensor_label(network, n) for n in range(network.n_sensors))
        axes = (
            Axis(say("learn.tokens.rows"), labels, lesson.sensor),
            Axis(say("learn.tokens.columns"), tuple(map(str, range(1, width + 1)))),
        )
        figure = matrix_picture(inside.series_tokens, *axes, say("learn.tokens.series"), "", frame.theme(), "diverging")
        show.plot(figure, "learn-series-tokens", say("learn.tokens.alt_series"), height=360)
    with st.expander(say("learn.tokens.numbers")):
        widgets.table(_token_rows(lesson), say("learn.tokens.numbers"), 3)
    st.caption(
        say("learn.tokens.shape", shapes=", ".join(f"{n}: {shape(c, width)}" for n, c in zip(names, counts.values(), strict=True)))
    )
    think("tokens")
    if lesson.before.prompt:
        task("tokens", name=lesson.name)
        _hide_name(lesson)


def _token_rows(lesson: Lesson) -> pd.DataFrame:
    """The first numbers of every token: words, then sensors."""
    inside = lesson.inside
    pieces = imagining.token_texts(lesson.choice, lesson.window.series, lesson.before.prompt)
    texts = [f"“{piece}”" for piece in pieces[: len(inside.text_tokens)]]
    tokens = np.concatenate([inside.text_tokens[: len(texts)], inside.series_tokens])[:, :NUMBERS_SHOWN]
    texts += list(widgets.sensor_labels(lesson.window.series.network).values())[: len(inside.series_tokens)]
    table = pd.DataFrame(tokens, columns=[str(i + 1) for i in range(tokens.shape[1])])
    table.insert(0, say("learn.tokens.token"), texts)
    return table


def _hide_name(lesson: Lesson) -> None:
    from stvlm.lesson import is_misspelt
    from stvlm.whatif import LONGEST_EVENT, Change, named_in

    network = lesson.window.series.network
    right = whatif_controls.incident(lesson.window, network.ids[lesson.sensor])
    text = st.text_input(say("learn.tokens.pick"), right, key=lesson.key("tokens"), max_chars=LONGEST_EVENT).strip()
    if not text or text == right:
        return
    is_hidden = lesson.sensor not in named_in(network, text)
    first, second = (lesson.amount(lesson.moved(Change(event=news))) for news in (right, text))
    if is_hidden and not is_misspelt(text, right):
        st.info(say("learn.tokens.too_far"), icon=":material/lightbulb:")
    else:
        verdict("tokens", is_hidden, first=first, second=second)


def fusion_step(lesson: Lesson) -> None:
    """Shares and attention of the sensor in view; exercise: whose deletion moves the forecast most?"""
    explanation = models.explanation(lesson.choice, lesson.window)
    shares = 100 * explanation.modality_weights[lesson.sensor]
    st.markdown(say("learn.fusion.what", name=lesson.name))
    names = [say(f"learn.fusion.{m}") for m in MODALITIES]
    figure = figures.bars(
        names, shares, [f"{words.number(s)} %" for s in shares], say("learn.fusion.share"),
        [MODALITY_COLOURS[m] for m in MODALITIES], frame.theme(),
    )  # fmt: skip
    show.plot(figure, "learn-shares", say("learn.fusion.alt"), height=210)
    st.caption(say("learn.fusion.shape", shape=shape(*lesson.inside.fused.shape)))
    left, right = st.columns(2)
    share = say("learn.fusion.share")
    with left:
        top = np.argsort(-explanation.text_attention[lesson.sensor])[:DRAWN]
        rows = {say("learn.fusion.word"): [explanation.tokens[int(i)].strip() for i in top]}
        rows[share] = 100 * explanation.text_attention[lesson.sensor][top]
        widgets.table(pd.DataFrame(rows), say("learn.fusion.word"), 1)
    with right:
        top = np.argsort(-explanation.sensor_attention[lesson.sensor])[:DRAWN]
        rows = {say("common.sensor"): [widgets.sensor_label(explanation.network, int(n)) for n in top]}
        rows[share] = 100 * explanation.sensor_attention[lesson.sensor][top]
        widgets.table(pd.DataFrame(rows), say("common.sensor"), 1)
    think("fusion")
    task("fusion", name=lesson.name)
    labels = {m: say(f"modality.{m}") for m in MODALITIES if m in explanation.deletion}
    answer = st.radio(
        say("learn.fusion.pick"), list(labels), None, format_func=labels.get, key=lesson.key("fusion"), horizontal=True
    )
    if answer is None:
        return
    effects = {m: float(np.nanmean(np.abs(explanation.deletion[m][:, lesson.sensor]))) for m in labels}
    right_one = max(labels, key=lambda m: np.nan_to_num(effects[m]))
    verdict(
        "fusion",
        answer == right_one,
        answer=labels[answer],
        effects=", ".join(f"{labels[m]}: {lesson.amount(effects[m])}" for m in labels),
        largest=say(f"modality.{MODALITIES[int(shares.argmax())]}"),
    )
    frame.page_link("fusion", say("learn.fusion.more"))


def forecast_step(lesson: Lesson) -> None:
    """Quantiles around the anchor; exercise: spoil the readings until the forecast is broken."""
    forecast, node = lesson.forecast, lesson.sensor
    anchor = Forecast(
        forecast.network, forecast.quantity, forecast.unit, "anchor", forecast.times, (0.5,),
        lesson.inside.anchor[None, : len(forecast.times)], forecast.timezone,
    )  # fmt: skip
    st.markdown(say("learn.forecast.what", name=lesson.name))
    past = lesson.window.past[:, node]
    labels = versus.Labels(
        past=say("whatif.past"),
        seen="",
        came=say("whatif.came"),
        first=say("learn.forecast.anchor"),
        second=say("learn.forecast.model"),
        band="",
        begins=say("whatif.begins"),
        time=say("whatif.time", zone=forecast.timezone).strip(),
        quantity=forecast.quantity,
    )
    came = models.truth(lesson.window)
    figure = versus.versus_lines(
        past, past, lesson.window.past_times, came[:, node], anchor, forecast, node, labels, theme=frame.theme()
    )  # fmt: skip
    show.plot(figure, "learn-forecast", say("learn.forecast.alt"), height=360)
    rows = {say("whatif.when"): words.moments(forecast.times, forecast.timezone)}
    rows[with_unit(say("learn.forecast.anchor"), forecast.unit)] = anchor.median[:, node]
    rows |= {f"{100 * level:g} %": values[:, node] for level, values in zip(forecast.levels, forecast.values, strict=True)}
    widgets.table(pd.DataFrame(rows), say("learn.forecast.alt"), fit_scale(forecast.median).decimals)
    st.caption(say("learn.forecast.shape", shape=shape(*forecast.values.shape)))
    think("forecast")
    _break_readings(lesson, came)


def _break_readings(lesson: Lesson, came: np.ndarray) -> None:
    from stvlm.lesson import mean_error
    from stvlm.whatif import MOST_NOISE, Change, usual_spread

    goal = MOVED * float(np.mean(usual_spread(lesson.window)))
    task("forecast", goal=lesson.amount(goal))
    noise = st.slider(say("whatif.noise"), 0, MOST_NOISE, 0, 10, format="%d %%", key=lesson.key("forecast"))
    if not noise:
        return
    moved = lesson.moved(Change(noise=noise), everywhere=True)
    verdict("forecast", moved >= goal > 0, noise=noise, amount=lesson.amount(moved), goal=lesson.amount(goal))
    error, noisy = (mean_error(made, came) for made in (lesson.forecast, lesson.imagine(Change(noise=noise)).forecast))
    if np.isfinite(error):
        st.caption(say("learn.forecast.error", before=lesson.amount(error), after=lesson.amount(noisy)))
