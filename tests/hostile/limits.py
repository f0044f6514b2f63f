"""Read one hostile case after another in a process of its own: what a user would see, and what it cost in time and memory.

Called as `python -m tests.hostile.limits NAME ...`; writes one line of JSON per case.
"""

import json
import resource
import sys
import time
import warnings

MOST_BYTES = 1 << 30  # that a case may add to the memory of the process
HANG = 60  # seconds of processor time after which the process is ended


def measure(case) -> dict:
    """Read a case within the limits.

    Returns:
        outcome ("refused", "read", or the name of an exception that nobody expects), words, seconds (of the processor), peak (bytes).
    """
    arguments = case.make()
    _reset_peak()
    before, started = _status("VmRSS"), time.process_time()
    used = int(started) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used + HANG, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + MOST_BYTES, resource.RLIM_INFINITY))
    try:
        outcome, words = case.door(**arguments)
    except Exception as error:
        outcome, words = type(error).__name__, [str(error)[:500]]
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    seconds = time.process_time() - started
    return {"name": case.name, "outcome": outcome, "words": words, "seconds": seconds, "peak": _status("VmHWM") - before}


def _reset_peak() -> None:
    with open("/proc/self/clear_refs", "w") as handle:
        handle.write("5")


def _status(key: str) -> int:
    """Bytes of one line of /proc/self/status."""
    with open("/proc/self/status") as handle:
        return next(int(line.split()[1]) << 10 for line in handle if line.startswith(key + ":"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    from tests.hostile.cases import fill

    cases = fill()
    for name in sys.argv[1:]:
        print(json.dumps(measure(cases[name])), flush=True)
