"""What the Fusion page lets one take away: the whole explanation as JSON, the shares of all sensors as a table."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import streamlit as st

from stvlm.data.escape import cells
from stvlm.data.forecast import MODALITIES, FusionExplanation

_MIME = {"json": "application/json", "csv": "text/csv"}


def download(explanation: FusionExplanation, suffix: str, label: str, words: str) -> None:
    """A button for a file, "json" or "csv", that is made when it is clicked."""
    stamp = str(explanation.times[0]).replace(":", "")
    make = as_json if suffix == "json" else as_csv
    st.download_button(
        label, lambda: make(explanation), f"explanation_{stamp}.{suffix}", _MIME[suffix],
        icon=":material/download:", on_click="ignore", help=words, key=f"get-explanation-{suffix}",
    )  # fmt: skip


def as_csv(explanation: FusionExplanation) -> str:
    """A row for each sensor: id, place, shares, mean absolute change of the forecast without each modality."""
    network = explanation.network
    found: dict[str, object] = {"sensor_id": cells(pd.Series(network.ids, dtype="object")), "lat": network.lat, "lon": network.lon}
    found |= {f"share_{name}": explanation.modality_weights[:, place] for place, name in enumerate(MODALITIES)}
    found |= {f"change_without_{name}": np.abs(change).mean(axis=0) for name, change in explanation.deletion.items()}
    return pd.DataFrame(found).to_csv(index=False)


def as_json(explanation: FusionExplanation) -> str:
    """The same fields as `python -m stvlm explain` writes, and the sensors' ids."""
    numbers = {name: np.asarray(getattr(explanation, name), "f8").round(6) for name in NUMBERS}
    told = {name: _known(array) for name, array in numbers.items()}
    told |= {"sensors": list(explanation.network.ids), "modalities": list(MODALITIES), "tokens": list(explanation.tokens)}
    told |= {"image_bounds": list(explanation.image_bounds), "prompt": explanation.prompt, "unit": explanation.unit}
    told |= {"deletion": {name: _known(np.asarray(change, "f8").round(6)) for name, change in explanation.deletion.items()}}
    return json.dumps(told | {"times": [str(time) for time in explanation.times]}, ensure_ascii=False)


NUMBERS = ("modality_weights", "image_attention", "text_attention", "sensor_attention")


def _known(array: np.ndarray) -> list:
    return np.where(np.isfinite(array), array.astype(object), None).tolist()
