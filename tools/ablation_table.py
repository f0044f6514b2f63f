"""The ablation panels as a page: python -m tools.ablation_table stvlm/assets/results/*.json writes docs/ablation.md."""

from __future__ import annotations

import sys
from pathlib import Path

from stvlm.evaluation.result_files import OF_OTHER_KINDS, PARTIAL, Result, ablation_table, read_result
from stvlm.io.write import table_markdown

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "ablation.md"
HEAD = """# What each part of the model is worth

Made by `python -m tools.ablation_table stvlm/assets/results/*.json` from what `python -m stvlm backtest … --ablations all --json …` wrote.

Each variant is **trained anew**, not only damaged at test time: same windows, same closed-form anchor, same number of steps, same
learning rate, seeds paired. Its network is forced in at the shrinkage that is best on the validation part, for a network that is
refused would hide every difference; "as shipped" is with the rule that refuses a network which does not lower the validation error
by 1 %. A variant that the settings make the same as another one is trained once.
"""


def page(results: tuple[Result, ...]) -> str:
    """The whole page: a section for each result that has a panel."""
    parts = [HEAD]
    for result in results:
        if not result.ablations:
            continue
        setting, full = result.setting, result.ablations[0]
        unit = result.unit or "the unit of the readings"
        parts.append(
            f"## {result.label}\n\n{result.quantity}, errors in {unit}; lookback {result.lookback}, horizon {result.horizon} steps; "
            f"{setting['windows_train']} windows to learn from, {setting['windows_test']} to test on. Backbone `{setting['backbone']}`, "
            f"tuning `{setting['tuning']}`, {setting['steps']} steps of {setting['batch_size']} windows, {setting['seeds']} seed(s), on "
            f"{setting['device']}. The anchor alone: MAE {setting['anchor']['mae']:.4g}, RMSE {setting['anchor']['rmse']:.4g}.\n"
        )
        if result.is_mixed:
            parts.append("**Stopped and gone on with other code:** its trainings are not all of one version of the program.\n")
        parts.append(f"{full['verdict']}\n")
        parts.append("\n".join(f"- {row['verdict']}" for row in result.ablations[1:]) + "\n")
        parts.append(table_markdown(ablation_table(result)))
        n = len(result.ablations) - 1
        parts.append(
            f"Intervals: {setting['interval']}; stretches of {setting['block_windows']} windows. Of {n} intervals at 95 %, about "
            f"{0.05 * n:.1f} leave 0 out by chance alone. Memory is the most that the training's own process held, Python and "
            "libraries included; times are those of a shared machine.\n"
        )
    return "\n".join(parts)


def main() -> None:
    """Write the page from the files that are named."""
    paths = [
        path for path in map(Path, sys.argv[1:]) if not path.name.endswith(PARTIAL) and not path.name.startswith(OF_OTHER_KINDS)
    ]
    PAGE.write_text(page(tuple(read_result(p.name, p.read_bytes()) for p in sorted(paths))), encoding="utf-8")


if __name__ == "__main__":
    main()
