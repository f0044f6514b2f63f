"""Start this program again in a process of its own, or run one function in one; neither imports from the caller's current folder."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from stvlm.runtime import environment
from stvlm.runtime.environment import ROOT
from stvlm.runtime.settings import settings

HUB_FOLDERS = ("HF_HOME", "HF_HUB_CACHE")  # of huggingface_hub, which may be given relative to the current folder
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
    with _variables_of_a_child():
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


def python_command(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module; -P keeps the current folder off its import path."""
    return (sys.executable, "-P", "-m", module, *arguments)


def start(command: Sequence[str], *, variables: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen:
    """Start a child of this program, in the folder of this program.

    Args:
        command: as `python_command` makes it. variables: as for `child_environment`. options: for `subprocess.Popen`.

    Raises:
        OSError: it cannot be started.
    """
    return subprocess.Popen(command, cwd=ROOT, env=child_environment(**variables or {}), **options)  # noqa: S603  our own modules


def child_environment(**more: str) -> dict[str, str]:
    """The variables of a child: it finds this program and the operator's folders from any current folder, and so do its own children.

    Args:
        more: go before those of this process.
    """
    paths = [str(ROOT), *(os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path)]
    found = settings()
    folders: dict[str, str | os.PathLike[str] | None] = {name: os.environ.get(name) for name in HUB_FOLDERS}
    folders |= {"STVLM_HOME": found.home, "STVLM_CACHE": found.cache, "STVLM_BACKBONES": found.backbones}
    absolute = {name: os.path.abspath(folder) for name, folder in folders.items() if folder}
    own = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    return os.environ | environment.variables() | absolute | own | more


@contextmanager
def _variables_of_a_child() -> Iterator[None]:
    """Set them for this process meanwhile: `multiprocessing` gives its processes no others."""
    new = child_environment()
    before = {name: os.environ.get(name) for name in new if os.environ.get(name) != new[name]}
    os.environ.update(new)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
