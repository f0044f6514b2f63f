"""Where a picture earns its place: python -m experiments.mosaic forecasts hidden sensors of a made-up land with and without its map.

Fields lie beside ponds in a mosaic so fine that the nearest sensor often stands on the other kind. Fields warm and cool with the
day of the weather, ponds hold back. Nothing but the map tells what lies at a place where nobody ever read anything.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from experiments.image_kernel import picture_between
from stvlm.anchor.fit import fit_anchor
from stvlm.core.base_layer import BaseLayer, Grid
from stvlm.core.network import EARTH_RADIUS_KM, SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.evaluation.backtest import make_setup, row_of
from stvlm.evaluation.methods import FittedMethod
from stvlm.evaluation.unseen_sensors import anchor_between, hidden_sensors, hold_out, ridge_between

CENTRE, SIDE_KM = (52.0, 5.0), 40.0
CELLS = 8  # a side of the mosaic
SPLIT, LOOKBACK, HORIZON = (0.6, 0.2, 0.2), 12, 4


def mosaic(n_sensors: int = 160, n_steps: int = 400, seed: int = 0) -> tuple[SensorSeries, np.ndarray]:
    """Temperatures over fields and ponds, and which sensors stand on a pond (N,) bool.

    Fields: 15 + w(t), ponds: 9 + 0.3 w(t - 6), with w a weather that all share, in degC; noise of 0.3. Steps are hours.
    """
    random = np.random.default_rng(seed)
    wet = random.random((CELLS, CELLS)) < 0.5
    place = random.uniform(-0.5, 0.5, (n_sensors, 2))  # shares of the side
    cell = np.floor((place + 0.5) * CELLS).astype(int).clip(0, CELLS - 1)
    on_pond = wet[cell[:, 1], cell[:, 0]]
    km = np.pi / 180 * EARTH_RADIUS_KM
    east, north = SIDE_KM / km / np.cos(np.radians(CENTRE[0])), SIDE_KM / km

    def corner(share: np.ndarray) -> np.ndarray:
        return np.stack([CENTRE[1] + east * share[..., 0], CENTRE[0] + north * share[..., 1]], axis=-1)

    west_south, east_north = corner(np.array([[-0.5, -0.5], [0.5, 0.5]]))
    layer = BaseLayer(grid=Grid(wet[::-1].astype("f4"), (*west_south, *east_north), "ponds"))
    lon, lat = corner(place).T
    network = SensorNetwork(tuple(f"P{i:03d}" for i in range(n_sensors)), lat, lon, base_layer=layer)
    weather = np.zeros(n_steps + 6)
    for t in range(1, n_steps + 6):
        weather[t] = 0.95 * weather[t - 1] + random.normal(0, 0.4)
    values = np.where(on_pond, 9 + 0.3 * weather[:-6, None], 15 + weather[6:, None]) + random.normal(0, 0.3, (n_steps, n_sensors))
    times = np.datetime64("2026-03-01T00:00:00") + np.arange(n_steps) * np.timedelta64(3600, "s")
    return SensorSeries(network, times, values, "water and air temperature", "degC"), on_pond


def measure(seed: int = 0, n_sensors: int = 160, n_steps: int = 400) -> dict[str, float]:
    """Mean absolute error in degC at the hidden sensors, a fifth of all, for each way to forecast them.

    "map, shuffled" is the map of another mosaic; "were they read" the closed-form forecast if the sensors were not hidden at all.
    """
    series, _ = mosaic(n_sensors, n_steps, seed)
    lay = partial(make_setup, lookback=LOOKBACK, horizon=HORIZON, shares=SPLIT, amount=None, seasons=())
    hidden = hidden_sensors(n_sensors, 0.2, seed)
    hold = hold_out(series, hidden, lay)
    anchor = fit_anchor(hold.course.series, hold.course.split, LOOKBACK, HORIZON)
    alone = {"seconds": 0.0, "columns": (), "seed": seed, "report": lambda message, share: None}
    another = replace(series, network=replace(series.network, base_layer=mosaic(n_sensors, 2, seed + 1000)[0].network.base_layer))
    found = {
        c.name: row_of(c, hold.scored)["mae"] for c in (*ridge_between(hold), anchor_between(hold, anchor, 0.0, by_place=True))
    }
    for name, views, base in (
        ("field image", ("field",), hold),
        ("map", ("geography",), hold),
        ("map, shuffled", ("geography",), None),
    ):
        mine = base or hold_out(another, hidden, lay)
        found[name] = row_of(picture_between(mine, anchor, views=views, **alone), mine.scored)["mae"]
    found["map as a column, no image"] = row_of(anchor_between(hold, anchor, 0.0), hold.scored)["mae"]
    whole = fit_anchor(series, hold.course.split, LOOKBACK, HORIZON)
    read = FittedMethod("were they read", lambda c: whole.forecast(series, c)[..., hidden], 0, 0, 0.0)
    return found | {read.name: row_of(read, hold.scored)["mae"]}


def main() -> None:
    """Print a table, and write it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m experiments.mosaic", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    runs = [measure(seed) for seed in range(options.seeds)]
    for name in runs[0]:
        print(f"{name:28s}" + "".join(f"{run[name]:8.3f}" for run in runs))
    if options.json:
        options.json.write_text(json.dumps({"unit": "degC", "runs": runs}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
