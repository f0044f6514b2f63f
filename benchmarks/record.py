"""Figures of the benchmarks: kept in benchmarks/results.json with machine and versions, and put into words: python -m benchmarks.record."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

STORE = Path(__file__).with_name("results.json")
PAGE = Path(__file__).with_name("RESULTS.md")
LIBRARIES = ("torch", "numpy", "scipy", "transformers", "streamlit")


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        what: was measured. value: the number. unit: its unit, "" for a ratio. limit: what is asked, such as ">= 100", or "".
        note: how it came about or what it falls short of.
    """

    what: str
    value: float
    unit: str = ""
    limit: str = ""
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the limit is kept: "met", "not met", or "" without a limit."""
        if not self.limit:
            return ""
        sign, bound = self.limit.split()[:2]
        kept = self.value >= float(bound) if sign == ">=" else self.value <= float(bound)
        return "met" if kept else "**not met**"


def keep(module: str, how: str, figures: list[Figure], table: list[list[str]] | None = None, store: Path = STORE) -> None:
    """Print the figures of one benchmark and put them in place of its earlier ones.

    Args:
        module: that measured them, as `python -m` takes it.
        how: what is measured and how, in a sentence or two.
        figures: the figures.
        table: further rows, the first the heads.
        store: the file that holds the figures of all benchmarks.
    """
    for figure in figures:
        print(
            f"{figure.what}: {_number(figure.value)} {figure.unit} {figure.limit and f'(asked {figure.limit}: {figure.verdict})'}"
        )
    for row in table or []:
        print(" | ".join(row))
    known = json.loads(store.read_text(encoding="utf-8")) if store.exists() else {}
    known[module] = {"how": how, "figures": [asdict(f) for f in figures], "table": table or [], "where": where()}
    store.write_text(json.dumps(dict(sorted(known.items())), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def where() -> dict[str, str]:
    """Machine, versions and day of a measurement."""
    names = [line.split(":")[1].strip() for line in _cpu() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = f"{os.getloadavg()[0]:.1f}"
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
        load += " that had to wait (real-time priority)"
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "machine": f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}",
        "versions": ", ".join([f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in LIBRARIES)]),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit,
        "load": load,
    }


def _cpu() -> list[str]:
    info = Path("/proc/cpuinfo")
    return info.read_text(encoding="utf-8").splitlines() if info.exists() else []


def seconds_of(work: Callable[[], object], rounds: int) -> list[float]:
    """Processor seconds of each of some runs, after one that is not counted."""
    return in_turn({"work": work}, rounds)["work"]


def in_turn(
    works: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Seconds of several works that take turns, so that what else the machine does hits all alike; one round is not counted.

    Args:
        works: by name. rounds: runs of each. clock: processor time, which waits for nobody; or wall time.
    """
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            start = clock()
            work()
            if turn:
                found[name].append(clock() - start)
    return found


def ratio(over: list[float], under: list[float]) -> float:
    """Median of the ratios of runs that took turns."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def page(store: dict) -> str:
    """The whole page as Markdown."""
    lines = [
        "# What is fast, and how we know",
        "",
        "Made by `python -m benchmarks.record` from `benchmarks/results.json`, which the benchmarks write; each section names its command.",
        "Ratios are medians of runs that took turns in one process, in processor time and on one thread unless said otherwise.",
        "*Not met* is a result like another; the load is that of the machine at the end. Where other work runs on the machine, wall",
        "times are measured at real-time priority, as by `chrt -r 1 python -m benchmarks.latency`: what else there is waits meanwhile.",
        "No figure here is of a GPU: none was at hand; tests marked `gpu` run where there is one and skip elsewhere.",
    ]
    for module, found in store.items():
        w = found["where"]
        lines += ["", f"## python -m {module}", "", found["how"], ""]
        lines += ["| figure | value | asked | |", "|---|---:|---:|---|"]
        for raw in found["figures"]:
            figure = Figure(**raw)
            value = f"{_number(figure.value)} {figure.unit}".strip()
            says = ". ".join(part for part in (figure.verdict, figure.note) if part)
            lines.append(f"| {figure.what} | {value} | {_asked(figure)} | {says} |")
        if found["table"]:
            head, *rows = found["table"]
            lines += ["", f"| {' | '.join(head)} |", "|" + "---:|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]
        lines += ["", f"{w['date']}, {w['machine']}, commit {w['commit']}, load {w['load']}; {w['versions']}."]
    return "\n".join(lines) + "\n"


def _asked(figure: Figure) -> str:
    return figure.limit.replace(">=", "≥").replace("<=", "≤") + (f" {figure.unit}" if figure.limit and figure.unit else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(json.loads(STORE.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"{PAGE} written.")


if __name__ == "__main__":
    main()
