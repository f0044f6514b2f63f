"""Low-rank parts that share one budget of ranks: what a part brings decides how much of the budget it keeps.

A part changes a weight by B diag(E) A, the form of a singular value decomposition. How much one of its ranks matters is judged by
sensitivity times uncertainty, as in AdaLoRA (Zhang et al. 2023, "Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning",
ICLR): for every entry w the loss changes by about |w dL/dw| when w is set to zero; that number and its fluctuation are smoothed
over the steps and multiplied. The ranks with the lowest scores are switched off until the budget holds. Layers of the decoder and
modalities of the fusion compete for the same budget.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from stvlm.data.forecast import MODALITIES

SCALE = 8.0  # of a low-rank change: how far a step of the optimiser moves a singular value
START = 1.5  # ranks at the start, as a multiple of those that the budget leaves
WARM, SETTLED = 0.1, 0.5  # shares of the training: before it no rank is taken away, after it the ranks stay
SMOOTH = 0.85  # of sensitivity and of uncertainty, both betas of the paper
ALLOCATIONS = 50  # in a training, about


@dataclass(frozen=True, eq=False)
class Part:
    """One low-rank change.

    Attributes:
        down: A (r, inputs). values: E (r, 1), zero = rank switched off. up: B (outputs, r). key: name of E in the model.
    """

    down: nn.Parameter
    values: nn.Parameter
    up: nn.Parameter
    key: str

    def tensors(self) -> dict[str, nn.Parameter]:
        """The three of them by name."""
        return {"down": self.down, "values": self.values, "up": self.up}


class ModalityAdapters(nn.Module):
    """A low-rank part for each modality in front of the fusion's key and value projections.

    Image, text and series keys all pass through one and the same W_k and W_v. With x the normed token of a key of modality m they
    become W (x + B_m diag(E_m) A_m x), so each modality may be read in its own way. Starts as no change: E = 0.

    Args:
        hidden_size: D. rank: r of each part. modalities: those that the model sees.
    """

    def __init__(self, hidden_size: int, rank: int, modalities: tuple[str, ...]) -> None:
        super().__init__()
        rank = min(rank, hidden_size)
        self.lora_A = nn.ParameterDict({m: nn.Parameter(torch.empty(rank, hidden_size)) for m in modalities})
        self.lora_E = nn.ParameterDict({m: nn.Parameter(torch.zeros(rank, 1)) for m in modalities})
        self.lora_B = nn.ParameterDict({m: nn.Parameter(torch.empty(hidden_size, rank)) for m in modalities})
        for weight in (*self.lora_A.values(), *self.lora_B.values()):
            nn.init.orthogonal_(weight)

    def forward(self, normed: torch.Tensor, modality: torch.Tensor) -> torch.Tensor:
        """Change the tokens that become keys and values.

        Args:
            normed: (B, S, D). modality: (S,) places in MODALITIES.
        """
        own = torch.cat([(modality == MODALITIES.index(m))[:, None] * e.T for m, e in self.lora_E.items()], dim=-1)  # (S, M r)
        down, up = torch.cat(list(self.lora_A.values())), torch.cat(list(self.lora_B.values()), dim=1)
        return normed + SCALE * (normed @ down.T * own) @ up.T


def parts(model: nn.Module) -> dict[str, Part]:
    """The low-rank parts of a model by what people call them: "layer 1: self_attn.q_proj", "text"."""
    found = {}
    for path, module in model.named_modules():
        for key in getattr(module, "lora_E", ()):
            name = key if key in MODALITIES else _layer_name(path)
            found[name] = Part(module.lora_A[key], module.lora_E[key], module.lora_B[key], f"{path}.lora_E.{key}".lstrip("."))
    return found


def ranks(model: nn.Module) -> dict[str, int]:
    """How many ranks of each part are in use."""
    return {name: int(part.values.count_nonzero()) for name, part in parts(model).items()}


def orthogonality(model_parts: Mapping[str, Part]) -> torch.Tensor:
    """Mean over the parts of |A A' - 1|^2 + |B' B - 1|^2: keeps E comparable, for A and B cannot grow instead of it."""
    total = [((w @ w.T - torch.eye(len(w), device=w.device)) ** 2).sum() for p in model_parts.values() for w in (p.down, p.up.T)]
    return torch.stack(total).sum() / len(model_parts)


class RankBudget:
    """Takes ranks away, the least important first, until the budget is reached half way through the training.

    Args:
        model: with parts whose ranks are all there. rank: mean rank of a part in the end. total: steps of the training.

    Attributes:
        history: {"step": steps made, "ranks": {part: ranks that may be in use}} whenever they were shared out.
    """

    def __init__(self, model: nn.Module, rank: int, total: int) -> None:
        self.parts = parts(model)
        self.start = sum(len(p.values) for p in self.parts.values())
        self.target = min(rank * len(self.parts), self.start)
        self.settled = max(int(total * SETTLED), 1)
        self.warm = min(int(total * WARM), self.settled - 1)
        self.every = max(total // ALLOCATIONS, 1)
        self.keep = {name: torch.ones_like(p.values, dtype=torch.bool) for name, p in self.parts.items()}
        shapes = {f"{name}.{which}": w for name, p in self.parts.items() for which, w in p.tensors().items()}
        self.history: list[dict] = [{"step": 0, "ranks": {name: len(p.values) for name, p in self.parts.items()}}]
        self.sensitivity = {key: torch.zeros_like(w) for key, w in shapes.items()}
        self.uncertainty = {key: torch.zeros_like(w) for key, w in shapes.items()}

    def at(self, step: int) -> int:
        """Ranks that may be in use after `step` steps: all, then falling with the third power of the time left."""
        left = min(max((self.settled - step) / (self.settled - self.warm), 0.0), 1.0)
        return self.target + int((self.start - self.target) * left**3)

    @torch.no_grad()
    def allocate(self, step: int) -> bool:
        """Judge the ranks by the gradients at hand and hold the budget; to be called after each step of the optimiser.

        Args:
            step: steps made, the first = 1.

        Returns:
            Whether the ranks were shared out anew.
        """
        anew = self.warm < step <= self.settled and (step % self.every == 0 or step == self.settled)
        if step <= self.settled:
            self._judge()
        if anew:
            self._share_out(self.at(step))
            self.history.append({"step": step, "ranks": {name: int(keep.sum()) for name, keep in self.keep.items()}})
        if anew or step > self.settled:
            for name, part in self.parts.items():
                part.values.masked_fill_(~self.keep[name], 0.0)
        return anew

    def _judge(self) -> None:
        for name, part in self.parts.items():
            for which, weight in part.tensors().items():
                key = f"{name}.{which}"
                now = torch.zeros_like(weight) if weight.grad is None else (weight * weight.grad).abs()
                self.sensitivity[key].lerp_(now, 1 - SMOOTH)
                self.uncertainty[key].lerp_((now - self.sensitivity[key]).abs(), 1 - SMOOTH)

    def scores(self) -> dict[str, torch.Tensor]:
        """(r,) for each part: score of E plus the mean scores of the row of A and the column of B."""
        entry = {key: s * self.uncertainty[key] for key, s in self.sensitivity.items()}
        return {n: entry[f"{n}.values"][:, 0] + entry[f"{n}.down"].mean(1) + entry[f"{n}.up"].mean(0) for n in self.parts}

    def _share_out(self, budget: int) -> None:
        scores = self.scores()
        order = torch.cat(list(scores.values())).argsort(descending=True, stable=True)
        keep = torch.zeros(self.start, dtype=torch.bool, device=order.device)
        keep[order[:budget]] = True
        rows = keep.split([len(s) for s in scores.values()])
        self.keep = {name: row[:, None] for name, row in zip(scores, rows, strict=True)}

    def masks(self) -> dict[str, torch.Tensor]:
        """Name of E in the model → (r, 1) bool, which ranks may be in use."""
        return {part.key: self.keep[name] for name, part in self.parts.items()}

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that it needs to go on as if it had never stopped."""
        kinds = {"keep": self.keep, "sensitivity": self.sensitivity, "uncertainty": self.uncertainty}
        return {f"{kind}.{name}": value for kind, values in kinds.items() for name, value in values.items()}

    def restore(self, state: Mapping[str, torch.Tensor], history: list[dict]) -> None:
        """Go on from what `state` gave, and from the history until then."""
        self.history = list(history)
        for kind, values in (("keep", self.keep), ("sensitivity", self.sensitivity), ("uncertainty", self.uncertainty)):
            for name, value in values.items():
                values[name] = state[f"{kind}.{name}"].to(value)


def _layer_name(path: str) -> str:
    """ "backbone.core.text_model.layers.0.self_attn.q_proj" → "layer 1: self_attn.q_proj"."""
    place = re.search(r"\.layers?\.(\d+)\.(.+)$", f".{path}")
    return f"layer {int(place[1]) + 1}: {place[2]}" if place else path
