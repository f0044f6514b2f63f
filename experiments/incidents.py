"""What words are worth where only words tell: python -m experiments.incidents scores the made-up city's model just after each incident."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stvlm.core.windows import Split
from stvlm.datasets import synthetic_city
from stvlm.datasets.samples import SAMPLES, load_sample
from stvlm.modalities.batch import ModelInputs
from stvlm.model.fusion import FusionOutput
from stvlm.model.head import MEDIAN
from stvlm.model.stvlm import STVLM

FOLDER = Path(__file__).resolve().parents[1] / "stvlm/assets/checkpoints" / "synthetic_city"
STEPS_SLOW = 8  # quarters of an hour that an incident lasts


@dataclass(frozen=True, eq=False)
class Told:
    """The windows of the test part that end with news of an incident, which no reading shows yet.

    Attributes:
        inputs, fusion: of the W windows, with the attention of every sensor. nodes: (W,) the sensor that is named.
        full, silent: (W, H, N) km/h, the forecast and the forecast without the text.
    """

    model: STVLM
    inputs: ModelInputs
    fusion: FusionOutput
    nodes: np.ndarray
    full: np.ndarray
    silent: np.ndarray

    def error(self, forecast: np.ndarray) -> float:
        """Mean absolute error in km/h at the sensor that is named, over the two hours that an incident lasts."""
        gap = np.abs(forecast - self.inputs.target.numpy())[np.arange(len(self.nodes)), :STEPS_SLOW, self.nodes]
        return float(np.nanmean(gap))

    def text_shares(self) -> tuple[np.ndarray, np.ndarray]:
        """(W,) the text's share at the sensor that is named, and at the median sensor of the same window."""
        share = self.fusion.modality_weights[:, :, 1].numpy()
        return share[np.arange(len(self.nodes)), self.nodes], np.median(share, axis=1)


def told() -> Told:
    """Forecast and explain every such window with the model that comes with the sample."""
    series, sample, model = load_sample("synthetic_city"), SAMPLES["synthetic_city"], STVLM.load(FOLDER)
    test = Split.from_shares(series.n_steps, sample.split).cutoffs("test", sample.lookback, sample.horizon)
    incidents = [i for i in synthetic_city.truth().incidents if test[0] <= i.step + 1 <= test[-1]]
    inputs = model.builder(series).build(np.array([i.step + 1 for i in incidents]))
    with torch.no_grad():
        output = model(inputs, explain=torch.arange(series.network.n_sensors))
        full = model.quantiles(output, inputs, (MEDIAN,))[0].numpy()
        less = inputs.without("text")
        silent = model.quantiles(model(less), less, (MEDIAN,))[0].numpy()
    return Told(model, inputs, output.fusion, np.array([i.node for i in incidents]), full, silent)


def main() -> None:
    """Print the table."""
    found = told()
    named, usual = found.text_shares()
    print(f"{len(found.nodes)} incidents of the test part, the sensor that is named, the two hours after the news:")
    print(f"anchor       {found.error(found.inputs.anchor.numpy()):5.1f} km/h")
    print(f"stvlm        {found.error(found.full):5.1f} km/h")
    print(f"without text {found.error(found.silent):5.1f} km/h")
    print(f"share of text: {named.mean():.1%} at the sensor that is named, {usual.mean():.1%} at the median sensor")


if __name__ == "__main__":
    main()
