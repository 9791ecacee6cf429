"""ComputeTarget: v1's handles of the targets of a workspace.

``ComputeTarget(workspace, name)`` returns an object of the class that fits; one that is not there
is a ComputeTargetException, which v1's programs catch in order to create it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from ..errors import AmlError, ComputeTargetException, UserErrorException
from ..store.targets import Entry
from . import compute
from .target_settings import INSTANCE, POOL

if TYPE_CHECKING:
    from .workspace import Workspace

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{1,23}")
_RESERVED = ("amlcompute", "local", "containerinstance")
_CLASSES = {
    "local": "compute_target:LocalTarget",
    "docker": "compute_target:DockerTarget",
    POOL: "amlcompute:AmlCompute",
    INSTANCE: "compute_instance:ComputeInstance",
}


class TargetConfiguration:
    """What a target is made from: its type, and settings of that type."""

    def __init__(self, kind: str, settings: Mapping[str, object]) -> None:
        self.kind = kind
        self.settings = {key: value for key, value in settings.items() if value is not None}

    def validate_configuration(self) -> None:
        """Raise if no target could be made from it."""
        compute.read(Entry("to be made", {**self.settings, "type": self.kind}))

    def make(self, workspace: Workspace, name: str) -> ComputeTarget:
        """The target of that name, made or changed."""
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.lower() in _RESERVED:
            raise UserErrorException(
                f"{name!r} is not a name for a compute target.",
                "It has 2 to 24 letters, digits and -, and starts with a letter or digit; "
                f"{', '.join(_RESERVED)} are taken.",
            )
        is_new = compute.put(workspace.folder, name, self.kind, self.settings)
        made = ComputeTarget(workspace, name)
        made._is_new = is_new
        for note in compute.placement(workspace.folder, name).notes:
            print(note, file=sys.stderr)
        return made


class ComputeTarget:
    """A compute target of a workspace; making the object looks it up."""

    _TYPE: ClassVar[str] = ""
    _entry: Entry
    _is_new: bool
    _is_deleted: bool
    workspace: Workspace
    """The workspace that it belongs to."""
    name: str
    """The name, which runs give as their target."""

    def __new__(cls, workspace: Workspace, name: str) -> ComputeTarget:
        """The target of that name, of the class that fits."""
        entry = compute.entry_of(workspace.folder, name)
        made = object.__new__(_class_of(entry.kind))
        made.workspace, made.name, made._entry = workspace, name, entry
        made._is_new = made._is_deleted = False
        return made

    def __init__(self, workspace: Workspace, name: str) -> None:
        # All is done in __new__: the class depends on what the name stands for.
        return

    def __deepcopy__(self, memo: object) -> ComputeTarget:
        # What is submitted is copied whole; a handle stays one, and so does its workspace.
        return self

    @staticmethod
    def create(
        workspace: Workspace, name: str, provisioning_configuration: TargetConfiguration
    ) -> ComputeTarget:
        """A target, written to ``targets.yaml``; one of the same type that is there is changed."""
        return _checked(provisioning_configuration).make(workspace, name)

    @staticmethod
    def attach(
        workspace: Workspace, name: str, attach_configuration: TargetConfiguration
    ) -> ComputeTarget:
        """The same as :meth:`create`, for what is there already, such as a Docker engine."""
        return _checked(attach_configuration).make(workspace, name)

    # What it says

    @property
    def type(self) -> str:
        """v1's word for its class, or the kind of its backend."""
        return self._TYPE or self._entry.kind

    @property
    def provisioning_state(self) -> str:
        """``Succeeded``; ``Failed`` for an entry that is spoiled, ``Deleting`` once it is gone."""
        if self._is_deleted:
            return "Deleting"
        return "Failed" if self.provisioning_errors else "Succeeded"

    @property
    def provisioning_errors(self) -> Any:
        """What is wrong with its entry, as v1's list; None when nothing is."""
        try:
            compute.read(self._entry)
        except AmlError as error:
            return [{"error": {"code": "UserError", "message": error.message}}]
        return None

    @property
    def id(self) -> str:
        """A path in Azure's form."""
        return f"{self.workspace.get_details()['id']}/computes/{self.name}"

    @property
    def location(self) -> str:
        """Where it is said to be: its own word, or its workspace's."""
        return str(self._said("location") or self.workspace.location)

    @property
    def cluster_location(self) -> str:
        """The same as ``location``."""
        return self.location

    @property
    def cluster_resource_id(self) -> str | None:
        """None: there is no resource behind it but this machine."""
        return None

    @property
    def description(self) -> str:
        """What people should know of it."""
        return str(self._said("description") or "")

    @property
    def tags(self) -> dict[str, str]:
        """Keys and values of its user's own."""
        found = self._said("tags")
        return dict(found) if isinstance(found, Mapping) else {}

    @property
    def created_on(self) -> Any:
        """When it was made; None for one that was written by hand."""
        return self._said("created")

    @property
    def modified_on(self) -> Any:
        """When it was last changed by us; else when it was made."""
        return self._said("modified") or self.created_on

    def _said(self, key: str) -> object:
        """A setting as it is used; None when it is not said, or cannot be understood."""
        try:
            return compute.read(self._entry).get(key)
        except AmlError:
            return None

    # What can be done with it

    def refresh_state(self) -> None:
        """Look it up again."""
        self._entry = compute.entry_of(self.workspace.folder, self.name)

    def get_status(self) -> Any:
        """The provisioning state, looked up again."""
        self.refresh_state()
        return self.provisioning_state

    def wait_for_completion(
        self, show_output: bool = False, is_delete_operation: bool = False
    ) -> None:
        """Return at once: a target is there as soon as it is made."""
        if show_output:
            print(f'Provisioning operation finished, operation "{self.provisioning_state}"')

    def delete(self) -> None:
        """Take it out of ``targets.yaml``. Runs that were submitted to it go on."""
        compute.remove(self.workspace.folder, self.name)
        self._is_deleted = True

    def detach(self) -> None:
        """The same as :meth:`delete`: nothing but its entry is ours."""
        self.delete()

    def serialize(self) -> dict[str, Any]:
        """All of it with v1's keys."""
        return {
            "id": self.id,
            "name": self.name,
            "location": self.location,
            "tags": self.tags,
            "properties": {
                "description": self.description,
                "computeType": self.type,
                "computeLocation": self.cluster_location,
                "resourceId": self.cluster_resource_id,
                "provisioningErrors": self.provisioning_errors,
                "provisioningState": self.provisioning_state,
                "properties": self._properties(),
            },
        }

    def _properties(self) -> dict[str, Any]:
        facts = compute.described(self._entry).settings
        return {key: value for key, value in facts.items() if key not in ("type", "tags")}

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(workspace={self.workspace!r}, name={self.name}, id={self.id}, "
            f"type={self.type}, provisioning_state={self.provisioning_state}, "
            f"location={self.location}, tags={self.tags})"
        )

    @staticmethod
    def list(workspace: Workspace) -> list[ComputeTarget]:
        """The targets of ``targets.yaml``, in its order."""
        return [ComputeTarget(workspace, name) for name in workspace.folder.target_entries()]


