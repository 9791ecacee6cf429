"""What a workspace is called and what is kept in it: for every handle on one."""

from __future__ import annotations

from abc import ABC, abstractmethod

from aml_jupyter.job.mlflow_names import address_of

from .place import root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

    from .datastore import Datastore
    from .keyvault import Keyvault
    from .models import Model

PROVIDER = "Microsoft.MachineLearningServices/workspaces"
"""What Azure calls a workspace."""


class WorkspaceFacts(ABC):
    """A workspace, to be read."""

    @property
    @abstractmethod
    def _record(self) -> Mapping[str, Any]:
        """What its folder says of it."""

    @property
    def name(self) -> str:
        """The name."""
        return str(self._record.get("name"))

    @property
    def subscription_id(self) -> str:
        """A name from Azure's world, kept because samples print it."""
        return str(self._record.get("subscription_id"))

    @property
    def resource_group(self) -> str:
        """A name from Azure's world, kept because samples print it."""
        return str(self._record.get("resource_group"))

    @property
    def location(self) -> str:
        """``local``, or what a config from Azure said."""
        return str(self._record.get("location") or "local")

    def get_mlflow_tracking_uri(self, _with_auth: bool = False) -> str:
        """The address of this workspace for ``mlflow.set_tracking_uri``."""
        return address_of(root_of(self))

    @property
    def models(self) -> dict[str, Model]:
        """The latest version of each registered model, by name."""
        from .models import Model

        return {model.name: model for model in Model.list(self, latest=True)}

    @property
    def datasets(self) -> Mapping[str, Any]:
        """The latest version of every registered dataset, by name; each read when asked for."""
        from .dataset import Dataset

        return Dataset.get_all(self)

    @property
    def datastores(self) -> dict[str, Datastore]:
        """The datastores by name."""
        from .datastore import Datastore

        return Datastore.all(self)

    def get_default_datastore(self) -> Datastore:
        """``workspaceblobstore``, unless another was set."""
        from .datastore import Datastore

        return Datastore.get_default(self)

    def get_default_keyvault(self) -> Keyvault:
        """Where secrets of this workspace are kept."""
        from .keyvault import Keyvault

        return Keyvault(self)

    def _scope(self) -> str:
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/{PROVIDER}/{self.name}"
        )

    def __repr__(self) -> str:
        return (
            f"Workspace.create(name='{self.name}', subscription_id='{self.subscription_id}', "
            f"resource_group='{self.resource_group}')"
        )
