"""An anchor as files: numbers in anchor.safetensors, words in anchor.json."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from stvlm.anchor import vetting
from stvlm.anchor.blend import Anchor, Replay
from stvlm.anchor.recall import Recall, Rule
from stvlm.anchor.ridge import Member
from stvlm.anchor.transform import Transform
from stvlm.data.scaler import SeasonalProfile
from stvlm.data.settings import read_settings


def save(anchor: Anchor, folder: Path) -> None:
    """Write anchor.json and anchor.safetensors into `folder`."""
    arrays, words = {}, []
    for i, member in enumerate(anchor.members):
        if isinstance(member, Recall):
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
    members = []
    for i, word in enumerate(meta["members"]):
        if "recall" in word:
            members.append(_recall(word["recall"]))
            continue
        profile = SeasonalProfile(word["season_seconds"], word["step_seconds"], arrays[f"{i}.profile"])
        members.append(
            Member(
                word["lookback"], word["horizon"], word["context_steps"], Transform(**word["transform"]), profile, arrays[f"{i}.scale"],
                tuple(word["lags"]), tuple(word["columns"]), arrays[f"{i}.column_scale"], word["offset"], arrays[f"{i}.weights"],
                arrays.get(f"{i}.own"),
            )
        )  # fmt: skip
    replay = Replay(**meta["replay"]) if meta.get("replay") else None
    anchor = Anchor(tuple(members), tuple(meta["shares"]), meta["floor"], meta["choice"], replay)
    vetting.check(anchor)
    return anchor


def _recall(word: dict) -> Recall:
    rule = word["rule"] | {"transform": Transform(**word["rule"]["transform"]), "seasons": tuple(word["rule"]["seasons"])}
    return Recall(**{k: v for k, v in word.items() if k not in ("rule", "n_parameters")}, rule=Rule(**rule))
