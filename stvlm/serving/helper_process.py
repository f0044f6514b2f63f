"""Work in a process of its own, begun once people wait for each other: beside busy pages each short step of it waits for its turn.

Python lets one thread at a time go on, and a thread that steps out for a moment, as each call of numpy or torch does, gets in line
again: what takes 0.6 s alone took 5 s beside one busy thread and 33 s beside three (`python -m benchmarks.busy_threads`).
"""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Lock, Timer
from typing import TYPE_CHECKING, TypeVar

from stvlm.runtime import environment
from stvlm.runtime.cache import LRUCache
from stvlm.runtime.subprocess import python_command, start

if TYPE_CHECKING:
    from stvlm.core.forecast import Forecast
    from stvlm.core.windows import Window
    from stvlm.training.zero_shot import ZeroShotState

T = TypeVar("T")
LONG_SECONDS = 0.5  # to wait; then a second process is worth its memory
PATIENCE_SECONDS = 120.0  # for one answer
UNSENDABLE = (TypeError, AttributeError, RecursionError)  # what a copy for another process may fail with
_MODELS = LRUCache(64)  # by the data that they were told


class HelperProcess:
    """Does work in this process while nobody waits for it long, and in a second one as soon as that is ready.

    The process is this program again; it ends with this one, however that ends. Where it does not answer, or its answer cannot be copied,
    the work is done here.
    """

    def __init__(self) -> None:
        self.here = Lock()  # whoever works in this process
        self._changing, self._asking = Lock(), Lock()
        self._line: Connection | None = None
        self._process: subprocess.Popen | None = None
        self._is_ready = False

    @property
    def is_ready(self) -> bool:
        """Whether the process is there and has said that it can answer."""
        with self._changing, suppress(OSError, EOFError):
            if self._line is not None and not self._is_ready and self._line.poll():
                self._is_ready = self._line.recv()
        return self._is_ready

    def run(self, work: Callable[..., T], *given: object) -> T:
        """`work(*given)`.

        Args:
            work: a function of a module. given: what it takes; it, what it takes and what it gives are copied between processes.

        Raises:
            Exception: whatever `work` raises.
        """
        while (told := self._ask(work, given)) is None:
            if self.here.acquire(timeout=LONG_SECONDS):
                try:
                    return work(*given)
                finally:
                    self.here.release()
            self._start(work.__module__)
        failed, answer = told
        if failed:
            raise answer
        return answer

    def _start(self, module: str) -> None:
        """Begin the process, which imports the module that work comes from, once."""
        with self._changing, suppress(OSError):  # no memory for one: then the work goes on here
            if self._process is None:
                self._line, far = Pipe()
                with far:
                    words = python_command("stvlm.serving.helper_process", str(far.fileno()), module)
                    quiet = dict.fromkeys(("stdin", "stderr"), subprocess.DEVNULL)  # an error that is not caught may quote a cell
                    self._process = start(words, pass_fds=[far.fileno()], **quiet)

    def _ask(self, work: Callable, given: tuple) -> tuple[bool, object] | None:
        """Whether the work failed, and its answer or error; None where it is to be done here.

        So it is where the process is not ready, does not answer and was ended, or where something cannot be copied.
        """
        with self._asking:
            if not self.is_ready:
                return None
            patience = Timer(PATIENCE_SECONDS, self._process.kill)  # a process that stands still takes no question either
            patience.daemon = True
            patience.start()
            try:
                self._line.send((work, given))
                return self._line.recv()
            except UNSENDABLE:
                return None
            except (OSError, EOFError):  # it was ended, as for its memory
                self.close()
                return None
            finally:
                patience.cancel()

    def close(self) -> None:
        """End the process, where there is one; the next who waits long begins another."""
        with self._changing:
            self._is_ready = False
            if self._process is not None:
                self._process.kill()
                self._process.wait()
            if self._line is not None:
                self._line.close()
            self._line = self._process = None


def forecast(told: ZeroShotState, windows: list[Window]) -> list[Forecast]:
    """Forecasts of a zero-shot model, which is kept for the next ones.

    Args:
        told: of the model. windows: of its series.

    Raises:
        ValueError, MemoryShortError: as `predict.predict_together`.
    """
    from stvlm.inference.predict import predict_together

    model = _MODELS.get(told.asked, lambda: told.model(windows[0].series))
    return predict_together(model, windows)


def serve(line: Connection, module: str) -> None:
    """Do what comes over the line until it ends, as it does when the process at its other end is gone.

    Args:
        module: imported before the process says that it is ready.
    """
    with suppress(EOFError, OSError):
        import_module(module)
        line.send(True)
        while True:
            work, given = line.recv()
            _send(line, _done(work, given))


def _send(line: Connection, answer: tuple[bool, object] | None) -> None:
    """Send an answer; None, where it cannot be copied: then the work is done at the other end."""
    try:
        line.send(answer)
    except UNSENDABLE:  # before its first byte was sent
        line.send(None)


def _done(work: Callable, given: tuple) -> tuple[bool, object] | None:
    """Whether the work failed, and its answer or error; None for an error that could not be built again at the other end."""
    try:
        return False, work(*given)
    except Exception as error:
        with suppress(*UNSENDABLE):
            return True, copy.copy(error)
    return None


if __name__ == "__main__":
    environment.prepare()
    serve(Connection(int(sys.argv[1])), sys.argv[2])
