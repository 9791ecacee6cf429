"""Which engine is meant: the order in which the Docker command looks, and Podman's sockets."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import EngineError

DEFAULT_SOCKET = "/var/run/docker.sock"
_PODMAN_SOCKET = "/run/podman/podman.sock"
_SCHEMES = ("unix", "tcp", "http", "https", "ssh")


@dataclass(frozen=True)
class Tls:
    """The files that an engine and its client know each other by; each may be missing."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    verify: bool = True


@dataclass(frozen=True)
class Address:
    """Where an engine is, and ``found_by`` what said so.

    With ``is_local`` it sees the files of this machine under the same paths. Any unix socket
    counts as local and nothing else does, until an option says otherwise.
    """

    url: str
    is_local: bool = True
    tls: Tls | None = None
    found_by: str = ""

    @property
    def socket(self) -> str | None:
        """The path of a unix socket; None for an address of another kind."""
        return self.url[len("unix://") :] if self.url.startswith("unix://") else None

    def variables(self) -> dict[str, str]:
        """What makes the docker command talk with this engine and no other."""
        said = {"DOCKER_HOST": self.url.replace("https://", "tcp://")}
        if self.tls is None:
            return said
        said["DOCKER_TLS_VERIFY" if self.tls.verify else "DOCKER_TLS"] = "1"
        folder = next(filter(None, (self.tls.ca, self.tls.certificate)), None)
        return {**said, "DOCKER_CERT_PATH": os.path.dirname(folder)} if folder else said


def find_address(options: Mapping[str, object], variables: Mapping[str, str]) -> Address:
    """The engine that the settings of a target mean, for who has these variables.

    In this order: the options ``host`` and ``context``, ``DOCKER_HOST``, ``DOCKER_CONTEXT``, the
    current context, then the first socket there is of: Docker's, rootless Docker's, Docker
    Desktop's, rootless Podman's, Podman's. The option ``local`` overrides what a path says.
    Nothing is asked of any engine.
    """
    found = _meant(options, variables)
    local = options.get("local")
    if local is None:
        return found
    return Address(found.url, bool(local), found.tls, found.found_by)


def _meant(options: Mapping[str, object], variables: Mapping[str, str]) -> Address:
    if options.get("host"):
        return _of_url(str(options["host"]), _tls_of(variables), "the target's setting host")
    if options.get("context"):
        return _of_context(str(options["context"]), variables, "the target's setting context")
    if variables.get("DOCKER_HOST"):
        return _of_url(variables["DOCKER_HOST"], _tls_of(variables), "DOCKER_HOST")
    if variables.get("DOCKER_CONTEXT"):
        return _of_context(variables["DOCKER_CONTEXT"], variables, "DOCKER_CONTEXT")
    current = _read(_config_folder(variables) / "config.json").get("currentContext")
    if current and current != "default":
        return _of_context(str(current), variables, "the current context of the docker command")
    return _of_sockets(variables)


def _of_url(url: str, tls: Tls | None, found_by: str) -> Address:
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme not in _SCHEMES or not rest:
        raise EngineError(
            f"{url!r} is no address of a container engine (from {found_by}).",
            "Write unix:///path/to/docker.sock, tcp://host:2376 or ssh://user@host.",
        )
    if scheme == "unix":
        return Address("unix://" + os.path.abspath("/" + rest.lstrip("/")), True, None, found_by)
    return Address(f"{scheme}://{rest.rstrip('/')}", False, tls, found_by)


def _tls_of(variables: Mapping[str, str]) -> Tls | None:
    verify = bool(variables.get("DOCKER_TLS_VERIFY"))
    if not verify and not variables.get("DOCKER_TLS"):
        return None
    folder = variables.get("DOCKER_CERT_PATH")
    return _tls_in(Path(folder) if folder else _config_folder(variables), verify)


def _tls_in(folder: Path, verify: bool) -> Tls:
    ca, certificate, key = (
        str(path) if path.is_file() else None
        for path in (folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    )
    return Tls(ca, certificate, key, verify)


def _of_context(name: str, variables: Mapping[str, str], found_by: str) -> Address:
    """The engine of a context, from the docker command's own files."""
    if name == "default":
        return _of_sockets(variables)
    # The files are read here: docker-py looks only at its own process's variables and home.
    identity = hashlib.sha256(name.encode()).hexdigest()
    contexts = _config_folder(variables) / "contexts"
    endpoint = _read(contexts / "meta" / identity / "meta.json").get("Endpoints")
    docker = endpoint.get("docker") if isinstance(endpoint, Mapping) else None
    if not isinstance(docker, Mapping) or not docker.get("Host"):
        raise EngineError(
            f"There is no Docker context {name!r} (from {found_by}).",
            "`docker context ls` shows those there are; or set DOCKER_HOST to an address.",
        )
    folder = contexts / "tls" / identity / "docker"
    tls = _tls_in(folder, not docker.get("SkipTLSVerify")) if folder.is_dir() else None
    return _of_url(str(docker["Host"]), tls, f"{found_by}: {name}")


def _of_sockets(variables: Mapping[str, str]) -> Address:
    """The first socket that may be used; else the first there is; else the usual one."""
    there = [path for path in _sockets(variables) if os.path.exists(path)]
    usable = [path for path in there if os.access(path, os.R_OK | os.W_OK)]
    path = next(iter(usable + there), DEFAULT_SOCKET)
    return Address(f"unix://{path}", True, None, f"the socket {path}")


def _sockets(variables: Mapping[str, str]) -> Iterator[str]:
    runtime = variables.get("XDG_RUNTIME_DIR")
    yield DEFAULT_SOCKET
    if runtime:
        yield os.path.join(runtime, "docker.sock")
    yield str(_user_folder(variables) / ".docker/run/docker.sock")
    if runtime:
        yield os.path.join(runtime, "podman/podman.sock")
    yield _PODMAN_SOCKET


def _config_folder(variables: Mapping[str, str]) -> Path:
    given = variables.get("DOCKER_CONFIG")
    return Path(given) if given else _user_folder(variables) / ".docker"


def _user_folder(variables: Mapping[str, str]) -> Path:
    return Path(variables.get("HOME") or os.path.expanduser("~"))


def _read(path: Path) -> Mapping[str, object]:
    """What a JSON file of the docker command says; nothing when it is not there or unreadable."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, Mapping) else {}
