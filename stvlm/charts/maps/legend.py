"""The legend of a map: which colour is which number, in which unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stvlm.charts.labels import ENGLISH, Wording
from stvlm.charts.scale import Scale, format_ticks, nice_ticks, with_unit
from stvlm.core.escape import html as escape

_MISSING_MARK = (
    '<span style="display:inline-block;width:8px;height:8px;border-radius:50%;border:2px dotted currentColor;vertical-align:-1px">'
    "</span> "
)


@dataclass(frozen=True)
class Legend:
    """What the colours of a map mean.

    Attributes:
        label: what is shown, "traffic speed"; unit: its unit, "" for none.
        low, high: numbers at the two ends, in `unit`.
        colours: "#rrggbb" from low to high.
        below, above: whether values beyond that end are shown in its colour.
        missing: whether sensors without a value are on the map.
    """

    label: str
    unit: str
    low: float
    high: float
    colours: tuple[str, ...]
    below: bool = False
    above: bool = False
    missing: bool = False

    @classmethod
    def of(cls, scale: Scale, label: str, unit: str, missing: bool = False) -> Legend:
        """The legend of a scale."""
        return cls(label, unit, scale.low, scale.high, scale.stops, scale.below, scale.above, missing)

    @property
    def title(self) -> str:
        """What is shown and its unit, "traffic speed, km/h"."""
        return with_unit(self.label, self.unit)


def legend_html(legend: Legend | None, words: Wording = ENGLISH) -> str:
    """A legend as one piece of HTML without script, styled inline, in the colour of the text around it.

    Args:
        legend: None gives "". words: what it says.
    """
    if legend is None:
        return ""
    ticks = nice_ticks(legend.low, legend.high)
    labels = _labels(ticks, words)
    marks = "".join(
        f'<span style="position:absolute;left:{_percent(tick, legend)};transform:translateX(-50%);white-space:nowrap">'
        f'<span style="display:block;width:1px;height:4px;margin:0 auto;background:currentColor"></span>{escape(text)}</span>'
        for tick, text in zip(ticks, labels, strict=True)
    )
    notes = []
    if legend.below or legend.above:
        ends = words.both if legend.below and legend.above else words.lower if legend.below else words.higher
        notes.append(escape(words.ends.format(ends=ends)))
    if legend.missing:
        notes.append(_MISSING_MARK + escape(words.missing))
    spoken = escape(words.legend.format(title=legend.title, low=labels[0], high=labels[-1]), quote=True)
    note = f'<div style="opacity:.8">{" &middot; ".join(notes)}</div>' if notes else ""
    return (
        f'<div role="img" aria-label="{spoken}" style="font:12px/1.35 sans-serif;max-width:420px">'
        f'<div style="font-weight:600;margin-bottom:3px">{escape(legend.title)}</div>'
        f'<div style="margin:0 18px"><div style="height:12px;border:1px solid currentColor;'
        f'background:linear-gradient(to right,{",".join(legend.colours)})"></div>'
        f'<div style="position:relative;height:22px">{marks}</div></div>{note}</div>'
    )


def _percent(tick: float, legend: Legend) -> str:
    return f"{100 * (tick - legend.low) / (legend.high - legend.low):.2f}%"


def _labels(ticks: np.ndarray, words: Wording) -> list[str]:
    labels = format_ticks(ticks)
    return labels if words.locale == "en" else [label.translate(str.maketrans(",.", ".,")) for label in labels]
