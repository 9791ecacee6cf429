"""DockerBuildContext: a folder with a Dockerfile that an image is built from."""

from __future__ import annotations

import enum
import os
from typing import TYPE_CHECKING

from aml_jupyter.errors import RunConfigurationException, UserErrorException

from .fields import Section, keys

if TYPE_CHECKING:
    from .registry import HasEnvironments

_DOCKERFILE = "Dockerfile"


class DockerBuildContext(Section):
    """What ``docker build`` is given: a folder, and which file in it is the Dockerfile.

    ``location`` is the folder's path. v1 names two kinds of location; folders on this machine
    are of the kind ``StorageAccount``, and Git repositories are not fetched here.
    """

    class LocationType(enum.Enum):
        """Where a build context is kept."""

        StorageAccount = 1
        Git = 2

    _keys = keys("location_type", "location", "dockerfile_path")

    def __init__(
        self,
        location_type: DockerBuildContext.LocationType | str | None = None,
        location: str | os.PathLike[str] | None = None,
        dockerfile_path: str = _DOCKERFILE,
    ) -> None:
        self.location_type = location_type
        self.location = None if location is None else os.fspath(location)
        self.dockerfile_path = dockerfile_path

    @property
    def location_type(self) -> str | None:
        """The name of the kind of location; a ``LocationType`` may be set."""
        return self._location_type

    @location_type.setter
    def location_type(self, kind: DockerBuildContext.LocationType | str | None) -> None:
        named = kind.name if isinstance(kind, enum.Enum) else kind
        known = {each.name.lower(): each.name for each in DockerBuildContext.LocationType}
        if named is not None and str(named).lower() not in known:
            raise RunConfigurationException(
                f"There is no location type {kind!r}.", f"Use one of {', '.join(known.values())}."
            )
        self._location_type = None if named is None else known[str(named).lower()]

    @staticmethod
    def from_local_directory(
        workspace: HasEnvironments,
        path: str | os.PathLike[str],
        dockerfile_path: str = _DOCKERFILE,
    ) -> DockerBuildContext:
        """The folder as it is now: a copy of it is kept in the workspace."""
        DockerBuildContext(None, path, dockerfile_path).folder()
        kept = workspace.environment_registry.keep_build_context(path)
        kind = DockerBuildContext.LocationType.StorageAccount
        return DockerBuildContext(kind, kept, dockerfile_path)

    @classmethod
    def of(cls, context: object) -> DockerBuildContext | None:
        """``context`` itself, or the one that a path means."""
        if context is None or isinstance(context, cls):
            return context
        if isinstance(context, (str, os.PathLike)):
            return cls(cls.LocationType.StorageAccount, os.fspath(context))
        raise UserErrorException(
            f"A build context cannot be {context!r} ({type(context).__name__}).",
            "Give a folder, or DockerBuildContext.from_local_directory(workspace, 'folder').",
        )

    def folder(self) -> str:
        """The absolute path of the folder, which is there and has the Dockerfile in it."""
        if self.location_type == DockerBuildContext.LocationType.Git.name or not self.location:
            raise RunConfigurationException(
                f"The build context {self.location!r} is not a folder of this machine.",
                "Clone the repository and use DockerBuildContext.from_local_directory.",
            )
        folder = os.path.abspath(self.location)
        if not os.path.isfile(os.path.join(folder, self.dockerfile_path)):
            raise RunConfigurationException(
                f"The build context {folder} has no {self.dockerfile_path}."
                if os.path.isdir(folder)
                else f"There is no folder {folder} for a build context.",
                "Name a folder with a Dockerfile in it; dockerfile_path says how that is called.",
            )
        return folder
