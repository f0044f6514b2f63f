"""What the operator sets: the one place that reads environment variables called STVLM_*."""

from __future__ import annotations

import difflib
import json
import os
import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

PREFIX = "STVLM_"
Count = Annotated[int, Field(ge=0)]
Gigabytes = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


_CREDENTIALS = re.compile(r"://[^/@\s]*@")


class SettingsError(ValueError):
    """Settings that make no sense; one line each, without the value, which may hold a password."""


def _from_json(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


class RaySettings(BaseModel):
    """Which Ray cluster to use, and how; no address, no cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    address: str = Field("", pattern=r"^(https?://[^\s]+)?$", description="address of Ray's dashboard, as `http://127.0.0.1:8265`")
    storage: str = Field(
        "", description="folder or fsspec URL that the app and the nodes reach; empty: the workspace, by the same path"
    )
    gpus: Share = Field(1.0, description="GPUs that a run asks for, unless it is to work on the CPU; 0.5 shares one")
    cpus: Share = Field(1.0, description="CPUs that a run asks for")
    python: str = Field("python", description="command that starts Python on the nodes, where `requirements.txt` is installed")
    runtime_env: Annotated[dict[str, Any], BeforeValidator(_from_json)] = Field(
        {}, description="Ray's `runtime_env` as JSON; where it names no `working_dir`, a copy of this program is sent along"
    )


class Settings(BaseModel):
    """All settings; each field is the variable of that name in capitals behind STVLM_, those of `ray` behind STVLM_RAY_."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    home: Path = Field(Path(".stvlm"), description="workspace: uploads, networks, templates and runs")
    cache: Path | None = Field(None, description="what is built once from installed packages; empty: the platform's cache folder")
    backbones: Path | None = Field(None, description="folder whose subfolders are offered as backbones")
    list_shared: bool = Field(
        True, description="name everybody's networks and runs on the pages of all visitors; 0: a tab lists those that it opened"
    )
    hub: Literal["offline", "online"] = Field(
        "offline",
        description="`online` allows downloads from a model hub (huggingface.co, or `HF_ENDPOINT`); nothing else is asked",
    )
    max_uploads: Count = Field(500, description="uploads kept")
    max_networks: Count = Field(500, description="networks kept")
    max_upload_gb: Gigabytes = Field(50.0, description="GB of uploads and networks together")
    max_runs: Count = Field(200, description="runs kept")
    max_gb: Gigabytes = Field(50.0, description="GB of all runs together")
    max_live_runs: Count = Field(20, description="runs that wait or work at once")
    ray: RaySettings = Field(default_factory=lambda: RaySettings.model_validate({}))


def without_credentials(text: str) -> str:
    """A text that people read, without the user name and password of any address in it."""
    return _CREDENTIALS.sub("://", text)


def settings() -> Settings:
    """The settings as the environment has them now; an empty variable counts as unset.

    Raises:
        SettingsError: a value that makes no sense, or a name that is a slip of the pen; every one of them is named.
    """
    return _validate(tuple(item for item in os.environ.items() if item[0].startswith(PREFIX) and item[1]))


def variables() -> dict[str, tuple[str, ...]]:
    """Name of each variable -> its field in `Settings`: STVLM_RAY_GPUS -> ("ray", "gpus")."""
    plain = {f"{PREFIX}{name.upper()}": (name,) for name in Settings.model_fields if name != "ray"}
    return plain | {f"{PREFIX}RAY_{name.upper()}": ("ray", name) for name in RaySettings.model_fields}


@lru_cache(maxsize=64)
def _validate(found: tuple[tuple[str, str], ...]) -> Settings:
    known = variables()
    wrong: list[str] = []
    given: dict[str, Any] = {"ray": {}}
    for name, value in found:
        if name in known and any(unicodedata.category(sign) in ("Cc", "Cs") for sign in value):
            wrong.append(f"{name}: Input should be UTF-8 without control characters.")
        elif name in known:
            *group, field = known[name]
            (given["ray"] if group else given)[field] = value
        elif close := difflib.get_close_matches(name, known, n=1, cutoff=0.9):  # others, such as those of Kubernetes, are not ours
            wrong.append(f"{name} is no setting; {close[0]} is.")
    try:
        made = Settings.model_validate(given)
    except ValidationError as error:
        names = {field: name for name, field in known.items()}
        wrong += [f"{names[tuple(map(str, part['loc'][:2]))]}: {part['msg']}." for part in error.errors(include_input=False)]
    if wrong:
        raise SettingsError("\n".join(wrong))
    return made
