"""What a run may be told on a command line or in a magic: where it goes, what in, what it needs."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserErrorException
from ..spec import ALL_GPUS, DockerConfiguration, Environment, Resources
from ..spec.words import parse_bytes, parse_duration, parse_tag
from .command_table import Option
from .data_option import DataAsked, data_asked

if TYPE_CHECKING:
    from ..spec import ScriptRunConfig
    from .workspace import Workspace

IMAGE = "image:"
"""Begins the name of an image where an environment is asked for."""

_ENVIRONMENT_FILES = "a conda environment (.yml), pip requirements (.txt), a Dockerfile"
_CONDA_FILES, _PIP_FILE = (".yml", ".yaml"), ".txt"
_FILES = (*_CONDA_FILES, _PIP_FILE)
_SAVED = "azureml_environment.json"


# Reading --------------------------------------------------------------------------------------


def gpus(text: str) -> int:
    """How many GPUs: a number, or ALL_GPUS for ``all``."""
    if text.lower() == "all":
        return ALL_GPUS
    if not text.isdecimal():
        raise ValueError("write a number such as 1, `all`, or 0 for none")
    return int(text)


def cpus(text: str) -> float:
    """How many processors, also part of one."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise ValueError("write a number above 0, such as 2 or 0.5")
    return found


def priority(text: str) -> int:
    """A whole number, also a negative one."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("write a whole number; higher goes first, 0 is usual") from None


TARGET = Option("-t/--target", "TARGET", "where to run; `local` if not said", source="targets")
ENV = Option(
    "--env",
    "ENV",
    "what to run in: a Python or its folder, the name[:version] of an environment, "
    "a conda .yml, a requirements.txt, a Dockerfile, or image:NAME",
    source="environments",
)
DOCKER = Option("--docker", "", "run in a container: the target `docker` if none is named")
DOCKER_ARG = Option(
    "--docker-arg",
    "ARG",
    "an option of docker run for the container, such as --network=host; may be repeated",
    many=True,
)
KEEP = Option("--keep", "", "keep the container when the job is over, for looking into")
GPUS = Option("--gpus", "N", "wait for N GPUs and see only those; `all`, or 0 for none", gpus)
GPU_MEM = Option("--gpu-mem", "SIZE", "share GPUs: so much memory of each, such as 8G", parse_bytes)
CPUS = Option("--cpus", "N", "wait until N processors are not promised to others", cpus)
MEM = Option("--mem", "SIZE", "wait until so much memory is not promised, such as 16G", parse_bytes)
PRIORITY = Option("--priority", "N", "higher goes first; 0 if not said", priority)

DATA = Option(
    "--data",
    "NAME=DATASET",
    "an input called NAME, whose path is in $NAME: a dataset[:version], a path or an address; "
    "with @mount (usual), @download or @direct behind it; may be repeated",
    data_asked,
    many=True,
    source="data",
)

OPTIONS = (TARGET, ENV, DATA, DOCKER, DOCKER_ARG, KEEP, GPUS, GPU_MEM, CPUS, MEM, PRIORITY)
"""The options that `%%aml_run`, `%aml_run` and `aml run` have in common."""

EXPERIMENT = Option(
    "-e/--experiment", "NAME", "the experiment; named after the notebook if not said",
    source="experiments",
)  # fmt: skip
SOURCE = Option("--source", "DIR", "take this folder along; it becomes the working directory",
                source="paths")  # fmt: skip
TIMEOUT = Option("--timeout", "TIME", "cancel the run after 90s, 30m, 2h or 1d", parse_duration)
TAG = Option("--tag", "KEY=VALUE", "tag the run; may be repeated", parse_tag, many=True)
NAME = Option("--name", "TEXT", "the display name of the run")


def experiment_name(text: str) -> str:
    """``text`` as the name of an experiment: letters, digits, ``_`` and ``-``, 3 to 36 long."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-_")[:36]
    return name if len(name) >= 3 else f"{name or 'run'}-run"


# What they mean -------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunOptions:
    """What was asked for a run, of all that :data:`OPTIONS` have."""

    target: str | None = None
    environment: Environment | None = None
    docker: bool = False
    docker_arguments: tuple[str, ...] = ()
    keep: bool = False
    priority: int | None = None
    resources: Resources | None = None
    data: tuple[DataAsked, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, object], environment: Environment | None) -> RunOptions:
        """The options from their values by key; what was not said is None or missing."""
        arguments = values.get("docker_arg") or ()
        assert isinstance(arguments, (list, tuple))
        target, first = values.get("target"), values.get("priority")
        return cls(
            target=str(target) if target else None,
            environment=environment,
            docker=bool(values.get("docker")),
            docker_arguments=tuple(map(str, arguments)),
            keep=bool(values.get("keep")),
            priority=first if isinstance(first, int) else None,
            resources=_resources(values),
            data=tuple(each for each in _list(values, "data") if isinstance(each, DataAsked)),
        )

    @property
    def wants_container(self) -> bool:
        """Whether only a container will do."""
        image = self.environment is not None and self.environment.needs_image()
        return self.docker or self.keep or bool(self.docker_arguments) or image

    @property
    def compute_target(self) -> str | None:
        """The target's name; None for the usual one."""
        from ..backends import CONTAINERS

        return self.target or (CONTAINERS if self.wants_container else None)

    @property
    def notes(self) -> list[str]:
        """What the user should know of what was asked for."""
        return list(self.environment.notes) if self.environment else []

    @property
    def settings(self) -> dict[str, object] | None:
        """Settings of the target that hold for this run only."""
        return {"keep": True} if self.keep else None

    def apply(self, config: ScriptRunConfig) -> None:
        """Put into the configuration what belongs there: container, priority and data."""
        for each in self.data:
            if each.name in config.run_config.data:
                raise UserErrorException(
                    f"--data names the input {each.name} twice.", "Give each its own name."
                )
            config.run_config.data[each.name] = each
        if self.docker or self.keep or self.docker_arguments:
            config.run_config.docker = DockerConfiguration(True, arguments=self.docker_arguments)
        if self.priority is not None:
            config.run_config.priority = self.priority


