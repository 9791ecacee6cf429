"""What can go wrong with an engine, and how the words of others become ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from aml_jupyter.errors import AmlError


class EngineError(AmlError):
    """A container engine refused, or could not do, what was asked of it.

    ``status`` is the engine's HTTP status, where it gave one.
    """

    status: int | None = None


class EngineAway(EngineError):
    """No engine answers: it does not run, is out of reach, or is not for this user."""


class NotThere(EngineError):
    """The engine knows no such container, network or volume."""


class ImageMissing(NotThere):
    """The engine has no such image and could not get it."""


class Conflict(EngineError):
    """The name is taken, or the thing is not in the state for what was asked."""


@contextmanager
def translated(doing: str, where: str = "the container engine") -> Iterator[None]:
    """Raise what goes wrong inside as an :class:`EngineError`.

    ``doing`` begins the message: ``The container could not be started``.
    """
    from docker.errors import DockerException, StreamParseError
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    foreign = (DockerException, StreamParseError, RequestException, HTTPError)
    try:
        yield
    except (*foreign, ConnectionError, TimeoutError) as error:
        raise translate(error, doing, where) from error


def translate(error: BaseException, doing: str, where: str) -> EngineError:
    """The error of ours that says what ``error`` says."""
    from docker.errors import APIError, BuildError, ContainerError, TLSParameterError

    if isinstance(error, APIError) and error.status_code is not None:
        return _refusal(error, doing, where)
    if isinstance(error, TLSParameterError):
        return EngineError(
            f"{doing}: the certificates for {where} cannot be used: {error.msg}.",
            "DOCKER_CERT_PATH names the folder that holds ca.pem, cert.pem and key.pem.",
        )
    if isinstance(error, (BuildError, ContainerError)):
        return EngineError(f"{doing}: {error}", "Its log says more.")
    if _is_of_the_client(error):
        return EngineError(f"{doing}: {error}", "Look at the settings of the target.")
    return _away(error, doing, where)


def _is_of_the_client(error: BaseException) -> bool:
    """Whether docker-py itself refused, before it asked any engine."""
    from docker.errors import DockerException, StreamParseError

    ours = isinstance(error, (DockerException, StreamParseError))
    return ours and not any(isinstance(inner, OSError) for inner in _within(error))


def _refusal(error: BaseException, doing: str, where: str) -> EngineError:
    """What an engine that answered says; with what to do, where its words are known."""
    from docker.errors import APIError, ImageNotFound

    assert isinstance(error, APIError)
    said = (error.explanation or str(error)).strip()
    kinds = {404: NotThere, 409: Conflict}
    kind = ImageMissing if isinstance(error, ImageNotFound) else kinds.get(error.status_code or 0)
    ours = (kind or EngineError)(f"{doing}: {said}", hint_for(said))
    ours.status = error.status_code
    return ours


def hint_for(said: str) -> str:
    """What to do about words that engines are known to say; empty for others."""
    text = said.lower()
    for words, hint in _KNOWN_WORDS:
        if any(word in text for word in words):
            return hint
    return ""


_OUT_OF_REACH = (
    "no such host",
    "connection refused",
    "i/o timeout",
    "network is unreachable",
    "no route to host",
    "temporary failure in name resolution",
    "tls handshake timeout",
    "request canceled while waiting for connection",
    "context deadline exceeded",
)
_KNOWN_WORDS = (
    (
        ("pull access denied", "repository does not exist"),
        "Check the name of the image; for one that is not public, log in with `docker login "
        "REGISTRY`, or set env.docker.base_image_registry's username and password.",
    ),
    (
        ("bind source path does not exist",),
        "The engine does not see this machine's files, as when Jupyter itself runs in a "
        "container: set `local: false` for the target, or local=false for one run, and files are "
        "copied instead.",
    ),
    (
        ("container-init binary not found", "init binary"),
        "Podman needs the program catatonit for it: `apt-get install catatonit`.",
    ),
    (
        ("no space left on device", "disk quota exceeded"),
        "Make room where the engine keeps its images: `aml env prune` removes environments that "
        "are not used, `docker system prune` what else is left over.",
    ),
    (
        ("could not select device driver", "nvidia-container-cli", "unknown or invalid runtime"),
        "The engine cannot give GPUs to containers: install the NVIDIA driver and the NVIDIA "
        "Container Toolkit on its machine, then run `nvidia-ctk runtime configure` and restart "
        "the engine.",
    ),
    (
        ("unauthorized", "authentication required", "no basic auth credentials", "access denied"),
        "Log in with `docker login REGISTRY`, or set env.docker.base_image_registry's username "
        "and password.",
    ),
    (
        ("x509", "certificate signed by unknown authority"),
        "The engine does not trust the registry's certificate: put the company's CA into "
        "/etc/docker/certs.d/REGISTRY/ca.crt on the engine's machine.",
    ),
    (
        _OUT_OF_REACH,
        "The engine cannot reach the registry. Name an image that is already there (`docker "
        "images` lists them), as the environment's base image or as the target's setting "
        "base_image; or load one with `docker load`.",
    ),
    (
        ("no such image", "manifest unknown", "not found"),
        "Check the name and tag; `docker images` lists those that are there.",
    ),
    (
        ("port is already allocated", "address already in use"),
        "Another container or process has that port; take another, or leave it out.",
    ),
    (
        ("exec format error", "does not match the specified platform", "does not match the host"),
        "The image is made for another kind of processor; take one for this engine's.",
    ),
)


def _away(error: BaseException, doing: str, where: str) -> EngineAway:
    """Why nobody answers, by what lies innermost in the error."""
    inner = list(_within(error))
    numbers = {one.errno for one in inner if isinstance(one, OSError)}
    if numbers & {errno.EACCES, errno.EPERM}:
        return EngineAway(
            f"{doing}: this user may not use {where}.",
            "Join its group (`sudo usermod -aG docker $USER`, then log in anew), or use rootless "
            "Docker or Podman.",
        )
    if errno.ENOENT in numbers and "ssh://" in where:
        return EngineAway(
            f"{doing}: {where} is reached by the program ssh, which is not here.",
            "Install an OpenSSH client (`apt-get install openssh-client`).",
        )
    if errno.ENOENT in numbers:
        return EngineAway(
            f"{doing}: {where} is not there.",
            "Install Docker or Podman and start it, or set DOCKER_HOST to where an engine is.",
        )
    if "ssh://" in where:
        return EngineAway(
            f"{doing}: {where} does not answer ({_innermost_words(inner)}).",
            "`ssh HOST docker version` has to work without a question: by a key that an agent "
            "holds, to a host that is known.",
        )
    if any("timed out" in str(one).lower() for one in inner):
        return EngineAway(
            f"{doing}: {where} does not answer in time.",
            "It may be overloaded or out of reach; `docker info` shows whether it answers.",
        )
    return EngineAway(
        f"{doing}: {where} does not answer ({_innermost_words(inner)}).",
        "Start it (`sudo systemctl start docker`, Docker Desktop, or `systemctl --user start "
        "podman.socket`), or set DOCKER_HOST to where an engine is.",
    )


def _innermost_words(inner: list[BaseException]) -> str:
    said = [one.strerror or str(one) for one in inner if isinstance(one, OSError)]
    return next((text for text in reversed(said) if text), str(inner[0]))


def _within(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it carries, outermost first: causes, and errors as arguments."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        context = None if one.__suppress_context__ else one.__context__
        around = (one.__cause__, context, getattr(one, "reason", None), *one.args)
        waiting += [other for other in around if isinstance(other, BaseException)]
