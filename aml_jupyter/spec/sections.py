"""The parts of an Environment: its Python, its image, and what Spark and Databricks add."""

from __future__ import annotations

import os
from collections.abc import Mapping

from aml_jupyter.errors import UserErrorException

from .conda import CondaDependencies
from .docker_context import DockerBuildContext
from .fields import Section, as_mapping, keys, shown

IMAGES_OF_V1 = "mcr.microsoft.com/azureml/"
"""What the names of v1's images begin with: it puts one into every environment, unasked."""

DEFAULT_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:20251130.v1"
DEFAULT_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.8-cudnn8-ubuntu22.04:20251130.v1"
MPI_CPU_IMAGE = "mcr.microsoft.com/azureml/base:intelmpi2018.3-ubuntu16.04"
MPI_GPU_IMAGE = "mcr.microsoft.com/azureml/base-gpu:intelmpi2018.3-cuda10.0-cudnn7-ubuntu16.04"


class ContainerRegistry(Section):
    """Where an image is kept, and who may fetch it."""

    _keys = keys("address", "username", "password", "registry_identity")

    def __init__(self) -> None:
        self.address: str | None = None
        self.username: str | None = None
        self.password: str | None = None
        self.registry_identity: object = None

    def __repr__(self) -> str:
        # The password is kept out of notebooks and logs.
        return f"ContainerRegistry(address={self.address!r}, username={self.username!r})"


class DockerPlatform(Section):
    """The operating system and processor that an image is for."""

    _keys = keys("os", "architecture")

    def __init__(self) -> None:
        self.os = "Linux"
        self.architecture = "amd64"


class PythonSection(Section):
    """The interpreter of an environment, and the packages in it."""

    _keys = keys(
        "user_managed_dependencies",
        "interpreter_path",
        "conda_dependencies_file",
        "base_conda_environment",
    )

    def __init__(self, **kwargs: object) -> None:
        self.user_managed_dependencies: bool = False
        self.interpreter_path: str = "python"
        self.base_conda_environment: str | None = None
        self.conda_dependencies: CondaDependencies | None = CondaDependencies()
        self._conda_dependencies_file: str | None = None
        set_known(self, kwargs, "conda_dependencies")

    @property
    def conda_dependencies_file(self) -> str | None:
        """The file that the packages come from; setting it reads the file if it is there."""
        return self._conda_dependencies_file

    @conda_dependencies_file.setter
    def conda_dependencies_file(self, path: str | None) -> None:
        self._conda_dependencies_file = path
        if path is not None and os.path.isfile(path):
            self.conda_dependencies = CondaDependencies(path)

    def update(self, record: Mapping[str, object], where: str = "") -> None:
        """Take over the fields that ``record`` names, packages written inline included."""
        super().update(record, where)
        if "condaDependencies" in record:
            inline, where = record["condaDependencies"], f"{where}.condaDependencies"
            self.conda_dependencies = (
                CondaDependencies.from_dict(as_mapping(inline, where), where) if inline else None
            )

    def _take(self, field: str, value: object, where: str) -> None:
        if field == "conda_dependencies_file":
            # Relative to wherever the record lies, so whoever reads the record has to find it.
            self._conda_dependencies_file = None if value is None else str(value)
        else:
            super()._take(field, value, where)


