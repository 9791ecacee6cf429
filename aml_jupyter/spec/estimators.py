"""v1's estimators: a script, its parameters and its packages in one call.

Each becomes a :class:`ScriptRunConfig`, which ``Experiment.submit`` asks it for; a one-line
hint says how to write that oneself.
"""

from __future__ import annotations

import copy
import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from aml_jupyter.errors import TrainingException

from .conda import CondaDependencies
from .data_arguments import inputs_of
from .distribution import Configuration, ParameterServer, distribution
from .environment import Environment
from .estimator_packages import Surroundings
from .frameworks import FrameworkPackages, framework_packages, framework_versions
from .resources import Resources
from .runconfig import Argument, RunConfiguration, argument_list, target_name
from .script import MAX_DURATION_SECONDS_DEFAULT, ScriptRunConfig
from .words import HIDDEN, looks_secret

Parameters = Mapping[str, Any]
"""v1's ``script_params``: flags and their values; None or an empty text for a flag alone."""

_LOCAL, _OF_ITS_OWN = "local", "amlcompute"
_NOTEBOOK = ".ipynb"
_FOR_NOTEBOOKS = ("papermill", "ipykernel")
_hinted: set[str] = set()


class MMLBaseEstimator:
    """A script, its parameters and its packages, for ``Experiment.submit``.

    It is what all estimators have in common, under v1's name for it. Besides what is named here
    it takes what :class:`Surroundings` lists: ``pip_packages``, ``conda_packages``,
    ``custom_docker_image`` and so on, or instead of these an ``environment_definition``.
    :attr:`run_config` may be changed until submission.
    """

    def __init__(
        self,
        source_directory: str | os.PathLike[str],
        *,
        compute_target: object = None,
        vm_size: str | None = None,
        vm_priority: str | None = None,
        entry_script: str | None = None,
        script_params: Parameters | None = None,
        node_count: int = 1,
        process_count_per_node: int = 1,
        distributed_backend: str | None = None,
        distributed_training: object = None,
        use_gpu: bool = False,
        environment_definition: Environment | None = None,
        inputs: Sequence[object] | None = None,
        source_directory_data_store: str | None = None,
        resume_from: object = None,
        max_run_duration_seconds: float | None = None,
        **surroundings: Any,
    ) -> None:
        name, per_node = type(self).__name__, process_count_per_node
        spread = distribution(name, node_count, per_node, distributed_backend, distributed_training)
        self._entry_script = entry_script
        self._gpus = node_count * per_node if use_gpu else 0
        self._around = Surroundings.of(surroundings, name)
        self._config = ScriptRunConfig(
            source_directory,
            compute_target=_target(name, compute_target, vm_size, spread),
            distributed_job_config=spread,
            environment=self._environment(source_directory, environment_definition, use_gpu),
            resume_from=resume_from,
            max_run_duration_seconds=max_run_duration_seconds or MAX_DURATION_SECONDS_DEFAULT,
        )
        inputs_of(self.run_config, inputs, name)
        self.run_config.source_directory_data_store = source_directory_data_store
        cluster = self.run_config.amlcompute
        cluster.vm_size, cluster.vm_priority = vm_size, vm_priority
        self._complete(script_params)

    @property
    def run_config(self) -> RunConfiguration:
        """Where and with what the script will run; changes count until submission."""
        return self._config.run_config

    @property
    def conda_dependencies(self) -> CondaDependencies | None:
        """The packages of its environment."""
        return self.run_config.environment.python.conda_dependencies

    @property
    def source_directory(self) -> str:
        """The folder that the script is in."""
        return self._config.source_directory

    @property
    def resources(self) -> Resources:
        """What it asks of a machine: with ``use_gpu`` a GPU for each of its processes."""
        return Resources(gpus=self._gpus) if self._gpus else Resources()

    def to_script_run_config(self, script_params: Parameters | None = None) -> ScriptRunConfig:
        """What is submitted; ``script_params`` take the place of those it was made with."""
        config = copy.deepcopy(self._config)
        if script_params is not None:
            self._start(config.run_config, script_params)
        return config

    def _framework(self, use_gpu: bool) -> FrameworkPackages | None:
        """The packages that this kind of estimator brings along."""
        return None

    def _environment(
        self, folder: str | os.PathLike[str], definition: Environment | None, use_gpu: bool
    ) -> Environment:
        name, around = type(self).__name__, self._around
        if definition is not None:
            return around.within(definition, name)
        beside = _FOR_NOTEBOOKS if self._is_notebook else ()
        framework = self._framework(use_gpu)
        return around.environment(name, os.fspath(folder), use_gpu, framework, beside)

    def _complete(self, script_params: Parameters | None) -> None:
        config, around = self.run_config, self._around
        config.environment_variables.update(around.environment_variables or {})
        if around.shm_size:
            config.docker.shm_size = around.shm_size
        self._start(config, script_params or {})
        name = type(self).__name__
        if name not in _hinted:
            _hinted.add(name)
            print(self._hint())

    @property
    def _is_notebook(self) -> bool:
        return (self._entry_script or "").endswith(_NOTEBOOK)

    def _start(self, config: RunConfiguration, script_params: Parameters) -> None:
        if self._is_notebook:
            config.command = _notebook_command(str(self._entry_script), script_params)
        else:
            config.script, config.arguments = self._entry_script, _arguments(script_params)

    def _hint(self) -> str:
        config, name = self.run_config, type(self).__name__
        what = f"script={config.script!r}, arguments={config.arguments!r}"
        if config.command:
            what = f"command={config.command!r}"
        what += f", compute_target={config.target!r}, environment=Environment(…)"
        besides = "".join(f", with {each}" for each in self._besides())
        return (
            f"{name}(…) is short for ScriptRunConfig({self.source_directory!r}, {what}){besides}."
        )

    def _besides(self) -> Iterator[str]:
        """What a ScriptRunConfig does not take, and is easily lost."""
        config = self.run_config
        if config.target == _OF_ITS_OWN:
            yield f"run_config.amlcompute.vm_size={config.amlcompute.vm_size!r}"
        if config.environment_variables:
            shown = {
                name: HIDDEN if looks_secret(name) else value
                for name, value in config.environment_variables.items()
            }
            yield f"run_config.environment_variables={shown}"
        if self._gpus:
            yield f"experiment.submit(…, resources=Resources(gpus={self._gpus}))"

    def __repr__(self) -> str:
        target = self.run_config.target
        return (
            f"{type(self).__name__}({self.source_directory!r}, "
            f"entry_script={self._entry_script!r}, compute_target={target!r})"
        )


