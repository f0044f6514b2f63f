"""Bands that follow the error: wider after readings fell outside, narrower after too few did, by what was known at each cutoff."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from stvlm.core.forecast import LEVELS

# Found on the stretches before the test parts of thirteen networks; what comes out hardly changes within a factor of 1.5 of each.
RATE = 0.5  # gain of a correction; that of step h is RATE / (lag + SLACK), its news being old by `lag` updates: no swinging
SLACK = 5.0
TILT = 0.2  # gain by which the two sides of a band differ, as a share of that by which they move together
HASTE, SETTLED = 2.0, 20  # the first corrections are larger: by 1 + HASTE, and by half as much more after SETTLED windows
LIMIT = 3.0  # of the logarithm of a factor


@dataclass(eq=False)
class _Issued:
    """A forecast whose truth is not all known yet: (Q, H, N) quantiles from `cutoff` on, of which `known` steps were compared."""

    cutoff: int
    quantiles: np.ndarray
    known: int = 0


class OnlineCalibrator:
    """Multiplies the distance of each quantile from the median by a factor that is learnt from the errors known so far.

    The factors live as logarithms, one for each level and step. Window by window the share m of readings that fell beyond a
    quantile is compared with the share a that should: log f += rate (m - a) / slope, where the slope is that of a normal
    distribution's tail, so that the same miss in coverage asks for the same widening at all levels. The two sides of a band share most
    of what they learn (TILT). Whatever the errors do, the share outside tends to a: quantile tracking as in Angelopoulos, Candès &
    Tibshirani 2023, *Conformal PID control for time series prediction*, after the adaptive conformal inference of Gibbs & Candès 2021;
    here on all sensors of a step at once, in logarithms, with a gain that falls with the delay of the news and, at first, with time (as in
    Angelopoulos, Barber & Bates 2024, *Online conformal prediction with decaying step sizes*). The median stays as it is.

    An error of step h of the window at c is known once c + h < cutoff; `issue` reads nothing at or after its cutoff.

    Args:
        values: (T, N) readings, NaN = missing. horizon: H. floor: no quantile is below it (unless the median is); None for none.
        stride: usual steps between two cutoffs. levels: Q probabilities, rising, symmetric around 0.5.

    Raises:
        ValueError: levels that are not symmetric.
    """

    def __init__(
        self,
        values: np.ndarray,
        horizon: int,
        floor: float | None = None,
        stride: float = 1.0,
        levels: tuple[float, ...] = LEVELS,
    ) -> None:
        at = np.array(levels)
        if not np.allclose(at, 1 - at[::-1]) or list(at) != sorted(set(at)) or len(at) % 2 == 0:
            raise ValueError(f"levels must rise and be symmetric around 0.5: {levels}.")
        self._values, self._floor, self._median = values, floor, len(at) // 2
        self._share = np.minimum(at, 1 - at)[:, None]  # (Q, 1) of readings that should fall beyond
        z = np.array([NormalDist().inv_cdf(level) for level in levels])
        self._slope = np.abs(z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))[:, None]
        self._slope[self._median] = 1.0
        self._rate = RATE / ((np.arange(horizon) + 1) / stride + SLACK)  # (H,)
        self._log = np.zeros((len(at), horizon))
        self._open: list[_Issued] = []
        self._windows = 0  # issued so far

    @property
    def factors(self) -> np.ndarray:
        """(Q, H) float32 by which distances from the median are multiplied now; 1 at the median."""
        return np.exp(self._log).astype("f4")

    def calibrate(self, cutoff: int, quantiles: np.ndarray) -> np.ndarray:
        """Learn from what is known at a cutoff, and give the bands of the window that begins there.

        Args:
            cutoff: not before the last one. quantiles: (Q, H, N) as the forecaster gives them.

        Returns:
            (Q, H, N) float32, rising along Q, the median as it was.

        Raises:
            ValueError: a cutoff before the last one.
        """
        if self._open and cutoff < self._open[-1].cutoff:
            raise ValueError(f"Windows must come in the order of time; {cutoff} comes after {self._open[-1].cutoff}.")
        self._learn(cutoff)
        median = quantiles[self._median]
        out = median + self.factors[:, :, None] * (quantiles - median)
        np.maximum.accumulate(out[self._median :], axis=0, out=out[self._median :])
        np.minimum.accumulate(out[self._median :: -1], axis=0, out=out[self._median :: -1])
        if self._floor is not None:
            np.maximum(out, np.minimum(median, self._floor), out=out)
        self._open.append(_Issued(cutoff, out))
        self._windows += 1
        return out

    def _learn(self, cutoff: int) -> None:
        """Compare the readings before a cutoff with the bands that were issued for them."""
        beyond, seen, windows = np.zeros_like(self._log), np.zeros(len(self._rate)), np.zeros(len(self._rate))
        for issued in self._open:
            steps = slice(issued.known, min(cutoff - issued.cutoff, len(self._rate)))
            truth = self._values[issued.cutoff + steps.start : issued.cutoff + steps.stop]  # (h, N)
            rows = issued.quantiles[:, steps]
            beyond[: self._median, steps] += (truth < rows[: self._median]).sum(axis=-1)
            beyond[self._median + 1 :, steps] += (truth > rows[self._median + 1 :]).sum(axis=-1)
            seen[steps] += np.isfinite(truth).sum(axis=-1)
            windows[steps] += 1
            issued.known = steps.stop
        self._open = [issued for issued in self._open if issued.known < len(self._rate)]
        miss = (beyond / np.maximum(seen, 1) - self._share) / self._slope  # (Q, H)
        both = (miss + miss[::-1]) / 2
        observed = seen / np.maximum(windows, 1) / self._values.shape[1]  # of few readings little is learnt
        haste = 1 + HASTE * SETTLED / (SETTLED + self._windows)
        self._log += haste * self._rate * observed * (both + TILT * (miss - both))
        self._log[self._median] = 0
        np.clip(self._log, -LIMIT, LIMIT, out=self._log)


class OnlineCalibratedForecaster:
    """A forecaster whose bands follow its errors, window after window, from what the validation part has set.

    Asked in the order of time, block after block, it goes on from where it was; asked for earlier windows, it begins anew. So the bands
    of a window depend on the windows asked for before it and on readings before its cutoff, on nothing else.

    Args:
        forecast: cutoffs (W,) → quantiles (Q, W, H, N) at LEVELS. values: (T, N) readings. horizon, floor: as in BandTracker.
    """

    def __init__(
        self, forecast: Callable[[np.ndarray], np.ndarray], values: np.ndarray, horizon: int, floor: float | None = None
    ) -> None:
        self._forecast, self._values, self._horizon, self._floor = forecast, values, horizon, floor
        self._tracker, self._last = OnlineCalibrator(values, horizon, floor), -1

    def __call__(self, cutoffs: np.ndarray) -> np.ndarray:
        """Cutoffs (W,), rising → quantiles (Q, W, H, N) float32."""
        if cutoffs[0] <= self._last:
            self._tracker = OnlineCalibrator(self._values, self._horizon, self._floor)
        made = np.array(self._forecast(cutoffs), "f4")
        for w, cutoff in enumerate(cutoffs):
            made[:, w] = self._tracker.calibrate(int(cutoff), made[:, w])
        self._last = int(cutoffs[-1])
        return made
