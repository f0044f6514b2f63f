"""The networks that open with one click."""

from __future__ import annotations

from dataclasses import dataclass

from stvlm.core.series import SensorSeries
from stvlm.io.read import InputFiles
from stvlm.io.source import InputError
from stvlm.quality.report import load
from stvlm.runtime.assets import asset

FOLDER = asset("samples")


@dataclass(frozen=True)
class Sample:
    """A sample network and how it is usually forecast.

    Attributes:
        name: folder of the samples. title, description: plain words.
        quantity, unit: what is measured.
        lookback, horizon: steps. split: shares of training, validation, test.
        synthetic: True where nothing in it is real.
        known_ahead: context columns that are known before they happen.
        timezone: IANA name for showing times; "" where times are local days.
        seasons_minutes: lengths of the seasons worth a seasonal baseline.
    """

    name: str
    title: str
    description: str
    quantity: str
    unit: str
    lookback: int
    horizon: int
    split: tuple[float, float, float]
    synthetic: bool = False
    known_ahead: tuple[str, ...] = ()
    timezone: str = ""
    seasons_minutes: tuple[int, ...] = ()


SAMPLES: dict[str, Sample] = {
    s.name: s
    for s in (
        Sample(
            name="bixi_montreal_daily",
            title="Bike trips in Montreal",
            description="Trips that start each day at 472 bike stations, with holidays and the weather that came, "
            "used as if it were a perfect weather forecast.",
            quantity="bike departures",
            unit="trips/day",
            lookback=14,
            horizon=7,
            split=(0.6, 0.2, 0.2),
            known_ahead=("humidity", "max_temp_c", "mean_temp_c", "total_precip_mm", "holiday"),
            seasons_minutes=(10080,),
        ),
        Sample(
            name="germany_pm10_daily",
            title="Fine dust in Germany",
            description="Daily mean PM10 in rural air at 37 stations over five years, with gaps as they are.",
            quantity="PM10",
            unit="ug/m3",
            lookback=28,
            horizon=7,
            split=(0.6, 0.2, 0.2),
            seasons_minutes=(10080,),
        ),
        Sample(
            name="irish_wind",
            title="Wind in Ireland",
            description="Daily average wind speed at 12 weather stations over eighteen years, complete.",
            quantity="wind speed",
            unit="knots",
            lookback=28,
            horizon=7,
            split=(0.7, 0.1, 0.2),
            seasons_minutes=(525600,),
        ),
        Sample(
            name="synthetic_city",
            title="Made-up city traffic (synthetic)",
            description="Synthetic: traffic speed every 15 minutes on roads that do not exist, with jams that travel upstream "
            "and incidents that only the text tells of.",
            quantity="traffic speed",
            unit="km/h",
            lookback=12,
            horizon=12,
            split=(0.6, 0.2, 0.2),
            synthetic=True,
            known_ahead=("holiday",),
            seasons_minutes=(1440, 10080),
        ),
    )
}


def load_sample(name: str) -> SensorSeries:
    """Read a sample from the files beside the program, or make it where it is synthetic.

    Raises:
        InputError: a name that is no sample, or files that are not there.
    """
    if name not in SAMPLES:
        raise InputError(f"There is no sample '{name}'. Choose one of {', '.join(SAMPLES)}.")
    sample = SAMPLES[name]
    if sample.synthetic:
        from stvlm.datasets.synthetic_city import city

        return city(seed=0)
    folder = FOLDER / name
    weather = folder / "weather.csv"
    return load(
        InputFiles(folder / "sensors.csv", folder / "series.csv.gz", context=weather if weather.is_file() else None),
        quantity=sample.quantity,
        unit=sample.unit,
        known_ahead=sample.known_ahead,
        timezone=sample.timezone or None,
    )