class Estimator(MMLBaseEstimator):
    """The estimator that brings no packages along; see :class:`MMLBaseEstimator`."""


class _OfFramework(MMLBaseEstimator):
    """An estimator that brings the packages of a framework along."""

    FRAMEWORK_NAME: ClassVar[str]
    DEFAULT_VERSION: ClassVar[str]
    _of_v1: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        source_directory: str | os.PathLike[str],
        *,
        framework_version: str | None = None,
        **parameters: Any,
    ) -> None:
        if framework_version is not None and not self._knows(str(framework_version)):
            raise TrainingException(
                f"{self.FRAMEWORK_NAME} {framework_version} is not a version that is known here.",
                f"Use one of {', '.join(self.get_supported_versions())}, or leave it out for the "
                "newest.",
            )
        self._version = None if framework_version is None else str(framework_version)
        super().__init__(source_directory, **parameters)

    @property
    def framework_version(self) -> str:
        """The version asked for; without one the newest is taken."""
        return self._version or self.DEFAULT_VERSION

    @classmethod
    def get_supported_versions(cls) -> list[str]:
        """The versions that may be asked for; for those out of reach the nearest is taken."""
        known = {*cls._of_v1, *framework_versions(cls.FRAMEWORK_NAME)}
        return sorted(known, key=_numbers)

    @classmethod
    def _knows(cls, version: str) -> bool:
        """Whether it is one of these, or a release of one: 2.1.2 is one of 2.1."""
        known = cls.get_supported_versions()
        return version in known or version.rpartition(".")[0] in known

    def _framework(self, use_gpu: bool) -> FrameworkPackages | None:
        return framework_packages(self.FRAMEWORK_NAME, self._version, use_gpu)


