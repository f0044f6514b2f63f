"""Windows are views, parts follow each other in time, and nothing of the test part is in training."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries, to_local
from stvlm.core.windows import PARTS, Split, Window, coverage, few_shot
from tests.support.paths import SHARED_DATA


def series(n_steps=100, minutes=60, **more):
    values = np.arange(n_steps * 2, dtype="float32").reshape(n_steps, 2)
    times = np.datetime64("2021-10-30", "s") + np.arange(n_steps) * np.timedelta64(minutes, "m")
    return SensorSeries(SensorNetwork(("a", "b"), [48, 49], [11, 12]), times, values, **more)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (dict(values=np.zeros((100, 3))), "100 steps x 2 sensors"),
        (dict(times=np.repeat(np.datetime64("2021-10-30", "s"), 100)), "rise by equal steps"),
        (dict(times=(np.arange(100) ** 2).astype("datetime64[s]")), "rise by equal steps"),
        (dict(context=pd.DataFrame({"x": [1]})), "context must have 100 rows"),
        (dict(known_ahead=("x",)), "columns that the context lacks"),
    ],
)
def test_a_series_that_cannot_be_is_refused(change, expected):
    whole = series()
    fields = dict(network=whole.network, times=whole.times, values=whole.values) | change
    with pytest.raises(ValueError, match=expected):
        SensorSeries(**fields)


def test_times_are_shown_on_the_local_clock_also_when_it_changes():
    local = to_local(series().times, "Europe/Berlin")
    assert [str(t)[11:13] for t in local[22:28]] == ["00", "01", "02", "02", "03", "04"]
    assert series(timezone="").local_times is not None
    assert (series().local_times == series().times).all()


def test_slices_and_windows_are_views_on_the_same_readings():
    whole = series(context=pd.DataFrame({"x": range(100)}))
    window = Window(whole, cutoff=50, lookback=10, horizon=5)
    assert np.shares_memory(window.past, whole.values)
    assert np.shares_memory(window.future, whole.values)
    assert np.shares_memory(whole.slice(10, 20).values, whole.values)
    assert whole.slice(10, 20).context["x"].tolist() == list(range(10, 20))
    assert window.past[-1, 0] == 98
    assert window.future[0, 0] == 100
    assert window.past_times[-1] + np.timedelta64(1, "h") == window.future_times[0]


def test_a_window_at_the_end_has_times_to_forecast_but_no_future():
    window = Window(series(), cutoff=100, lookback=10, horizon=5)
    assert window.future is None
    assert str(window.future_times[0]) == "2021-11-03T04:00:00"
    assert Window(series(), 96, 10, 5).future is None
    assert Window(series(), 95, 10, 5).future.shape == (5, 2)


@pytest.mark.parametrize(("cutoff", "lookback", "horizon"), [(9, 10, 5), (101, 10, 5), (50, 0, 5), (50, 10, 0)])
def test_a_window_out_of_bounds_is_refused(cutoff, lookback, horizon):
    with pytest.raises(ValueError, match=r"cutoff|at least one step"):
        Window(series(), cutoff, lookback, horizon)


@settings(max_examples=200, deadline=None)
@given(st.integers(10, 500), st.integers(1, 98), st.integers(0, 98), st.integers(1, 20), st.integers(1, 20))
def test_parts_never_share_a_step_of_the_future_and_hold_every_window(n_steps, train, val, lookback, horizon):
    shares = (train / 100, min(val, 100 - train) / 100)
    shares = (*shares, 1 - sum(shares))
    if int(n_steps * shares[0]) == 0:
        return
    split = Split.from_shares(n_steps, shares)
    futures = [{s for c in split.cutoffs(p, lookback, horizon) for s in range(c, c + horizon)} for p in PARTS]
    assert sum(map(len, futures)) == len(set.union(*futures))
    assert all(s < split.train_end for s in futures[0])
    assert all(s >= split.test_start for s in futures[2])
    every = np.arange(lookback, n_steps - horizon + 1)
    inside = sum(len(split.cutoffs(p, lookback, horizon)) for p in PARTS)
    crossing = sum(any(c < edge < c + horizon for edge in (split.train_end, split.test_start)) for c in every)
    assert inside == len(every) - crossing


def test_no_step_is_lost_where_shares_are_no_binary_fractions():
    split = Split.from_shares(300, (0.7, 0.1, 0.2))  # as floats, 0.7 + 0.1 = 0.7999999999999999
    assert (split.train_end, split.test_start, split.n_steps) == (210, 240, 300)


@example(300, 700, 100)
@given(st.integers(1, 100_000), st.integers(1, 1000), st.integers(0, 999))
def test_parts_end_at_the_floor_of_their_exact_share(n_steps, train, val):
    val = min(val, 1000 - train)
    if n_steps * train < 1000:
        return
    split = Split.from_shares(n_steps, (train / 1000, val / 1000, (1000 - train - val) / 1000))
    assert (split.train_end, split.test_start) == (n_steps * train // 1000, n_steps * (train + val) // 1000)


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.2, -0.1, -0.1), (0.5, 0.5), (0.5, float("nan"), 0.5)])
def test_shares_that_make_no_split_are_refused(shares):
    with pytest.raises(ValueError, match="three shares that sum to 1"):
        Split.from_shares(100, shares)


@pytest.mark.parametrize(
    ("amount", "block"),
    [
        (0.1, 60),
        ("0.1", 60),
        ("0.05", 30),
        ("5days", 120),
        ("2days", 48),
        ("1.5 days", 36),
        ("5windows", 19),
        ("1window", 15),
        (1, 600),
    ],
)
def test_few_shot_keeps_the_last_block_of_the_training_part(amount, block):
    split = Split.from_shares(1000, (0.6, 0.2, 0.2))
    few = few_shot(split, amount, series(1000), lookback=12, horizon=3)
    assert (few.train_start, few.train_end) == (600 - block, 600)
    assert few.test_start == split.test_start
    assert len(few.cutoffs("val", 12, 3)) <= len(few.cutoffs("train", 12, 3))
    cutoffs = few.cutoffs("train", 12, 3)
    assert len(cutoffs) == block - 14
    assert cutoffs[0] - 12 >= few.train_start
    np.testing.assert_array_equal(few.cutoffs("test", 12, 3), split.cutoffs("test", 12, 3))


def test_a_few_shot_share_is_rounded_exactly():
    assert 0.35 * 90 < 31.5  # as floats
    assert few_shot(Split.from_shares(100, (0.9, 0.1, 0)), 0.35, series(100), 4, 2).train_start == 90 - 32
    assert 0.14 * 75 > 10.5
    few = few_shot(Split.from_shares(1000, (0.11, 0.1, 0.79)), "0.14", series(1000), 24, 12)  # of 75 windows
    assert len(few.cutoffs("train", 24, 12)) == 10


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 20), st.integers(1, 40))
def test_choosing_never_gets_more_windows_than_learning(shots, lookback, horizon, val):
    split = Split.from_shares(1000, (0.5, val / 100, 0.5 - val / 100))
    few = few_shot(split, f"{shots}windows", series(1000), lookback, horizon)
    assert len(few.cutoffs("train", lookback, horizon)) == shots
    most = len(split.cutoffs("val", lookback, horizon))
    assert len(few.cutoffs("val", lookback, horizon)) == min(shots, most)
    assert few.val_end <= split.val_end


def test_coverage_says_what_is_learnt_and_that_few_windows_make_rough_bands():
    split = Split.from_shares(1000, (0.6, 0.2, 0.2))
    text = coverage(few_shot(split, 0.1, series(1000), 12, 3), series(1000), 12, 3)
    assert text == "Learns from 60 of 600 training steps (10.0%), 2021-11-21 12:00 to 2021-11-23 23:00: 46 windows. Chooses by 46."
    few = coverage(few_shot(split, "5windows", series(1000), 12, 3), series(1000), 12, 3)
    assert "19 of 600 training steps (3.2%)" in few
    assert few.endswith(
        "5 windows. Chooses by 5. With so few, the bands reach as far as the errors seen there and may hold less than they say."
    )


@pytest.mark.parametrize("amount", ["0", "1.5", "-0.1", "many", "nan", "3 weeks", "1/10", "1e-999999999"])
def test_an_amount_that_cannot_be_read_is_refused(amount):
    with pytest.raises(ValueError, match="few-shot must be a share"):
        few_shot(Split.from_shares(1000, (0.6, 0.2, 0.2)), amount, series(1000), 12, 3)


def test_a_block_without_a_window_is_refused():
    with pytest.raises(ValueError, match=r"6 training steps hold no window of 12 \+ 3 steps"):
        few_shot(Split.from_shares(1000, (0.6, 0.2, 0.2)), "6 days", series(1000, minutes=1440), 12, 3)
    with pytest.raises(ValueError, match=r"10 training steps hold no window of 12 \+ 3 steps"):
        few_shot(Split.from_shares(100, (0.1, 0.2, 0.7)), 1, series(100), 12, 3)


def test_a_share_that_holds_no_window_is_a_share_of_the_windows():
    few = few_shot(Split.from_shares(1000, (0.6, 0.2, 0.2)), 0.01, series(1000), 12, 3)
    assert len(few.cutoffs("train", 12, 3)) == 6  # of 586


def test_the_fingerprint_sees_every_reading_and_word():
    base = series()
    changed = base.values.copy()
    changed[99, 1] += 1
    prints = {
        base.fingerprint,
        series(unit="km/h").fingerprint,
        series(timezone="UTC").fingerprint,
        series(minutes=30).fingerprint,
        SensorSeries(base.network, base.times, changed).fingerprint,
        series(context=pd.DataFrame({"x": range(100)})).fingerprint,
    }
    assert len(prints) == 6
    assert series().fingerprint == base.fingerprint


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the comparison data is not here")
def test_windows_are_those_of_the_comparison_protocol(monkeypatch):
    """Its int(T (a + b)) is a step early where the float a + b falls short of the sum and T (a + b) is whole: once among its networks."""
    monkeypatch.syspath_prepend(str(SHARED_DATA))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import protocol

    early = {}
    for name, spec in json.loads((SHARED_DATA / "datasets.json").read_text()).items():
        data = protocol.load(name)
        split = Split.from_shares(len(data.values), tuple(spec["split"]))
        assert split.train_end == data.train_end
        if split.test_start != data.test_start:
            early[name] = (data.test_start, split.test_start, len(data.values))
            data.test_start = split.test_start
        for part in PARTS:
            np.testing.assert_array_equal(
                split.cutoffs(part, data.lookback, data.horizon), data.cutoffs(part), err_msg=f"{name} {part}"
            )
    assert early == {"ireland_hourly_weather_2017": (7007, 7008, 8760)}  # 0.7 + 0.1
