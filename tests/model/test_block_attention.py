"""Attention among many sensors: the same as among few where a block holds all, and near linear in what it reads."""

import numpy as np
import pytest
import torch

from stvlm.model import backbone as backbones
from stvlm.model import block_attention
from stvlm.model.fusion import FirstLayerFusion

SCALE = 0.3


def plain(q, k, v, scale):
    return (q @ k.transpose(-1, -2) * scale).softmax(dim=-1) @ v


def row(n, others=9, width=6):
    """Queries, keys and values of n sensors behind some other keys; places on a line."""
    torch.manual_seed(n)
    q, k, v = torch.randn(2, 3, n, width), torch.randn(2, 3, others + n, width), torch.randn(2, 3, others + n, width + 2)
    return q, k, v, torch.randperm(n)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(block_attention, "FULL", 0)
    monkeypatch.setattr(block_attention, "BLOCK", 16)
    monkeypatch.setattr(block_attention, "GROUP", 4)


def test_a_network_of_one_block_is_read_as_a_whole():
    q, k, v, order = row(300)
    torch.testing.assert_close(
        block_attention.attend_in_blocks(plain, q, k, v, SCALE, order), plain(q, k, v, SCALE), atol=1e-6, rtol=1e-5
    )


def test_a_group_of_equal_sensors_counts_as_its_sensors_do(small_blocks):
    q, k, v, order = row(45)  # the last block and the last group are not full
    group = torch.arange(45) // 4
    for x in (k, v):
        x[:, :, 9 + order] = x[:, :, 9:][:, :, group]
    torch.testing.assert_close(
        block_attention.attend_in_blocks(plain, q, k, v, SCALE, order), plain(q, k, v, SCALE), atol=1e-6, rtol=1e-5
    )


def test_rows_say_what_blocks_read_and_sum_to_one(small_blocks):
    q, k, v, order = row(45)
    asked = torch.tensor([3, 44, 0])
    rows = torch.cat(
        list(block_attention.attention_rows(q[:, :, asked], k, SCALE, order, asked)), dim=1
    )  # (B, 3, S), mean over the heads
    torch.testing.assert_close(rows.sum(dim=-1), torch.ones(2, 3))
    same = v[:, :1].expand_as(v)  # with the same values in every head, the mean over the heads tells what was drawn
    drawn = block_attention.attend_in_blocks(plain, q, k, same, SCALE, order).mean(dim=1)[:, asked]
    torch.testing.assert_close(rows @ same[:, 0], drawn, atol=1e-5, rtol=1e-4)


def test_what_is_read_grows_in_line_with_the_sensors():
    pairs = {}
    for n in (2500, 5000, 10_000):

        def count(q, k, v, scale, n=n):
            pairs[n] = pairs.get(n, 0) + q.shape[2] * k.shape[2]
            return q[..., :1] * 0

        one = torch.zeros(1, 1, n, 1)
        block_attention.attend_in_blocks(
            count, one, torch.zeros(1, 1, n + 200, 1), torch.zeros(1, 1, n + 200, 1), 1.0, torch.arange(n)
        )
    exponent = np.polyfit(np.log(list(pairs)), np.log(list(pairs.values())), 1)[0]
    assert exponent < 1.1
    assert pairs[10_000] < 0.1 * 10_000**2


def test_few_sensors_have_no_order_and_many_are_ordered_by_place():
    assert block_attention.sensor_order(torch.rand(block_attention.FULL, 2)) is None
    places = torch.rand(block_attention.FULL + 1, 2) * 2 - 1
    order = block_attention.sensor_order(places)
    assert sorted(order.tolist()) == list(range(len(places)))
    steps = (places[order][1:] - places[order][:-1]).norm(dim=1)
    assert steps.mean() < 0.1  # side by side in the row, side by side on earth
    turned = torch.randperm(len(places))
    torch.testing.assert_close(places[turned][block_attention.sensor_order(places[turned])], places[order])


def test_a_fusion_in_blocks_keeps_its_contract(small_blocks):
    backbone = backbones.load("tiny", seed=1).eval()
    fusion = FirstLayerFusion(backbone.hidden_size, backbone.n_heads)
    torch.manual_seed(3)
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    n, d = 45, backbone.hidden_size
    series, places, image = torch.randn(2, n, d), torch.rand(n, 2) * 2 - 1, torch.randn(2, 16, d)

    def fuse(series, places):
        order, asked = block_attention.sensor_order(places), torch.arange(n)
        return fusion(backbone, backbone.layers[0], series, places, image, torch.rand(16, 2), explain=asked, order=order)

    torch.manual_seed(4)
    out = fuse(series, places)
    torch.testing.assert_close(out.modality_weights.sum(-1), torch.ones(2, n))
    torch.testing.assert_close(out.sensor_attention.sum(-1), torch.ones(2, n))
    shares = torch.cat([out.image_attention, out.sensor_attention], dim=-1)
    assert (shares >= 0).all()
    mixed = torch.randperm(n)
    torch.manual_seed(4)
    moved = fuse(series[:, mixed], places[mixed])
    torch.testing.assert_close(moved.tokens, out.tokens[:, mixed], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(moved.sensor_attention, out.sensor_attention[:, mixed][:, :, mixed], atol=1e-5, rtol=1e-5)
    leaf = series.clone().requires_grad_()
    torch.manual_seed(4)
    fuse(leaf, places).tokens[:, 0].square().sum().backward()
    assert (leaf.grad.abs().amax(dim=(0, 2)) > 0).all()  # a sensor learns of every other, near or far


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_reads_blocks_as_the_cpu_does():
    q, k, v, order = row(3000)
    there = block_attention.attend_in_blocks(plain, *(x.cuda() for x in (q, k, v)), SCALE, order.cuda())
    torch.testing.assert_close(there.cpu(), block_attention.attend_in_blocks(plain, q, k, v, SCALE, order), atol=1e-3, rtol=1e-2)


def test_the_fused_kernel_gives_what_plain_products_give():
    backbone = backbones.load("tiny", seed=1)
    for narrow, wide in ((6, 11), (11, 6)):
        q, k, v = torch.randn(2, 3, 5, narrow), torch.randn(2, 3, 7, narrow), torch.randn(2, 3, 7, wide)
        torch.testing.assert_close(backbone.attend(q, k, v, SCALE), plain(q, k, v, SCALE), atol=1e-6, rtol=1e-5)
