"""What `backtest` wrote, read again and as tables: who is how good, where, at which step, and what each part is worth."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stvlm.core.network import SensorNetwork
from stvlm.io.source import InputError, check_json, show
from stvlm.runtime.json_settings import parse_json

LONGEST_FILE = 16_000_000  # bytes
MOST_VALUES = 500_000  # of JSON in one file
MOST_ROWS, MOST_VARIANTS, MOST_SENSORS, LONGEST_HORIZON, MOST_PARTS = 200, 200, 20_000, 10_000, 10
LARGEST_NUMBER = 1e15
LONGEST_SETTING = 20_000  # characters of JSON
DRAWS, DRAWN_AT_ONCE = 2000, 1_000_000  # samples of a bootstrap; sensors of them held at one time
PARTIAL = ".ablations.json"  # ending of the files with what is finished of a panel
OF_OTHER_KINDS = ("benchmark", "levels", "shared", "unseen")  # files beside those of backtests begin so
NUMBERS = ("mae", "rmse")


@dataclass(frozen=True, eq=False)
class Result:
    """One finished backtest.

    Attributes:
        name: of its file. title: of its data. quantity, unit: what was measured. step_minutes: of a step, None where not known.
        lookback, horizon: steps. few_shot: as given; None for the whole training part. windows: how many in each part.
        scores: the rows, checked; single seeds only where there is no row of their mean.
        network: of the sensors, or None where the file does not place them.
        ablations, setting: of the panel; empty where there is none.
    """

    name: str
    title: str
    quantity: str
    unit: str
    lookback: int
    horizon: int
    few_shot: str | None
    step_minutes: float | None
    windows: dict[str, int]
    scores: tuple[dict[str, Any], ...]
    network: SensorNetwork | None = None
    ablations: tuple[dict[str, Any], ...] = ()
    setting: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The data, and how little of it was learnt from."""
        return f"{self.title}, few-shot {self.few_shot}" if self.few_shot else self.title

    @property
    def is_mixed(self) -> bool:
        """Whether the panel was stopped and gone on with other code."""
        code = self.setting.get("code")
        return isinstance(code, list) and len(code) > 1


def read_results(folder: Path) -> tuple[Result, ...]:
    """Every result of a backtest in a folder, by file name; what is finished of a panel and results of other kinds are passed over."""
    files = sorted(p for p in Path(folder).glob("*.json") if not p.name.endswith(PARTIAL) and not p.name.startswith(OF_OTHER_KINDS))
    return tuple(read_result(p.name, p.read_bytes()) for p in files)


def read_result(name: str, content: bytes) -> Result:
    """Read what `backtest --json` wrote.

    Args:
        name: of the file, for messages. content: of the file; it may be hostile.

    Raises:
        InputError: no such result, in plain words.
    """
    if len(content) > LONGEST_FILE:
        raise InputError(f"{show(name)}: holds more than {LONGEST_FILE // 1_000_000} MB, which no result does.")
    try:
        text = content.decode("utf-8")
        check_json(content, name, MOST_VALUES)
        return _result(name, parse_json(text))
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise InputError(f"{show(name)}: is no JSON. Give a file that `python -m stvlm backtest --json` wrote.") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{show(name)}: is no result of a backtest ({show(str(error))[:80]}). "
            "Give a file that `python -m stvlm backtest --json` wrote."
        ) from None


def _result(name: str, raw: dict[str, Any]) -> Result:
    horizon = _count(raw["horizon"], LONGEST_HORIZON)
    _check_sizes(raw)
    means = {row["model"] for row in raw["scores"] if "seeds" in row}
    rows = [row for row in raw["scores"] if "seed" not in row or row["model"].removesuffix(f" seed {row['seed']}") not in means]
    scores = tuple(_score_row(row, horizon) for row in rows)
    if not scores:
        raise ValueError("no rows")
    if len({len(row["mae_per_sensor"]) for row in scores} - {0}) > 1:
        raise ValueError("rows of unlike sensors")
    few_shot = raw.get("few_shot")
    step = raw.get("step_minutes")
    return Result(
        name,
        str(raw.get("title") or name.removesuffix(".json"))[:80],
        str(raw.get("quantity") or "reading")[:60],
        str(raw.get("unit") or "")[:20],
        _count(raw["lookback"]),
        horizon,
        None if few_shot is None else str(few_shot)[:20],
        None if step is None else _finite(step),
        {str(part)[:20]: _count(count) for part, count in raw["windows"].items()},
        scores,
        _network(raw.get("network"), max(len(row["mae_per_sensor"]) for row in scores)),
        tuple(_ablation_row(row) for row in raw.get("ablations", ())),
        dict(raw.get("ablation_setting", {})),
    )


