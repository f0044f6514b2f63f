"""One past and one future around a cutoff, and the parts of a series in time order."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from stvlm.core.series import Moment, SensorSeries

PARTS = ("train", "val", "test")
FEWEST_FOR_BANDS = 39  # errors that the outer bound of a 95 % band needs: n with ceil((n + 1) 0.975) <= n


def exact(share: float | str) -> Fraction:
    """A share as it is written in decimals: 0.7 is seven tenths, where the float lies beside it and 0.7 + 0.1 falls short of 0.8.

    Raises:
        ValueError: text that is no number, or a share that is not finite.
    """
    return Fraction(str(share))


@dataclass(frozen=True, eq=False)
class Window:
    """The past that a model sees and the future that it forecasts: views, not copies.

    Attributes:
        series: the whole series.
        cutoff: first step that is forecast, lookback <= cutoff <= T.
        lookback: L, past steps shown to the model.
        horizon: H, steps forecast; they may lie past the end of the series.

    Raises:
        ValueError: fewer than L steps before the cutoff, or a cutoff past the end.
    """

    series: SensorSeries
    cutoff: int
    lookback: int
    horizon: int

    def __post_init__(self) -> None:
        if self.lookback < 1 or self.horizon < 1:
            raise ValueError("lookback and horizon must be at least one step.")
        if not self.lookback <= self.cutoff <= self.series.n_steps:
            raise ValueError(
                f"The cutoff {self.cutoff} needs {self.lookback} steps before it and at most {self.series.n_steps} in all."
            )

    @classmethod
    def at(cls, series: SensorSeries, cutoff: Moment | None, lookback: int, horizon: int | str) -> Window:
        """The window whose forecast begins at a time.

        Args:
            series: the readings.
            cutoff: first time that is forecast; None: right after the last reading.
            lookback: past steps.
            horizon: steps ahead, or a length as in `steps_in`.

        Raises:
            ValueError: no such time, or one with too little before it.
        """
        step = series.n_steps if cutoff is None else series.step_at(cutoff)
        if not lookback <= step <= series.n_steps:
            first, last = series.times_after(0, series.n_steps + 1)[[min(lookback, series.n_steps), -1]]
            raise ValueError(
                f"cutoff {cutoff or 'at the end'}: the model needs {lookback} steps before the first step that it forecasts; "
                f"with this file that lies between {first} and {last}."
            )
        return cls(series, step, lookback, steps_in(horizon, series.step_seconds))

    @property
    def past(self) -> np.ndarray:
        """(L, N) float32 in the series' unit; NaN = missing."""
        return self.series.values[self.cutoff - self.lookback : self.cutoff]

    @property
    def future(self) -> np.ndarray | None:
        """(H, N) float32 in the series' unit, NaN = missing; None where the series ends before the horizon does."""
        end = self.cutoff + self.horizon
        return self.series.values[self.cutoff : end] if end <= self.series.n_steps else None

    @property
    def past_times(self) -> np.ndarray:
        """(L,) datetime64[s]."""
        return self.series.times[self.cutoff - self.lookback : self.cutoff]

    @property
    def future_times(self) -> np.ndarray:
        """(H,) datetime64[s]."""
        return self.series.times_after(self.cutoff, self.horizon)


@dataclass(frozen=True)
class Split:
    """Training, validation and test part of a series, in time order, as first steps.

    Training is steps train_start .. train_end - 1, validation train_end .. val_end - 1, test test_start .. n_steps - 1.
    A window belongs to the part in which its whole future lies; its lookback may reach back into the part before, but
    never before `train_start` (which is 0 unless few-shot training starts later).
    """

    train_start: int
    train_end: int
    val_end: int
    test_start: int
    n_steps: int

    def __post_init__(self) -> None:
        if not 0 <= self.train_start < self.train_end <= self.val_end <= self.test_start <= self.n_steps:
            raise ValueError(f"Parts must follow each other in time and training must not be empty: {self}.")

    @classmethod
    def from_shares(cls, n_steps: int, shares: tuple[float, float, float]) -> Split:
        """Split by shares of training, validation and test: train_end = ⌊T a⌋, test_start = ⌊T (a + b)⌋, exactly (see `exact`).

        Raises:
            ValueError: shares that are negative or do not sum to 1, or an empty training part.
        """
        if len(shares) != 3 or not min(shares) >= 0 or not abs(sum(shares) - 1) <= 1e-6:
            raise ValueError(f"A split is three shares that sum to 1, such as 0.6,0.2,0.2; got {shares}.")
        train, val, _ = map(exact, shares)
        test_start = int(n_steps * (train + val))
        return cls(0, int(n_steps * train), test_start, test_start, n_steps)

    def cutoffs(self, part: str, lookback: int, horizon: int) -> np.ndarray:
        """(W,) int64: the cutoffs of all windows of a part ("train", "val", "test"), stride 1."""
        start, end = {
            "train": (self.train_start, self.train_end),
            "val": (self.train_end, self.val_end),
            "test": (self.test_start, self.n_steps),
        }[part]
        first = max(start, self.train_start + lookback)
        return np.arange(first, max(end - horizon + 1, first))


