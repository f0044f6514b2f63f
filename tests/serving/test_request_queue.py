"""The resident forecaster: one model for all, one question at a time, nobody waits without end."""

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from stvlm.core.forecast import Forecast
from stvlm.core.windows import Window
from stvlm.datasets.samples import load_sample
from stvlm.inference.predict import predict, predict_together
from stvlm.model.stvlm import STVLM
from stvlm.serving.request_queue import TOGETHER, BusyError, RequestQueue
from tests.support.paths import CHECKPOINTS

MODEL = CHECKPOINTS / "irish_wind"


def test_ten_threads_get_the_answers_of_one_from_one_copy_of_the_model():
    series, model = load_sample("irish_wind"), STVLM.load(MODEL)
    windows = [Window(series, series.n_steps - 10 - i, model.config.lookback, model.config.horizon) for i in range(3)]
    alone = [predict(model, window).values for window in windows]
    before = [id(thing) for thing in gc.get_objects() if isinstance(thing, STVLM)]
    resident, at_work, most = RequestQueue(), threading.Semaphore(1), []

    def work(window: Window) -> np.ndarray:
        most.append(at_work.acquire(blocking=False))
        made = predict(model, window).values
        at_work.release()
        return made

    def ask(i: int) -> np.ndarray:
        return resident.submit(f"forecast {i % 3}", lambda: work(windows[i % 3]))

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(ask, range(10)))
    for i, answer in enumerate(answers):
        np.testing.assert_array_equal(answer, alone[i % 3])
    assert all(most)  # never two at once
    assert [id(thing) for thing in gc.get_objects() if isinstance(thing, STVLM)] == before


def test_equal_questions_at_one_time_are_answered_once_and_later_ones_anew():
    resident, gate, times = RequestQueue(), threading.Event(), []

    def work() -> int:
        gate.wait(20)
        times.append(1)
        return len(times)

    with ThreadPoolExecutor(5) as threads:
        asked = [threads.submit(resident.submit, "a", work) for _ in range(5)]
        while resident._askers.get("a", 0) < 5:
            time.sleep(0.005)
        gate.set()
        assert [question.result() for question in asked] == [1] * 5
    assert resident.submit("a", work) == 2


def test_too_many_questions_are_refused_and_the_place_is_free_again_later():
    resident, gate = RequestQueue(places=2), threading.Event()
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(resident.submit, str(i), lambda: gate.wait(20)) for i in range(2)]
        while len(resident._open) < 2:
            time.sleep(0.005)
        with pytest.raises(BusyError, match="busy: 2 questions wait already"):
            resident.submit("c", lambda: True)
        gate.set()
        assert [question.result() for question in asked] == [True, True]
    assert resident.submit("c", lambda: "in time") == "in time"


def test_who_waited_too_long_is_told_so_and_what_nobody_waits_for_is_not_begun():
    resident, gate, begun = RequestQueue(patience_seconds=0.2), threading.Event(), []
    for key in ("slow", "after it"):
        with pytest.raises(BusyError, match=r"did not answer within 0\.2 s"):
            resident.submit(key, lambda key=key: (begun.append(key), gate.wait(20)))
    gate.set()
    resident.patience_seconds = 20
    assert resident.submit("c", lambda: "goes on") == "goes on"
    assert begun == ["slow"]
    assert resident._open == {}


def test_an_error_reaches_all_who_asked_and_the_next_question_is_answered():
    def work() -> None:
        raise ValueError("The window has 3 steps.")

    resident = RequestQueue()
    with pytest.raises(ValueError, match="3 steps"):
        resident.submit("a", work)
    assert resident.submit("a", lambda: 1) == 1


def test_waiting_forecasts_are_made_in_one_batch_and_equal_those_made_alone():
    series, model = load_sample("irish_wind"), STVLM.load(MODEL)
    model.shrinkage.fill_(1.0)  # so that the network runs
    windows = [Window(series, series.n_steps - 10 - 40 * i, model.config.lookback, model.config.horizon) for i in range(5)]
    alone = [predict(STVLM.load(MODEL), window).values for window in windows[:1]]
    resident, gate, batches = RequestQueue(), threading.Event(), []

    def work(asked: list[Window]) -> list[Forecast]:
        batches.append(len(asked))
        return predict_together(model, asked)

    with ThreadPoolExecutor(11) as threads:
        busy = threads.submit(resident.submit, "busy", lambda: gate.wait(60))
        asked = [threads.submit(resident.submit_batched, f"{i % 5}", "wind", windows[i % 5], work) for i in range(10)]
        while sum(resident._askers.values()) < 11:
            time.sleep(0.005)
        gate.set()
        answers = [question.result().values for question in asked]
        assert busy.result()
    assert batches == [5]
    for i, answer in enumerate(answers):
        fresh = STVLM.load(MODEL)  # that has kept no forecast
        fresh.shrinkage.fill_(1.0)
        if i < 5:
            np.testing.assert_allclose(answer, predict(fresh, windows[i]).values, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(answer, answers[i % 5])
    assert not np.allclose(answers[0], alone[0])
    assert resident._open == resident._made == {}
    assert not any(resident._waiting.values())


def test_one_bad_item_of_a_batch_spoils_no_other_and_batches_are_bounded():
    resident, gate, batches = RequestQueue(), threading.Event(), []

    def work(items: list[int]) -> list[float]:
        batches.append(len(items))
        if 3 in items:
            raise ValueError("3 is no number here.")
        return [item / 2 for item in items]

    with ThreadPoolExecutor(12) as threads:
        threads.submit(resident.submit, "busy", lambda: gate.wait(60))
        asked = [threads.submit(resident.submit_batched, str(i), "halves", i, work) for i in range(11)]
        while len(resident._open) < 12:
            time.sleep(0.005)
        gate.set()
        answers = {i: question.result() for i, question in enumerate(asked) if i != 3}
        with pytest.raises(ValueError, match="3 is no number"):
            asked[3].result()
    assert answers == {i: i / 2 for i in range(11) if i != 3}
    assert max(batches) <= TOGETHER
    assert resident.submit_batched("4", "halves", 4, work) == 2.0
    assert resident._open == resident._made == {}


def test_who_left_a_batch_is_not_worked_for():
    resident, gate, seen = RequestQueue(patience_seconds=0.2), threading.Event(), []

    def work(items: list[str]) -> list[str]:
        seen.extend(items)
        return items

    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(resident.submit, "busy", lambda: gate.wait(60))
        while not resident._open:
            time.sleep(0.005)
        with pytest.raises(BusyError, match="did not answer within"):
            resident.submit_batched("a", "letters", "a", work)
        gate.set()
        with pytest.raises(BusyError):
            busy.result()
    resident.patience_seconds = 60
    assert resident.submit_batched("b", "letters", "b", work) == "b"
    assert seen == ["b"]
