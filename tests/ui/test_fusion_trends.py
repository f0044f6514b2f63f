"""The course of a fusion: which moments are looked at, and what their shares are by the clock."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import torch

from stvlm.core.windows import Window
from stvlm.inference.predict import explain, modality_shares
from stvlm.ui import fusion


def test_moments_go_evenly_through_the_days_before(small_series):
    moments = fusion.moments_before(Window(small_series, 300, 24, 12))
    assert moments[-1] == 300
    assert set(np.diff(moments)) == {3}
    assert len(moments) == 24
    assert fusion.moments_before(Window(small_series, 30, 24, 12)) == (24, 27, 30)


def test_shares_are_gathered_by_the_hour(small_series):
    shares = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]], "f4")
    labels, means = fusion.by_clock(small_series, np.array([8, 32, 33]), shares)
    assert labels == ["08:00", "09:00"]
    np.testing.assert_allclose(means, [[0.5, 0.5, 0], [0, 1, 0]])


def test_heads_differ_and_their_mean_is_what_is_told(city_model, city_window):
    whole = explain(city_model, city_window, deletion=False)
    heads = [explain(city_model, city_window, deletion=False, head=head) for head in range(city_model.backbone.n_heads)]
    raw = np.stack([head.modality_weights for head in heads])
    np.testing.assert_allclose(raw.mean(axis=0), whole.modality_weights, atol=1e-4)
    assert np.abs(raw - raw.mean(axis=0)).max() > 1e-3
    np.testing.assert_allclose(heads[0].sensor_attention.sum(axis=1), 1, atol=1e-4)


def test_shares_of_several_moments_are_those_of_each(city_model, city_window):
    cutoffs = np.array([city_window.cutoff - 7, city_window.cutoff])
    with torch.no_grad():
        shares = modality_shares(city_model, city_window.series, cutoffs)
    alone = explain(city_model, city_window, deletion=False).modality_weights
    np.testing.assert_allclose(shares[1], alone, atol=1e-4)
    assert shares.sum(axis=2) == pytest.approx(np.ones(shares.shape[:2]), abs=1e-4)


def test_an_explanation_is_taken_along_as_json_and_as_a_table(city_model, city_window):
    told = explain(city_model, city_window, deletion=False)
    found = json.loads(fusion.as_json(told))
    np.testing.assert_allclose(found["modality_weights"], told.modality_weights, atol=1e-6)
    assert found["prompt"] == told.prompt
    table = pd.read_csv(io.StringIO(fusion.as_csv(told)))
    assert table["sensor_id"].tolist() == list(told.network.ids)
    np.testing.assert_allclose(table["share_text"], told.modality_weights[:, 1], atol=1e-6)
