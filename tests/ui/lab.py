"""A JupyterLab, or a Notebook 7, of one's own for browser tests."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import nbformat
from nbformat.sign import NotebookNotary

from tests.conftest import stop_runner

App = Literal["jupyterlab", "notebook"]

_START_LIMIT = 60.0
_CONFIG = {
    "ServerApp": {
        "ip": "127.0.0.1",
        "open_browser": False,
        "allow_root": True,
        "port_retries": 0,
        "disable_check_xsrf": True,
    },
    # Only this machine can reach it, and only while the test lasts.
    "IdentityProvider": {"token": ""},
    "LabApp": {
        "news_url": None,
        "check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "extension_manager": "readonly",
    },
}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab or Notebook 7: its address, and the folder that holds all its own."""

    url: str
    folder: Path
    app: App = "jupyterlab"
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list, repr=False)

    @property
    def root(self) -> Path:
        """The folder that it shows."""
        return self.folder / "notebooks"

    def write_notebook(
        self,
        name: str,
        cells: list[dict[str, object]],
        kernel: bool = False,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Put a notebook into the folder, as a stranger's: unsigned, so its outputs have no trust.

        With `kernel` one is started when it is opened; else the page asks for one.
        """
        named = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        notebook = {
            "cells": [{**cell, "id": f"cell-{i}"} for i, cell in enumerate(cells, 1)],
            "metadata": {**({"kernelspec": named} if kernel else {}), **(metadata or {})},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (self.root / name).write_text(json.dumps(notebook), encoding="utf-8")

    def trust(self, name: str) -> None:
        """Sign a notebook as its user does with ``jupyter trust``."""
        notary = NotebookNotary(data_dir=str(self.folder / "data"))
        notary.sign(nbformat.read(self.root / name, as_version=4))

    def notebook_url(self, name: str) -> str:
        """Return the address that opens a notebook, in JupyterLab in a fresh workspace."""
        if self.app == "notebook":
            return f"{self.url}/notebooks/{name}"
        return f"{self.url}/lab/workspaces/{name.removesuffix('.ipynb')}/tree/{name}?reset"

    def stop_kernels(self) -> None:
        """End every session, as when the server was stopped and started since."""
        for session in self.api("GET", "sessions"):
            try:
                self.api("DELETE", f"sessions/{session['id']}")
            except urllib.error.HTTPError as error:
                # Its kernel had ended by itself, and the server noticed only now.
                if error.code != 404:
                    raise

    def api(self, method: str, path: str) -> Any:
        """Ask the server's REST interface."""
        request = urllib.request.Request(f"{self.url}/api/{path}", method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def start(self, **variables: str) -> None:
        """Start it, with these variables for this time, and return once it answers."""
        log = self.folder / "server.log"
        with log.open("ab") as output:
            server = subprocess.Popen(
                self.command,
                cwd=self.root,
                env={**self.environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(server)
        _wait_until_up(self, server, log)

    def stop(self) -> None:
        """End it, and with it all its kernels."""
        while self._processes:
            _stop(self._processes.pop())

    def put_right(self) -> None:
        """After a test that failed: cancel what it left running, and start what it left stopped.

        Else the tests after it wait for slots that are never free, and fail as well.
        """
        for folder in (self.root, *self.root.iterdir()):
            if (folder / ".aml").is_dir():
                self._cancel_all(folder)
        if not self._processes:
            self.start()

    def _cancel_all(self, project: Path) -> None:
        """Cancel all runs of a project that have not ended; what came of it is in the report."""
        done = subprocess.run(
            [Path(sys.executable).with_name("aml"), "cancel", "--all"],
            cwd=project,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.stdout or done.returncode:
            print(f"left behind in {project}:\n{done.stdout}{done.stderr}")

    @contextlib.contextmanager
    def theme(self, name: str) -> Iterator[None]:
        """Let pages opened meanwhile have this theme."""
        file = _write_setting(self.folder, "apputils-extension/themes", {"theme": name})
        try:
            yield
        finally:
            file.unlink()


def code_cell(source: str, outputs: list[dict[str, object]] | None = None) -> dict[str, object]:
    """Return a code cell; with display outputs, one mime bundle each, as one that was executed."""
    shown = [{"output_type": "display_data", "metadata": {}, "data": d} for d in outputs or ()]
    return {
        "cell_type": "code",
        "execution_count": 1 if shown else None,
        "metadata": {},
        "source": source,
        "outputs": shown,
    }


@contextlib.contextmanager
def running_lab(
    folder: Path, app: App = "jupyterlab", python: str = sys.executable, **variables: str
) -> Iterator[Lab]:
    """Start one with every folder of its own under `folder`, and stop it afterwards."""
    port = _free_port()
    command = (python, "-m", app, f"--port={port}")
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**_environment(folder), **variables}
    lab = Lab(f"http://127.0.0.1:{port}", folder, app, command, environment)
    lab.root.mkdir()
    # Else a question about news covers a corner of every page.
    _write_setting(folder, "apputils-extension/notification", {"fetchNews": "false"})
    # Else cells out of sight are not in the page, and a test cannot find them.
    _write_setting(folder, "notebook-extension/tracker", {"windowingMode": "none"})
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()
        stop_runner(folder / "aml")


def _environment(folder: Path) -> dict[str, str]:
    """Keep the machine's own Jupyter settings out, and everything written inside `folder`."""
    config = folder / "config"
    config.mkdir()
    (config / "jupyter_server_config.json").write_text(json.dumps(_CONFIG), encoding="utf-8")
    own = {
        "AML_HOME": folder / "aml",
        "HOME": folder,
        "IPYTHONDIR": folder / "ipython",
        "JUPYTER_CONFIG_DIR": config,
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": folder / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
    }
    return {**os.environ, **{name: str(path) for name, path in own.items()}}


def _write_setting(folder: Path, plugin: str, values: dict[str, str]) -> Path:
    """Write what a user would have chosen in the settings editor."""
    file = folder / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values), encoding="utf-8")
    return file


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + _START_LIMIT
    while time.monotonic() < give_up and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{lab.url}/api/status", timeout=2):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError(f"{lab.app} did not start:\n{log.read_text(errors='replace')[-4000:]}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(5)
