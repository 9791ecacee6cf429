"""How many processes a job is, and how they find each other; frozen, to cross every boundary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aml_jupyter.errors import RunConfigurationException
from aml_jupyter.job.ranks import MPI, PYTORCH, TENSORFLOW

if TYPE_CHECKING:
    from .runconfig import RunConfiguration

_KINDS = {
    "IntelMpi": MPI,
    "OpenMpi": MPI,
    "Gloo": PYTORCH,
    "Nccl": PYTORCH,
    "ParameterServer": TENSORFLOW,
}
_MOST = 1024


@dataclass(frozen=True)
class Processes:
    """The processes of one job: ``count`` of them, spread evenly over so many ``nodes``.

    ``kind`` says whose variables they get; ``servers`` are TensorFlow's parameter servers, which
    come on top.
    """

    kind: str
    count: int
    nodes: int = 1
    servers: int = 0

    def to_json(self) -> dict[str, object]:
        """The ``processes`` entry of a job."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, record: object) -> Processes | None:
        """The processes in ``record``; None where there are none."""
        if not isinstance(record, Mapping):
            return None
        counts = {name: int(record.get(name) or 0) for name in ("count", "nodes", "servers")}
        return cls(str(record.get("kind")), **counts)

    @classmethod
    def of(cls, config: RunConfiguration) -> Processes | None:
        """The processes that a configuration comes to; None for one plain process."""
        kind = _KINDS.get(config.communicator)
        if kind is None:
            if config.node_count > 1:
                raise RunConfigurationException(
                    f"The run asks for {config.node_count} nodes, but not how its processes find "
                    "each other.",
                    "Add distributed_job_config=MpiConfiguration(…) or PyTorchConfiguration(…), or "
                    "leave node_count at 1.",
                )
            return None
        if kind == TENSORFLOW:
            workers = _whole("worker_count", config.tensorflow.worker_count)
            servers = _whole("parameter_server_count", config.tensorflow.parameter_server_count, 0)
            return cls(kind, workers, workers, servers)._checked()
        nodes = _whole("node_count", config.node_count)
        if kind == MPI:
            on_each = _whole("process_count_per_node", config.mpi.process_count_per_node)
            return cls(kind, nodes * on_each, nodes)._checked()
        asked = config.pytorch.process_count
        count = nodes if asked is None else _whole("process_count", asked)
        return cls(kind, count, nodes)._checked()

    def _checked(self) -> Processes:
        if self.count % self.nodes:
            raise RunConfigurationException(
                f"{self.count} processes cannot be spread evenly over {self.nodes} nodes.",
                f"process_count is over all nodes: use a multiple of {self.nodes}.",
            )
        if self.count + self.servers > _MOST:
            raise RunConfigurationException(
                f"The run asks for {self.count + self.servers} processes, all of which would run "
                "on this machine.",
                f"Ask for {_MOST} at most.",
            )
        return self


def _whole(what: str, value: object, least: int = 1) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise RunConfigurationException(
        f"{what} of the run is {value!r}.", f"It has to be a whole number from {least} on."
    )
