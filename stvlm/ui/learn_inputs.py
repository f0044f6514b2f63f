"""Learn, steps one to three: the sensor, the image, the prompt."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.charts import lesson as figures
from stvlm.charts.images import image_png
from stvlm.charts.matrix import Axis, matrix_picture
from stvlm.charts.scale import with_unit
from stvlm.data.series import to_local
from stvlm.ui import frame, models, show, whatif_controls, widgets, words
from stvlm.ui.learn_parts import Lesson, shape, task, think, verdict
from stvlm.ui.words import say, told

AROUND = 2  # pixels shown in the table on each side of the sensor's own
SHARES = (0.01, 0.1)  # of what sensors usually vary by: borders between little, something and much
ENOUGH = 0.1  # the same, from which an effect of news counts


def sensor_step(lesson: Lesson) -> None:
    """Readings, and the departures that the model gets of them; exercise: who matters most to this sensor?"""
    inside, series, node = lesson.inside, lesson.window.series, lesson.sensor
    st.markdown(say("learn.sensor.what", name=lesson.name))
    left, right = st.columns([3, 2])
    with left:
        figure = figures.past_lines(
            inside.past[:, node],
            inside.scaled[:, node],
            to_local(lesson.window.past_times, series.timezone),
            with_unit(series.quantity, series.unit),
            say("learn.sensor.departure"),
            say("whatif.time", zone=series.timezone).strip(),
            frame.theme(),
        )
        show.plot(figure, "learn-past", say("learn.sensor.alt"), height=340)
    with right:
        rows = {
            say("whatif.when"): words.moments(lesson.window.past_times, series.timezone),
            with_unit(say("learn.sensor.reading"), series.unit): inside.past[:, node],
            say("learn.sensor.departure"): inside.scaled[:, node],
        }
        widgets.table(pd.DataFrame(rows), say("learn.sensor.alt"), height=300)
        st.caption(say("learn.sensor.shape", shape=shape(*inside.past.shape)))
    think("sensor")
    task("sensor", name=lesson.name)
    _silence(lesson)


def _silence(lesson: Lesson) -> None:
    from stvlm.lesson import suspects
    from stvlm.whatif import Change

    network = lesson.window.series.network
    labels = {node: widgets.sensor_label(network, node) for node in suspects(network, lesson.sensor)}
    answer = st.radio(
        say("learn.sensor.pick"), list(labels), None, format_func=lambda n: widgets.plain(labels[n]), key=lesson.key("sensor")
    )
    if answer is None:
        return
    effects = {node: lesson.moved(Change(dropped=(network.ids[node],))) for node in labels}
    right = max(effects, key=lambda node: np.nan_to_num(effects[node]))
    verdict("sensor", answer == right, name=widgets.plain(labels[answer]), amount=lesson.amount(effects[answer]))
    if answer == right:
        heads = (say("learn.sensor.silent"), with_unit(say("learn.sensor.moved"), lesson.window.series.unit))
        rows = pd.DataFrame(dict(zip(heads, (labels.values(), effects.values()), strict=True)))
        widgets.table(rows, say("learn.sensor.moved"), 3)


def image_step(lesson: Lesson) -> None:
    """The image tensor; exercise: what happens to the forecast when it is noise?"""
    images = lesson.before.images
    if images is None:
        st.info(say("learn.image.none"))
        return
    from stvlm.modalities.image import ImageConfig, legend

    name = models.view_names(lesson.choice, lesson.window.series)[0]
    view = legend(ImageConfig(views=(name,)))[0]
    labels = [told("view", channel.label) for channel in view.channels]
    row, column = (int(places[lesson.sensor]) for places in lesson.inside.pixel)
    st.markdown(say("learn.image.what", title=told("view", view.title), name=lesson.name, row=row + 1, column=column + 1))
    left, right = st.columns([3, 2])
    names = tuple(str(i + 1) for i in range(images.shape[-1]))
    with left:
        marked = (row, column) if view.is_georeferenced else (None, None)
        axes = (Axis(say("learn.image.rows"), names, marked[0]), Axis(say("learn.image.columns"), names, marked[1]))
        figure = matrix_picture(images[0, 0], *axes, labels[0], "", frame.theme())
        show.plot(figure, "learn-image", say("learn.image.alt"), height=430)
        st.caption(say("learn.image.first", label=labels[0]))
    with right:
        st.image(image_png(images[0], 256), width=200, alt=say("whatif.image_alt"))
        st.caption(say("learn.image.colours", labels="; ".join(labels)))
        st.caption(say("learn.image.shape", shape=shape(*images.shape)))
    with st.expander(say("learn.image.numbers")):
        rows, columns = (slice(max(0, at - AROUND), at + AROUND + 1) for at in (row, column))
        table = pd.DataFrame(images[0, 0, rows, columns], columns=names[columns])
        table.insert(0, say("learn.image.row"), names[rows])
        widgets.table(table, say("learn.image.numbers"), 3)
    think("image")
    task("image")
    _guess_noise(lesson)


def _guess_noise(lesson: Lesson) -> None:
    from stvlm.whatif import Change, usual_spread

    usual = float(np.mean(usual_spread(lesson.window)))
    low, high = (lesson.amount(share * usual) for share in SHARES)
    options = {"little": say("learn.image.little", low=low), "some": say("learn.image.some", low=low, high=high)}
    options["much"] = say("learn.image.much", high=high)
    answer = st.radio(say("learn.image.pick"), list(options), None, format_func=options.get, key=lesson.key("image"))
    if answer is None:
        return
    moved = lesson.moved(Change(spoilt="noise image"), everywhere=True)
    right = ("little", "some", "much")[int(np.searchsorted(np.array(SHARES) * usual, np.nan_to_num(moved)))]
    verdict("image", answer == right, amount=lesson.amount(moved))
    if answer == right:
        frame.page_link("whatif", say("learn.image.more"))


def prompt_step(lesson: Lesson) -> None:
    """The prompt and its sentences; exercise: news that move the forecast."""
    if not lesson.before.prompt:
        st.info(say("learn.prompt.none"))
        return
    from stvlm.modalities.prompt import describe_window

    count, config = models.text_side(lesson.choice, lesson.window.series)
    prompt = describe_window(lesson.window, config, count)
    st.markdown(say("learn.prompt.what"))
    left, right = st.columns([2, 3])
    with left:
        st.code(lesson.before.prompt, language=None, wrap_lines=True)
        st.caption(say("learn.prompt.shape", used=prompt.tokens_used, budget=prompt.budget))
    with right:
        rows = {
            say("learn.prompt.kind"): [s.kind for s in prompt.sentences],
            say("learn.prompt.sentence"): [s.text for s in prompt.sentences],
            say("learn.prompt.kept"): [s.kept for s in prompt.sentences],
        }
        widgets.table(pd.DataFrame(rows), say("learn.prompt.alt"))
    think("prompt")
    goal = ENOUGH * lesson.spread
    task("prompt", name=lesson.name, goal=lesson.amount(goal), example=widgets.plain(_calm(lesson)))
    _write_news(lesson, goal)


def _calm(lesson: Lesson) -> str:
    return f"all is well at {lesson.window.series.network.name(lesson.sensor)}"


def _write_news(lesson: Lesson, goal: float) -> None:
    from stvlm.whatif import LONGEST_EVENT, Change

    example = whatif_controls.incident(lesson.window, lesson.window.series.network.ids[lesson.sensor])
    text = st.text_input(say("whatif.event"), key=lesson.key("prompt"), max_chars=LONGEST_EVENT, placeholder=example).strip()
    if not text:
        return
    outcome = lesson.imagine(Change(event=text))
    moved = lesson.moved(Change(event=text))
    calm = lesson.moved(Change(event=_calm(lesson)))
    if lesson.can.is_anchor:
        st.warning(say("whatif.is_anchor"), icon=":material/warning:")
    verdict("prompt", moved >= goal > 0, amount=lesson.amount(moved), goal=lesson.amount(goal), calm=lesson.amount(calm))
    change = float(np.nanmean((outcome.forecast.median - lesson.forecast.median)[:, lesson.sensor]))
    st.caption(say("learn.prompt.effect", amount=lesson.amount(change)))
