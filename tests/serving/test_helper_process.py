"""Work beside busy pages: done here while nobody waits, in a process of its own after that, and nowhere else when that is gone."""

import os
import signal
import threading
import time

import numpy as np
import psutil
import pytest

from stvlm.core.windows import Window
from stvlm.inference.predict import predict
from stvlm.serving.helper_process import HelperProcess, forecast
from stvlm.training.zero_shot import fit_state, zero_shot
from tests.support.odd_answers import OddError, fail_oddly, make_a_lock
from tests.support.processes import ready

SECONDS = 60.0


@pytest.fixture
def beside():
    made = HelperProcess()
    yield made
    made.close()


def test_who_is_alone_works_here_and_no_process_begins(beside):
    before = len(psutil.Process().children())
    assert {beside.run(os.getpid) for _ in range(3)} == {os.getpid()}
    assert len(psutil.Process().children()) == before


def test_who_waits_is_answered_by_a_process_of_its_own_and_its_errors_come_back(beside):
    ready(beside)
    other = beside.run(os.getpid)
    assert other != os.getpid()
    with pytest.raises(ValueError, match="invalid literal for int"):
        beside.run(int, "x")
    assert beside.run(os.getpid) == other


def test_answers_and_errors_that_cannot_be_copied_are_made_here(beside):
    ready(beside)
    other = beside.run(os.getpid)
    with pytest.raises(OddError, match=r"r\.csv, row 7"):
        beside.run(fail_oddly)
    assert beside.run(make_a_lock).acquire()
    assert beside.run(type, threading.Lock()).__name__ == "lock"
    assert beside.run(os.getpid) == other


def test_a_process_that_stands_still_is_ended_even_before_it_took_the_question(beside, monkeypatch):
    ready(beside)
    os.kill(beside.run(os.getpid), signal.SIGSTOP)
    monkeypatch.setattr("stvlm.serving.helper_process.PATIENCE_SECONDS", 0.5)
    assert beside.run(len, bytes(8 << 20)) == 8 << 20  # more than the line holds


def test_the_process_is_found_from_any_folder(beside, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ready(beside)


def test_while_the_process_begins_the_work_goes_on_here(beside):
    beside.here.acquire()
    done = []
    waiting = threading.Thread(target=lambda: done.append(beside.run(os.getpid)))
    waiting.start()
    time.sleep(0.8)  # longer than LONG_SECONDS: the process has begun, and imports
    beside.here.release()
    waiting.join(SECONDS)
    assert len(done) == 1


def test_a_process_that_is_killed_loses_no_work(beside):
    ready(beside)
    os.kill(beside.run(os.getpid), signal.SIGKILL)
    assert beside.run(os.getpid) == os.getpid()
    ready(beside)


def test_the_process_ends_when_nobody_is_at_the_other_end(beside):
    ready(beside)
    process = psutil.Process(beside.run(os.getpid))
    beside._line.close()
    beside._line = None
    beside._process.wait(10)
    assert not process.is_running()


def test_a_model_made_beside_is_that_made_here_bit_by_bit(beside, small_series):
    ready(beside)
    stop, window = small_series.n_steps - 60, Window(small_series, small_series.n_steps - 20, 12, 6)
    alone = zero_shot(small_series, stop, 12, 6)
    told = beside.run(fit_state, small_series, stop, 12, 6)
    model = told.model(small_series)
    np.testing.assert_array_equal(predict(model, window).values, predict(alone, window).values)
    np.testing.assert_array_equal(beside.run(forecast, told, [window])[0].values, predict(alone, window).values)
    assert model.manifest == alone.manifest
    assert float(model.shrinkage) == float(alone.shrinkage)


def test_models_of_two_networks_share_their_weights_and_nothing_else(small_series):
    stop = small_series.n_steps - 60
    first = fit_state(small_series, stop, 12, 6).model(small_series)
    window = Window(small_series, small_series.n_steps - 20, 12, 6)
    before = predict(first, window).values
    other = fit_state(small_series, stop, 8, 4).model(small_series)
    assert other.backbone is first.backbone
    assert other.spread.shape == (len(first.spread), 4)
    other.shrinkage.fill_(0.123)
    np.testing.assert_array_equal(predict(first, window).values, before)
