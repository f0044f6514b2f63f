"""The shipped model of the made-up city needs words where only words tell of an incident: deletion agrees with attention."""

import numpy as np
import pytest

from experiments.incidents import STEPS_SLOW, Told, told


@pytest.fixture(scope="module")
def found() -> Told:
    return told()


def test_the_words_lower_the_error_at_the_sensor_that_they_name(found):
    assert len(found.nodes) >= 20
    full = found.error(found.full)
    assert full < 0.75 * found.error(found.inputs.anchor.numpy())
    assert found.error(found.silent) > 1.3 * full


def test_the_share_of_text_rises_at_the_sensor_that_is_named(found):
    named, usual = found.text_shares()
    assert (named > usual).mean() > 0.8
    assert named.mean() > usual.mean() + 0.02


def test_the_sensor_that_is_named_reads_its_own_words_more_than_the_others_do(found):
    ratios = []
    for row, node in enumerate(found.nodes):
        prompt = found.inputs.prompts[row]
        ends = np.cumsum([len(t) for t in found.model.backbone.token_texts(prompt)])
        mine = [m for m in found.inputs.mentions[row] if m.node == node and "Incident" in prompt[m.start : m.stop]]
        if not mine:
            continue  # two younger incidents took its place in the prompt
        inside = np.flatnonzero((ends > mine[0].start) & (ends - 1 < mine[0].stop))
        read = found.fusion.text_attention[row][:, inside].sum(dim=1).numpy()  # (N,)
        ratios.append(read[node] / np.median(read))
    assert len(ratios) >= 20
    assert np.median(ratios) > 1.2


def test_deleting_the_words_changes_the_sensor_that_is_named_most(found):
    change = np.abs(found.silent - found.full)[:, :STEPS_SLOW].mean(axis=1)  # (W, N)
    rank = (change > change[np.arange(len(found.nodes)), found.nodes][:, None]).sum(axis=1)
    assert np.median(rank) <= 2
