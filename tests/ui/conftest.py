"""What the tests of the pages share."""

from pathlib import Path

import pytest

from stvlm.core.series import SensorSeries
from stvlm.jobs.run import DataSource, RunSpec, make_run_id, run_folder
from stvlm.runtime.atomic import write_atomic
from stvlm.ui.services import networks


@pytest.fixture
def finished_run(home: Path, small_series: SensorSeries) -> tuple[str, str]:
    """(id of an uploaded network, id of a run that ended with a model): untrained, so its forecast is the anchor's."""
    from stvlm.training.fit import FitConfig, fit

    data, run = networks.add(small_series, "Small [town]", ["readings.csv"], ()), make_run_id()
    config = {"lookback": 12, "horizon": 4, "max_steps": 0, "device": "cpu"}
    *_, last = fit(small_series, FitConfig(**config))
    last.model.save(run_folder(run) / "model", last.model.manifest)
    write_atomic(run_folder(run) / "spec.json", RunSpec(title="a *small* run", data=DataSource(dataset=data), config=config))
    write_atomic(
        run_folder(run) / "status.json", {"state": "done", "created": 1.0, "queued": 1.0, "step": 0, "total": 0, "val_mae": 1.5}
    )
    return data, run