def _check_sizes(raw: dict[str, Any]) -> None:
    """Refuse what no backtest writes, and what pages and charts are not made for."""
    for key, most in (("scores", MOST_ROWS), ("ablations", MOST_VARIANTS), ("windows", MOST_PARTS)):
        if len(raw.get(key, ())) > most:
            raise ValueError(f"more than {most:,} {key}")
    if max((len(row.get("mae_per_sensor", ())) for row in raw["scores"]), default=0) > MOST_SENSORS:
        raise ValueError(f"more than {MOST_SENSORS:,} sensors")
    if len(json.dumps(raw.get("ablation_setting", {}))) > LONGEST_SETTING:
        raise ValueError("a setting without end")


def _score_row(row: dict[str, Any], horizon: int) -> dict[str, Any]:
    per_step = [_number(v) for v in row["mae_per_step"]]
    if len(per_step) != horizon:
        raise ValueError(f"{len(per_step)} steps instead of {horizon}")
    numbers = {key: _finite(row[key]) for key in NUMBERS}
    optional = {key: _number(row.get(key)) for key in ("coverage_80", "width_80", "crps", "seconds_fit", "seconds_per_window")}
    per_sensor = np.array([_number(v) for v in row.get("mae_per_sensor", [])], "f8")
    return {"model": str(row["model"])[:60], "mae_per_step": per_step, "mae_per_sensor": per_sensor} | numbers | optional


def _ablation_row(row: dict[str, Any]) -> dict[str, Any]:
    gap = row["difference"]
    numbers = {key: _finite(row[key]) for key in ("mae_network", "rmse_network", "mae", "rmse", "parameters", "trainable")}
    costs = ("seconds_per_epoch", "peak_mb", "peak_gpu_mb", "ms_per_window")
    spread = (row.get("spread") or {}).get("mae_network")
    return (
        {"variant": str(row["variant"])[:60], "verdict": str(row["verdict"])[:500], "seeds": _count(row["seeds"])}
        | {"taken": _count(row["taken"]), "same_as": None if row.get("same_as") is None else str(row["same_as"])[:60]}
        | numbers
        | {key: _number(row.get(key)) for key in costs}
        | {"spread": _number(spread), "is_sure": bool(gap["is_sure"])}
        | {key: _finite(gap[key]) for key in ("percent", "percent_low", "percent_high")}
    )


def _network(raw: dict[str, Any] | None, n: int) -> SensorNetwork | None:
    if raw is None or not n or len(raw["ids"]) != n:
        return None
    lat, lon = (np.array([_finite(v) for v in raw[key]]) for key in ("lat", "lon"))
    return SensorNetwork(tuple(str(i)[:200] for i in raw["ids"]), lat, lon)


def _count(value: Any, most: float = LARGEST_NUMBER) -> int:
    if not 0 <= int(value) <= most:
        raise ValueError(f"{show(value, 20)} is not from 0 to {most:,.0f}")
    return int(value)


def _number(value: Any) -> float:
    """NaN for what is not there, or out of all bounds."""
    number = float("nan") if value is None else float(value)
    return number if abs(number) <= LARGEST_NUMBER else float("nan")


def _finite(value: Any) -> float:
    number = _number(value)
    if math.isnan(number):
        raise ValueError("a number is missing")
    return number


def horizon_steps(horizon: int, at_most: int = 7) -> tuple[int, ...]:
    """Steps 1 … H to show, evenly spread, the first and the last among them."""
    return tuple(int(s) for s in np.unique(np.linspace(1, horizon, min(horizon, at_most)).round()))


