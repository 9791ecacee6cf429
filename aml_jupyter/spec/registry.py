"""What an Environment needs of a workspace: a place where environments are kept and built."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .environment import Environment


class BuildDetails(Protocol):
    """An environment's build, under way or done (v1's ``ImageBuildDetails``)."""

    @property
    def status(self) -> str:
        """How far it is: ``Queued``, ``Running``, ``Succeeded`` or ``Failed``."""

    def get_log(self) -> str:
        """What the build has said so far."""

    def wait_for_completion(self, show_output: bool = True) -> BuildDetails:
        """Return when it is built; BuildError when it failed."""


class EnvironmentRegistry(Protocol):
    """Environments by name and version, and what else of them a workspace keeps."""

    def register(self, environment: Environment) -> Environment:
        """The environment as it is kept now, with its version."""

    def get(self, name: str, version: str | None = None, label: str | None = None) -> Environment:
        """One environment; the latest version unless told otherwise."""

    def latest(self) -> dict[str, Environment]:
        """The latest version of each, by name."""

    def label(self, name: str, version: str, labels: Sequence[str]) -> None:
        """Let the labels stand for this version."""

    def build(self, environment: Environment) -> BuildDetails:
        """Start building the image of an environment."""

    def build_local(self, environment: Environment, use_docker: bool) -> BuildDetails:
        """Build on this machine, and show how far it is."""

    def image_details(self, environment: Environment) -> Mapping[str, Any]:
        """What the environment's image is made from, and its name."""

    def keep_wheel(self, path: str | os.PathLike[str], exist_ok: bool) -> str:
        """Keep a wheel; returns the line by which pip installs it."""

    def keep_build_context(self, path: str | os.PathLike[str]) -> str:
        """Keep a copy of a folder; returns where."""


class HasEnvironments(Protocol):
    """A workspace, as far as environments need it."""

    @property
    def environment_registry(self) -> EnvironmentRegistry:
        """Where its environments are kept."""
