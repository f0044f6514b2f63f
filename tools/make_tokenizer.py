"""Make the tokenizer of the "tiny" backbone again: python -m tools.make_tokenizer [FOLDER]

It learns from prompts of the sample networks and of made-up networks of other quantities, units and parts of the world.
"""

import sys
from dataclasses import replace
from pathlib import Path

from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from stvlm.datasets.samples import SAMPLES, load_sample
from stvlm.datasets.synthetic_city import field
from stvlm.modalities.text.prompt import PromptConfig, describe_window
from stvlm.model.backbone import TINY_TOKENIZER, train_tokenizer

QUANTITIES = (
    ("traffic speed", "km/h"), ("traffic flow", "vehicles/15min"), ("air temperature", "degC"), ("PM2.5", "ug/m3"), ("ozone", "ppb"),
    ("river discharge", "m3/s"), ("electricity load", "MW"), ("hospitalised patients", "patients"), ("rainfall", "mm"),
    ("water level", "cm"), ("wind speed", "m/s"), ("noise level", "dB"), ("delay", "minutes"), ("humidity", "%"), ("pressure", "hPa"),
)  # fmt: skip
CENTRES = ((34.1, -118.3), (48.1, 11.6), (39.9, 116.4), (-33.9, 151.2), (-1.3, 36.8), (53.3, -7.7), (41.9, 12.5), (19.1, 72.9))
STEPS = (5, 15, 60, 1440)


def prompts_of(series: SensorSeries, lookback: int, horizon: int, n: int) -> list[str]:
    """Up to n prompts of a series, evenly spread, nothing dropped."""
    config = PromptConfig(max_tokens=100_000)
    stride = max(1, (series.n_steps - lookback - horizon) // n)
    cutoffs = range(lookback, series.n_steps - horizon, stride)
    return [describe_window(Window(series, c, lookback, horizon), config, lambda text: 0).text for c in cutoffs]


def corpus() -> list[str]:
    """Prompts of every sample and of 120 made-up networks."""
    texts = []
    for name, sample in SAMPLES.items():
        texts += prompts_of(load_sample(name), sample.lookback, sample.horizon, 80)
    for seed in range(120):
        quantity, unit = QUANTITIES[seed % len(QUANTITIES)]
        kind = ("wave", "diffusion", "cycle", "noise")[seed % 4]
        series = field(12, 400, kind, seed, centre=CENTRES[seed % len(CENTRES)], step_minutes=STEPS[seed % len(STEPS)])
        texts += prompts_of(replace(series, quantity=quantity, unit=unit), 24, 12, 6)
    return texts


if __name__ == "__main__":
    train_tokenizer(corpus(), Path(sys.argv[1]) if len(sys.argv) > 1 else TINY_TOKENIZER)
