"""The page on unseen and silent sensors says what the result files say; the commands behind it measure what they name."""

import json

import pytest

from experiments import unseen_sensors
from experiments.mosaic import measure


def hidden(anchor: float, bare: float, image: float) -> dict:
    maes = {
        "inverse distance of ridge": 2.0, "kriging of ridge": 1.5, "anchor, by place alone": bare, "anchor": anchor,
        "anchor and image (field)": image,
    }  # fmt: skip
    return {
        "unit": "m", "sensors": 40, "hidden": 8, "seeds": 2, "mae": maes, "mae_by_seed": {}, "coverage_80": {"anchor": 0.791},
        "taken": {"anchor and image (field)": 1}, "seconds": {"anchor": 3.0, "anchor and image (field)": 9.0}, "ways": ["mean of all", "x"],
    }  # fmt: skip


def test_the_page_is_made_of_the_result_files():
    found, synthetic = (
        json.loads((unseen_sensors.RESULTS / f"{n}.json").read_text(encoding="utf-8")) for n in ("unseen", "unseen_synthetic")
    )
    assert unseen_sensors.PAGE.read_text(encoding="utf-8") == unseen_sensors.page(found, synthetic)


def test_the_page_counts_wins_gains_and_the_median_rise():
    silent = {
        n: {"anchor": {"mae": m, "mae_all_there": 1.0}, "ridge": {"mae": 2.0, "mae_all_there": 1.0}}
        for n, m in zip("abc", (1.01, 1.03, 1.5), strict=True)
    }
    found = {"hidden": {"a": hidden(1.0, 1.6, 0.9), "b": hidden(1.4, 1.4, 1.4)}, "silent": silent}
    run = {"anchor, by place alone": 1.0, "map": 0.5}
    text = unseen_sensors.page(found, {"unit": "degC", "runs": [run, run | {"map": 0.4}]})
    assert "the anchor on 2 of 2 networks, by place alone on 1" in text
    assert "| a | mean of all | 79.1% | 1 of 2 | +10.0% | 3 | 9 |" in text
    assert "lowers the error by 50% to 60%" in text
    assert "anchor +3.0%, ridge +100.0%" in text


@pytest.mark.slow
def test_the_made_up_land_is_won_by_its_map_alone(monkeypatch):
    monkeypatch.setattr("experiments.image_kernel.STEPS", 60)
    monkeypatch.setattr("experiments.image_kernel.WINDOWS", 12)
    monkeypatch.setattr("experiments.image_kernel.SETS", 2)
    found = measure(seed=2, n_sensors=80, n_steps=160)
    assert found["map"] < 0.8 * found["anchor, by place alone"]
    assert found["map, shuffled"] > 0.95 * found["anchor, by place alone"]
    assert found["map"] < 1.5 * found["were they read"]
    assert found["field image"] == pytest.approx(found["anchor, by place alone"], rel=0.1)
