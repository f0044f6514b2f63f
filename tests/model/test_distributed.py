"""Several processes that train one model end with the weights of one alone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from stvlm.model.distributed import ProcessGroup, broadcast_decision, process_group
from tests.support.paths import ROOT


def trained(command: list[str], files: tuple[Path, Path], out: Path) -> subprocess.CompletedProcess[str]:
    sensors, readings = files
    line = [sys.executable, "-m", *command, "fit", "--sensors", str(sensors), "--series", str(readings), "--unit", "km/h"]
    line += ["--lookback", "12", "--horizon", "4", "--max-steps", "3", "--device", "cpu", "--out", str(out)]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "ACCELERATE_USE_CPU": "true",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_two_processes_train_the_model_of_one(small_files, tmp_path):
    alone = trained(["stvlm"], small_files, tmp_path / "alone")
    launch = ["accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    launch += ["--dynamo_backend", "no", "--main_process_port", "0", "-m", "stvlm"]
    both = trained(launch, small_files, tmp_path / "both")
    assert (alone.returncode, both.returncode) == (0, 0), alone.stderr[-2000:] + both.stderr[-4000:]
    assert both.stdout.count("The model is in") == 1  # one speaks and writes
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("alone", "both"))
    assert one.keys() == two.keys()
    moved = 0.0
    for name, weights in one.items():
        np.testing.assert_allclose(two[name], weights, rtol=2e-3, atol=2e-5, err_msg=name)
        moved = max(moved, float(np.abs(weights - two[name]).max()))
    assert moved < 1e-3
    assert last_loss(both.stderr) == pytest.approx(last_loss(alone.stderr), abs=2e-4)
    scores = [json.loads((tmp_path / name / "manifest.json").read_text())["scores"] for name in ("alone", "both")]
    assert scores[1] == pytest.approx(scores[0], rel=1e-3)


def last_loss(printed: str) -> tuple[float, float]:
    """The last step of a training and its loss, from a line that is always printed; those in between are, one a second."""
    step, loss = re.search(r"^done  step (\d+)/3  loss (\S+)", printed, flags=re.MULTILINE).groups()
    return float(step), float(loss)


@pytest.mark.parametrize(("n", "size"), [(32, 2), (7, 3), (1, 4)])
def test_every_row_of_a_batch_has_one_process(n, size):
    rows = [row for place in range(size) for row in range(*ProcessGroup(place, size).rows(n))]
    assert rows == list(range(n))


def test_a_process_that_nobody_launched_is_alone():
    assert process_group() == ProcessGroup()
    assert process_group().is_first
    assert broadcast_decision(True)
    assert not broadcast_decision(False)
    assert not torch.distributed.is_initialized()
