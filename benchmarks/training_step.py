"""What our own layers cost on top of the backbone, and how fast a training goes.

python -m benchmarks.training_step [--data FOLDER --name NAME]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.cases import Case, case, from_folder, like_metr_la
from benchmarks.record import Figure, in_turn, keep, ratio
from stvlm.modalities.batch import ModelInputs
from stvlm.model.backbone import Backbone

ROUNDS = 5
HOW = (
    "`tiny` (0.3 M parameters), {batch} windows a step, {n} sensors ({name}), images of 32 pixels, prompts of 160 tokens kept "
    "from an earlier pass. Bare: the same backbone reads image, prompt and one token a sensor, each token each other, in every layer. "
    "Own layers: what the step takes beyond the backbone's work in it (tower, word embeddings, the first layer with the sensors' "
    "queries, further layers over sensors, their gradients and updates): painting, drawing, tokens, fusion biases, head, loss, "
    "averaging. Two cores: wall time."
)


def bare_forward(backbone: Backbone, inputs: ModelInputs, series: torch.Tensor) -> torch.Tensor:
    """The backbone over the whole sequence, as it reads any other: (B, S, D)."""
    image, text = _others(backbone, inputs)
    hidden = torch.cat([image, text, series], dim=1)
    for layer in backbone.layers:
        hidden = backbone.run(layer, hidden)
    return backbone.final_norm(hidden)


def its_share(backbone: Backbone, inputs: ModelInputs, series: torch.Tensor) -> torch.Tensor:
    """What of the backbone a forward pass uses: sensors alone ask in the first layer and go through the others, (B, N, D)."""
    image, text = _others(backbone, inputs)
    tokens = torch.cat([image, text, series], dim=1)
    first, *rest = backbone.layers
    q, k, v = backbone.heads(first, backbone.pre_norm(first, tokens), None)
    mixed = backbone.attend(q[:, :, -series.shape[1] :], k, v, q.shape[-1] ** -0.5)
    hidden = backbone.post_attention(first, series, mixed.transpose(1, 2).flatten(2))
    for layer in rest:
        hidden = backbone.run(layer, hidden)
    return backbone.final_norm(hidden)


def _others(backbone: Backbone, inputs: ModelInputs) -> tuple[torch.Tensor, torch.Tensor]:
    ids, _ = backbone.tokenize(list(inputs.prompts))
    return backbone.embed_images(inputs.images), backbone.embed_text(ids)


def stepper(backbone: Backbone, work: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """A training step of the backbone alone."""
    optimiser = torch.optim.AdamW(backbone.parameters(), lr=1e-6)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        work().square().mean().backward()
        optimiser.step()

    return step


def rates(made: Case) -> tuple[list[Figure], int]:
    """Ratios to the bare backbone and windows a second, and the number of windows in a step."""
    model, builder, training = made.model, made.builder, made.training()
    batch = made.config.batch_size
    for cutoff in training.cutoffs:
        builder.prompt(int(cutoff))
    inputs = builder.build(training.cutoffs[:batch])
    bare = copy.deepcopy(model.backbone).train()
    series = torch.randn(batch, inputs.series.shape[1], bare.hidden_size)
    leaf = series.clone().requires_grad_()

    def forward(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            model.eval()
            with torch.no_grad():
                work()

        return run

    found = in_turn(
        {
            "forward": forward(lambda: model(inputs)),
            "bare": forward(lambda: bare_forward(bare, inputs, series)),
            "step": training.advance,
            "bare step": stepper(bare, lambda: bare_forward(bare, inputs, leaf)),
            "its share": stepper(bare, lambda: its_share(bare, inputs, leaf)),
        },
        ROUNDS,
    )
    own = 1 - ratio(found["its share"], found["step"])
    figures = [
        Figure("forward / bare forward", ratio(found["forward"], found["bare"]), "", "<= 1.5", "the limit is our own"),
        Figure("training step / bare forward", ratio(found["step"], found["bare"]), "", "<= 6", "the limit is our own"),
        Figure("training step / bare training step", ratio(found["step"], found["bare step"]), "", "<= 2", "the limit is our own"),
        Figure("own layers, share of the step", own, "", "<= 0.4"),
        Figure("training, one core, processor time", batch / statistics.median(found["step"]), "windows/s"),
    ]
    training.builder._prompts.clear()
    fresh = in_turn({"step": training.advance}, 6)["step"]
    figures.append(Figure("the same while prompts are still written", batch / statistics.median(fresh), "windows/s"))
    torch.set_num_threads(2)
    wall = in_turn({"step": training.advance}, ROUNDS, time.perf_counter)["step"]
    figures.append(Figure("training, two cores, wall time", batch / statistics.median(wall), "windows/s", ">= 60"))
    figures.append(Figure("the same, best of the steps", batch / min(wall), "windows/s"))
    return figures, batch


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with datasets.json; without it a made-up city of the same size")
    parser.add_argument("--name", default="metr_la_week")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    series = from_folder(asked.data, asked.name) if asked.data else like_metr_la()
    name = asked.name if asked.data else "a made-up city"
    made = case(series)
    figures, batch = rates(made)
    keep("benchmarks.training_step", HOW.format(batch=batch, n=series.network.n_sensors, name=name), figures)


if __name__ == "__main__":
    main()
