"""Scales on which skewed readings look symmetric: identity, root, logarithm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stvlm.data.scaler import ROUNDING

FINE = 10.0  # roundings of the logarithm's shift that a sensor's readings must range over
MOST = 50_000_000  # readings up to which others than identity are tried: they need the whole series anew


@dataclass(frozen=True)
class Transform:
    """A rising map of readings to a working scale and back.

    Attributes:
        kind: "identity", "root" (square root of value + shift) or "log" (logarithm of value + shift).
        shift: in the unit of the readings, > 0 for "log".
    """

    kind: str = "identity"
    shift: float = 0.0

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Readings → working scale, same shape, float32; readings below -shift count as -shift."""
        if self.kind == "identity":
            return values
        moved = np.maximum(values + self.shift, 0 if self.kind == "root" else 1e-6 * self.shift)
        return (np.sqrt(moved) if self.kind == "root" else np.log(moved)).astype("f4")

    def inverse(self, scaled):
        """Working scale → readings. Takes numpy arrays and torch tensors alike; rising everywhere."""
        if self.kind == "identity":
            return scaled
        if self.kind == "root":
            return scaled * abs(scaled) - self.shift
        exp = np.exp if isinstance(scaled, np.ndarray) else type(scaled).exp
        return exp(scaled.clip(-30, 30)) - self.shift


def candidates(values: np.ndarray) -> list[Transform]:
    """The transforms worth trying on the readings (T, N) of a training part: others than identity only for positive, skewed ones.

    No logarithm beside whose shift a sensor's readings would all be one number.
    """
    if values.size > MOST:
        return [Transform()]
    seen = values[np.isfinite(values)].astype("f8")  # the third power of a large reading leaves the range of float32
    if seen.size == 0 or seen.min() < 0:
        return [Transform()]
    spread = seen.std()
    skew = float(((seen - seen.mean()) ** 3).mean() / max(spread, 1e-9) ** 3)
    if skew < 0.5:
        return [Transform()]
    shift = max(float(0.1 * np.median(seen)), 0.02 * float(spread), 1e-6)
    root, log = Transform("root"), Transform("log", shift)
    return [Transform(), root, log] if FINE * ROUNDING * shift < _finest(values) else [Transform(), root]


def _finest(values: np.ndarray) -> float:
    """The least range of a sensor's readings (T, N), of those that move at all; infinite where none does."""
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    ranges = (high - low)[high - low > ROUNDING * np.abs(high)]
    return float(ranges.min()) if len(ranges) else float("inf")
