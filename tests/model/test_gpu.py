"""What a GPU does otherwise than a CPU; skipped where there is none."""

import numpy as np
import pytest
import torch

from stvlm.datasets.samples import load_sample
from stvlm.inference.predict import predict_many
from stvlm.model import backbone as backbones
from stvlm.model.grad_accumulation import make_quick, retry_smaller_on_oom
from stvlm.model.stvlm import STVLM
from tests.support.paths import CHECKPOINTS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

MODEL = CHECKPOINTS / "irish_wind"
CUDA = torch.device("cuda")


def shown() -> tuple[STVLM, object]:
    model = STVLM.load(MODEL)
    model.shrinkage.fill_(1.0)  # so that the network runs
    return model, load_sample("irish_wind")


def test_a_forecast_of_the_gpu_is_that_of_the_cpu_within_a_hundredth():
    model, series = shown()
    cutoffs = np.arange(series.n_steps - 40, series.n_steps - 20)
    here = predict_many(model, series, cutoffs)
    there = predict_many(model.to(CUDA), series, cutoffs)
    np.testing.assert_allclose(there, here, rtol=1e-2, atol=1e-2 * float(np.abs(here).mean()))


def test_a_batch_comes_to_the_gpu_as_it_was():
    model, series = shown()
    inputs = model.builder(series).build(np.arange(series.n_steps - 40, series.n_steps - 20))
    there = inputs.to(CUDA)
    torch.cuda.synchronize()
    for name in ("series", "anchor", "images"):
        moved = getattr(there, name)
        assert moved.is_cuda
        torch.testing.assert_close(moved.cpu(), getattr(inputs, name), rtol=0, atol=0)


def test_products_of_float32_may_use_the_tensor_cores():
    make_quick(CUDA)
    assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"
    a = torch.randn(256, 256, dtype=torch.float64)
    torch.testing.assert_close((a.float().cuda() @ a.float().cuda()).cpu().double(), a @ a, rtol=0, atol=0.1)


def test_the_fused_kernel_gives_what_it_gives_on_the_cpu():
    backbone = backbones.load("tiny", seed=1)
    q, k, v = torch.randn(2, 3, 50, 22), torch.randn(2, 3, 70, 22), torch.randn(2, 3, 70, 38)
    there = backbone.attend(q.cuda(), k.cuda(), v.cuda(), 0.25)
    torch.testing.assert_close(there.cpu(), backbone.attend(q, k, v, 0.25), atol=1e-2, rtol=1e-2)


def test_memory_of_the_gpu_that_runs_out_is_answered_with_smaller_parts():
    whole = torch.cuda.mem_get_info()[1]

    def work(size: int) -> int:
        torch.empty(whole // 3 * size, dtype=torch.uint8, device=CUDA)
        return size

    assert retry_smaller_on_oom(work, 8, CUDA)[1] in (1, 2)
