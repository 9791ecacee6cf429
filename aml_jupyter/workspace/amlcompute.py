"""AmlCompute: v1's cluster, which is a pool on this machine: ``max_nodes`` runs go at once."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..backends.readers import texts
from ..errors import ComputeTargetException
from ..job import states
from ..store import Query, RunSummary
from . import compute
from .compute_target import ComputeTarget, TargetConfiguration
from .pool_nodes import Nodes, nodes_of
from .run import matches
from .target_settings import IDLE_SECONDS, MAX_NODES, POOL
from .vm_sizes import SIZES

if TYPE_CHECKING:
    from .run import Run, Wanted
    from .workspace import Workspace

_RUNS_LOOKED_AT = 1000
_PRIORITIES = {"dedicated": "Dedicated", "lowpriority": "LowPriority"}


class AmlCompute(ComputeTarget):
    """A pool of slots on this machine, with the face of v1's cluster.

    Its size says how many GPUs each run asks for; nodes are told from its runs.
    """

    _TYPE = "AmlCompute"

    @staticmethod
    def provisioning_configuration(
        vm_size: str = "",
        vm_priority: str = "dedicated",
        min_nodes: int | str = 0,
        max_nodes: int | str | None = None,
        idle_seconds_before_scaledown: int | str | None = IDLE_SECONDS,
        admin_username: str | None = None,
        admin_user_password: str | None = None,
        admin_user_ssh_key: str | None = None,
        vnet_resourcegroup_name: str | None = None,
        vnet_name: str | None = None,
        subnet_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
        remote_login_port_public_access: str = "NotSpecified",
        identity_type: str | None = None,
        identity_id: Sequence[str] | None = None,
        location: str | None = None,
        enable_node_public_ip: bool = True,
    ) -> TargetConfiguration:
        """What a pool is made from.

        Networks and accounts of nodes are accepted and not kept: its nodes are this machine.
        """
        configuration = TargetConfiguration(
            POOL,
            {
                "vm_size": vm_size or None,
                "vm_priority": vm_priority or None,
                "min_nodes": _plain(min_nodes),
                "max_nodes": _plain(max_nodes if max_nodes is not None else MAX_NODES),
                "idle_seconds_before_scaledown": _plain(idle_seconds_before_scaledown),
                "tags": dict(tags) if tags else None,
                "description": description or None,
                "identity_type": identity_type,
                "identity_id": texts(identity_id) if identity_id else None,
                "location": location,
            },
        )
        configuration.validate_configuration()
        return configuration

    @staticmethod
    def supported_vmsizes(workspace: Workspace, location: str | None = None) -> Any:
        """The sizes that v1 knows, as dictionaries; a pool accepts any other name as well."""
        return [size.to_json() for size in SIZES.values()]

    # How it is

    def get_status(self) -> AmlComputeStatus | None:
        """Its nodes and their settings now; None, with a word printed, for a spoiled entry."""
        self.refresh_state()
        if self.provisioning_errors:
            print(f"Provisioning of {self.name} failed: {self.provisioning_errors}")
            return None
        scale, nodes = self._scale(), self._nodes()
        created: datetime = self.created_on or _moment(self.workspace.folder.record["created"])
        modified: datetime = self.modified_on or created
        changed = modified if nodes.changed is None else max(modified, _moment(nodes.changed))
        return AmlComputeStatus(
            allocation_state="Resizing" if nodes.wanted > nodes.count else "Steady",
            allocation_state_transition_time=changed,
            creation_time=created,
            current_node_count=nodes.count,
            errors=None,
            modified_time=modified,
            node_state_counts=NodeStateCounts(
                preparing_node_count=len(nodes.preparing),
                running_node_count=len(nodes.running),
                idle_node_count=nodes.idle,
            ),
            provisioning_state=self.provisioning_state,
            provisioning_state_transition_time=None,
            scale_settings=scale,
            target_node_count=nodes.wanted,
            vm_priority=_PRIORITIES[str(self._said("vm_priority") or "dedicated")],
            vm_size=str(self._said("vm_size") or "").upper(),
        )

    def list_nodes(self) -> Any:
        """Its nodes as dictionaries: what each does, and which run it is at."""
        self.refresh_state()
        nodes = self._nodes()
        jobs = [("running", run) for run in nodes.running]
        jobs += [("preparing", run) for run in nodes.preparing]
        told: list[tuple[str, str | None]] = [*jobs, *[("idle", None)] * nodes.idle]
        return [
            {
                "nodeId": f"{socket.gethostname()}-{number}",
                "port": None,
                "publicIpAddress": None,
                "privateIpAddress": None,
                "nodeState": state,
                "runId": run,
            }
            for number, (state, run) in enumerate(told)
        ]

    def get_active_runs(
        self,
        type: str | None = None,
        tags: Wanted = None,
        properties: Wanted = None,
        status: str | None = None,
    ) -> Iterator[Run]:
        """The runs on it that have not ended, newest first; ``status`` is for those in one."""
        for summary in self._going_on():
            wanted = status is None or summary.status == status
            if wanted and matches(summary, type, tags, properties):
                yield self.workspace.get_run(summary.id)

    def get(self) -> dict[str, Any]:
        """The older name of :meth:`serialize`."""
        return self.serialize()

    def _properties(self) -> dict[str, Any]:
        status = self.get_status()
        return status.serialize() if status else {}

    def _scale(self) -> ScaleSettings:
        least, most = self._said("min_nodes"), self._said("max_nodes")
        idle = self._said("idle_seconds_before_scaledown")
        return ScaleSettings(
            least if isinstance(least, int) else 0,
            most if isinstance(most, int) else MAX_NODES,
            idle if isinstance(idle, int) else IDLE_SECONDS,
        )

    def _nodes(self) -> Nodes:
        scale = self._scale()
        recent = self.workspace.find_runs(Query(limit=_RUNS_LOOKED_AT, archived=True))
        runs = {run.id: run for run in recent if run.target == self.name}
        runs.update({run.id: run for run in self._going_on()})
        return nodes_of(
            runs.values(),
            scale.minimum_node_count,
            scale.maximum_node_count,
            scale.idle_seconds_before_scaledown,
            time.time(),
        )

    def _going_on(self) -> list[RunSummary]:
        found = [
            run
            for state in sorted(states.ALL - states.TERMINAL)
            for run in self.workspace.find_runs(Query(state=state, archived=True))
            if run.target == self.name
        ]
        return sorted(found, key=lambda run: run.created, reverse=True)

    # What can be done with it

    def wait_for_completion(  # type: ignore[override]  # v1's order of parameters
        self,
        show_output: bool = False,
        min_node_count: int | str | None = None,
        timeout_in_minutes: float = 25,
        is_delete_operation: bool = False,
    ) -> None:
        """Return at once, with v1's words: a pool is there as soon as it is made."""
        if not show_output or is_delete_operation:
            self._is_new = False
            return
        if self._is_new:
            print(f"Creating\n{self.provisioning_state}")
        self._is_new = False
        print("AmlCompute wait for completion finished\n")
        if int(min_node_count or 0) <= self._scale().maximum_node_count:
            print("Minimum number of nodes requested have been provisioned")
        else:
            print(
                f'Wait timeout has been reached\nCurrent provisioning state of AmlCompute is "'
                f'{self.provisioning_state}" and current node count is "{self._nodes().count}"'
            )

    def update(
        self,
        min_nodes: int | str | None = None,
        max_nodes: int | str | None = None,
        idle_seconds_before_scaledown: int | str | None = None,
    ) -> None:
        """Change its scale, for the runs that wait as well."""
        asked = {
            "min_nodes": _plain(min_nodes),
            "max_nodes": _plain(max_nodes),
            "idle_seconds_before_scaledown": _plain(idle_seconds_before_scaledown),
        }
        self._change({key: value for key, value in asked.items() if value is not None})

    def add_identity(
        self, identity_type: str, identity_id: Sequence[str] | str | None = None
    ) -> None:
        """Note an identity; nothing here needs one."""
        ids = dict.fromkeys([*self._identities(), *(texts(identity_id) if identity_id else [])])
        self._change({"identity_type": identity_type, "identity_id": list(ids) or None})

    def remove_identity(self, identity_id: Sequence[str] | str | None = None) -> None:
        """Forget these identities; all if none is named."""
        had = self._identities()
        gone = texts(identity_id) if identity_id else had
        left = [each for each in had if each not in gone]
        kind = self._said("identity_type") if left else None
        self._change({"identity_type": kind, "identity_id": left or None})

    def _identities(self) -> list[str]:
        found = self._said("identity_id")
        return found if isinstance(found, list) else []

    def detach(self) -> None:
        """Raise: v1 deletes pools and detaches other targets."""
        raise ComputeTargetException(
            f"{self.name} cannot be detached: it is an AmlCompute target.", "Use delete()."
        )

    def _change(self, settings: Mapping[str, object]) -> None:
        if settings:
            compute.change(self.workspace.folder, self.name, settings)
            self.refresh_state()


