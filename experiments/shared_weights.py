"""What weights learnt on other networks are worth.

    python -m experiments.shared_weights --data FOLDER --groups a,b/c,d --json stvlm/assets/results/shared.json

For each group of networks weights are trained on all others and on made-up fields, and then forecast those of the group, which they never
saw. Afterwards `python -m experiments.shared_weights --page` writes docs/shared.md. Goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from stvlm.datasets.folder import Dataset, as_dataset, open_dataset, read_list
from stvlm.datasets.synthetic_physics import FIELDS
from stvlm.io.write import table_markdown

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs" / "shared.md", ROOT / "stvlm/assets/results" / "shared.json"
NAIVE = ("persistence", "seasonal naive", "historical average")
HEAD = """# Weights that networks share

Made by `python -m experiments.shared_weights --page` from what `python -m experiments.shared_weights --data FOLDER --groups …` measured.

`stvlm/assets/checkpoints/stvlm-tiny` holds one set of weights for any network: `python -m stvlm pretrain` trains it on many networks
together (no reading of their test parts) and on made-up fields that obey known physics. Nothing in it belongs to a sensor, a step or a
unit. On a new network its forecast is added to that of the anchor that nothing was fitted for, as far as replaying the network's own
recent past says (the share, 0 for not at all). Nothing is trained on the network.

Each network below was forecast by weights that saw neither it nor the other networks of its group. Mean absolute errors on the whole test
part; ratios are to the best of persistence, seasonal naive and historical average.
"""


def measure(options: argparse.Namespace, done: dict[str, Any]) -> None:
    """Train and score group by group, and keep what is known after each network."""
    from stvlm.evaluation.backtest import backtest
    from stvlm.model.pretrained import save
    from stvlm.training.pretrain import JointTraining, gather, manifest, tiny_config

    entries = {name: as_dataset(name, entry) for name, entry in read_list(options.data).items()}
    groups = [tuple(group.split(",")) for group in options.groups.split("/")]
    if unknown := {name for group in groups for name in group} - set(entries):
        sys.exit(f"--groups: no such network in {options.data.name}: {', '.join(sorted(unknown))}.")
    config = tiny_config(tuple(options.modalities.split(",")), options.seed)
    everything = [(options.data, dataset) for dataset in entries.values()]
    tasks = gather(everything, options.fields, config, options.seed, lambda line: print(line, file=sys.stderr, flush=True))
    for group in groups:
        if all(name in done["networks"] for name in group):
            continue
        training = JointTraining([task for task in tasks if task.name not in group], config, options.steps, seed=options.seed)
        started = time.perf_counter()
        while training.step < training.total:
            training.advance()
        seconds = time.perf_counter() - started
        model = training.finish()
        with tempfile.TemporaryDirectory() as folder:
            save(model, Path(folder) / "weights", manifest(training, vars(options) | {"leave_out": group}, training.gains()))
            for name in group:
                scores = {}
                for how, shared in (("anchor", ""), ("shared", str(Path(folder) / "weights"))):
                    scores[how] = _score(backtest, entries[name], options.data, shared, how == "anchor")
                done["networks"][name] = _row(name, entries[name], group, scores, seconds)
                options.json.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
                print(json.dumps(done["networks"][name]), file=sys.stderr, flush=True)


def _score(backtest: Any, dataset: Dataset, folder: Path, shared: str, with_naive: bool) -> list[dict[str, Any]]:
    """The rows of the naive methods, where asked for, and of zero-shot with some shared weights ("" for none)."""
    series, _, _ = open_dataset(folder, dataset)
    models = (*NAIVE, "zero-shot") if with_naive else ("zero-shot",)
    setting = (series, dataset.lookback, dataset.horizon, dataset.split, models)
    return backtest(*setting, seasons=dataset.seasons_minutes, fit_options={"shared": shared})["scores"]


def _row(name: str, dataset: Dataset, group: tuple[str, ...], scores: dict[str, list[dict]], seconds: float) -> dict[str, Any]:
    """What the page needs of one network."""
    naive = min(row["mae"] for row in scores["anchor"] if row["model"].startswith(NAIVE))
    anchor, shared = (next(row for row in scores[how] if row["model"] == "zero-shot") for how in ("anchor", "shared"))
    return {
        "unit": dataset.unit, "group": list(group), "naive": naive, "anchor": anchor["mae"], "shared": shared["mae"],
        "shrinkage": shared["shrinkage"], "coverage_80": shared["coverage_80"], "seconds_training": seconds,
        "seconds_fit": shared["seconds_fit"],
    }  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """The whole page."""
    rows = found["networks"]
    table = pd.DataFrame(
        [
            {"network": name, "unit": r["unit"], "best naive": r["naive"], "anchor alone": r["anchor"], "with shared weights": r["shared"],
             "share": f"{r['shrinkage']:.2f}", "gain": f"{1 - r['shared'] / r['anchor']:+.1%}",
             "ratio to naive": r["shared"] / r["naive"], "80 % band held": f"{r['coverage_80']:.1%}"}
            for name, r in rows.items()
        ]
    )  # fmt: skip
    ratios = {how: [r[how] / r["naive"] for r in rows.values()] for how in ("anchor", "shared")}
    better = sum(r["shared"] < r["anchor"] * 0.999 for r in rows.values())
    worse = sum(r["shared"] > r["anchor"] * 1.001 for r in rows.values())
    settings = found["settings"]
    groups = "; ".join(" + ".join(group) for group in sorted({tuple(r["group"]) for r in rows.values()}))
    seconds = statistics.median(r["seconds_training"] for r in rows.values())
    words = (
        f"\nBelow the best naive on {sum(x < 1 for x in ratios['shared'])} of {len(rows)}; median ratio "
        f"{statistics.median(ratios['shared']):.3f} (anchor alone {statistics.median(ratios['anchor']):.3f}). The shared weights lower the "
        f"error by more than 0.1 % on {better} networks and raise it by more on {worse}. Groups: {groups}. {settings['steps']} steps of 16 "
        f"windows, {settings['fields']} made-up networks of each of {len(FIELDS)} kinds, seed {settings['seed']}, modalities "
        f"{settings['modalities'].replace(',', ', ')}; one training took {seconds:.0f} s "
        "on one thread of a busy machine.\n"
    )
    return HEAD + "\n" + table_markdown(table) + words


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with datasets.json")
    parser.add_argument("--groups", default="", help="networks left out together, by commas; groups apart by /")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--fields", type=int, default=6)
    parser.add_argument("--modalities", default="vision,text,series")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    if options.page:
        PAGE.write_text(page(json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")
        return
    if options.data is None or not options.groups:
        parser.error("give --data and --groups, or --page")
    settings = {name: getattr(options, name) for name in ("steps", "fields", "modalities", "seed")} | {"data": options.data.name}
    done = (
        json.loads(options.json.read_text(encoding="utf-8")) if options.json.is_file() else {"settings": settings, "networks": {}}
    )
    if done["settings"] != settings:
        sys.exit(f"{options.json} was measured with other settings. Name another file.")
    measure(options, done)


if __name__ == "__main__":
    main()
