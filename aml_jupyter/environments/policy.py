"""Whether environments are built; with ``AML_ENVIRONMENTS=present`` the present Python does.

It is for a machine without a network that has the packages already, or one that builds nothing.
"""

from __future__ import annotations

import os

from aml_jupyter.errors import RunConfigurationException
from aml_jupyter.spec import Environment
from aml_jupyter.spec.words import near

VARIABLE = "AML_ENVIRONMENTS"
_BUILD, _PRESENT = "build", "present"


def is_stood_in_for(environment: Environment) -> bool:
    """Whether the interpreter that submits is taken instead of building this environment."""
    asked = os.environ.get(VARIABLE) or _BUILD
    if asked not in (_BUILD, _PRESENT):
        raise RunConfigurationException(
            f"{VARIABLE} is {asked!r}, which is not understood.", near(asked, [_BUILD, _PRESENT])
        )
    return asked == _PRESENT and not environment.python.user_managed_dependencies


def what_it_asked_for(environment: Environment) -> str:
    """The packages and the image that it names, for people; empty when it names none."""
    docker, conda = environment.docker, environment.python.conda_dependencies
    asked = [*conda.conda_packages, *conda.pip_packages] if conda is not None else []
    if docker.base_dockerfile is not None or docker.build_context is not None:
        asked.append("a Dockerfile")
    elif docker.has_own_image:
        asked.append(f"the image {docker.base_image}")
    return ", ".join(asked)
