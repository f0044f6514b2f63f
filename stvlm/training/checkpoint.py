"""The state of a training in files, written so that a kill at any moment leaves the last whole state."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file


@dataclass(frozen=True, eq=False)
class State:
    """Tensors by name, and numbers and words that json can hold."""

    tensors: dict[str, torch.Tensor]
    numbers: dict


def write(folder: Path, state: State) -> None:
    """Save a state into `folder`; the state before stays until the new one is whole and on the disk.

    Raises:
        OSError: it cannot be written, for instance because the disk is full; the state before is untouched.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"step-{state.numbers['step']:08d}"
    work = folder / f".{name}.{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir()
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in state.tensors.items()}, work / "state.safetensors")
        (work / "state.json").write_text(json.dumps(state.numbers))
        for file in (*work.iterdir(), work):
            _sync(file)
        if not (folder / name).exists():  # else the same state is there already, and whole
            os.replace(work, folder / name)
            _sync(folder)
    except SafetensorError as error:  # what it says of the disk is in its text alone
        raise OSError(str(error)) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for old in folder.iterdir():
        if old.name != name:
            shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    """Make sure that a file, or the names in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(folder: Path) -> State | None:
    """The newest whole state in `folder`; None where there is none."""
    states = sorted(p for p in Path(folder).glob("step-*") if (p / "state.json").exists())
    if not states:
        return None
    return State(load_file(states[-1] / "state.safetensors"), json.loads((states[-1] / "state.json").read_text()))


def plain(value):
    """A value as json gives it back: tuples as lists."""
    return json.loads(json.dumps(value))