def steps_in(length: int | str, step_seconds: int) -> int:
    """How many steps a horizon takes.

    Args:
        length: steps, or a length such as "48h" or "7d", which is covered: 7 hours take 4 steps of 2 hours.
        step_seconds: of one step.

    Raises:
        ValueError: neither steps nor a length, or nothing.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(min|h|d|w)?", str(length).strip())
    seconds = {None: step_seconds, "min": 60, "h": 3600, "d": 86400, "w": 604800}
    steps = -(-float(match[1]) * seconds[match[2]] // step_seconds) if match else 0
    if steps < 1 or (match and not match[2] and "." in match[1]):
        raise ValueError(f"A horizon is a number of steps, or a length such as 48h or 7d; got {length!r}.")
    return int(steps)


def few_shot(split: Split, amount: str | float, series: SensorSeries, lookback: int, horizon: int) -> Split:
    """Keep a contiguous block, the last one, of the training part; validation shrinks with it.

    Choosing never gets more data than learning: all that looks at the validation part (the kind of anchor, the best weights, the
    width of the bands) sees at most as many windows as the training does.

    Args:
        split: the whole parts.
        amount: a share of the training part (0.1 or "0.1"), of its windows where such a share of its steps would hold none; days
            ("5days") or windows ("5windows").
        series: gives the length of a step.
        lookback, horizon: steps, for counting windows.

    Returns:
        A split whose training part is the block, and whose validation part holds no more windows than it.

    Raises:
        ValueError: an amount that cannot be read, or a block too short for one window.
    """
    whole = split.train_end - split.train_start
    text = str(amount).strip()
    if match := re.fullmatch(r"(\d+)\s*windows?", text):
        block = lookback + horizon + int(match[1]) - 1
    elif match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*days?", text):
        block = round(exact(match[1]) * 86400 / series.step_seconds)
    else:
        try:
            is_share = 0 < float(text) <= 1  # before it is taken exactly: 1e-999999999 would fill the memory
        except ValueError:
            is_share = False
        if not is_share:
            raise ValueError(
                f"few-shot must be a share such as 0.1, days such as 5days or windows such as 5windows; got {amount!r}."
            )
        share = exact(text)
        block = round(whole * share)
        if block < lookback + horizon <= whole:  # so short that it holds no window: the share is one of the windows then
            block = lookback + horizon - 1 + max(1, round(share * (whole - lookback - horizon + 1)))
    if block < lookback + horizon:
        raise ValueError(
            f"few-shot {amount}: {block} training steps hold no window of {lookback} + {horizon} steps. Take more data or a shorter window."
        )
    block = min(block, whole)
    val_end = min(split.val_end, split.train_end + block - lookback)  # its first lookback lies in the training part
    return replace(split, train_start=split.train_end - block, val_end=val_end)


def since_block(series: SensorSeries, split: Split) -> SensorSeries:
    """The series without the readings before the training part, which few-shot training must not see: not as a longer past either."""
    if not np.isfinite(series.values[: split.train_start]).any():
        return series
    values = series.values.copy()
    values[: split.train_start] = np.nan
    return replace(series, values=values)


def coverage(split: Split, series: SensorSeries, lookback: int, horizon: int) -> str:
    """What a training with these parts learns from and chooses by, in words.

    Args:
        split: the parts, as `few_shot` left them. series: the readings. lookback, horizon: L, H in steps.
    """
    n_steps = split.train_end - split.train_start
    train, val = (len(split.cutoffs(part, lookback, horizon)) for part in ("train", "val"))
    first, last = (str(series.local_times[i])[:16].replace("T", " ") for i in (split.train_start, split.train_end - 1))
    text = (
        f"Learns from {n_steps} of {split.train_end} training steps ({n_steps / split.train_end:.1%}), {first} to {last}: "
        f"{train} windows. Chooses by {val}."
    )
    if 0 < val < FEWEST_FOR_BANDS:
        text += " With so few, the bands reach as far as the errors seen there and may hold less than they say."
    return text


def thin(cutoffs: np.ndarray, at_most: int) -> np.ndarray:
    """At most so many of the cutoffs (W,), evenly spread, the first and the last among them."""
    return cutoffs[np.unique(np.linspace(0, len(cutoffs) - 1, min(len(cutoffs), at_most)).astype(int))]