def _plain(value: object) -> object:
    """A number that came as a text, from ``os.environ`` for example, as a number."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


# Its status ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScaleSettings:
    """How many nodes there may be, and for how long idle ones stay."""

    minimum_node_count: int
    maximum_node_count: int
    idle_seconds_before_scaledown: int

    def serialize(self) -> dict[str, Any]:
        """The settings with v1's keys."""
        return {
            "minNodeCount": self.minimum_node_count,
            "maxNodeCount": self.maximum_node_count,
            "nodeIdleTimeBeforeScaleDown": f"PT{self.idle_seconds_before_scaledown}S",
        }


@dataclass(frozen=True)
class NodeStateCounts:
    """How many nodes are in each state."""

    preparing_node_count: int = 0
    running_node_count: int = 0
    idle_node_count: int = 0
    unusable_node_count: int = 0
    leaving_node_count: int = 0
    preempted_node_count: int = 0

    def serialize(self) -> dict[str, int]:
        """The counts with v1's keys."""
        return {_camel(name): count for name, count in self.__dict__.items()}


@dataclass(frozen=True)
class AmlComputeStatus:
    """An AmlCompute target at one moment."""

    allocation_state: str
    allocation_state_transition_time: datetime
    creation_time: datetime
    current_node_count: int
    errors: Any
    modified_time: datetime
    node_state_counts: NodeStateCounts
    provisioning_state: str
    provisioning_state_transition_time: datetime | None
    scale_settings: ScaleSettings
    target_node_count: int
    vm_priority: str
    vm_size: str

    def serialize(self) -> dict[str, Any]:
        """The status with v1's keys."""
        return {
            "currentNodeCount": self.current_node_count,
            "targetNodeCount": self.target_node_count,
            "nodeStateCounts": self.node_state_counts.serialize(),
            "allocationState": self.allocation_state,
            "allocationStateTransitionTime": _written(self.allocation_state_transition_time),
            "errors": self.errors,
            "creationTime": _written(self.creation_time),
            "modifiedTime": _written(self.modified_time),
            "provisioningState": self.provisioning_state,
            "provisioningStateTransitionTime": _written(self.provisioning_state_transition_time),
            "scaleSettings": self.scale_settings.serialize(),
            "vmPriority": self.vm_priority,
            "vmSize": self.vm_size,
        }


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
