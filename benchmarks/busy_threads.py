"""What a model's short steps wait for beside busy threads, and what a process of its own spares them: python -m benchmarks.busy_threads"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.record import Figure, keep
from stvlm.datasets.synthetic_city import field
from stvlm.serving.helper_process import HelperProcess
from stvlm.training.zero_shot import ZeroShotState, fit_state

ROUNDS = 3
HOW = (
    "Zero-shot of a made-up network (6 sensors, 240 hours) made ready, beside threads that do as pages do: build lists and write them as "
    "JSON. Here: in the same process. Beside: in the process that `stvlm/serving/helper_process.py` begins. Wall time on two cores."
)


@contextmanager
def busy(n_threads: int) -> Iterator[None]:
    """So many threads at work."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            json.dumps({str(i): {"a": i, "b": [i] * 3} for i in range(300)})

    threads = [threading.Thread(target=work, daemon=True) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


def seconds(work: Callable[[int], ZeroShotState]) -> float:
    """Median of some rounds, each on a network that nobody saw before."""
    taken = []
    for seed in range(ROUNDS):
        started = time.perf_counter()
        work(seed)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def main() -> None:
    """Measure and keep."""
    made = iter(field(n_sensors=6, n_steps=240, seed=seed) for seed in range(1000))
    given = (192, 8, 8, (1440,))
    beside = HelperProcess()
    with beside.here:  # taken: so the work goes to the process, which takes seconds to begin
        beside.run(fit_state, next(made), *given)
        fit_state(next(made), *given)
        found: dict[tuple[str, int], float] = {}
        for n_threads in (0, 1, 3):
            with busy(n_threads):
                found["here", n_threads] = seconds(lambda _: fit_state(next(made), *given))
                found["beside", n_threads] = seconds(lambda _: beside.run(fit_state, next(made), *given))
    beside.close()
    figures = [Figure(f"{where}, {n} busy threads", value, "s") for (where, n), value in found.items()]
    ratio = found["here", 3] / found["beside", 3]
    keep("benchmarks.busy_threads", HOW, [*figures, Figure("here / beside, 3 busy threads", ratio, "", ">= 2")])


if __name__ == "__main__":
    main()
