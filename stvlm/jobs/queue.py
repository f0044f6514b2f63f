"""The queue before each device: first come, first served, one run at a time."""

from __future__ import annotations

import re
import time
from contextlib import AbstractContextManager

from filelock import FileLock, Timeout

from stvlm.jobs import board
from stvlm.jobs.report import Report
from stvlm.jobs.run import workspace

POLL_SECONDS, LONGEST_SECONDS = 0.3, 3.0  # between two looks: for the next in the queue, and for those far behind


def take_device(report: Report, devices: tuple[str, ...]) -> tuple[str, AbstractContextManager]:
    """Wait until no earlier run waits for one of the devices, and one of them is free.

    The lock belongs to the process: when it ends, however that happens, the device is free.

    Args:
        report: of the run, which is told its place. devices: those that it may get.

    Returns:
        The device, and its lock, held until the context is left or the process ends.

    Raises:
        Cancelled: meanwhile it was asked to end.
    """
    locks = workspace() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    while True:
        report.check()
        waiting, working = before(report.folder.name, devices)
        for device in devices if waiting == 0 else ():
            try:
                return device, FileLock(locks / f"{re.sub(r'[^a-z0-9]', '-', device)}.lock").acquire(timeout=0)
            except Timeout:
                continue
        ahead = waiting + working
        report.update(ahead=ahead, message=f"Waits for {' or '.join(devices)}: {ahead} before it.")
        time.sleep(min(POLL_SECONDS * max(ahead, 1), LONGEST_SECONDS))


def before(run_id: str, devices: tuple[str, ...]) -> tuple[int, int]:
    """How many runs go before this one on its devices: those that wait since longer, those at work."""
    own = board.status(run_id)
    others = [run for run in board.list_runs() if run.is_live and run.run_id != run_id and run.spec.backend == own.spec.backend]
    rivals = [run for run in others if set(run.device.split(",")) & set(devices)]
    waiting = [run for run in rivals if run.state == "queued"]
    earlier = sum((run.queued, run.run_id) < (own.queued, own.run_id) for run in waiting)
    return earlier, len(rivals) - len(waiting)
