"""What the server writes down of its work: one line of JSON for each event, without a word of anybody's data.

Text is what a log may leak: the reading of a cell, a name, an address. So a line holds times, levels, sentences of the program itself,
numbers, and of any other text eight digits of its hash, by which lines that belong together are found. An error is told by its kind and
the lines of code that it went through; what it says may quote a cell and is left out.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

FRAMES = 12  # of a traceback, the innermost
LONGEST = 200  # characters of a sentence
SERVER = ("streamlit", "uvicorn", "websockets")  # whose own handlers write in our form too
_log = logging.getLogger("stvlm")


def note(event: str, level: int = logging.INFO, **facts: object) -> None:
    """Write down that something happened.

    Args:
        event: a sentence of the program, never text of a user. level: of `logging`.
        facts: numbers and truth values as they are; any other value only by its `digest`.
    """
    _log.log(level, event, extra={"facts": {name: _safe(value) for name, value in facts.items()}})


def digest(text: object) -> str:
    """Eight digits that tell a text from others and do not tell the text."""
    return hashlib.sha256(str(text).encode("utf-8", "surrogatepass")).hexdigest()[:8]


def begin() -> None:
    """Let every logger of this process write in lines of JSON; again and again does no harm, and finds loggers that came later."""
    logging.raiseExceptions = False  # else a line that cannot be written is quoted on standard error as it came
    if not any(isinstance(handler, _ToStderr) for handler in _log.handlers):
        _log.addHandler(_ToStderr())
        _log.setLevel(logging.INFO)
        _log.propagate = False
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.split(".")[0] in SERVER and isinstance(logger, logging.Logger):
            for handler in logger.handlers:
                if not isinstance(handler.formatter, OneLine):
                    handler.setFormatter(OneLine())


class OneLine(logging.Formatter):
    """A record as one line of JSON: time, level, logger, event, facts, and of an error its kind and where."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; of a message only the sentence in the code, and of its arguments the numbers."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": str(record.msg)[:LONGEST] if _is_sentence(record) else f"{Path(record.pathname).name}:{record.lineno}",
        }
        if isinstance(record.args, tuple) and record.args:
            told["numbers"] = [value for value in record.args if _is_number(value)]
        told |= getattr(record, "facts", {})
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, trace = record.exc_info
            told["error"] = kind.__name__
            frames = traceback.extract_tb(trace)[-FRAMES:]
            told["at"] = [f"{'/'.join(Path(f.filename).parts[-2:])}:{f.lineno} {f.name}" for f in frames]
        return json.dumps(told)


class _ToStderr(logging.Handler):
    """Writes to whatever standard error is at the moment."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(OneLine())

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")


def _is_sentence(record: logging.LogRecord) -> bool:
    """Whether the message stands in the code as it is; one without arguments may have been put together from anything."""
    return bool(record.args) or hasattr(record, "facts")


def _is_number(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _safe(value: object) -> object:
    return value if value is None or _is_number(value) else digest(value)
