"""The resident forecaster of the app: one copy of each model, its questions answered one after another in one thread.

All sessions of a server share it. A question that is asked while the very same one waits, or is being answered, gets the same answer;
too many questions, or one that takes too long, is one clear line for who asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
PLACES = 32  # questions that wait or are being answered
PATIENCE_SECONDS = 120.0


class BusyError(RuntimeError):
    """The forecaster has no time for a question now; the text says so in plain words."""


class Resident:
    """Answers questions to models, one at a time.

    Args:
        places: questions that may wait or be answered at once. patience_seconds: that each may take, its waiting included.
    """

    def __init__(self, places: int = PLACES, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.places, self.patience_seconds = places, patience_seconds
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="resident")
        self._open: dict[str, Future] = {}  # by key: those that wait or are being answered
        self._askers: dict[str, int] = {}
        self._lock = threading.RLock()

    def ask(self, key: str, work: Callable[[], T]) -> T:
        """The result of `work`, done once for all who ask it at the same time.

        Args:
            key: two questions with one key have one answer. work: done in the resident's thread; it must not ask in its turn.

        Raises:
            BusyError: too many questions wait, or this one took too long; else whatever `work` raises.
        """
        answer = self._join(key, work)
        try:
            return answer.result(self.patience_seconds)
        except TimeoutError:
            if answer.done():  # its own, not ours
                raise
            raise BusyError(
                f"The forecaster did not answer within {self.patience_seconds:g} s: others ask too, or the model is large for this "
                "machine. Try again, or choose a smaller model."
            ) from None
        finally:
            self._leave(key, answer)

    def _join(self, key: str, work: Callable[[], T]) -> Future:
        with self._lock:
            if key not in self._open:
                if len(self._open) >= self.places:
                    raise BusyError(f"The forecaster is busy: {len(self._open)} questions wait already. Try again in a minute.")
                self._open[key] = self._pool.submit(work)
                self._askers[key] = 0
            self._askers[key] += 1
            return self._open[key]

    def _leave(self, key: str, answer: Future) -> None:
        """Stop waiting: an answer is given out no more, and a question that nobody waits for is not begun."""
        with self._lock:
            if self._open.get(key) is not answer:
                return
            self._askers[key] -= 1
            if answer.done() or (self._askers[key] == 0 and answer.cancel()):
                del self._open[key], self._askers[key]
            elif self._askers[key] == 0:  # at work, and nobody waits: its place is free when it is done
                answer.add_done_callback(lambda _: self._forget(key, answer))

    def _forget(self, key: str, answer: Future) -> None:
        with self._lock:
            if self._open.get(key) is answer:
                del self._open[key], self._askers[key]
