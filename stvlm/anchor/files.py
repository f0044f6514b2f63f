"""An anchor as files: numbers in anchor.safetensors, words in anchor.json."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from stvlm.anchor.ridge import Anchor, Member
from stvlm.anchor.transform import Transform
from stvlm.data.scaler import SeasonalProfile


def save(anchor: Anchor, folder: Path) -> None:
    """Write anchor.json and anchor.safetensors into `folder`."""
    arrays, words = {}, []
    for i, member in enumerate(anchor.members):
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
    (folder / "anchor.json").write_text(json.dumps(meta, indent=1))


def load(folder: Path) -> Anchor:
    """Read what `save` wrote."""
    meta = json.loads((folder / "anchor.json").read_text())
    arrays = load_file(folder / "anchor.safetensors")
    members = []
    for i, word in enumerate(meta["members"]):
        profile = SeasonalProfile(word["season_seconds"], word["step_seconds"], arrays[f"{i}.profile"])
        members.append(
            Member(
                word["lookback"], word["horizon"], word["context_steps"], Transform(**word["transform"]), profile, arrays[f"{i}.scale"],
                tuple(word["lags"]), tuple(word["columns"]), arrays[f"{i}.column_scale"], word["offset"], arrays[f"{i}.weights"],
                arrays.get(f"{i}.own"),
            )
        )  # fmt: skip
    return Anchor(tuple(members), tuple(meta["shares"]), meta["floor"], meta["choice"])
