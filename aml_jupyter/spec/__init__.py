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
from .environment import (
    DEFAULT_CPU_IMAGE,
    DEFAULT_ENVIRONMENT_NAME,
    DEFAULT_GPU_IMAGE,
    MPI_CPU_IMAGE,
    MPI_GPU_IMAGE,
    ContainerRegistry,
    DatabricksSection,
    DockerSection,
    Environment,
    PythonSection,
    SparkSection,
    process_variables,
)
from .records import RUN_FORMAT, JobSpec, RunRequest
from .resources import ALL_GPUS, Resources
from .runconfig import COMMUNICATORS, FRAMEWORKS, RunConfiguration, argument_strings, command_line
from .script import MAX_DURATION_SECONDS_DEFAULT, ScriptRunConfig
from .source import Source

__all__ = [
    "ALL_GPUS",
    "COMMUNICATORS",
    "DEFAULT_CPU_IMAGE",
    "DEFAULT_ENVIRONMENT_NAME",
    "DEFAULT_GPU_IMAGE",
    "FRAMEWORKS",
    "MAX_DURATION_SECONDS_DEFAULT",
    "MPI_CPU_IMAGE",
    "MPI_GPU_IMAGE",
    "RUN_FORMAT",
    "AmlComputeConfiguration",
    "ApplicationEndpointConfiguration",
    "CondaDependencies",
    "ContainerRegistry",
    "DataReferenceConfiguration",
    "DatabricksSection",
    "DockerConfiguration",
    "DockerSection",
    "Environment",
    "HdiConfiguration",
    "HistoryConfiguration",
    "JobSpec",
    "KubernetesComputeConfiguration",
    "MpiConfiguration",
    "ParallelTaskConfiguration",
    "PyTorchConfiguration",
    "PythonSection",
    "Resources",
    "RunConfiguration",
    "RunRequest",
    "ScriptRunConfig",
    "Source",
    "SparkConfiguration",
    "SparkSection",
    "TensorflowConfiguration",
    "argument_strings",
    "command_line",
    "process_variables",
]
