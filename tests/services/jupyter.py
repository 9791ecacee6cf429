"""A Jupyter server of one's own with our extension, and nothing else, for tests to talk to."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import websocket

from aml_jupyter import Workspace
from tests.conftest import stop_runner

_START_LIMIT = 60.0
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Answer:
    """What came back: status, headers and bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Server:
    """A running server, and how to ask it; by default as somebody who may."""

    port: int
    root: Path
    folder: Path
    home: Path
    base: str = "/"
    token: str = "the-token"
    process: subprocess.Popen[bytes] | None = None
    command: list[str] = field(default_factory=list)

    @property
    def log(self) -> str:
        """What it has printed."""
        return (self.folder / "server.log").read_text(errors="replace")

    def address(self, path: str) -> str:
        """The path of an address below ``aml/api/``."""
        return f"{self.base}aml/api/{path}"

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        token: str | None = "",
        **query: object,
    ) -> Answer:
        """Ask for what is below ``aml/api/``; ``token=None`` asks as a stranger."""
        sent = dict(headers or {})
        token = self.token if token == "" else token
        if token is not None:
            sent.setdefault("Authorization", f"token {token}")
        given = {name: str(value) for name, value in query.items() if value is not None}
        path = self.address(path) + (f"?{urllib.parse.urlencode(given)}" if given else "")
        data = None if body is None else json.dumps(body).encode()
        return self.raw(method, path, data, sent)

    def raw(
        self, method: str, path: str, data: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Answer:
        """Ask for any address, byte for byte as it is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, data, dict(headers))
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def place(self, project: str | None = None) -> str:
        """The key of the workspace of a project folder; of the first one that there is."""
        places = self.ask("hello").json["places"]
        found = [each for each in places if project in (None, each["project"])]
        return str(found[0]["key"])

    def memory(self) -> int:
        """Bytes that it holds."""
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def live(self, *, token: str | None = "", **options: Any) -> websocket.WebSocket:
        """The websocket; ``token=None`` asks as a stranger."""
        token = self.token if token == "" else token
        header = [f"Authorization: token {token}"] if token is not None else []
        header += options.pop("header", [])
        api = options.pop("api", 1)
        query = "" if api is None else f"?api={api}"
        address = f"ws://127.0.0.1:{self.port}{self.address('live')}{query}"
        return websocket.create_connection(address, header=header, timeout=20, **options)

    def start(self) -> None:
        """Start it and return when it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.root,
                env=_environment(self.folder, self.home),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        give_up = time.monotonic() + _START_LIMIT
        while time.monotonic() < give_up and self.process.poll() is None:
            with contextlib.suppress(OSError):
                if self.raw("GET", f"{self.base}api").status == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"the server did not start:\n{self.log[-4000:]}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop it, or kill it, and return when it is gone."""
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


@contextlib.contextmanager
def running_server(
    folder: Path, root: Path, *options: str, base: str = "/", token: str = "the-token"
) -> Iterator[Server]:
    """A server that shows ``root``; all else of its own lies in ``folder``.

    ``options`` are those of the command line. Its AML_HOME is the test's own, if that is still
    there when it ends; a server that several tests use is given one: see ``home_of_its_own``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    home = Path(os.environ["AML_HOME"])
    server = Server(_free_port(), root, folder, home, base, token)
    server.command = [
        *(sys.executable, "-m", "jupyter", "server", f"--port={server.port}", "--port-retries=0"),
        *("--ip=127.0.0.1", "--no-browser", "--allow-root", f"--ServerApp.base_url={base}"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"),
        "--ServerApp.jpserver_extensions={'aml_jupyter': True}",
        *options,
    ]
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def home_of_its_own() -> Iterator[Path]:
    """An AML_HOME that outlives a test; what runs in it ends with it."""
    # Not below pytest's folders: a unix socket's path is limited to about a hundred bytes.
    home = Path(tempfile.mkdtemp(prefix="aml-"))
    before = os.environ.get("AML_HOME")
    os.environ["AML_HOME"] = str(home)
    try:
        yield home
    finally:
        if before is None:
            del os.environ["AML_HOME"]
        else:
            os.environ["AML_HOME"] = before
        stop_runner(home)
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def empty_server(folder: Path, *options: str) -> Iterator[Server]:
    """A server that shows an empty folder below ``folder``, and has a home of its own."""
    root = folder / "root"
    root.mkdir()
    with home_of_its_own(), running_server(folder / "server", root, *options) as started:
        yield started


@contextlib.contextmanager
def project_server(folder: Path) -> Iterator[Server]:
    """The same with a project in that folder."""
    with empty_server(folder) as started:
        Workspace.from_config(started.root)
        yield started


def _environment(folder: Path, home: Path) -> dict[str, str]:
    """The machine's own Jupyter settings are kept out, and so are other extensions."""
    own = {
        "AML_HOME": home,
        "IPYTHONDIR": folder / "ipython",
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "PYTHONPATH": _REPOSITORY,
    }
    return {**os.environ, **{name: str(path) for name, path in own.items()}}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
