"""Which weights train, where the ranks go, and what of it a model folder holds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from stvlm.anchor.fit import fit_anchor
from stvlm.core.windows import Split
from stvlm.inference.predict import predict_many
from stvlm.model import backbone as backbones
from stvlm.model import serialize as folders
from stvlm.model.adapters import (
    STRATEGIES,
    AdapterConfig,
    ModalityAdapters,
    RankBudget,
    adapt,
    choose_strategy,
    merge,
    orthogonality,
    parts,
    ranks,
    suggest_strategy,
)
from stvlm.model.fusion import TEXT, VISION, FirstLayerFusion
from stvlm.model.losses import pinball_loss
from stvlm.model.stvlm import STVLM
from stvlm.training import checkpoint as checkpoints
from stvlm.training.fit import fit, make_model
from stvlm.training.trainer import FitConfig, Training
from tests.support.series import wave_series

CONFIG = FitConfig(
    lookback=12, horizon=6, seasons_minutes=(1440,), split=(0.8, 0.1, 0.1), max_steps=10, min_gain=-1.0, batch_size=4, device="cpu"
)  # fmt: skip
SPLIT = Split.from_shares(504, CONFIG.split)
CUTOFFS = SPLIT.cutoffs("test", 12, 6)[::25]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """The tensors are small: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def series():
    return wave_series()


@pytest.fixture(scope="module")
def anchor(series):
    return fit_anchor(series, SPLIT, 12, 6, (1440,))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """The tiny backbone as it would come from elsewhere: a folder."""
    folder = tmp_path_factory.mktemp("pretrained") / "net"
    backbones.build_tiny(folder, seed=3)
    return folder


