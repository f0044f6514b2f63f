"""Where a training put its low-rank adapters' ranks: by layer and by modality, over its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from stvlm.charts.figure import plain, say, style
from stvlm.charts.palette import MODALITY_COLOURS, VIRIDIS, colour_table, hex_of


@dataclass(frozen=True)
class Labels:
    """What the figure says."""

    step: str = "training step"
    at: str = "step"
    rank: str = "mean rank of an adapter"
    mean: str = "mean rank"
    no_ranks: str = "No ranks have been shared out: this strategy has none to move."


def rank_lines(
    rows: Iterable[dict], theme: str = "light", labels: Labels = Labels(), named: Callable[[str], str] = str
) -> go.Figure:
    """Mean rank of the adapters of each decoder layer and of each modality, as stairs over the steps.

    Args:
        rows: {"step": int, "ranks": {part: rank}} whenever ranks were shared out; a part is "layer 1: ..." or a modality.
        theme: "light" or "dark". labels: what the figure says. named: a layer or modality -> what it is called.
    """
    table = rank_table(rows)
    figure = style(go.Figure(), theme, x=labels.step, y=labels.rank)
    figure.update_yaxes(rangemode="tozero")
    if not len(table):
        return say(figure, labels.no_ranks)
    groups = [name for name in table.columns if name != "step"]
    layers = [name for name in groups if name not in MODALITY_COLOURS]
    ends = (20, 200) if theme == "light" else (100, 250)  # shades that stand out from the page
    shades = hex_of(colour_table(VIRIDIS)[np.linspace(*ends, max(len(layers), 1)).astype(int)])
    colours = dict(zip(layers, shades, strict=False)) | MODALITY_COLOURS
    for name in groups:
        line = {"color": colours[name], "shape": "hv", "width": 2} | ({} if name in layers else {"dash": "dash", "width": 3})
        hover = f"{plain(named(name))}, {labels.at} %{{x}}: {labels.mean} %{{y:.2f}}<extra></extra>"
        figure.add_scatter(x=table["step"], y=table[name], name=plain(named(name)), mode="lines", line=line, hovertemplate=hover)
    return figure


def rank_table(rows: Iterable[dict]) -> pd.DataFrame:
    """The same as a table: a row for each sharing out; "step", then a column for each layer and for each modality.

    Args:
        rows: as for `rank_lines`.
    """
    table = []
    for row in rows:
        groups: dict[str, list[int]] = {}
        for part, rank in (row.get("ranks") or {}).items():
            groups.setdefault(part.split(":")[0], []).append(rank)
        if groups:
            table.append({"step": row["step"]} | {name: sum(ranks) / len(ranks) for name, ranks in groups.items()})
    return pd.DataFrame(table).drop_duplicates(ignore_index=True)
