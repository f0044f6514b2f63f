"""What is lost at sensors that were never seen, and at sensors that fall silent.

    python -m experiments.unseen_sensors --data FOLDER --json OUT

Afterwards `python -m experiments.unseen_sensors --page` writes docs/unseen.md from unseen.json and unseen_synthetic.json in
stvlm/assets/results.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.image_kernel import picture_between
from experiments.unseen_network import network_between
from stvlm.anchor.ensemble import Anchor
from stvlm.datasets.folder import as_dataset, open_dataset, read_list
from stvlm.evaluation.backtest import backtest
from stvlm.evaluation.methods import FittedMethod, Report
from stvlm.evaluation.unseen_sensors import KNOWN, FurtherMethods, Hold, backtest_hidden
from stvlm.io.write import table_markdown

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs" / "unseen.md", ROOT / "stvlm/assets/results"
FEWEST, HOLD, DROP = 25, 0.2, 0.3  # sensors of a network; shares that are held out, and that fall silent
SIMPLE = ("inverse distance of ridge", "kriging of ridge")
SHOWN = (*SIMPLE, "anchor, by place alone", "anchor", "anchor and image (field)", "anchor and image (geography)", "network")
HEAD = """# Sensors that were never seen, and sensors that fall silent

Made by `python -m experiments.unseen_sensors --page` from what `python -m experiments.unseen_sensors --data FOLDER --json OUT` and
`python -m experiments.mosaic --json OUT` measured: `stvlm/assets/results/unseen.json` and `unseen_synthetic.json`.

## A fifth of the sensors held out

Their readings are hidden in training and in the input; they alone are scored, on every window of the test part. Everything is fitted
on the other sensors, and every choice is made by leaving out some of *those* on the validation part. Means over hold-outs (other
sensors with each seed); between two of them a network of some dozens of sensors easily differs by 10 %, so the columns are compared on
the same hidden sensors.

- **inverse distance / kriging of ridge**: the ridge forecasts of the others, interpolated: by the 6 nearest at the power of 2; by ordinary
  kriging with an exponential variogram fitted to those forecasts.
- **anchor**: the closed-form forecasts of the others, carried by the ways that did best (`stvlm/spatial/interpolation.py`): scale,
  kernel, median or mean, and a drift on what is known of a sensor without ever reading it: numeric columns of the sensor table, links,
  the ground. **by place alone** has the coordinates only, as for a click on the map. The Danube's table holds each gauge's mean
  discharge, a figure of its own long record: where no such figure is known, only the column "by place alone" can be had.
- **anchor and image**: sensors are weighed by how alike the picture is around them and around the place; taken only where that lowers
  the error of other sensors so hidden by 1 % and for more than half of them, else it is the anchor. **network**: a network trained on
  hidden sensors, taken by the same kind of rule (2 %).
"""


VIEWS = ("field", "geography")  # an image kernel is tried on each of them alone


def methods(models: tuple[str, ...], options: dict[str, Any]) -> FurtherMethods:
    """The rows beside the anchor's: "image", a kernel for each of VIEWS, and "network", trained on hidden sensors with these options."""

    def further(hold: Hold, anchor: Anchor, seconds: float, seed: int, report: Report) -> Iterator[FittedMethod]:
        if "image" in models:
            for view in VIEWS:
                yield picture_between(hold, anchor, seconds, (view,), KNOWN, seed, report)
        if "network" in models:
            yield network_between(hold, anchor, seconds, seed, options, report)

    return further


def measure(folder: Path, names: tuple[str, ...], seeds: int, further: FurtherMethods, done: dict, keep: Any) -> None:
    """Score each network of a folder, `keep` what is known after each."""
    entries = read_list(folder)
    for name in names or entries:
        dataset = as_dataset(name, entries[name])
        series, _, _ = open_dataset(folder, dataset)
        setting = (series, dataset.lookback, dataset.horizon, dataset.split)
        if name not in done["silent"]:
            result = backtest(*setting, ("ridge", "anchor"), seasons=dataset.seasons_minutes, drop_sensors=DROP)
            done["silent"][name] = {row["model"]: {k: row[k] for k in ("mae", "mae_all_there")} for row in result["scores"]}
            keep()
        if series.network.n_sensors >= FEWEST and name not in done["hidden"]:
            result = backtest_hidden(*setting, HOLD, seeds=seeds, seasons=dataset.seasons_minutes, further=further)
            done["hidden"][name] = _short(result, series.network.n_sensors, seeds)
            keep()
        print(
            name,
            json.dumps(done["hidden"].get(name, {}).get("mae", {})),
            json.dumps(done["silent"][name]),
            file=sys.stderr,
            flush=True,
        )


def _short(result: dict[str, Any], n_sensors: int, seeds: int) -> dict[str, Any]:
    """What the page needs of one network's result."""
    rows = {row["model"]: row for row in result["scores"]}
    means = [name for name in SHOWN if name in rows]
    runs = {m: [rows[m] if seeds == 1 else rows[f"{m} seed {s}"] for s in range(seeds)] for m in means}
    return {
        "unit": result["unit"],
        "sensors": n_sensors,
        "hidden": len(result["held_out"][0]),
        "seeds": seeds,
        "mae": {m: rows[m]["mae"] for m in means},
        "mae_by_seed": {m: [run["mae"] for run in mine] for m, mine in runs.items()},
        "coverage_80": {m: rows[m]["coverage_80"] for m in means},
        "taken": {m: sum(run["taken"] for run in mine) for m, mine in runs.items() if "taken" in mine[0]},
        "seconds": {m: statistics.mean(run["seconds_fit"] for run in mine) for m, mine in runs.items()},
        "ways": [run["placement"][0]["way"] for run in runs.get("anchor", [])],
    }


