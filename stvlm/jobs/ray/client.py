"""The one door to Ray: the Jobs API of a cluster that is there already; every question has a time limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ValidationError

from stvlm.jobs.run import RunError
from stvlm.runtime.assets import PACKAGE
from stvlm.runtime.settings import RaySettings, settings, without_credentials
from stvlm.workspace.paths import workspace

T = TypeVar("T")
INSTALL = "Ray is not installed here: pip install -r requirements-ray.txt"
ANSWER_SECONDS, SUBMIT_SECONDS = 10.0, 60.0  # for a question; for a new job, with which the program itself may travel
REST_SECONDS = 30.0  # after a cluster did not answer, until it is asked again
SENT = ("stvlm",)  # of this program, to the nodes
SETTINGS = "ray.json"  # in the workspace


class ClusterError(RunError):
    """The cluster does not answer, or refuses; the text says what to do."""


def read_settings() -> RaySettings | None:
    """STVLM_RAY_* before ray.json of the workspace; None: no cluster.

    Raises:
        ClusterError: ray.json makes no sense.
        SettingsError: a variable makes no sense.
    """
    path, given = workspace() / SETTINGS, settings().ray
    try:
        stored = RaySettings.model_validate_json(path.read_bytes()) if path.is_file() else RaySettings()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join([str(path), *map(str, first["loc"])])
        raise ClusterError(f"The settings of the Ray cluster: {where}: {first['msg']}.") from error
    found = stored.model_copy(update={name: getattr(given, name) for name in given.model_fields_set})
    return found if found.address else None


@dataclass(frozen=True)
class JobState:
    """What the cluster says of a job; `is_waiting` for room, or else at work; `is_over`: nothing of it runs any more."""

    is_waiting: bool
    is_over: bool
    message: str


class Cluster:
    """A Ray cluster by its address. One that did not answer is left alone for a while, so that no page waits for it again and again."""

    def __init__(self, address: str) -> None:
        self.address, self.shown = address, without_credentials(address)
        self._client: Any = None
        self._silent_until, self._why = 0.0, ""

    def check(self) -> None:
        """Raise ClusterError if it cannot be used from here."""
        self._ask(lambda client: client.get_version(), ANSWER_SECONDS)

    def submit(self, job_id: str, command: str, settings: RaySettings, gpus: float, variables: dict[str, str]) -> None:
        """Start a job.

        Args:
            job_id: its name. command: for the shell of a node. gpus: that it asks for. variables: of its environment.

        Raises:
            ClusterError: there is no job, or nobody knows whether there is one.
        """
        root = PACKAGE.parent
        left = [f"/{path.name}" for path in root.iterdir() if path.name not in SENT]
        sent = {"working_dir": str(root), "excludes": [*left, "__pycache__"]}
        environment = settings.runtime_env if "working_dir" in settings.runtime_env else sent | settings.runtime_env
        environment = environment | {"env_vars": variables | environment.get("env_vars", {})}
        wishes = {"entrypoint_num_cpus": settings.cpus, "entrypoint_num_gpus": gpus or None}
        self._ask(
            lambda client: client.submit_job(entrypoint=command, submission_id=job_id, runtime_env=environment, **wishes),
            SUBMIT_SECONDS,
        )

    def state(self, job_id: str) -> JobState:
        """Where a job stands; one that the cluster does not know is over.

        Raises:
            ClusterError: the cluster does not answer.
        """
        try:
            found = self._ask(lambda client: client.get_job_info(job_id), ANSWER_SECONDS)
        except _UnknownJobError:
            return JobState(False, True, f"The cluster at {self.shown} does not know the job: it was started anew, perhaps.")
        return JobState(found.status == "PENDING", found.status.is_terminal(), (found.message or "").split("\n")[0])

    def stop(self, job_id: str) -> None:
        """Ask the cluster to end a job: SIGTERM, three seconds later SIGKILL. Raises ClusterError as `state`."""
        try:
            self._ask(lambda client: client.stop_job(job_id), ANSWER_SECONDS)
        except _UnknownJobError:
            return

    def log(self, job_id: str) -> str:
        """What a job wrote so far, and what Ray wrote of starting it. Raises ClusterError as `state`."""
        try:
            return self._ask(lambda client: client.get_job_logs(job_id), ANSWER_SECONDS)
        except _UnknownJobError:
            return ""

    def _ask(self, question: Callable[[Any], T], seconds: float) -> T:
        if time.monotonic() < self._silent_until:
            raise ClusterError(self._why)
        try:
            from ray.job_submission import JobSubmissionClient  # takes seconds, once: no fault of the cluster
        except ImportError as error:
            raise ClusterError(INSTALL) from error
        answer: list[T] = []
        trouble: list[Exception] = []

        def work() -> None:
            try:
                if self._client is None:
                    self._client = JobSubmissionClient(self.address)
                answer.append(question(self._client))
            except (RuntimeError, OSError, ValueError) as error:  # all that Ray's client and its HTTP raise
                trouble.append(error)

        thread = threading.Thread(target=work, daemon=True)  # a call of Ray's client may hang: then it is left behind
        thread.start()
        thread.join(seconds)
        if answer:
            return answer[0]
        error = trouble[0] if trouble else None
        if isinstance(error, RuntimeError | ValueError) and not isinstance(error, OSError):
            if "status code 404" in str(error):
                raise _UnknownJobError(str(error)) from error
            raise ClusterError(f"The Ray cluster at {self.shown} refuses: {_first_line(error)}") from error
        why = f"does not answer ({_first_line(error)})" if error else f"did not answer within {seconds:g} s"
        self._why = f"The Ray cluster at {self.shown} {why}. Is it running, and in reach of this machine?"
        self._silent_until = time.monotonic() + REST_SECONDS
        raise ClusterError(self._why) from error


class _UnknownJobError(Exception):
    """The cluster answers that there is no such job."""


def _first_line(error: BaseException) -> str:
    return without_credentials((str(error).splitlines() or [type(error).__name__])[0])[:300]


@lru_cache(maxsize=16)
def cluster(address: str) -> Cluster:
    """The cluster at that address, one for all who ask."""
    return Cluster(address)
