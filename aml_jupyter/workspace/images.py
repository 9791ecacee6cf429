"""What a build of an environment tells, while it goes on and afterwards."""

from __future__ import annotations

import codecs
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..environments import Build, BuildState, ResolvedEnvironment, cache
from ..environments.recipe import IMAGE
from ..job import layout
from ..spec import Environment

_PAUSE = 0.1
_CHUNK = 1 << 16
_STATUS = {
    cache.WAITING: "Queued",
    cache.BUILDING: "Running",
    cache.READY: "Succeeded",
    cache.FAILED: "Failed",
}


class ImageBuildDetails:
    """The build of an environment: its image, or the packages of a bare process.

    The build goes on by itself; what is told here is read from the disk each time.
    """

    def __init__(
        self, environment: Environment, resolved: ResolvedEnvironment, options: Mapping[str, object]
    ) -> None:
        self._environment = environment
        self._resolved = resolved
        self._wanted_by = f"build {os.getpid()} {layout.guid()}"
        self._build = self._begin(options)

    def _begin(self, options: Mapping[str, object]) -> Build | None:
        """The build under way; None when there is nothing to build, or it is built already."""
        resolved, recipe = self._resolved, self._resolved.recipe
        if recipe is None or cache.find(recipe, options) is not None:
            return None
        return Build.begin(
            recipe,
            wanted_by=self._wanted_by,
            name=self._environment.name,
            options=options,
            secrets=resolved.secrets,
            notes=resolved.notes,
        )

    @property
    def environment(self) -> Environment:
        """The environment that is built."""
        return self._environment

    @property
    def status(self) -> str:
        """How far it is: ``Queued``, ``Running``, ``Succeeded`` or ``Failed``."""
        return _STATUS[self.state().phase]

    def state(self) -> BuildState:
        """How far it is, in detail; with the error if it failed."""
        if self._build is None:
            return BuildState(cache.READY, text="nothing had to be built")
        return self._build.state()

    @property
    def image(self) -> str | None:
        """The name that the image has or will have; None where there is none."""
        return self._resolved.image

    @property
    def dockerfile(self) -> str | None:
        """The text of the Dockerfile that it starts from, or one that names its base image."""
        return dockerfile_of(self._resolved)

    @property
    def interpreter(self) -> str:
        """The path of its Python; for an image, the path inside."""
        return self._resolved.interpreter

    def get_log(self) -> str:
        """What the build has said so far."""
        if self._build is None:
            return self._no_build()
        return "".join(iter(_LogReader(self._build).read, ""))

    def wait_for_completion(self, show_output: bool = True) -> ImageBuildDetails:
        """Return when it is built; BuildError, with the words of whoever refused, when it failed.

        Interrupting this ends the waiting and not the build.
        """
        show = _print if show_output else _be_silent
        if self._build is None:
            show(self._no_build())
            return self
        state = follow(self._build, show)
        self._build.leave(self._wanted_by)
        if state.error is not None:
            raise state.error
        return self

    def _no_build(self) -> str:
        name, resolved = self._environment.name, self._resolved
        if resolved.recipe is None:
            return f"Environment {name} needs no build: it is {resolved.interpreter}.\n"
        return f"Environment {name} is built already: {resolved.image or resolved.interpreter}.\n"

    def __repr__(self) -> str:
        return f"ImageBuildDetails({self._environment.name!r}, status={self.status!r})"


class DockerImageDetails(dict[str, Any]):
    """What an environment's image is made from, under v1's keys."""

    @property
    def name(self) -> str | None:
        """The image's name."""
        found: str | None = self["dockerImage"]["name"]
        return found

    @property
    def registry(self) -> Mapping[str, Any]:
        """Where it is kept; images built here are with the engine, and in no registry."""
        found: Mapping[str, Any] = self["dockerImage"]["registry"]
        return found

    @property
    def image_exists(self) -> bool:
        """Whether it stands ready."""
        return bool(self["imageExistsInRegistry"])

    @property
    def dockerfile(self) -> str | None:
        """The text of the Dockerfile that it starts from."""
        found: str | None = self["ingredients"]["dockerfile"]
        return found


def follow(build: Build, show: Callable[[str], None]) -> BuildState:
    """Hand on what the build says, as it says it; returns how it ended."""
    reader = _LogReader(build)
    while True:
        # In this order: what was said before the end is then always read.
        state = build.state()
        for text in iter(reader.read, ""):
            show(text)
        if state.is_over:
            return state
        time.sleep(_PAUSE)


def image_details(
    environment: Environment, resolved: ResolvedEnvironment, options: Mapping[str, object]
) -> DockerImageDetails:
    """What the environment's image is, and whether it is there."""
    registry, conda = environment.docker.base_image_registry, environment.python.conda_dependencies
    recipe = resolved.recipe
    return DockerImageDetails(
        dockerImage={
            "name": resolved.image,
            "registry": {"address": registry.address, "username": None, "password": None},
        },
        imageExistsInRegistry=recipe is not None
        and cache.find(recipe, options, is_pulled=True) is not None,
        pythonEnvironment={"interpreterPath": resolved.interpreter},
        ingredients={
            "dockerfile": dockerfile_of(resolved),
            "condaSpecificationFile": conda.serialize_to_string() if conda else None,
        },
    )


def dockerfile_of(resolved: ResolvedEnvironment) -> str | None:
    """The Dockerfile's text as it was given, or one that names the base image; else None."""
    recipe = resolved.recipe
    if recipe is None or recipe.kind != IMAGE:
        return None
    return recipe.dockerfile or (f"FROM {recipe.base}\n" if recipe.base else None)


class _LogReader:
    """The build's log from where it was read last; letters cut in two wait for their rest."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self) -> str:
        """The next piece; empty when there is none yet."""
        data = self._build.read_log(self._offset, _CHUNK)
        self._offset += len(data)
        return self._decoder.decode(data)


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _be_silent(text: str) -> None:
    return
