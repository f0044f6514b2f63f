"""Answers that cannot be copied from one process to another."""

import threading


class OddError(ValueError):
    """An error that takes more than its words, as those of some libraries do: it cannot be built again from them."""

    def __init__(self, file: str, row: int) -> None:
        super().__init__(f"{file}, row {row}")


def fail_oddly() -> None:
    """Raises OddError."""
    raise OddError("r.csv", 7)


def make_a_lock() -> object:
    """What belongs to one process alone."""
    return threading.Lock()
