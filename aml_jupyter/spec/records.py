"""What a run was asked to be, as frozen records that cross every boundary as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from aml_jupyter.errors import ServiceException

from .data import JobData
from .notebook import NotebookSpec
from .processes import Processes
from .resources import Resources

FAMILY_TYPE = "aml.batch"
"""The type of a run that is its children."""

RUN_FORMAT = 1
"""The version of ``run.json`` that is written here, and the newest that is understood."""


@dataclass(frozen=True)
class JobSpec:
    """The process that a run is: one of ``script`` and ``command``, and all it is started with.

    A ``script`` with a ``notebook`` is a notebook, and the latter says how it is executed.
    ``recipe`` is what has to be built before it can start, as :mod:`..environments` writes it;
    ``image`` what its container is started from, and ``options`` how: the settings of the target
    and of the run, in the words of the backend. ``pool`` names whose ``slots`` it takes one of.
    ``processes`` are what the launcher starts instead of one.
    """

    script: str | None = None
    command: str | None = None
    arguments: tuple[str, ...] = ()
    interpreter: str = ""
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    max_seconds: float = 0.0
    """Canceled after so long; 0 for never."""
    snapshot: str | None = None
    slots: int = 1
    priority: int = 0
    pool: str = ""
    resources: Resources = field(default_factory=Resources)
    recipe: Mapping[str, object] = field(default_factory=dict)
    image: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    notebook: NotebookSpec | None = None
    processes: Processes | None = None
    data: JobData = field(default_factory=JobData)

    @property
    def kind(self) -> str:
        """What the launcher is told to start: ``script``, ``command`` or ``notebook``."""
        if self.command is not None:
            return "command"
        return "script" if self.notebook is None else "notebook"

    @property
    def what(self) -> str:
        """The path of the script or notebook, or the text of the command."""
        return (self.script if self.command is None else self.command) or ""

    def to_json(self) -> dict[str, object]:
        """The ``job`` entry of ``run.json``."""
        what = {"command": self.command} if self.script is None else {"script": self.script}
        return {
            **what,
            "arguments": list(self.arguments),
            "interpreter": self.interpreter,
            "environment_variables": dict(self.environment_variables),
            "max_seconds": self.max_seconds,
            "snapshot": self.snapshot,
            "slots": self.slots,
            "priority": self.priority,
            "pool": self.pool,
            "resources": self.resources.to_json(),
            "recipe": dict(self.recipe),
            "image": self.image,
            "options": dict(self.options),
            **({} if self.notebook is None else {"notebook": self.notebook.to_json()}),
            **({} if self.processes is None else {"processes": self.processes.to_json()}),
            **({"data": self.data.to_json()} if self.data else {}),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> JobSpec:
        """The job in ``record``; what is missing or of another kind keeps its default."""
        arguments = record.get("arguments")
        return cls(
            script=_text_or_none(record, "script"),
            command=_text_or_none(record, "command"),
            arguments=tuple(map(str, arguments)) if isinstance(arguments, list) else (),
            interpreter=_text(record, "interpreter"),
            environment_variables=_texts(record, "environment_variables"),
            max_seconds=_number(record, "max_seconds"),
            snapshot=_text_or_none(record, "snapshot"),
            slots=int(_number(record, "slots", 1)),
            priority=int(_number(record, "priority")),
            pool=_text(record, "pool"),
            resources=Resources.from_json(record.get("resources")),
            recipe=_mapping(record, "recipe"),
            image=_text_or_none(record, "image"),
            options=_mapping(record, "options"),
            notebook=NotebookSpec.from_json(record.get("notebook")),
            processes=Processes.from_json(record.get("processes")),
            data=JobData.from_json(record.get("data")),
        )


@dataclass(frozen=True)
class Member:
    """One child of a family: how it is called, and the values that tell it from the others.

    ``done_by`` is the run of an earlier family that has done it already; ``replay`` the number of
    cells of a notebook that are run only for their state.
    """

    name: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    done_by: str | None = None
    replay: int = 0

    def job(self, template: JobSpec) -> JobSpec:
        """The job of this child: its values are a notebook's parameters, or follow a script."""
        if template.notebook is not None:
            values = {**template.notebook.parameters, **self.parameters}
            notebook = replace(template.notebook, parameters=values, replay=self.replay)
            return replace(template, notebook=notebook)
        said = [part for name, value in self.parameters.items() for part in (f"--{name}", value)]
        return replace(template, arguments=(*template.arguments, *map(str, said)))

    def to_json(self) -> dict[str, object]:
        """The member as it stands in its family."""
        more: dict[str, object] = {"done_by": self.done_by} if self.done_by else {}
        if self.replay:
            more["replay"] = self.replay
        return {"name": self.name, "parameters": dict(self.parameters), **more}

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> Member:
        """The member in ``record``."""
        return cls(
            _text(record, "name"),
            _mapping(record, "parameters"),
            _text_or_none(record, "done_by"),
            int(_number(record, "replay")),
        )


