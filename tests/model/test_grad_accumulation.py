"""A batch in parts has the gradient of the whole; memory that runs out is answered."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from stvlm.anchor.fit import fit_anchor
from stvlm.core.windows import Window
from stvlm.inference.predict import predict, predict_many
from stvlm.model.grad_accumulation import half_precision, retry_smaller_on_oom
from stvlm.runtime.memory import MemoryShortError
from stvlm.training import checkpoint as checkpoints
from stvlm.training.fit import FitConfig, fit, make_model, split_of
from stvlm.training.trainer import Training

CONFIG = FitConfig(
    lookback=12,
    horizon=3,
    seasons_minutes=(1440,),
    tuning="adalora",
    rank=2,
    batch_size=6,
    max_steps=20,
    device="cpu",
    min_gain=-1.0,
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def anchor(small_series):
    return fit_anchor(small_series, split_of(small_series, CONFIG), 12, 3, (1440,))


def made(series, anchor, config: FitConfig = CONFIG, device: torch.device = CPU) -> Training:
    split = split_of(series, config)
    model, builder = make_model(series, config, split, anchor)
    return Training(model.to(device), builder, config, split, device)


def no_room_for_more_than(most: int, training: Training) -> list[int]:
    """Let the model need more memory than there is for more than `most` windows; gives the sizes that were tried."""
    tried = []

    def check(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        tried.append(len(inputs[0]))
        if len(inputs[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    training.model.token.register_forward_pre_hook(check)
    return tried


def gradients(training: Training) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in training.named.items() if p.grad is not None}


@pytest.mark.parametrize("micro", [1, 4])
def test_a_batch_in_parts_has_the_loss_and_gradient_of_the_whole(small_series, anchor, micro):
    whole, parts = made(small_series, anchor), made(small_series, anchor, replace(CONFIG, micro_batch=micro))
    assert any(isinstance(m, nn.Dropout) and m.p > 0 for m in whole.model.modules())
    for training in (whole, parts):
        training.advance()
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    expected, found = gradients(whole), gradients(parts)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    assert all(m.training for m in parts.model.modules() if isinstance(m, nn.Dropout))


def test_a_training_short_of_memory_goes_on_in_parts_to_the_same_result(small_series, anchor, tmp_path):
    free, short = made(small_series, anchor), made(small_series, anchor)
    tried = no_room_for_more_than(2, short)
    for training in (free, short):
        training.advance()
    assert tried == [6, 3, 2, 2, 2]
    assert short.message == "Memory ran out with 6 windows at once: goes on with 2 at once, to the same result."
    assert short.loss == pytest.approx(free.loss, rel=1e-5)
    for training in (free, short):
        training.val_cutoffs = training.val_cutoffs[:8]
        training.validate()
    assert short.val_mae == pytest.approx(free.val_mae, rel=1e-4)
    later = made(small_series, anchor)
    checkpoints.write(tmp_path, short.state())
    later.restore(checkpoints.read(tmp_path))
    assert (later.micro, later.builder.block_size) == (2, 2)


def test_no_room_for_one_window_is_one_clear_line(small_series, anchor):
    training = made(small_series, anchor)
    no_room_for_more_than(0, training)
    with pytest.raises(ValueError, match=r"not enough memory on cpu for even one window of this network\. Take a smaller backbone"):
        training.advance()


def test_a_forecast_short_of_memory_is_made_in_parts_or_says_so(small_series, anchor):
    training = made(small_series, anchor)
    model, cutoffs = training.model.eval(), np.arange(100, 120)
    whole = predict_many(model, small_series, cutoffs)
    tried = no_room_for_more_than(7, training)
    np.testing.assert_allclose(predict_many(model, small_series, cutoffs), whole, rtol=1e-5, atol=1e-5)
    assert tried == [20, 20, 16, 8, *[4] * 5]
    no_room_for_more_than(0, training)
    with pytest.raises(MemoryShortError, match="not enough memory on cpu for even one window"):
        predict(model, Window(small_series, 100, CONFIG.lookback, CONFIG.horizon))


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def work(size: int) -> None:
        raise RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")

    with pytest.raises(RuntimeError, match="must match"):
        retry_smaller_on_oom(work, 4, CPU)


def test_a_lack_of_memory_on_the_cpu_is_recognised():
    def work(size: int) -> int:
        if size > 1:
            torch.empty(2**58)
        return size

    assert retry_smaller_on_oom(work, 4, CPU) == (1, 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_training_is_near_that_of_the_cpu_and_half_precision_is_on(small_series, anchor):
    device = torch.device("cuda")
    here, there = made(small_series, anchor), made(small_series, anchor, device=device)
    for training in (here, there):
        training.model.token.eval()
        training.advance()
    assert there.loss == pytest.approx(here.loss, rel=0.02)
    with half_precision(device):
        product = torch.ones(8, 8, device=device) @ torch.ones(8, 8, device=device)
    assert product.dtype == (torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_a_resumed_training_ends_near_one_that_never_stopped(small_series, anchor, tmp_path, monkeypatch):
    monkeypatch.setattr("stvlm.training.fit.CHECKPOINT_EVERY", 5)
    config = replace(CONFIG, device="cuda")
    whole = list(fit(small_series, config, anchor=anchor))
    stopped = fit(small_series, config, checkpoint=tmp_path, anchor=anchor)
    for step in stopped:
        if step.step == 8:
            break
    stopped.close()
    rest = list(fit(small_series, config, checkpoint=tmp_path, anchor=anchor))
    assert rest[0].step == 5
    assert rest[-1].best_val_mae == pytest.approx(whole[-1].best_val_mae, rel=0.02)
