"""How much memory is free, one clear line before a work that needs more, and memory given back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CONTAINERS = (  # folder, file of what may be used, file of what is used
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
GIVEN_BACK = ("inactive_file", "active_file")  # pages of files, which a system drops when it needs room
BYTES_PER_CELL = 20  # of a table while it is read: its text, a float64, a float32
WORTH_A_LOOK = 64 << 20  # bytes below which nobody asks


class MemoryShortError(ValueError):
    """A work that would not fit, before it has begun."""


def free_bytes() -> int | None:
    """Memory that a new work may take, in bytes; None where this system does not say."""
    found = []
    if MEMINFO.exists():
        rows = dict(line.split(":", 1) for line in MEMINFO.read_text(encoding="utf-8").splitlines() if ":" in line)
        if "MemAvailable" in rows:
            found.append(int(rows["MemAvailable"].split()[0]) * 1024)
    found += [free for place in CONTAINERS if (free := _free_in(*place)) is not None]
    return min(found) if found else None


def _free_in(folder: Path, limit: str, used: str) -> int | None:
    """What a container leaves, in bytes; None where there is none or it has no limit."""
    if not all((folder / name).exists() for name in (limit, used, "memory.stat")):
        return None
    most = (folder / limit).read_text(encoding="utf-8").strip()
    if not most.isdigit():
        return None
    stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())
    cached = sum(int(stat.get(name, 0)) for name in GIVEN_BACK)
    return max(int(most) - int((folder / used).read_text(encoding="utf-8")) + cached, 0)


def need(n_bytes: int, what: str, cure: str) -> None:
    """Go on where so much memory is free, or where nobody knows.

    Args:
        n_bytes: estimate. what: the work, as the subject of a sentence. cure: what to do, a sentence.

    Raises:
        MemoryShortError: less is free.
    """
    free = free_bytes() if n_bytes > WORTH_A_LOOK else None
    if free is not None and n_bytes > free:
        raise MemoryShortError(f"{what} needs about {in_gb(n_bytes)} of memory, and {in_gb(free)} are free. {cure}")


def give_back() -> None:
    """Let go of objects that only hold each other, and of free memory that the allocator keeps for later (glibc)."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def in_gb(n_bytes: int) -> str:
    """ "1.5 GB"."""
    return f"{n_bytes / 1e9:.1f} GB"


def forecast_bytes(n_sensors: int, n_windows: int = 1) -> int:
    """Memory of the forecast of some windows at once, beside the readings and a program that is loaded: as benchmarks/scale.py measures it.

    Args:
        n_sensors: N. n_windows: B.
    """
    return n_sensors * (150_000 + 30_000 * n_windows)