def scattered(module, seed=0, size=0.05):
    """Move every trainable weight a little, so that adapters do something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(size * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("name", ["tiny", "plain"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_freshly_adapted_backbone_computes_exactly_what_it_did_before(strategy, name):
    plain, adapted = backbones.load(name, seed=4).eval(), backbones.load(name, seed=4)
    adapt(adapted, AdapterConfig(strategy))
    hidden = torch.randn(2, 6, plain.hidden_size)
    for mine, other in zip(adapted.eval().layers, plain.layers, strict=True):
        torch.testing.assert_close(adapted.run(mine, hidden), plain.run(other, hidden), rtol=0, atol=0)


def test_fresh_modality_parts_change_no_fusion_and_trained_ones_only_their_own():
    backbone, fusion = backbones.load("tiny").eval(), FirstLayerFusion(64, 4)
    generator = torch.Generator().manual_seed(0)
    series, image, text = (torch.randn(2, n, 64, generator=generator) for n in (5, 4, 7))
    mask = torch.ones(2, 7, dtype=torch.bool)

    def fused(image=image, text=text):
        places = torch.zeros(5, 2), torch.zeros(4, 2)
        return fusion(backbone, backbone.layers[0], series, places[0], image, places[1], text, mask).tokens

    before = fused()
    without_image = fused(image=None)
    adapt(backbone, AdapterConfig("adaptive"), fusion, ("vision", "text", "series"))
    torch.testing.assert_close(fused(), before, rtol=0, atol=0)
    with torch.no_grad():
        fusion.by_modality.lora_E["vision"].fill_(1.0)
    assert (fused() - before).abs().max() > 1e-4
    torch.testing.assert_close(fused(image=None), without_image, rtol=0, atol=0)


def test_only_what_should_train_trains():
    counts, names = {}, {}
    for strategy in STRATEGIES:
        backbone = backbones.load("tiny")
        adapt(backbone, AdapterConfig(strategy))
        names[strategy] = [n for n, p in backbone.named_parameters() if p.requires_grad]
        counts[strategy] = sum(p.numel() for p in backbone.parameters() if p.requires_grad)
    assert counts["frozen"] == 0
    assert counts["norm"] == 64 * 7
    assert 0 < counts["norm"] < counts["lora"] < counts["adalora"] < counts["full"]
    for strategy in ("lora", "adalora", "adaptive"):
        assert all("lora_" in n or "norm" in n for n in names[strategy])
        assert not any("vision_model" in n or "ranknum" in n for n in names[strategy])


def test_a_pretrained_backbone_gets_adapters_and_a_random_one_is_trained_fully(pretrained):
    assert choose_strategy("auto", backbones.load("tiny"), 10**6).strategy == "full"
    assert choose_strategy("auto", backbones.load(str(pretrained)), 10**6).strategy == "lora"


def test_the_amount_of_data_decides_what_adaptive_starts_from(pretrained):
    untrained, learned = backbones.load("tiny"), backbones.load(str(pretrained))
    readings = (500, 3_000, 6_000, 12_000, 10**6)
    of_untrained, of_learned = ([suggest_strategy(b, n) for n in readings] for b in (untrained, learned))
    assert [(c.chosen, c.rank) for c in of_untrained] == [("norm", 8), ("adalora", 2), ("adalora", 4), ("adalora", 8), ("full", 8)]
    assert [c.chosen for c in of_learned] == ["norm", "adalora", "adalora", "adalora", "adalora"]
    assert "500 training readings and an untrained backbone: too few" in of_untrained[0].reason
    assert "1,000,000 training readings and a pretrained backbone: what it knows is kept" in of_learned[-1].reason
    for config in of_learned[1:]:  # the reason states the true size
        backbone = backbones.load("tiny")
        adapt(backbone, config)
        size = sum(w.numel() for part in parts(backbone).values() for w in (part.down, part.values, part.up))
        assert f"{size:,} weights" in config.reason


def test_the_ranks_fall_to_the_budget_and_stay_there():
    backbone = backbones.load("tiny")
    adapt(backbone, AdapterConfig("adalora", rank=4))
    scattered(backbone)
    budget = RankBudget(backbone, 4, total=40)
    optimiser = torch.optim.AdamW([p for p in backbone.parameters() if p.requires_grad], lr=1e-2)
    hidden, wanted = torch.randn(2, 9, 6, 64, generator=torch.Generator().manual_seed(1))
    assert sum(ranks(backbone).values()) == 21 * 6
    allowed = []
    for step in range(1, 41):
        out = hidden
        for layer in backbone.layers:
            out = backbone.run(layer, out)
        ((out - wanted) ** 2).mean().backward()
        optimiser.step()
        budget.allocate(step)
        optimiser.zero_grad()
        allowed.append(sum(ranks(backbone).values()))
    assert allowed[:4] == [126] * 4
    assert allowed[19:] == [21 * 4] * 21
    assert [row["step"] for row in budget.history] == [0, *range(5, 21)]
    totals = [sum(row["ranks"].values()) for row in budget.history]
    assert totals == sorted(totals, reverse=True)
    assert len(set(ranks(backbone).values())) > 1  # some layers keep more than others


def test_ranks_move_to_the_modality_that_carries_the_signal():
    """The truth is a fixed low-rank map of the text; images are noise. Both keys reach the sensors through one frozen layer."""
    torch.manual_seed(0)
    backbone, fusion = backbones.load("tiny"), FirstLayerFusion(64, 4)
    adapt(backbone, AdapterConfig("frozen"))
    fusion.by_modality = ModalityAdapters(64, 6, ("vision", "text", "series"))
    read = torch.nn.Linear(64, 4)
    truth = torch.randn(64, 4) / 8
    trained = [*fusion.by_modality.parameters(), *read.parameters()]
    optimiser, budget = torch.optim.Adam(trained, lr=5e-3), RankBudget(fusion, 2, total=120)
    for step in range(1, 121):
        image, text = torch.randn(2, 16, 6, 64)
        series, places = torch.zeros(16, 3, 64), torch.zeros(6, 2)
        out = fusion(backbone, backbone.layers[0], series, places[:3], image, places, text, torch.ones(16, 6, dtype=torch.bool))
        loss = F.mse_loss(read(10 * out.tokens).mean(1), text.mean(1) @ truth) + 0.1 * orthogonality(budget.parts)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        budget.allocate(step)
    kept = ranks(fusion)
    assert sum(kept.values()) == 6
    assert kept["text"] > kept["vision"] + kept["series"]
    assert (VISION, TEXT) == (0, 1)  # the order of the keys that the parts are named after


def test_without_a_gradient_a_part_loses_its_ranks_and_nothing_breaks():
    parts_of = ModalityAdapters(8, 4, ("text", "series"))
    with torch.no_grad():
        parts_of.lora_E["text"].fill_(1.0)
        parts_of.lora_E["series"].fill_(1.0)
    budget = RankBudget(parts_of, 2, total=10)
    for step in range(1, 6):
        parts_of.zero_grad()
        (parts_of(torch.randn(2, 3, 8), torch.ones(3, dtype=torch.long)) ** 2).sum().backward()
        parts_of.lora_E["series"].grad = None
        parts_of.lora_A["series"].grad = None
        parts_of.lora_B["series"].grad = None
        budget.allocate(step)
    assert ranks(parts_of) == {"text": 4, "series": 0}


def test_orthonormal_parts_pay_nothing_and_others_do():
    part = parts(ModalityAdapters(8, 4, ("text",)))
    assert orthogonality(part).item() == pytest.approx(0, abs=1e-10)
    with torch.no_grad():
        part["text"].down.mul_(2)
    assert orthogonality(part).item() == pytest.approx(4 * 9)


@pytest.mark.parametrize("strategy", ["lora", "adalora", "adaptive"])
def test_merged_adapters_forecast_the_same_and_leave_no_trace(strategy, series, anchor, tmp_path):
    model, _ = make_model(series, replace(CONFIG, tuning="adalora" if strategy == "adaptive" else strategy), SPLIT, anchor)
    if strategy == "adaptive":
        settings = replace(model.config, adapter=AdapterConfig("adaptive", 4, "adalora"))
        model = STVLM(settings, anchor, backbones.load("tiny"))
    scattered(model)
    before = predict_many(model.eval(), series, CUTOFFS)
    assert np.abs(before - predict_many(make_model(series, CONFIG, SPLIT, anchor)[0].eval(), series, CUTOFFS)).max() > 0.1
    merge(model)
    np.testing.assert_allclose(predict_many(model, series, CUTOFFS), before, rtol=1e-5, atol=1e-5)
    assert not any("lora_" in name for name in model.backbone.state_dict())
    model.save(tmp_path / "merged", {})
    np.testing.assert_array_equal(
        predict_many(STVLM.load(tmp_path / "merged"), series, CUTOFFS), predict_many(model, series, CUTOFFS)
    )


@pytest.mark.parametrize("tuning", ["norm", "lora", "adalora", "adaptive"])
def test_beside_a_pretrained_base_only_what_was_trained_is_saved(tuning, series, anchor, pretrained, tmp_path):
    config = replace(CONFIG, backbone=str(pretrained), tuning=tuning)
    model, _ = make_model(series, config, SPLIT, anchor)
    scattered(model)
    model.save(tmp_path / "model", {})
    whole = sum(p.numel() for p in model.backbone.parameters())
    saved = load_file(tmp_path / "model" / "model.safetensors")
    assert sum(w.numel() for n, w in saved.items() if n.startswith("backbone.")) < whole / 5
    again = STVLM.load(tmp_path / "model")
    np.testing.assert_array_equal(predict_many(again, series, CUTOFFS), predict_many(model.eval(), series, CUTOFFS))


def test_another_base_is_refused_by_both_names(series, anchor, pretrained, tmp_path):
    model, _ = make_model(series, replace(CONFIG, backbone=str(pretrained), tuning="lora"), SPLIT, anchor)
    model.save(tmp_path / "model", {})
    other = tmp_path / "other"
    backbones.build_tiny(other, seed=9)
    with pytest.raises(ValueError, match=r"trained on the backbone '.*net'.*'.*other' holds other weights"):
        STVLM.load(tmp_path / "model", base=str(other))
    moved = tmp_path / "moved"
    pretrained.rename(moved)
    try:
        with pytest.raises(ValueError, match="net' is not here"):
            STVLM.load(tmp_path / "model")
        assert STVLM.load(tmp_path / "model", base=str(moved)).config == model.config
    finally:
        moved.rename(pretrained)


def test_a_save_cut_off_between_its_moves_leaves_the_model_before(series, anchor, tmp_path, monkeypatch):
    model, _ = make_model(series, CONFIG, SPLIT, anchor)
    model.save(tmp_path / "model", {"which": "first"})
    moves, real = [], folders.os.replace

    def cut(source, target):
        if moves:
            raise KeyboardInterrupt
        moves.append(target)
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(folders.os, "replace", cut)
        with pytest.raises(KeyboardInterrupt):
            model.save(tmp_path / "model", {"which": "second"})
    assert STVLM.load(tmp_path / "model").manifest == {"which": "first"}
    model.save(tmp_path / "model", {"which": "third"})
    assert STVLM.load(tmp_path / "model").manifest == {"which": "third"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_the_same_state_written_twice_is_never_taken_away(tmp_path):
    state = checkpoints.State({"w": torch.ones(2)}, {"step": 7})
    checkpoints.write(tmp_path, state)
    inode = (tmp_path / "step-00000007" / "state.json").stat().st_ino
    checkpoints.write(tmp_path, state)
    assert (tmp_path / "step-00000007" / "state.json").stat().st_ino == inode
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000007"]


@pytest.mark.parametrize("tuning", ["adalora", "adaptive"])
def test_a_resumed_training_shares_out_ranks_as_one_that_never_stopped(tuning, series, anchor, tmp_path, monkeypatch):
    monkeypatch.setattr("stvlm.training.fit.CHECKPOINT_EVERY", 5)
    monkeypatch.setattr("stvlm.model.adapters.READINGS_PER_WEIGHT", 0.04)
    config = replace(CONFIG, tuning=tuning, max_steps=14, rank=2)
    whole = list(fit(series, config, anchor=anchor))
    stopped = fit(series, config, checkpoint=tmp_path, anchor=anchor)
    for step in stopped:
        if step.step == 6:
            break
    stopped.close()
    rest = list(fit(series, config, checkpoint=tmp_path, anchor=anchor))
    assert rest[0].step == 5
    losses = [[s.loss for s in run if s.phase == "train" and s.step >= 5] for run in (whole, rest)]
    assert losses[0] == losses[1]
    one, two = whole[-1].model, rest[-1].model
    assert one.manifest["adaptive"] == two.manifest["adaptive"]
    assert one.manifest["adaptive"]["strategy"] == tuning
    assert [row["step"] for row in one.manifest["adaptive"]["rank_history"]] == [0, 2, 3, 4, 5, 6, 7]
    for name, weight in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], weight, rtol=0, atol=0)


def test_half_precision_runs_through_every_part_and_stays_near(series, anchor):
    model, builder = make_model(series, replace(CONFIG, tuning="adalora"), SPLIT, anchor)
    scattered(model)
    inputs = builder.build(SPLIT.cutoffs("train", 12, 6)[:4])
    exact = pinball_loss(model.eval(), inputs)
    with torch.autocast("cpu", torch.bfloat16):
        half = pinball_loss(model, inputs)
    half.backward()
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(exact.item(), rel=0.02)


def test_spared_memory_gives_the_same_gradients(series, anchor):
    found = []
    for spare in (False, True):
        model, builder = make_model(series, replace(CONFIG, tuning="lora"), SPLIT, anchor)
        training = Training(
            model, builder, replace(CONFIG, tuning="lora", gradient_checkpointing=spare), SPLIT, torch.device("cpu")
        )
        training.advance()
        found.append({n: p.grad for n, p in training.named.items() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-5, atol=1e-7)


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="must be one of frozen, norm, lora, adalora, full, adaptive"):
        AdapterConfig("magic")