def page(found: dict[str, Any], synthetic: dict[str, Any]) -> str:
    """The whole page."""
    hidden = found["hidden"]
    models = [m for m in SHOWN if any(m in result["mae"] for result in hidden.values())]
    rows = [
        {"network": f"{name} ({r['hidden']} of {r['sensors']})", "unit": r["unit"]} | {m: r["mae"].get(m) for m in models}
        for name, r in hidden.items()
    ]
    wins = [name for name, r in hidden.items() if r["mae"]["anchor"] < min(r["mae"][m] for m in SIMPLE)]
    bare = [name for name, r in hidden.items() if r["mae"]["anchor, by place alone"] < min(r["mae"][m] for m in SIMPLE)]
    parts = [HEAD, table_markdown(pd.DataFrame(rows))]
    parts.append(
        f"Below both interpolations of the ridge: the anchor on {len(wins)} of {len(hidden)} networks, by place alone on {len(bare)}. "
        f"Seeds: {', '.join(sorted({str(r['seeds']) for r in hidden.values()}))}.\n"
    )
    parts += [_detail(hidden, models), _synthetic(synthetic), _silent(found["silent"])]
    return "\n".join(parts)


def _detail(hidden: dict[str, Any], models: list[str]) -> str:
    """How well bands hold, how often an image or a network was taken, what it costs."""
    optional = [m for m in models if any(m in r["taken"] for r in hidden.values())]
    rows = [
        {"network": name, "way of the first seed": r["ways"][0], "80 % band held": f"{r['coverage_80']['anchor']:.1%}"}
        | {f"{m}: taken": f"{r['taken'][m]} of {r['seeds']}" if m in r["taken"] else "not run" for m in optional}
        | {f"{m}: gain": f"{1 - r['mae'][m] / r['mae']['anchor']:+.1%}" if m in r["mae"] else "" for m in optional}
        | {f"{m}: seconds": f"{r['seconds'][m]:.0f}" if m in r["seconds"] else "" for m in ("anchor", *optional)}
        for name, r in hidden.items()
    ]
    note = "Seconds are those of a busy machine, one thread; those of an image or a network hold the anchor's fit.\n"
    return table_markdown(pd.DataFrame(rows)) + "\n" + note


def _synthetic(synthetic: dict[str, Any]) -> str:
    runs = synthetic["runs"]
    table = pd.DataFrame([{"forecast by": m} | {f"seed {i}": run[m] for i, run in enumerate(runs)} for m in runs[0]])
    gain = [1 - run["map"] / run["anchor, by place alone"] for run in runs]
    return (
        "## Where the picture alone tells\n\nA made-up mosaic of fields and ponds, 160 sensors, a fifth held out: what lies at a place "
        "decides what would be read there, and neighbours often stand on the other kind. Mean absolute errors in "
        f"{synthetic['unit']}. The image of the map lowers the error by {min(gain):.0%} to {max(gain):.0%} against the same without an "
        "image; the image of the field, which repeats what the sensors' own forecasts tell, and the map of another mosaic do not.\n\n"
        + table_markdown(table)
    )


def _silent(silent: dict[str, Any]) -> str:
    rise = {name: {m: row["mae"] / row["mae_all_there"] - 1 for m, row in models.items()} for name, models in silent.items()}
    rows = [
        {"network": name, "anchor, all there": models["anchor"]["mae_all_there"], "anchor, 30 % silent": models["anchor"]["mae"]}
        | {f"{m}: rise": f"{rise[name][m]:+.1%}" for m in ("anchor", "ridge")}
        for name, models in silent.items()
    ]
    median = {m: statistics.median(row[m] for row in rise.values()) for m in ("anchor", "ridge")}
    return (
        "## Three sensors in ten fall silent\n\nThey send nothing from one lookback before the test part on; all sensors are scored. "
        f"Median rise of the error over {len(silent)} networks: anchor {median['anchor']:+.1%}, ridge {median['ridge']:+.1%}.\n\n"
        + table_markdown(pd.DataFrame(rows))
    )


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(prog="python -m experiments.unseen_sensors", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--json", type=Path, default=RESULTS / "unseen.json", metavar="OUT", help="what is in it is not done again")
    parser.add_argument("--datasets", metavar="NAME,…")
    parser.add_argument("--models", default="image", metavar="NAME,…", help="beside the anchor: image,network")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-steps", type=int, metavar="N", help="of the network")
    parser.add_argument("--page", action="store_true", help="write docs/unseen.md from the results")
    options = parser.parse_args()
    if options.data:
        done = json.loads(options.json.read_text(encoding="utf-8")) if options.json.is_file() else {"hidden": {}, "silent": {}}

        def keep() -> None:
            options.json.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")

        names = tuple(options.datasets.split(",")) if options.datasets else ()
        fit = {} if options.max_steps is None else {"max_steps": options.max_steps}
        measure(options.data, names, options.seeds, methods(tuple(options.models.split(",")), fit), done, keep)
    if options.page:
        found, synthetic = (json.loads((RESULTS / f"{n}.json").read_text(encoding="utf-8")) for n in ("unseen", "unseen_synthetic"))
        PAGE.write_text(page(found, synthetic), encoding="utf-8")


if __name__ == "__main__":
    main()
