"""An anchor may come from a stranger: what its file says is looked at before anything is computed with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from stvlm.anchor.blend import Anchor
from stvlm.anchor.recall import Recall
from stvlm.anchor.transform import Transform
from stvlm.data.scaler import DAY, WEEK, YEAR

MOST_MEMBERS = 100
MOST_STEPS, MOST_SECONDS = 100_000_000, 10**12
LARGEST = float(np.finfo("f4").max)
WAYS = ("repeat", "usual", "known mean", "local mean")
SCALES, OFFSETS = ("identity", "root", "log"), ("none", "last", "mean")
SEASONS = (0, DAY, WEEK, YEAR)


def check(anchor: Anchor) -> None:
    """Refuse an anchor whose numbers do not fit together, are not numbers, or would take any time or memory.

    Raises:
        ValueError: naming what is wrong.
    """
    members, shares = anchor.members, anchor.shares
    if not 0 < len(members) <= MOST_MEMBERS or isinstance(members[0], Recall) or len(shares) != len(members):
        _refuse("members and shares do not fit together")
    if not all(_is_number(share) and 0 <= share <= 1.001 for share in shares):
        _refuse("shares are no shares")
    if not (anchor.floor is None or _is_number(anchor.floor)):
        _refuse("floor is no number")
    lookback, horizon = members[0].lookback, members[0].horizon
    for name, value in (("lookback", lookback), ("horizon", horizon)):
        _whole(name, value, 1, 10_000)
    for member in members:
        if (member.lookback, member.horizon) != (lookback, horizon):
            _refuse("members have different lookbacks or horizons")
        _check_recall(member) if isinstance(member, Recall) else _check_ridge(member, members[0].scale.shape)
    if anchor.replay is not None:
        for name in ("span", "stride", "reach"):
            _whole(name, getattr(anchor.replay, name), int(name == "stride"), MOST_STEPS)
        for name in ("first_second", "start_second"):
            _whole(name, getattr(anchor.replay, name), -MOST_SECONDS, MOST_SECONDS)
    told = anchor.choice.get("taken", []) if isinstance(anchor.choice, dict) else None
    if not isinstance(told, list) or not all(isinstance(one, dict) and isinstance(one.get("kind"), str) for one in told):
        _refuse("choice does not say what was taken")


def _check_recall(member: Recall) -> None:
    rule = member.rule
    _check_transform(rule.transform)
    if rule.kind not in WAYS or rule.season_seconds not in SEASONS or not set(rule.seasons) <= set(SEASONS[1:]):
        _refuse("a rule is none that there is")
    if not isinstance(rule.far, bool):
        _refuse("far is neither true nor false")
    _whole("memory", rule.memory, 0, MOST_STEPS)
    _whole("reach", member.reach, 0, MOST_STEPS)
    _whole("stride", member.stride, 1, MOST_STEPS)
    _whole("first_second", member.first_second, -MOST_SECONDS, MOST_SECONDS)


def _check_ridge(member: Any, sensors: tuple[int, ...]) -> None:
    _check_transform(member.transform)
    _whole("context_steps", member.context_steps, 0, MOST_STEPS)
    _whole("step_seconds", member.profile.step_seconds, 1, MOST_SECONDS)
    for lag in member.lags:
        _whole("lags", lag, 1, MOST_STEPS)
    if member.offset not in OFFSETS or member.profile.season_seconds not in SEASONS:
        _refuse("a member is none that there is")
    if not all(isinstance(column, str) for column in member.columns):
        _refuse("columns are no names")
    n, horizon, table, weights = *sensors, member.horizon, member.profile.table, member.weights
    n_features = len(weights) if weights.ndim else 0
    rows = 5 if member.profile.season_seconds == YEAR else len(table) if table.ndim else 0
    shapes = {
        "profile": (table, (max(rows, 1), n)), "scale": (member.scale, (n,)), "weights": (weights, (n_features, horizon)),
        "column_scale": (member.column_scale, (2, len(member.columns))),
    }  # fmt: skip
    if member.own is not None:
        shapes["own"] = (member.own, (n, n_features, horizon))
    for name, (array, shape) in shapes.items():
        if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
            _refuse(f"{name} must be {list(shape)} finite numbers")
    if (member.scale <= 0).any():
        _refuse("scale must be above 0")


def _check_transform(transform: Transform) -> None:
    if transform.kind not in SCALES or not _is_number(transform.shift) or (transform.kind == "log" and transform.shift <= 0):
        _refuse("transform is none that there is")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        _refuse(f"{name} must be a whole number from {low:,} to {high:,}")


def _refuse(what: str) -> None:
    raise ValueError(f"anchor.json: {what}.")
