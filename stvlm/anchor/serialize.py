"""An anchor may come from a stranger: what its file says is looked at before anything is computed with it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from safetensors.numpy import load_file, save_file

from stvlm.anchor.ensemble import Anchor, Replay
from stvlm.anchor.features import Transform
from stvlm.anchor.history_predictors import HistoryPredictor, PredictorSpec
from stvlm.anchor.ridge import RidgeMember
from stvlm.core.seasonality import DAY, WEEK, YEAR, SeasonalProfile
from stvlm.runtime.json_settings import read_settings

MOST_MEMBERS = 100
MOST_STEPS, MOST_SECONDS = 100_000_000, 10**12
LARGEST = float(np.finfo("f4").max)
WAYS = ("repeat", "usual", "known mean", "local mean")
SCALES, OFFSETS = ("identity", "root", "log"), ("none", "last", "mean")
SEASONS = (0, DAY, WEEK, YEAR)


def validate(anchor: Anchor) -> None:
    """Refuse an anchor whose numbers do not fit together, are not numbers, or would take any time or memory.

    Raises:
        ValueError: naming what is wrong.
    """
    members, shares = anchor.members, anchor.shares
    if not 0 < len(members) <= MOST_MEMBERS or not isinstance(frame := members[0], RidgeMember) or len(shares) != len(members):
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
        _check_recall(member) if isinstance(member, HistoryPredictor) else _check_ridge(member, frame.scale.shape)
    if anchor.replay is not None:
        for name in ("span", "stride", "reach"):
            _whole(name, getattr(anchor.replay, name), int(name == "stride"), MOST_STEPS)
        for name in ("first_second", "start_second"):
            _whole(name, getattr(anchor.replay, name), -MOST_SECONDS, MOST_SECONDS)
    told = anchor.choice.get("taken", []) if isinstance(anchor.choice, dict) else None
    if not isinstance(told, list) or not all(isinstance(one, dict) and isinstance(one.get("kind"), str) for one in told):
        _refuse("choice does not say what was taken")


def _check_recall(member: HistoryPredictor) -> None:
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


def _refuse(what: str) -> NoReturn:
    raise ValueError(f"anchor.json: {what}.")


# Files: arrays in anchor.safetensors, settings in anchor.json.


def save(anchor: Anchor, folder: Path) -> None:
    """Write anchor.json and anchor.safetensors into `folder`."""
    arrays: dict[str, np.ndarray] = {}
    words: list[dict[str, Any]] = []
    for i, member in enumerate(anchor.members):
        if isinstance(member, HistoryPredictor):
            words.append({"recall": asdict(member)})
            continue
        arrays |= {f"{i}.profile": member.profile.table, f"{i}.scale": member.scale, f"{i}.weights": member.weights}
        arrays[f"{i}.column_scale"] = member.column_scale
        if member.own is not None:
            arrays[f"{i}.own"] = member.own
        words.append(
            {
                "lookback": member.lookback, "horizon": member.horizon, "context_steps": member.context_steps, "offset": member.offset,
                "lags": member.lags, "columns": member.columns, "transform": asdict(member.transform),
                "season_seconds": member.profile.season_seconds, "step_seconds": member.profile.step_seconds,
            }
        )  # fmt: skip
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / "anchor.safetensors")
    meta = {"shares": anchor.shares, "floor": anchor.floor, "choice": anchor.choice, "members": words}
    meta["replay"] = asdict(anchor.replay) if anchor.replay else None
    (folder / "anchor.json").write_text(json.dumps(meta, indent=1))


def load(folder: Path) -> Anchor:
    """Read what `save` wrote.

    Raises:
        ValueError: it does not fit together, or would take any time or memory (`vetting.check`).
    """
    meta = read_settings(folder / "anchor.json", "anchor")
    arrays = load_file(folder / "anchor.safetensors")
    members: list[RidgeMember | HistoryPredictor] = []
    for i, word in enumerate(meta["members"]):
        if "recall" in word:
            members.append(_recall(word["recall"]))
            continue
        profile = SeasonalProfile(word["season_seconds"], word["step_seconds"], arrays[f"{i}.profile"])
        members.append(
            RidgeMember(
                word["lookback"], word["horizon"], word["context_steps"], Transform(**word["transform"]), profile, arrays[f"{i}.scale"],
                tuple(word["lags"]), tuple(word["columns"]), arrays[f"{i}.column_scale"], word["offset"], arrays[f"{i}.weights"],
                arrays.get(f"{i}.own"),
            )
        )  # fmt: skip
    replay = Replay(**meta["replay"]) if meta.get("replay") else None
    anchor = Anchor(tuple(members), tuple(meta["shares"]), meta["floor"], meta["choice"], replay)
    validate(anchor)
    return anchor


def _recall(word: dict) -> HistoryPredictor:
    rule = word["rule"] | {"transform": Transform(**word["rule"]["transform"]), "seasons": tuple(word["rule"]["seasons"])}
    return HistoryPredictor(**{k: v for k, v in word.items() if k not in ("rule", "n_parameters")}, rule=PredictorSpec(**rule))