@dataclass(frozen=True)
class Family:
    """The children of a run, which the runner makes, in order, from one ``job``.

    At most ``parallel`` of them are in the queue at once (0: all of them). One that failed is
    done anew up to ``retries`` times; with ``fail_fast`` the others end with the first that
    failed for good.
    """

    job: JobSpec
    members: tuple[Member, ...] = ()
    parallel: int = 0
    retries: int = 0
    fail_fast: bool = False

    def to_json(self) -> dict[str, object]:
        """The ``family`` entry of ``run.json``."""
        return {
            "job": self.job.to_json(),
            "members": [member.to_json() for member in self.members],
            "parallel": self.parallel,
            "retries": self.retries,
            "fail_fast": self.fail_fast,
        }

    @classmethod
    def from_json(cls, record: object) -> Family | None:
        """The family in ``record``; None where there is none."""
        job = record.get("job") if isinstance(record, Mapping) else None
        if not isinstance(record, Mapping) or not isinstance(job, Mapping):
            return None
        members = record.get("members")
        return cls(
            JobSpec.from_json(job),
            tuple(map(Member.from_json, members)) if isinstance(members, list) else (),
            int(_number(record, "parallel")),
            int(_number(record, "retries")),
            bool(record.get("fail_fast")),
        )


@dataclass(frozen=True)
class RunRequest:
    """``run.json``: all that was known when the run was made; written once, never changed.

    ``created`` is in seconds since the epoch. ``job`` is None and ``owner`` names a process
    for runs that live inside the process that made them. A run with a ``family`` has no job of
    its own either: it is its children.
    """

    id: str
    experiment: str
    number: int = 0
    type: str = "azureml.scriptrun"
    created: float = 0.0
    display_name: str = ""
    description: str | None = None
    parent: str | None = None
    workspace: Mapping[str, str] = field(default_factory=dict)
    submitted_by: str = ""
    host: str = ""
    target: str = "local"
    job: JobSpec | None = None
    definition: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, object] = field(default_factory=dict)
    source: Mapping[str, object] = field(default_factory=dict)
    git: Mapping[str, object] = field(default_factory=dict)
    tags: Mapping[str, str | None] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    owner: Mapping[str, object] | None = None
    family: Family | None = None

    def to_json(self) -> dict[str, object]:
        """The content of ``run.json``."""
        fields: dict[str, object] = {name: getattr(self, name) for name in _REQUEST_FIELDS}
        fields["job"] = self.job.to_json() if self.job is not None else None
        del fields["family"]
        if self.family is not None:
            fields["family"] = self.family.to_json()
        return {"format": RUN_FORMAT, **fields}

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> RunRequest:
        """The request in ``record``; keys that are not known are skipped.

        A record of a newer format, or without an id, is refused.
        """
        identity = _text(record, "id")
        _refuse_unreadable(record, identity)
        job, owner = record.get("job"), record.get("owner")
        return cls(
            id=identity,
            experiment=_text(record, "experiment"),
            number=int(_number(record, "number")),
            type=_text(record, "type") or cls.type,
            created=_number(record, "created"),
            display_name=_text(record, "display_name"),
            description=_text_or_none(record, "description"),
            parent=_text_or_none(record, "parent"),
            workspace=_texts(record, "workspace"),
            submitted_by=_text(record, "submitted_by"),
            host=_text(record, "host"),
            target=_text(record, "target") or cls.target,
            job=JobSpec.from_json(job) if isinstance(job, Mapping) else None,
            definition=_mapping(record, "definition"),
            environment=_mapping(record, "environment"),
            source=_mapping(record, "source"),
            git=_mapping(record, "git"),
            tags={
                key: None if value is None else str(value)
                for key, value in _mapping(record, "tags").items()
            },
            properties=_texts(record, "properties"),
            owner=dict(owner) if isinstance(owner, Mapping) else None,
            family=Family.from_json(record.get("family")),
        )


_REQUEST_FIELDS = tuple(RunRequest.__dataclass_fields__)


def _refuse_unreadable(record: Mapping[str, object], identity: str) -> None:
    written = _number(record, "format", RUN_FORMAT)
    if written > RUN_FORMAT:
        raise ServiceException(
            f"Run {identity or '(unnamed)'} was written by a newer aml_jupyter "
            f"(format {written:g}; this one reads up to {RUN_FORMAT}).",
            "Upgrade aml-jupyter here to use it; the run itself is intact.",
        )
    if not identity:
        raise ServiceException(
            "A run's run.json has no id, so it is damaged.", "Restore it from a copy of the run."
        )


def _mapping(record: Mapping[str, object], key: str) -> dict[str, object]:
    value = record.get(key)
    return dict(value) if isinstance(value, Mapping) else {}


def _texts(record: Mapping[str, object], key: str) -> dict[str, str]:
    return {name: str(value) for name, value in _mapping(record, key).items()}


def _text_or_none(record: Mapping[str, object], key: str) -> str | None:
    value = record.get(key)
    return None if value is None else str(value)


def _text(record: Mapping[str, object], key: str) -> str:
    return _text_or_none(record, key) or ""


def _number(record: Mapping[str, object], key: str, default: float = 0) -> float:
    value = record.get(key)
    return value if isinstance(value, (int, float)) else default
