"""From a ScriptRunConfig to a run in the queue: a plan that changes nothing, then the deed.

A run that there is already can be asked for again: its stored request and snapshot make a new one.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import runner
from ..backends import Job, backend
from ..environments import Recipe, ResolvedEnvironment, lock, resolve
from ..environments.cache import find
from ..environments.recipe import IMAGE
from ..errors import (
    AzureMLException,
    RunConfigurationException,
    SnapshotException,
    UserErrorException,
)
from ..home import home
from ..job import events, layout
from ..job.run import text_values
from ..spec import (
    FAMILY_TYPE,
    MAX_DURATION_SECONDS_DEFAULT,
    Family,
    JobData,
    JobSpec,
    NotebookSpec,
    Processes,
    Resources,
    RunConfiguration,
    RunRequest,
    ScriptRunConfig,
    Source,
    able_to_execute_notebooks,
    argument_strings,
    process_variables,
)
from ..spec.credentials import masked_inside
from ..store import WorkspaceFolder, snapshots
from ..store.gitfacts import GitFacts
from ..store.objects import Objects
from ..store.progress import Progress, shown_progress
from ..store.source import look_through
from .facts import GIT_DIFF
from .placing import Place, place
from .run_data import command_with_variables, job_data, save_inputs, with_variables

RUN_TYPE = "azureml.scriptrun"
RERUN_OF = "aml.rerun_of"
"""The property of a repeated run that names the run it repeats."""

_OF_WORKSPACE = ("id", "name", "subscription_id", "resource_group")


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
    place: Place
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
            *self._shown_environment(),
            *_shown_data(self.job.data),
            f"target       {self.config.target}",
            *_shown_resources(self.job.resources),
            *_shown_processes(self.job.processes),
        ]
        if 0 < self.job.max_seconds < MAX_DURATION_SECONDS_DEFAULT:
            lines.append(f"at most      {self.job.max_seconds:g} s")
        lines += [f"tag          {key} = {value}" for key, value in self.tags.items()]
        notes = [*self.place.notes, *self.environment.notes]
        lines += [f"note         {note}" for note in notes]
        return "\n".join([*lines, "", str(self._backend_plan())])

    def _shown_environment(self) -> list[str]:
        found, recipe = self.environment, self.environment.recipe
        lines = [f"python       {found.interpreter}"]
        if found.image:
            lines.append(f"image        {found.image}")
        if recipe is not None and find(recipe, self.job.options, is_pulled=True) is None:
            lines.append(f"to be built  {recipe.kind} {recipe.key}")
        return lines

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
        return backend(self.place.backend).plan(job)


def _shown_data(data: JobData) -> list[str]:
    inputs = [f"input        {each.name}: {each.title} ({each.mode})" for each in data.inputs]
    outputs = [
        f"output       {each.name}: {each.datastore}/{each.path} ({each.mode})"
        for each in data.outputs
    ]
    references = [
        f"reference    {each.variable}: {each.datastore}/{each.path} ({each.mode})"
        for each in data.references
    ]
    return [*inputs, *outputs, *references]


def _shown_resources(resources: Resources) -> list[str]:
    asked = [f"{name} {value}" for name, value in resources.to_json().items()]
    return [f"asks for     {', '.join(asked)}"] if asked else []


def _shown_processes(processes: Processes | None) -> list[str]:
    if processes is None:
        return []
    servers = f" and {processes.servers} parameter server(s)" if processes.servers else ""
    nodes = f", as if on {processes.nodes} nodes" if processes.nodes > 1 else ""
    return [f"processes    {processes.count}{servers} for {processes.kind}{nodes}"]


def plan(
    folder: WorkspaceFolder,
    experiment: str,
    config: object,
    tags: Mapping[str, Any] | None = None,
    *,
    source: Source | None = None,
    display_name: str | None = None,
    parent: str | None = None,
    resources: Resources | None = None,
    options: Mapping[str, object] | None = None,
    liked_gpus: int | None = None,
    notebook: NotebookSpec | None = None,
) -> Submission:
    """Check everything that can be checked without changing anything.

    ``notebook`` says how a script that is a notebook is executed. ``options`` are settings of the
    run's target that hold for this run only; ``liked_gpus`` are asked for as far as there are any.
    """
    script = _checked(config, source)
    effective = script.effective()
    processes = Processes.of(effective)
    where = place(folder, effective, resources, options, liked_gpus)
    if _is_notebook(effective.script):
        notebook = notebook or script.notebook or NotebookSpec()
        _prepare_for_notebook(effective, processes, where)
    environment = resolve(
        effective.environment, container=where.is_container, options=where.options
    )
    data = job_data(effective, str(folder.root))
    return Submission(
        folder=folder,
        experiment=experiment,
        config=effective,
        source=source or Source(os.path.abspath(script.source_directory), {}, {"kind": "folder"}),
        environment=environment,
        job=_job(effective, environment, where, notebook, data, processes),
        place=where,
        tags=text_values(dict(tags or {})),
        display_name=display_name,
        parent=parent,
    )


def _checked(config: object, source: Source | None) -> ScriptRunConfig:
    """The configuration, which names a script that is there."""
    if not isinstance(config, ScriptRunConfig):
        raise AzureMLException(
            f"A {type(config).__name__} cannot be submitted.", "Submit a ScriptRunConfig."
        )
    if source is None or config.script not in source.files:
        config.check()
    return config


def _prepare_for_notebook(
    config: RunConfiguration, processes: Processes | None, where: Place
) -> None:
    """Let the environment be one that executes notebooks."""
    if processes is not None:
        raise RunConfigurationException(
            "A notebook is executed by one process.",
            "Leave out distributed_job_config, or submit a script.",
        )
    # What is submitted from executes notebooks already: it has this package.
    if where.is_container or not config.environment.is_default():
        config.environment = able_to_execute_notebooks(config.environment)


def _is_notebook(script: str | None) -> bool:
    return bool(script) and str(script).endswith(".ipynb")


def _job(
    config: RunConfiguration,
    environment: ResolvedEnvironment,
    where: Place,
    notebook: NotebookSpec | None,
    data: JobData,
    processes: Processes | None,
) -> JobSpec:
    """The process that the configuration comes to."""
    if notebook is not None and not notebook.output:
        output = f"{layout.OUTPUTS}/{os.path.basename(config.script or '')}"
        notebook = replace(notebook, output=output)
    command = config.command if isinstance(config.command, str) else None
    return JobSpec(
        script=None if command else config.script,
        command=command_with_variables(command, data) if command else None,
        arguments=tuple(with_variables(argument_strings(config.arguments), data)),
        interpreter=environment.interpreter,
        environment_variables=process_variables(
            environment.environment_variables, config.environment_variables or {}
        ),
        max_seconds=float(config.max_run_duration_seconds or 0),
        priority=int(config.priority or 0),
        pool=where.pool,
        resources=where.resources,
        recipe=environment.recipe.to_json() if environment.recipe else {},
        image=environment.image,
        options={**where.options, **environment.options},
        notebook=notebook,
        data=data,
        processes=processes,
    )


def submit(submission: Submission, run_id: str | None = None) -> Path:
    """Take the snapshot, write the request, hand the run over; returns the run's folder."""
    return _submit(submission, run_id, lambda request: request)


