"""The shipped model of the made-up city needs words where only words tell of an incident: deletion agrees with attention."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stvlm.data import synthetic
from stvlm.data.samples import SAMPLES, load_sample
from stvlm.data.windows import Split
from stvlm.model.head import MEDIAN
from stvlm.model.stvlm import STVLM

FOLDER = Path(__file__).resolve().parents[1] / "checkpoints" / "synthetic_city"
HOURS_SLOW = 8  # steps of a quarter of an hour that an incident lasts


@pytest.fixture(scope="module")
def told():
    """Every window of the test part that ends with news of an incident, which no reading shows yet."""
    series, sample, model = load_sample("synthetic_city"), SAMPLES["synthetic_city"], STVLM.load(FOLDER)
    split = Split.from_shares(series.n_steps, sample.split)
    test = split.cutoffs("test", sample.lookback, sample.horizon)
    incidents = [i for i in synthetic.truth().incidents if test[0] <= i.step + 1 <= test[-1]]
    cutoffs, nodes = np.array([i.step + 1 for i in incidents]), np.array([i.node for i in incidents])
    inputs = model.builder(series).build(cutoffs)
    sensors = torch.arange(series.network.n_sensors)
    with torch.no_grad():
        output = model(inputs, explain=sensors)
        full = model.quantiles(output, inputs, (MEDIAN,))[0].numpy()
        less = inputs.without("text")
        silent = model.quantiles(model(less), less, (MEDIAN,))[0].numpy()
    return inputs, output.fusion, full, silent, nodes, model


def error(forecast: np.ndarray, inputs, nodes: np.ndarray) -> float:
    """Mean absolute error in km/h at the sensor named, over the two hours that an incident lasts."""
    window = np.arange(len(nodes))
    return float(np.nanmean(np.abs(forecast - inputs.target.numpy())[window, :HOURS_SLOW, nodes]))


def test_the_words_lower_the_error_at_the_sensor_that_they_name(told):
    inputs, _, full, silent, nodes, _ = told
    assert len(nodes) >= 20
    anchor = error(inputs.anchor.numpy(), inputs, nodes)
    assert error(full, inputs, nodes) < 0.75 * anchor
    assert error(silent, inputs, nodes) > 1.3 * error(full, inputs, nodes)


def test_the_share_of_text_rises_at_the_sensor_that_is_named(told):
    _, fusion, _, _, nodes, _ = told
    share = fusion.modality_weights[:, :, 1].numpy()  # (W, N)
    named = share[np.arange(len(nodes)), nodes]
    usual = np.median(share, axis=1)
    assert (named > usual).mean() > 0.8
    assert named.mean() > usual.mean() + 0.02


def test_the_sensor_that_is_named_reads_its_own_words_more_than_the_others_do(told):
    inputs, fusion, _, _, nodes, model = told
    ratios = []
    for row, node in enumerate(nodes):
        ends = np.cumsum([len(t) for t in model.backbone.token_texts(inputs.prompts[row])])
        mine = [m for m in inputs.mentions[row] if m.node == node and "Incident" in inputs.prompts[row][m.start : m.stop]]
        if not mine:
            continue  # two younger incidents took its place in the prompt
        inside = np.flatnonzero((ends > mine[0].start) & (ends - 1 < mine[0].stop))
        read = fusion.text_attention[row][:, inside].sum(dim=1).numpy()  # (N,)
        ratios.append(read[node] / np.median(read))
    assert len(ratios) >= 20
    assert np.median(ratios) > 1.2


def test_deleting_the_words_changes_the_sensor_that_is_named_most(told):
    _, _, full, silent, nodes, _ = told
    change = np.abs(silent - full)[:, :HOURS_SLOW].mean(axis=1)  # (W, N)
    rank = (change > change[np.arange(len(nodes)), nodes][:, None]).sum(axis=1)
    assert np.median(rank) <= 2
