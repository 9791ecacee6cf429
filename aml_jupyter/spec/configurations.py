"""The parts of a run configuration, each with v1's names and defaults."""

from __future__ import annotations

from collections.abc import Iterable

from aml_jupyter.errors import UserErrorException

from .fields import Section, keys


class DockerConfiguration(Section):
    """Whether the run goes into a container, and how that is started."""

    _keys = keys("use_docker", "shared_volumes", "arguments", "shm_size")

    def __init__(
        self,
        use_docker: bool = False,
        shared_volumes: bool = True,
        arguments: Iterable[str] | None = None,
        shm_size: str | None = "2g",
    ) -> None:
        if isinstance(arguments, str):
            raise UserErrorException(
                f"The Docker arguments are the text {arguments!r}.", f"Write [{arguments!r}]."
            )
        self.use_docker = use_docker
        self.shared_volumes = shared_volumes
        self.arguments = list(arguments or ())
        self.shm_size = shm_size


class MpiConfiguration(Section):
    """A run of many processes started by MPI."""

    _keys = keys("process_count_per_node", "node_count")

    def __init__(self, process_count_per_node: int = 1, node_count: int = 1) -> None:
        self.process_count_per_node = process_count_per_node
        self.node_count = node_count


class PyTorchConfiguration(Section):
    """A run of many processes for torch.distributed; ``process_count`` is over all nodes."""

    _keys = keys("communication_backend", "process_count", "node_count")

    def __init__(
        self,
        communication_backend: str = "Nccl",
        process_count: int | None = None,
        node_count: int = 1,
    ) -> None:
        self.communication_backend = communication_backend
        self.process_count = process_count
        self.node_count = node_count

    def to_json(self) -> dict[str, object]:
        """The fields under v1's keys; it writes the backend in lower case."""
        return {
            **super().to_json(),
            "communicationBackend": str(self.communication_backend).lower(),
        }


class TensorflowConfiguration(Section):
    """A run of workers and parameter servers for TensorFlow."""

    _keys = keys("worker_count", "parameter_server_count")

    def __init__(self, worker_count: int = 1, parameter_server_count: int = 1) -> None:
        self.worker_count = worker_count
        self.parameter_server_count = parameter_server_count


class ParallelTaskConfiguration(Section):
    """A run of many workers that share a list of tasks."""

    _keys = keys(
        "max_retries_per_worker", "worker_count_per_node", "terminal_exit_codes", "configuration"
    )

    def __init__(self) -> None:
        self.max_retries_per_worker = 0
        self.worker_count_per_node = 1
        self.terminal_exit_codes: list[int] | None = None
        self.configuration: dict[str, object] = {}


class HistoryConfiguration(Section):
    """What of a run is kept, and which folders are watched while it goes on."""

    _keys = keys("output_collection", "snapshot_project", "directories_to_watch")

    def __init__(self) -> None:
        self.output_collection = True
        self.snapshot_project = True
        self.directories_to_watch: list[str] = ["logs"]


class SparkConfiguration(Section):
    """Settings for Spark."""

    _keys = keys("configuration")

    def __init__(self) -> None:
        self.configuration: dict[str, object] = {
            "spark.app.name": "Azure ML Experiment",
            "spark.yarn.maxAppAttempts": 1,
        }


class HdiConfiguration(Section):
    """How Spark runs on an HDInsight cluster: ``cluster``, ``client`` or ``none``."""

    _keys = keys("yarn_deploy_mode")

    def __init__(self) -> None:
        self.yarn_deploy_mode = "cluster"


class AmlComputeConfiguration(Section):
    """A cluster to make for one run."""

    _keys = keys("vm_size", "vm_priority", "retain_cluster", "name", "cluster_max_node_count")

    def __init__(self) -> None:
        self.vm_size: str | None = None
        self.vm_priority: str | None = None
        self.retain_cluster = False
        self.name: str | None = None
        self.cluster_max_node_count: int | None = None


class KubernetesComputeConfiguration(Section):
    """The kind of instance to take in a Kubernetes cluster."""

    _keys = keys("instance_type")

    def __init__(self) -> None:
        self.instance_type: str | None = None


class DataReferenceConfiguration(Section):
    """Data in a datastore, and how a run gets at it."""

    _keys = keys("data_store_name", "mode", "path_on_data_store", "path_on_compute", "overwrite")

    def __init__(
        self,
        datastore_name: str | None = None,
        mode: str = "mount",
        path_on_datastore: str | None = None,
        path_on_compute: str | None = None,
        overwrite: bool = False,
    ) -> None:
        self.data_store_name = datastore_name
        self.mode = mode
        self.path_on_data_store = path_on_datastore
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite


class ApplicationEndpointConfiguration(Section):
    """A port of the run that can be visited, such as TensorBoard's."""

    _keys = keys("type", "port", "properties")

    def __init__(
        self,
        type: str | None = None,
        port: int | None = None,
        properties: dict[str, object] | None = None,
    ) -> None:
        self.type = type
        self.port = port
        self.properties = properties