def submit_family(
    submission: Submission,
    family_of: Callable[[JobSpec], Family],
    properties: Mapping[str, str],
    run_id: str | None = None,
) -> Path:
    """The same for a run that is its children: ``family_of`` makes them from the job of each."""

    def as_family(request: RunRequest) -> RunRequest:
        assert request.job is not None
        return replace(
            request,
            type=FAMILY_TYPE,
            job=None,
            family=family_of(request.job),
            properties={**request.properties, **properties},
        )

    return _submit(submission, run_id, as_family)


def _submit(
    submission: Submission,
    run_id: str | None,
    finished: Callable[[RunRequest], RunRequest],
) -> Path:
    folder, source = submission.folder, submission.source
    git = GitFacts.begin(source.directory) if source.directory else None
    with shown_progress("snapshot", "bytes") as progress:
        snapshot = _take(folder, source, progress)
    facts = git.result() if git else {}
    diff = git.begin_diff() if git else None
    job = replace(submission.job, snapshot=snapshot.id)
    save_inputs(job.data, str(folder.root))
    run_id = _new_id(submission.experiment) if run_id is None else run_id
    number = folder.next_number(submission.experiment)
    where = submission.place
    counted = {"files": snapshot.files, "bytes": snapshot.bytes, "backend": where.backend}
    request = finished(_request(submission, run_id, number, job, facts, counted))
    secrets = submission.environment.secrets
    run = _queue(folder, request, where.ask(job.priority), secrets, where.notes)
    if diff:
        diff.keep(run / GIT_DIFF)
    return run


def submit_again(
    folder: WorkspaceFolder,
    request: RunRequest,
    tags: Mapping[str, Any] | None = None,
    display_name: str | None = None,
    locked: bool = False,
    family: Family | None = None,
    properties: Mapping[str, str] | None = None,
    secrets: Mapping[str, object] | None = None,
) -> Path:
    """Queue a run that does what the run of a stored request did; returns the new run's folder.

    The source is the stored snapshot, whatever became of the folder it was taken from; with
    ``locked`` the packages are exactly those that the run had. A run that is its children has
    all of them anew, or those of ``family``. All that can be missing by now is looked for before
    anything is written.
    """
    family = family or _all_of(request.family)
    job = _check_repeatable(folder, replace(request, job=family.job) if family else request)
    if locked:
        job = _locked(folder, request, job)
    config = RunConfiguration.from_definition(request.definition)
    where = place(folder, config, job.resources, job.options)
    again = replace(
        request,
        job=None if family else job,
        family=replace(family, job=job) if family else None,
        id=_new_id(request.experiment),
        number=folder.next_number(request.experiment),
        created=time.time(),
        display_name=request.display_name if display_name is None else display_name,
        parent=None,
        submitted_by=user(),
        host=socket.gethostname(),
        source={**request.source, "backend": where.backend, "again": request.id},
        tags=request.tags if tags is None else text_values(dict(tags)),
        properties={**request.properties, RERUN_OF: request.id, **(properties or {})},
    )
    run = _queue(folder, again, where.ask(job.priority), secrets)
    _copy_diff(folder.runs / request.id, run)
    return run


