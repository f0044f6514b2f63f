"""A group of sensors, chosen by a lasso on the map or by rows of the table, and kept in the URL."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

import numpy as np
import streamlit as st

from stvlm.data.network import SensorNetwork
from stvlm.ui import session
from stvlm.ui.words import number, say

LONGEST = 4000  # characters of the URL that a group may take


def pack(nodes: Sequence[int]) -> str:
    """Nodes as one short word: [3, 4, 5, 9] is "3-5.9"; what would be too long so is "~" and a bit for each node."""
    runs: list[list[int]] = []
    for node in sorted(set(nodes)):
        if runs and node == runs[-1][1] + 1:
            runs[-1][1] = node
        else:
            runs.append([node, node])
    word = ".".join(f"{a}-{b}" if b > a else f"{a}" for a, b in runs)
    if len(word) <= LONGEST:
        return word
    bits = np.zeros(max(nodes) + 1, "uint8")
    bits[list(nodes)] = 1
    return "~" + base64.urlsafe_b64encode(np.packbits(bits).tobytes()).decode()


def unpack(word: str, n_sensors: int) -> tuple[int, ...]:
    """The inverse of `pack`; nothing for a word that is none or names a node that is not there."""
    if word.startswith("~"):
        return _unpack_bits(word[1:], n_sensors)
    if not re.fullmatch(r"\d{1,7}(-\d{1,7})?(\.\d{1,7}(-\d{1,7})?)*", word):
        return ()
    ends = [[int(end) for end in run.split("-")] for run in word.split(".")]
    if any(run[-1] >= n_sensors or run[0] > run[-1] for run in ends):
        return ()
    return tuple(sorted({node for run in ends for node in range(run[0], run[-1] + 1)}))


def _unpack_bits(word: str, n_sensors: int) -> tuple[int, ...]:
    try:
        bits = np.unpackbits(np.frombuffer(base64.b64decode(word, altchars=b"-_", validate=True), "uint8"))
    except ValueError:
        return ()
    nodes = np.flatnonzero(bits)
    return tuple(nodes.tolist()) if len(nodes) and nodes[-1] < n_sensors else ()


def chosen(network: SensorNetwork, name: str = "group") -> tuple[int, ...]:
    """The nodes of a group of the view; () for none."""
    return unpack(session.get(name, LONGEST), network.n_sensors)


def choose(nodes: Sequence[int], name: str = "group") -> None:
    """Make nodes the group; a group of over LONGEST characters is not kept."""
    word = pack(nodes)
    session.put(name, word if len(word) <= LONGEST else "")


def take_ids(ids: Sequence[object], network: SensorNetwork) -> None:
    """Take what a lasso caught: one sensor becomes the sensor in view, several the group, none clears it."""
    nodes = nodes_of(ids, network)
    if len(nodes) == 1:
        session.put("sensor", network.ids[nodes[0]])
    choose(nodes if len(nodes) > 1 else ())


def nodes_of(ids: Sequence[object], network: SensorNetwork) -> list[int]:
    """The nodes of ids, without those that are none."""
    place = {identity: node for node, identity in enumerate(network.ids)}
    return [place[str(i)] for i in ids if str(i) in place]


def clear_button(nodes: Sequence[int], name: str = "group", label: str = "") -> None:
    """A button that takes the group away; `label` says so in other words."""
    label = label or say("forecast.let_go", n=number(len(nodes), 0))
    st.button(label, key=f"clear-{name}", icon=":material/close:", on_click=choose, args=((), name))
