"""Which interpreter an environment means."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from aml_jupyter.errors import RunConfigurationException
from aml_jupyter.spec import CondaDependencies, Environment, process_variables

from .interpreter import find, version_of

_REMEDY = "env.python.user_managed_dependencies = True"
# v1 puts one of its own images into every environment, so these ask for nothing.
_IMAGES_OF_V1 = "mcr.microsoft.com/azureml/"


@dataclass(frozen=True)
class ResolvedEnvironment:
    """What a script of that environment is started with.

    ``kind`` is ``submitter`` (the interpreter that submits) or ``user-managed``.
    ``facts`` is for people and records: what was found, as JSON.
    """

    kind: str
    interpreter: str
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)


def resolve(
    environment: Environment | None = None,
    *,
    default_interpreter: str = sys.executable,
    use_docker: bool = False,
) -> ResolvedEnvironment:
    """The interpreter and variables of ``environment``, checked to be there and to be usable.

    ``default_interpreter`` is the submitter's own: what no environment, or ``python``, means.
    Asked a second time about the same interpreter, this starts no process.
    """
    environment = environment if environment is not None else Environment("default-environment")
    _refuse_image(environment, use_docker)
    if environment.python.user_managed_dependencies:
        kind = "user-managed"
        interpreter = find(environment.python.interpreter_path, default_interpreter)
    elif environment.is_default():
        kind, interpreter = "submitter", find("python", default_interpreter)
    else:
        raise _packages_asked_for(environment)
    facts = {
        "name": environment.name,
        "version": environment.version,
        "kind": kind,
        "interpreter": interpreter,
        "python": version_of(interpreter),
    }
    variables = process_variables(environment.environment_variables)
    return ResolvedEnvironment(kind, interpreter, variables, facts)


def _refuse_image(environment: Environment, use_docker: bool) -> None:
    docker = environment.docker
    image = docker.base_image or ""
    if docker.base_dockerfile is not None:
        what, remedy = "a Dockerfile", "env.docker.base_dockerfile = None"
    elif docker.build_context is not None:
        what, remedy = "a Docker build context", "env.docker.build_context = None"
    elif image and not image.startswith(_IMAGES_OF_V1):
        what, remedy = f"the image {image}", "env.docker.base_image = None"
    elif docker.enabled:
        what, remedy = "a container", "env.docker.enabled = False"
    elif use_docker:
        what, remedy = "a container", "DockerConfiguration(use_docker=False)"
    else:
        return
    raise _only_user_managed(environment, what, f"{remedy} and {_REMEDY}")


def _packages_asked_for(environment: Environment) -> RunConfigurationException:
    conda = environment.python.conda_dependencies or CondaDependencies()
    packages = [*conda.conda_packages, *conda.pip_packages]
    some = ", ".join(packages[:4]) + (", …" if len(packages) > 4 else "")
    return _only_user_managed(environment, f"packages ({some})", _REMEDY)


def _only_user_managed(
    environment: Environment, what: str, remedy: str
) -> RunConfigurationException:
    return RunConfigurationException(
        f"Environment {environment.name!r} asks for {what}; until environments are built here, "
        "only user-managed ones can run.",
        f"Set {remedy}; env.python.interpreter_path names a Python that has the packages.",
    )
