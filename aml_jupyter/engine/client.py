"""A client for one engine, and what it can be asked about it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .address import Address
from .errors import EngineError, translated

if TYPE_CHECKING:
    import docker
    import docker.tls

_SECONDS_TO_ANSWER = 60
_SECONDS_TO_SAY_HELLO = 15
_OLDEST_API = "1.24"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

_engines: dict[tuple[int, Address], Engine] = {}
_turns: dict[tuple[int, Address], threading.Lock] = {}
_lock = threading.Lock()


class Engine:
    """One engine that answered; ``client`` is docker-py's, for all that is not asked here.

    A request that finds its connection closed (the engine was restarted) is made once more,
    where making it twice does no harm. May be used by several threads.
    """

    def __init__(
        self, address: Address, client: docker.DockerClient, said: Mapping[str, Any]
    ) -> None:
        self.address = address
        self.client = client
        self._said = said

    @property
    def version(self) -> str:
        """The engine's version, such as ``28.2.2``; Podman's own if it is Podman."""
        for component in self._components:
            if component.get("Name") == "Podman Engine":
                return str(component.get("Version") or "")
        return str(self._said.get("Version") or "")

    @property
    def api_version(self) -> tuple[int, int]:
        """The version of the API that is spoken with it, such as ``(1, 41)``."""
        major, minor = self.client.api.api_version.split(".")[:2]
        return int(major), int(minor)

    @property
    def architecture(self) -> str:
        """The processor as images name it: ``amd64``, ``arm64``, …"""
        said = str(self._said.get("Arch") or "")
        return _ARCHITECTURES.get(said, said)

    @property
    def is_local(self) -> bool:
        """Whether it sees the files of this machine under the same paths."""
        return self.address.is_local

    @property
    def is_podman(self) -> bool:
        """Whether it is Podman, which speaks Docker's API with an accent."""
        return any("podman" in str(part.get("Name", "")).lower() for part in self._components)

    @cached_property
    def is_rootless(self) -> bool:
        """Whether root in its containers is the user who runs it."""
        # Podman has a word of its own for it, Docker tells it among its security options.
        options = self.info.get("SecurityOptions") or ()
        named = any("rootless" in str(option) for option in options)
        return named or bool(self.info.get("Rootless"))

    @cached_property
    def info(self) -> Mapping[str, Any]:
        """What ``docker info`` says, as it was when first asked."""
        with self.errors("The engine says nothing of itself"):
            return dict(self.client.info())

    def is_alive(self) -> bool:
        """Whether it answers now."""
        try:
            with self.errors("ping"):
                return bool(self.client.ping())
        except EngineError:
            return False

    def errors(self, doing: str) -> AbstractContextManager[None]:
        """Raise what goes wrong inside as EngineError; ``doing`` begins its message."""
        return translated(doing, name_of(self.address))

    @property
    def _components(self) -> list[Mapping[str, Any]]:
        return list(self._said.get("Components") or ())


def name_of(address: Address) -> str:
    """The engine as messages name it."""
    return f"the container engine at {address.url}"


def connect(address: Address) -> Engine:
    """The engine at ``address``; the same object for all who ask in this process.

    :class:`EngineAway` when nobody answers there.
    """
    key = (os.getpid(), address)
    with _lock:
        turn = _turns.setdefault(key, threading.Lock())
    # One that does not answer keeps only those waiting who want that one.
    with turn:
        found = _engines.get(key)
        if found is None:
            found = _engines[key] = _connected(address)
        return found


def forget(address: Address) -> None:
    """Close what is kept of an engine, so that the next :func:`connect` begins anew."""
    with _lock:
        engine = _engines.pop((os.getpid(), address), None)
    if engine is not None:
        engine.client.close()


def _connected(address: Address) -> Engine:
    with translated("No connection", name_of(address)):
        first = _client(address, _OLDEST_API, _SECONDS_TO_SAY_HELLO)
        try:
            said = first.api.version(api_version=False)
        finally:
            first.close()
        return Engine(address, _client(address, _spoken(said), _SECONDS_TO_ANSWER), said)


def _spoken(said: Mapping[str, Any]) -> str:
    """The newest version of the API that both sides know."""
    from docker.constants import DEFAULT_DOCKER_API_VERSION as OURS
    from docker.utils import version_lt

    theirs = str(said.get("ApiVersion") or _OLDEST_API)
    oldest = str(said.get("MinAPIVersion") or _OLDEST_API)
    usual = theirs if version_lt(theirs, OURS) else OURS
    return oldest if version_lt(usual, oldest) else usual


def _client(address: Address, version: str, seconds: int) -> docker.DockerClient:
    import docker

    by_adapter = address.url.startswith(("unix://", "ssh://"))
    client = docker.DockerClient(
        base_url="unix:///by-adapter" if by_adapter else address.url,
        version=version,
        timeout=seconds,
        tls=_tls(address) or False,
    )
    # Proxies and CA bundles of the environment are for the network, not for the engine.
    client.api.trust_env = False
    if by_adapter:
        from .transport import Adapter

        client.api.mount("http+docker://", Adapter(address.url, seconds))
    _retry_once(client)
    return client


def _tls(address: Address) -> docker.tls.TLSConfig | None:
    if address.tls is None:
        return None
    from docker.tls import TLSConfig

    tls = address.tls
    both = (tls.certificate, tls.key) if tls.certificate and tls.key else None
    return TLSConfig(client_cert=both, ca_cert=tls.ca, verify=tls.verify)


def _retry_once(client: docker.DockerClient) -> None:
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    # A broken read is repeated for what may be asked twice (GET, DELETE, …), never for a POST.
    retry = Retry(total=1, connect=1, read=1, redirect=0, status=0, other=0, raise_on_status=False)
    for adapter in client.api.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            adapter.max_retries = retry
