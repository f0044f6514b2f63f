"""Alarms on the Forecast page: the rule, as one asks for it and as the URL holds it, and the list of sensors it concerns."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.core.alarms import AlarmRule, raised_alarms
from stvlm.core.forecast import Forecast
from stvlm.ui.shell import inputs, render, view_state
from stvlm.ui.shell.callbacks import Between, accept
from stvlm.ui.shell.i18n import format_number, format_short, format_times, t

LARGEST_LEVEL, LARGEST_CHANCE = float(np.finfo("f4").max), 99  # that of a reading, in its unit; %


def rule(forecast: Forecast) -> AlarmRule:
    """The rule in view; at first what only a tenth of the forecast medians exceed, with an even chance."""
    return view_state.parse_param("alarm", read_rule) or AlarmRule(_round_level(forecast))


def write_rule(rule: AlarmRule) -> str:
    """A rule as a word of the URL: "above 60 50" (level, chance in %)."""
    return f"{'above' if rule.above else 'below'} {rule.level:.9g} {100 * rule.chance:.6g}"


def read_rule(word: str) -> AlarmRule | None:
    """The inverse of `write_rule`; None for a word that is none, or that the widgets of `ask` cannot show."""
    match = re.fullmatch(r"(above|below) (-?\d[\d.e+-]{0,20}) (\d[\d.]{0,8})", word)
    if not match:
        return None
    try:
        level, chance = float(match[2]), float(match[3])
    except ValueError:
        return None
    can_be_shown = abs(level) <= LARGEST_LEVEL and chance <= LARGEST_CHANCE
    return AlarmRule(level, match[1] == "above", chance / 100) if can_be_shown else None


def ask(forecast: Forecast, now: AlarmRule) -> None:
    """Widgets for the rule; the map and the list follow."""
    unit = f", {forecast.unit}" if forecast.unit else ""
    keys = (
        view_state.bind("alarm-side", "above" if now.above else "below"),
        view_state.bind("alarm-level", float(now.level)),
        view_state.bind("alarm-chance", round(100 * now.chance)),
    )

    def put(side: str, level: float, chance: int) -> None:
        view_state.set_param("alarm", write_rule(AlarmRule(float(level), side == "above", chance / 100)))

    left, middle, right = st.columns(3, vertical_alignment="bottom")
    sides = {side: t(f"forecast.{side}") for side in ("above", "below")}
    offered = sides, Between(-LARGEST_LEVEL, LARGEST_LEVEL), range(LARGEST_CHANCE + 1)
    take = accept(dict(zip(keys, offered, strict=True)), put)
    left.segmented_control(
        t("forecast.alarm_when"), tuple(sides), key=keys[0], format_func=sides.get, required=True, on_change=take
    )
    middle.number_input(
        inputs.plain(t("forecast.alarm_level") + unit),
        -LARGEST_LEVEL,
        LARGEST_LEVEL,
        key=keys[1],
        on_change=take,
        format="%g",
        step=_step(forecast),
    )
    right.slider(t("forecast.alarm_chance"), 0, LARGEST_CHANCE, key=keys[2], on_change=take)


def listed(forecast: Forecast, now: AlarmRule) -> None:
    """The alarms as a table; a click on a row chooses the sensor."""
    table = alarm_table(forecast, now)
    words = in_words(now, forecast.unit)
    if table.empty:
        st.success(t("forecast.no_alarm", rule=inputs.plain(words), n=len(forecast.times)), icon=":material/check:")
        return
    st.caption(
        inputs.plain(
            t("forecast.alarms_of", n=format_number(len(table), 0), all=format_number(forecast.network.n_sensors, 0), rule=words)
        )
    )
    nodes = raised_alarms(forecast, now).sensor.tolist()
    render.sensor_table(table, forecast.network, "alarms", t("forecast.alt_alarms", rule=words), decimals=0, nodes=nodes)


def in_words(rule: AlarmRule, unit: str) -> str:
    """A rule as words of a sentence: "above 60 km/h with a chance over 50 %"."""
    level = f"{format_short(rule.level, 6)} {unit}".rstrip()
    side = t("forecast.above" if rule.above else "forecast.below")
    return t("forecast.rule", side=side, level=level, chance=format_short(100 * rule.chance))


def alarm_table(forecast: Forecast, now: AlarmRule) -> pd.DataFrame:
    """Sensors with an alarm, the likeliest first: name, first alarm, highest chance and when, how many steps."""
    found = raised_alarms(forecast, now)
    times = np.array(format_times(forecast.times, forecast.timezone), dtype=object)
    names = [inputs.sensor_label(forecast.network, int(node)) for node in found.sensor]
    return pd.DataFrame(
        {
            t("common.sensor"): names,
            t("forecast.first_alarm"): times[found["first"].to_numpy(int)],
            t("forecast.highest_chance"): 100 * found.highest.to_numpy(),
            t("forecast.then"): times[found.step.to_numpy(int)],
            t("forecast.steps"): found.steps.to_numpy(int),
        }
    )


def _round_level(forecast: Forecast) -> float:
    """What a tenth of the medians exceed, to two digits."""
    known = forecast.median[np.isfinite(forecast.median)]
    return float(f"{np.quantile(known, 0.9):.2g}") if known.size else 0.0


def _step(forecast: Forecast) -> float:
    """A twentieth of the spread of the medians, as a round number."""
    known = forecast.median[np.isfinite(forecast.median)]
    spread = float(np.ptp(known)) / 20 if known.size else 0.0
    return float(f"{10 ** np.floor(np.log10(spread)):.0e}") if spread > 0 else 1.0
