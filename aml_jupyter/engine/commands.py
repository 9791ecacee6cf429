"""The docker command, for what the engine's API alone cannot do: builds by BuildKit."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .client import Engine

_SECONDS_TO_ANSWER = 15
_FIRST_WITH_BUILDKIT = (18, 9)
_FIRST_WITHOUT_OWN = (23, 0)
_FIRST_API = (1, 39)


@dataclass(frozen=True)
class BuildCommand:
    """How a docker command is asked to build by BuildKit: its words, and variables to set."""

    words: tuple[str, ...]
    variables: Mapping[str, str]


class BuildCommandSearch:
    """Looks for a docker command, in a thread, while its caller gets hold of the engine.

    Nothing of it is remembered: who installs buildx changes nothing about the docker command.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        worker = ThreadPoolExecutor(1, "build-command")
        self._words = worker.submit(_words, variables)
        worker.shutdown(wait=False)

    def result(self, engine: Engine) -> BuildCommand | None:
        """The first on the PATH that can build by this engine's BuildKit, if any."""
        if engine.is_podman or engine.api_version < _FIRST_API:
            return None
        words = self._words.result()
        return _led_to(engine, words) if words else None


def find_build_command(engine: Engine, variables: Mapping[str, str]) -> BuildCommand | None:
    """The first docker command on the PATH that can build by this engine's BuildKit, if any."""
    return BuildCommandSearch(variables).result(engine)


def _led_to(engine: Engine, words: tuple[str, ...]) -> BuildCommand:
    # Whatever context or builder is chosen elsewhere, this engine builds and keeps the image.
    ours = {"DOCKER_CONTEXT": "", "DOCKER_TLS_VERIFY": "", "DOCKER_TLS": "", "DOCKER_CERT_PATH": ""}
    ours |= {**engine.address.variables(), "DOCKER_CLI_HINTS": "false"}
    ours |= {"BUILDX_BUILDER": "default", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    # What builds by itself needs to be told, and buildx heeds it not.
    return BuildCommand(words, ours if "buildx" in words else {**ours, "DOCKER_BUILDKIT": "1"})


def _words(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The words that begin a build by BuildKit; none when no docker command knows how."""
    for docker in _on_path(variables):
        version = _version(docker, variables)
        if _FIRST_WITH_BUILDKIT <= version < _FIRST_WITHOUT_OWN:
            return (docker, "build")
        if version and _says(docker, ("buildx", "version"), variables):
            return (docker, "buildx", "build", "--load")
    return ()


def _on_path(variables: Mapping[str, str]) -> Iterator[str]:
    for folder in variables.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, "docker")
        if folder and os.access(path, os.X_OK) and os.path.isfile(path):
            yield path


def _version(docker: str, variables: Mapping[str, str]) -> tuple[int, ...]:
    # Podman's stand-in for the docker command names itself, so it has no version here.
    found = re.match(r"Docker version (\d+)\.(\d+)", _says(docker, ("--version",), variables))
    return (int(found[1]), int(found[2])) if found else ()


def _says(docker: str, asked: tuple[str, ...], variables: Mapping[str, str]) -> str:
    try:
        answer = subprocess.run(
            [docker, *asked],
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS_TO_ANSWER,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""