def _resources(values: Mapping[str, object]) -> Resources | None:
    count, memory = values.get("gpus"), values.get("gpu_mem")
    if memory and count is None:
        count = 1
    if memory and count == 0:
        raise UserErrorException(
            "--gpu-mem asks for memory of a GPU, and --gpus 0 for none.", "Leave one of them out."
        )
    asked = Resources(
        count if isinstance(count, int) else None,
        int(_number(memory)),
        _number(values.get("cpus")),
        int(_number(values.get("mem"))),
    )
    return None if asked == Resources() else asked


def _list(values: Mapping[str, object], key: str) -> list[object]:
    found = values.get(key)
    return list(found) if isinstance(found, (list, tuple)) else []


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


# The environment ------------------------------------------------------------------------------


def environment_of(
    text: str, workspace: Callable[[], Workspace], folder: Path | None = None
) -> Environment:
    """The environment that ``--env`` names; ``workspace`` is asked for those that it keeps.

    Paths begin in ``folder``, which is usually here. What its making had to say is in its notes.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        environment = _environment_of(text, workspace, folder or Path.cwd())
    environment.notes += [str(each.message) for each in caught if _is_new(each, environment)]
    return environment


def _is_new(warning: warnings.WarningMessage, environment: Environment) -> bool:
    return str(warning.message) not in environment.notes


def _environment_of(text: str, workspace: Callable[[], Workspace], here: Path) -> Environment:
    if not text.strip():
        raise UserErrorException("--env names no environment.", "For example: requirements.txt")
    if text.startswith(IMAGE):
        return _of_image(text.removeprefix(IMAGE))
    path = here / Path(text).expanduser()
    if path.is_file():
        return _of_file(path, text)
    if path.is_dir() and (os.sep in text or _is_environment_folder(path)):
        return _of_folder(path, text)
    if os.sep in text:
        raise _nothing_there(text)
    if path.suffix.lower() in _FILES or path.name == "Dockerfile":
        raise UserErrorException(
            f"There is no file {text} in {here}.",
            f"--env takes {_ENVIRONMENT_FILES}, the name of an environment, a Python.",
        )
    return _registered(text, workspace)


def _of_image(name: str) -> Environment:
    if not _plain(name):
        raise UserErrorException(
            f"{IMAGE}{name} names no image.", "For example: image:python:3.12-slim"
        )
    return Environment.from_docker_image(_plain(name), name)


def _of_file(path: Path, text: str) -> Environment:
    # Two projects' requirements.txt are not the same environment that changed.
    named = _plain(f"{path.absolute().parent.name}-{path.stem}")
    if path.suffix.lower() in _CONDA_FILES:
        return Environment.from_conda_specification(named, path)
    if path.suffix.lower() == _PIP_FILE:
        return Environment.from_pip_requirements(named, path)
    if "dockerfile" in path.name.lower():
        return Environment.from_dockerfile(named, path)
    if os.access(path, os.X_OK):
        return interpreter_environment(str(path.absolute()))
    raise UserErrorException(
        f"{text} is not an environment: neither a Python interpreter that can be started, nor "
        f"{_ENVIRONMENT_FILES}.",
        "Give the path of an interpreter, such as ~/envs/torch/bin/python, or of such a file.",
    )


def _is_environment_folder(path: Path) -> bool:
    return (path / "bin" / "python").exists() or (path / _SAVED).is_file()


def _of_folder(path: Path, text: str) -> Environment:
    if (path / _SAVED).is_file():
        return Environment.load_from_directory(path)
    python = path / "bin" / "python"
    if not os.access(python, os.X_OK):
        raise _nothing_there(text)
    return interpreter_environment(str(python.absolute()))


def _nothing_there(text: str) -> UserErrorException:
    return UserErrorException(
        f"{text} is not a Python interpreter that can be started.",
        "Give the path of one, such as ~/envs/torch/bin/python, or of its environment.",
    )


def interpreter_environment(path: str) -> Environment:
    """The environment that an interpreter is, with all that is installed there."""
    environment = Environment(_plain(Path(path).parent.parent.name) or "interpreter")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = path
    return environment


def _registered(text: str, workspace: Callable[[], Workspace]) -> Environment:
    name, _, version = text.partition(":")
    registry = workspace().environment_registry
    try:
        if version and not version.isdecimal():
            return registry.get(name, label=version)
        return registry.get(name, version or None)
    except UserErrorException:
        found = None if registry.versions(name) else shutil.which(text)
        if found is None:
            raise
        return interpreter_environment(os.path.abspath(found))


def _plain(text: str) -> str:
    """``text`` with nothing in it that would not do for a name."""
    kept = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in text)
    return kept.strip("-.")
