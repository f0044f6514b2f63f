"""The app on a port, noting how long each run of a page takes on the server.

python -m benchmarks.timed_server FILE [options of streamlit]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def note_runs(file: Path) -> None:
    """From now on each run of a page, or of a part of it, adds a line to a file: wall and processor seconds of its thread."""
    from streamlit.runtime.scriptrunner import script_runner

    run = script_runner.exec_func_with_error_handling

    def timed(work, context):
        start, began = time.perf_counter(), time.thread_time()
        try:
            return run(work, context)
        finally:
            line = {"wall": time.perf_counter() - start, "processor": time.thread_time() - began, "view": context.query_string}
            with file.open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")

    script_runner.exec_func_with_error_handling = timed


if __name__ == "__main__":
    from streamlit.web import cli

    note_runs(Path(sys.argv[1]))
    sys.argv = ["streamlit", "run", "app.py", *sys.argv[2:]]
    cli.main()
