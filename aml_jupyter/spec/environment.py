"""Environment: which interpreter, packages and image a script wants, as a plain record."""

from __future__ import annotations

import builtins
import copy
import json
import numbers
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from aml_jupyter.errors import RunConfigurationException, UserErrorException

from .conda import DEFAULT_FILE_NAME, CondaDependencies
from .docker_context import DockerBuildContext
from .fields import Section, as_mapping, keys, plain, shown
from .registry import BuildDetails, EnvironmentRegistry, HasEnvironments
from .requirements import anchored, read_requirements
from .sections import (
    ContainerRegistry,
    DatabricksSection,
    DockerSection,
    PythonSection,
    SparkSection,
    set_known,
    text_or_file,
)

DEFAULT_ENVIRONMENT_NAME = "default-environment"

_EXAMPLE_VARIABLE = ("EXAMPLE_ENV_VAR", "EXAMPLE_VALUE")
_RECORD_FILE = "azureml_environment.json"
_DOCKERFILE = "BaseDockerfile"


class Environment(Section):
    """What a script needs around it: an interpreter, packages, an image, variables.

    ``environment.python`` and ``environment.docker`` hold the details;
    ``repr(environment)`` shows all of them as JSON.
    """

    _keys = keys(
        "name",
        "version",
        "environment_variables",
        "python",
        "docker",
        "spark",
        "databricks",
        "r",
        "inferencing_stack_version",
        "asset_id",
    )

    def __init__(self, name: str, **kwargs: object) -> None:
        self.name = _name(name)
        self.version: str | None = None
        self._environment_variables: dict[str, str] = dict([_EXAMPLE_VARIABLE])
        self.python = PythonSection()
        self.docker = DockerSection()
        self.spark = SparkSection()
        self.databricks = DatabricksSection()
        self.r: object = None
        self.inferencing_stack_version: str | None = None
        self.asset_id: str | None = None
        self.notes: builtins.list[str] = []
        """What who uses it should be told, such as a version that was replaced by another one.

        Notes are copied with the environment, but are no part of what it asks for.
        """
        set_known(self, kwargs)

    @property
    def environment_variables(self) -> dict[str, str]:
        """Variables for the process; the entry that v1 puts there as an example is never set."""
        return self._environment_variables

    @environment_variables.setter
    def environment_variables(self, variables: dict[str, str] | None) -> None:
        self._environment_variables = variables if variables is not None else {}

    @staticmethod
    def from_conda_specification(name: str, file_path: str | os.PathLike[str]) -> Environment:
        """The environment with the packages of a conda environment file."""
        environment = Environment(name)
        environment.python.conda_dependencies = _conda_file(file_path)
        return environment

    @staticmethod
    def from_pip_requirements(
        name: str, file_path: str | os.PathLike[str], pip_version: str | None = None
    ) -> Environment:
        """The environment with the packages of a pip requirements file, and no others."""
        environment = Environment(name)
        environment.python.conda_dependencies = _pip_file(file_path, pip_version)
        return environment

    @staticmethod
    def from_docker_image(
        name: str,
        image: str,
        container_registry: ContainerRegistry | None = None,
        conda_specification: str | os.PathLike[str] | None = None,
        pip_requirements: str | os.PathLike[str] | None = None,
    ) -> Environment:
        """The environment that an image is; what to install in it is optional."""
        environment = Environment(name)
        environment.docker.base_image = image
        if container_registry is not None:
            environment.docker.base_image_registry = container_registry
        return _with_packages(environment, conda_specification, pip_requirements)

    @staticmethod
    def from_dockerfile(
        name: str,
        dockerfile: str | os.PathLike[str],
        conda_specification: str | os.PathLike[str] | None = None,
        pip_requirements: str | os.PathLike[str] | None = None,
    ) -> Environment:
        """The environment that a Dockerfile, given as text or as a path, builds."""
        environment = Environment(name)
        text = text_or_file(os.fspath(dockerfile))
        if len(text.split()) < 2:
            raise UserErrorException(
                f"{os.fspath(dockerfile)!r} is neither a Dockerfile nor the text of one.",
                f"Paths are relative to {os.getcwd()}.",
            )
        environment.docker.base_dockerfile = text
        return _with_packages(environment, conda_specification, pip_requirements)

    @staticmethod
    def from_docker_build_context(
        name: str, docker_build_context: DockerBuildContext
    ) -> Environment:
        """The environment that a folder with a Dockerfile builds."""
        environment = Environment(name)
        environment.docker.build_context = docker_build_context
        environment.python.user_managed_dependencies = True
        return environment

    @staticmethod
    def from_existing_conda_environment(
        name: str, conda_environment_name: str
    ) -> Environment | None:
        """The environment with all packages of a conda environment here; None if there is none.

        ``conda_environment_name`` is its name or the path of its folder.
        """
        from . import installed

        prefix = installed.conda_prefix(conda_environment_name)
        if prefix is None:
            return None
        environment = Environment(name)
        environment.python.conda_dependencies = installed.conda_packages(prefix)
        return environment

    @staticmethod
    def from_kernel(name: str | None = None) -> Environment:
        """The environment that this very process runs on: its Python, its packages, exactly.

        What no other machine could install (editable packages, folders) is left out; a warning
        and :attr:`notes` name it.
        """
        from . import installed

        environment = Environment(name or "kernel")
        packages = installed.running_packages()
        environment.python.conda_dependencies = packages.dependencies
        environment.notes = list(packages.notes)
        for note in packages.notes:
            warnings.warn(note, stacklevel=2)
        return environment

    @staticmethod
    def load_from_directory(path: str | os.PathLike[str]) -> Environment:
        """The environment that :meth:`save_to_directory` wrote there."""
        folder = os.fspath(path)
        record_path = os.path.join(folder, _RECORD_FILE)
        record = _read_record(record_path)
        environment = Environment.from_json(record, record_path)
        conda_path = os.path.join(folder, DEFAULT_FILE_NAME)
        if os.path.isfile(conda_path):
            environment.python.conda_dependencies = CondaDependencies(conda_path)
        dockerfile = os.path.join(folder, _DOCKERFILE)
        if os.path.isfile(dockerfile):
            environment.docker.base_dockerfile = text_or_file(dockerfile)
        return environment

    def save_to_directory(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the environment into the folder ``path``, which must not exist yet."""
        folder = os.fspath(path)
        if os.path.exists(folder) and not overwrite:
            raise FileExistsError(f"{folder} exists already; save with overwrite=True to replace.")
        os.makedirs(folder, exist_ok=True)
        record = self.to_json(inline=False)
        record["docker"] = {**self.docker.to_json(), "baseDockerfile": None}
        conda = self.python.conda_dependencies
        if conda is None:
            # Without a word it would come back with v1's template.
            record["python"] = {**self.python.to_json(), "condaDependencies": None}
        for name, text in (
            (_RECORD_FILE, json.dumps(record, indent=4)),
            (DEFAULT_FILE_NAME, conda.serialize_to_string() if conda else None),
            (_DOCKERFILE, self.docker.dockerfile_text()),
        ):
            _write_or_remove(os.path.join(folder, name), text)

    def clone(self, new_name: str) -> Environment:
        """A copy under another name and without a version; changing it changes nothing here."""
        made = copy.deepcopy(self)
        made.name = _name(new_name)
        made.version = None
        return made

    # In a workspace

    @staticmethod
    def get(
        workspace: HasEnvironments,
        name: str,
        version: str | None = None,
        label: str | None = None,
    ) -> Environment:
        """A registered or curated environment; the latest version unless told otherwise."""
        if version is not None and label is not None:
            raise UserErrorException(
                f"Environment {name!r} is asked for by version and by label.", "Give one of them."
            )
        return _registry_of(workspace).get(name, version, label)

    @staticmethod
    def list(workspace: HasEnvironments) -> dict[str, Environment]:
        """The latest version of each environment, by name, the curated ones too."""
        return _registry_of(workspace).latest()

    @staticmethod
    def label(
        workspace: HasEnvironments, name: str, version: str, labels: str | Sequence[str]
    ) -> None:
        """Let the labels stand for this version, and for no other of that name."""
        _registry_of(workspace).label(
            name, version, [labels] if isinstance(labels, str) else labels
        )

    @staticmethod
    def add_private_pip_wheel(
        workspace: HasEnvironments, file_path: str | os.PathLike[str], exist_ok: bool = False
    ) -> str:
        """Keep a wheel in the workspace; returns what ``add_pip_package`` takes to install it."""
        return _registry_of(workspace).keep_wheel(file_path, exist_ok)

    def register(self, workspace: HasEnvironments) -> Environment:
        """The environment as the workspace keeps it now, with its version.

        With nothing changed that is the latest version, else a new one.
        """
        return _registry_of(workspace).register(self)

    def build(self, workspace: HasEnvironments, image_build_compute: object = None) -> BuildDetails:
        """Start building the environment's image, and return at once."""
        return _registry_of(workspace).build(self)

    def build_local(
        self,
        workspace: HasEnvironments,
        platform: str | None = None,
        useDocker: bool = True,
        pushImageToWorkspaceAcr: bool = False,
        **kwargs: Any,
    ) -> BuildDetails:
        """Build the environment on this machine, its image or (without Docker) its packages.

        What the build says is printed as it comes; the image stays on this machine.
        """
        return _registry_of(workspace).build_local(self, use_docker=useDocker)

    def get_image_details(self, workspace: HasEnvironments) -> Mapping[str, Any]:
        """What the image is made from, what it is called, and whether it is there."""
        return _registry_of(workspace).image_details(self)

    # As a record

    @classmethod
    def from_json(cls, record: Mapping[str, object], where: str = "environment") -> Environment:
        """The environment in ``record``; keys that are missing keep their defaults."""
        environment = cls(str(record.get("name") or DEFAULT_ENVIRONMENT_NAME))
        environment.update(record, where)
        return environment

    def to_json(self, inline: bool = True) -> dict[str, object]:
        """The whole environment under v1's keys; with its conda packages if ``inline``."""
        record = super().to_json()
        if inline:
            conda = self.python.conda_dependencies
            packages = {"condaDependencies": conda.as_dict() if conda else None}
            record["python"] = {**self.python.to_json(), **packages}
        return record

    def definition(self) -> dict[str, object]:
        """The environment as run definitions show it; passwords are left out."""
        conda = self.python.conda_dependencies
        beyond = self.changed()
        return {
            "name": self.name,
            "version": self.version,
            "python": {
                **shown(self.python, "interpreterPath", "userManagedDependencies"),
                "condaDependencies": conda.as_dict() if conda else None,
                "baseCondaEnvironment": self.python.base_conda_environment,
            },
            "environmentVariables": plain(self.environment_variables),
            "docker": self.docker.definition(),
            "spark": self.spark.to_json(),
            "inferencingStackVersion": self.inferencing_stack_version,
            **{key: beyond[key] for key in ("databricks", "r", "assetId") if key in beyond},
        }

    def needs_image(self) -> bool:
        """Whether only a container will do: it names an image of its own, or a Dockerfile."""
        return self.docker.enabled or self.docker.has_own_image

    def is_default(self) -> bool:
        """Whether it is what one gets without asking for any interpreter, package or image."""
        fresh = self._fresh()
        return self.name == DEFAULT_ENVIRONMENT_NAME and all(
            self.definition()[part] == fresh.definition()[part] for part in ("python", "docker")
        )

    def _fresh(self) -> Environment:
        return Environment(self.name)

    def __str__(self) -> str:
        return f"Environment(Name: {self.name},\nVersion: {self.version})"

    def __repr__(self) -> str:
        record = self.to_json()
        registry = self.docker.base_image_registry
        if registry.password is not None:
            masked = {**registry.to_json(), "password": "********"}
            record["docker"] = {**self.docker.to_json(), "baseImageRegistry": masked}
        return json.dumps(record, indent=4, sort_keys=True)


def process_variables(*layers: Mapping[str, object]) -> dict[str, str]:
    """The environment variables that the layers set, as texts; a later layer wins.

    v1's example entry, which every fresh Environment carries, is left out.
    """
    variables: dict[str, str] = {}
    for layer in layers:
        for name, value in layer.items():
            if (name, value) != _EXAMPLE_VARIABLE:
                variables[_variable_name(name)] = _variable_text(name, value)
    return variables


def _variable_name(name: object) -> str:
    if isinstance(name, str) and name and "=" not in name and "\0" not in name:
        return name
    raise RunConfigurationException(
        f"{name!r} cannot be the name of an environment variable.",
        "Use a text without `=` in it.",
    )


def _variable_text(name: str, value: object) -> str:
    if isinstance(value, (str, numbers.Number, os.PathLike)):
        text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
        if "\0" not in text:
            return text
    raise RunConfigurationException(
        f"The environment variable {name} cannot be {value!r} ({type(value).__name__}).",
        "Give it a text or a number.",
    )


def _registry_of(workspace: object) -> EnvironmentRegistry:
    registry: EnvironmentRegistry | None = getattr(workspace, "environment_registry", None)
    if registry is None:
        raise UserErrorException(
            f"A workspace cannot be {workspace!r} ({type(workspace).__name__}).",
            "Give the Workspace, such as Workspace.from_config().",
        )
    return registry


def _name(name: object) -> str:
    if isinstance(name, str) and name:
        return name
    raise UserErrorException(
        f"An environment's name cannot be {name!r}.", "Give it a text: Environment('name')."
    )


def _read_record(path: str) -> Mapping[str, object]:
    try:
        with open(path, encoding="utf-8") as file:
            return as_mapping(json.load(file), path)
    except FileNotFoundError:
        raise UserErrorException(
            f"There is no saved environment in {os.path.dirname(path)}.",
            f"Name a folder made by save_to_directory; it holds {_RECORD_FILE}.",
        ) from None
    except (OSError, ValueError) as error:
        raise UserErrorException(
            f"{path} cannot be read: {error}.", "Save the environment again."
        ) from error


def _write_or_remove(path: str, text: str | None) -> None:
    """Write ``text``; with None, see that nothing of an older environment stays behind."""
    if text is not None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    elif os.path.exists(path):
        os.unlink(path)


def _with_packages(
    environment: Environment,
    conda_specification: str | os.PathLike[str] | None,
    pip_requirements: str | os.PathLike[str] | None,
) -> Environment:
    if conda_specification is not None and pip_requirements is not None:
        raise UserErrorException(
            f"Environment {environment.name!r} got both conda_specification and pip_requirements.",
            "Leave one out; a conda specification can hold pip packages too.",
        )
    if conda_specification is not None:
        environment.python.conda_dependencies = _conda_file(conda_specification)
    elif pip_requirements is not None:
        environment.python.conda_dependencies = _pip_file(pip_requirements, None)
    else:
        environment.python.user_managed_dependencies = True
    return environment


def _conda_file(path: str | os.PathLike[str]) -> CondaDependencies:
    conda = CondaDependencies(path)
    # As conda has it; who submits may stand elsewhere, and later somewhere else again.
    folder = os.path.dirname(os.path.abspath(os.fspath(path)))
    conda.set_pip_requirements(anchored(conda.pip_entries, folder))
    if conda.get_python_version() is None and "python" not in conda.conda_packages:
        default = CondaDependencies.create().get_python_version()
        warnings.warn(
            f"{os.fspath(path)} names no version of Python; taking {default}.", stacklevel=3
        )
        conda.set_python_version(str(default))
    return conda


def _pip_file(path: str | os.PathLike[str], pip_version: str | None) -> CondaDependencies:
    conda = CondaDependencies.create()
    # Lines for one package under different markers are not instead of each other.
    conda.set_pip_requirements(read_requirements(path))
    conda.add_conda_package(f"pip=={pip_version}" if pip_version else "pip")
    return conda