def _all_of(family: Family | None) -> Family | None:
    """The family with nothing that has been done before."""
    if family is None:
        return None
    members = (replace(member, done_by=None, replay=0) for member in family.members)
    return replace(family, members=tuple(members))


def _new_id(experiment: str) -> str:
    return f"{experiment}_{int(time.time())}_{os.urandom(4).hex()}"


def _queue(
    folder: WorkspaceFolder,
    request: RunRequest,
    ask: runner.Ask,
    secrets: Mapping[str, object] | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write the request down and hand the run over; nothing is left of it if that fails."""
    run = folder.new_run(request.to_json())
    try:
        for note in notes:
            events.append(str(run), "warning", message=note)
        is_family = request.family is not None
        runner.enqueue(run, request.id, dict(os.environ), ask, secrets, is_family)
    except BaseException:
        shutil.rmtree(run, ignore_errors=True)
        raise
    return run


def _check_repeatable(folder: WorkspaceFolder, request: RunRequest) -> JobSpec:
    """The run's job; an error if it cannot be done once more."""
    job = request.job
    if job is None:
        raise UserErrorException(
            f"Run {request.id} has no job that could be repeated: it lived inside the process "
            "that made it.",
            "Run that code again; runs of `%%aml_run`, `aml run` and experiment.submit() "
            "can be repeated.",
        )
    # What has a recipe is built again if it must be.
    if not job.recipe and not os.access(job.interpreter, os.X_OK):
        raise RunConfigurationException(
            f"Run {request.id} used the interpreter {job.interpreter}, which is gone or cannot be "
            "started.",
            "Put it back, or submit the script again with an environment that is there.",
        )
    _check_snapshot(folder, request.id, job.snapshot)
    return job


def _locked(folder: WorkspaceFolder, request: RunRequest, job: JobSpec) -> JobSpec:
    """The job with the very packages that its run had."""
    recipe = Recipe.from_json(job.recipe) if job.recipe else None
    exactly = lock.read(folder.runs / request.id)
    if recipe is not None and recipe.kind == IMAGE and not recipe.adds_packages:
        return job  # what is in an image need not be on any index, and is all there
    return replace(job, recipe=lock.locked_recipe(recipe, exactly).to_json())


def _check_snapshot(folder: WorkspaceFolder, run_id: str, snapshot_id: str | None) -> None:
    """Refuse a run whose source is not, or no longer, all there."""
    if not snapshot_id:
        return
    objects = Objects(folder.objects)
    try:
        entries = snapshots.read_manifest(snapshot_id, objects).files
    except SnapshotException as error:
        raise _no_source(run_id, error.message) from error
    sizes = {bytes.fromhex(entry.hash): entry.size for entry in entries}
    missing = len(sizes) - len(objects.locate(sizes))
    if missing:
        raise _no_source(run_id, f"{missing} of its {len(sizes)} files are missing.")


def _no_source(run_id: str, why: str) -> SnapshotException:
    return SnapshotException(
        f"Run {run_id} cannot be repeated, because its snapshot is not whole: {why}",
        "Submit it again from its source folder; what is missing is stored anew.",
    )


def _copy_diff(old: Path, new: Path) -> None:
    # It only explains the source, so a run is not refused for it.
    with contextlib.suppress(OSError):
        shutil.copyfile(old / GIT_DIFF, new / GIT_DIFF)


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
    source, record = submission.source, submission.folder.record
    facts = {"kind": "folder", "directory": source.directory, "script": job.script}
    properties = {
        "_azureml.ComputeTargetType": submission.place.target_kind,
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
        workspace={name: str(record.get(name) or "") for name in _OF_WORKSPACE},
        submitted_by=user(),
        host=socket.gethostname(),
        target=submission.config.target,
        job=job,
        definition=_without_credentials(submission.config.to_definition()),
        environment=dict(submission.environment.facts),
        source={**facts, **source.facts, **counted},
        git=dict(git),
        tags=dict(submission.tags),
        properties=properties,
    )


def _without_credentials(definition: Mapping[str, object]) -> dict[str, object]:
    """The definition without the passwords of package indexes, which only a build may know."""
    environment = definition.get("environment")
    if not isinstance(environment, Mapping):
        return dict(definition)
    python = masked_inside(environment.get("python"))
    return {**definition, "environment": {**environment, "python": python}}


def user() -> str:
    """Who is asking, as the system names them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
