"""Weights that networks share, on the command line: trained on a folder of networks and on made-up fields."""

from __future__ import annotations

import argparse
import sys
import time

from stvlm.cli.inputs import about_input, check_out
from stvlm.data.files import InputError

SHOWN_EVERY = 100  # steps


def pretrain(options: argparse.Namespace) -> None:
    """Train one set of weights on many networks and write it into a folder."""
    check_out(options.out, is_folder=True)
    from stvlm.data.collection import as_dataset, read_list
    from stvlm.model.shared import save
    from stvlm.pretrain import JointTraining, gather, manifest, tiny_config

    entries = [(folder, name, entry) for folder in options.data for name, entry in read_list(folder).items()]
    unknown = set(options.leave_out) - {name for _, name, _ in entries}
    if unknown:
        raise InputError(f"--leave-out {', '.join(sorted(unknown))}: no such network in {', '.join(map(str, options.data))}.")
    networks = [(folder, as_dataset(name, entry)) for folder, name, entry in entries if name not in options.leave_out]
    config = tiny_config(seed=options.seed)
    with about_input():
        tasks = gather(networks, options.fields, config, options.seed, _say)
    training = JointTraining(tasks, config, options.steps, seed=options.seed)
    losses, started = [], time.monotonic()
    while training.step < training.total:
        losses.append(training.advance())
        if training.step % SHOWN_EVERY == 0 or training.step == training.total:
            mean, losses = sum(losses) / len(losses), []
            _say(f"step {training.step}/{training.total}  loss {mean:.4f}  {time.monotonic() - started:.0f} s")
    model = training.finish()
    gains = training.gains()
    told = vars(options) | {"data": [folder.name for folder in options.data], "out": options.out.name}
    save(
        model,
        options.out,
        manifest(training, {name: told[name] for name in ("data", "leave_out", "fields", "steps", "seed")}, gains),
    )
    for name, ratio in gains.items():
        print(f"{name}: {ratio:.3f} of its anchor's error on windows kept back")
    print(
        f"The weights are in {options.out}; they take {sum(f.stat().st_size for f in options.out.rglob('*') if f.is_file()) / 1e6:.1f} MB."
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
