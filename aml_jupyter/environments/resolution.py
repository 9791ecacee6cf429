"""What an environment means here: an interpreter, or a recipe for what has to be built first."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from aml_jupyter.errors import RunConfigurationException
from aml_jupyter.spec import CondaDependencies, Environment, process_variables
from aml_jupyter.spec.words import looks_secret

from . import cache, interpreter, policy
from .dockerfile import arguments_of
from .recipe import CONDA, IMAGE, VENV, Recipe
from .shelf import Shelf
from .wishes import Wishes, folder_digest

SUBMITTER, USER_MANAGED = "submitter", "user-managed"

PYTHON_IN_IMAGE = "/opt/aml/env/bin/python"
"""The interpreter of an image that packages were put into."""

IMAGE_NAME = "aml-env"
GPU_IMAGE = "nvidia/cuda:12.4.1-runtime-ubuntu22.04"

_IN_HISTORY = (
    "The build argument {} stays readable in the image's history; for what is secret there is the "
    "target's setting build_secrets."
)
_PYTHON_IMAGE = "python:"
_GPU_WORDS = ("cuda", "gpu")
# Those that have images which are still cared for, newest first.
_MINORS_OF_IMAGES = ("3.14", "3.13", "3.12", "3.11", "3.10", "3.9")
_DEFAULT_PLATFORM = ("linux", "amd64")


@dataclass(frozen=True)
class ResolvedEnvironment:
    """What a script of that environment is started with.

    ``kind`` is ``submitter`` (the interpreter that submits), ``user-managed``, or the kind of
    ``recipe``, which is what has to be built unless it is there. ``interpreter`` is a path,
    known beforehand; in a container with an ``image``, one there. ``facts`` is for people and
    records: what was found, as JSON, with ``notes`` for what is otherwise than asked.
    ``secrets`` are for the builder alone, ``options`` are what else it must be told.
    """

    kind: str
    interpreter: str
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    recipe: Recipe | None = None
    image: str | None = None
    secrets: Mapping[str, object] = field(default_factory=dict, repr=False)
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """What is otherwise than asked, from ``facts``."""
        said = self.facts.get("notes")
        return list(map(str, said)) if isinstance(said, (list, tuple)) else []


def resolve(
    environment: Environment | None = None,
    *,
    default_interpreter: str = sys.executable,
    container: bool = False,
    options: Mapping[str, object] | None = None,
) -> ResolvedEnvironment:
    """What ``environment`` comes to on a bare process, or in a container.

    ``default_interpreter`` is the submitter's own: what no environment, or ``python``, means.
    ``options`` are the target's: its ``base_image`` stands for v1's own images, its ``build_args``
    are given to Dockerfiles. Asked a second time, this starts no process.
    """
    environment = environment if environment is not None else Environment("default-environment")
    if container:
        resolved = _in_container(environment, default_interpreter, options or {})
    elif policy.is_stood_in_for(environment):
        resolved = _stood_in_for(environment, default_interpreter)
    else:
        _refuse_image(environment)
        resolved = _on_bare_process(environment, default_interpreter)
    facts: dict[str, object] = {"name": environment.name, "version": environment.version}
    facts["kind"] = resolved.kind
    notes = [*environment.notes, *resolved.notes]
    facts.update(resolved.facts, **({"notes": notes} if notes else {}))
    variables = process_variables(_of_conda(environment), environment.environment_variables)
    return replace(resolved, environment_variables=variables, facts=facts)


def _of_conda(environment: Environment) -> Mapping[str, object]:
    """The ``variables:`` of a conda file, which whoever activates its environment gets."""
    conda = environment.python.conda_dependencies
    if conda is None or environment.python.user_managed_dependencies:
        return {}
    variables = conda.as_dict().get("variables") or {}
    if isinstance(variables, Mapping):
        return variables
    raise RunConfigurationException(
        f"The conda specification's variables are {variables!r}.",
        "Write `variables:` with a line `NAME: value` below it for each.",
    )


def _on_bare_process(environment: Environment, default_interpreter: str) -> ResolvedEnvironment:
    if environment.python.user_managed_dependencies:
        found = interpreter.find(environment.python.interpreter_path, default_interpreter)
        return _as_it_is(USER_MANAGED, found)
    if not _asks_for_packages(environment):
        return _as_it_is(SUBMITTER, interpreter.find("python", default_interpreter))
    wishes = Wishes.of(environment.python.conda_dependencies)
    if wishes.python == interpreter.CREATED and not wishes.conda:
        wishes.python = None  # what cells send and bring back is pickled by the submitter's own
    own = interpreter.version_of(interpreter.find("python", default_interpreter))
    recipe = Recipe(
        kind=CONDA if wishes.conda else VENV,
        python=wishes.python if wishes.conda else wishes.python or _minor(own),
        pip=tuple(wishes.pip),
        conda=tuple(wishes.conda),
        channels=tuple(wishes.channels) if wishes.conda else (),
        platform=sysconfig.get_platform(),
        contents=tuple(sorted(wishes.contents.items())),
    )
    python, notes = _python_of(recipe)
    facts = _facts(recipe, wishes, python, notes)
    path = str(Shelf.of(recipe.key).env / "bin" / "python")
    return ResolvedEnvironment(
        recipe.kind, path, facts=facts, recipe=recipe, secrets=wishes.secrets
    )


def _stood_in_for(environment: Environment, default_interpreter: str) -> ResolvedEnvironment:
    """The submitter's own interpreter, with a note if the environment asks for more."""
    found = _as_it_is(SUBMITTER, interpreter.find("python", default_interpreter))
    asked = policy.what_it_asked_for(environment) if _asks_for_more(environment) else ""
    if not asked:
        return found
    note = f"{policy.VARIABLE}=present: {found.interpreter} stands for what it asks for: {asked}."
    return replace(found, facts={**found.facts, "notes": [note]})


