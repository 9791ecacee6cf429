"""RunConfiguration: everything about a run but its code, as v1 writes it to ``*.runconfig``."""

from __future__ import annotations

import numbers
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from aml_jupyter.assets.consumption import Consumable, Placeheld
from aml_jupyter.assets.reference import DataReference
from aml_jupyter.errors import RunConfigurationException, UserErrorException

from .conda import DEFAULT_FILE_NAME, CondaDependencies
from .configurations import (
    AmlComputeConfiguration,
    ApplicationEndpointConfiguration,
    DataReferenceConfiguration,
    DockerConfiguration,
    HdiConfiguration,
    HistoryConfiguration,
    KubernetesComputeConfiguration,
    MpiConfiguration,
    ParallelTaskConfiguration,
    PyTorchConfiguration,
    SparkConfiguration,
    TensorflowConfiguration,
)
from .environment import DEFAULT_ENVIRONMENT_NAME, Environment
from .fields import Section, as_mapping, dump_yaml, keys, plain, read_yaml, shown

FRAMEWORKS = ("Python", "PySpark", "TensorFlow", "PyTorch", "CNTK")
COMMUNICATORS = ("None", "ParameterServer", "OpenMpi", "IntelMpi", "Gloo", "Nccl")

_FOLDER = ".azureml"
_LEGACY_FOLDER = "aml_config"
_SUFFIX = ".runconfig"
_ENVIRONMENT_FILE = "environment.yml"

Argument = str | int | float | os.PathLike[str] | Placeheld | DataReference


