"""What a larger backbone costs on a small machine: python -m benchmarks.backbones [--n-layers K] [--windows W] [--threads T]

Rows: the real SmolLM2 text weights with a small vision tower, and a random model with the shapes of SmolVLM-256M. Columns: seconds
to load, to forecast the windows, to explain them (attention of every sensor), for one step of low-rank fine-tuning on them, and
the largest memory of the process. Each row runs in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, Idefics3Config

from stvlm.anchor import serialize as anchor_files
from stvlm.core.windows import Split
from stvlm.datasets.samples import load_sample
from stvlm.model.backbone import BackboneError, smollm2
from stvlm.model.losses import pinball_loss
from stvlm.training.fit import make_model
from stvlm.training.trainer import FitConfig

SAMPLE = "germany_pm10_daily"
ANCHOR = Path(__file__).parents[1] / "stvlm/assets/checkpoints" / SAMPLE


def smolvlm_256m(folder: Path) -> str:
    """Write config and tokenizer of a model with the shapes of SmolVLM-256M; returns the name under which its weights are drawn."""
    Idefics3Config(
        text_config=dict(
            model_type="llama", hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
            num_key_value_heads=3, head_dim=64, vocab_size=49280, max_position_embeddings=8192, rms_norm_eps=1e-5,
            rope_parameters=dict(rope_type="default", rope_theta=1e5), pad_token_id=2, bos_token_id=1, eos_token_id=2,
        ),
        vision_config=dict(
            hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, image_size=512, patch_size=16
        ),
        scale_factor=4, image_token_id=49190, pad_token_id=2,
    ).save_pretrained(folder)  # fmt: skip
    AutoTokenizer.from_pretrained(smollm2.folder()).save_pretrained(folder)
    return f"random:{folder}"


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """(seconds, result) of one run."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def alone(work: Callable, *arguments: object) -> str:
    """Run in a fresh process; a child counts what its parent once held as its own largest memory, so the parent does nothing."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def measure(row: tuple[str, str], options: argparse.Namespace) -> str:
    """One line of the table."""
    title, name = row
    torch.set_num_threads(options.threads)
    series, anchor = load_sample(SAMPLE), anchor_files.load(ANCHOR)
    frame = anchor.frame
    config = FitConfig(frame.lookback, frame.horizon, backbone=name, n_layers=options.n_layers, tuning="lora", dtype=options.dtype)
    split = Split.from_shares(series.n_steps, config.split)
    load, (model, builder) = timed(lambda: make_model(series, config, split, anchor))
    if options.spare_memory:
        model.backbone.enable_gradient_checkpointing()
    cutoffs = split.cutoffs("train", frame.lookback, frame.horizon)
    inputs = builder.build(cutoffs[np.linspace(0, len(cutoffs) - 1, options.windows).astype(int)])
    model.eval()
    with torch.no_grad():
        forward, _ = timed(lambda: model(inputs))
        explained, _ = timed(lambda: model(inputs, torch.arange(series.network.n_sensors)))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4)

    def step() -> None:
        pinball_loss(model.train(), inputs).backward()
        optimiser.step()

    learned, _ = timed(step)
    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    size = sum(p.numel() for p in model.backbone.parameters()) / 1e6
    share = sum(p.numel() for p in trained) / 1e6
    return (
        f"{title:28} {len(model.backbone.layers):6d} {size:7.1f} {share:7.2f} {config.image_size or model.config.inputs.image.size:6d} "
        f"{load:7.1f} {forward:8.2f} {explained:8.2f} {learned:8.2f} {memory:8.2f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-layers", type=int, default=6, help="first decoder layers kept")
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--spare-memory", action="store_true", help="compute activations again in the backward pass")
    options = parser.parse_args()
    print(f"{SAMPLE}, {options.windows} windows, {options.threads} threads, {options.dtype}; M parameters, seconds, GB")
    print(f"{'backbone':28} layers     all trained pixels    load forecast  explain     step   memory")
    with tempfile.TemporaryDirectory() as folder:
        try:
            shapes = alone(smolvlm_256m, Path(folder))
        except BackboneError as error:
            sys.exit(str(error))
        for row in (("smollm2", "smollm2"), ("SmolVLM-256M shapes, random", shapes)):
            print(alone(measure, row, options), flush=True)


if __name__ == "__main__":
    main()