def _as_it_is(kind: str, found: str) -> ResolvedEnvironment:
    facts = {"interpreter": found, "python": interpreter.version_of(found)}
    return ResolvedEnvironment(kind, found, facts=facts)


def _python_of(recipe: Recipe) -> tuple[str, list[str]]:
    """The version that there is or will be, and what is to be said about it."""
    built = cache.find(recipe)
    if built is not None:
        return built.python, list(built.notes)
    if recipe.kind == CONDA:
        return recipe.python or "", []
    first = interpreter.choices(recipe.python)[0]
    if first.is_fetched:
        return recipe.python or "", []
    note = interpreter.difference(recipe.python, first.version)
    return first.version, [note] if note else []


def _in_container(
    environment: Environment, default_interpreter: str, options: Mapping[str, object]
) -> ResolvedEnvironment:
    python = environment.python
    wants = _asks_for_packages(environment) and not python.user_managed_dependencies
    wishes = Wishes.of(python.conda_dependencies if wants else None, in_container=True)
    if wishes.python in interpreter.UNASKED:
        wishes.python = None
    own = interpreter.version_of(interpreter.find("python", default_interpreter))
    given = str(options.get("base_image") or "")
    base, notes = _base_image(environment, wishes.python, own, given)
    if base == GPU_IMAGE:
        wishes.python = wishes.python or _minor(own)  # CUDA's own images have none
    recipe, told = _image_recipe(environment, wishes, base)
    recipe = replace(recipe, build_args=_build_args(recipe.dockerfile, options))
    notes += [_IN_HISTORY.format(name) for name, _ in recipe.build_args if looks_secret(name)]
    is_made = recipe.adds_packages or recipe.dockerfile is not None
    return ResolvedEnvironment(
        IMAGE,
        PYTHON_IN_IMAGE if recipe.adds_packages else python.interpreter_path or "python",
        facts=_facts(recipe, wishes, recipe.python or "", notes),
        recipe=recipe,
        image=f"{IMAGE_NAME}:{recipe.key}" if is_made else recipe.base,
        secrets={**wishes.secrets, **_registry(environment)},
        options=told,
    )


