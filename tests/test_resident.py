"""The resident forecaster: one model for all, one question at a time, nobody waits without end."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from stvlm.data.samples import load_sample
from stvlm.data.windows import Window
from stvlm.jobs.resident import BusyError, Resident
from stvlm.model.stvlm import STVLM
from stvlm.predict import predict

MODEL = Path(__file__).resolve().parents[1] / "checkpoints" / "irish_wind"


def test_ten_threads_at_once_get_the_answers_of_one_alone_from_one_copy_of_the_model():
    series, model = load_sample("irish_wind"), STVLM.load(MODEL)
    windows = [Window(series, series.n_steps - 10 - i, model.config.lookback, model.config.horizon) for i in range(3)]
    alone = [predict(model, window).values for window in windows]
    before = psutil.Process().memory_info().rss
    resident, at_work, most = Resident(), threading.Semaphore(1), []

    def work(window: Window) -> np.ndarray:
        most.append(at_work.acquire(blocking=False))
        made = predict(model, window).values
        at_work.release()
        return made

    def ask(i: int) -> np.ndarray:
        return resident.ask(f"forecast {i % 3}", lambda: work(windows[i % 3]))

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(ask, range(10)))
    for i, answer in enumerate(answers):
        np.testing.assert_array_equal(answer, alone[i % 3])
    assert all(most)  # never two at once
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    assert psutil.Process().memory_info().rss - before < 150e6 + weights  # ten copies, or ten forwards at once, would not fit


def test_equal_questions_at_one_time_are_answered_once_and_later_ones_anew():
    resident, gate, times = Resident(), threading.Event(), []

    def work() -> int:
        gate.wait(20)
        times.append(1)
        return len(times)

    with ThreadPoolExecutor(5) as threads:
        asked = [threads.submit(resident.ask, "a", work) for _ in range(5)]
        while resident._askers.get("a", 0) < 5:
            time.sleep(0.005)
        gate.set()
        assert [question.result() for question in asked] == [1] * 5
    assert resident.ask("a", work) == 2


def test_too_many_questions_are_refused_and_the_place_is_free_again_later():
    resident, gate = Resident(places=2), threading.Event()
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(resident.ask, str(i), lambda: gate.wait(20)) for i in range(2)]
        while len(resident._open) < 2:
            time.sleep(0.005)
        with pytest.raises(BusyError, match="busy: 2 questions wait already"):
            resident.ask("c", lambda: True)
        gate.set()
        assert [question.result() for question in asked] == [True, True]
    assert resident.ask("c", lambda: "in time") == "in time"


def test_who_waited_too_long_is_told_so_and_what_nobody_waits_for_is_not_begun():
    resident, gate, begun = Resident(patience_seconds=0.2), threading.Event(), []
    for key in ("slow", "after it"):
        with pytest.raises(BusyError, match=r"did not answer within 0\.2 s"):
            resident.ask(key, lambda key=key: (begun.append(key), gate.wait(20)))
    gate.set()
    resident.patience_seconds = 20
    assert resident.ask("c", lambda: "goes on") == "goes on"
    assert begun == ["slow"]
    assert resident._open == {}


def test_an_error_of_the_work_reaches_all_who_asked_and_the_next_question_is_answered():
    def work() -> None:
        raise ValueError("The window has 3 steps.")

    resident = Resident()
    with pytest.raises(ValueError, match="3 steps"):
        resident.ask("a", work)
    assert resident.ask("a", lambda: 1) == 1
