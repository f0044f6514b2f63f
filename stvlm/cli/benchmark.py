"""The benchmark on the command line: every network of a folder, and one table of all."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from stvlm.cli.inputs import about_input, check_out, check_training
from stvlm.cli.outputs import write_json
from stvlm.cli.progress import Stage
from stvlm.data.files import InputError


def benchmark(options: argparse.Namespace) -> int:
    """Score models on all networks of a folder.

    Returns:
        Exit code: 0 done; 2 some networks or settings cannot be used; 1 something failed that is our fault.
    """
    check_out(options.json)
    from stvlm.evaluation.benchmark import BenchmarkConfig, run_benchmark
    from stvlm.evaluation.contenders import MODELS, QUICK
    from stvlm.fit import pick_device

    names = tuple(re.sub("[-_]", " ", name) if name not in MODELS else name for name in options.models or QUICK)
    words = "max_minutes", "max_steps", "few_shot", "context_steps", "backbone", "views", "shared", "budget_minutes"
    with about_input():
        more = {name: getattr(options, name) for name in words}
        config = BenchmarkConfig(names, options.seeds, device=options.device or "auto", **more)
        pick_device(config.device)
        check_training(names, config.fit_options, config.device)
    result = run_benchmark(
        options.data,
        config,
        options.datasets,
        earlier=_earlier(options.json),
        keep=lambda so_far: write_json(options.json, so_far),
        say=lambda line: print(line, file=sys.stderr, flush=True),
        progress=Stage(),
    )
    write_json(options.json, result)
    print(table(result))
    print(f"All of it is in {options.json}")
    failed = result["failed"].values()
    return 0 if not failed else 2 if all(one["is_input"] for one in failed) else 1


def _earlier(path: Path) -> dict[str, Any] | None:
    """What an earlier run of this verb left.

    Raises:
        InputError: something else is there, which is not to be written over.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(one["settings"], dict) and one["scores"] and "code" in one for one in found["datasets"].values()):
            return found
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise InputError(f"--json {path}: is there already and is no result of `benchmark`. Name another file.")


def table(result: dict[str, Any]) -> str:
    """The error of each model by network, the simplest methods as one column; and how all stand over the networks."""
    import pandas as pd

    from stvlm.evaluation.benchmark import NAIVE

    best, summary = result["best_naive"], result["summary"]
    if not summary:
        return "No network was scored."
    names = [name for name in result["datasets"] if any(name in row["mae"] for row in summary)]
    errors: dict[str, list[Any]] = {"MAE": names, "unit": [result["datasets"][name]["unit"] for name in names]}
    errors["best naive"] = [best[name]["mae"] if name in best else None for name in names]
    for row in summary:
        if not row["model"].startswith(NAIVE):
            errors[row["model"]] = [row["mae"].get(name) for name in names]
    standing = [[row[key] for key in ("model", "median_ratio", "wins", "datasets")] for row in summary]
    titles = ["model", "median ratio to the best naive", "wins", "of networks"]
    tables = pd.DataFrame(errors), pd.DataFrame(standing, columns=titles)
    return "\n\n".join(one.to_string(index=False, na_rep="-", float_format=lambda v: f"{v:.4g}") for one in tables)
