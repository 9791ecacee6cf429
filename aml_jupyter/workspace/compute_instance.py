"""ComputeInstance: v1's rented workstation, which is this machine: one run of it goes at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import compute
from .compute_target import ComputeTarget, TargetConfiguration
from .target_settings import INSTANCE, RUNNING, STOPPED
from .vm_sizes import SIZES

if TYPE_CHECKING:
    from .workspace import Workspace


@dataclass(frozen=True)
class ComputeInstanceStatus:
    """How an instance is: ``state`` is ``Running`` or ``Stopped``."""

    state: str
    vm_size: str
    errors: None = None

    def serialize(self) -> dict[str, Any]:
        """All of it with v1's keys."""
        return {"errors": self.errors, "state": self.state, "vmSize": self.vm_size}


class ComputeInstance(ComputeTarget):
    """One slot on this machine, with the face of v1's rented workstation.

    It can be stopped and started as programs like to do; that changes what it says of itself and
    nothing else: its runs go on, and new ones are taken.
    """

    _TYPE = "ComputeInstance"

    @staticmethod
    def provisioning_configuration(
        vm_size: str = "",
        ssh_public_access: bool = False,
        vnet_resourcegroup_name: str | None = None,
        vnet_name: str | None = None,
        subnet_name: str | None = None,
        admin_user_ssh_public_key: str | None = None,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
        assigned_user_object_id: str | None = None,
        assigned_user_tenant_id: str | None = None,
    ) -> TargetConfiguration:
        """What an instance is made from.

        Networks, keys and users are accepted and not kept: it is this machine.
        """
        settings = {"vm_size": vm_size or None, "description": description or None}
        configuration = TargetConfiguration(
            INSTANCE, {**settings, "tags": dict(tags) if tags else None}
        )
        configuration.validate_configuration()
        return configuration

    @staticmethod
    def supported_vmsizes(workspace: Workspace, location: str | None = None) -> Any:
        """The sizes that v1 knows, as dictionaries; any other name is accepted as well."""
        return [size.to_json() for size in SIZES.values()]

    def get_status(self) -> ComputeInstanceStatus:
        """What it says of itself, looked up again."""
        self.refresh_state()
        state = str(self._said("state") or RUNNING)
        return ComputeInstanceStatus(state, str(self._said("vm_size") or "").upper())

    def start(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        """Say that it runs."""
        self._become(RUNNING, print if show_output else None)

    def stop(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        """Say that it is stopped; its runs go on."""
        self._become(STOPPED, print if show_output else None)

    def restart(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        """Say that it runs; its runs go on."""
        self._become(RUNNING, print if show_output else None)

    def _become(self, state: str, say: Callable[[str], None] | None) -> None:
        compute.change(self.workspace.folder, self.name, {"state": state})
        if say is not None:
            say(state)

    def _properties(self) -> dict[str, Any]:
        return self.get_status().serialize()