class RunConfiguration(Section):
    """Where and with what a script runs.

    ``save`` and ``load`` keep it in a file; :meth:`to_definition` is how a run remembers it.
    """

    _keys = keys(
        "script",
        "arguments",
        "target",
        "framework",
        "communicator",
        "max_run_duration_seconds",
        "node_count",
        "priority",
        "environment",
        "history",
        "spark",
        "docker",
        "hdi",
        "tensorflow",
        "mpi",
        "pytorch",
        "parallel_task",
        "data_references",
        "data",
        "datacaches",
        "output_data",
        "source_directory_data_store",
        "amlcompute",
        "auto_cluster_compute_specification",
        "kubernetescompute",
        "credential_passthrough",
        "command",
        "environment_variables",
        "application_endpoints",
        parallel_task="paralleltask",
    )
    _members: ClassVar[Mapping[str, type[Section]]] = {
        "data_references": DataReferenceConfiguration,
        "application_endpoints": ApplicationEndpointConfiguration,
    }

    def __init__(
        self,
        script: str | None = None,
        arguments: Sequence[Argument] | str | None = None,
        framework: str | None = None,
        communicator: str | None = None,
        conda_dependencies: CondaDependencies | None = None,
        command: Sequence[Argument] | str | None = None,
    ) -> None:
        self.script = script
        self.arguments = arguments
        self.command = command if command is not None else ""
        self.target = "local"
        self.framework = framework
        self.communicator = communicator
        self.auto_prepare_environment = True
        self.max_run_duration_seconds: float | None = None
        self.node_count = 1
        self.priority: int | None = None
        self.environment = Environment(DEFAULT_ENVIRONMENT_NAME)
        if conda_dependencies is not None:
            self.environment.python.conda_dependencies = conda_dependencies
        self._init_sections()

    def _init_sections(self) -> None:
        self.environment_variables: dict[str, str] = {}
        self.history = HistoryConfiguration()
        self.spark = SparkConfiguration()
        self.docker = DockerConfiguration()
        self.hdi = HdiConfiguration()
        self.tensorflow = TensorflowConfiguration()
        self.mpi = MpiConfiguration()
        self.pytorch = PyTorchConfiguration()
        self.parallel_task = ParallelTaskConfiguration()
        self.data_references: dict[str, object] = {}
        self.data: dict[str, object] = {}
        self.output_data: dict[str, object] = {}
        self.datacaches: list[object] = []
        self.source_directory_data_store: str | None = None
        self.amlcompute = AmlComputeConfiguration()
        self.auto_cluster_compute_specification: object = None
        self.kubernetescompute = KubernetesComputeConfiguration()
        self.credential_passthrough = False
        self.application_endpoints: dict[str, object] = {}

    @property
    def arguments(self) -> list[Argument]:
        """What follows the script on its command line; one text is split as a shell would."""
        return self._arguments

    @arguments.setter
    def arguments(self, arguments: Sequence[Argument] | str | None) -> None:
        self._arguments = argument_list(arguments)

    @property
    def target(self) -> str:
        """The name of the compute target; a target object may be assigned."""
        return self._target

    @target.setter
    def target(self, target: object) -> None:
        self._target = target_name(target)

    @property
    def framework(self) -> str:
        """One of ``FRAMEWORKS``, in whatever case it was given."""
        return self._framework

    @framework.setter
    def framework(self, framework: str | None) -> None:
        self._framework = _one_of(FRAMEWORKS, framework, "framework")

    @property
    def communicator(self) -> str:
        """One of ``COMMUNICATORS``, in whatever case it was given."""
        return self._communicator

    @communicator.setter
    def communicator(self, communicator: str | None) -> None:
        self._communicator = _one_of(COMMUNICATORS, communicator, "communicator")

    @property
    def environment(self) -> Environment:
        """The environment that the script runs in."""
        return self._environment

    @environment.setter
    def environment(self, environment: Environment | None) -> None:
        self._environment = environment_or_default(environment)

    def save(
        self,
        path: str | os.PathLike[str] | None = None,
        name: str | None = None,
        separate_environment_yaml: bool = False,
    ) -> None:
        """Write ``<path>/.azureml/<name>.runconfig`` and the environment's packages beside it.

        Without a name ``path`` is the file itself.
        """
        folder, file_name = _place_to_save(path, name)
        record = self.to_json()
        environment = self.environment.to_json(inline=False)
        conda = self.environment.python.conda_dependencies
        if conda is not None:
            conda.save(os.path.join(folder, DEFAULT_FILE_NAME))
            python = as_mapping(environment["python"], "python")
            # Relative to the project, as v1 writes it, so that the project can be moved.
            where = f"{os.path.basename(folder)}/{DEFAULT_FILE_NAME}"
            environment["python"] = {**python, "condaDependenciesFile": where}
        record["environment"] = environment
        if separate_environment_yaml:
            _write(os.path.join(folder, _ENVIRONMENT_FILE), dump_yaml(environment))
            record["environment"] = f"{os.path.basename(folder)}/{_ENVIRONMENT_FILE}"
        _write(os.path.join(folder, file_name), dump_yaml(record))

    @staticmethod
    def load(path: str | os.PathLike[str], name: str | None = None) -> RunConfiguration:
        """The configuration saved as ``name`` in the project ``path``, or in the file ``path``."""
        file = _find(os.fspath(path), name)
        project = os.path.dirname(os.path.dirname(os.path.abspath(file)))
        record = dict(read_yaml(file, "run configuration"))
        separate = record.get("environment")
        if isinstance(separate, str):
            record["environment"] = dict(read_yaml(_beside(separate, project, file), "environment"))
        config = RunConfiguration()
        config.update(record, file)
        _read_packages(config.environment, project, file)
        return config

    @staticmethod
    def delete(path: str | os.PathLike[str], name: str) -> None:
        """Remove the configuration saved as ``name`` in the project ``path``."""
        os.unlink(_find(os.fspath(path), name))

    def to_definition(self) -> dict[str, object]:
        """v1's ``runDefinition``; fields that it seldom has are there when they say something."""
        record = self.to_json()
        beyond = self.changed()
        spark = {key: str(value) for key, value in self.spark.configuration.items()}
        return {
            "script": self.script,
            "command": command_line(self.command),
            "useAbsolutePath": False,
            "arguments": argument_strings(self.arguments),
            "sourceDirectoryDataStore": self.source_directory_data_store,
            "framework": self.framework,
            "communicator": self.communicator,
            "target": self.target,
            "dataReferences": record["dataReferences"],
            "data": record["data"],
            "outputData": record["outputData"],
            "jobName": None,
            "maxRunDurationSeconds": self.max_run_duration_seconds,
            "nodeCount": self.node_count,
            "priority": self.priority,
            "credentialPassthrough": self.credential_passthrough,
            "environment": self.environment.definition(),
            "history": {**self.history.to_json(), "enableMLflowTracking": True},
            "spark": {"configuration": spark},
            "parallelTask": self.parallel_task.to_json(),
            "amlCompute": shown(
                self.amlcompute, "name", "vmSize", "retainCluster", "clusterMaxNodeCount"
            ),
            "tensorflow": self.tensorflow.to_json(),
            "mpi": shown(self.mpi, "processCountPerNode"),
            "pyTorch": shown(self.pytorch, "communicationBackend", "processCount"),
            "hdi": {"yarnDeployMode": str(self.hdi.yarn_deploy_mode).capitalize()},
            "docker": self.docker.to_json(),
            **{key: beyond[key] for key in _SELDOM_IN_DEFINITIONS if key in beyond},
        }

    @staticmethod
    def from_definition(definition: Mapping[str, object]) -> RunConfiguration:
        """The configuration that :meth:`to_definition` described, passwords excepted."""
        config = RunConfiguration()
        config.update(definition, "runDefinition")
        config.hdi.yarn_deploy_mode = config.hdi.yarn_deploy_mode.lower()
        return config

    def to_json(self) -> dict[str, object]:
        """The fields under the keys of a ``.runconfig`` file."""
        arguments = [str(each) if _is_data(each) else plain(each) for each in self.arguments]
        command = command_line(self.command)
        return {**super().to_json(), "arguments": arguments, "command": command}

    def _take(self, field: str, value: object, where: str) -> None:
        if field == "environment" and value is not None:
            self.environment = Environment.from_json(as_mapping(value, where), where)
        elif field in self._members and value is not None:
            kind = self._members[field]
            members = as_mapping(value, where).items()
            setattr(self, field, {name: _member(kind, each, where) for name, each in members})
        elif field in ("arguments", "command") and isinstance(value, (str, list)):
            setattr(self, field, value)
        else:
            super()._take(field, value, where)


