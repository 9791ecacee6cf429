"""The Environment that the parameters of an estimator describe."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from aml_jupyter.errors import TrainingException, meant

from .conda import CondaDependencies
from .environment import Environment
from .frameworks import FrameworkPackages
from .requirements import pip_name, read_requirements
from .sections import DEFAULT_GPU_IMAGE, ContainerRegistry

_ALIASES = {
    "custom_docker_base_image": "custom_docker_image",
    "conda_dependencies_file_path": "conda_dependencies_file",
    "pip_requirements_file_path": "pip_requirements_file",
}
# What an environment_definition leaves no room for.
_IN_DEFINITION = (
    "custom_docker_image",
    "image_registry_details",
    "user_managed",
    "conda_packages",
    "pip_packages",
    "conda_dependencies_file",
    "pip_requirements_file",
)


@dataclass(frozen=True)
class Surroundings:
    """The parameters of an estimator that describe its environment.

    ``use_docker=True`` by itself asks for nothing, since the target says whether its runs go
    into containers; naming an image does ask for one. Files are looked for in the estimator's
    source directory, then from here.
    """

    use_docker: bool = True
    custom_docker_image: str | None = None
    image_registry_details: ContainerRegistry | None = None
    user_managed: bool = False
    conda_packages: Sequence[str] | None = None
    pip_packages: Sequence[str] | None = None
    conda_dependencies_file: str | os.PathLike[str] | None = None
    pip_requirements_file: str | os.PathLike[str] | None = None
    environment_variables: Mapping[str, str] | None = None
    shm_size: str | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, object], estimator: str) -> Surroundings:
        """The surroundings in ``parameters``, which may use v1's older names too."""
        known = [field.name for field in fields(cls)]
        given: dict[str, object] = {}
        for name, value in parameters.items():
            newer = _ALIASES.get(name, name)
            if newer not in known:
                taken = f"It takes, besides its own: {', '.join(known)}."
                hint = " ".join(filter(None, [meant(name, known), taken]))
                raise TypeError(f"{estimator}() has no argument {name!r}. {hint}")
            if value is not None and given.get(newer) is not None:
                raise TrainingException(
                    f"{estimator} got {newer} twice, under an older name too.", "Leave out one."
                )
            if value is not None:
                given[newer] = value
        return cls(**given)  # type: ignore[arg-type]

    def environment(
        self,
        name: str,
        folder: str,
        use_gpu: bool,
        framework: FrameworkPackages | None = None,
        beside: Sequence[str] = (),
    ) -> Environment:
        """The environment with these packages and those of the framework.

        ``beside`` are packages that are needed as well where any are installed.
        """
        made = Environment(name)
        self._choose_image(made, name, use_gpu)
        if self.user_managed:
            made.python.user_managed_dependencies = True
            return made
        made.python.conda_dependencies = conda = self._packages(folder, framework, beside)
        if framework is not None and set(framework.requirements) <= set(conda.pip_packages):
            # With a version of the user's own nothing was taken in place of another.
            made.notes += [framework.note] if framework.note else []
        return made

    def within(self, definition: Environment, estimator: str) -> Environment:
        """``definition`` itself; refused together with parameters that it decides already."""
        nothing = Surroundings()
        for name in _IN_DEFINITION:
            if getattr(self, name) != getattr(nothing, name):
                raise TrainingException(
                    f"{estimator} got both environment_definition and {name}.",
                    "Put everything into the environment, or leave it out.",
                )
        return definition

    def _choose_image(self, made: Environment, name: str, use_gpu: bool) -> None:
        if use_gpu:
            made.docker.base_image = DEFAULT_GPU_IMAGE
        if self.custom_docker_image is None:
            return
        if not self.use_docker:
            raise TrainingException(
                f"{name} names the image {self.custom_docker_image} with use_docker=False.",
                "Leave out one of them.",
            )
        made.docker.base_image = self.custom_docker_image
        made.docker.enabled = True
        if self.image_registry_details is not None:
            made.docker.base_image_registry = self.image_registry_details

    def _packages(
        self, folder: str, framework: FrameworkPackages | None, beside: Sequence[str]
    ) -> CondaDependencies:
        if self.conda_dependencies_file is not None:
            conda = CondaDependencies(_found(folder, self.conda_dependencies_file))
        elif self._asks_for_packages or framework is not None:
            conda = CondaDependencies.create()
        else:
            # v1's template: it asks for nothing, so the interpreter that submits serves.
            return CondaDependencies()
        for package in self.conda_packages or ():
            conda.add_conda_package(package)
        wanted = [*conda.pip_options, *conda.pip_packages]
        if self.pip_requirements_file is not None:
            wanted = _over(wanted, read_requirements(_found(folder, self.pip_requirements_file)))
        wanted = _over(wanted, self.pip_packages or ())
        # The user's own version of a framework's package takes the place of ours.
        ours = [*(framework.requirements if framework else ()), *beside]
        conda.set_pip_requirements(_over(ours, wanted))
        return conda

    @property
    def _asks_for_packages(self) -> bool:
        return bool(self.conda_packages or self.pip_packages or self.pip_requirements_file)


def _over(entries: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Both, but of a package that is in both only what is wanted."""
    wanted = list(wanted)
    names = {pip_name(entry) for entry in wanted}
    return [*(entry for entry in entries if pip_name(entry) not in names), *wanted]


def _found(folder: str, path: str | os.PathLike[str]) -> str:
    """The file in the source directory, else the one from here."""
    inside = os.path.join(folder, os.fspath(path))
    return inside if os.path.isfile(inside) else os.fspath(path)
