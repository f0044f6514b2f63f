"""Run a function in a process of its own: memory that is its own to measure, and a crash that harms nobody else."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from stvlm.runtime.assets import PACKAGE

Report = Callable[[str, float], None]
LOADED = ["stvlm.training.fit", "stvlm.inference.predict"]  # once, by the process from which the others are forked


def run_apart(function: Callable[..., Any], *arguments: Any, report: Report) -> Any:
    """Call `function(*arguments, report=...)` in a fresh process and wait for its answer.

    Where the system can, the process is forked from one that has loaded the libraries and done nothing else, so that it starts
    in a moment and holds nothing of what this process holds.

    Args:
        function: of a module's top level. arguments: what can be sent to a process. report: called with its messages.

    Raises:
        ChildProcessError: the process ended without an answer. Otherwise what the function raised, its traceback as a note.
    """
    context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")  # their stubs lack Process
    context.set_forkserver_preload(LOADED)
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, function, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        while True:
            kind, content = ours.recv()
            if kind == "done":
                return content
            if kind == "failed":
                raise content
            report(*content)
    except EOFError:
        process.join()
        raise ChildProcessError(f"The process of its own ended with code {process.exitcode} and no answer.") from None
    finally:
        if process.is_alive():
            process.terminate()
        process.join()
        ours.close()


def _work(pipe: Connection, function: Callable[..., Any], arguments: tuple) -> None:
    try:
        pipe.send(("done", function(*arguments, report=lambda message, share: pipe.send(("report", (message, share))))))
    except KeyboardInterrupt:
        pass  # the process that waits was told as well
    except BaseException as error:  # all of it is the caller's to handle
        error.add_note(traceback.format_exc())
        pipe.send(("failed", error))


# Environment of a subprocess that runs this package.

ROOT = PACKAGE.parent


def child_environment(**more: str) -> dict[str, str]:
    """The variables of such a process, which finds the program whatever folder it stands in; `more` go before those of this one."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return os.environ | {"PYTHONPATH": path} | more
