"""What a worker writes of its run while it works: the status, a sign of life, and a last word."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from stvlm.jobs.run import LAST_WORD
from stvlm.runtime.atomic import write_atomic

PULSE_SECONDS = 0.5
GRACE_SECONDS = 1.2  # from a cancel that was seen to the end of a step that does not end
KEEPS = "the last checkpoint is kept"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Cancelled(Exception):  # noqa: N818  no error: it was asked for
    """The run was asked to end."""


class StatusWriter:
    """Writes the status of a run: the only writer while the worker lives.

    Used as a context: an exception that leaves it becomes the run's last word. A thread gives the sign of life, writes what came
    too fast to be written at once, and ends the process where it was asked to end and a step takes too long.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "status.json"
        self._fields: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        self._written = 0.0
        self._is_behind = False
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def __enter__(self) -> StatusWriter:
        threading.Thread(target=self._pulse, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self._ended.set()
        if error is None:
            self.last_word(state="done")
        elif isinstance(error, Cancelled):
            self.last_word(state="cancelled", message=f"Cancelled; {KEEPS}.")
            return True
        elif isinstance(error, Exception):
            self.last_word(state="failed", message=in_words(error))
        return False  # a signal leaves the status as it is: the run counts as lost and can be resumed

    @property
    def state(self) -> str:
        """As last written or to be written."""
        return self._fields["state"]

    @property
    def devices(self) -> tuple[str, ...]:
        """Those that the run may get, by torch's names."""
        return tuple(self._fields.get("device", "cpu").split(","))

    def update(self, **fields: Any) -> None:
        """Change fields of the status; a change of progress alone is written at most five times a second."""
        with self._lock:
            urgent = "state" in fields
            self._fields |= fields
            self._is_behind = True
            if urgent or time.monotonic() - self._written > 0.2:
                self._write(durable=urgent)

    def last_word(self, **fields: Any) -> None:
        """How the run ended; on a full disk the room that was held back for it is used."""
        fields |= {"eta_seconds": None, "ahead": None, "ended": time.time()}
        try:
            self.update(**fields)
        except OSError:
            (self.folder / LAST_WORD).unlink(missing_ok=True)
            self.update(**fields)
        (self.folder / LAST_WORD).unlink(missing_ok=True)

    def check(self) -> None:
        """Raise Cancelled if the run was asked to end."""
        if (self.folder / "cancel").exists():
            raise Cancelled

    def _write(self, durable: bool) -> None:
        write_atomic(self._path, self._fields | memory(), durable)
        self._written, self._is_behind = time.monotonic(), False

    def _pulse(self) -> None:
        asked: float | None = None
        while not self._ended.wait(PULSE_SECONDS):
            with self._lock, suppress(OSError):  # a full disk: the next step meets it and says so
                if self._is_behind:
                    self._write(durable=False)
                os.utime(self._path)
            if asked is None and (self.folder / "cancel").exists():
                asked = time.monotonic()
            if asked is not None and time.monotonic() - asked > GRACE_SECONDS:
                self._end_at_once()

    def _end_at_once(self) -> None:
        """End this process and its children in the middle of a step; checkpoints are whole at any moment."""
        with self._lock:
            if self._ended.is_set():
                return
            with suppress(OSError):
                where = " in the middle of a step" if self.state == "running" else ""
                self.last_word(state="cancelled", message=f"Cancelled{where}; {KEEPS}.")
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)
            os._exit(1)


def memory() -> dict[str, float]:
    """Megabytes of this process, and those that it holds of a GPU."""
    found = {"memory_mb": round(psutil.Process().memory_info().rss / 1e6, 1)}
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "cuda") and torch.cuda.is_initialized():
        found["device_memory_mb"] = round(torch.cuda.memory_reserved() / 1e6, 1)
    return found


def in_words(error: Exception) -> str:
    """An error as the people who started the run should read it."""
    full = isinstance(error, OSError) and error.errno in FULL
    if full or re.search(r"No space left on device|File too large|Disk quota exceeded", str(error)):
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        return f"The disk is full{where}: free some room and resume; {KEEPS}."
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, OSError):
        return f"A file cannot be read or written: {error}"
    return f"{type(error).__name__}: {error}"