class DockerSection(Section):
    """The image of an environment, and how its container is started.

    Only one of ``base_image``, ``base_dockerfile`` and ``build_context`` holds:
    setting one clears the other two.
    """

    _keys = keys(
        "enabled",
        "base_image",
        "base_dockerfile",
        "build_context",
        "shared_volumes",
        "shm_size",
        "arguments",
        "base_image_registry",
        "platform",
    )

    def __init__(self, **kwargs: object) -> None:
        self.enabled: bool = False
        self.shared_volumes: bool = True
        self.shm_size: str | None = "2g"
        self.gpu_support: bool = False
        self.arguments: list[str] = []
        self.base_image_registry = ContainerRegistry()
        self.platform = DockerPlatform()
        self._base_dockerfile: str | None = None
        self._build_context: DockerBuildContext | None = None
        self._base_image: str | None = DEFAULT_CPU_IMAGE
        set_known(self, kwargs, "gpu_support")

    @property
    def has_own_image(self) -> bool:
        """Whether an image is named that is not v1's own, or a Dockerfile; all others may do."""
        image = self._base_image or ""
        is_said = self._base_dockerfile is not None or self._build_context is not None
        return is_said or bool(image and not image.startswith(IMAGES_OF_V1))

    @property
    def base_image(self) -> str | None:
        """The name of the image to start from; None when a Dockerfile says it."""
        return self._base_image

    @base_image.setter
    def base_image(self, image: str | None) -> None:
        if image is not None:
            self._base_dockerfile = self._build_context = None
        self._base_image = image

    @property
    def base_dockerfile(self) -> str | None:
        """A Dockerfile's text, or where it is; :meth:`dockerfile_text` gives the text of both."""
        return self._base_dockerfile

    @base_dockerfile.setter
    def base_dockerfile(self, dockerfile: str | None) -> None:
        if dockerfile is not None:
            self._base_image = self._build_context = None
        self._base_dockerfile = dockerfile

    @property
    def build_context(self) -> DockerBuildContext | None:
        """The folder, with its Dockerfile, that the image is built from; a path may be set."""
        return self._build_context

    @build_context.setter
    def build_context(self, context: DockerBuildContext | str | os.PathLike[str] | None) -> None:
        if context is not None:
            self._base_image = self._base_dockerfile = None
        self._build_context = DockerBuildContext.of(context)

    def dockerfile_text(self) -> str | None:
        """The Dockerfile's text; None when there is no Dockerfile."""
        dockerfile = self._base_dockerfile
        return dockerfile if dockerfile is None else text_or_file(dockerfile)

    def _take(self, field: str, value: object, where: str) -> None:
        if field == "build_context" and isinstance(value, Mapping):
            context = DockerBuildContext()
            context.update(value, where)
            self.build_context = context
        else:
            super()._take(field, value, where)

    def to_json(self) -> dict[str, object]:
        """The fields under v1's keys; a Dockerfile is in it with its text."""
        return {**super().to_json(), "baseDockerfile": self.dockerfile_text()}

    def definition(self) -> dict[str, object]:
        """The section as run definitions show it, with the registry's password left out."""
        registry = shown(self.base_image_registry, "address", "username", "password")
        return {
            **shown(self, "baseImage", "baseDockerfile", "platform", "enabled", "arguments"),
            "baseImageRegistry": {**registry, "password": None},
        }


class SparkSection(Section):
    """The packages that Spark adds to an environment."""

    _keys = keys("repositories", "packages", "precache_packages")

    def __init__(self) -> None:
        self.repositories: list[str] = []
        self.packages: list[object] = []
        self.precache_packages = True


class DatabricksSection(Section):
    """The libraries that Databricks adds to an environment."""

    _keys = keys(
        "maven_libraries", "pypi_libraries", "rcran_libraries", "jar_libraries", "egg_libraries"
    )

    def __init__(self) -> None:
        self.maven_libraries: list[object] = []
        self.pypi_libraries: list[object] = []
        self.rcran_libraries: list[object] = []
        self.jar_libraries: list[object] = []
        self.egg_libraries: list[object] = []


def set_known(section: Section, fields: Mapping[str, object], *more: str) -> None:
    """Set what ``fields`` names rightly; v1 ignores the rest."""
    for field, value in fields.items():
        if field in section._keys or field in more:
            setattr(section, field, value)


def text_or_file(text: str) -> str:
    """What is in the file that ``text`` names; ``text`` itself when it names none."""
    if "\n" in text or not os.path.isfile(text):
        return text
    try:
        with open(text, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserErrorException(
            f"The Dockerfile {text} cannot be read: {error}.", "It has to be a text file in UTF-8."
        ) from error
