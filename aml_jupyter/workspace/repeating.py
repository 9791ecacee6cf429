"""A run done once more with other options: a plan that changes nothing, then the deed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ..environments import resolve
from ..errors import UserErrorException
from ..spec import (
    Family,
    JobSpec,
    Member,
    Resources,
    RunConfiguration,
    RunRequest,
    able_to_execute_notebooks,
    process_variables,
)
from . import submission
from .batch_values import names_of
from .placing import place

if TYPE_CHECKING:
    from ..spec import Environment
    from .run import Run


_SHOWN_MEMBERS = 20


@dataclass(frozen=True)
class Changes:
    """What shall be other than it was; None where nothing shall.

    ``parameters`` are those of a notebook that ran once, ``sets`` those of each run of a batch.
    """

    arguments: tuple[str, ...] | None = None
    parameters: Mapping[str, object] | None = None
    sets: Sequence[Mapping[str, object]] | None = None
    target: str | None = None
    environment: Environment | None = None
    resources: Resources | None = None
    max_seconds: float | None = None
    priority: int | None = None
    tags: Mapping[str, Any] | None = None
    display_name: str | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether it has to be found anew where it goes, and what it runs in."""
        return any((self.target, self.environment, self.resources))


@dataclass(frozen=True)
class Repetition:
    """What repeating a run with changes would do. ``str(repetition)`` is for people."""

    run: Run
    request: RunRequest
    changes: Changes
    secrets: Mapping[str, object] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    def submit(self) -> Run:
        """Carry it out, and return the new run at once."""
        from .run import open_in

        experiment = self.run.experiment
        experiment._refuse_archived()
        folder = submission.submit_again(
            experiment.workspace.folder,
            self.request,
            self.changes.tags,
            self.changes.display_name,
            secrets=self.secrets or None,
        )
        return open_in(experiment, folder)

    def __str__(self) -> str:
        job = job_of(self.request)
        words = " ".join((job.what, *job.arguments))
        lines = [f"again        {self.run.id}", f"runs         {words}"]
        if job.notebook is not None:
            lines += [f"with         {k} = {v!r}" for k, v in job.notebook.parameters.items()]
        lines += _shown_members(self.request.family)
        lines += ["from         its snapshot", f"python       {job.interpreter}"]
        lines += [f"image        {job.image}"] if job.image else []
        lines += [f"target       {self.request.target}"]
        asked = [f"{name} {value}" for name, value in job.resources.to_json().items()]
        lines += [f"asks for     {', '.join(asked)}"] if asked else []
        tags = self.request.tags if self.changes.tags is None else self.changes.tags
        lines += [f"tag          {key} = {value}" for key, value in tags.items()]
        return "\n".join([*lines, *(f"note         {note}" for note in self.notes)])


def _shown_members(family: Family | None) -> list[str]:
    if family is None:
        return []
    names = [member.name for member in family.members]
    shown = [*names[:_SHOWN_MEMBERS], *("…" for _ in names[_SHOWN_MEMBERS:][:1])]
    return [f"notebooks    {len(names)}: {'; '.join(shown)}"]


def job_of(request: RunRequest) -> JobSpec:
    """The job of a run, or that of each of its children if it is a batch."""
    job = request.family.job if request.family else request.job
    if job is None:
        raise UserErrorException(
            f"Run {request.id} has no job that could be repeated: it lived inside the process "
            "that made it.",
            "Run that code again.",
        )
    return job


def plan(run: Run, changes: Changes) -> Repetition:
    """Check what can be checked of doing the run again with these changes."""
    request = RunRequest.from_json(run._request)
    job = replace(job_of(request), **_simple(job_of(request), changes))
    config = _configuration(request, changes)
    secrets: Mapping[str, object] = {}
    notes: tuple[str, ...] = ()
    if changes.is_elsewhere:
        job, secrets, notes = _elsewhere(run, job, config, changes)
    family = request.family and _family(request.family, job, changes)
    request = replace(
        request,
        target=config.target,
        definition=submission._without_credentials(config.to_definition()),
        job=None if family else job,
        family=family,
    )
    return Repetition(run, request, changes, secrets, notes)


def _family(family: Family, job: JobSpec, changes: Changes) -> Family:
    members = family.members
    if changes.sets is not None:
        names = names_of(changes.sets, PurePath(job.what).stem)
        members = tuple(Member(*each) for each in zip(names, changes.sets, strict=True))
    return replace(family, job=job, members=members)


def _simple(job: JobSpec, changes: Changes) -> dict[str, Any]:
    """The fields of the job that are other without anything having to be found anew."""
    told: dict[str, Any] = {
        "arguments": changes.arguments,
        "max_seconds": changes.max_seconds,
        "priority": changes.priority,
    }
    if changes.parameters is not None and job.notebook is not None:
        told["notebook"] = replace(job.notebook, parameters=dict(changes.parameters))
    return {name: value for name, value in told.items() if value is not None}


def _configuration(request: RunRequest, changes: Changes) -> RunConfiguration:
    config = RunConfiguration.from_definition(request.definition)
    if changes.arguments is not None:
        config.arguments = list(changes.arguments)
    if changes.target is not None:
        config.target = changes.target
    if changes.environment is not None:
        config.environment = changes.environment
    if changes.max_seconds is not None:
        config.max_run_duration_seconds = changes.max_seconds
    if changes.priority is not None:
        config.priority = changes.priority
    return config


def _elsewhere(
    run: Run, job: JobSpec, config: RunConfiguration, changes: Changes
) -> tuple[JobSpec, Mapping[str, object], tuple[str, ...]]:
    """The job where it goes now, the secrets for its build, and what to know of it."""
    folder = run.experiment.workspace.folder
    resources = changes.resources or job.resources
    # Of the target's own settings those of the new one hold; this one was the run's.
    kept = {"keep": True} if job.options.get("keep") else {}
    where = place(folder, config, resources, kept)
    job = replace(job, pool=where.pool, slots=where.slots, resources=where.resources)
    if job.notebook is not None and not config.environment.is_default():
        config.environment = able_to_execute_notebooks(config.environment)
    found = resolve(config.environment, container=where.is_container, options=where.options)
    job = replace(
        job,
        interpreter=found.interpreter,
        image=found.image,
        recipe=found.recipe.to_json() if found.recipe else {},
        options={**where.options, **found.options},
        environment_variables=process_variables(
            found.environment_variables, config.environment_variables or {}
        ),
    )
    return job, found.secrets, (*where.notes, *found.notes)
