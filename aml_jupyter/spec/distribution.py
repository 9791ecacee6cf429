"""How an estimator's processes are spread: v1's ``distributed_training`` and its rules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from aml_jupyter.errors import TrainingException

from .configurations import MpiConfiguration, PyTorchConfiguration, TensorflowConfiguration

Configuration = MpiConfiguration | PyTorchConfiguration | TensorflowConfiguration


class Backend(ABC):
    """A way for processes to find each other, and the estimators that can use it."""

    name: ClassVar[str]
    estimators: ClassVar[tuple[str, ...]]

    def validate(self, estimator_name: str) -> None:
        """TrainingException if that estimator cannot use it."""
        if estimator_name not in self.estimators:
            able = [each.name for each in _BACKENDS if estimator_name in each.estimators]
            raise TrainingException(
                f"{estimator_name} cannot be distributed by {self.name!r}.",
                f"Use {' or '.join(map(repr, able))}." if able else "It is one process always.",
            )

    @abstractmethod
    def configuration(self, node_count: int) -> Configuration | None:
        """What it sets in a run configuration; None where it comes to one plain process."""


class Mpi(Backend):
    """Processes started by MPI, several on each node."""

    name = "mpi"
    estimators = ("Estimator", "PyTorch", "TensorFlow", "Chainer")

    def __init__(self, process_count_per_node: int = 1) -> None:
        self.process_count_per_node = process_count_per_node

    def configuration(self, node_count: int) -> Configuration | None:
        """What it sets in a run configuration; None where it comes to one plain process."""
        if node_count * self.process_count_per_node == 1:
            return None
        return MpiConfiguration(self.process_count_per_node, node_count)


class ParameterServer(Backend):
    """TensorFlow's workers, and the servers that hold their parameters."""

    name = "ps"
    estimators = ("TensorFlow",)

    def __init__(self, worker_count: int = 1, parameter_server_count: int = 1) -> None:
        self.worker_count = worker_count
        self.parameter_server_count = parameter_server_count

    def configuration(self, node_count: int) -> Configuration | None:
        """What it sets in a run configuration."""
        return TensorflowConfiguration(self.worker_count, self.parameter_server_count)


class _OfPyTorch(Backend):
    """torch.distributed, with a process on each node."""

    estimators = ("PyTorch",)

    def configuration(self, node_count: int) -> Configuration | None:
        """What it sets in a run configuration; None where it comes to one plain process."""
        if node_count == 1:
            return None
        return PyTorchConfiguration(self.name.capitalize(), node_count, node_count)


class Gloo(_OfPyTorch):
    """torch.distributed over Gloo, with a process on each node."""

    name = "gloo"


class Nccl(_OfPyTorch):
    """torch.distributed over NCCL, with a process on each node."""

    name = "nccl"


_BACKENDS: tuple[type[Backend], ...] = (Mpi, ParameterServer, Gloo, Nccl)


def distribution(
    estimator: str,
    node_count: int,
    process_count_per_node: int,
    backend: str | None,
    training: object,
) -> Configuration | None:
    """What the parameters come to, by v1's rules; None for one plain process."""
    if backend is not None and training is not None:
        raise TrainingException(
            f"{estimator} got both distributed_backend and distributed_training.",
            "Leave out distributed_backend, which is the older one.",
        )
    chosen = _from_object(training) if training is not None else None
    if backend is not None:
        chosen = _from_name(backend, process_count_per_node)
    if chosen is not None:
        chosen.validate(estimator)
        return chosen.configuration(node_count)
    if node_count > 1 or process_count_per_node > 1:
        raise TrainingException(
            f"{estimator} asks for {node_count} node(s) with {process_count_per_node} process(es) "
            "each, but not how they find each other.",
            "Add distributed_training=Mpi(), or leave the counts at 1.",
        )
    return None


def _from_name(name: str, process_count_per_node: int) -> Backend:
    if str(name).lower() == Mpi.name:
        return Mpi(process_count_per_node)
    for kind in _BACKENDS:
        if kind.name == str(name).lower():
            return kind()
    known = ", ".join(kind.name for kind in _BACKENDS)
    raise TrainingException(f"There is no distributed_backend {name!r}.", f"Use one of {known}.")


def _from_object(training: object) -> Backend:
    if isinstance(training, Backend):
        return training
    if isinstance(training, MpiConfiguration):
        return Mpi(training.process_count_per_node)
    if isinstance(training, TensorflowConfiguration):
        return ParameterServer(training.worker_count, training.parameter_server_count)
    if isinstance(training, PyTorchConfiguration):
        return Gloo() if training.communication_backend.lower() == Gloo.name else Nccl()
    raise TrainingException(
        f"distributed_training cannot be {training!r} ({type(training).__name__}).",
        "Give Mpi(), ParameterServer(), Gloo() or Nccl().",
    )
