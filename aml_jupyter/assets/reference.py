"""DataReference, DataPath and DataPathComputeBinding: a path in a datastore, meant for a run."""

from __future__ import annotations

import os
import re

from aml_jupyter.errors import UserErrorException, near

from .files import path_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MODES = ("mount", "download", "upload")

_NAME = re.compile(r"[A-Za-z0-9_]+")


class DataReference:
    """A path in a datastore under a name; as an argument of a run it becomes the path there.

    ``str()`` is ``$AZUREML_DATAREFERENCE_<name>``, the variable that holds the path in the run.
    """

    def __init__(
        self,
        datastore: Any,
        data_reference_name: str | None = None,
        path_on_datastore: str | None = None,
        mode: str = "mount",
        path_on_compute: str | None = None,
        overwrite: bool = False,
    ) -> None:
        self.datastore = _checked_store(datastore)
        self.data_reference_name = _checked_name(data_reference_name or datastore.name)
        self.path_on_datastore = _path_or_none(path_on_datastore)
        self.mode = _checked_mode(mode)
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite

    @staticmethod
    def create(
        data_reference_name: str | None = None,
        datapath: DataPath | None = None,
        datapath_compute_binding: DataPathComputeBinding | None = None,
    ) -> DataReference:
        """The reference made of a path and of how a run gets at it."""
        if not isinstance(datapath, DataPath):
            raise UserErrorException(
                f"A data reference is made of a DataPath, not of {datapath!r}.",
                "For example DataReference.create('data', DataPath(datastore, 'folder')).",
            )
        how = datapath_compute_binding or DataPathComputeBinding()
        return DataReference(
            datapath.datastore,
            data_reference_name or datapath.name,
            datapath.path_on_datastore,
            how.mode,
            how.path_on_compute,
            how.overwrite,
        )

    def path(
        self, path: str | None = None, data_reference_name: str | None = None
    ) -> DataReference:
        """A path below this one."""
        joined = "/".join(part for part in (self.path_on_datastore, path_within(path)) if part)
        return self._with(
            data_reference_name=data_reference_name or fresh_name(), path_on_datastore=joined
        )

    def as_mount(self) -> DataReference:
        """The same, mounted in the run."""
        return self._with(mode="mount")

    def as_download(
        self, path_on_compute: str | None = None, overwrite: bool = False
    ) -> DataReference:
        """The same, copied into the run before it starts."""
        return self._with(mode="download", path_on_compute=path_on_compute, overwrite=overwrite)

    def as_upload(
        self, path_on_compute: str | None = None, overwrite: bool = False
    ) -> DataReference:
        """The same, filled from the run after it ended."""
        return self._with(mode="upload", path_on_compute=path_on_compute, overwrite=overwrite)

    def _with(self, **changes: Any) -> DataReference:
        facts = {
            "data_reference_name": self.data_reference_name,
            "path_on_datastore": self.path_on_datastore,
            "mode": self.mode,
            "path_on_compute": self.path_on_compute,
            "overwrite": self.overwrite,
        }
        return DataReference(self.datastore, **{**facts, **changes})

    def to_config(self) -> Any:
        """What ``run_config.data_references[name]`` takes: a ``DataReferenceConfiguration``."""
        from importlib import import_module

        configurations = import_module("aml_jupyter.spec.configurations")
        return configurations.DataReferenceConfiguration(
            self.datastore.name,
            self.mode,
            self.path_on_datastore,
            self.path_on_compute,
            self.overwrite,
        )

    def __str__(self) -> str:
        return f"$AZUREML_DATAREFERENCE_{self.data_reference_name}"

    def __repr__(self) -> str:
        return str(self)


class DataPath:
    """A path in a datastore."""

    def __init__(
        self,
        datastore: Any = None,
        path_on_datastore: str | None = None,
        name: str | None = None,
    ) -> None:
        self.datastore = _checked_store(datastore)
        self._path = _path_or_none(path_on_datastore)
        self.name = name

    @property
    def datastore_name(self) -> str:
        """The name of the datastore."""
        return str(self.datastore.name)

    @property
    def path_on_datastore(self) -> str | None:
        """The path in it; None for all of it."""
        return self._path

    def create_data_reference(
        self,
        data_reference_name: str | None = None,
        datapath_compute_binding: DataPathComputeBinding | None = None,
    ) -> DataReference:
        """A reference to this path, for a run."""
        return DataReference.create(data_reference_name, self, datapath_compute_binding)

    @staticmethod
    def create_from_data_reference(data_reference: DataReference) -> DataPath:
        """The path that a reference leads to."""
        return DataPath(
            data_reference.datastore,
            data_reference.path_on_datastore,
            data_reference.data_reference_name,
        )

    def __repr__(self) -> str:
        return f"DataPath({self.datastore_name!r}, {self._path!r})"


class DataPathComputeBinding:
    """How a run gets at a path of a datastore."""

    def __init__(
        self, mode: str = "mount", path_on_compute: str | None = None, overwrite: bool = False
    ) -> None:
        self.mode = _checked_mode(mode)
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite

    def create_data_reference(
        self, data_reference_name: str | None = None, datapath: DataPath | None = None
    ) -> DataReference:
        """A reference that leads to ``datapath`` this way."""
        return DataReference.create(data_reference_name, datapath, self)

    @staticmethod
    def create_from_data_reference(data_reference: DataReference) -> DataPathComputeBinding:
        """The way that a reference goes."""
        return DataPathComputeBinding(
            data_reference.mode, data_reference.path_on_compute, data_reference.overwrite
        )

    def __repr__(self) -> str:
        return f"DataPathComputeBinding({self.mode!r}, {self.path_on_compute!r})"


def fresh_name() -> str:
    """A name for a reference that nobody else has."""
    return os.urandom(16).hex()


def _path_or_none(path: str | None) -> str | None:
    """The path as it is kept, with the ``/`` that says that a folder is meant."""
    within = path_within(path)
    return f"{within}/" if within and str(path).endswith("/") else within or None


def _checked_store(datastore: Any) -> Any:
    if hasattr(datastore, "name") and hasattr(datastore, "datastore_type"):
        return datastore
    raise UserErrorException(
        f"A datastore is needed here, not {datastore!r}.",
        "ws.get_default_datastore() and Datastore.get(ws, name) give one.",
    )


def _checked_name(name: object) -> str:
    if isinstance(name, str) and _NAME.fullmatch(name.replace("-", "_")):
        return name
    raise UserErrorException(
        f"{name!r} is not a name for a data reference.", "Use letters, digits and _."
    )


def _checked_mode(mode: object) -> str:
    if mode in MODES:
        return str(mode)
    raise UserErrorException(f"There is no mode {mode!r}.", near(str(mode), MODES))
