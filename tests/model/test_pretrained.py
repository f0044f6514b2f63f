"""Weights that networks share: one layout for all, trained on many, believed as far as a network's own past says."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments import shared_weights as study
from stvlm.anchor.zero_shot import zero_shot_anchor
from stvlm.cli.main import pretrain
from stvlm.cli.parser import parse
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split
from stvlm.datasets.synthetic_city import field
from stvlm.datasets.synthetic_physics import FIELDS, physical_field
from stvlm.evaluation.backtest import backtest
from stvlm.inference.predict import predict_many
from stvlm.modalities.batch import InputBuilder
from stvlm.modalities.series import AHEAD, from_slots, to_slots
from stvlm.model.head import MEDIAN
from stvlm.model.pretrained import SharedWeights, first_model, places_of, save, with_shared_weights
from stvlm.training.fit import FitConfig, make_model, shared_weights
from stvlm.training.pretrain import JointTraining, coarser, make_task, manifest, tiny_config, variants
from stvlm.training.trainer import Training
from stvlm.training.zero_shot import open_shared, was_trained_on, zero_shot
from tests.support.paths import CHECKPOINTS

CONFIG = tiny_config(("series",))
N_STEPS = 900


@pytest.fixture(scope="module")
def rivers() -> list[SensorSeries]:
    """Two made-up rivers: what comes is what gauges above have read."""
    return [physical_field("rivers", seed, 16, N_STEPS) for seed in (0, 1)]


@pytest.fixture(scope="module")
def trained(rivers, tmp_path_factory) -> SharedWeights:
    """Weights learnt on the first of them."""
    task = make_task("a chain of gauges", rivers[0], 8, 4, CONFIG, 200)
    training = JointTraining([task], CONFIG, steps=100, rate=3e-3, batch_size=8)
    losses = [training.advance() for _ in range(training.total)]
    assert np.mean(losses[-20:]) < np.mean(losses[:20])
    folder = tmp_path_factory.mktemp("shared") / "weights"
    gains = training.gains()
    assert gains["a chain of gauges"] < 1  # on windows kept back
    save(training.finish(), folder, manifest(training, {"seed": 0}, gains))
    return SharedWeights.load(folder)


def _anchor(series: SensorSeries, lookback: int = 8, horizon: int = 4, stop: int = 400):
    return zero_shot_anchor(series, 0, stop, lookback, horizon, ())


@pytest.mark.parametrize("horizon", [1, 5, AHEAD])
def test_a_short_horizon_keeps_its_steps_and_zeros_follow(horizon):
    values = np.random.default_rng(0).normal(size=(2, horizon, 3)).astype("f4")
    slots = to_slots(values)
    assert slots.shape == (2, AHEAD, 3)
    assert not slots[:, horizon:].any()
    np.testing.assert_array_equal(from_slots(torch.from_numpy(slots), horizon).numpy(), values)


def test_a_long_horizon_is_drawn_together_and_back_without_bending_a_line():
    line = np.linspace(-1, 2, 100, dtype="f4")[None, :, None]
    slots = to_slots(line)
    np.testing.assert_allclose(slots[0, :, 0], np.linspace(-1, 2, AHEAD), atol=1e-6)
    np.testing.assert_allclose(from_slots(torch.from_numpy(slots), 100).numpy(), line, atol=1e-5)


@pytest.mark.parametrize(("n_sensors", "lookback", "horizon"), [(1, 3, 1), (2, 60, 30), (16, 8, 4)])
def test_any_network_and_any_window_fit_the_same_weights(trained, n_sensors, lookback, horizon):
    series = field(n_sensors, 300, "cycle", 3)
    model, _ = open_shared(trained, series, _anchor(series, lookback, horizon, 250), 0, 250)
    made = predict_many(model, series, np.array([270]))
    assert made.shape[2:] == (horizon, n_sensors)
    assert np.isfinite(made).all()


def test_nothing_after_the_cutoff_reaches_a_shared_forecast(trained, rivers):
    other = rivers[1].values.copy()
    other[400:] = 1e4
    changed = replace(rivers[1], values=other)
    made, again = (_built(trained, series).build(np.array([400])) for series in (rivers[1], changed))
    torch.testing.assert_close(again.series, made.series, rtol=0, atol=0)


def _built(weights: SharedWeights, series: SensorSeries) -> InputBuilder:
    anchor = _anchor(series)
    model = weights.model(series, anchor, 0, 400)
    return InputBuilder(series, anchor, model.config.inputs, model.backbone.count_tokens)


def test_what_was_learnt_counts_where_the_past_says_so(trained, rivers):
    series, stop = rivers[0], 840
    model, gate = open_shared(trained, series, _anchor(series, stop=stop), 0, stop)
    assert gate.shrinkage > 0
    assert gate.mae < gate.anchor_mae
    cutoffs = np.arange(stop, N_STEPS - 4, 2)  # later than all that was trained or replayed
    truth = series.values[cutoffs[:, None] + np.arange(4)]
    error = np.nanmean(np.abs(predict_many(model, series, cutoffs)[MEDIAN] - truth))
    assert error < np.nanmean(np.abs(model.anchor.forecast(series, cutoffs) - truth))


def test_weights_that_mislead_are_not_believed(trained, rivers):
    wrong = dict(trained.weights)
    wrong["head.out.weight"] = torch.randn_like(wrong["head.out.weight"])
    series = rivers[1]
    model, gate = open_shared(replace(trained, weights=wrong), series, _anchor(series), 0, 400)
    assert gate.shrinkage == 0
    assert model.is_anchor
    np.testing.assert_allclose(
        predict_many(model, series, np.array([420]))[MEDIAN],
        model.anchor.forecast(series, np.array([420])),
        rtol=1e-5,
    )


def test_a_zero_shot_model_says_whether_its_network_counts(trained, rivers):
    model = zero_shot(rivers[1], 400, 8, 4, (), trained.folder)
    assert model.manifest["network_taken"] == (not model.is_anchor)
    assert model.manifest["scores"]["val_mae"] <= model.manifest["scores"]["anchor_val_mae"]
    assert zero_shot(rivers[1], 400, 8, 4, (), None).is_anchor


def test_what_is_saved_forecasts_as_it_did(trained, rivers, tmp_path):
    series = rivers[1]
    model, _ = open_shared(trained, series, _anchor(series), 0, 400)
    save(model, tmp_path / "again", trained.manifest)
    again, _ = open_shared(SharedWeights.load(tmp_path / "again"), series, _anchor(series), 0, 400)
    np.testing.assert_array_equal(
        predict_many(again, series, np.array([410, 450])), predict_many(model, series, np.array([410, 450]))
    )


def test_a_folder_that_holds_something_else_is_refused(trained, tmp_path):
    with pytest.raises(ValueError, match="holds no whole set of shared weights"):
        SharedWeights.load(tmp_path)
    stored = json.loads((trained.folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(stored | {"slots": 0}))
    for name in ("manifest.json", "model.safetensors"):
        (tmp_path / name).write_bytes((trained.folder / name).read_bytes())
    with pytest.raises(ValueError, match="a model of one network"):
        SharedWeights.load(tmp_path)


def test_siblings_share_what_is_learnt_and_keep_what_is_their_own(rivers):
    first, second = (_anchor(series) for series in rivers)
    core = first_model(CONFIG, rivers[0], first, 0, 400)
    other = with_shared_weights(core, rivers[1], second, 0, 400)
    with torch.no_grad():
        core.head.out.bias.fill_(0.25)
    other.shrinkage.fill_(0.5)
    other.spread.fill_(2.0)
    assert other.head.out.bias[0].item() == 0.25
    assert float(core.shrinkage) == 1
    assert not core.spread.any()
    assert other.anchor is second
    assert other.config.inputs.series.character != core.config.inputs.series.character


def test_weights_know_the_networks_they_were_trained_on(trained, rivers):
    assert was_trained_on(trained, rivers[0])
    network = rivers[0].network
    moved = replace(rivers[0], network=replace(network, lat=network.lat + 1))
    assert not was_trained_on(trained, moved)
    assert len(set(places_of(rivers[0]))) > 8


def test_a_backtest_does_not_use_shipped_weights_on_a_network_they_know(trained, rivers, monkeypatch):
    monkeypatch.setattr("stvlm.model.pretrained.BUNDLED", trained.folder)
    row = backtest(rivers[0], 8, 4, (0.6, 0.2, 0.2), ("zero-shot",), seasons=())["scores"][0]
    assert row["knows_network"]
    assert row["shrinkage"] == 0
    named = backtest(rivers[0], 8, 4, (0.6, 0.2, 0.2), ("zero-shot",), seasons=(), fit_options={"shared": str(trained.folder)})
    assert named["scores"][0]["shrinkage"] > 0
    assert named["scores"][0]["mae"] < row["mae"]


def test_a_few_shot_training_begins_with_shared_weights(trained, rivers):
    config = FitConfig(8, 4, few_shot=0.2, shared=str(trained.folder), seasons_minutes=(), device="cpu", max_steps=0)
    split = Split.from_shares(N_STEPS, config.split)
    model, builder = make_model(rivers[0], config, split, _anchor(rivers[0]), shared=shared_weights(config))
    training = Training(model, builder, config, split, torch.device("cpu"))
    training.validate()
    assert training.given_mae < training.anchor_mae * 0.99  # what it begins with counts before a step is made
    training.needed_gain, training.step = 0.99, 5  # what these few windows teach would not
    assert training.finish()
    assert float(model.shrinkage) == training.given_shrinkage


def test_settings_that_shared_weights_cannot_have_are_refused(trained):
    with pytest.raises(ValueError, match="leave out backbone, fusion"):
        shared_weights(FitConfig(backbone="plain", fusion="last", shared=str(trained.folder)))
    assert shared_weights(FitConfig(few_shot=0.1, shared="")) is None
    assert shared_weights(FitConfig()) is None  # with all its data a training begins anew


def test_the_shipped_weights_are_small_and_whole():
    shipped = SharedWeights.load(CHECKPOINTS / "stvlm-tiny")
    assert sum(file.stat().st_size for file in shipped.folder.rglob("*") if file.is_file()) < 20e6
    series = field(5, 200, "cycle", 1)
    model = zero_shot(series, 180, 12, 6, (1440,))
    assert np.isfinite(predict_many(model, series, np.array([185]))).all()
    assert not was_trained_on(shipped, series)
    assert len(shipped.manifest["networks"]) >= 10


@pytest.mark.parametrize("kind", FIELDS)
def test_a_made_up_field_is_the_same_for_a_seed_and_another_for_another(kind):
    one, again, other = (physical_field(kind, seed, 12, 400) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.values, again.values)
    assert one.values.shape[1] == 12
    assert np.isfinite(one.values).mean() > 0.9
    assert np.nanstd(one.values) > 0
    assert not np.array_equal(np.nan_to_num(one.values[:400]), np.nan_to_num(other.values[:400]))


def test_an_unknown_field_is_refused():
    with pytest.raises(ValueError, match="kind must be one of jams, weather"):
        physical_field("magic", 0)


def test_heat_is_alike_at_neighbours_and_less_so_far_away():
    made = physical_field("heat", 1, 30, 1500)
    likeness = np.corrcoef(np.nan_to_num(np.diff(made.values, axis=0)).T)
    near = made.network.neighbours(3)[0]
    close = np.mean([likeness[i, near[i]].mean() for i in range(30)])
    assert close > likeness[~np.eye(30, dtype=bool)].mean() + 0.1


def test_longer_steps_hold_the_mean_of_what_was_observed(small_series):
    made = coarser(small_series, 3)
    assert made.step_seconds == 3 * small_series.step_seconds
    np.testing.assert_allclose(made.values[1], np.nanmean(small_series.values[3:6], axis=0), rtol=1e-6)


def test_variants_begin_with_the_networks_own_window(small_series):
    found = variants(small_series, 12, 6, np.random.default_rng(0), 3)
    assert found[0][1:] == (12, 6)
    assert all(part.context is None for part, _, _ in found)
    assert variants(small_series, 100, 50, np.random.default_rng(0), 1) == []


def test_pretraining_by_command_leaves_out_what_it_is_told_to(tmp_path, rivers, capsys):
    data = tmp_path / "data"
    for name, series in zip(("first", "second"), rivers, strict=True):
        _write(data / name, series)
    terms = {"lookback": 8, "horizon": 4, "split": [0.6, 0.2, 0.2]}
    (data / "datasets.json").write_text(json.dumps({"first": terms, "second": terms}))
    given = ["--data", str(data), "--leave-out", "second", "--fields", "0", "--steps", "2", "--out", str(tmp_path / "made")]
    pretrain(parse(["pretrain", *given]))
    made = SharedWeights.load(tmp_path / "made")
    assert made.manifest["networks"] == ["first"]
    assert made.manifest["settings"]["leave_out"] == ["second"]
    assert was_trained_on(made, rivers[0])
    assert "first: " in capsys.readouterr().out


def _write(folder, series: SensorSeries) -> None:
    folder.mkdir(parents=True)
    rows = zip(series.network.ids, series.network.lat, series.network.lon, strict=True)
    (folder / "sensors.csv").write_text("sensor_id,lat,lon\n" + "".join(f"{i},{lat},{lon}\n" for i, lat, lon in rows))
    lines = [
        ",".join([str(t), *("" if np.isnan(v) else f"{v:.3f}" for v in row)])
        for t, row in zip(series.times, series.values, strict=True)
    ]
    (folder / "series.csv").write_text("\n".join([",".join(["timestamp", *series.network.ids]), *lines]) + "\n")


def test_the_page_on_shared_weights_is_made_of_the_result_file():
    found = json.loads(study.RESULTS.read_text(encoding="utf-8"))
    assert study.PAGE.read_text(encoding="utf-8") == study.page(found)
