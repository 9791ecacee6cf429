"""Environment: which interpreter, packages and image a script wants, as a plain record."""

from __future__ import annotations

import copy
import json
import numbers
import os
import warnings
from collections.abc import Mapping

from aml_jupyter.errors import RunConfigurationException, UserErrorException

from .conda import DEFAULT_FILE_NAME, CondaDependencies, read_requirements
from .fields import Section, as_mapping, keys, plain, shown

DEFAULT_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:20251130.v1"
DEFAULT_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.8-cudnn8-ubuntu22.04:20251130.v1"
MPI_CPU_IMAGE = "mcr.microsoft.com/azureml/base:intelmpi2018.3-ubuntu16.04"
MPI_GPU_IMAGE = "mcr.microsoft.com/azureml/base-gpu:intelmpi2018.3-cuda10.0-cudnn7-ubuntu16.04"

DEFAULT_ENVIRONMENT_NAME = "default-environment"

_EXAMPLE_VARIABLE = ("EXAMPLE_ENV_VAR", "EXAMPLE_VALUE")
_RECORD_FILE = "azureml_environment.json"
_DOCKERFILE = "BaseDockerfile"


class ContainerRegistry(Section):
    """Where an image is kept, and who may fetch it."""

    _keys = keys("address", "username", "password", "registry_identity")

    def __init__(self) -> None:
        self.address: str | None = None
        self.username: str | None = None
        self.password: str | None = None
        self.registry_identity: object = None

    def __repr__(self) -> str:
        # The password is kept out of notebooks and logs.
        return f"ContainerRegistry(address={self.address!r}, username={self.username!r})"


class DockerPlatform(Section):
    """The operating system and processor that an image is for."""

    _keys = keys("os", "architecture")

    def __init__(self) -> None:
        self.os = "Linux"
        self.architecture = "amd64"


class PythonSection(Section):
    """The interpreter of an environment, and the packages in it."""

    _keys = keys(
        "user_managed_dependencies",
        "interpreter_path",
        "conda_dependencies_file",
        "base_conda_environment",
    )

    def __init__(self, **kwargs: object) -> None:
        self.user_managed_dependencies: bool = False
        self.interpreter_path: str = "python"
        self.base_conda_environment: str | None = None
        self.conda_dependencies: CondaDependencies | None = CondaDependencies()
        self._conda_dependencies_file: str | None = None
        _set_known(self, kwargs, "conda_dependencies")

    @property
    def conda_dependencies_file(self) -> str | None:
        """The file that the packages come from; setting it reads the file if it is there."""
        return self._conda_dependencies_file

    @conda_dependencies_file.setter
    def conda_dependencies_file(self, path: str | None) -> None:
        self._conda_dependencies_file = path
        if path is not None and os.path.isfile(path):
            self.conda_dependencies = CondaDependencies(path)

    def update(self, record: Mapping[str, object], where: str = "") -> None:
        """Take over the fields that ``record`` names, packages written inline included."""
        super().update(record, where)
        if "condaDependencies" in record:
            inline, where = record["condaDependencies"], f"{where}.condaDependencies"
            self.conda_dependencies = (
                CondaDependencies.from_dict(as_mapping(inline, where), where) if inline else None
            )

    def _take(self, field: str, value: object, where: str) -> None:
        if field == "conda_dependencies_file":
            # Relative to wherever the record lies, so whoever reads the record has to find it.
            self._conda_dependencies_file = None if value is None else str(value)
        else:
            super()._take(field, value, where)


