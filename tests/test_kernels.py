"""The live view in kernels of both kinds: those with one shell, and those with subshells."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

OLDEST = "6.29.5"
PATIENCE = 30.0

# Each side waits for a word of the other, so that nothing depends on who is quicker.
WAIT = 'while not os.path.exists("{word}"):\n    time.sleep(0.02)\n'
JOB = f"""%%aml_run --as run
import os, time
os.chdir(signs)
print("line 1", flush=True)
{WAIT.format(word="go on")}
print("line 2", flush=True)
{WAIT.format(word="never")}
"""
BUSY = f"import os, time\n{WAIT.format(word='enough')}"


class FrontEnd:
    """A notebook's other side: asks a real kernel, as a browser does, and keeps what it says."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.said: list[dict[str, Any]] = []
        session = {"JPY_SESSION_NAME": str(folder / "live.ipynb"), "AML_CANCEL_GRACE": "0.5"}
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(cwd=str(folder), env={**os.environ, **session, **variables})
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)

    def begin(self, code: str) -> str:
        """Let a cell be executed; its id."""
        return str(self._client.execute(code))

    def run(self, code: str) -> dict[str, Any]:
        """What the cell displays, in all its forms, once it was executed."""
        asked = self.begin(code)
        self.until(lambda: self.has_ended(asked))
        own = [m for m in self.said if m["parent_header"].get("msg_id") == asked]
        shown = [m for m in own if m["msg_type"] in ("display_data", "execute_result")]
        return dict(shown[0]["content"]["data"]) if shown else {}

    def has_ended(self, asked: str) -> bool:
        """Whether the kernel has said to be done with this message."""
        return any(
            message["parent_header"].get("msg_id") == asked
            and message["content"].get("execution_state") == "idle"
            for message in self.said
        )

    def until(self, holds: Callable[[], Any]) -> Any:
        """What ``holds`` returns once that is true, while the kernel is listened to."""
        end = time.monotonic() + PATIENCE
        while not (found := holds()):
            assert time.monotonic() < end, [m["msg_type"] for m in self.said]
            if self._client.iopub_channel.is_alive() and self._client.iopub_channel.msg_ready():
                self.said.append(self._client.get_iopub_msg(timeout=1))
            else:
                time.sleep(0.01)
        return found

    def open_comm(self, target: str) -> str:
        """Open a comm of ipywidgets to the kernel; its id."""
        comm = os.urandom(8).hex()
        metadata = {"version": "1.0.0"}
        content = {"comm_id": comm, "target_name": target, "data": {}}
        opened = self._send("comm_open", content, metadata=metadata)
        # ipykernel 7 grumbles over what is said to a comm that it has not opened yet.
        self.until(lambda: self.has_ended(opened))
        return comm

    def say(self, comm: str, data: dict[str, Any], subshell: str | None = None) -> str:
        """Say something to a widget, perhaps on a subshell; the message's id."""
        return self._send("comm_msg", {"comm_id": comm, "data": data}, subshell)

    def ask(self, panel: str, kind: str, subshell: str | None = None) -> str:
        """Ask a panel; the message's id."""
        return self.say(panel, {"method": "custom", "content": {"kind": kind}}, subshell)

    def heard(self, comm: str) -> list[dict[str, Any]]:
        """What a widget has said, in order."""
        contents = [m["content"] for m in self.said if m["msg_type"] == "comm_msg"]
        return [content["data"] for content in contents if content["comm_id"] == comm]

    def told(self, panel: str, kind: str) -> list[Any]:
        """What a panel has told under this kind, in order."""
        told = [data["content"] for data in self.heard(panel) if data["method"] == "custom"]
        return [content[kind] for content in told if content["kind"] == kind]

    def lines(self, panel: str) -> list[str]:
        """The lines of the log that have been told, one after the other."""
        return [line for piece in self.told(panel, "log") for line in piece["lines"]]

    def status(self, panel: str) -> str:
        """How the run is, as far as it has been told."""
        states = [data["state"] for data in self.heard(panel) if data["method"] == "update"]
        runs = [state["runs"] for state in states if "runs" in state]
        return str(runs[-1][0]["status"]) if runs else ""

    def panel(self) -> str:
        """The id of the panel among the widgets that the kernel has, asked for all at once."""
        control = self.open_comm("jupyter.widget.control")
        self.say(control, {"method": "request_states"})
        self.until(lambda: self.heard(control))
        states = self.heard(control)[-1]["states"]
        (panel,) = [name for name, widget in states.items() if "tabs" in widget["state"]]
        return str(panel)

    def last_display(self) -> dict[str, Any]:
        """What the run's output was last changed to."""
        changes = [m for m in self.said if m["msg_type"] == "update_display_data"]
        return dict(changes[-1]["content"]["data"]) if changes else {}

    def subshell(self) -> str:
        """A new subshell of the kernel; its id."""
        asked = self._client.session.msg("create_subshell_request")
        self._client.control_channel.send(asked)
        answer = self._client.get_control_msg(timeout=PATIENCE)
        assert answer["content"]["status"] == "ok", answer["content"]
        return str(answer["content"]["subshell_id"])

    def stop(self) -> None:
        """End the kernel, whatever it does."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()

    def _send(
        self, kind: str, content: dict[str, Any], subshell: str | None = None, **more: Any
    ) -> str:
        message = self._client.session.msg(kind, content, **more)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self._client.shell_channel.send(message)
        return str(message["header"]["msg_id"])


@pytest.fixture(scope="session")
def oldest_ipykernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the oldest ipykernel that is supported, and what only it needs."""
    folder = tmp_path_factory.mktemp("ipykernel")
    install = ["-m", "uv", "pip", "install", "-q", "--no-deps", "--python", sys.executable]
    packages = [f"ipykernel=={OLDEST}", "nest-asyncio"]
    subprocess.run([sys.executable, *install, "--target", str(folder), *packages], check=True)
    return folder


