"""Ridge regression by normal equations, one system for all steps ahead or one for each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the number of rows


def normal_equations(features: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None):
    """[(G (F, F), C (F, h), rows, steps)]: one system for all steps where the rows are whole, else one for each step.

    Args:
        features: (W, N, F). target: (W, N, H), NaN = missing. weight: (W, N, H) or None.
    """
    rows, wanted = features.reshape(-1, features.shape[-1]), target.reshape(-1, target.shape[-1])
    seen = np.isfinite(wanted)
    whole = seen.all(axis=1)
    if weight is None and whole.mean() > 0.5:
        f, y = rows[whole], wanted[whole]
        return [(f.T @ f, f.T @ y, len(f), slice(None))]
    systems = []
    for step in range(wanted.shape[1]):
        f, y = rows[seen[:, step]], wanted[seen[:, step], step]
        w = np.ones(len(y), "f4") if weight is None else weight.reshape(wanted.shape)[seen[:, step], step]
        systems.append(((f * w[:, None]).T @ f, ((f * w[:, None]).T @ y)[:, None], max(float(w.sum()), 1.0), slice(step, step + 1)))
    return systems


def solve(systems, pick: np.ndarray, n_features: int) -> Iterator[tuple[float, np.ndarray]]:
    """(penalty, weights (F, H)) for each penalty, by one eigendecomposition a system."""
    horizon = sum(c.shape[1] for _, c, _, _ in systems)
    solved = []
    for gram, cross, n_rows, steps in systems:
        value, vector = np.linalg.eigh(gram[np.ix_(pick, pick)].astype("f8"))
        solved.append((np.maximum(value, 0), vector, vector.T @ cross[pick].astype("f8"), n_rows, steps))
    for penalty in PENALTIES:
        weights = np.zeros((n_features, horizon), "f4")
        for value, vector, turned, n_rows, steps in solved:
            weights[pick, steps] = vector @ (turned / (value + penalty * max(n_rows, 1))[:, None])
        yield penalty, weights
