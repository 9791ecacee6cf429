"""What a backend is: where jobs run, behind six questions and one that it may leave open.

The runner asks, and a backend answers from what is on disk and in its own system; it keeps
nothing that it could not find again, because the runner may be killed between any two calls.
The same promises are tests in :mod:`aml_jupyter.testing`.
"""

from __future__ import annotations

import json
import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..job import layout
from ..job.launch import SEVERAL
from ..job.mlflow_names import mlflow_variables
from ..spec import JobSpec, RunRequest

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")

Handle = Mapping[str, Any]
"""What a backend needs to find a job again; JSON, kept in the run's events."""


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do; shown in the documentation as it is here."""

    gpu: bool = False
    distributed: bool = False
    mounts: bool = False
    live_logs: bool = True
    survives_host_restart: bool = False


@dataclass(frozen=True)
class Setting:
    """One setting that targets of a backend may have, in ``targets.yaml`` and on command lines.

    ``read`` turns what was written, a text or what YAML made of it, into what the backend takes;
    a ValueError says what it should look like.
    """

    help: str
    read: Callable[[object], object]
    example: str = ""


@dataclass(frozen=True)
class Probe:
    """Whether a backend can be used here; if not, why, and what would make it so."""

    usable: bool
    reason: str = ""
    remedy: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One job to be started: the request, the run's folder, and what its interpreter imports.

    ``gpus`` are the indices of the GPUs that are leased to it; None for a job without a lease,
    which sees what its submitter sees. ``environment`` is the submitter's.
    """

    request: RunRequest
    spec: JobSpec
    folder: Path
    bundle: Path
    environment: Mapping[str, str]
    gpus: tuple[int, ...] | None = None

    @property
    def work(self) -> Path:
        """The job's working directory."""
        return self.folder / layout.WORK


@dataclass(frozen=True)
class Plan:
    """What will be done, before it is done. ``str(plan)`` is for people."""

    backend: str
    command: tuple[str, ...]
    directory: Path
    log: Path
    environment: Mapping[str, str]
    added: Mapping[str, str]
    job: Job

    def __str__(self) -> str:
        shown = "\n".join(f"    {name}={value}" for name, value in sorted(self.added.items()))
        return (
            f"on {self.backend}, in {self.directory}\n"
            f"  run  {shlex.join(self.command)}\n"
            f"  log  {self.log}\n"
            f"  with\n{shown}"
        )


@dataclass(frozen=True)
class JobStatus:
    """How a job is: waiting, running or ended, and how it ended.

    ``code`` and ``signal`` are both None for a job that ended without leaving a status.
    ``is_unheard``: nobody could be asked now, and what is told is what was last known.
    """

    phase: str
    since: float | None = None
    code: int | None = None
    signal: int | None = None
    detail: str = ""
    is_unheard: bool = False

    WAITING: ClassVar[str] = "waiting"
    RUNNING: ClassVar[str] = "running"
    ENDED: ClassVar[str] = "ended"

    @property
    def ended(self) -> bool:
        """True once the job is over."""
        return self.phase == self.ENDED