def score_tables(results: tuple[Result, ...]) -> pd.DataFrame:
    """Models × data × horizons: a row for each model of each result, the best of each first.

    Where all results have one horizon, every shown step has its column; else the columns are the first, middle and last step.
    """
    horizons = {r.horizon for r in results}
    rows = []
    for result in results:
        if len(horizons) == 1:
            steps = {f"MAE step {s}": s for s in horizon_steps(result.horizon)}
        else:
            steps = {"MAE first step": 1, "MAE middle step": (result.horizon + 1) // 2, "MAE last step": result.horizon}
        for row in sorted(result.scores, key=lambda row: row["mae"]):
            rows.append(
                {"Data": result.label, "Unit": result.unit, "Model": row["model"], "MAE": row["mae"], "RMSE": row["rmse"]}
                | {column: row["mae_per_step"][step - 1] for column, step in steps.items()}
                | {"80 % band held, %": 100 * row["coverage_80"], "CRPS": row["crps"], "Fit, s": row["seconds_fit"]}
            )
    return pd.DataFrame(rows)


def ablation_table(result: Result) -> pd.DataFrame:
    """The panel of a result as a table: a row a variant, in the order of the panel."""
    unit = f", {result.unit}" if result.unit else ""
    rows = [
        {
            "Variant": row["variant"],
            f"MAE of the network{unit}": row["mae_network"],
            "± over seeds": row["spread"],
            "Difference, %": row["percent"],
            "95 % from": row["percent_low"],
            "95 % to": row["percent_high"],
            f"RMSE of the network{unit}": row["rmse_network"],
            f"MAE as shipped{unit}": row["mae"],
            "Taken": f"{row['taken']} of {row['seeds']}",
            "Parameters": int(row["parameters"]),
            "Trainable": int(row["trainable"]),
            "s per epoch": row["seconds_per_epoch"],
            "Peak memory, MB": row["peak_gpu_mb"] if math.isfinite(row["peak_gpu_mb"]) else row["peak_mb"],
            "ms per forecast": row["ms_per_window"],
        }
        for row in result.ablations
    ]
    return pd.DataFrame(rows)


def few_shot_points(results: tuple[Result, ...]) -> pd.DataFrame:
    """Title, unit, model, windows of training and MAE of models that learnt from more and from less of the same data."""
    rows = [
        {"title": r.title, "unit": r.unit, "model": row["model"], "windows": r.windows.get("train", 0), "mae": row["mae"]}
        for r in results
        for row in r.scores
    ]
    table = pd.DataFrame(rows, columns=["title", "unit", "model", "windows", "mae"])
    counts = table.groupby(["title", "model"])["windows"].transform("nunique")
    return table[counts > 1].sort_values(["title", "model", "windows"], ignore_index=True)


@dataclass(frozen=True)
class SensorGap:
    """How the errors of two models differ from sensor to sensor.

    Attributes:
        gaps: (N,) MAE of the first minus that of the second, in the unit; NaN where a sensor was never observed.
        mean, low, high: over the sensors, with a 95 % interval. better: sensors at which the first has the smaller error.
        n: sensors that count. same: whether all gaps are 0, but for rounding.
    """

    gaps: np.ndarray
    mean: float
    low: float
    high: float
    better: int
    n: int
    same: bool = False


def sensor_gap(result: Result, first: str, second: str) -> SensorGap:
    """Compare two rows sensor by sensor; the interval draws sensors again (percentile bootstrap, Efron 1979).

    Raises:
        ValueError: rows without errors by sensor, or of different sensors.
    """
    gaps, same = _gaps(result, first, second)
    known = gaps[np.isfinite(gaps)]
    random, n = np.random.default_rng(0), len(known)
    at_once = max(DRAWN_AT_ONCE // n, 1)
    means = [
        known[random.integers(0, n, (min(at_once, DRAWS - done), n))].mean(axis=1) for done in range(0, DRAWS, at_once)
    ]  # in pieces, so that the memory does not grow with the network
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return SensorGap(gaps, float(known.mean()), float(low), float(high), int((known < 0).sum()), n, same)


def are_same(result: Result, first: str, second: str) -> bool:
    """Whether two rows err alike at every sensor, but for rounding.

    Raises:
        ValueError: as `sensor_gap`.
    """
    return _gaps(result, first, second)[1]


def _gaps(result: Result, first: str, second: str) -> tuple[np.ndarray, bool]:
    a, b = (next(row["mae_per_sensor"] for row in result.scores if row["model"] == name) for name in (first, second))
    if len(a) != len(b) or not np.isfinite(a - b).any():
        raise ValueError("These rows have no errors of the same sensors.")
    return a - b, bool(np.nanmax(np.abs(a - b)) <= 1e-6 * np.abs(a[np.isfinite(a - b)]).max())
