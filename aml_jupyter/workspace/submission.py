"""From a ScriptRunConfig to a run in the queue: a plan that changes nothing, then the deed."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import runner
from ..backends import Job, backend
from ..environments import ResolvedEnvironment, resolve
from ..errors import (
    AzureMLException,
    ComputeTargetException,
    RunConfigurationException,
)
from ..job.run import text_values
from ..spec import (
    MAX_DURATION_SECONDS_DEFAULT,
    JobSpec,
    RunConfiguration,
    RunRequest,
    ScriptRunConfig,
    Source,
    argument_strings,
    process_variables,
)
from ..store import WorkspaceFolder, snapshots
from ..store.gitfacts import GitFacts
from ..store.home import home
from ..store.objects import Objects
from ..store.progress import Progress, shown_progress
from ..store.source import look_through

RUN_TYPE = "azureml.scriptrun"
SLOTS_VARIABLE = "AML_SLOTS"


@dataclass(frozen=True)
class Submission:
    """Everything that is known of a run before anything is written down.

    ``str(submission)`` is the plan for people; :func:`submit` carries it out.
    """

    folder: WorkspaceFolder
    experiment: str
    config: RunConfiguration
    source: Source
    environment: ResolvedEnvironment
    job: JobSpec
    backend: str
    tags: Mapping[str, str | None]
    display_name: str | None
    parent: str | None = None

    def __str__(self) -> str:
        files, size = self._size()
        where, plural = self.source.directory or "the cell", "" if files == 1 else "s"
        what = self.job.command or self.job.script or ""
        lines = [
            f"experiment   {self.experiment}",
            f"runs         {what} {' '.join(self.job.arguments)}".rstrip(),
            f"from         {where} ({files} file{plural}, {size / 1e6:.1f} MB)",
            f"python       {self.environment.interpreter}",
            f"target       {self.config.target}",
        ]
        if 0 < self.job.max_seconds < MAX_DURATION_SECONDS_DEFAULT:
            lines.append(f"at most      {self.job.max_seconds:g} s")
        lines += [f"tag          {key} = {value}" for key, value in self.tags.items()]
        return "\n".join([*lines, "", str(self._backend_plan())])

    def _size(self) -> tuple[int, int]:
        sizes = [len(data) for data in self.source.files.values()]
        if self.source.directory:
            found = look_through(Path(self.source.directory), sys.maxsize).files
            sizes += [file.facts.st_size for file in found if file.path not in self.source.files]
        return len(sizes), sum(sizes)

    def _backend_plan(self) -> object:
        request = _request(self, f"{self.experiment}_<time>_<id>", 0, self.job, {}, {})
        run = self.folder.runs / request.id
        job = Job(request, self.job, run, home().state / "bundle", dict(os.environ))
        return backend(self.backend).plan(job)


def plan(
    folder: WorkspaceFolder,
    experiment: str,
    config: object,
    tags: Mapping[str, Any] | None = None,
    *,
    source: Source | None = None,
    display_name: str | None = None,
    parent: str | None = None,
) -> Submission:
    """Check everything that can be checked without changing anything."""
    if not isinstance(config, ScriptRunConfig):
        raise AzureMLException(
            f"A {type(config).__name__} cannot be submitted.", "Submit a ScriptRunConfig."
        )
    if source is None or config.script not in source.files:
        config.check()
    effective = config.effective()
    kind = _target(folder, effective.target)
    _refuse_several_processes(effective)
    environment = resolve(effective.environment, use_docker=effective.docker.use_docker)
    command = effective.command if isinstance(effective.command, str) else None
    job = JobSpec(
        script=None if command else effective.script,
        command=command or None,
        arguments=tuple(argument_strings(effective.arguments)),
        interpreter=environment.interpreter,
        environment_variables=process_variables(
            environment.environment_variables, effective.environment_variables or {}
        ),
        max_seconds=float(effective.max_run_duration_seconds or 0),
        priority=int(effective.priority or 0),
    )
    source = source or Source(os.path.abspath(config.source_directory), {}, {"kind": "folder"})
    return Submission(
        folder,
        experiment,
        effective,
        source,
        environment,
        job,
        kind,
        text_values(dict(tags or {})),
        display_name,
        parent,
    )


def submit(submission: Submission, run_id: str | None = None) -> Path:
    """Take the snapshot, write the request, hand the run over; returns the run's folder."""
    folder, source = submission.folder, submission.source
    git = GitFacts.begin(source.directory) if source.directory else None
    with shown_progress("snapshot", "bytes") as progress:
        snapshot = _take(folder, source, progress)
    facts = git.result() if git else {}
    job = replace(submission.job, snapshot=snapshot.id)
    if run_id is None:
        run_id = f"{submission.experiment}_{int(time.time())}_{os.urandom(4).hex()}"
    number = folder.next_number(submission.experiment)
    counted = {"files": snapshot.files, "bytes": snapshot.bytes, "backend": submission.backend}
    request = _request(submission, run_id, number, job, facts, counted)
    run = folder.new_run(request.to_json())
    try:
        runner.enqueue(run, run_id, dict(os.environ), _slots(folder), job.priority)
    except BaseException:
        shutil.rmtree(run, ignore_errors=True)
        raise
    return run


