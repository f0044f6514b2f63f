"""Several processes, each with a device of its own, that train one model: each takes a part of every batch, the gradients are added.

`accelerate launch --num_processes K -m stvlm fit …` starts them. All draw the same batch and the same dropout masks from the seed, so
the sum of their gradients is the gradient of the whole batch up to rounding, and the weights stay the same in all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import distributed


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that train together.

    Attributes:
        place, size: 0 … size - 1, and how many there are. device: of this process; None where it is alone and may choose.
    """

    place: int = 0
    size: int = 1
    device: torch.device | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes files and speaks."""
        return self.place == 0

    def rows(self, n: int) -> tuple[int, int]:
        """First row and the row after the last that this process takes of n."""
        return n * self.place // self.size, n * (self.place + 1) // self.size


@lru_cache
def process_group() -> ProcessGroup:
    """Who trains together with this process: those that `accelerate launch` has started, else nobody."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return ProcessGroup()
    from accelerate import PartialState

    state = PartialState()
    return ProcessGroup(state.process_index, state.num_processes, state.device)


def all_reduce_gradients(parameters: Iterable[torch.nn.Parameter], loss: float) -> float:
    """Add the gradients of all processes, in place; a parameter that no process has a gradient of keeps none.

    Args:
        parameters: the same in every process. loss: share of this process.

    Returns:
        The loss of the whole batch.
    """
    me, learnt = process_group(), list(parameters)
    told = torch.tensor([loss, *(float(p.grad is not None) for p in learnt)], dtype=torch.float64, device=me.device)
    distributed.all_reduce(told)
    known = [p for p, n in zip(learnt, told[1:].tolist(), strict=True) if n]
    for parameter in known:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    if known:
        whole = torch.cat([p.grad.flatten().float() for p in known])
        distributed.all_reduce(whole)
        for parameter, part in zip(known, whole.split([p.numel() for p in known]), strict=True):
            parameter.grad.copy_(part.view_as(parameter))
    return float(told[0])


def broadcast_decision(answer: bool) -> bool:
    """What the first process answers: clocks and rounding differ, and all must go on or all end."""
    me = process_group()
    if me.size == 1:
        return answer
    told = torch.tensor([float(answer)], device=me.device)
    distributed.broadcast(told, 0)
    return bool(told.item())
