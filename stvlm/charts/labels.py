"""What maps and figures say, so that a page can hand them the same in another language."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stvlm.charts.scale import format_times, format_value

CALENDAR = "Mon Tue Wed Thu Fri Sat Sun Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"


@dataclass(frozen=True)
class Wording:
    """Sentences of the charts; what stands in braces is filled in. `locale` says how numbers are written."""

    locale: str = "en"
    calendar: str = CALENDAR
    missing: str = "missing"
    north: str = "north is up"
    lasso: str = "Lasso"
    lasso_help: str = "draw around sensors to choose them"
    ends: str = "{ends} values take the end colour"
    lower: str = "lower"
    higher: str = "higher"
    both: str = "lower and higher"
    legend: str = "Legend: {title}, colours from about {low} to about {high}"
    n_sensors: str = "{n} sensors"
    mean_of_them: str = "mean {mean} ({low} to {high})"
    with_alarm: str = "{n} with an alarm"
    closer: str = "click to look closer"
    forecast_for: str = "{quantity}, median forecast for {when}"
    median_forecast: str = "{quantity}, median forecast"
    band_of: str = "80 % band: {low} to {high}"
    off_for: str = "{quantity}, forecast minus measured, {when}"
    off_of: str = "forecast {forecast}, measured {measured}"
    chance_for: str = "chance of {quantity} {side} {level}, {when}"
    above: str = "above"
    below: str = "below"
    alarm: str = "ALARM"
    median_of: str = "median {value}"
    share_of: str = "share of {modality} in the fusion"
    looks: str = "the sensor that looks"
    heed_of: str = "{share} of sensor attention"
    heed: str = "share of sensor attention"
    sight: str = "share of image attention"
    looked_at: str = "What the forecast of {name} looked at"
    mix: str = "shares of the modalities in the fusion"
    mix_spoken: str = "Legend: a triangle of colours. Its corners are {corners}; a sensor's colour mixes them by its shares."
    play: str = "play"
    pause: str = "pause"
    over_time: str = "play over time"
    time_step: str = "time step"
    speed: str = "speed, steps per second"
    swap: str = "show what came instead of the forecast"
    forecast: str = "the forecast"
    came: str = "what came"
    past: str = "past readings"
    median: str = "{name}, median"
    medians: str = "{name}, medians"
    band: str = "{share} % band"
    to: str = "(80 %: {low} to {high})"
    begins: str = "forecast begins"
    local_time: str = "local time ({zone})"
    time: str = "time"
    mean: str = "mean"
    mean_line: str = "{name}, mean"
    range_line: str = "{name}, lowest to highest"
    no_reading: str = "This sensor has no reading and no forecast here: all values are missing."
    no_forecast: str = "No forecast for this sensor: all its values are missing."
    choose: str = "Choose a sensor to see its readings."
    all_missing: str = "All readings of the chosen sensors are missing."
    vision: str = "vision"
    text: str = "text"
    series: str = "series"
    mean_of_all: str = "mean of all sensors"
    share: str = "share of the fusion, %"
    no_shares: str = "No shares: this model has no fusion."
    taken_away: str = "taken away"
    change: str = "mean absolute change"
    change_signed: str = "change of the forecast"
    without: str = "without {modality}"
    no_deletion: str = "The effect of deleting was not measured."
    no_prompt: str = "This forecast read no prompt."
    shaded: str = "Prompt shaded by attention; most: {top}"
    space: str = "space"

    def number(self, value: float, decimals: int, unit: str = "") -> str:
        """A number with its unit, "1,063.0 km/h"; the word for missing for NaN."""
        if not np.isfinite(value):
            return self.missing
        text = format_value(float(value), decimals)
        text = text if self.locale == "en" else text.translate(str.maketrans(",.", ".,"))
        return f"{text} {unit}".rstrip()

    def times(self, times: np.ndarray, timezone: str = "") -> list[str]:
        """(H,) times as texts on the network's own clock: "Mon 12 May 2025 08:15"."""
        texts = format_times(times, timezone)
        if self.calendar == CALENDAR:
            return texts
        names = dict(zip(CALENDAR.split(), self.calendar.split(), strict=True))
        return [" ".join(names.get(word, word) for word in text.split()) for text in texts]

    def zone(self, timezone: str) -> str:
        """Title of a time axis."""
        return self.local_time.format(zone=timezone) if timezone else self.time

    def modality(self, name: str) -> str:
        """What people call "vision", "text" or "series"."""
        return {"vision": self.vision, "text": self.text, "series": self.series}[name]


ENGLISH = Wording()