_SELDOM_IN_DEFINITIONS = (
    "datacaches",
    "autoClusterComputeSpecification",
    "kubernetescompute",
    "environmentVariables",
    "applicationEndpoints",
)


def argument_list(arguments: Sequence[Argument] | str | None) -> list[Argument]:
    """``arguments`` as a list of texts, numbers and paths; one text is split as a shell would."""
    if arguments is None:
        return []
    if isinstance(arguments, str):
        return list(_split(arguments))
    if isinstance(arguments, list):
        # The caller's own list, so that what is appended to it afterwards counts.
        argument_strings(arguments)
        return arguments
    if isinstance(arguments, Sequence):
        return argument_list(list(arguments))
    raise UserErrorException(
        f"arguments cannot be {arguments!r} ({type(arguments).__name__}).",
        "Give a list such as ['--alpha', 0.5], or one text such as '--alpha 0.5'.",
    )


def argument_strings(arguments: Iterable[object]) -> list[str]:
    """Each argument as the text that the script will find in ``sys.argv``.

    Data are stood for by v1's placeholders, since where they are is known only in the run.
    """
    return [_argument_string(at, argument) for at, argument in enumerate(arguments)]


def command_line(command: Sequence[Argument] | str) -> str:
    """The command as the one line that a shell gets; a list is joined with spaces."""
    return command if isinstance(command, str) else " ".join(argument_strings(command))


def target_name(target: object) -> str:
    """The name of ``target``, which may be a name, an object that has one, or None for local."""
    name = "local" if target is None else getattr(target, "name", target)
    if isinstance(name, str) and name:
        return name
    raise UserErrorException(
        f"A compute target cannot be {target!r} ({type(target).__name__}).",
        "Give its name, such as 'local', or the ComputeTarget itself.",
    )


def environment_or_default(environment: object) -> Environment:
    """``environment`` itself; for None the one that asks for nothing."""
    if environment is None:
        return Environment(DEFAULT_ENVIRONMENT_NAME)
    if isinstance(environment, Environment):
        return environment
    raise UserErrorException(
        f"An environment cannot be {environment!r} ({type(environment).__name__}).",
        "Give an Environment, such as Environment('name').",
    )


def _is_data(argument: object) -> bool:
    return isinstance(argument, (Placeheld, DataReference))


