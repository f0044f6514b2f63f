"""The resident forecaster of the app: one copy of each model, its questions answered in one thread.

All sessions of a server share it. A question that is asked while the very same one waits, or is being answered, gets the same answer;
questions of one kind to one model that wait at the same time are answered in one batch; too many questions, or one that takes too
long, is one clear line for who asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
Item = TypeVar("Item")
TOGETHER = 8  # questions answered in one batch
PLACES = 32  # questions that wait or are being answered
PATIENCE_SECONDS = 120.0


class BusyError(RuntimeError):
    """The forecaster has no time for a question now; the text says so in plain words."""


class RequestQueue:
    """Answers questions to models, one question or one batch at a time.

    Args:
        places: questions that may wait or be answered at once. patience_seconds: that each may take, its waiting included.
    """

    def __init__(self, places: int = PLACES, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.places, self.patience_seconds = places, patience_seconds
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="resident")
        self._open: dict[str, Future] = {}  # by key: those that wait or are being answered
        self._askers: dict[str, int] = {}
        self._waiting: dict[str, dict[str, Any]] = {}  # by group: items by key that no batch has taken yet
        self._made: dict[str, Any] = {}  # by key: answers made along with another's
        self._lock = threading.RLock()

    def submit(self, key: str, work: Callable[[], T]) -> T:
        """The result of `work`, done once for all who ask it at the same time.

        Args:
            key: two questions with one key have one answer. work: done in the resident's thread; it must not ask in its turn.

        Raises:
            BusyError: too many questions wait, or this one took too long; else whatever `work` raises.
        """
        return self._wait(key, self._join(key, lambda: self._pool.submit(work)))

    def submit_batched(self, key: str, group: str, item: Item, work: Callable[[list[Item]], Sequence[T]]) -> T:
        """The answer to one item; items of a group that wait at the same time are worked on together.

        Args:
            key, work: as of `submit`, but `work` takes some items and gives as many answers, each as if it was asked alone.
            group: of items that `work` may take together. item: what is asked.

        Raises:
            BusyError: as `submit`. An error of a batch is that of its items alone.
        """

        def submit() -> Future:
            self._waiting.setdefault(group, {})[key] = item
            return self._pool.submit(self._answer, key, group, work)

        return self._wait(key, self._join(key, submit))

    def _answer(self, key: str, group: str, work: Callable[[list[Any]], Sequence[Any]]) -> Any:
        """The answer to one item; others of its group that wait are answered along with it and wait for their turn to say so."""
        with self._lock:
            if key in self._made:
                return self._made.pop(key)
            waiting = {k: item for k, item in self._waiting.pop(group, {}).items() if k in self._open}
            item = waiting.pop(key)
            others = dict(list(waiting.items())[: TOGETHER - 1])
            self._waiting[group] = {k: later for k, later in waiting.items() if k not in others}
        try:
            first, *rest = work([item, *others.values()])
        except (ValueError, RuntimeError, MemoryError):
            if not others:
                raise
            with self._lock:
                self._waiting[group] = others | self._waiting.get(group, {})
            return work([item])[0]  # the error may be another's
        with self._lock:
            self._made |= {k: one for k, one in zip(others, rest, strict=True) if k in self._open}
        return first

    def _wait(self, key: str, answer: Future) -> Any:
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

    def _join(self, key: str, submit: Callable[[], Future]) -> Future:
        with self._lock:
            if key not in self._open:
                if len(self._open) >= self.places:
                    raise BusyError(f"The forecaster is busy: {len(self._open)} questions wait already. Try again in a minute.")
                self._open[key] = submit()
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
                self._forget(key, answer)
            elif self._askers[key] == 0:  # at work, and nobody waits: its place is free when it is done
                answer.add_done_callback(lambda _: self._forget(key, answer))

    def _forget(self, key: str, answer: Future) -> None:
        with self._lock:
            if self._open.get(key) is answer:
                del self._open[key], self._askers[key]
                self._made.pop(key, None)
