"""The whole model: untrained it is its anchor; saved, batched, permuted or shown another future, it forecasts the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stvlm.anchor.fit import fit_anchor
from stvlm.core.forecast import LEVELS
from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Split, Window
from stvlm.inference.predict import explain, model_inputs, predict, predict_many
from stvlm.model.head import MEDIAN
from stvlm.model.losses import window_odds
from stvlm.model.stvlm import STVLM
from stvlm.training.fit import FitConfig, fit, make_model, pick_device, split_of
from stvlm.training.trainer import needed_gain, schedule
from tests.support.series import wave_series

CONFIG = FitConfig(lookback=12, horizon=6, seasons_minutes=(1440,), max_steps=24, min_gain=-1.0, batch_size=8)


@pytest.fixture(scope="module")
def series():
    return wave_series()


@pytest.fixture(scope="module")
def trained(series):
    """A model whose network is taken whatever it is worth, so that every part of it counts."""
    steps = list(fit(series, CONFIG))
    model = steps[-1].model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
        model.shrinkage.fill_(1.0)
    return model


@pytest.fixture(scope="module")
def cutoffs(series):
    return Split.from_shares(series.n_steps, CONFIG.split).cutoffs("test", 12, 6)[::9]


def changed(series, **values):
    return SensorSeries(**({k: getattr(series, k) for k in ("network", "times", "values", "quantity", "unit")} | values))


def test_untrained_it_is_its_anchor_exactly(series, cutoffs):
    split = Split.from_shares(series.n_steps, CONFIG.split)
    anchor = fit_anchor(series, split, 12, 6, (1440,))
    model, _ = make_model(series, CONFIG, split, anchor)
    np.testing.assert_array_equal(predict_many(model, series, cutoffs)[MEDIAN], anchor.forecast(series, cutoffs))


def test_a_network_that_does_not_improve_enough_is_not_taken(series, cutoffs):
    config = FitConfig(lookback=12, horizon=6, seasons_minutes=(1440,), max_steps=6, min_gain=0.9)
    last = list(fit(series, config))[-1]
    assert last.model.is_anchor
    assert "not taken" in last.message
    np.testing.assert_array_equal(predict_many(last.model, series, cutoffs)[MEDIAN], last.model.anchor.forecast(series, cutoffs))


def test_values_after_the_cutoff_change_nothing(series, trained):
    other = series.values.copy()
    other[450:] = 500
    now, then = (predict(trained, Window(s, 450, 12, 6)).values for s in (series, changed(series, values=other)))
    np.testing.assert_array_equal(now, then)


def test_saved_and_loaded_it_forecasts_bit_equally(series, trained, cutoffs, tmp_path):
    trained.save(tmp_path / "model", trained.manifest)
    again = STVLM.load(tmp_path / "model")
    np.testing.assert_array_equal(predict_many(again, series, cutoffs), predict_many(trained, series, cutoffs))
    assert {p.name for p in (tmp_path / "model").iterdir()} == {
        "config.json", "manifest.json", "model.safetensors", "anchor.safetensors", "anchor.json", "backbone",
    }  # fmt: skip


def test_who_may_read_the_settings_of_a_saved_model_may_read_it_all(trained, tmp_path):
    trained.save(tmp_path / "model", {})
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert len(modes) >= 5
    assert set(modes.values()) == {modes["config.json"]}


def test_a_damaged_model_folder_is_refused_in_words(trained, tmp_path):
    trained.save(tmp_path / "model", trained.manifest)
    (tmp_path / "model" / "model.safetensors").write_bytes(b"none of this")
    with pytest.raises(ValueError, match="not a whole model folder"):
        STVLM.load(tmp_path / "model")


def test_a_window_alone_and_in_a_batch_gives_the_same_forecast(series, trained, cutoffs):
    batch = predict_many(trained, series, cutoffs)
    for i, cutoff in enumerate(cutoffs[:3]):
        np.testing.assert_allclose(predict_many(trained, series, np.array([cutoff]))[:, 0], batch[:, i], rtol=1e-5, atol=1e-4)


def test_permuted_sensors_give_the_same_forecasts_permuted(series, trained, cutoffs):
    order = np.array([4, 2, 0, 5, 1, 3])
    moved_model = STVLM(trained.config, trained.anchor.select(order), trained.backbone)
    moved_model.load_state_dict(trained.state_dict())
    moved = predict_many(moved_model.eval(), series.select(order), cutoffs)
    # the prompt names the highest and lowest sensors in the order of their values, so it is the same text
    np.testing.assert_allclose(moved, predict_many(trained, series, cutoffs)[..., order], rtol=1e-4, atol=2e-3)


def test_quantiles_never_cross_and_hold_what_they_promise(series, trained):
    cutoffs = Split.from_shares(series.n_steps, CONFIG.split).cutoffs("val", 12, 6)
    model = list(fit(series, CONFIG))[-1].model
    values = predict_many(model, series, cutoffs)
    assert (np.diff(values, axis=0) >= 0).all()
    truth = series.values[cutoffs[:, None] + np.arange(6)]
    held = (values[LEVELS.index(0.1)] <= truth) & (truth <= values[LEVELS.index(0.9)])
    assert held[np.isfinite(truth)].mean() == pytest.approx(0.8, abs=0.02)


def test_another_network_is_refused_in_words(trained):
    with pytest.raises(ValueError, match="trained on another network"):
        predict(trained, Window(wave_series(4), 400, 12, 6))


def test_a_longer_horizon_than_trained_is_refused(series, trained):
    with pytest.raises(ValueError, match="forecasts up to 6"):
        predict(trained, Window(series, 400, 12, 9))


def test_the_gradient_reaches_raster_prompt_and_every_series_token(series, trained):
    inputs = trained.builder(series).build(np.array([300]))
    inputs.images.requires_grad_()
    inputs.series.requires_grad_()
    embedding = trained.backbone.core.text_model.embed_tokens.weight
    trained.zero_grad()
    embedding.requires_grad_()
    trained.quantiles(trained(inputs), inputs)[MEDIAN].square().sum().backward()
    assert inputs.images.grad.abs().sum() > 0
    assert embedding.grad.abs().sum() > 0
    assert (inputs.series.grad.abs().amax(dim=-1) > 0).all()


def test_an_explanation_keeps_its_promises(series, trained):
    out = explain(trained, Window(series, 420, 12, 6))
    np.testing.assert_allclose(out.modality_weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(out.image_attention.sum(axis=(1, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(out.text_attention.sum(axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(out.sensor_attention.sum(axis=1), 1, atol=1e-4)
    assert "".join(out.tokens) == out.prompt
    assert out.text_attention.shape == (6, len(out.tokens))
    assert out.image_attention.std() > 0
    assert out.image_bounds == model_inputs(trained, Window(series, 420, 12, 6)).raster.bounds
    assert set(out.deletion) == {"vision", "text", "series"}
    assert all(np.abs(change).max() > 0 for change in out.deletion.values())


def test_deletion_is_the_forecast_made_again_without_the_modality(series, trained):
    out = explain(trained, Window(series, 420, 12, 6))
    inputs = trained.builder(series).build(np.array([420]))
    with torch.no_grad():
        less = inputs.without("vision")
        without = trained.quantiles(trained(less), less)[MEDIAN, 0].numpy()
    np.testing.assert_allclose(out.deletion["vision"], without - predict(trained, Window(series, 420, 12, 6)).median, atol=1e-4)


def test_a_model_without_vision_and_text_explains_with_series_alone(series):
    config = FitConfig(lookback=12, horizon=6, seasons_minutes=(), modalities=("series",), max_steps=2, min_gain=-1.0)
    out = explain(list(fit(series, config))[-1].model, Window(series, 420, 12, 6))
    np.testing.assert_array_equal(out.modality_weights, np.tile([0, 0, 1], (6, 1)))
    assert out.tokens == ()
    assert set(out.deletion) == {"series"}


def test_a_resumed_training_ends_as_one_that_never_stopped(series, tmp_path):
    config = FitConfig(lookback=12, horizon=6, seasons_minutes=(), max_steps=60, min_gain=-1.0, batch_size=4)
    whole = [(s.step, s.loss) for s in fit(series, config) if s.phase == "train"]
    stopped = fit(series, config, checkpoint=tmp_path)
    for step in stopped:
        if step.step == 31:
            break
    stopped.close()
    rest = list(fit(series, config, checkpoint=tmp_path))
    assert next(s.step for s in rest if s.phase == "train") == 25
    assert [(s.step, s.loss) for s in rest if s.phase == "train"] == whole[25:]


def test_a_checkpoint_of_other_settings_is_refused(series, tmp_path):
    config = FitConfig(lookback=12, horizon=6, seasons_minutes=(), max_steps=30, batch_size=4, min_gain=-1.0)
    list(fit(series, config, checkpoint=tmp_path))
    with pytest.raises(ValueError, match="belongs to other settings"):
        list(fit(series, FitConfig(lookback=12, horizon=6, seasons_minutes=(), max_steps=31, batch_size=4), checkpoint=tmp_path))


def test_the_same_seed_gives_the_same_model(series, cutoffs):
    one, two = (list(fit(series, CONFIG))[-1].model for _ in range(2))
    np.testing.assert_array_equal(predict_many(one, series, cutoffs), predict_many(two, series, cutoffs))


def test_the_test_part_changes_nothing_in_training(series):
    other = series.values.copy()
    other[Split.from_shares(series.n_steps, CONFIG.split).test_start :] = 99
    losses = [[s.loss for s in fit(s_, CONFIG) if s.phase == "train"] for s_ in (series, changed(series, values=other))]
    assert losses[0] == losses[1]


def test_fifteen_hundred_sensors_are_forecast_and_explained():
    random = np.random.default_rng(0)
    network = SensorNetwork(tuple(map(str, range(1500))), 40 + random.random(1500), -100 + random.random(1500))
    values = (50 + np.cumsum(random.normal(size=(120, 1500)), axis=0)).astype("f4")
    times = np.datetime64("2026-03-01T00:00:00") + np.arange(120) * np.timedelta64(900, "s")
    series = SensorSeries(network, times, values, "traffic speed", "km/h")
    model = list(fit(series, FitConfig(lookback=8, horizon=4, seasons_minutes=(), max_steps=2, min_gain=-1.0, batch_size=2)))[
        -1
    ].model
    forecast = predict(model, Window(series, 110, 8, 4))
    assert forecast.values.shape == (len(LEVELS), 4, 1500)
    assert np.isfinite(forecast.values).all()


def test_a_device_that_is_not_here_is_refused():
    with pytest.raises(ValueError, match="device 'tpu' is not here"):
        pick_device("tpu")


def test_the_learning_rate_warms_up_and_ends_at_zero():
    assert schedule(0, 100) == pytest.approx(0.1)
    assert schedule(10, 100) == 1
    assert schedule(100, 100) == pytest.approx(0, abs=1e-9)


def test_what_cannot_be_had_is_refused_before_the_anchor_is_fitted(series):
    with pytest.raises(ValueError, match="views must be some of field"):
        FitConfig(12, 4, views=("nothing",))
    steps = fit(series, FitConfig(12, 4, backbone="/no/such/backbone"))
    with pytest.raises(ValueError, match="is not here"):
        next(steps)


def test_windows_with_news_are_drawn_more_often_but_none_over_and_over():
    news = np.arange(100) < 6
    assert window_odds(news)[news].sum() == pytest.approx(0.2)
    alone = np.arange(100) < 1
    assert window_odds(alone)[0] == pytest.approx(0.05)  # five times its share, no more
    np.testing.assert_allclose(window_odds(np.arange(10) < 5), 0.1)  # where many have news all are alike
    for none_or_all in (np.zeros(10, bool), np.ones(10, bool)):
        np.testing.assert_allclose(window_odds(none_or_all), 0.1)


def test_few_shot_training_reads_nothing_before_its_block(series):
    """The longer past of a training window ends where the block begins: other readings before it train the same network."""
    config = FitConfig(
        lookback=12,
        horizon=6,
        split=(0.6, 0.2, 0.2),
        few_shot="5days",
        max_steps=2,
        min_gain=-1,
        seasons_minutes=(1440,),
        device="cpu",
    )
    start = split_of(series, config).train_start
    other = series.values.copy()
    other[:start] = 3 * other[:start] + 5
    losses = []
    for readings in (series, replace(series, values=other)):
        losses.append([step.loss for step in fit(readings, config) if step.phase == "train"])
    assert losses[0] == losses[1]


def test_a_network_that_learnt_from_little_must_show_more():
    assert needed_gain(0.01, 200) == 0.01
    assert needed_gain(0.01, 5) == pytest.approx(0.1)
    assert needed_gain(0.01, 0.3) == pytest.approx(0.5)
    assert needed_gain(-1, 5) < 0  # taken whatever it is worth
