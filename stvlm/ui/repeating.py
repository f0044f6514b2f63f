"""Lines of a shell that do again what a page shows; what is not known here stands in capitals."""

from __future__ import annotations

import shlex

from stvlm.data.series import SensorSeries
from stvlm.jobs.run import RunSpec
from stvlm.ui import datasets


def source(data: str, series: SensorSeries) -> tuple[list[str], str]:
    """Remarks on a network's data, and the options that name them.

    Args:
        data: id of the network. series: its readings.
    """
    if found := datasets.sample(data):
        return [], f"--sample {found.name}"
    card = datasets.card(data)
    names = ", ".join(" ".join(str(name).split()) for name in card.get("files", []))
    options = "--sensors SENSORS --series READINGS"
    for name, value in (("quantity", series.quantity), ("unit", series.unit), ("timezone", series.timezone)):
        options += f" --{name} {shlex.quote(value)}" if value else ""
    fixes = ",".join(card.get("fixes", []))
    options += f" --fix {shlex.quote(fixes)}" if fixes else ""
    options += f" --context CONTEXT --known-ahead {shlex.quote(','.join(series.known_ahead))}" if series.known_ahead else ""
    return [f"# put your own files for the words in capitals; they were: {names}"], options


def fit_command(spec: RunSpec, series: SensorSeries) -> str:
    """The lines that train a run's model again.

    Args:
        spec: of the run. series: its readings.
    """
    remarks, options = source(datasets.of_run(spec.data), series)
    for name, value in spec.config.items():
        if value is None or name == "seasons_minutes":
            continue
        shown = ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in _parts(value))
        options += f" --{name.replace('_', '-')} {shlex.quote(shown)}"
    return "\n".join([*remarks, f"python -m stvlm fit {options} --out my-model"])


def _parts(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