def _take(folder: WorkspaceFolder, source: Source, progress: Progress) -> snapshots.Snapshot:
    return snapshots.take(
        source.directory, Objects(folder.objects), files=source.files, progress=progress
    )


def _request(
    submission: Submission,
    run_id: str,
    number: int,
    job: JobSpec,
    git: Mapping[str, str],
    counted: Mapping[str, Any],
) -> RunRequest:
    source, folder = submission.source, submission.folder
    facts = {
        "kind": "folder",
        "directory": source.directory,
        "script": job.script,
        **source.facts,
        **counted,
    }
    properties = {
        "_azureml.ComputeTargetType": submission.backend,
        "ContentSnapshotId": job.snapshot or "",
        **git,
    }
    return RunRequest(
        id=run_id,
        experiment=submission.experiment,
        number=number,
        type=RUN_TYPE,
        created=time.time(),
        display_name=submission.display_name or "",
        parent=submission.parent,
        workspace={
            name: str(folder.record.get(name) or "")
            for name in ("id", "name", "subscription_id", "resource_group")
        },
        submitted_by=user(),
        host=socket.gethostname(),
        target=submission.config.target,
        job=job,
        definition=submission.config.to_definition(),
        environment=dict(submission.environment.facts),
        source=facts,
        git=dict(git),
        tags=dict(submission.tags),
        properties=properties,
    )


def user() -> str:
    """Who is asking, as the system names them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _target(folder: WorkspaceFolder, name: str) -> str:
    """The kind of backend behind a target's name."""
    targets = folder.targets()
    if name not in targets:
        raise ComputeTargetException(
            f"ComputeTargetNotFound: Compute Target with name {name} not found in workspace "
            f"{folder.record['name']}.",
            f"There are: {', '.join(targets)}. More are named in {folder.root / 'targets.yaml'}.",
        )
    kind = str(targets[name].get("type") or name)
    probe = backend(kind).probe()
    if not probe.usable:
        raise ComputeTargetException(
            f"Target {name} cannot be used here: {probe.reason}.", f"To use it, {probe.remedy}."
        )
    return kind


def _refuse_several_processes(config: RunConfiguration) -> None:
    several = config.node_count > 1 or config.communicator not in ("None", None)
    if several:
        raise RunConfigurationException(
            f"The run asks for {config.node_count} node(s) with communicator "
            f"{config.communicator}; local runs are one process.",
            "Leave out distributed_job_config, or start the processes from the script.",
        )


def _slots(folder: WorkspaceFolder) -> int:
    """How many local runs may go at once: environment variable, targets.yaml, number of cores."""
    asked = os.environ.get(SLOTS_VARIABLE) or folder.targets()["local"].get("slots")
    if asked is None:
        return max(2, os.cpu_count() or 1)
    if not str(asked).isdigit() or int(asked) < 1:
        raise RunConfigurationException(
            f"The number of slots is {asked!r}, which is not a whole number above 0.",
            f"Set {SLOTS_VARIABLE} or `slots` of `local` in targets.yaml, for example to 2.",
        )
    return int(asked)
