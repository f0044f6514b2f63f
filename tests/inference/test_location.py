"""The forecast of a place without a sensor: between those of its neighbours, with wider bands, refused out of reach."""

from dataclasses import replace

import numpy as np
import pytest

from stvlm.core.windows import Window
from stvlm.inference.location import forecast_at, reach_km
from stvlm.inference.predict import predict
from stvlm.training.fit import FitConfig, fit
from tests.support.series import wave_series


@pytest.fixture(scope="module")
def series():
    return wave_series(9)


@pytest.fixture(scope="module")
def model(series):
    *_, last = fit(series, FitConfig(lookback=12, horizon=6, seasons_minutes=(1440,), modalities=("series",), max_steps=1))
    return last.model


def test_a_place_beside_a_sensor_gets_nearly_its_forecast_with_wider_bands(series, model):
    window, network = Window(series, 450, 12, 6), series.network
    known, here = predict(model, window), forecast_at(model, window, network.lat[2] + 1e-4, network.lon[2])
    assert here.network.ids == ("here",)
    assert here.network.lat[0] == network.lat[2] + 1e-4
    assert (here.times == known.times).all()
    assert np.abs(here.median[:, 0] - known.median[:, 2]).max() < np.ptp(known.median, axis=1).max()
    low, high = here.band(0.8)
    own_low, own_high = known.band(0.8)
    assert (high - low).mean() > 0.9 * (own_high - own_low).mean()
    assert (np.diff(here.values, axis=0) >= 0).all()


def test_values_from_the_cutoff_on_change_nothing(series, model):
    values = series.values.copy()
    values[450:] = 99.0
    changed = replace(series, values=values)
    at = series.network.lat[0] + 0.02, series.network.lon[0]
    before = forecast_at(model, Window(series, 450, 12, 6), *at).values
    assert (forecast_at(model, Window(changed, 450, 12, 6), *at).values == before).all()


def test_without_a_validation_part_it_learns_from_windows_before_the_cutoff(series, model):
    known, model.manifest = model.manifest, {}
    try:
        lat, lon = series.network.lat.mean(), series.network.lon.mean()
        forecast = forecast_at(model, Window(series, 300, 12, 6), lat, lon)
        with pytest.raises(ValueError, match="18 steps before the cutoff"):
            forecast_at(model, Window(series, 15, 12, 6), lat, lon)
    finally:
        model.manifest = known
    assert np.nanmin(series.values) < forecast.median.mean() < np.nanmax(series.values)


@pytest.mark.parametrize(("lat", "lon"), [(48.5, 12.0), (-33.0, 151.0)])
def test_out_of_reach_is_said_in_kilometres(series, model, lat, lon):
    with pytest.raises(ValueError, match=r"nearest sensor is [\d,]+ km away"):
        forecast_at(model, Window(series, 450, 12, 6), lat, lon)
    assert reach_km(series.network) < 150


@pytest.mark.parametrize("place", [(91.0, 0.0), (float("nan"), 2.0), (48.0, float("inf"))])
def test_what_is_no_place_on_earth_is_refused(series, model, place):
    with pytest.raises(ValueError, match="no place"):
        forecast_at(model, Window(series, 450, 12, 6), *place)


def test_whole_turns_of_the_longitude_are_the_same_place(series, model):
    window, lat, lon = Window(series, 450, 12, 6), series.network.lat[3], series.network.lon[3] + 0.01
    assert forecast_at(model, window, lat, lon + 360).values == pytest.approx(forecast_at(model, window, lat, lon).values, abs=1e-3)
