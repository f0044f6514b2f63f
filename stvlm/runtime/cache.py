"""Results kept for those who ask again: the latest used, within a number and a size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any


class LRUCache:
    """Results by key, the latest used of them; safe where several threads ask.

    Args:
        at_most: results. most_bytes: that they may take together, by `nbytes` of each; None: any.
    """

    def __init__(self, at_most: int, most_bytes: int | None = None) -> None:
        self._results: OrderedDict[Hashable, Any] = OrderedDict()
        self._at_most, self._most_bytes, self._lock = at_most, most_bytes, Lock()

    def __reduce__(self) -> tuple[type[LRUCache], tuple[int, int | None]]:
        """Another process begins with nothing kept: what is kept can be made again, and a lock cannot travel."""
        return LRUCache, (self._at_most, self._most_bytes)

    def _is_full(self) -> bool:
        if self._most_bytes is not None and sum(one.nbytes for one in self._results.values()) > self._most_bytes:
            return True
        return len(self._results) > self._at_most

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The result of a key, made where it is not there."""
        return self.get_many([key], lambda missing: [make()])[0]

    def get_many(self, keys: Sequence[Hashable], make: Callable[[list[Any]], Iterable[Any]]) -> list[Any]:
        """The results of keys; `make` makes those that are not there, together and in the order of their keys."""
        found: dict[Hashable, Any] = {}
        with self._lock:
            for key in keys:
                if key in self._results:
                    self._results.move_to_end(key)
                    found[key] = self._results[key]
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if missing:
            made = dict(zip(missing, make(missing), strict=True))
            found |= made
            with self._lock:
                self._results |= made
                while self._is_full():
                    self._results.popitem(last=False)
        return [found[key] for key in keys]


_FILES = LRUCache(4096)


def parsed_file(path: Path, parse: Callable[[str], Any]) -> Any:
    """What `parse` makes of a text file, made anew only after the file has changed: by its inode, time or size.

    Files are replaced whole (`stvlm.runtime.atomic`), so a changed one is another inode. The result is shared: never change it in place.

    Raises:
        OSError: no such file, or one that cannot be read. Else whatever `parse` raises, each time.
    """
    found = path.stat()
    key = (parse, path, found.st_ino, found.st_mtime_ns, found.st_size)
    return _FILES.get(key, lambda: parse(path.read_text(encoding="utf-8")))
