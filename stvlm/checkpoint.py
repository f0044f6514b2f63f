"""The state of a training in files, written so that a kill at any moment leaves the last whole state."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


@dataclass(frozen=True, eq=False)
class State:
    """Tensors by name, and numbers and words that json can hold."""

    tensors: dict[str, torch.Tensor]
    numbers: dict


def write(folder: Path, state: State) -> None:
    """Save a state into `folder`; the state before stays until the new one is whole."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"step-{state.numbers['step']:08d}"
    work = folder / f".{name}.{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in state.tensors.items()}, work / "state.safetensors")
    (work / "state.json").write_text(json.dumps(state.numbers))
    for file in work.iterdir():
        with open(file, "rb") as handle:
            os.fsync(handle.fileno())
    if not (folder / name).exists():  # else the same state is there already, and whole
        os.replace(work, folder / name)
    for old in folder.iterdir():
        if old.name != name:
            shutil.rmtree(old, ignore_errors=True)


def read(folder: Path) -> State | None:
    """The newest whole state in `folder`; None where there is none."""
    states = sorted(p for p in Path(folder).glob("step-*") if (p / "state.json").exists())
    if not states:
        return None
    return State(load_file(states[-1] / "state.safetensors"), json.loads((states[-1] / "state.json").read_text()))


def plain(value):
    """A value as json gives it back: tuples as lists."""
    return json.loads(json.dumps(value))
