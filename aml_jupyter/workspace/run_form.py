"""A form for a run: the options of the magics as fields, and what is filled in as a plan.

What a field holds are texts, written as on a command line, so that one table of options checks
them, explains them and completes them, wherever they are typed.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ..errors import AmlError, ComputeTargetException, StorageFullError, UserErrorException
from . import batch_options, run_options
from .command_table import Option
from .run import Run
from .workspace import Workspace

Texts = Mapping[str, Sequence[str]]
"""What is in each field, by its name."""

ON = "on"
"""The text of a switch that is on."""

PARAMETER = "parameter."
"""Begins the name of a field for a parameter of a notebook."""


def words(text: str) -> list[str]:
    """The words of a command line."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{str(error).lower()}; close the quotation mark") from None


ARGUMENTS = Option("--arguments", "--epochs 5 …", "what the script is given, as in a shell", words)

_LABELS: Mapping[str, str] = {
    "arguments": "Arguments",
    "experiment": "Experiment",
    "name": "Name",
    "target": "Target",
    "env": "Environment",
    "tag": "Tags",
    "gpus": "GPUs",
    "gpu_mem": "Memory of each GPU",
    "cpus": "Processors",
    "mem": "Memory",
    "priority": "Priority",
    "timeout": "Time limit",
    "data": "Inputs",
    "source": "Source folder",
    "docker": "In a container",
    "docker_arg": "Options of docker run",
    "keep": "Keep the container",
    "zip": "Side by side",
    "params": "Table of parameters",
    "kernel": "Kernel",
    "parallel": "At most at once",
    "retry": "Retries",
    "fail_fast": "End with the first failure",
    "timeout_cell": "Time limit of a cell",
}
_GROUPS: Mapping[str, str] = {
    **dict.fromkeys(("arguments", "experiment", "name", "target", "env", "tag"), "run"),
    **dict.fromkeys(("gpus", "gpu_mem", "cpus", "mem", "priority", "timeout"), "resources"),
    **dict.fromkeys(
        ("zip", "params", "kernel", "parallel", "retry", "fail_fast", "timeout_cell"), "batch"
    ),
}
REPEATED = (
    run_options.NAME,
    run_options.TARGET,
    run_options.ENV,
    run_options.TAG,
    run_options.GPUS,
    run_options.GPU_MEM,
    run_options.CPUS,
    run_options.MEM,
    run_options.PRIORITY,
    run_options.TIMEOUT,
)
RUN = (
    replace(run_options.EXPERIMENT, help="the experiment; named after the file if not said"),
    *REPEATED,
    run_options.DATA,
    run_options.SOURCE,
    run_options.DOCKER,
    run_options.DOCKER_ARG,
    run_options.KEEP,
)
OF_BATCH = tuple(
    option
    for option in batch_options.OPTIONS
    if option.key in ("zip", "params", "kernel", "parallel", "retry", "fail_fast", "timeout_cell")
)


@dataclass(frozen=True)
class Field:
    """An option as a field; ``usual`` is what holds if it is left empty."""

    option: Option
    name: str
    label: str
    group: str
    usual: str = ""
    choices: tuple[str, ...] = ()
    values: tuple[str, ...] = ()

    @classmethod
    def of(cls, option: Option, **more: Any) -> Field:
        """The field of an option of the magics."""
        key = option.key
        return cls(option, key, _LABELS[key], _GROUPS.get(key, "more"), **more)

    @property
    def kind(self) -> str:
        """``switch``, ``list`` or ``text``."""
        if not self.option.metavar:
            return "switch"
        return "list" if self.option.many else "text"

    def to_json(self) -> dict[str, object]:
        """``FormField`` of the server's schema."""
        return {
            "name": self.name,
            "label": self.label,
            "help": self.option.help,
            "kind": self.kind,
            "wants": self.option.metavar,
            "usual": self.usual,
            "choices": list(self.choices),
            "values": list(self.values),
            "group": self.group,
        }


@dataclass(frozen=True)
class Problem:
    """What is wrong with a field, or with the form if ``field`` is empty."""

    field: str
    message: str
    hint: str = ""


class FormException(UserErrorException):
    """A form that cannot be meant; ``problems`` says of each field why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems[0].message, problems[0].hint)
        self.problems = tuple(problems)


class Plan(Protocol):
    """What would be done; ``str(plan)`` is for people."""

    def submit(self) -> Run:
        """Do it."""


class Form(ABC):
    """What can be submitted, and the options that it takes."""

    kind: ClassVar[str]
    title: str

    @property
    @abstractmethod
    def workspace(self) -> Workspace | None:
        """The one that the run will be in; None where there is none yet."""

    @cached_property
    @abstractmethod
    def fields(self) -> list[Field]:
        """The options, those of a group together."""

    @abstractmethod
    def plan(self, texts: Texts) -> Plan:
        """What the form comes to when it is filled in so; :class:`FormException` if to nothing."""

    def read(self, texts: Texts) -> dict[str, Any]:
        """The values of the options that are filled in, by name."""
        known = {each.name: each for each in self.fields}
        problems = [Problem("", f"There is no option {name!r}.") for name in set(texts) - {*known}]
        values: dict[str, Any] = {}
        for name, each in known.items():
            given = [text.strip() for text in texts.get(name, ()) if text.strip()]
            try:
                read = [each.option.read(text) for text in given] if each.option.metavar else given
            except ValueError as error:
                problems.append(_not_understood(each, error))
                continue
            if read:
                values[name] = read if each.option.many else read[0]
        if problems:
            raise FormException(problems)
        return values


def _not_understood(each: Field, error: ValueError) -> Problem:
    sentence = str(error).strip().rstrip(".")
    if not each.name.startswith(PARAMETER):  # whose name it may begin with
        sentence = sentence[:1].upper() + sentence[1:]
    return Problem(each.name, f"{sentence}.")


@contextmanager
def concerning(name: str) -> Iterator[None]:
    """Let errors be about a field."""
    try:
        yield
    except (FormException, StorageFullError):  # that there is no room is no mistake in a field
        raise
    except AmlError as error:
        name = "target" if isinstance(error, ComputeTargetException) else name
        raise FormException([Problem(name, error.message, error.hint)]) from error


def choices(option: Option, workspace: Workspace | None, folder: Path) -> Iterator[str]:
    """The values of an option that there are."""
    if option.source == "targets":
        yield from workspace.targets() if workspace else ("local",)
    elif option.source == "environments":
        yield from sorted(workspace.environments) if workspace else ()
        yield from _environment_files(folder)
    elif option.source == "experiments" and workspace:
        yield from sorted(workspace.experiments)
    elif option.source == "data" and workspace:
        from ..assets.dataset_records import names

        yield from (f"{name}={name}" for name in names(str(workspace.folder.root)))


def _environment_files(folder: Path) -> Iterator[str]:
    """Files beside the script that say what to run in."""
    usual = ("requirements.txt", "environment.yml", "conda.yml", "conda_dependencies.yml")
    yield from (name for name in (*usual, "Dockerfile") if (folder / name).is_file())
