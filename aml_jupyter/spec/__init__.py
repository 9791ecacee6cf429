"""What a job is: v1's configuration classes, and the frozen records made from them."""

from __future__ import annotations

from .conda import CondaDependencies
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
from .data import DataInput, DataOutput, DataPointer, JobData, reference_variable
from .distribution import Gloo, Mpi, Nccl, ParameterServer
from .docker_context import DockerBuildContext
from .environment import DEFAULT_ENVIRONMENT_NAME, Environment, process_variables
from .estimators import Chainer, Estimator, MMLBaseEstimator, PyTorch, SKLearn, TensorFlow
from .frameworks import FRAMEWORK_NAMES, FrameworkPackages, framework_packages
from .notebook import NotebookSpec, able_to_execute_notebooks
from .notebook_run import (
    AzureMLNotebookHandler,
    NotebookRunConfig,
    PapermillExecutionHandler,
)
from .processes import Processes
from .records import FAMILY_TYPE, RUN_FORMAT, Family, JobSpec, Member, RunRequest
from .resources import ALL_GPUS, Resources
from .runconfig import COMMUNICATORS, FRAMEWORKS, RunConfiguration, argument_strings, command_line
from .script import MAX_DURATION_SECONDS_DEFAULT, ScriptRunConfig
from .sections import (
    DEFAULT_CPU_IMAGE,
    DEFAULT_GPU_IMAGE,
    MPI_CPU_IMAGE,
    MPI_GPU_IMAGE,
    ContainerRegistry,
    DatabricksSection,
    DockerSection,
    PythonSection,
    SparkSection,
)
from .source import Source

__all__ = [
    "ALL_GPUS",
    "COMMUNICATORS",
    "DEFAULT_CPU_IMAGE",
    "DEFAULT_ENVIRONMENT_NAME",
    "DEFAULT_GPU_IMAGE",
    "FAMILY_TYPE",
    "FRAMEWORKS",
    "FRAMEWORK_NAMES",
    "MAX_DURATION_SECONDS_DEFAULT",
    "MPI_CPU_IMAGE",
    "MPI_GPU_IMAGE",
    "RUN_FORMAT",
    "AmlComputeConfiguration",
    "ApplicationEndpointConfiguration",
    "AzureMLNotebookHandler",
    "Chainer",
    "CondaDependencies",
    "ContainerRegistry",
    "DataInput",
    "DataOutput",
    "DataPointer",
    "DataReferenceConfiguration",
    "DatabricksSection",
    "DockerBuildContext",
    "DockerConfiguration",
    "DockerSection",
    "Environment",
    "Estimator",
    "Family",
    "FrameworkPackages",
    "Gloo",
    "HdiConfiguration",
    "HistoryConfiguration",
    "JobData",
    "JobSpec",
    "KubernetesComputeConfiguration",
    "MMLBaseEstimator",
    "Member",
    "Mpi",
    "MpiConfiguration",
    "Nccl",
    "NotebookRunConfig",
    "NotebookSpec",
    "PapermillExecutionHandler",
    "ParallelTaskConfiguration",
    "ParameterServer",
    "Processes",
    "PyTorch",
    "PyTorchConfiguration",
    "PythonSection",
    "Resources",
    "RunConfiguration",
    "RunRequest",
    "SKLearn",
    "ScriptRunConfig",
    "Source",
    "SparkConfiguration",
    "SparkSection",
    "TensorFlow",
    "TensorflowConfiguration",
    "able_to_execute_notebooks",
    "argument_strings",
    "command_line",
    "framework_packages",
    "process_variables",
    "reference_variable",
]