def _argument_string(at: int, argument: object) -> str:
    if isinstance(argument, os.PathLike):
        return str(os.fspath(argument))
    if isinstance(argument, (str, numbers.Number)) or _is_data(argument):
        text = str(argument)
        if "\0" not in text:
            return text
    if isinstance(argument, Consumable):
        raise _bare_dataset(at, argument)
    advice = "Each one is a text, a number, a path or data."
    if isinstance(argument, (list, tuple)):
        advice = "Add its members one by one: ['--layers', 64, 32], not ['--layers', [64, 32]]."
    raise UserErrorException(
        f"Argument {at} cannot be {argument!r} ({type(argument).__name__}).", advice
    )


def _bare_dataset(at: int, dataset: Consumable) -> UserErrorException:
    """A dataset alone does not say how a run is to get at it."""
    ways = "as_named_input('name')"
    if len(dataset._modes) > 1:
        ways = f"as_mount(), as_download() or {ways}"
    return UserErrorException(
        f"Argument {at} is a {type(dataset).__name__}, which does not say how the run gets at it.",
        f"Pass dataset.{ways}.",
    )


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserErrorException(
            f"The arguments {text!r} cannot be split: {error}.", "Give them as a list instead."
        ) from error


def _one_of(choices: tuple[str, ...], value: object, what: str) -> str:
    if value is None:
        return choices[0]
    for choice in choices:
        if choice.lower() == str(value).lower():
            return choice
    raise RunConfigurationException(
        f"There is no {what} {value!r}.", f"Use one of {', '.join(choices)}."
    )


def _member(kind: type[Section], value: object, where: str) -> Section:
    section = kind()
    section.update(as_mapping(value, where), where)
    return section


def _place_to_save(path: str | os.PathLike[str] | None, name: str | None) -> tuple[str, str]:
    """(folder, file name) to save to; the folder exists when this returns."""
    given = os.path.abspath(os.fspath(path) if path is not None else os.curdir)
    if name is None and not os.path.isdir(given):
        project = folder = os.path.dirname(given)
        file_name = os.path.basename(given)
    elif name is not None:
        project, folder = given, _settings_folder(given)
        file_name = name if name.endswith(_SUFFIX) else name + _SUFFIX
    else:
        raise UserErrorException(
            f"The run configuration to save in {given} has no name.", "Add name='…'."
        )
    if not os.path.isdir(project):
        raise UserErrorException(
            f"There is no folder {project} to save the run configuration in.", "Create it first."
        )
    os.makedirs(folder, exist_ok=True)
    return folder, file_name


def _settings_folder(project: str) -> str:
    legacy = os.path.join(project, _LEGACY_FOLDER)
    folder = os.path.join(project, _FOLDER)
    return legacy if os.path.isdir(legacy) and not os.path.isdir(folder) else folder


def _find(path: str, name: str | None) -> str:
    if name is None:
        if os.path.isfile(path):
            return path
        raise RunConfigurationException(
            f"{path} is not a run configuration file.",
            "Name one: RunConfiguration.load(folder, name).",
        )
    places = [os.path.join(path, folder) for folder in (_FOLDER, _LEGACY_FOLDER, "")]
    for place in places:
        for candidate in (name, name + _SUFFIX):
            if os.path.isfile(os.path.join(place, candidate)):
                return os.path.join(place, candidate)
    raise RunConfigurationException(
        f"There is no run configuration {name!r} in {path}.", _known_names(places)
    )


def _known_names(places: Iterable[str]) -> str:
    names = {
        file.removesuffix(_SUFFIX)
        for place in places
        if os.path.isdir(place)
        for file in os.listdir(place)
        if file.endswith(_SUFFIX)
    }
    return f"Known: {', '.join(sorted(names))}." if names else "Make one with save(path, name)."


def _read_packages(environment: Environment, project: str, file: str) -> None:
    python = environment.python
    if python.conda_dependencies_file is None:
        return
    found = _beside(python.conda_dependencies_file, project, file)
    python.conda_dependencies_file = None
    # Who brings an interpreter needs no packages, and older files name some that never were.
    if os.path.exists(found) or not python.user_managed_dependencies:
        python.conda_dependencies = CondaDependencies(found)


def _beside(named: str, project: str, file: str) -> str:
    """The file that a run configuration names: relative to the project, else to itself."""
    in_project = os.path.join(project, os.path.expanduser(named))
    beside = os.path.join(os.path.dirname(file), os.path.basename(named))
    return beside if not os.path.exists(in_project) and os.path.exists(beside) else in_project


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
