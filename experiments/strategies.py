"""What each way of fine-tuning costs and brings: python -m experiments.strategies --sample germany_pm10_daily [--backbone NAME]

Every strategy is trained in a process of its own, on the same windows with the same seed, so that peaks of memory do not mix. The
network is taken whatever it is worth, at the shrinkage that does best on the validation part; "taken" says whether an ordinary
training would have taken it.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

PEAK_RESET = Path("/proc/self/clear_refs")  # Linux: "5" written there forgets the peak of memory
COLUMNS = ("strategy", "became", "trainable", "of_backbone", "peak_mb", "seconds_per_step", "val_mae", "test_mae", "taken")


def main() -> None:
    """Print a table, and write everything as JSON."""
    parser = argparse.ArgumentParser(prog="python -m experiments.strategies", description=__doc__.splitlines()[0])
    parser.add_argument("--sample", default="germany_pm10_daily", metavar="NAME")
    parser.add_argument("--backbone", default="tiny", metavar="NAME")
    parser.add_argument("--layers", type=int, metavar="N", help="decoder layers kept")
    parser.add_argument("--few-shot", metavar="P")
    parser.add_argument("--steps", type=int, metavar="N", help="by default as many as an ordinary training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strategies", metavar="NAME,…", help="by default all")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--only", metavar="STRATEGY", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options)))
        return
    from stvlm.model.adapters import STRATEGIES

    rows = []
    for strategy in options.strategies.split(",") if options.strategies else STRATEGIES:
        command = [sys.executable, "-m", "experiments.strategies", *sys.argv[1:], "--only", strategy]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{strategy}: {done.stderr.strip().splitlines()[-1]}")
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"{strategy} done", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(markdown(rows))


def measure(options: argparse.Namespace) -> dict:
    """Train with one strategy in this process."""
    import torch

    from stvlm.datasets.samples import SAMPLES, load_sample
    from stvlm.model.stvlm import count_parameters
    from stvlm.training.fit import FitConfig, fit

    torch.set_num_threads(1)
    sample, series = SAMPLES[options.sample], load_sample(options.sample)
    config = FitConfig(
        sample.lookback, sample.horizon, tuple(sample.split), options.few_shot, options.backbone, options.layers, options.only,
        max_steps=options.steps, seed=options.seed, min_gain=-1.0, shared="",
    )  # fmt: skip
    seconds, before, mark, step = [], None, 0.0, None
    for step in fit(series, config):
        if step.phase == "train":
            if before is None:
                before = forget_peak(step.device)
            else:
                seconds.append(clock(step.device) - mark)
            mark = clock(step.device)
    model, scores = step.model, step.model.manifest["scores"]
    n_all, trainable = count_parameters(model)
    adaptive = model.manifest["adaptive"]
    return {
        "sample": options.sample, "backbone": options.backbone, "few_shot": options.few_shot, "seed": options.seed,
        "strategy": options.only, "became": adaptive["chosen"], "reason": adaptive["reason"], "ranks": adaptive["ranks"],
        "rank_history": adaptive["rank_history"], "parameters": n_all, "trainable": trainable,
        "of_backbone": sum(p.numel() for p in model.backbone.parameters() if p.requires_grad),
        "device": step.device, "peak_mb": peak_mb(step.device) - before, "steps": step.step,
        "seconds_per_step": statistics.median(seconds), "taken": bool(scores["val_mae"] < 0.99 * scores["anchor_val_mae"]), **scores,
    }  # fmt: skip


def forget_peak(device: str) -> float:
    """Start to measure the peak of memory anew, where the system can; gives what the training must not be blamed for, in MB."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats()
        return 0.0
    if PEAK_RESET.exists():
        PEAK_RESET.write_text("5")
    return peak_mb(device)


def peak_mb(device: str) -> float:
    """The most memory so far, in MB: of the accelerator, else of this process."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated() / 1e6
    if PEAK_RESET.exists():
        words = Path("/proc/self/status").read_text().split()
        return int(words[words.index("VmHWM:") + 1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def clock(device: str) -> float:
    """Seconds: of the processor's work for us on the CPU, where others may be busy too; else of wall time."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()
    return time.process_time() if device == "cpu" else time.perf_counter()


def markdown(rows: list[dict]) -> str:
    """The rows as a table, and what the anchor alone is worth."""
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    for row in rows:
        cells = [
            f"{row[n]:.4g}" if isinstance(row[n], float) else f"{row[n]:,}" if type(row[n]) is int else str(row[n]) for n in COLUMNS
        ]
        lines.append(f"| {' | '.join(cells)} |")
    first = rows[0]
    lines.append(
        f"\nThe anchor alone: validation {first['anchor_val_mae']:.4g}, test {first['anchor_test_mae']:.4g}. {first['sample']}, "
        f"backbone {first['backbone']}, {first['steps']} steps, on {first['device']}; up to 160 evenly spread windows a part."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
