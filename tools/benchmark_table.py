"""The benchmark as a page: python -m tools.benchmark_table stvlm/assets/results/benchmark*.json writes docs/benchmark.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from stvlm.evaluation.benchmark import NAIVE

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "stvlm/assets/results", ROOT / "docs" / "benchmark.md"
LEVELS = RESULTS / "levels.json"
HEAD = """# How good it is

Made by `python -m tools.benchmark_table stvlm/assets/results/benchmark*.json` from what `python -m stvlm benchmark --json …` wrote
(the errors of single sensors and the places of the networks are left out of those files).

All methods see the same windows: the parts follow each other in time, each step of the test part begins a window, the truth is never
filled in, only observed cells count. Errors are in the unit of the network. "Best naive" is the best of persistence, seasonal naive and
historical average. Bands are calibrated on the validation part and then follow the error by what was known at each cutoff; a band of 80 %
should hold 80 %. Of several seeds the mean counts, and its spread (standard deviation) stands beside it. Seconds are those of a shared
machine that others kept busy.

- **anchor**: closed form; it may read as far back as its training and validation parts are long, and follows what was known at each
  cutoff. **anchor lookback**: the same with the L steps of the lookback and no more.
- **stvlm**: the anchor and what the network adds, where the network lowered the validation error by 1 %; else it is the anchor.
- **zero-shot**: nothing is trained on the network; its past (in the few-shot sections: the block) is read and replayed. It stands here
  without the shared weights that ship, for these were trained on these networks; docs/shared.md has weights that were not.
"""
KINDS = {  # what a file's name says after "benchmark" → title
    "": "The whole training part",
    "few-shot": "Few-shot: the last tenth of the training part",
    "5windows": "Few-shot: the last five windows of the training part",
    "zero-shot": "Zero-shot: a model that never saw the network",
    "unseen": "Sensors that were never read",
    "traffic": "The two traffic networks with more time",
}


def page(results: dict[str, dict[str, Any]], levels: dict[str, Any]) -> str:
    """The whole page: a section for each result.

    Args:
        results: file name → result of `run_benchmark`. levels: as levels.json holds them.
    """
    parts = [HEAD]
    for name, result in sorted(results.items(), key=lambda item: (_kind(item[0]) != "", item[0])):
        kind = _kind(name)
        parts += [f"## {KINDS.get(kind, kind.replace('-', ' '))}\n", _setting(result), "### Error\n", errors(result)]
        if kind == "":
            parts += [_levels_note(levels), beside_levels(result, levels)]
        parts += ["### Over all networks\n", standing(result), "### Bands, seconds and sizes\n", details(result)]
    return "\n".join(part for part in parts if part)


def errors(result: dict[str, Any]) -> str:
    """MAE: a row a network, the lowest in bold."""
    best = result["best_naive"]
    models = [row["model"] for row in result["summary"] if not row["model"].startswith(NAIVE)]
    rows = []
    for name, dataset in result["datasets"].items():
        maes = _rows(dataset)
        line = {"best naive": best[name]["mae"]} if name in best else {}
        line |= {model: maes[model]["mae"] for model in models if model in maes}
        lowest = min(line.values(), default=None)
        cells = [_number(line.get(column), line.get(column) == lowest) for column in ("best naive", *models)]
        rows.append([name, dataset["unit"], f"{dataset['lookback']} → {dataset['horizon']}", *cells])
    return _table(["network", "unit", "L → H", "best naive", *models], rows)


def beside_levels(result: dict[str, Any], levels: dict[str, Any]) -> str:
    """Our models beside what others' code reached; not where ours were told more (weather, holidays) than theirs."""
    rows = []
    for name, dataset in result["datasets"].items():
        told = dataset.get("settings", {}).get("dataset", {}).get("context")
        if name not in levels["networks"] or told:
            continue
        level, maes = levels["networks"][name], _rows(dataset)
        ours = [_number(maes[model]["mae"] if model in maes else None) for model in ("anchor", "stvlm")]
        naive = result["best_naive"].get(name, {}).get("mae")
        blind = maes["zero-shot"]["mae"] / naive if "zero-shot" in maes and naive else None
        others = [_number(level["simple"]), _number(level.get("peer")), ", ".join(level.get("by", []))]
        rows.append([name, *ours, *others, _number(blind), _number(level.get("fracast"))])
    head = ["network", "anchor", "stvlm", "best simple", "best peer", "which", "zero-shot / best naive", "fracast / best naive"]
    return _table(head, rows) if rows else ""


def standing(result: dict[str, Any]) -> str:
    """How models stand over all networks, the best first."""
    rows = [[row["model"], _number(row["median_ratio"]), str(row["wins"]), str(row["datasets"])] for row in result["summary"]]
    return _table(["model", "median of MAE / best naive", "lowest on", "of networks"], rows)


def details(result: dict[str, Any]) -> str:
    """A row for each network and model: bands, seconds, sizes, seeds."""
    rows = []
    for name, dataset in result["datasets"].items():
        naive = result["best_naive"].get(name, {}).get("mae")
        for model, row in _rows(dataset).items():
            spread = row.get("spread", {}).get("mae")
            mae = _number(row["mae"]) + (f" ± {spread:.2g}" if spread is not None else "")
            held = [f"{100 * row[key]:.1f} %" if row.get(key) is not None else "" for key in ("coverage_80", "coverage_95")]
            widths = [_number(row.get(key)) for key in ("width_80", "width_95", "crps")]
            ratio = _number(row["mae"] / naive if naive else None)
            size = f"{row['parameters']:,}", f"{row['seconds_fit']:.1f}", str(row.get("seeds", 1))
            rows.append([name, model, mae, ratio, held[0], widths[0], held[1], widths[1], widths[2], *size])
    head = ["network", "model", "MAE", "/ best naive", "80 % held", "its width", "95 % held", "its width", "CRPS"]
    return _table([*head, "parameters", "fit, s", "seeds"], rows)


def _rows(dataset: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Model → its row, of several seeds the mean."""
    return {row["model"]: row for row in dataset["scores"] if "seed" not in row}


def _kind(name: str) -> str:
    """What the name of a file says after "benchmark"."""
    return Path(name).stem.removeprefix("benchmark").strip(".-_ ")


def _setting(result: dict[str, Any]) -> str:
    settings = result["settings"]
    limit = f"at most {settings['max_minutes']:g} minutes each" if settings.get("max_minutes") else "no limit of time"
    few = f"few-shot {settings['few_shot']}, " if settings.get("few_shot") else ""
    return f"{len(result['datasets'])} networks; {few}{settings['seeds']} seed(s), {limit}, on {settings['device']}.\n"


def _levels_note(levels: dict[str, Any]) -> str:
    words = levels["note"] + (f"; fracast: {levels['fracast']}" if "fracast" in levels else "")
    return f"Beside it, what others' methods reached on the same windows ({words}); none of these numbers is ours:\n"


def _number(value: float | None, is_bold: bool = False) -> str:
    text = "" if value is None else f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return f"**{text}**" if is_bold and text else text


def _table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown; the first column is words, the others are set to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def read_all(paths: list[Path]) -> dict[str, dict[str, Any]]:
    """Results by file name."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def main() -> None:
    """Write the page."""
    results = read_all([Path(name) for name in sys.argv[1:]])
    PAGE.write_text(page(results, json.loads(LEVELS.read_text("utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