class PyTorch(_OfFramework):
    """An estimator with PyTorch and torchvision; see :class:`MMLBaseEstimator`."""

    FRAMEWORK_NAME = "PyTorch"
    DEFAULT_VERSION = framework_versions(FRAMEWORK_NAME)[-1]
    _of_v1 = ("1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6")

    def _complete(self, script_params: Parameters | None) -> None:
        self.run_config.environment_variables["NCCL_TREE_THRESHOLD"] = "0"
        super()._complete(script_params)


class TensorFlow(_OfFramework):
    """An estimator with TensorFlow; see :class:`MMLBaseEstimator`.

    ``worker_count`` and ``parameter_server_count`` go with ``distributed_backend='ps'``.
    """

    FRAMEWORK_NAME = "TensorFlow"
    DEFAULT_VERSION = framework_versions(FRAMEWORK_NAME)[-1]
    _of_v1 = ("1.10", "1.12", "1.13", "2.0", "2.1", "2.2", "2.3")

    def __init__(
        self,
        source_directory: str | os.PathLike[str],
        *,
        worker_count: int = 1,
        parameter_server_count: int = 1,
        distributed_backend: str | None = None,
        **parameters: Any,
    ) -> None:
        if str(distributed_backend).lower() == ParameterServer.name:
            distributed_backend = None
            parameters.setdefault(
                "distributed_training", ParameterServer(worker_count, parameter_server_count)
            )
        super().__init__(source_directory, distributed_backend=distributed_backend, **parameters)


class Chainer(_OfFramework):
    """An estimator with Chainer; see :class:`MMLBaseEstimator`. GPUs need ``cupy`` besides."""

    FRAMEWORK_NAME = "Chainer"
    DEFAULT_VERSION = framework_versions(FRAMEWORK_NAME)[-1]
    _of_v1 = ("5.1.0", "7.0.0")


class SKLearn(_OfFramework):
    """An estimator with scikit-learn, always one process; see :class:`MMLBaseEstimator`."""

    FRAMEWORK_NAME = "SKLearn"
    DEFAULT_VERSION = framework_versions(FRAMEWORK_NAME)[-1]
    _of_v1 = ("0.20.3",)


def _target(name: str, target: object, vm_size: str | None, spread: Configuration | None) -> object:
    """The compute target; a size of machine alone means one made for the run, as in v1."""
    if target is None and not vm_size:
        raise TrainingException(
            f"{name} has neither compute_target nor vm_size.", "Add compute_target='local'."
        )
    if spread is not None and target_name(target) == _LOCAL:
        raise TrainingException(
            f"{name} asks for several processes on the target {_LOCAL!r}, which runs one.",
            "Take a pool for it: AmlCompute.provisioning_configuration(max_nodes=…).",
        )
    return _OF_ITS_OWN if target is None else target


def _arguments(script_params: Parameters) -> list[Argument]:
    """v1's rule: a flag, then its value, or the members of a list; nothing for None and ''."""
    arguments: list[Argument] = []
    for flag, value in script_params.items():
        arguments.append(flag)
        if isinstance(value, (list, tuple)):
            arguments += value
        elif value is not None and value != "":
            arguments.append(value)
    return argument_list(arguments)


def _notebook_command(notebook: str, script_params: Parameters) -> str:
    """The command that executes a notebook into ``outputs/``, with its parameters filled in."""
    stem = os.path.basename(notebook)[: -len(_NOTEBOOK)]
    words = ["python", "-m", "papermill", notebook, f"outputs/{stem}.output{_NOTEBOOK}"]
    parameters = {
        flag.lstrip("-").replace("-", "_"): True if value in (None, "") else value
        for flag, value in script_params.items()
    }
    if parameters:
        words += ["--parameters_yaml", json.dumps(parameters, default=str)]
    return shlex.join([*words, "--log-output"])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