class Backend(ABC):
    """Six questions, and some that a backend may leave open.

    ``submit`` may be repeated for the same run after a crash and must then find the job that
    is there rather than start a second one. ``cancel`` of a job that is over changes nothing.
    ``poll`` takes many handles because one question to a cluster costs as much as a hundred.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    settings: ClassVar[Mapping[str, Setting]] = {}
    HERE: ClassVar[str] = "here"
    BOUND: ClassVar[str] = "bound"
    COPIED: ClassVar[str] = "copied"
    starts_at_once: ClassVar[bool] = False
    """Whether all questions take milliseconds; else the runner waits for them on threads.

    A submit that takes longer for some jobs is told by :meth:`starts_slowly`.
    """

    @abstractmethod
    def probe(self, options: Mapping[str, object] | None = None) -> Probe:
        """Whether this can be used here, by a target with these settings."""

    @abstractmethod
    def plan(self, job: Job) -> Plan:
        """What :meth:`submit` would do; touches nothing."""

    @abstractmethod
    def submit(self, plan: Plan) -> Handle:
        """Start the job, once, and return what finds it again."""

    @abstractmethod
    def poll(self, handles: Sequence[Handle]) -> list[JobStatus]:
        """How each of the jobs is now, in the same order."""

    @abstractmethod
    def cancel(self, handle: Handle, force: bool = False) -> bool:
        """Ask all of the job's processes to end; with ``force``, end them.

        Returns whether any of them was still there.
        """

    @abstractmethod
    def read(self, handle: Handle, path: str, offset: int = 0, limit: int = 1 << 20) -> bytes:
        """Bytes of a file of the run, from ``offset``; empty when there are none (yet)."""

    def reach(self, job: Job) -> str:
        """Which files the job will see: all that are HERE, those that are BOUND, or COPIED ones.

        The latter two see the places that ``data.json`` names; the last gets the run's folder and
        these places as they are when it starts, and only the folder comes back.
        """
        return self.HERE

    def starts_slowly(self, job: Job) -> bool:
        """Whether submit may take more than milliseconds for this job.

        The runner then asks on a thread, perhaps for several jobs at the same time.
        """
        return not self.starts_at_once

    def merge(self, target: Mapping[str, object], run: Mapping[str, object]) -> dict[str, object]:
        """The settings of a target with those that hold for one run only."""
        return {**target, **run}

    def gpus_in(self, options: Mapping[str, object]) -> int | None:
        """How many GPUs the settings ask for; None where they say nothing of it."""
        return None

    def whom_to_ask(self, handle: Handle) -> str:
        """Names who knows about the job: those that others know about are polled apart.

        So that who does not answer keeps nobody else's jobs waiting.
        """
        return ""

    def give_up(self, handle: Handle) -> None:  # noqa: B027 - most can always be asked
        """The run ends although nobody can be asked: its job may be there, or may not.

        What is left of it goes when that can be had. :meth:`poll` tells from now on that it ended.
        """

    def release(self, handle: Handle) -> None:  # noqa: B027 - most backends keep nothing
        """Let go of what the backend keeps for a job that is over: its files are safe now.

        May be repeated. :meth:`poll` goes on to tell the same end.
        """

    def processes(self, handles: Sequence[Handle]) -> list[list[int]]:
        """The pids of each of the jobs on this machine, in the same order.

        What they use is sampled. A job elsewhere, or one that is over, has none; what only
        waits for the job is none of it. Asked seldom, as it may take a look at every process.
        """
        return [[] for _ in handles]


def expand(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """``$NAME`` and ``${NAME}`` in arguments replaced by the job's variables, as v1 does.

    A name that is not set stays as it is written.
    """

    def value(match: re.Match[str]) -> str:
        return environment.get(match[1] or match[2], match[0])

    return [_VARIABLE.sub(value, argument) for argument in arguments]


def data_of(job: Job) -> dict[str, Any]:
    """What was laid out for the job: ``variables`` (its data by name) and ``places``.

    Each place says that what is at ``source`` here is at ``target`` for the job, and whether it is
    ``read_only`` there.
    """
    found = layout.read_json(str(job.folder / layout.DATA)) if job.spec.data else None
    return found or {"variables": {}, "places": []}


def run_variables(job: Job, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that v1 promises to every run, and ours.

    ``inherited`` are those that the job has from elsewhere.
    """
    request, workspace = job.request, job.request.workspace
    definition, processes = request.definition or {}, job.spec.processes
    theirs = {**inherited, **job.spec.environment_variables}
    return {
        **mlflow_variables(str(job.folder), request.id, request.experiment, theirs),
        **dict(job.spec.environment_variables),
        **data_of(job)["variables"],
        layout.FOLDER_VARIABLE: str(job.folder),
        "AZUREML_RUN_ID": request.id,
        "AZUREML_RUN_TOKEN": "local",
        "AZUREML_RUN_TOKEN_EXPIRY": "0",
        "AZUREML_EXPERIMENT_ID": request.experiment,
        "AZUREML_WORKSPACE_ID": str(workspace.get("id") or ""),
        "AZUREML_ARM_SUBSCRIPTION": str(workspace.get("subscription_id") or "local"),
        "AZUREML_ARM_RESOURCEGROUP": str(workspace.get("resource_group") or "local"),
        "AZUREML_ARM_WORKSPACE_NAME": str(workspace.get("name") or "local"),
        "AZUREML_ARM_PROJECT_NAME": request.experiment,
        "AZUREML_SERVICE_ENDPOINT": "local",
        "AZUREML_DISCOVERY_SERVICE_ENDPOINT": "local",
        "AZUREML_FRAMEWORK": str(definition.get("framework") or "Python"),
        "AZUREML_COMMUNICATOR": str(definition.get("communicator") or "None"),
        "AZUREML_TARGET_TYPE": request.target,
        "AZUREML_LOGDIRECTORY_PATH": "azureml-logs",
        "AZUREML_OUTPUT_DIRECTORY": "./outputs",
        "AZUREML_CR_NODE_RANK": "0",
        "AZUREML_CR_EXECUTION_WORKING_DIR_PATH": str(job.work),
        **({SEVERAL: json.dumps(processes.to_json())} if processes else {}),
    }