def _build_args(text: str | None, options: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """The target's build arguments that a Dockerfile asks for; others change nothing."""
    given = options.get("build_args")
    if text is None or not isinstance(given, Mapping):
        return ()
    names = sorted(arguments_of(text).intersection(given))
    return tuple((name, str(given[name])) for name in names)


def _image_recipe(
    environment: Environment, wishes: Wishes, base: str | None
) -> tuple[Recipe, dict[str, object]]:
    """The recipe, and what its builder must be told besides."""
    docker = environment.docker
    has_python = base is not None and base.startswith(_PYTHON_IMAGE)
    recipe = Recipe(
        kind=IMAGE,
        python=None if has_python else wishes.python,
        pip=tuple(wishes.pip),
        conda=tuple(wishes.conda),
        channels=tuple(wishes.channels) if wishes.conda else (),
        base=base,
        dockerfile=docker.dockerfile_text(),
        platform=_platform(environment),
        contents=tuple(sorted(wishes.contents.items())),
    )
    return _with_context(recipe, docker.build_context)


def _base_image(
    environment: Environment, python: str | None, own: str, base_image: str
) -> tuple[str | None, list[str]]:
    """The image to start from, None for a Dockerfile's; and what to say if it is not v1's."""
    docker = environment.docker
    if docker.base_dockerfile is not None or docker.build_context is not None:
        return None, []
    asked = docker.base_image
    if asked and docker.has_own_image:
        address = docker.base_image_registry.address
        whole = not address or asked.startswith(f"{address}/")
        return asked if whole else f"{address}/{asked}", []
    if base_image:
        taken = base_image
    elif asked and any(word in asked for word in _GPU_WORDS):
        taken = GPU_IMAGE
    else:
        taken = f"{_PYTHON_IMAGE}{_minor_for_image(python, own)}-slim"
    return taken, [f"The image {taken} is taken instead of {asked or 'none'}."]


def _minor_for_image(python: str | None, own: str) -> str:
    """The Python of the image: the one asked for if there is an image of it, or the submitter's."""
    asked = python or _minor(own)
    if not interpreter.is_range(asked):
        return _minor(asked) if _minor(asked) in _MINORS_OF_IMAGES else _minor(own)
    fitting = (
        minor for minor in (_minor(own), *_MINORS_OF_IMAGES) if interpreter.fits(minor, asked)
    )
    return next(fitting, _minor(own))


def _with_context(recipe: Recipe, context: object) -> tuple[Recipe, dict[str, object]]:
    """The recipe with the build context's Dockerfile and digest, and where the folder is."""
    from aml_jupyter.spec.docker_context import DockerBuildContext

    found = DockerBuildContext.of(context)
    if found is None:
        return recipe, {}
    folder = found.folder()
    with open(os.path.join(folder, found.dockerfile_path), encoding="utf-8") as file:
        text = file.read()
    digest = folder_digest(folder, whole=True)
    return replace(recipe, dockerfile=text, context=digest), {"context_folder": folder}


def _platform(environment: Environment) -> str:
    """The platform when one was asked for; v1's own default means the engine's."""
    platform = environment.docker.platform
    asked = (platform.os.lower(), platform.architecture.lower())
    return "" if asked == _DEFAULT_PLATFORM else "/".join(asked)


def _registry(environment: Environment) -> dict[str, object]:
    registry = environment.docker.base_image_registry
    if not registry.username:
        return {}
    login = {"username": registry.username, "password": registry.password or ""}
    return {"registry": {**login, "address": registry.address or ""}}


def _asks_for_packages(environment: Environment) -> bool:
    """Whether the packages are others than those that v1's template has in every environment."""
    conda = environment.python.conda_dependencies
    return conda is not None and conda.as_dict() != CondaDependencies().as_dict()


def _asks_for_more(environment: Environment) -> bool:
    """Whether it asks for packages, or for an image that is not v1's own."""
    docker = environment.docker
    own = (docker.base_dockerfile, docker.build_context)
    return _asks_for_packages(environment) or docker.has_own_image or own != (None, None)


def _facts(recipe: Recipe, wishes: Wishes, python: str, notes: Sequence[str]) -> dict[str, object]:
    satisfied = sorted(wishes.satisfied)
    said = list(notes)
    if satisfied:
        said.append(f"{', '.join(satisfied)}: aml_jupyter stands for these; left out.")
    found = {
        "python": python,
        "key": recipe.key,
        "base": recipe.base,
        "satisfied": satisfied,
        "notes": said,
    }
    return {name: value for name, value in found.items() if value}


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _refuse_image(environment: Environment) -> None:
    docker = environment.docker
    if docker.base_dockerfile is not None:
        what, drop = "a Dockerfile", "env.docker.base_dockerfile = None"
    elif docker.build_context is not None:
        what, drop = "a Docker build context", "env.docker.build_context = None"
    elif docker.has_own_image:
        what, drop = f"the image {docker.base_image}", "env.docker.base_image = None"
    else:
        return
    raise RunConfigurationException(
        f"Environment {environment.name!r} asks for {what}, which a bare process cannot have.",
        "Submit to the target 'docker', or with DockerConfiguration(use_docker=True); "
        f"or set {drop}.",
    )
