"""How the verbs of the command line write and print their results."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def say(text: object) -> None:
    """Print a result; what it quotes of files and arguments cannot steer the terminal."""
    print(harmless(text), flush=True)


def complain(text: object) -> None:
    """Print progress, or what is wrong, on stderr; otherwise as `say`."""
    print(harmless(text), file=sys.stderr, flush=True)


def harmless(text: object) -> str:
    """A text without control characters, but for line ends and tabs."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in str(text))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a result whole or not at all; arrays become lists, what is not finite becomes null."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(plain(content), ensure_ascii=False, allow_nan=False), encoding="utf-8")
    part.replace(path)


def plain(value: Any) -> Any:
    """What JSON can hold."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


# How a training goes, as lines on stderr.


class Progress:
    """Prints the first and the last step of a phase, and about one line a second between.

    Attributes:
        unit: of the readings.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self._printed = 0.0

    def __call__(self, step: Any) -> None:
        """Print a FitStep, if its time has come."""
        now = time.monotonic()
        if step.phase == "train" and 0 < step.step < step.total and now - self._printed < 1:
            return
        self._printed = now
        words = [step.phase]
        if step.total:
            words.append(f"step {step.step}/{step.total}")
        if step.loss is not None:
            words.append(f"loss {step.loss:.4f}")
        if step.val_mae is not None:
            words.append(f"validation MAE {self.error(step.val_mae)} (anchor {self.error(step.anchor_val_mae)})")
        if step.eta_seconds is not None and step.phase == "train":
            words.append(f"{step.eta_seconds:.0f} s left")
        complain("  ".join(words))

    def error(self, value: float | None) -> str:
        """A score with its unit."""
        return "-" if value is None else f"{value:.4g} {self.unit}".rstrip()


class Stage:
    """Prints each stage of a backtest as it begins, and about one line in two seconds between.

    Attributes:
        message: the last one, "" before the work began.
    """

    def __init__(self) -> None:
        self.message = ""
        self._printed = 0.0

    def __call__(self, message: str, share: float) -> None:
        """Print a message and the share done, if its time has come."""
        now = time.monotonic()
        is_new = message.split(":")[0] != self.message.split(":")[0]
        self.message = message
        if not is_new and share < 1 and now - self._printed < 2:
            return
        self._printed = now
        complain(f"{share:4.0%}  {message}")