class DockerSection(Section):
    """The image of an environment, and how its container is started.

    Only one of ``base_image``, ``base_dockerfile`` and ``build_context`` holds:
    setting one clears the other two.
    """

    _keys = keys(
        "enabled",
        "base_image",
        "base_dockerfile",
        "build_context",
        "shared_volumes",
        "shm_size",
        "arguments",
        "base_image_registry",
        "platform",
    )

    def __init__(self, **kwargs: object) -> None:
        self.enabled: bool = False
        self.shared_volumes: bool = True
        self.shm_size: str | None = "2g"
        self.gpu_support: bool = False
        self.arguments: list[str] = []
        self.base_image_registry = ContainerRegistry()
        self.platform = DockerPlatform()
        self._base_dockerfile: str | None = None
        self._build_context: object = None
        self._base_image: str | None = DEFAULT_CPU_IMAGE
        _set_known(self, kwargs, "gpu_support")

    @property
    def base_image(self) -> str | None:
        """The name of the image to start from; None when a Dockerfile says it."""
        return self._base_image

    @base_image.setter
    def base_image(self, image: str | None) -> None:
        if image is not None:
            self._base_dockerfile = self._build_context = None
        self._base_image = image

    @property
    def base_dockerfile(self) -> str | None:
        """A Dockerfile's text, or where it is; :meth:`dockerfile_text` gives the text of both."""
        return self._base_dockerfile

    @base_dockerfile.setter
    def base_dockerfile(self, dockerfile: str | None) -> None:
        if dockerfile is not None:
            self._base_image = self._build_context = None
        self._base_dockerfile = dockerfile

    @property
    def build_context(self) -> object:
        """The folder, with its Dockerfile, that the image is built from."""
        return self._build_context

    @build_context.setter
    def build_context(self, context: object) -> None:
        if context is not None:
            self._base_image = self._base_dockerfile = None
        self._build_context = context

    def dockerfile_text(self) -> str | None:
        """The Dockerfile's text; None when there is no Dockerfile."""
        dockerfile = self._base_dockerfile
        return dockerfile if dockerfile is None else _text_or_file(dockerfile)

    def to_json(self) -> dict[str, object]:
        """The fields under v1's keys; a Dockerfile is in it with its text."""
        return {**super().to_json(), "baseDockerfile": self.dockerfile_text()}

    def definition(self) -> dict[str, object]:
        """The section as run definitions show it, with the registry's password left out."""
        registry = shown(self.base_image_registry, "address", "username", "password")
        return {
            **shown(self, "baseImage", "baseDockerfile", "platform", "enabled", "arguments"),
            "baseImageRegistry": {**registry, "password": None},
        }


class SparkSection(Section):
    """The packages that Spark adds to an environment."""

    _keys = keys("repositories", "packages", "precache_packages")

    def __init__(self) -> None:
        self.repositories: list[str] = []
        self.packages: list[object] = []
        self.precache_packages = True


class DatabricksSection(Section):
    """The libraries that Databricks adds to an environment."""

    _keys = keys(
        "maven_libraries", "pypi_libraries", "rcran_libraries", "jar_libraries", "egg_libraries"
    )

    def __init__(self) -> None:
        self.maven_libraries: list[object] = []
        self.pypi_libraries: list[object] = []
        self.rcran_libraries: list[object] = []
        self.jar_libraries: list[object] = []
        self.egg_libraries: list[object] = []


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
        _set_known(self, kwargs)

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
        text = _text_or_file(os.fspath(dockerfile))
        if len(text.split()) < 2:
            raise UserErrorException(
                f"{os.fspath(dockerfile)!r} is neither a Dockerfile nor the text of one.",
                f"Paths are relative to {os.getcwd()}.",
            )
        environment.docker.base_dockerfile = text
        return _with_packages(environment, conda_specification, pip_requirements)

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
            environment.docker.base_dockerfile = _text_or_file(dockerfile)
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
        for name, text in (
            (_RECORD_FILE, json.dumps(record, indent=4)),
            (DEFAULT_FILE_NAME, conda.serialize_to_string() if conda else None),
            (_DOCKERFILE, self.docker.dockerfile_text()),
        ):
            _write_or_remove(os.path.join(folder, name), text)

    def clone(self, new_name: str) -> Environment:
        """A copy under another name and without a version; changing it changes nothing here."""
        made = copy.deepcopy(self)
        made.name = new_name
        made.version = None
        return made

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


def _name(name: object) -> str:
    if isinstance(name, str) and name:
        return name
    raise UserErrorException(
        f"An environment's name cannot be {name!r}.", "Give it a text: Environment('name')."
    )


def _set_known(section: Section, fields: Mapping[str, object], *more: str) -> None:
    """Set what ``fields`` names rightly; v1 ignores the rest."""
    for field, value in fields.items():
        if field in section._keys or field in more:
            setattr(section, field, value)


def _text_or_file(text: str) -> str:
    """What is in the file that ``text`` names; ``text`` itself when it names none."""
    if "\n" in text or not os.path.isfile(text):
        return text
    try:
        with open(text, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserErrorException(
            f"The Dockerfile {text} cannot be read: {error}.", "It has to be a text file in UTF-8."
        ) from error


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
    if conda.get_python_version() is None and "python" not in conda.conda_packages:
        default = CondaDependencies.create().get_python_version()
        warnings.warn(
            f"{os.fspath(path)} names no version of Python; taking {default}.", stacklevel=3
        )
        conda.set_python_version(str(default))
    return conda


def _pip_file(path: str | os.PathLike[str], pip_version: str | None) -> CondaDependencies:
    conda = CondaDependencies.create(pip_packages=read_requirements(path), pin_sdk_version=False)
    conda.add_conda_package(f"pip=={pip_version}" if pip_version else "pip")
    return conda
