"""A batch in parts: the same gradient with less memory, and an answer where memory runs out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch
from torch import nn

from stvlm.modalities.batch import ModelInputs
from stvlm.model import distributed
from stvlm.model.losses import pinball_loss
from stvlm.model.stvlm import STVLM
from stvlm.runtime.memory import MemoryShortError

T = TypeVar("T")


def backward(
    model: STVLM,
    inputs: ModelInputs,
    size: int,
    device: torch.device,
    scale: float,
    penalty: Callable[[], torch.Tensor] | None = None,
) -> float:
    """Add the gradient of a batch to the parameters, `size` windows at a time.

    Parts give the gradient of the whole up to rounding: each counts by its observed cells, and has its rows of the dropout masks
    that the whole batch would have drawn. Of several processes each takes its rows, and all get the sum (`model.together`).

    Args:
        model: in training mode. inputs: B windows, on any device. size: windows in memory at once. device: of the model.
        scale: in the unit, that the loss is divided by. penalty: what is added to the loss once.

    Returns:
        The loss of the batch, without the penalty.
    """
    n, me = len(inputs.series), distributed.process_group()
    if size >= n and me.size == 1:
        with half_precision(device):
            loss = pinball_loss(model, inputs.to(device)) / scale
        (loss + penalty() if penalty else loss).backward()
        return float(loss.detach())
    cells = max(int(torch.isfinite(inputs.target).sum()), 1)
    total, (first, end) = 0.0, me.rows(n)
    with _masks_of_whole(model, n) as begin:
        for start in range(first, end, size):
            part = inputs.rows(start, min(start + size, end))
            begin(start)
            share = max(int(torch.isfinite(part.target).sum()), 1) / cells
            with half_precision(device):
                loss = pinball_loss(model, part.to(device)) / scale * share
            loss.backward()
            total += float(loss.detach())
    if penalty and me.is_first:
        penalty().backward()
    return total if me.size == 1 else distributed.all_reduce_gradients((p for p in model.parameters() if p.requires_grad), total)


@contextmanager
def _masks_of_whole(model: nn.Module, n: int) -> Iterator[Callable[[int], None]]:
    """Let every dropout draw the mask of n windows when the first part comes, and give each part its rows.

    Yields:
        A function to be called with the first row of the part that comes next.
    """
    drops = [m for m in model.modules() if isinstance(m, nn.Dropout) and m.p > 0 and m.training]
    masks: dict[nn.Module, torch.Tensor] = {}
    first = 0

    def begin(start: int) -> None:
        nonlocal first
        first = start

    def mask(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        if module not in masks:
            masks[module] = nn.functional.dropout(output.new_ones(n, *output.shape[1:]), module.p)
        return output * masks[module][first : first + len(output)]

    hooks = [module.register_forward_hook(mask) for module in drops]
    try:
        for module in drops:
            module.eval()  # the mask is ours
        yield begin
    finally:
        for module, hook in zip(drops, hooks, strict=True):
            hook.remove()
            module.train()


def retry_smaller_on_oom(work: Callable[[int], T], size: int, device: torch.device) -> tuple[T, int]:
    """Do a piece of work with up to `size` windows at once, with half as many as often as memory runs out.

    Args:
        work: what to do, given the windows at once; it must bear being begun again. size: to start with. device: that it runs on.

    Returns:
        What `work` returned, and the size that it took.

    Raises:
        MemoryShortError: there is no room for one window, in plain words.
    """
    while True:
        try:
            return work(size), size
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if size <= 1:
                raise MemoryShortError(
                    f"There is not enough memory on {device} for even one window of this network. Take a smaller backbone, smaller or "
                    "fewer images, fewer sensors, or another device."
                ) from error
        size = (size + 1) // 2
        gc.collect()  # outside of the handler, which holds on to the tensors of the failed attempt
        if device.type == "cuda":
            torch.cuda.empty_cache()
        elif device.type == "mps":
            torch.mps.empty_cache()


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether memory ran out, on a GPU or here."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in words)


def half_precision(device: torch.device) -> AbstractContextManager:
    """bfloat16 where it is quick and safe, on cuda that has it; nothing changes on other devices."""
    has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast("cuda", torch.bfloat16) if has_it else nullcontext()


def make_quick(device: torch.device) -> None:
    """Let float32 products use the tensor cores of a GPU that has them (TF32: 10 bits of mantissa); nothing changes on a CPU."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        torch.backends.cudnn.conv.fp32_precision = "tf32"
