"""The environment of this program's own processes, set before libraries read it: threads, the model hub, where modules come from."""

import os
import sys  # no more of the standard library: `prepare` comes before imports that a file in the current folder could answer

import stvlm

ROOT = os.path.dirname(os.path.abspath(stvlm.__path__[0]))
# Server, workers and browser share the machine, so threads that wait for each other must not spin there: torch's look a few times and
# then sleep, and OpenBLAS, which knows no such way, works in one (for the small systems that we solve two are no quicker). The figures
# are in docs/runs.md.
DEFAULTS = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "10000",
    "OPENBLAS_NUM_THREADS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def hub_is_online() -> bool:
    """Whether the operator allows requests to a model hub: STVLM_HUB=online, and HF_HUB_OFFLINE does not say otherwise."""
    from stvlm.runtime.settings import SettingsError, settings

    try:
        return settings().hub == "online" and os.environ.get("HF_HUB_OFFLINE", "").upper() not in ("1", "ON", "YES", "TRUE")
    except SettingsError:  # pages and commands report it; until it is mended nothing leaves
        return False


def hub_host() -> str:
    """The model hub that would be asked, by name."""
    from urllib.parse import urlsplit

    return urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").hostname or ""


def variables() -> dict[str, str]:
    """What a process of this program sets: defaults, which the operator's own variables override, and the hub switched off."""
    defaults = {name: value for name, value in DEFAULTS.items() if name not in os.environ}
    return defaults | ({} if hub_is_online() else {"HF_HUB_OFFLINE": "1"})


def prepare() -> None:
    """Take the current folder off this process's import path, where `python -m` puts it first, and set `variables`.

    Every entry point (app, command line, worker, helper process) calls this before numpy, torch or huggingface_hub are imported.
    """
    here = os.getcwd()
    if here != ROOT:
        sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    os.environ.update(variables())
