"""Work in a process of its own, begun once people wait for each other: beside busy pages each short step of it waits for its turn.

Python lets one thread at a time go on, and a thread that steps out for a moment, as each call of numpy or torch does, gets in line
again: what takes 0.6 s alone took 5 s beside one busy thread and 33 s beside three (`python -m bench.beside`).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Lock
from typing import TypeVar

T = TypeVar("T")
LONG_SECONDS = 0.5  # to wait; then a second process is worth its memory
PATIENCE_SECONDS = 120.0  # for one answer


class Beside:
    """Does work in this process while nobody waits for it long, and in a second one as soon as that is ready.

    The process is this program again; it ends with this one, however that ends. Where it does not answer, the work is done here.
    """

    def __init__(self) -> None:
        self.here = Lock()  # whoever works in this process
        self._changing, self._asking = Lock(), Lock()
        self._line: Connection | None = None
        self._process: subprocess.Popen | None = None
        self._is_ready = False

    def run(self, work: Callable[..., T], *given: object) -> T:
        """`work(*given)`.

        Args:
            work: a function of a module. given: what it takes; it, what it takes and what it gives are copied between processes.

        Raises:
            Exception: whatever `work` raises.
        """
        while not self._can_answer():
            if self.here.acquire(timeout=LONG_SECONDS):
                try:
                    return work(*given)
                finally:
                    self.here.release()
            self._start(work.__module__)
        try:
            with self._asking:
                failed, answer = self._ask(work, given)
        except (OSError, EOFError):  # it was ended, as for its memory, or takes too long
            self.close()
            with self.here:
                return work(*given)
        if failed:
            raise answer
        return answer

    def _can_answer(self) -> bool:
        """Whether the process has said that it is ready."""
        with self._changing, suppress(OSError, EOFError):
            if self._line is not None and not self._is_ready and self._line.poll():
                self._is_ready = self._line.recv()
        return self._is_ready

    def _start(self, module: str) -> None:
        """Begin the process, which imports the module that work comes from, once."""
        with self._changing, suppress(OSError):  # no memory for one: then the work goes on here
            if self._process is None:
                self._line, far = Pipe()
                with far:
                    command = [sys.executable, "-m", "stvlm.jobs.beside", str(far.fileno()), module]
                    self._process = subprocess.Popen(command, pass_fds=[far.fileno()], stdin=subprocess.DEVNULL)  # noqa: S603  our own module

    def _ask(self, work: Callable, given: tuple) -> tuple[bool, object]:
        if self._line is None:
            raise EOFError
        self._line.send((work, given))
        if not self._line.poll(PATIENCE_SECONDS):
            raise TimeoutError
        return self._line.recv()

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
            try:
                answer = (False, work(*given))
            except Exception as error:
                answer = (True, error)
            line.send(answer)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), sys.argv[2])
