"""Ranks over the steps: means by layer and modality, a table that says the same, and a word where there is nothing."""

import pytest

from stvlm.charts.figures.comparison import rank_lines, rank_table

ROWS = [
    {"step": 0, "ranks": {"layer 1: self_attn.q_proj": 6, "layer 1: mlp.up_proj": 6, "layer 2: self_attn.q_proj": 6, "text": 6}},
    {"step": 10, "ranks": {"layer 1: self_attn.q_proj": 1, "layer 1: mlp.up_proj": 4, "layer 2: self_attn.q_proj": 0, "text": 5}},
]


def test_adapters_of_a_layer_are_drawn_as_their_mean_rank():
    figure = rank_lines(ROWS)
    assert {t.name: list(t.y) for t in figure.data} == {"layer 1": [6, 2.5], "layer 2": [6, 0], "text": [6, 5]}
    assert all(t.line.shape == "hv" for t in figure.data)
    assert figure.data[2].line.color == "#E69F00"


def test_the_table_says_what_the_lines_say_and_repeats_nothing():
    table = rank_table([*ROWS, ROWS[1], {"step": 11, "ranks": None}])
    assert table.to_dict("records") == [
        {"step": 0, "layer 1": 6, "layer 2": 6, "text": 6},
        {"step": 10, "layer 1": 2.5, "layer 2": 0, "text": 5},
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_without_ranks_a_word_stands_there(theme):
    assert "none to move" in rank_lines([], theme).layout.annotations[0].text


def test_hostile_names_stay_text():
    figure = rank_lines([{"step": 0, "ranks": {"<b>layer</b>: x": 1}}])
    assert figure.data[0].name == "&lt;b&gt;layer&lt;/b&gt;"
