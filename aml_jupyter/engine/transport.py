"""Connections to an engine: by a unix socket, or each through a process of the system's ssh.

docker-py's own way over ssh needs Paramiko, or overrides the port of ``~/.ssh/config`` and loses
what ssh says; by a unix socket it leaves one open whenever nobody answers.
"""

from __future__ import annotations

import shlex
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import urlsplit

import requests.adapters
import urllib3
import urllib3.connection

_SECONDS_TO_ANSWER = 30
_SECONDS_TO_END = 2
_CONNECTIONS = 10


class Adapter(requests.adapters.HTTPAdapter):
    """Carries requests to the engine at an address, unix or ssh, whatever URL they name."""

    def __init__(self, url: str, seconds: float) -> None:
        make: Callable[[], urllib3.connection.HTTPConnection]
        if url.startswith("ssh://"):
            words = command(url)
            make = lambda: _SshConnection(words, seconds)  # noqa: E731
        else:
            path = url.removeprefix("unix://")
            make = lambda: _UnixConnection(path, seconds)  # noqa: E731
        self._pool = _Pool(make, seconds)
        super().__init__()

    def get_connection_with_tls_context(self, *_: object, **__: object) -> _Pool:
        """The pool; there is one, whatever is asked for."""
        return self._pool

    def request_url(self, request: requests.PreparedRequest, _proxies: object) -> str:
        """The path alone: no proxy stands before a socket."""
        return request.path_url

    def close(self) -> None:
        """Close every connection that waits for the next request."""
        super().close()
        self._pool.close()


def command(url: str) -> list[str]:
    """What is started for each connection to an ``ssh://`` address.

    A path in it is the engine's socket there, as the docker command has it.
    """
    parts = urlsplit(url)
    ssh = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_SECONDS_TO_ANSWER}"]
    if parts.username:
        ssh += ["-l", parts.username]
    if parts.port:
        ssh += ["-p", str(parts.port)]
    path = parts.path.rstrip("/")
    host = f" --host {shlex.quote('unix://' + path)}" if path else ""
    return [*ssh, "-T", "--", _host(parts.netloc), f"docker{host} system dial-stdio"]


def _host(place: str) -> str:
    """The host as it was written: names in ``~/.ssh/config`` are of upper or of lower case."""
    host = place.rpartition("@")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


class _Pool(urllib3.HTTPConnectionPool):
    def __init__(
        self, make: Callable[[], urllib3.connection.HTTPConnection], seconds: float
    ) -> None:
        super().__init__("localhost", timeout=seconds, maxsize=_CONNECTIONS)
        self._make = make

    def _new_conn(self) -> urllib3.connection.HTTPConnection:
        return self._make()


class _UnixConnection(urllib3.connection.HTTPConnection):
    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        ours = socket.socket(socket.AF_UNIX)
        try:
            ours.settimeout(_seconds(self))
            ours.connect(self._path)
        except BaseException:
            ours.close()
            raise
        self.sock = ours


class _SshConnection(urllib3.connection.HTTPConnection):
    def __init__(self, command: list[str], seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._words = ""

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        # A file and no pipe: nobody reads it unless ssh fails.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the connection
        try:
            with theirs:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=self._said,
                    # An interrupt of the notebook is none of ssh's business.
                    start_new_session=True,
                )
        except OSError:
            ours.close()
            self._said.close()
            raise
        ours.settimeout(_seconds(self))
        self.sock = ours

    def request(self, *arguments: Any, **options: Any) -> None:
        with self._told_by_ssh():
            super().request(*arguments, **options)

    def getresponse(self) -> Any:
        with self._told_by_ssh():
            return super().getresponse()

    @contextmanager
    def _told_by_ssh(self) -> Iterator[None]:
        """What ssh says of its failure takes the place of "Connection reset by peer"."""
        try:
            yield
        except ConnectionError as error:
            # http.client closes a connection that broke, but not in every case.
            self.close()
            raise ConnectionError(self._words or str(error)) from None

    def close(self) -> None:
        super().close()
        process, self._process = self._process, None
        if process is None or self._said is None:
            return
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
        with self._said as file:
            file.seek(0)
            self._words = file.read().decode(errors="replace").strip()


def _seconds(connection: urllib3.connection.HTTPConnection) -> float | None:
    given = connection.timeout
    return given if isinstance(given, (int, float)) else None