@pytest.fixture(
    params=[pytest.param("oldest", marks=pytest.mark.service("pypi")), "installed"],
)
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FrontEnd]:
    """A front end of the oldest ipykernel that is supported, and of the one that is installed."""
    variables = {}
    if request.param == "oldest":
        variables["PYTHONPATH"] = str(request.getfixturevalue("oldest_ipykernel"))
    started = FrontEnd(tmp_path, **variables)
    try:
        version = started.run("import ipykernel; ipykernel.__version__")["text/plain"]
        assert (version == repr(OLDEST)) == (request.param == "oldest")
        yield started
    finally:
        started.stop()


@pytest.fixture
def front_with_subshells(tmp_path: Path) -> Iterator[FrontEnd]:
    """A front end of the ipykernel that is installed."""
    started = FrontEnd(tmp_path)
    yield started
    started.stop()


def watched(front: FrontEnd) -> str:
    """The panel of a job that has begun, in a browser that is ready."""
    front.run("%load_ext aml_jupyter")
    front.run(f"signs = {str(front.folder)!r}")
    assert "application/vnd.jupyter.widget-view+json" in front.run(JOB)
    panel = front.panel()
    front.ask(panel, "ready")
    front.until(lambda: "line 1" in front.lines(panel))
    return panel


def go_on(front: FrontEnd, word: str) -> None:
    """Let the job, or the busy cell, go on."""
    (front.folder / word).touch()


def assert_stored_as_cancelled(front: FrontEnd) -> None:
    """The output that the notebook holds tells the end, and nothing was printed meanwhile."""
    card = "application/vnd.aml.run+json"
    front.until(lambda: front.last_display().get(card, {}).get("status") == "Canceled")
    assert "line 2" in front.last_display()["text/html"]
    assert [m["content"] for m in front.said if m["msg_type"] in ("stream", "error")] == []


def test_a_view_follows_while_a_cell_is_busy_and_answers_after_it(front: FrontEnd) -> None:
    panel = watched(front)
    front.ask(panel, "files")
    front.until(lambda: front.told(panel, "files"))

    busy = front.begin(BUSY)
    go_on(front, "go on")
    front.until(lambda: "line 2" in front.lines(panel))
    cancel = front.ask(panel, "cancel")
    assert not front.has_ended(busy)
    assert not front.has_ended(cancel)

    go_on(front, "enough")
    front.until(lambda: front.has_ended(cancel))
    front.until(lambda: front.status(panel) == "Canceled")
    assert_stored_as_cancelled(front)


def test_on_a_subshell_a_view_answers_while_a_cell_is_busy(front_with_subshells: FrontEnd) -> None:
    front = front_with_subshells
    panel = watched(front)
    subshell = front.subshell()
    busy = front.begin(BUSY)
    go_on(front, "go on")
    front.until(lambda: "line 2" in front.lines(panel))

    front.ask(panel, "files", subshell)
    front.until(lambda: front.told(panel, "files"))
    front.ask(panel, "cancel", subshell)
    front.until(lambda: front.status(panel) == "Canceled")
    assert_stored_as_cancelled(front)
    assert not front.has_ended(busy)
    go_on(front, "enough")
    front.until(lambda: front.has_ended(busy))
