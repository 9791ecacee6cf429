"""Azure ML SDK v1's job model, local first: a cell, a script or a folder becomes a run.

Importing this package imports nothing else: names are fetched when first used, so that
``from aml_jupyter import Run`` costs milliseconds in a training script.
A copy of this file travels with every job (standard library only, Python 3.8).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .assets.column_types import DataType as DataType
    from .assets.consumption import DatasetConsumptionConfig as DatasetConsumptionConfig
    from .assets.consumption import HDFSOutputDatasetConfig as HDFSOutputDatasetConfig
    from .assets.consumption import OutputFileDatasetConfig as OutputFileDatasetConfig
    from .assets.dataset import Dataset as Dataset
    from .assets.datastore import Datastore as Datastore
    from .assets.file_dataset import FileDataset as FileDataset
    from .assets.keyvault import Keyvault as Keyvault
    from .assets.models import Model as Model
    from .assets.reference import DataPath as DataPath
    from .assets.reference import DataPathComputeBinding as DataPathComputeBinding
    from .assets.reference import DataReference as DataReference
    from .assets.resource_configuration import ResourceConfiguration as ResourceConfiguration
    from .assets.tabular_dataset import TabularDataset as TabularDataset
    from .compat.small import VERSION as VERSION
    from .errors import AmlError as AmlError
    from .spec import DEFAULT_CPU_IMAGE as DEFAULT_CPU_IMAGE
    from .spec import DEFAULT_GPU_IMAGE as DEFAULT_GPU_IMAGE
    from .spec import AzureMLNotebookHandler as AzureMLNotebookHandler
    from .spec import Chainer as Chainer
    from .spec import CondaDependencies as CondaDependencies
    from .spec import ContainerRegistry as ContainerRegistry
    from .spec import DockerBuildContext as DockerBuildContext
    from .spec import DockerConfiguration as DockerConfiguration
    from .spec import Environment as Environment
    from .spec import Estimator as Estimator
    from .spec import Gloo as Gloo
    from .spec import Mpi as Mpi
    from .spec import MpiConfiguration as MpiConfiguration
    from .spec import Nccl as Nccl
    from .spec import NotebookRunConfig as NotebookRunConfig
    from .spec import ParameterServer as ParameterServer
    from .spec import PyTorch as PyTorch
    from .spec import PyTorchConfiguration as PyTorchConfiguration
    from .spec import Resources as Resources
    from .spec import RunConfiguration as RunConfiguration
    from .spec import ScriptRunConfig as ScriptRunConfig
    from .spec import SKLearn as SKLearn
    from .spec import TensorFlow as TensorFlow
    from .spec import TensorflowConfiguration as TensorflowConfiguration
    from .workspace import Experiment as Experiment
    from .workspace import Run as Run
    from .workspace import Workspace as Workspace
    from .workspace.amlcompute import AmlCompute as AmlCompute
    from .workspace.batch import Batch as Batch
    from .workspace.compute_target import ComputeTarget as ComputeTarget
    from .workspace.tensorboard import Tensorboard as Tensorboard
    from .workspace.tensorboard_export import export_to_tensorboard as export_to_tensorboard

__version__ = "0.1.0"

_HOME_OF = {
    "AmlCompute": "workspace.amlcompute",
    "AmlError": "errors",
    "AzureMLNotebookHandler": "spec",
    "Batch": "workspace.batch",
    "Chainer": "spec",
    "ComputeTarget": "workspace.compute_target",
    "CondaDependencies": "spec",
    "ContainerRegistry": "spec",
    "DataPath": "assets.reference",
    "DataPathComputeBinding": "assets.reference",
    "DataReference": "assets.reference",
    "DataType": "assets.column_types",
    "Dataset": "assets.dataset",
    "Datastore": "assets.datastore",
    "DEFAULT_CPU_IMAGE": "spec",
    "DEFAULT_GPU_IMAGE": "spec",
    "DatasetConsumptionConfig": "assets.consumption",
    "DockerBuildContext": "spec",
    "DockerConfiguration": "spec",
    "Environment": "spec",
    "Estimator": "spec",
    "Experiment": "workspace",
    "FileDataset": "assets.file_dataset",
    "Gloo": "spec",
    "HDFSOutputDatasetConfig": "assets.consumption",
    "Keyvault": "assets.keyvault",
    "Model": "assets.models",
    "Mpi": "spec",
    "MpiConfiguration": "spec",
    "Nccl": "spec",
    "NotebookRunConfig": "spec",
    "OutputFileDatasetConfig": "assets.consumption",
    "ParameterServer": "spec",
    "PyTorch": "spec",
    "PyTorchConfiguration": "spec",
    "ResourceConfiguration": "assets.resource_configuration",
    "Resources": "spec",
    "Run": "workspace",
    "RunConfiguration": "spec",
    "RunDetails": "notebook",
    "SKLearn": "spec",
    "ScriptRunConfig": "spec",
    "TabularDataset": "assets.tabular_dataset",
    "TensorFlow": "spec",
    "Tensorboard": "workspace.tensorboard",
    "TensorflowConfiguration": "spec",
    "VERSION": "compat.small",
    "Workspace": "workspace",
    "export_to_tensorboard": "workspace.tensorboard_export",
}

# What stands for these in a job whose interpreter has no more than what came along.
_IN_A_BARE_JOB = {"Experiment": "assets.jobspace", "Workspace": "assets.jobspace"}

__all__ = ["__version__", *sorted(_HOME_OF)]

# Inside a job this file is the travelling copy, which has only `job` beside it.
# Where the whole package is installed as well, its other rooms are found behind ours.
_HERE = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(_HERE, "workspace")):
    __path__ += [
        room
        for room in (os.path.join(entry, "aml_jupyter") for entry in sys.path)
        if room != _HERE and os.path.isdir(os.path.join(room, "workspace"))
    ]


def __getattr__(name: str) -> Any:
    room = _HOME_OF.get(name)
    if room is None:
        raise AttributeError(f"module 'aml_jupyter' has no attribute {name!r}")
    # A job's Run must not pull in the workspace: it reads and writes its own folder only.
    if name == "Run" and "AML_RUN_FOLDER" in os.environ:
        room = "job.run"
    from importlib import import_module

    try:
        value = getattr(import_module(f"aml_jupyter.{room}"), name)
    except ModuleNotFoundError as error:
        in_a_bare_job = "AML_RUN_FOLDER" in os.environ and _IN_A_BARE_JOB.get(name)
        if in_a_bare_job:
            return getattr(import_module(f"aml_jupyter.{in_a_bare_job}"), name)
        if error.name != f"aml_jupyter.{room}":
            raise
        raise ImportError(
            f"{name} needs the aml-jupyter package in this interpreter ({sys.executable}).\n"
            "A job by itself has Run, Workspace, data and models; install it there for the rest."
        ) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(ipython: Any) -> None:
    """Make ``%%aml_run`` and its family available: ``%load_ext aml_jupyter``."""
    from .notebook import load_ipython_extension as load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Take the magics away again: ``%unload_ext aml_jupyter``."""
    from .notebook import unload_ipython_extension as unload

    unload(ipython)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "aml-jupyter"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from .server.app import AmlServer

    return [{"module": "aml_jupyter.server", "app": AmlServer}]