def _class_of(kind: str) -> type[ComputeTarget]:
    module, _, name = _CLASSES.get(kind, "compute_target:ComputeTarget").partition(":")
    found: type[ComputeTarget] = getattr(import_module(f".{module}", __package__), name)
    return found


def _checked(configuration: object) -> TargetConfiguration:
    if isinstance(configuration, TargetConfiguration):
        return configuration
    raise ComputeTargetException(
        f"A compute target cannot be made from {type(configuration).__name__}.",
        "AmlCompute.provisioning_configuration(max_nodes=2) gives what one is made from.",
    )


class LocalTarget(ComputeTarget):
    """Plain processes on this machine."""

    _TYPE = "local"

    @staticmethod
    def attach_configuration(**settings: object) -> TargetConfiguration:
        """Another target for plain processes here: its own ``slots``, ``gpus`` for each run, …"""
        return TargetConfiguration("local", settings)


class DockerTarget(ComputeTarget):
    """Containers of a Docker engine, here or elsewhere."""

    _TYPE = "docker"

    @staticmethod
    def attach_configuration(**settings: object) -> TargetConfiguration:
        """An engine and how containers are started there: ``host="ssh://me@box"``, ``shm_size``, …

        `aml target add --help` tells which settings there are.
        """
        return TargetConfiguration("docker", settings)


# What is elsewhere --------------------------------------------------------------------------------


class _Elsewhere(ComputeTarget):
    """A class of v1's that stands for machines which are not here."""

    _WHAT: ClassVar[str] = ""
    _INSTEAD: ClassVar[str] = ""

    @classmethod
    def attach_configuration(cls, username: str = "", **facts: Any) -> TargetConfiguration:
        """Accepted, so that programs get as far as the error that says what can be done."""
        return _ElsewhereConfiguration(cls, {"username": username, **facts})

    @classmethod
    def provisioning_configuration(cls, vm_size: str | None = "", **facts: Any) -> Any:
        """Accepted, so that programs get as far as the error that says what can be done."""
        return _ElsewhereConfiguration(cls, {"vm_size": vm_size, **facts})


class _ElsewhereConfiguration(TargetConfiguration):
    def __init__(self, of: type[_Elsewhere], facts: Mapping[str, Any]) -> None:
        super().__init__(of.__name__, facts)
        self._of = of

    def validate_configuration(self) -> None:
        self._refuse("NAME")

    def make(self, workspace: Workspace, name: str) -> ComputeTarget:
        self._refuse(name)

    def _refuse(self, name: str) -> NoReturn:
        user = f"{self.settings['username']}@" if self.settings.get("username") else ""
        place = f"{user}{self.settings.get('address') or 'ADDRESS'}"
        port = self.settings.get("ssh_port") or 22
        place += "" if str(port) == "22" else f":{port}"
        raise ComputeTargetException(
            f"{name} cannot be made: {self._of._WHAT} ({self._of.__name__}).",
            self._of._INSTEAD.format(name=name, place=place),
        )


_BY_SSH = "`aml target add {name} --type docker host=ssh://{place}`"
_A_POOL = "AmlCompute.provisioning_configuration(max_nodes=1) makes a pool on this machine"


class RemoteCompute(_Elsewhere):
    """v1's machine behind SSH."""

    _TYPE = "VirtualMachine"
    _WHAT = "plain processes on a machine behind SSH are not supported yet"
    _INSTEAD = f"Containers there are, if it has a Docker engine: {_BY_SSH}."


class DsvmCompute(_Elsewhere):
    """v1's rented machine."""

    _TYPE = "VirtualMachine"
    _WHAT = "machines are not rented here"
    _INSTEAD = f"{_A_POOL}; one of yours that has a Docker engine: {_BY_SSH}."


class HDInsightCompute(_Elsewhere):
    """v1's Spark cluster."""

    _TYPE = "HDInsight"
    _WHAT = "there are no Spark clusters here"
    _INSTEAD = "With `pyspark` among the packages of its environment, a script runs on `local`."


class KubernetesCompute(_Elsewhere):
    """v1's Kubernetes cluster."""

    _TYPE = "Kubernetes"
    _WHAT = "Kubernetes clusters are not supported"
    _INSTEAD = (
        f"{_A_POOL}; another package may add a kind of target by the entry point group "
        "aml_jupyter.backends."
    )
