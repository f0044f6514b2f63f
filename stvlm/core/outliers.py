"""Far outliers: readings far outside all that a sensor has read so far, which nothing before or after them supports.

They are judged by the past alone, so that no forecast of a backtest knows more than it would have known. Medians and quartiles decide,
which up to a quarter of wild readings does not move. Real floods, jams and festivals are believed, since readings rise to them or stay
there; a spike of one to three steps is not.
"""

from __future__ import annotations

import numpy as np

DOUBTED = 20.0  # spreads (quartile to quartile) from the median from which on a reading needs support
USUAL = 2.0  # spreads: a reading farther out than this supports what comes right after it, for readings rose to it
CONFIRMED = 3  # doubted readings in a row by which the level that they have is believed from then on
ABSURD = 3000.0  # spreads: what lies beyond is never believed
FIRST = 64  # steps that are judged by themselves; the next ones by these, then twice as many by all before, and so on
SAMPLE = 1_000_000  # readings that medians and quartiles are taken from
MOST_ROWS, FEWEST_ROWS = 2000, 200
FEW = 16  # readings other than the most frequent one, without which a sensor takes the network's spread
OUTSIZED = 1e5  # times the usual sensor's range: errors of such a sensor would drown those of all others
BLOCK = 4_000_000  # readings looked at in one go
GOLDEN = (5**0.5 - 1) / 2


def far_outliers(values: np.ndarray) -> np.ndarray:
    """Find the readings that no forecast should be made from.

    Args:
        values: (T, N) float32, NaN = missing.

    Returns:
        (K, 2) int64: step and node of each, in the order of time.
    """
    found, start = [np.zeros((0, 2), "i8")], 0
    while start < len(values):
        stop = min(max(2 * start, FIRST), len(values))
        found.append(_judge(values, start, stop))
        start = stop
    return np.concatenate(found)


def outlier_limit(spread: np.ndarray) -> np.ndarray:
    """(N,) how far from its median a reading may lie, of (N,) spreads; a calm sensor may jump as the others do."""
    return np.where(spread > 0, DOUBTED * np.maximum(spread, np.median(spread)), np.inf)


def outsized(reach: np.ndarray) -> np.ndarray:
    """(N,) bool: sensors that range or vary (N,) beyond all proportion to the others, as in another unit; NaN and 0 do not count."""
    moving = reach[reach > 0]
    return reach > OUTSIZED * (np.median(moving) if len(moving) else np.inf)


def comparable(truth: np.ndarray) -> np.ndarray:
    """What forecasters are chosen by: the readings (..., N) with outsized sensors missing, whose errors alone would decide for all."""
    axes = tuple(range(truth.ndim - 1))
    reach = np.fmax.reduce(truth, axis=axes, initial=-np.inf) - np.fmin.reduce(truth, axis=axes, initial=np.inf)
    left_out = outsized(reach)
    return np.where(left_out, np.float32(np.nan), truth) if left_out.any() else truth


def _judge(values: np.ndarray, start: int, stop: int) -> np.ndarray:
    """(K, 2) far outliers of the steps start .. stop - 1, by what was read before them."""
    middle, spread, is_mostly_one = _usual(values[: start or stop])
    limit = np.where(is_mostly_one, ABSURD, DOUBTED) * spread
    doubted = np.zeros(values.shape[1], bool)
    rows = max(1, BLOCK // values.shape[1])
    for first in range(start, stop, rows):
        doubted |= (np.abs(values[first : min(first + rows, stop)] - middle) > limit).any(axis=0)
    found = []
    before = max(0, start - FIRST)
    for node in np.flatnonzero(doubted):
        away = np.abs(values[before:stop, node] - middle[node]) / spread[node]
        seen = np.flatnonzero(np.isfinite(away))
        far = seen[away[seen] > ABSURD] if is_mostly_one[node] else seen[_unsupported(away[seen])]
        steps = before + far[before + far >= start]
        found.append(np.stack([steps, np.full_like(steps, node)], axis=1))
    cells = np.concatenate(found) if found else np.zeros((0, 2), "i8")
    return cells[np.lexsort(cells.T[::-1])]


def _unsupported(away: np.ndarray) -> np.ndarray:
    """(K,) bool of readings in a row, by their distances (K,) from the median in spreads."""
    doubted, place = away > DOUBTED, np.arange(len(away))
    begins = doubted & ~np.r_[False, doubted[:-1]]
    first = np.maximum.accumulate(np.where(begins, place, 0))  # of the run that a reading is in
    sudden = (np.r_[0.0, away[:-1]] <= USUAL)[first]
    return (doubted & sudden & (place - first < CONFIRMED)) | (away > ABSURD)


def _usual(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median, spread and whether most readings are one number (rain: 0), each (N,).

    The spread is the distance between the quartiles of the readings other than the median, and at least the usual one of the network: a
    calm sensor may jump as the others do. It is infinite where nothing is known of it.
    """
    n_steps, n_sensors = values.shape
    n_rows = int(np.clip(SAMPLE // n_sensors, FEWEST_ROWS, MOST_ROWS))
    # all rows, or some that share no rhythm with the clock
    rows = slice(None) if n_steps <= n_rows else np.unique(np.arange(n_rows) * GOLDEN % 1 * n_steps).astype(int)
    sample = np.sort(values[rows], axis=0)  # missing ones last
    count = np.isfinite(sample).sum(axis=0)
    middle = _at_share(sample, count, 0.5)
    same = sample == middle
    others, n_others = np.sort(np.where(same, np.nan, sample), axis=0), count - same.sum(axis=0)
    spread = _at_share(others, n_others, 0.75) - _at_share(others, n_others, 0.25)
    spread[n_others < FEW] = np.nan
    known = spread[spread > 0]
    spread = np.fmax(spread, np.median(known)) if len(known) else np.full(n_sensors, np.inf)
    return middle, spread, 2 * n_others <= count


def _at_share(rising: np.ndarray, count: np.ndarray, share: float) -> np.ndarray:
    """(N,) the number that a share of the first `count` (N,) of each sorted column lies below; NaN where there is none."""
    return np.take_along_axis(rising, np.maximum(share * (count - 1), 0).astype(int)[None], axis=0)[0]
