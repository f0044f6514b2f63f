"""Each sample opens and is what its card says."""

import importlib.util

import numpy as np
import pytest

from stvlm.datasets.samples import FOLDER, SAMPLES, load_sample
from stvlm.io.source import InputError
from stvlm.quality.report import need_steps

SHAPES = {"bixi_montreal_daily": (196, 472), "germany_pm10_daily": (1826, 37), "irish_wind": (6574, 12)}


@pytest.mark.parametrize("name", SHAPES)
def test_a_sample_opens_with_its_words_and_its_size(name):
    sample, series = SAMPLES[name], load_sample(name)
    assert series.values.shape == SHAPES[name]
    assert (series.quantity, series.unit, series.step_minutes) == (sample.quantity, sample.unit, 1440)
    assert series.timezone == ""
    assert sum(sample.split) == pytest.approx(1)
    assert not sample.synthetic
    need_steps(series, sample.lookback, sample.horizon)
    assert series.network.name(0) != ""


def test_bike_trips_come_with_weather_in_degrees_celsius_known_ahead():
    series = load_sample("bixi_montreal_daily")
    assert series.known_ahead == ("humidity", "max_temp_c", "mean_temp_c", "total_precip_mm", "holiday")
    context = series.context
    assert len(context) == series.n_steps
    assert 0 < (context["max_temp_c"] - context["mean_temp_c"]).mean() < 10
    assert not context.isna().any().any()
    assert "perfect weather forecast" in SAMPLES["bixi_montreal_daily"].description


@pytest.mark.skipif(importlib.util.find_spec("stvlm.datasets.synthetic_city") is None, reason="the synthetic city is not built yet")
def test_the_synthetic_city_says_that_it_is_synthetic():
    sample = SAMPLES["synthetic_city"]
    assert sample.synthetic
    assert "synthetic" in sample.title.lower()
    series = load_sample("synthetic_city")
    assert series.step_minutes == 15
    assert series.fingerprint == load_sample("synthetic_city").fingerprint
    assert set(sample.known_ahead) <= set(series.context.columns)
    assert np.isfinite(series.values).any()


def test_the_readme_describes_every_sample():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in SAMPLES)
    assert text.count("Licence:") == sum(not s.synthetic for s in SAMPLES.values())


def test_the_samples_stay_small():
    assert sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file()) < 1_000_000


def test_an_unknown_sample_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"There is no sample 'atlantis'. Choose one of bixi_montreal_daily"):
        load_sample("atlantis")
